"""What a setting may be, and the names of an environment."""

from __future__ import annotations

import pytest

from sluice.errors import BadSetting
from sluice.runs.settings import FLOORS, Settings, database_name, stack_name


@pytest.mark.parametrize(
    ("environment", "stack", "database"),
    [
        ("prod", "Sluice", "sluice"),
        ("dev", "Sluice-dev", "sluice_dev"),
        ("team-a-2", "Sluice-team-a-2", "sluice_team_a_2"),
    ],
)
def test_names_follow_the_environment(environment: str, stack: str, database: str) -> None:
    """The stack as the command line finds it, the database as SQL writes it."""
    assert (stack_name(environment), database_name(environment)) == (stack, database)


def test_a_wrong_environment_is_told_what_is_allowed() -> None:
    """Before anything is looked for under a name that nothing can have."""
    with pytest.raises(BadSetting, match="'Prod' is not allowed"):
        stack_name("Prod")


@pytest.mark.parametrize(("name", "floor"), FLOORS.items())
def test_a_size_below_which_rows_would_be_lost_is_refused(name: str, floor: int) -> None:
    """The message has the name, the value and what is allowed; a run from before keeps what it was frozen with."""
    with pytest.raises(BadSetting, match=rf"{name} = '{floor - 1}' is not allowed: .*{floor:,}.* or more"):
        Settings().override({name: str(floor - 1)})
    assert getattr(Settings().override({name: floor}), name) == floor
    small = Settings.model_validate({name: 1})
    assert getattr(small.override({"max_workers": 3}), name) == 1
