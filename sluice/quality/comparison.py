"""Two runs over the same rows, row by row: where they agree, and which of them is right more often.

The same row has the same place: its line, and an input of the same name in both runs. Where both tasks read the text in
the same way, it has the same record too; otherwise inputs that are known to differ are refused.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import Counter
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sluice.errors import BadRequest
from sluice.figures import place
from sluice.quality.evaluation import in_words
from sluice.quality.intervals import share_of_clusters
from sluice.quality.paired import difference
from sluice.reasons import Status
from sluice.results.settled import PEOPLE
from sluice.results.wanted import Wanted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from sluice.quality.intervals import Share
    from sluice.quality.known import KnownAnswers
    from sluice.quality.paired import Difference
    from sluice.results.published import Published
    from sluice.task.task import Task

COLUMNS = ("source", "line", "id", "record", "status", "labels", "model", "run_id")
PAIRS = 200  # of labels in the document, the most frequent first
NO_LABEL = 0  # the code of a row that was given none
FEW = 3  # rows of each pair that are shown
WITH_ROWS = 2_000  # pairs of which rows are kept
Labels = frozenset[str]


class Side(NamedTuple):
    """One of the two runs: its rows, its task, and its run.json."""

    published: Published
    task: Task
    summary: Mapping[str, Any]


def paired_inputs(first: Side, second: Side) -> dict[str, str]:
    """Which input of the first run is which of the second: by their addresses, else by names that there are once.

    Raises:
        BadRequest: they have none in common, or one that is not the same any more and cannot be told by its rows.

    """
    ours, theirs = (
        {str(item["uri"]): item for item in side.summary.get("inputs", ()) if not item.get("refused")}
        for side in (first, second)
    )
    names = [Counter(place(uri) for uri in uris) for uris in (ours, theirs)]
    by_name = {place(uri): uri for uri in theirs}
    found = {}
    for uri in ours:
        name = place(uri)
        if uri in theirs:
            found[uri] = uri
        elif names[0][name] == names[1][name] == 1:
            found[uri] = by_name[name]
    if not found:
        said = "; ".join(", ".join(sorted(map(place, uris))[:3]) or "none" for uris in (ours, theirs))
        raise BadRequest(f"the two runs have no input in common ({said}): they have to be over the same rows")
    for uri, other in found.items():
        if not _same_text(first.task, second.task) and _changed(ours[uri], theirs[other]):
            raise BadRequest(
                f"{place(uri)} was changed between the two runs, and their tasks read other texts of it, so that its "
                "rows cannot be told apart: run one of them again"
            )
    return found


def _changed(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two inputs are known to differ: by size, by hash, or as versions of one object."""
    names = ("bytes", "sha256", *(("version",) if one["uri"] == other["uri"] else ()))
    return any(None not in (one.get(name), other.get(name)) and one[name] != other[name] for name in names)


def _same_text(one: Task, other: Task) -> bool:
    return (one.input.text, one.reads_row) == (other.input.text, other.reads_row)


class _Rows:
    """The rows of an input of the first run, in order of their lines: 21 bytes for each."""

    def __init__(self) -> None:
        self.lines, self.records, self.codes, self.seen = array("q"), array("Q"), array("i"), bytearray()

    def add(self, line: int, record: int, code: int) -> None:
        self.lines.append(line)
        self.records.append(record)
        self.codes.append(code)
        self.seen.append(0)

    def sort(self) -> None:
        """Put them in order: parts of results may stand in another."""
        lines = np.frombuffer(self.lines, np.int64)
        if (lines[1:] > lines[:-1]).all():
            return
        order = np.argsort(lines)
        for name in ("lines", "records", "codes"):
            held = getattr(self, name)
            setattr(self, name, array(held.typecode, np.array(held)[order].tobytes()))

    def find(self, line: int) -> int | None:
        at = bisect_left(self.lines, line)
        return at if at < len(self.lines) and self.lines[at] == line else None


