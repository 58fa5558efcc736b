"""The rows of a run, wherever they lie."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Self

from sluice.aws.errors import translating
from sluice.errors import Unfinished
from sluice.results.wanted import Wanted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

    from sluice.results.published import Published


class Rows(ABC):
    """The rows that a run has published, each with the columns of the results."""

    @abstractmethod
    def published(self) -> Published:
        """Open the rows; `BadRequest` where there are none."""

    @property
    @abstractmethod
    def run_id(self) -> str:
        """The run's id."""

    @abstractmethod
    def ending(self) -> tuple[str, str | None]:
        """How the run stands, and why it failed if it did."""

    def raise_for_status(self) -> Self:
        """Return the run itself if it succeeded.

        Raises:
            Unfinished: it did not, or not yet; `status` says how it stands.

        """
        status, error = self.ending()
        if status != "succeeded":
            why = f": {error}" if error else ""
            raise Unfinished(f"run {self.run_id} has not succeeded, it is {status.replace('_', ' ')}{why}", status)
        return self

    @translating()
    def table(
        self,
        *,
        status: str | Sequence[str] = (),
        label: str | Sequence[str] = (),
        reason: str | Sequence[str] = (),
        limit: int | None = None,
        columns: str | Sequence[str] | None = None,
    ) -> pa.Table:
        """Read rows into memory as a `pyarrow.Table`, whose `.to_pandas()` is pandas' where that is installed.

        Args:
            status: one or several of `accepted`, `unresolved` and `rejected`; all where none is named.
            label: rows with one of these labels.
            reason: rows with one of these reason codes.
            limit: at most so many rows, the first in the order of the files.
            columns: only these; all where none are named.

        Returns:
            One row for each input row that is meant, with the columns of the results (docs/tasks.md).

        Raises:
            BadRequest: the run has published nothing, or something is named that does not exist.

        """
        return self.published().table(_wanted(status, label, reason, limit), _columns(columns))

    def batches(
        self,
        *,
        status: str | Sequence[str] = (),
        label: str | Sequence[str] = (),
        reason: str | Sequence[str] = (),
        limit: int | None = None,
        columns: str | Sequence[str] | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """Yield the same rows as `table`, up to 10,000 at a time: memory stays flat however large the run is."""
        with translating():
            published = self.published()
            wanted = _columns(columns)
            published.check_columns(wanted)
            yield from published.batches(_wanted(status, label, reason, limit), wanted)

    def input_lines(
        self,
        *,
        status: str | Sequence[str] = (),
        label: str | Sequence[str] = (),
        reason: str | Sequence[str] = (),
        limit: int | None = None,
    ) -> Iterator[bytes]:
        """Yield rows as they stood in the input, as lines of JSON without the line's end: input for another run.

        A row that was too long to be kept (`max_row_bytes`) is an empty line.

        Raises:
            BadRequest: the inputs have changed or are gone, and the task keeps no rows (`input.keep_input`).

        """
        with translating():
            yield from self.published().input_lines(_wanted(status, label, reason, limit))


def _wanted(
    status: str | Sequence[str], label: str | Sequence[str], reason: str | Sequence[str], limit: int | None
) -> Wanted:
    return Wanted(_names(label), _names(status), _names(reason), limit)


def _columns(given: str | Sequence[str] | None) -> tuple[str, ...] | None:
    return None if given is None else _names(given)


def _names(given: str | Sequence[str]) -> tuple[str, ...]:
    """One name alone stands for itself."""
    return (str(given),) if isinstance(given, str) else tuple(given)
