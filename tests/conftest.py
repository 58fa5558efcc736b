"""The opt-in to a real account: without --live the tests marked `live` are not selected at all.

And what holds for all tests with drawn examples: none fails for the time it took, which a busy machine stretches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import settings

if TYPE_CHECKING:
    import pytest

LONGEST = "test_roles.py"  # one test of a minute or two: as the last one it would keep the other workers waiting

settings.register_profile("sluice", deadline=None)
settings.load_profile("sluice")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("sluice")
    group.addoption("--live", action="store_true", help="also run what needs a deployed stack, and costs money")
    group.addoption("--worlds", type=int, default=200, help="how many random runs the reference decides (default: 200)")
    group.addoption("--env", default="prod", help="the environment that the live tests use (default: prod)")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name != LONGEST)
    if config.getoption("--live"):
        return
    live = [item for item in items if item.get_closest_marker("live")]
    if live:
        config.hook.pytest_deselected(items=live)
        items[:] = [item for item in items if item not in live]
