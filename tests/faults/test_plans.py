from __future__ import annotations

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sluice.errors import Unbalanced
from sluice.reasons import TRANSPORT
from sluice.runs.books import Counts, PartBooks
from sluice.runs.document import read
from sluice.runs.keys import Keys
from sluice.steps import publish
from tests.faults.chaos import decisions, run_plan, run_seed
from tests.faults.scenarios import draw_plan, draw_scenario, reply, small_scenario
from tests.harness.drive import Cloud
from tests.harness.faults import FaultPlan
from tests.harness.faulty_bedrock import ENDINGS

SHARES = st.sampled_from([0.0, 0.1, 0.4, 1.0])
PLANS = st.builds(
    FaultPlan,
    seed=st.integers(0, 10_000),
    jobs=SHARES,
    records=SHARES,
    calls=st.sampled_from([0.0, 0.1, 0.4]),
    kills=st.sampled_from([0.0, 0.1, 0.3]),
    twice=SHARES,
    late=SHARES,
    time_outs=st.sampled_from([0.0, 0.4]),
    quota=st.sampled_from([None, 1, 2]),
    cancel=st.none() | st.integers(1, 30),
    cancel_in_create=st.none() | st.integers(1, 3),
)
# Endings that leave an output with lines in it: what is there is used, whatever the job is called.
ANSWERED = {
    "partially completed",
    "partially completed, no manifest",
    "failed, with partial output",
    "expired, with partial output",
    "stopped",
    "completed, no manifest",
    "completed, wrong manifest",
    "completed, all refused",
}
QUICK = settings(max_examples=40, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


@QUICK
@given(plan=PLANS, seed=st.integers(0, 10_000))
def test_no_plan_loses_doubles_mislabels_or_buys_twice(plan: FaultPlan, seed: int) -> None:
    """Whatever goes wrong, every invariant holds once the run has ended."""
    _, _, verdict = run_plan(plan, draw_scenario(seed))
    assert verdict.clean, verdict


def test_what_the_router_was_refused_nobody_else_is_asked() -> None:
    """The seed of a plan in which a tier refuses some of its questions: the next tier is asked about the texts."""
    assert run_seed(945).verdict.clean


@pytest.mark.parametrize("seed", [0, 10, 20])
def test_a_seed_of_the_chaos_is_clean_twice(seed: int) -> None:
    """What `make chaos` runs at length; tests/flow/test_roles.py runs the first 40, each call held to its role."""
    assert run_seed(seed).verdict.clean


@pytest.mark.parametrize("ending", [ending[0] for ending in ENDINGS])
def test_each_way_a_job_can_end_leaves_no_row_behind(ending: str) -> None:
    """Both jobs of the first round end this way, and what they leave goes on."""
    scenario = small_scenario()
    plan = FaultPlan(seed=5, endings=(("0/0", ending), ("0/1", ending)))
    machine, summary, verdict = run_plan(plan, scenario)
    assert verdict.clean, verdict
    assert summary["status"] == "succeeded"
    first = [job for job in summary["jobs"] if job["round"] == 0]
    assert {job["status"] for job in first} == {status for name, status, *_ in ENDINGS if name == ending}
    used = [row for row in machine.rows() if row["trail"] and row["trail"][0]["reason"] not in TRANSPORT]
    assert bool(used) == (ending in ANSWERED)


@pytest.mark.parametrize("seed", [4, 7, 22])
def test_the_same_plan_gives_the_same_result(seed: int) -> None:
    """Rows, trails, costs and run.json, byte for byte."""
    first, second = (run_plan(draw_plan(seed), draw_scenario(seed)) for _ in range(2))
    assert decisions(first[0]) == decisions(second[0])
    assert first[1] == second[1]
    assert first[0].dice.struck == second[0].dice.struck


@pytest.mark.parametrize("lost", ["a merged row", "a record of a job", "a part's tokens"])
def test_a_run_that_does_not_balance_publishes_nothing(lost: str) -> None:
    """Whichever book is short by one, publish stops before anything stands under the results."""
    scenario = draw_scenario(1)
    cloud = Cloud(reply, scenario.settings)
    run = cloud.begin(scenario.task, scenario.files)
    cloud.drive(run)
    if lost == "a record of a job":
        key = Keys(run).job(0, 0).counts
        counts = read(Counts, cloud.work.get(key), key)
        cloud.work.put(key, msgspec.structs.replace(counts, answered=counts.answered - 1).write())
    else:
        key = Keys(run).merged_books(0)
        books = read(PartBooks, cloud.work.get(key), key)
        fewer = {"rows": books.rows - 1} if lost == "a merged row" else {"input_tokens": books.input_tokens - 1}
        cloud.work.put(key, msgspec.structs.replace(books, **fewer).write())
    with pytest.raises(Unbalanced):
        publish.run(cloud.services, run)
    assert list(cloud.results.keys("")) == []
