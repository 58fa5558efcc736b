"""How deployed runs stand."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING

import pytest

from sluice.deployment.standing import standing
from sluice.errors import BadRequest
from sluice.runs.state import Resumption
from tests.harness.deployed import RUN

if TYPE_CHECKING:
    from tests.harness.deployed import Deployed


def test_an_unknown_run_is_wrong_usage(deployed: Deployed) -> None:
    """Every command that names a run says so in the same words."""
    with pytest.raises(BadRequest, match="the stack Sluice has no run r9; `sluice runs` lists"):
        standing(deployed.stack, "r9")


@pytest.mark.parametrize("name", ["", "a b"])
def test_what_is_no_id_is_no_run(deployed: Deployed, name: str) -> None:
    """A name is never made into a key that it does not belong to."""
    with pytest.raises(BadRequest, match="has no run"):
        standing(deployed.stack, name)


def test_a_published_run_stands_as_it_was_published(deployed: Deployed) -> None:
    """Status, rows and cost are those of its document; Step Functions is not asked."""
    deployed.begin()
    document = deployed.end(status="over_limit")
    now = standing(deployed.stack, RUN)
    assert (now.status, now.rows, now.cost_usd, now.document) == ("over_limit", 12, 0.5, document)


def test_a_run_under_way_is_running(deployed: Deployed) -> None:
    """Its rows are known as soon as they have been counted, its cost is not."""
    keys = deployed.begin()
    deployed.execute()
    assert (standing(deployed.stack, RUN).status, standing(deployed.stack, RUN).rows) == ("running", None)
    deployed.stack.work.put(keys.plan, b'{"rows": 7}')
    now = standing(deployed.stack, RUN)
    assert (now.rows, now.cost_usd) == (7, None)


def test_a_run_with_the_cancel_marker_is_being_cancelled(deployed: Deployed) -> None:
    """Until it is closed by a further execution, it has neither ended nor failed."""
    keys = deployed.begin()
    arn = deployed.execute()
    deployed.stack.work.put(keys.cancel, b"{}")
    assert standing(deployed.stack, RUN).status == "cancelling"
    deployed.session.client("stepfunctions").stop_execution(executionArn=arn)
    assert standing(deployed.stack, RUN).status == "cancelling"


@pytest.mark.parametrize("further", [0, 1])
def test_an_execution_that_is_about_to_begin_is_no_failure(deployed: Deployed, further: int) -> None:
    """A run is noted, and so is its going on, a moment before the execution is started."""
    keys = deployed.begin()
    if further:
        deployed.stack.work.put(keys.resumption(1), Resumption(number=1, cancelled=True, forgiven=[]).write())
    now = standing(deployed.stack, RUN)
    assert (now.status, now.error) == ("running", None)


def test_a_run_without_an_execution_has_failed(deployed: Deployed, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that start wrote and could not begin is not running for ever."""
    monkeypatch.setattr("sluice.deployment.standing.BEGINNING", dt.timedelta(0))
    deployed.begin()
    now = standing(deployed.stack, RUN)
    assert now.status == "failed"
    assert now.error is not None
    assert "cannot be found" in now.error


def test_a_failed_run_tells_why(deployed: Deployed) -> None:
    """The cause is what the function said, without the JSON around it."""
    deployed.begin()
    deployed.fail(json.dumps({"errorType": "Stop", "errorMessage": "no access to the model", "stackTrace": []}))
    now = standing(deployed.stack, RUN)
    assert (now.status, now.error, now.document) == ("failed", "Stop: no access to the model", None)


def test_a_resumed_run_is_not_what_it_was_before(deployed: Deployed) -> None:
    """run.json of an earlier execution does not end a run that goes on."""
    keys = deployed.begin()
    deployed.end(status="over_limit")
    note = Resumption(number=1, cancelled=False, forgiven=[])
    deployed.stack.work.put(keys.resumption(1), note.write())
    deployed.execute(f"{RUN}-1")
    assert standing(deployed.stack, RUN).status == "running"
    deployed.end(execution=1)
    assert standing(deployed.stack, RUN).status == "succeeded"
