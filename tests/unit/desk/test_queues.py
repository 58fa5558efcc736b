"""Which rows the desk asks a person about."""

from __future__ import annotations

import pytest

from sluice.desk.queues import Desk, chance_of
from tests.faults.certified import reply
from tests.harness.drive import Cloud
from tests.harness.reviewed import opened
from tests.unit.steps.test_certified_runs import FILES, SETTINGS, task_of

STEP = {"tier": 0, "label": "red"}


@pytest.mark.parametrize(
    ("row", "chance"),
    [
        ({"score": 0.8, "labels": ["red"]}, 0.8),
        ({"score": 0.8, "labels": ["blue"]}, 0.2),  # of a stronger tier, or a learned one's that was passed over
        ({"score": 0.8, "labels": ["red", "blue"], "trail": [{"tier": 0, "label": "red, blue"}]}, 0.8),
        ({"score": 0.8, "labels": [], "trail": [{"tier": 0, "label": ""}]}, 0.8),
        ({"score": 0.8, "labels": None, "status": "unresolved"}, None),
        ({"score": None, "labels": ["red"]}, None),
        ({"score": 0.8, "labels": ["red"], "trail": [{"tier": 0, "label": None}]}, None),
    ],
)
def test_an_accepted_label_is_as_likely_as_the_learned_model_says(row: dict[str, object], chance: float | None) -> None:
    """Another label than the first tier's has what the score leaves; without a score nothing is said."""
    found = chance_of({"status": "accepted", "trail": [STEP], **row})
    assert found == (None if chance is None else pytest.approx(chance))


def test_what_the_learned_model_contradicts_is_a_queue_of_its_own() -> None:
    """The least likely first; the lowest scores are those of labels that the first tier gave, and that stand."""
    cloud = Cloud(reply, SETTINGS)
    document = Desk(opened(cloud, cloud.run(task_of(), FILES))).document()
    names = [queue["name"] for queue in document["queues"]]
    assert names == [name for name in ("unresolved", "learned", "changed", "score", "uniform") if name in names]
    rows = {queue["name"]: [document["rows"][number] for number in queue["rows"]] for queue in document["queues"]}
    likely = [chance_of({**row, "status": "accepted"}) for row in rows["learned"]]
    assert [chance for chance in likely if chance is not None] == sorted(filter(None, likely))
    assert all(chance < 0.5 for chance in likely if chance is not None)
    assert rows["learned"]
    assert {row["tier"] for row in rows["score"]} == {0}