class Comparison:
    """Pairs the rows of two runs; `document` tells what they came to."""

    def __init__(self, first: Side, second: Side, known: KnownAnswers | None) -> None:
        self.sides, self.known = (first, second), known
        self.inputs = paired_inputs(first, second)
        self.other_text = self.second_only = 0
        self._same_text = _same_text(first.task, second.task)
        self._labels: list[Labels | None] = [None]
        self._codes: dict[Labels, int] = {}
        self._records = (array("Q"), array("Q"))
        self._given = (array("i"), array("i"))
        self._known = array("i")
        self._shown: dict[tuple[int, int], list[tuple[int, dict[str, Any]]]] = {}
        self._pair(self._first())

    def _first(self) -> dict[str, _Rows]:
        """The rows of the first run, by the address that their input has in the second."""
        found: dict[str, _Rows] = {}
        for row in _rows(self.sides[0].published):
            uri = self.inputs.get(row["source"])
            if uri is not None:
                found.setdefault(uri, _Rows()).add(row["line"], _number(row["record"]), self._code(row["labels"]))
        for rows in found.values():
            rows.sort()
        return found

    def _pair(self, ours: dict[str, _Rows]) -> None:
        back = {theirs: uri for uri, theirs in self.inputs.items()}
        for row in _rows(self.sides[1].published):
            rows = ours.get(row["source"])
            at = None if rows is None else rows.find(row["line"])
            if rows is None or at is None:
                self.second_only += 1
                continue
            rows.seen[at] = 1
            record = _number(row["record"])
            if self._same_text and record != rows.records[at] and record and rows.records[at]:
                self.other_text += 1
                continue
            self._records[0].append(rows.records[at] or record)
            self._records[1].append(record or rows.records[at])
            self._given[0].append(rows.codes[at])
            self._given[1].append(self._code(row["labels"]))
            self._show(rows.codes[at], self._given[1][-1], record, row)
            self._known.append(self._code_known(row, back[row["source"]]))
        self.first_only = sum(rows.seen.count(0) for rows in ours.values())

    def _show(self, one: int, other: int, record: int, row: dict[str, Any]) -> None:
        """Keep the rows of a pair whose records have the smallest keys, which are hashes: a fair sample."""
        if one == other or ((one, other) not in self._shown and len(self._shown) == WITH_ROWS):
            return
        shown = self._shown.setdefault((one, other), [])
        if all(record != before for before, _ in shown):
            shown.append((record, {name: row[name] for name in ("source", "line", "id", "run_id")}))
            shown.sort(key=itemgetter(0))
            del shown[FEW:]

    def moved(self) -> dict[str, Any]:
        """What moved, by label and by pair of answers; an answer of None is that of a row without a label.

        `labels`: how many rows the first and the second run gave it, and to how many both did. `pairs`: rows of each
        pair of different answers, the most frequent first, and some of these rows by their place in the second run.
        """
        counts = Counter(zip(*self._given, strict=True))
        first, second, both = Counter[int](), Counter[int](), Counter[int]()
        for (one, other), count in counts.items():
            first[one] += count
            second[other] += count
            both[one] += count if one == other else 0
        codes = sorted({*first, *second}, key=lambda code: (-first[code] - second[code], self._words(code)))
        pairs = sorted((-count, pair) for pair, count in counts.items() if pair[0] != pair[1])
        return {
            "labels": [
                {"label": self._answer(code), "first": first[code], "second": second[code], "both": both[code]}
                for code in codes[:PAIRS]
            ],
            "rows": -sum(count for count, _ in pairs),
            "pairs": [
                {
                    "first": self._answer(pair[0]),
                    "second": self._answer(pair[1]),
                    "rows": -count,
                    "examples": [row for _, row in self._shown.get(pair, ())],
                }
                for count, pair in pairs[:PAIRS]
            ],
        }

    def _answer(self, code: int) -> str | None:
        return None if code == NO_LABEL else self._words(code)

    def _code(self, labels: Sequence[str] | Labels | None) -> int:
        """A number for each set of labels."""
        if labels is None:
            return NO_LABEL
        found = frozenset(labels)
        if found not in self._codes:
            self._codes[found] = len(self._labels)
            self._labels.append(found)
        return self._codes[found]

    def _code_known(self, row: Mapping[str, Any], first_source: str) -> int:
        """What is known of a row, by its address in either run."""
        if self.known is None:
            return NO_LABEL
        line, name, record = (row[column] for column in ("line", "id", "record"))
        found = self.known.of(first_source, line, name, record)
        return self._code(found or self.known.of(row["source"], line, name, record))

    def document(self) -> dict[str, Any]:
        """All figures: rows, agreement, and what known answers say."""
        records = min((np.array(each, np.uint64) for each in self._records), key=lambda each: len(np.unique(each)))
        first, second = (np.array(each, np.int64) for each in self._given)
        known = np.array(self._known, np.int64)
        if not len(records):
            raise BadRequest("the two runs have no row in common: they have to be over the same rows")
        both = (first != NO_LABEL) & (second != NO_LABEL)
        return {
            "rows": {
                "compared": len(records),
                "records": len(np.unique(records)),
                "first_only": self.first_only,
                "second_only": self.second_only,
                "other_text": self.other_text,
                "answered": [int((given != NO_LABEL).sum()) for given in (first, second)],
            },
            "agreement": told(_share(records[both], (first == second)[both])),
            "differences": self._differences(first[both], second[both], known[both]),
            "gold": self._gold(records, first, second, known),
        }

    def _gold(
        self,
        records: NDArray[np.uint64],
        first: NDArray[np.int64],
        second: NDArray[np.int64],
        known: NDArray[np.int64],
    ) -> dict[str, Any] | None:
        """Of the rows with a known answer: how often each run is right, where no label is as wrong as another."""
        of = known != NO_LABEL
        if not of.any():
            return None
        right = [(given == known)[of] for given in (first, second)]
        found = difference(records[of], *right)
        return {
            "rows": found.rows,
            "records": found.records,
            "right": [told(_share(records[of], each)) for each in right],
            "difference": as_document(found),
        }

    def _differences(
        self, first: NDArray[np.int64], second: NDArray[np.int64], known: NDArray[np.int64]
    ) -> list[dict[str, Any]]:
        """The most frequent pairs of labels that differ, and who is right by known answers."""
        other = first != second
        counts: Counter[tuple[int, int]] = Counter()
        right: tuple[Counter[tuple[int, int]], ...] = (Counter(), Counter())
        for one, two, truth in zip(*(each[other].tolist() for each in (first, second, known)), strict=True):
            counts[one, two] += 1
            right[0][one, two] += one == truth
            right[1][one, two] += two == truth
        named = [(self._words(one), self._words(two), (one, two)) for one, two in counts]
        ordered = sorted(named, key=lambda each: (-counts[each[2]], each[:2]))
        return [
            {"first": one, "second": two, "rows": counts[pair], "right": [right[0][pair], right[1][pair]]}
            for one, two, pair in ordered[:PAIRS]
        ]

    def _words(self, code: int) -> str:
        return in_words(self._labels[code] or ())


def _rows(published: Published) -> Iterator[dict[str, Any]]:
    """The rows of a run that its models were asked about."""
    for batch in published.batches(Wanted(), COLUMNS):
        for row in batch.to_pylist():
            if row["status"] != Status.REJECTED and row["model"] != PEOPLE:
                yield row


def _number(record: str | None) -> int:
    return int(record[:16], 16) if record else 0


def _share(records: NDArray[np.uint64], true: NDArray[np.bool_]) -> Share:
    return share_of_clusters(int(true.sum()), np.unique(records, return_counts=True)[1].tolist())


def told(share: Share) -> dict[str, Any]:
    """A share as the document has it."""
    value = share.value if share.of else None
    return {"count": share.count, "of": share.of, "share": value, "low": share.low, "high": share.high}


def as_document(found: Difference) -> dict[str, Any]:
    """A difference as the document has it; `shown` is None where no difference is shown, else which run is better."""
    return {
        "share": found.value,
        "low": found.low,
        "high": found.high,
        "only_right": [found.first_only, found.second_only],
        "only_right_records": [found.first_records, found.second_records],
        "p": found.p,
        "shown": {1: "second", -1: "first"}.get(found.shown),
    }
