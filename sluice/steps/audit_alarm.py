"""The alarm of a task's audits: each run enters once, in the order of publishing, and moves the detector on.

The runs lie under `audits/<task>/runs/`, numbered; each is written on the condition that none has its number yet,
behind the one that it goes on from. What counts once is a draw, not a run: a run that is begun again over the same
files draws the same rows, and says nothing new. So `audits/<task>/draws/` tells of each draw which run entered with it.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import msgspec

from sluice.aws.events import Event
from sluice.aws.metrics import Measure
from sluice.decoding import convert
from sluice.quality.alarm import LIMIT, Look, moved
from sluice.reasons import Reason
from sluice.results.audited import AuditAlarm, RunAudit
from sluice.runs.document import read
from sluice.runs.drawn import AuditedRun
from sluice.runs.keys import AuditKeys

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sluice.aws.s3 import Store
    from sluice.steps.services import Run, Services

CLOCKS = dt.timedelta(hours=1)  # by how much those of two functions may differ, and far more


def enter(services: Services, opened: Run, summary: dict[str, Any]) -> None:
    """Enter a run that is published, once, and say in its summary how the alarm stands.

    One that judges stored answers again does not enter, since their draws have counted; neither does one that was
    cancelled, which enters when it is published whole, nor one of which nothing compares.
    """
    audit = opened.task.audit
    if audit is None or audit.at_most is None or summary["audit"] is None or opened.start.judges is not None:
        return
    told = convert(summary["audit"], RunAudit)
    if not told.compared or summary["status"] == Reason.CANCELLED:
        return
    look = Look(opened.id, told.compared - told.agreeing, told.compared)
    entered, is_new = _entered(services, opened, told.seed, look, str(audit.at_most))
    if is_new and entered.alarm:
        services.measure(Measure.AUDIT_ALARM, 1, task=opened.task.name)
    alarm = AuditAlarm(
        at_most=entered.at_most,
        alarm=entered.alarm,
        value=entered.value,
        limit=LIMIT,
        runs=entered.number - entered.begun + 1,
        counted=entered.run,
        last_alarm=entered.last_alarm,
    )
    summary["audit"] = msgspec.to_builtins(msgspec.structs.replace(told, alarm=alarm))
    if not alarm.alarm:
        return
    summary["warnings"].append(alarm.sentence(told.oracle))
    if (entered.run, entered.execution) == (opened.id, opened.keys.execution):
        report = services.results.uri(f"reports/{opened.id}/report.html")
        detail = {"differing": look.differ, "compared": look.rows, "at_most": entered.at_most, "report": report}
        if problem := services.announce(Event.AUDIT_ALARM, {"run_id": opened.id, "task": opened.task.name, **detail}):
            summary["warnings"].append(problem)


def _entered(services: Services, opened: Run, seed: str, look: Look, at_most: str) -> tuple[AuditedRun, bool]:
    """How the alarm stands behind these draws, and whether they have just entered."""
    store, keys = services.work, AuditKeys(opened.task.name)
    mark = keys.draw(seed)
    if (data := store.find(mark)) is not None:
        return read(AuditedRun, data, mark), False
    since = dt.datetime.fromisoformat(opened.start.created) - CLOCKS
    while True:
        last = None
        for run in _latest(store, keys):
            last = last or run
            if run.seed == seed:  # this step was broken off before it could mark them
                store.put(mark, run.write())
                return run, False
            if dt.datetime.fromisoformat(run.at) < since:
                break
        new = _behind(last, opened, seed, look, at_most, services.now())
        if store.put_new(keys.run(new.number), new.write()):
            store.put(mark, new.write())
            return new, True


def _latest(store: Store, keys: AuditKeys) -> Iterator[AuditedRun]:
    """The runs that have entered, the latest first."""
    for key in reversed([key for key, _ in store.keys(keys.runs)]):
        yield read(AuditedRun, store.get(key), key)


def _behind(last: AuditedRun | None, opened: Run, seed: str, look: Look, at_most: str, now: dt.datetime) -> AuditedRun:
    """The run behind the last one; the detector begins anew behind an alarm, and where another share is allowed."""
    goes_on = last is not None and not last.alarm and last.at_most == at_most
    standing = moved(last.value if last is not None and goes_on else 0.0, look, float(at_most))
    number = 1 if last is None else last.number + 1
    return AuditedRun(
        number=number,
        run=look.run,
        execution=opened.keys.execution,
        seed=seed,
        at=now.isoformat(),
        at_most=at_most,
        differ=look.differ,
        rows=look.rows,
        value=standing.value,
        begun=last.begun if last is not None and goes_on else number,
        alarm=standing.alarm,
        last_alarm=look.run if standing.alarm else last.last_alarm if last is not None else None,
    )
