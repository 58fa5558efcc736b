"""publish: prove that the books balance, copy the parts to the results, write the summary, say that the run is done."""

from __future__ import annotations

import datetime as dt
from array import array
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

import msgspec

from sluice.answers.refusals import to_change
from sluice.aws.events import Event
from sluice.aws.metrics import Measure
from sluice.aws.s3 import ahead
from sluice.decoding import decode
from sluice.figures import place, short_model
from sluice.reasons import LIKELY, Reason, about
from sluice.report import report
from sluice.results.certified import told
from sluice.results.findings import add_up, tell
from sluice.results.gold import agreement
from sluice.results.run_table import run_parquet
from sluice.results.scored import scored
from sluice.results.taught import taught_by
from sluice.runs import accounting
from sluice.runs.books import Counts, Findings, PartBooks
from sluice.runs.document import read
from sluice.runs.keys import Keys
from sluice.runs.state import End, Part
from sluice.runs.taught import UNTAUGHT
from sluice.steps.audit_alarm import enter
from sluice.steps.auditing import audit, drawn_ones, refused_draws, settled
from sluice.steps.drift import drift
from sluice.steps.label_shares import label_shares
from sluice.steps.lessons import keep as keep_lessons
from sluice.steps.merge import ids_modulus
from sluice.steps.plan import round_counts
from sluice.steps.reuse import merge_kept
from sluice.steps.services import Run

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sluice.steps.services import Services

SCHEMA_VERSION = 1
AT_ONCE = 16  # parts looked at or copied together
NOTHING = Findings()
OUTCOMES = ("accepted", "unresolved", "rejected")
NAMED = 20  # files that the warnings name
FEW = 20  # records that a tier has to have answered before it is said to settle none
NOTHING_ACCEPTED = "nothing_accepted"
ROWS = {
    "in": Measure.ROWS_IN,
    "accepted": Measure.ROWS_ACCEPTED,
    "unresolved": Measure.ROWS_UNRESOLVED,
    "rejected": Measure.ROWS_REJECTED,
}


def run(services: Services, run_id: str) -> dict[str, Any]:
    """Publish a merged run and return its summary; a run that is published already is left alone.

    Raises:
        Unbalanced: a row or a record is missing from the books. Nothing stands under the results.

    """
    opened = Run(services.work, run_id)
    done = services.work.find(opened.keys.published)
    if done is not None:
        return msgspec.json.decode(done)  # type: ignore[no-any-return]
    parts: list[PartBooks] = []
    findings = add_up(_found(opened, parts), opened.plan.rows)
    jobs = _all_counts(opened)
    accounting.check_run(opened.plan, parts, jobs, sends=opened.start.judges is None)
    _copy(services, opened, [books.part for books in parts])
    summary, taught = summarize(services, opened, parts, jobs, findings), opened.taught
    enter(services, opened, summary)
    services.results.put(f"reports/{run_id}/report.html", report.render(summary).encode())
    services.results.put(f"reports/{run_id}/run.json", msgspec.json.encode(summary))
    if opened.certificate is not None:
        services.results.put(f"reports/{run_id}/certificate.json", opened.certificate.write())
    if opened.draws_rows and services.work.exists(opened.source.draws):
        draws = msgspec.structs.replace(opened.draws, taught=[] if taught is None else taught.keys)
        services.results.put(f"reports/{run_id}/draws.json", draws.write())
    # Behind the last part: the views show a run's rows only where its row stands here.
    services.results.put(f"runs/run_date={opened.start.date}/{run_id}.parquet", run_parquet(summary))
    services.work.put(opened.keys.summary, msgspec.json.encode(summary))
    # Before the mark behind which a further call does nothing: told twice is better than not at all.
    if problem := services.announce(Event.FINISHED, _finished(services, opened, summary)):
        summary["warnings"].append(problem)
        services.results.put(f"reports/{run_id}/run.json", msgspec.json.encode(summary))
        services.work.put(opened.keys.summary, msgspec.json.encode(summary))
    merge_kept(services, opened)
    keep_lessons(services, opened, taught)
    services.work.put(opened.keys.published, msgspec.json.encode(summary))
    _measure(services, opened, summary)
    return summary


def _finished(services: Services, opened: Run, summary: dict[str, Any]) -> dict[str, object]:
    """The detail of the completion event: what came of the run, why nothing was accepted, and where it lies."""
    return {
        **{name: summary[name] for name in ("run_id", "task", "status", "cause", "rows", "cost_usd")},
        "results": services.results.uri(f"{_result_folder(opened)}{opened.id}-"),
        "report": services.results.uri(f"reports/{opened.id}/report.html"),
    }


