"""Which labels a cheaper tier takes for each other, by what a stronger tier changed."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from pathlib import PurePath
from typing import TYPE_CHECKING, NamedTuple

from sluice.figures import percent
from sluice.task.spelling import labels_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sluice.results.run_document import Run
    from sluice.results.run_findings import Shown

LEAST = 10  # records that changed between two labels, below which chance may have paired them
FEW_LABELS = 20  # above, a part of the rows pairs labels by chance: only a whole run tells
MOST = 5  # pairs that are told
SHOWN = 3  # rows to look at of each
PILOT = ".pilot"  # the folder in which a pilot's sample lies


class Way(NamedTuple):
    """Records that went from one label to the other, of those first called so that a stronger tier looked at.

    `precision`: the share of these that the stronger tier called so, too; None where not all of them are told.
    """

    label: str
    to: str
    records: int
    looked: int
    precision: float | None


class Blur(NamedTuple):
    """Two labels that are taken for each other: `records` became the other one of `looked` that were called either."""

    records: int
    looked: int
    ways: tuple[Way, Way]
    examples: list[Shown]

    @property
    def labels(self) -> tuple[str, str]:
        """Both, the one that is taken for the other more often first."""
        return self.ways[0].label, self.ways[1].label

    @property
    def sentence(self) -> str:
        """How often they were taken for each other."""
        one, other = self.ways
        ways = f"{one.records:,} from {one.label} to {one.to}, {other.records:,} the other way"
        return (
            f"Of {self.looked:,} texts that were called one of the two and then looked at by a stronger tier, "
            f"{self.records:,} became the other ({percent(self.records, self.looked)}): {ways}."
        )


def blurs(run: Run) -> list[Blur]:
    """The pairs of labels between which a stronger tier changed most records, the most frequent first.

    Counted by record, since a text that comes often is one text. Of a task with more than twenty labels only a whole
    run tells: in a pilot, or a run that broke off, most pairs have a record or none.
    """
    labels = frozenset(run.definition.get("labels") or ())
    if len(labels) > FEW_LABELS and not _is_whole(run):
        return []
    pairs, left, looked = Counter[tuple[str, str]](), Counter[str](), Counter[str]()
    for each in run.findings.looked:
        looked.update(dict.fromkeys(labels_in(each.first, labels), each.records))
    for change in run.findings.blurs:
        first, final = labels_in(change.first, labels), labels_in(change.final, labels)
        left.update(dict.fromkeys(first - final, change.records))
        if len(gone := first - final) == len(come := final - first) == 1:
            pairs[min(gone), min(come)] += change.records
    found = []
    for one, other in {(min(pair), max(pair)) for pair in pairs}:
        ways = [
            Way(label, to, pairs[label, to], looked[label], _precision(left[label], looked[label]))
            for label, to in ((one, other), (other, one))
        ]
        ways.sort(key=lambda way: (-way.records, way.label))
        found.append(Blur(sum(way.records for way in ways), sum(way.looked for way in ways), (ways[0], ways[1]), []))
    found.sort(key=lambda blur: (-blur.records, blur.labels))
    told = [blur for blur in found if blur.records >= LEAST][:MOST]
    return [blur._replace(examples=list(islice(_examples(run, labels, blur), SHOWN))) for blur in told]


def document(found: Sequence[Blur]) -> list[dict[str, object]]:
    """The pairs as a program reads them."""
    return [
        {
            "labels": list(blur.labels),
            "records": blur.records,
            "looked": blur.looked,
            "ways": [way._asdict() for way in blur.ways],
            "examples": [{"first": row.first, "final": row.label, "text": row.text} for row in blur.examples],
        }
        for blur in found
    ]


def _precision(left: int, looked: int) -> float | None:
    return 1 - left / looked if left <= looked and looked else None


def _examples(run: Run, labels: frozenset[str], blur: Blur) -> Iterator[Shown]:
    for row in run.findings.examples:
        first, final = labels_in(row.first or "", labels), labels_in(row.label or "", labels)
        if (first - final) | (final - first) == set(blur.labels) and first - final and final - first:
            yield row


def _is_whole(run: Run) -> bool:
    return run.complete and not any(PurePath(each.path or "").parent.name == PILOT for each in run.inputs)
