"""What a run would find in its rows beside their texts: what it rejects, cuts, cannot keep or cannot compare."""

from __future__ import annotations

import heapq
from array import array
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from sluice.figures import row_number
from sluice.results.gold import GoldCount
from sluice.results.table import RowColumns
from sluice.rows.record import CUTS, RAW, REASONS
from sluice.steps.merge import ids_modulus
from sluice.steps.selection import place_of
from sluice.task.columns import KeepType

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sluice.reasons import Reason
    from sluice.steps.selection import SegmentRows
    from sluice.steps.services import Run

PLACES = 3  # first places that are told of each kind


class Place(NamedTuple):
    """Where a row stands: the number of its input, its line there."""

    source: int
    line: int


@dataclass
class Found:
    """Rows of one kind: how many there are, and the first of them in the order of the input."""

    rows: int = 0
    places: list[Place] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)

    def add(self, places: list[Place]) -> None:
        """Take some rows."""
        self.rows += len(places)
        self.places = heapq.nsmallest(PLACES, [*self.places, *places])


class Survey:
    """Looks at the stored rows of a run, block by block; each row is looked at once."""

    def __init__(self, opened: Run) -> None:
        task = opened.task
        self.rejected: dict[int, dict[Reason, Found]] = defaultdict(lambda: defaultdict(Found))
        self.cut = Found()
        self.unparsed: dict[str, Found] = defaultdict(Found)  # by the path of the kept field
        self.strange_gold = Found()
        self.known = 0
        self.known_labels: Counter[str] = Counter()
        self._paths = {kept.column: kept.path for kept in task.input.kept}
        self._has_id = task.input.id is not None
        self._columns = RowColumns(
            task.model_copy(update={"input": task.input.model_copy(update={"keep_input": False})})
        )
        self._gold = GoldCount(task)
        self.ids_missing = 0
        self._ids = array("Q")
        self._modulus = ids_modulus(opened.plan.rows)

    @property
    def ids_repeated(self) -> int:
        """Rows whose id an earlier row has; of a large run an estimate."""
        return (len(self._ids) - len(set(self._ids))) * self._modulus

    def take(self, found: SegmentRows) -> None:
        """Take a block of stored rows."""
        lines, segment = found.lines, found.segment

        def places(rows: list[int]) -> list[Place]:
            return [Place(*place_of(lines[row], segment)) for row in rows]

        flags = [line[RAW - 1] for line in lines]
        for flag in set(flags).intersection((*REASONS, *CUTS)):
            flagged = places([row for row, other in enumerate(flags) if other == flag])
            if flag in CUTS:
                self.cut.add(flagged)
                continue
            for source in {place.source for place in flagged}:
                self.rejected[source][REASONS[flag]].add([place for place in flagged if place.source == source])
        raws = [line[RAW:] for line in lines]
        if self._paths or self._has_id:
            self._take_columns(raws, places)
        if self._gold.path is not None:
            self._take_gold(raws, places)

    def _take_columns(self, raws: list[bytes], places: Callable[[list[int]], list[Place]]) -> None:
        columns, unparsed = self._columns.read(raws)
        for column, values in unparsed.items():
            found = self.unparsed[self._paths[column]]
            found.add(places([value.row for value in values]))
            found.kinds.update(value.kind for value in values)
        if self._has_id:
            self.ids_missing += columns["id"].null_count
            ids = columns["id"].drop_null().cast(pa.binary()).to_pylist()
            digests = (int.from_bytes(blake2b(value, digest_size=8).digest(), "big") for value in ids)
            self._ids.extend(digest for digest in digests if digest % self._modulus == 0)

    def _take_gold(self, raws: list[bytes], places: Callable[[list[int]], list[Place]]) -> None:
        known = [self._gold.known_answer(raw) for raw in raws]
        self.known += sum(answer is not None for answer in known)
        self.known_labels.update(label for answer in known for label in answer or () if label is not None)
        strange = [row for row, answer in enumerate(known) if answer is not None and None in answer]
        self.strange_gold.add(places(strange))


def documents(survey: Survey, name: Callable[[int], str]) -> dict[str, Any]:
    """What a survey found, for a program; `name` gives what people call an input."""

    def told(found: Found) -> dict[str, Any]:
        return {
            "rows": found.rows,
            "places": [{"source": name(source), "line": line} for source, line in found.places],
            **({"kinds": dict(found.kinds)} if found.kinds else {}),
        }

    return {
        "rejected": [
            {"source": name(source), "reason": reason.value, **told(found)}
            for source, reasons in sorted(survey.rejected.items())
            for reason, found in sorted(reasons.items())
        ],
        "cut": told(survey.cut),
        "kept": [{"field": path, **told(found)} for path, found in survey.unparsed.items()],
        "gold": {"known": survey.known, "no_label": told(survey.strange_gold)},
        "ids": {"missing": survey.ids_missing, "repeated": survey.ids_repeated},
    }


def sentences(found: dict[str, Any], kept: dict[str, KeepType]) -> Iterator[str]:
    """What somebody should look at before the rows are sent; `kept` has the types of the kept fields."""
    if cut := found["cut"]["rows"]:
        longer = _count(cut, "text is", "texts are")
        yield f"input.max_tokens: {longer} longer and will be cut in the middle ({_at(found['cut'])})"
    for column in found["kept"]:
        kind = kept[column["field"]]
        kinds = ", ".join(f"{count:,} {name}" for name, count in column["kinds"].items())
        yield (
            f"input.keep.{column['field']}: {_count(column['rows'], 'value does', 'values do')} not parse as "
            f"{kind.value} and will be null ({kinds}; {_at(column)}){_advice(kind, column['kinds'])}"
        )
    if strange := found["gold"]["no_label"]["rows"]:
        known = _count(found["gold"]["known"], "known answer is", "known answers are")
        yield (
            f"input.gold: {strange:,} of {known} none of the labels ({_at(found['gold']['no_label'])}); they are "
            "compared with no answer"
        )
    if repeated := found["ids"]["repeated"]:
        yield f"input.id: {_count(repeated, 'row has', 'rows have')} the id of an earlier one"
    if missing := found["ids"]["missing"]:
        yield f"input.id: {_count(missing, 'row has', 'rows have')} no id"


def refusals(found: dict[str, Any]) -> Iterator[str]:
    """The rows that will be rejected, by file and reason."""
    for refused in found["rejected"]:
        yield f"{_count(refused['rows'], 'row is', 'rows are')} rejected, {refused['reason']}: {_at(refused)}"


def _advice(kind: KeepType, kinds: dict[str, int]) -> str:
    if kind not in (KeepType.DATE, KeepType.TIMESTAMP):
        return ""
    if "number" in kinds:
        return "; a number is a date only with a format: unix_seconds, unix_milliseconds, excel_days, %Y%m%d"
    return "; dates that are not ISO 8601 need their format, like {type: date, format: '%m/%d/%Y'}"


def _count(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


def _at(found: dict[str, Any]) -> str:
    """The first places, as their owner's program counts them."""
    shown = [
        f"{place['source'].rsplit('/', 1)[-1]} {row_number(place['source'], place['line'])}"
        for place in found["places"]
    ]
    return ", ".join(shown) + (", …" if found["rows"] > len(shown) else "")
