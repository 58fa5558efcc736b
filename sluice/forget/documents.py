"""What tells of a run once rows of it are forgotten: run.json and the certificate, which balance as before."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa

from sluice.quality.verification import Verification, first_label
from sluice.reasons import Status
from sluice.results.groups import GroupsCount, tell_groups
from sluice.results.settled import PEOPLE
from sluice.results.wanted import Wanted
from sluice.runs.drawn import ForgottenDraws

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from sluice.forget.finding import GoneRow, RunFiles
    from sluice.results.published import Published
    from sluice.runs.drawn import Certificate, DrawnRow, Draws

    Place = tuple[str, int]  # source, line

OUTCOMES = tuple(Status)


def run_without(
    document: Mapping[str, Any], gone: Sequence[GoneRow], day: str, groups: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    """run.json without rows: they leave what counts the results, and are counted as forgotten.

    What the run did stays as it was: records, tiers, rounds, costs, and how often answers agreed or changed. Examples
    of these rows go, and so do the words that models had said of them alone. `groups` are those of what is left, in
    the place of those that had the rows' own values.
    """
    statuses = Counter(row.status for row in gone)
    entry = {"day": day, "rows": len(gone), **{status.value: statuses[status] for status in OUTCOMES}}
    return {
        **document,
        "rows": _less(document["rows"], statuses, len(gone)),
        "forgotten": [*document.get("forgotten", ()), entry],
        "inputs": [_input(item, gone) for item in document["inputs"]],
        "labels": _fewer(document["labels"], Counter(label for row in gone for label in row.labels or ())),
        "reasons": _fewer(document["reasons"], Counter(row.reason for row in gone if row.reason)),
        **_drift(document),
        "findings": _findings(document.get("findings") or {}, gone)
        | ({} if (document.get("findings") or {}).get("groups") is None else {"groups": groups or []}),
    }


def _drift(document: Mapping[str, Any]) -> dict[str, Any]:
    """What a run says of new kinds of rows, without the texts of some of them: they may be those that are forgotten."""
    drift = document.get("drift")
    if not drift or not drift.get("new"):
        return {}
    return {"drift": {**drift, "new": {**drift["new"], "examples": []}}}


def _less(books: Mapping[str, Any], statuses: Mapping[str, int], rows: int) -> dict[str, Any]:
    left = {status: books[status] - statuses[status] for status in OUTCOMES if books.get(status) is not None}
    return {**books, **{str(status): count for status, count in left.items()}, "forgotten": _had(books) + rows}


def _had(books: Mapping[str, Any]) -> int:
    return int(books.get("forgotten") or 0)


def _input(item: Mapping[str, Any], gone: Sequence[GoneRow]) -> dict[str, Any]:
    mine = [row for row in gone if row.source == item["uri"]]
    return _less(item, Counter(row.status for row in mine), len(mine)) if mine else dict(item)


def _fewer(counts: Mapping[str, int], gone: Mapping[str, int]) -> dict[str, int]:
    """The counts of a table without some rows; what nothing has any more is not listed."""
    return {name: count - gone[name] for name, count in counts.items() if count - gone[name] > 0 or not gone[name]}


def _findings(findings: Mapping[str, Any], gone: Sequence[GoneRow]) -> dict[str, Any]:
    places = {row.place for row in gone}
    said = Counter(
        (step["tier"], step["reason"], step["detail"]) for row in gone for step in row.trail or () if step["detail"]
    )
    return {
        **findings,
        **{
            name: [row for row in findings.get(name, ()) if (row["source"], row["line"]) not in places]
            for name in ("examples", "blurred")
        },
        "said": [
            {**row, "rows": left}
            for row in findings.get("said", ())
            if (left := row["rows"] - said[row["tier"], row["reason"], row["detail"]]) > 0
        ],
    }


def groups_without(run: RunFiles) -> list[dict[str, Any]] | None:
    """The labels by kept column of the rows that stay; None where the run does not tell its task."""
    if run.task is None:
        return None
    gone, count = {row.place for row in run.gone}, GroupsCount(run.task)
    stored = run.whole.stored.names
    names = [
        "source",
        "line",
        "status",
        "labels",
        *(kept.column for kept in run.task.input.kept if kept.column in stored),
    ]
    for batch in run.whole.batches(Wanted(), names):
        places = zip(batch["source"].to_pylist(), batch["line"].to_pylist(), strict=True)
        left = batch.filter(pa.array([place not in gone for place in places], pa.bool_()))
        count.add(pa.Table.from_batches([left]))
    return tell_groups(count.groups())


def certificate_without(
    certificate: Certificate,
    document: Mapping[str, Any],
    published: Published,
    gone: Sequence[GoneRow],
    held: Collection[str],
) -> Certificate:
    """A certificate without rows: what is promised stays, and can be found again beside the rows that are left.

    `document` is run.json, `published` the rows as they are before, `held` the records that other rows have.
    """
    uris = [item["uri"] for item in document["inputs"]]
    sampled, train = Verification(certificate, document).drawn(published)
    good = [row for row in gone if row.status != Status.REJECTED and row.model != PEOPLE]
    taught = [row for row in good if row.place in train]
    asked = [row for row in good if row.place in sampled]
    kept = [row for row in good if row.status == Status.ACCEPTED and row.tier == 0]
    before = certificate.forgotten or ForgottenDraws()
    places = {row.place for row in gone}
    return msgspec.structs.replace(
        certificate,
        sampled=[
            msgspec.structs.replace(row, source=0, line=0, key="")
            if row.key and (uris[row.source], row.line) in places
            else row
            for row in certificate.sampled
        ],
        forgotten=ForgottenDraws(
            good=before.good + len(good),
            train=before.train + len(taught),
            kept=before.kept + len(kept),
            called=_more(before.called, [row for row in good if row.place not in train]),
            kept_as=_more(before.kept_as, kept),
            sampled=sorted({*before.sampled, *(row.record for row in asked if row.record and row.record in held)}),
            taught=sorted({*before.taught, *(row.record for row in taught if row.record and row.record in held)}),
        ),
    )


def draws_without(
    draws: Draws, document: Mapping[str, Any], gone: Collection[Place], records: Collection[str]
) -> Draws:
    """The rows that a run drew, without rows and records; what people said of the others stays with them."""
    uris = [item["uri"] for item in document["inputs"]]

    def stays(row: DrawnRow) -> bool:
        return (uris[row.source], row.line) not in gone

    gold = draws.gold
    return msgspec.structs.replace(
        draws,
        sample=[row for row in draws.sample if stays(row)],
        train=[row for row in draws.train if stays(row)],
        taught=[key for key in draws.taught if key not in records],
        gold=None if gold is None else [said for row, said in zip(draws.sample, gold, strict=True) if stays(row)],
    )


def _more(before: Mapping[str, int], rows: Sequence[GoneRow]) -> dict[str, int]:
    labels = Counter(first_label({"score": row.score, "trail": row.trail or ()}) for row in rows)
    return dict(Counter(before) + Counter({label: count for label, count in labels.items() if label is not None}))