def _measure(services: Services, opened: Run, summary: dict[str, Any]) -> None:
    """Count the run's rows once: of those that an earlier execution published, only what has changed since."""
    task, rows, before = summary["task"], summary["rows"], _published_before(services, opened)
    for name, measure in ROWS.items():
        services.measure(measure, rows[name] - before.get(name, 0), task=task)
    if summary["status"] == NOTHING_ACCEPTED:
        services.measure(Measure.NOTHING_ACCEPTED, 1, task=task)
    if rows["in"]:
        services.measure(Measure.UNRESOLVED_SHARE, rows["unresolved"] / rows["in"], task=task)
    for tier in summary["tiers"][:-1] if opened.start.judges is None else []:
        if asked := tier["sent"] + tier["reused"]:
            share = tier["escalated"] / asked
            services.measure(Measure.ESCALATION_SHARE, share, task=task, tier=tier["tier"])


def _published_before(services: Services, opened: Run) -> dict[str, int]:
    """The rows' books of the latest earlier execution that published, empty when none has."""
    for number in reversed(range(opened.keys.execution)):
        data = services.work.find(Keys(opened.id, number).published)
        if data is not None:
            return msgspec.json.decode(data)["rows"]  # type: ignore[no-any-return]
    return {}


def _copy(services: Services, opened: Run, parts: Sequence[int]) -> None:
    """Copy the merged parts to the results, inside S3 and several at once: a large run has tens of thousands."""

    def copy(part: int) -> None:
        services.results.copy_from(services.work, opened.keys.merged(part), _result_key(opened, part))

    for _ in ahead(copy, parts, AT_ONCE):
        pass


def _result_key(opened: Run, part: int) -> str:
    return f"{_result_folder(opened)}{opened.id}-part-{part:05d}.parquet"


def _result_folder(opened: Run) -> str:
    return f"results/{opened.task.name}/run_date={opened.start.date}/"


def _found(opened: Run, books: list[PartBooks]) -> Iterator[Findings]:
    """Read the parts' books into a list, and hand on what they found: too much to be held of all parts at once."""
    parts = decode(opened.store.get(opened.keys.parts), list[Part])
    keys = [opened.keys.merged_books(part.part) for part in parts]
    for key, data in zip(keys, ahead(opened.store.get, keys, AT_ONCE), strict=True):
        part = read(PartBooks, data, key)
        books.append(msgspec.structs.replace(part, findings=NOTHING))
        yield part.findings


def _all_counts(opened: Run) -> list[Counts]:
    """The books of all jobs; of a cancelled run, of those that have any."""
    end = _end(opened)
    forgiving = end.reason == Reason.CANCELLED
    return [books for number in range(end.rounds) for books in round_counts(opened, number, forgiving=forgiving)]


def summarize(
    services: Services,
    opened: Run,
    parts: Sequence[PartBooks],
    jobs: Sequence[Counts],
    findings: Findings,
    *,
    error: str | None = None,
) -> dict[str, Any]:
    """`run.json`: what went in, what came out, what each tier took and cost."""
    start, plan = opened.start, opened.read_so_far
    rows = {
        "in": plan.rows,
        **{name: sum(getattr(part, name) for part in parts) for name in OUTCOMES},
    }
    waited = drawn_ones(opened, jobs)
    drawn = opened.certificate, None if waited is None else settled(opened, waited, jobs), refused_draws(opened)
    inputs, tiers = _input_books(opened, parts), accounting.tier_books(start.tiers, jobs, *drawn)
    end = _end(opened)
    status = _status(opened, rows, end, error)
    reasons = accounting.merged(part.reasons for part in parts)
    drifted = drift(opened, opened.taught)
    shares = label_shares(opened, waited, parts) if end.reason is None and error is None else None
    return {
        **_head(opened, status, error, services.now()),
        "inputs": inputs,
        "passed_over": msgspec.to_builtins(opened.inputs.passed_over),
        "rows": rows,
        "settled": {"rows": sum(part.settled for part in parts)},
        "records": {
            "distinct": accounting.distinct(jobs),
            "sent": sum(books.sent for books in jobs),
            "shared_rows": sum(part.shared for part in parts),
        },
        "routes": accounting.routes(opened.task, plan),
        "rounds": _rounds(jobs),
        "tiers": tiers,
        "jobs": [_job(books) for books in jobs],
        "reasons": reasons,
        "labels": accounting.merged(part.labels for part in parts),
        "cost_usd": accounting.total(books.cost_usd for books in jobs),
        "fillers": accounting.fillers(jobs),
        "repeats": accounting.repeats(jobs),
        "judge": accounting.judge(start.judge, jobs, in_score=opened.scores_judged, beside=opened.judged_rows),
        "reused": accounting.reused(jobs),
        "baseline_usd": accounting.baseline_usd(start.tiers, jobs),
        "prices": start.prices,
        "ids": {"missing": sum(part.ids_missing for part in parts), "duplicate": _duplicate_ids(opened, parts)},
        "warnings": [
            *start.warnings,
            *_warnings(opened, parts, jobs, end, rows),
            *([] if drifted is None else drifted.warnings),
            *_of_files(inputs),
            *_of_tiers(tiers),
        ],
        "gold": agreement((part.gold for part in parts), len(start.tiers)),
        "escalations": accounting.escalations(jobs, *drawn),
        "certificate": told(opened.certificate),
        "score": scored(opened.score_gate),
        "taught_by": taught_by(opened.taught) if opened.task.gives_scores else None,
        "drift": None if drifted is None else msgspec.to_builtins(drifted),
        "label_shares": None if shares is None else msgspec.to_builtins(shares),
        "audit": None if waited is None else msgspec.to_builtins(audit(opened, waited)),
        "findings": tell(findings),
        "definition": start.task,
        "quotas": {name: {"value": quota.value, "source": quota.source} for name, quota in start.quotas.items()},
        "cause": _cause(reasons, jobs) if status == NOTHING_ACCEPTED else None,
    }


