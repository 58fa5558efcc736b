"""What a run was frozen with, its executions, and where its things lie."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from sluice.deployment.standing import standing
from sluice.figures import dollars
from sluice.runs import state
from sluice.runs.document import read
from sluice.runs.keys import Keys

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sluice.aws.stack import Stack


def info(stack: Stack, run: str) -> dict[str, Any]:
    """Gather what is known of a run: what start froze, its executions, its costs, its places."""
    now = standing(stack, run)
    keys = Keys(run)
    frozen = read(state.Start, stack.work.get(keys.start), keys.start)
    source = Keys(frozen.judges or run)
    inputs = read(state.Inputs, stack.work.get(source.inputs), source.inputs).inputs
    plan = stack.work.find(source.plan)
    kept = msgspec.json.decode(frozen.write())
    return {
        "run_id": run,
        "status": now.status,
        "error": now.error,
        "approval": msgspec.to_builtins(now.approval),
        **{name: kept[name] for name in FROZEN},
        "inputs": msgspec.to_builtins(inputs),
        "rows": now.rows,
        "cost_usd": now.cost_usd,
        **{name: msgspec.json.decode(plan).get(name) if plan else None for name in ("ceiling_usd", "expected_usd")},
        "executions": [_execution(stack, run, note) for note in (None, *_resumptions(stack, run))],
        "places": {"work": stack.work.uri(f"{keys.root}/"), **_results(stack, now.document, frozen)},
    }


FROZEN = ("created", "date", "answers", "judges", "task_version", "tiers", "prices", "settings", "task")


def _resumptions(stack: Stack, run: str) -> Iterator[state.Resumption]:
    for key, _ in stack.work.keys(Keys(run).resumptions):
        yield read(state.Resumption, stack.work.get(key), key)


def _execution(stack: Stack, run: str, note: state.Resumption | None) -> dict[str, Any]:
    """Describe an execution; Step Functions forgets those that ended more than 90 days ago."""
    name = f"{run}-{note.number}" if note else run
    found = stack.execution(name)
    return {
        "name": name,
        "status": found.status.lower() if found else None,
        "began": found.began.isoformat() if found else None,
        "ended": found.ended.isoformat() if found and found.ended else None,
        "why": _why(note),
        "cause": (found.cause or None) if found else None,
    }


def _why(note: state.Resumption | None) -> str:
    if note is None:
        return "started"
    if note.cancelled:
        return "closes the cancelled run"
    budget = f", for at most {dollars(note.max_usd)}" if note.max_usd is not None else ""
    return ("approved" if note.approved else "resumed") + budget


def _results(stack: Stack, document: dict[str, Any] | None, frozen: state.Start) -> dict[str, str]:
    """Tell where the results lie, of a run that has published any."""
    if document is None or document.get("status") == "failed":
        return {}
    folder = f"results/{frozen.task['name']}/run_date={frozen.date}/{frozen.run}-part-"
    return {"results": stack.results.uri(folder), "report": stack.results.uri(f"reports/{frozen.run}/report.html")}
