"""Which rows are to be forgotten: by the owner's id, by a condition on columns, by what stands in the text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import pyarrow as pa
import pyarrow.compute as pc

from sluice.errors import BadRequest
from sluice.results.table import RowColumns
from sluice.rows.record import RowReader

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sluice.task.task import Task

HOW = "say which rows are meant: --id, --where CONDITION or --text-contains"


@dataclass(frozen=True, slots=True)
class Asked:
    """Rows that meet each kind of condition that is given: one of the ids, the condition, one of the texts.

    `where` is a condition in SQL, as `sluice results` takes it; `texts` are found whatever their case.
    """

    ids: tuple[str, ...] = ()
    where: str | None = None
    texts: tuple[str, ...] = ()

    @classmethod
    def of(cls, ids: Iterable[str] = (), where: str | None = None, texts: Iterable[str] = ()) -> Self:
        """Take conditions as they are given.

        Raises:
            BadRequest: there is none, or one that would be met by rows that nobody means.

        """
        asked = cls(tuple(ids), where, tuple(texts))
        if not (asked.ids or asked.texts or asked.where is not None):
            raise BadRequest(HOW)
        if not all(given.strip() for given in (*asked.ids, *asked.texts, where or "-")):
            raise BadRequest(f"an empty condition is met by rows that nobody means; {HOW}")
        return asked

    def of_ids(self, ids: pa.Array) -> pa.BooleanArray:
        """Tell of each id whether it is one of those that are asked for; where none is, each is."""
        if not self.ids:
            return pa.array([True] * len(ids), pa.bool_())
        return pc.is_in(ids, pa.array(self.ids, pa.string()))

    def of_text(self, text: str) -> bool:
        """Tell whether a text holds one of those that are asked for; where none is, each does."""
        folded = text.casefold() if self.texts else ""
        return not self.texts or any(asked.casefold() in folded for asked in self.texts)

    def words(self) -> str:
        """Say by what the rows are found, without what they hold."""
        said = [f"{len(self.ids):,} id{'s' * (len(self.ids) != 1)}"] if self.ids else []
        said += ["a condition"] if self.where is not None else []
        said += [f"{len(self.texts):,} piece{'s' * (len(self.texts) != 1)} of text"] if self.texts else []
        return " and ".join(said)


class RawRows:
    """Finds the rows that are meant among those of an input, which no run need have read."""

    def __init__(self, asked: Asked, task: Task) -> None:
        self.asked = asked
        self._columns = RowColumns(task)
        self._reader = RowReader(task)

    def of(self, lines: Sequence[bytes]) -> list[int]:
        """The places in a list of rows whose ids and texts meet the conditions; that on columns is not looked at."""
        found = [n for n, line in enumerate(lines) if self.asked.of_text(self.text(line))]
        if not found or not self.asked.ids:
            return found
        columns = self._columns.read([lines[n] for n in found])[0]
        return [n for n, meant in zip(found, self.asked.of_ids(columns["id"]).to_pylist(), strict=True) if meant]

    def text(self, line: bytes) -> str:
        """The text of a row; of one without a text that can be read, the whole of it, which a report may show."""
        if not self.asked.texts:
            return ""
        try:
            return self._reader.text(line)
        except ValueError:
            return line.decode(errors="replace")