def _head(opened: Run, status: str, error: str | None, finished: dt.datetime) -> dict[str, Any]:
    """Which run it was, how it ended and how long it took."""
    start = opened.start
    return {
        "schema_version": SCHEMA_VERSION,
        "run_id": opened.id,
        "task": opened.task.name,
        "task_version": start.task_version,
        "status": status,
        "error": error,
        "started": start.created,
        "finished": finished.isoformat(),
        "seconds": round((finished - dt.datetime.fromisoformat(start.created)).total_seconds(), 3),
        "answers": start.answers,
    }


def _input_books(opened: Run, parts: Sequence[PartBooks]) -> list[dict[str, Any]]:
    """Each frozen input with its rows, and what became of them where every part tells it."""
    of: defaultdict[str, list[int]] = defaultdict(lambda: [0] * len(OUTCOMES))
    for part in parts:
        for number, counts in part.inputs.items():
            of[number] = [before + count for before, count in zip(of[number], counts, strict=True)]
    plan = opened.read_so_far
    told = parts and sum(map(sum, of.values())) == sum(part.rows for part in parts)
    return [
        {
            "uri": item.uri,
            "version": item.version,
            "bytes": item.bytes,
            "rows": plan.input_rows.get(str(n), 0),
            **(dict(zip(OUTCOMES, of[str(n)], strict=True)) if told else {}),
            "refused": plan.refused.get(str(n)),
        }
        for n, item in enumerate(opened.inputs.inputs)
    ]


def _end(opened: Run) -> End:
    """Why no further round was sent; an empty end when the run has none yet."""
    data = opened.store.find(opened.keys.end)
    return End(rounds=0, reason=None) if data is None else read(End, data, opened.keys.end)


def _status(opened: Run, rows: dict[str, int], end: End, error: str | None) -> str:
    if error is not None:
        return "failed"
    if end.reason == Reason.CANCELLED:
        return "cancelled"
    if rows["in"] and rows["accepted"] <= (opened.read_so_far.settled if rows["unresolved"] else 0):
        return NOTHING_ACCEPTED
    limits, total = opened.task.limits, max(1, rows["in"])
    for name in ("unresolved", "rejected"):
        limit = getattr(limits, name)
        if limit is not None and rows[name] / total > limit:
            return "over_limit"
    refused, inputs = len(opened.read_so_far.refused), len(opened.inputs.inputs)
    if limits.refused_inputs is not None and refused / max(1, inputs) > limits.refused_inputs:
        return "over_limit"
    return "over_limit" if end.reason == Reason.BUDGET or end.left else "succeeded"


def _cause(reasons: dict[str, int], jobs: Sequence[Counts]) -> dict[str, Any]:
    """Why nothing was accepted: the commonest reason and what is likely behind it, with Bedrock's words if it spoke."""
    reason, count = next(iter(reasons.items()))
    likely = LIKELY.get(Reason(reason), "")
    if about(reason) == "transport" or reason == Reason.RECORD_REFUSED:
        said = Counter(books.message for books in jobs if books.message and reason in books.reasons)
        likely += "".join(f": {message}" for message, _ in said.most_common(1))
    return {"reason": reason, "rows": count, "likely": likely}


