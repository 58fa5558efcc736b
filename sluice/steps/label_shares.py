"""The shares of labels among all rows of a run, corrected by what the last tier says of the drawn ones."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, NamedTuple

from sluice.quality.intervals import label_share
from sluice.results.label_shares import RunLabelShares, ShareOfLabel

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sluice.runs.books import PartBooks
    from sluice.steps.auditing import DrawnOnes
    from sluice.steps.services import Run

MOST = 50  # labels, the most frequent ones

NONE = frozenset[str]()


class _Drawn(NamedTuple):
    """A drawn row: its record, what it would have been given undrawn, and what the last tier says."""

    record: str
    said: frozenset[str]
    true: frozenset[str]


def label_shares(opened: Run, waited: DrawnOnes | None, parts: Sequence[PartBooks]) -> RunLabelShares | None:
    """The shares of a whole run that has drawn rows; None of another.

    What was given corrects nothing where the drawn rows have taught what gave it: their own shares are told then.
    """
    if not opened.task.labels or not parts or not opened.draws_rows or not opened.store.exists(opened.source.draws):
        return None
    drawn = _certified(opened) if waited is None else _audited(opened, waited)
    rows = sum(part.accepted + part.unresolved - part.settled for part in parts)
    if not drawn or not rows:
        return None
    given = Counter[str]()
    for part in parts:
        given.update(part.labels)
        given.subtract(part.settled_labels)
    plain = waited is None or (opened.task.gives_scores and not opened.draws.train) or any(p.settled for p in parts)
    if waited is not None:
        given.update(_undrawn(waited, parts))
    named = (+given).keys() | {label for row in drawn for label in row.said | row.true}
    labels = sorted(named, key=lambda label: (-given[label], label))[:MOST]
    return RunLabelShares(
        rows=rows,
        drawn=len(drawn),
        records=len({row.record for row in drawn}),
        oracle=opened.start.tiers[-1].called,
        labels=[_share(label, max(0, given[label]), rows, drawn, plain=plain) for label in labels],
    )


def _share(label: str, given: int, rows: int, drawn: Iterable[_Drawn], *, plain: bool) -> ShareOfLabel:
    told = [(row.record, label in (row.true if plain else row.said), label in row.true) for row in drawn]
    return ShareOfLabel(label=label, given=given, **asdict(label_share(given, rows, told)))


def _audited(opened: Run, waited: DrawnOnes) -> list[_Drawn]:
    rows = opened.draws.sample or opened.draws.train
    return [_Drawn(row.key, _stands(waited, row.key), waited.last.get(row.key, NONE)) for row in rows]


def _certified(opened: Run) -> list[_Drawn]:
    if opened.certificate is None:
        return []
    return [_Drawn(row.key, NONE, frozenset(row.oracle or ())) for row in opened.certificate.sampled]


def _stands(waited: DrawnOnes, key: str) -> frozenset[str]:
    """What a drawn record would have been given: what a tier below would have settled it with, or the last tier's."""
    return waited.below[key][1] if key in waited.below else waited.last.get(key, NONE)


def _undrawn(waited: DrawnOnes, parts: Iterable[PartBooks]) -> Counter[str]:
    """What the counts of labels would change by, had nobody drawn a record: its rows carry the last tier's labels."""
    change = Counter[str]()
    for part in parts:
        for key, rows in part.drawn_rows.items():
            if key in waited.last:
                change.update(dict.fromkeys(_stands(waited, key), rows))
                change.subtract(dict.fromkeys(waited.last[key], rows))
    return change
