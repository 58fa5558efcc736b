from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from sluice.aws.events import Event
from sluice.errors import Stop
from sluice.runs.approval import Approval
from sluice.runs.document import read
from sluice.runs.keys import Keys
from sluice.runs.settings import Settings
from sluice.steps import plan, resume, sweep
from sluice.steps.services import Run
from tests.harness.faults import Killed
from tests.harness.stage import BATCH, STRONGER, Stage, finish, stage
from tests.unit.steps.test_plan import reasons

NEVER = {"approve_above_usd": 0}  # whatever it costs, somebody has to agree


def waiting(**changes: Any) -> Stage:
    """Ten records whose first plan found them too dear to be sent unasked."""
    return stage(settings={**NEVER, **changes})


def answered(staged: Stage, answers: str = "bedrock") -> Stage:
    """The same before its first round was planned, with answers that cost something."""
    start = msgspec.structs.replace(Run(staged.machine.work, staged.run).start, answers=answers)
    staged.machine.work.put(Keys(staged.run).start, start.write())
    staged.machine.work.delete([Keys(staged.run).jobs(0), Keys(staged.run).round_plan(0)])
    return staged


def noted(staged: Stage, execution: int = 0) -> Approval:
    key = Keys(staged.run, execution).approval
    return read(Approval, staged.machine.work.get(key), key)


def test_a_run_above_the_limit_waits_before_anything_is_sent() -> None:
    """The workflow is told to end; no job is planned; what it can cost is kept and said."""
    staged = waiting()
    result = plan.run(staged.services, staged.run, 0)
    assert (result.waits, result.more) == (True, False)
    assert not staged.written(Keys(staged.run).jobs(0))
    assert not staged.written(Keys(staged.run).end)
    approval = noted(staged)
    assert approval.approve_above_usd == 0
    assert approval.expected_usd is not None
    assert approval.ceiling_usd is not None
    assert 0 < approval.expected_usd < approval.ceiling_usd
    assert set(staged.machine.published) == {Event.APPROVAL_NEEDED}


def test_the_event_says_what_the_run_can_cost() -> None:
    """Whoever decides needs no access to the bucket."""
    staged = waiting()
    said: list[tuple[str, dict[str, object]]] = []
    staged.use(publish_event=lambda kind, detail: said.append((kind, dict(detail))))
    plan.run(staged.services, staged.run, 0)
    approval = noted(staged)
    names = ("ceiling_usd", "expected_usd", "approve_above_usd", "all_tiers_usd", "approve_above_expected_usd")
    costs = {name: getattr(approval, name) for name in names}
    assert said == [(Event.APPROVAL_NEEDED, {"run_id": staged.run, "task": "faults", **costs})]


@pytest.mark.parametrize("limit", [None, 1000.0])
def test_a_run_below_the_limit_goes_on_unasked(limit: float | None) -> None:
    """So does every run where there is no limit."""
    staged = stage(settings={"approve_above_usd": limit})
    assert finish(staged)["status"] == "succeeded"
    assert Event.APPROVAL_NEEDED not in staged.machine.published


def test_the_ceiling_counts_and_not_what_is_expected() -> None:
    """A limit between the two: the run may cost more than it, however unlikely that is."""
    approval = noted(waiting())
    assert approval.ceiling_usd is not None
    assert approval.expected_usd is not None
    between = (approval.ceiling_usd + approval.expected_usd) / 2
    staged = stage(settings={"approve_above_usd": between})
    assert plan.run(staged.services, staged.run, 0).waits
    staged = stage(settings={"approve_above_usd": approval.ceiling_usd})
    assert plan.run(staged.services, staged.run, 0).more


def test_a_run_waits_by_itself_where_every_tier_would_be_dear() -> None:
    """What is expected if no tier but the last settles anything is held against a limit that stands by default."""
    assert Settings().approve_above_expected_usd == 100
    staged = answered(stage(BATCH, STRONGER, settings={"approve_above_expected_usd": 0.0001}))
    assert plan.run(staged.services, staged.run, 0).waits
    approval = noted(staged)
    assert (approval.passed, approval.limit_usd, approval.approve_above_usd) == (
        "approve_above_expected_usd",
        0.0001,
        None,
    )
    assert approval.all_tiers_usd is not None
    assert approval.expected_usd is not None
    assert approval.ceiling_usd is not None
    assert approval.expected_usd < approval.all_tiers_usd < approval.ceiling_usd
    above = {"approve_above_expected_usd": approval.all_tiers_usd}
    staged = answered(stage(BATCH, STRONGER, settings=above))
    assert plan.run(staged.services, staged.run, 0).more