def _rounds(jobs: Sequence[Counts]) -> list[dict[str, Any]]:
    rounds: dict[tuple[int, int, str], list[int]] = {}
    for books in jobs:
        sums = rounds.setdefault((books.round, books.tier, books.purpose), [0, 0])
        sums[0] += 1
        sums[1] += books.sent
    return [
        {"round": number, "tier": tier, "purpose": purpose, "jobs": count, "sent": sent}
        for (number, tier, purpose), (count, sent) in rounds.items()
    ]


def _job(books: Counts) -> dict[str, Any]:
    names = ("round", "job", "tier", "judge", "status", "message", "records", "submitted", "ended")
    return {name: getattr(books, name) for name in names}


def _duplicate_ids(opened: Run, parts: Sequence[PartBooks]) -> int:
    """Rows whose id an earlier row has: counted from hashes, in a large run in a share of them."""
    hashes = array("Q")
    for part in parts:
        hashes.frombytes(opened.store.get(opened.keys.merged_ids(part.part)))
    return (len(hashes) - len(set(hashes))) * ids_modulus(opened.read_so_far.rows)


def _refused(opened: Run) -> list[str]:
    """Why inputs could not be read, the first of them."""
    reasons = list(opened.read_so_far.refused.values())
    return reasons[:NAMED] + [f"{len(reasons) - NAMED:,} more, which run.json names"] * (len(reasons) > NAMED)


def _warnings(
    opened: Run, parts: Sequence[PartBooks], jobs: Sequence[Counts], end: End, rows: dict[str, int]
) -> list[str]:
    invalid = accounting.merged(part.kept_invalid for part in parts)
    found = [f"column {name}: {count} kept value(s) did not parse and are null" for name, count in invalid.items()]
    found += [f"an input could not be read, and no row of it is in the results: {why}" for why in _refused(opened)]
    found += [
        f"tier {left.tier} ({opened.tier(left.tier).model}) refused {left.records:,} records, and again when it was "
        f"asked once more; no other tier was asked, and they are unresolved: {left.cause.rstrip('.')}."
        f"{to_change(left.cause, opened.tier(left.tier).model)} `sluice resume {opened.id}` asks it again; with "
        "--escalate-refused the next tier too, if it still refuses them"
        for left in end.left
    ]
    if opened.task.quality is not None and opened.certificate is None:
        found.append("there is no certificate, since the run ended before all that it takes was asked")
    found += _of_scores(opened)
    if end.reason == Reason.BUDGET:
        found.append(f"the budget ended the run: {rows['unresolved']} rows are unresolved")
    outside = sum((part.gold or {}).get("outside", 0) for part in parts)
    if outside:
        found.append(f"{outside} row(s) have a known answer that is no label of the task; they are compared with none")
    return found + [warning for books in jobs for warning in books.warnings]


def _of_scores(opened: Run) -> list[str]:
    """Say where first answers have no scores that anybody taught."""
    if opened.certificate is not None and opened.taught is None:
        kept = opened.store.find(opened.source.learned)
        if kept is not None and kept.startswith(UNTAUGHT):
            why, first = kept.removeprefix(UNTAUGHT).decode(), short_model(opened.tier(0).called)
            return [f"nothing was taught, and only its own word says which answers of {first} stand: {why}"]
    if opened.task.min_score is None:
        return []
    if opened.score_gate is None:
        first = short_model(opened.tier(0).called)
        ended = "the run ended before the answers of"
        return [f"{ended} {first} had a score, so none of them is accepted"] if opened.plan.distinct else []
    if opened.score_gate.untaught is None:
        return []
    why = opened.score_gate.untaught
    return [f"no answer of {short_model(opened.tier(0).called)} has a score, and all went on: {why}"]


def _of_files(inputs: Sequence[dict[str, Any]]) -> list[str]:
    """Name the files of which no row could be read, though others could."""
    lost = [item for item in inputs if item["rows"] and item.get("rejected") == item["rows"]]
    found = [f"{place(item['uri'])}: all of its {item['rows']:,} rows were rejected" for item in lost[:NAMED]]
    return found + [f"all rows of {len(lost) - NAMED:,} more files were rejected"] * (len(lost) > NAMED)


def _of_tiers(tiers: Sequence[dict[str, Any]]) -> list[str]:
    """Name the tiers that cost and settle nothing, since the strongest alone would have cost less."""
    return [
        f"tier {tier['tier']}, {short_model(tier['model'])}, settled none of the {tier['sent']:,} records that it was "
        "sent, so it only added to the cost: see its reasons, or leave it out"
        for tier in tiers[:-1]
        if tier["answered"] >= FEW and not tier["accepted"] and tier["transport"] != accounting.LEARNED
    ]
