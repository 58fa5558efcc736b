"""What people said of a run's rows, for its report: who changed what, and which rows they looked at."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sluice.results.corrections import Settled, in_words
from sluice.results.layer import CONFIRMED, CONFLICT, CORRECTED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sluice.results.corrections import Correction, Corrections
    from sluice.results.run_document import Run

LISTED = 200  # rows in the page
NO_LABEL = "(no label)"


@dataclass(frozen=True, slots=True)
class Corrected:
    """A row, what the run had given, what people said and who they are; `note` is what they wrote beside it."""

    source: str
    line: int
    given: str
    said: str
    by: str
    at: str
    note: str
    kind: str


@dataclass(frozen=True, slots=True)
class People:
    """What people said of the rows of a run: the latest rows, how many there are of each kind, who and how often."""

    rows: Sequence[Corrected] = ()
    kinds: Counter[str] = field(default_factory=Counter)
    by: Counter[str] = field(default_factory=Counter)

    @property
    def places(self) -> dict[tuple[str, int], Corrected]:
        """The rows that are listed, by their places."""
        return {(row.source, row.line): row for row in self.rows}

    @property
    def sentence(self) -> str:
        """How many rows, by whom, to which end."""
        kinds = [f"{self.kinds[kind]:,} {words}" for kind, words in WORDS.items() if self.kinds[kind]]
        people = ", ".join(f"{name} ({count:,})" for name, count in self.by.most_common())
        return f"{self.kinds.total():,} rows were looked at by {people}: {', '.join(kinds)}"


WORDS = {CORRECTED: "corrected", CONFIRMED: "confirmed", CONFLICT: "in conflict"}


def people_of(corrections: Corrections, run: Run) -> People:
    """Find what stands of the rows of a run: said when it was looked at, or of the same objects under another run."""
    texts = bool(run.definition.get("report", {}).get("examples", True))
    versions = {(item.uri, item.version) for item in run.inputs}
    kinds, by, found = Counter[str](), Counter[str](), []
    for (source, line, _), row in corrections.rows.items():
        heads = row.heads
        if not heads or not any(_is_about(said.what, run, versions) for said in heads):
            continue
        settled = Settled(heads)
        latest, kind = settled.latest, _kind(settled)
        kinds[kind] += 1
        by.update(dict.fromkeys((said.what.by for said in heads), 1))
        note = settled.note if texts and kind != CONFLICT else ""
        given = _words(latest.given)
        found.append(Corrected(source, line, given, _said(settled, texts), settled.by, latest.at, note, kind))
    found.sort(key=lambda row: row.at, reverse=True)
    found.sort(key=lambda row: row.kind == CONFIRMED)  # what changed comes first, the latest of it
    return People(found[:LISTED], kinds, by)


def _is_about(said: Correction, run: Run, versions: set[tuple[str, str | None]]) -> bool:
    return said.run == run.run_id or (said.version is not None and (said.source, said.version) in versions)


def _kind(settled: Settled) -> str:
    latest = settled.latest
    if settled.conflict:
        return CONFLICT
    same = latest.labels is None or (latest.given is not None and sorted(latest.labels) == sorted(latest.given))
    return CONFIRMED if same else CORRECTED


def _said(settled: Settled, texts: bool) -> str:
    """What was said: of a conflict, who says what; fields hold words of rows, labels do not."""
    told = dict.fromkeys(
        f"{said.what.by}: {_answer(said.what, texts)}" if settled.conflict else _answer(said.what, texts)
        for said in settled.heads
    )
    return "; ".join(told)


def _answer(said: Correction, texts: bool) -> str:
    return in_words(said) if texts else _words(said.labels)


def _words(labels: Sequence[str] | None) -> str:
    return ", ".join(labels) or "none of the labels" if labels is not None else NO_LABEL