@pytest.mark.parametrize(("limit", "waits"), [(100.0, True), (None, False)])
def test_an_unknown_price_is_above_the_default(limit: float | None, waits: bool) -> None:
    """It can be any; null lets such runs go on unasked."""
    unheard = {**BATCH, "model": "amazon.unheard-of-v1:0"}
    staged = answered(stage(unheard, settings={"approve_above_expected_usd": limit}))
    assert plan.run(staged.services, staged.run, 0).waits is waits


def test_answers_that_cost_nothing_ask_nobody_by_default() -> None:
    """A stand-in answers a large file without a question."""
    for answers, waits in (("bedrock", True), ("standin", False)):
        staged = answered(stage(settings={"approve_above_expected_usd": 0}), answers)
        assert plan.run(staged.services, staged.run, 0).waits is waits


def test_what_has_no_price_has_to_be_approved() -> None:
    """An unknown cost is not a small one."""
    staged = stage({**BATCH, "model": "amazon.unheard-of-v1:0"}, settings={"approve_above_usd": 1000.0})
    assert plan.run(staged.services, staged.run, 0).waits
    assert noted(staged).ceiling_usd is None


def test_an_approved_run_goes_on_as_if_nobody_had_asked() -> None:
    """The next execution plans the first round, and every row is answered."""
    staged = waiting()
    assert resume.approve(staged.services, staged.run) == f"{staged.run}-1"
    assert staged.machine.workflow.started[-1] == f"{staged.run}-1"
    end = finish(staged)
    assert (end["status"], end["rows"]["accepted"]) == ("succeeded", 10)


def test_an_approval_holds_for_all_executions_that_follow() -> None:
    """A run that is resumed after it has failed is not asked for again."""
    staged = waiting()
    resume.approve(staged.services, staged.run)
    resume.run(staged.services, staged.run)
    assert plan.run(staged.services, staged.run, 0).more


def test_resuming_is_no_approving() -> None:
    """The refusal names the command that is meant."""
    staged = waiting()
    with pytest.raises(Stop, match=f"waits for an approval: `sluice approve {staged.run}`"):
        resume.run(staged.services, staged.run)


def test_only_a_waiting_run_is_approved() -> None:
    """Not one that nobody knows, and not one that has gone on by itself."""
    staged = stage()
    with pytest.raises(Stop, match="there is no run nobody"):
        resume.approve(staged.services, "nobody")
    with pytest.raises(Stop, match="does not wait for an approval"):
        resume.approve(staged.services, staged.run)


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_approval_that_dies_can_be_repeated(when: str) -> None:
    """Once more starts the one execution that was noted, whether it had been noted yet or not."""
    staged = waiting()
    staged.machine.faulty_s3.begin((1, when))
    with pytest.raises(Killed):
        resume.approve(staged.services, staged.run)
    staged.machine.faulty_s3.begin(None)
    assert resume.approve(staged.services, staged.run) == f"{staged.run}-1"
    assert staged.machine.workflow.started == [staged.run, f"{staged.run}-1"]


def test_a_waiting_run_can_be_cancelled() -> None:
    """It is closed with every row accounted for, nothing bought, and asked for again when it is resumed."""
    staged = waiting()
    closing = sweep.run(staged.services, {"run": staged.run, "reason": "cancelled"})["execution"]
    assert closing == f"{staged.run}-1"
    end = finish(staged)
    assert (end["status"], end["rows"]["unresolved"], end["cost_usd"]) == ("cancelled", 10, 0)
    assert reasons(staged) == {"cancelled"}
    resume.run(staged.services, staged.run)
    assert plan.run(staged.services, staged.run, 0).waits
    assert Run(staged.machine.work, staged.run).waiting


def test_a_run_that_is_being_cancelled_is_not_approved() -> None:
    """The one who stops it has the last word."""
    staged = waiting()
    staged.machine.work.put(Keys(staged.run).cancel, json.dumps({"at": "now"}).encode())
    with pytest.raises(Stop, match="does not wait"):
        resume.approve(staged.services, staged.run)
