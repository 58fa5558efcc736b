from __future__ import annotations

import json
from typing import Any

import pytest

from sluice.aws.metrics import KINDS, OF_ALL, OF_TASK, OF_TIER, Measure
from sluice.runs.keys import Keys
from sluice.steps import plan, publish, resume
from sluice.task.file import parse_task
from sluice.task.task import Task
from tests.harness.drive import Cloud, jsonl
from tests.harness.stage import BATCH, STRONGER, SURE, stage

ROWS = jsonl([{"t": f"text {n}"} for n in range(20)]) + b"{}\n"
UNSURE = SURE.replace("certain", "unsure")
WITHOUT_A_RUN = {"environment", "task", "tier"}


def make(**changes: Any) -> Task:
    tiers = [{"model": "nova-micro"}, {"model": "claude-haiku-4-5"}]
    return parse_task({"name": "t", "input": {"text": "t"}, "labels": ["a", "b"], "tiers": tiers, **changes}, "t")


def weak(model: str, text: str) -> str:
    """The first tier is unsure of every text that ends in a 7, the second of none but one."""
    if "nova" in model:
        return UNSURE if text.endswith("7") else SURE
    return UNSURE if text == "text 7" else SURE


def cloud() -> Cloud:
    return Cloud(weak, {"min_records_per_job": 1, "max_records_per_job": 8})


def test_every_measure_has_the_three_dimensions_or_fewer() -> None:
    """Never a run or a job, each of which would be billed as a metric of its own."""
    assert set(KINDS) == set(Measure)
    for measure in Measure:
        assert measure.kind.dimensions in (OF_ALL, OF_TASK, OF_TIER)
        assert {name for names in measure.kind.dimension_sets for name in names} <= WITHOUT_A_RUN


def test_a_run_is_measured() -> None:
    """The sums of the metrics are the figures of run.json."""
    deployed = cloud()
    summary = deployed.run(make(), {"a.jsonl": ROWS})
    readings = deployed.readings
    assert [readings.values(m) for m in publish.ROWS.values()] == [[21], [19], [1], [1]]
    assert readings.values(Measure.UNRESOLVED_SHARE) == [pytest.approx(1 / 21)]
    assert readings.values(Measure.ESCALATION_SHARE) == [pytest.approx(2 / 20)]
    assert readings.total(Measure.RECORDS_SENT) == summary["records"]["sent"] == 22
    assert readings.total(Measure.RECORDS_ESCALATED) == 2
    assert readings.total(Measure.COST_USD) == pytest.approx(summary["cost_usd"])
    assert {reading.task for reading in readings.taken} == {"t"}


def test_steps_that_run_again_measure_nothing() -> None:
    """A fact is counted once, however often its step is retried."""
    deployed = cloud()
    run = deployed.run(make(), {"a.jsonl": ROWS})["run_id"]
    taken = list(deployed.readings.taken)
    deployed.drive(run)
    publish.run(deployed.services, run)
    assert deployed.readings.taken == taken


def test_a_run_that_is_published_again_counts_what_has_changed() -> None:
    """Rows of a cancelled run were counted; when it is resumed to its end, the sums are those of its last books."""
    deployed = cloud()
    run = deployed.begin(make(), {"a.jsonl": ROWS})
    deployed.work.put(Keys(run).cancel, b"{}")
    deployed.drive(run)
    publish.run(deployed.services, run)
    before = {name: deployed.readings.total(measure) for name, measure in publish.ROWS.items()}
    resume.run(deployed.services, run)
    deployed.drive(run)
    summary = publish.run(deployed.services, run)
    after = {name: deployed.readings.total(measure) for name, measure in publish.ROWS.items()}
    assert before == {"in": 21, "accepted": 0, "unresolved": 20, "rejected": 1}
    assert after == summary["rows"]


def test_a_run_without_rows_has_no_shares() -> None:
    """Nothing divided by nothing is no measure."""
    deployed = cloud()
    deployed.run(make(), {"a.jsonl": b""})
    assert deployed.readings.values(Measure.ROWS_IN) == [0]
    assert deployed.readings.values(Measure.UNRESOLVED_SHARE) == []
    assert deployed.readings.values(Measure.ESCALATION_SHARE) == []


def test_a_budget_that_ends_a_run_is_told_once() -> None:
    """The plan that is asked again finds the end and says nothing more."""
    staged = stage(BATCH, STRONGER, answer=lambda _model, _text: UNSURE, budget={"max_usd": 0.0001})
    readings = staged.machine.readings
    staged.round(0)
    for _ in range(2):
        assert not plan.run(staged.services, staged.run, 1).more
    assert [tuple(reading) for reading in readings.taken if reading.measure is Measure.BUDGET_REACHED] == [
        (Measure.BUDGET_REACHED, 1, "faults", None)
    ]


@pytest.mark.parametrize("measure", list(Measure))
def test_a_metric_is_written_as_cloudwatch_reads_it(
    measure: Measure, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the embedded metric format: one value, its unit, its dimensions and no other."""
    from lambdas import runtime

    monkeypatch.setenv("SLUICE_ENVIRONMENT", "dev")
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "sluice")
    own = measure.kind.dimensions
    runtime.measure(measure, 2.5, task="tickets" if "task" in own else None, tier=1 if "tier" in own else None)
    line = json.loads(capsys.readouterr().out)
    [directive] = line["_aws"]["CloudWatchMetrics"]
    assert directive["Namespace"] == "Sluice"
    assert directive["Metrics"] == [{"Name": measure.value, "Unit": measure.kind.unit.value}]
    assert directive["Dimensions"] == [list(names) for names in measure.kind.dimension_sets]
    values = {"environment": "dev", "task": "tickets", "tier": "1"}
    assert {name: line[name] for name in own} == {name: values[name] for name in own}
    assert set(line) == {"_aws", measure.value, *own}
    assert line[measure.value] == [2.5]
