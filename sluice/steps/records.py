"""The records of a job in their order: of a shard the first sight of each key, or what earlier jobs left."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple

from sluice.answers.requests import cut_middle, escape, escape_all
from sluice.answers.shown import without_answer
from sluice.rows.record import CUTS, KEY, PLACE, RAW, SENT, UNDECODED, RowReader
from sluice.steps.scores import scores_of
from sluice.steps.selection import pending_lines, shard_blocks

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from collections.abc import Set as AbstractSet

    from sluice.runs.state import PlannedJob, PlannedSegment
    from sluice.steps.services import Run

FLUSH = 128  # lines rendered at once: a quarter of a megabyte, which a processor's own cache holds

key_of = itemgetter(slice(KEY))
place_in_span = itemgetter(slice(KEY, PLACE))
raw_of = itemgetter(slice(RAW, None))
flag_of = itemgetter(PLACE)


class Some(NamedTuple):
    """Records, each by its key and its escaped text; those of a segment also by the place of their first row.

    Of those that are `known` the texts are left out, since nobody is to be asked about them.
    """

    keys: list[bytes]
    escaped: list[bytes]
    places: Sequence[bytes] = ()
    segment: PlannedSegment | None = None
    known: bool = False


class JobRecords:
    """What a job is about, some at a time; read again, it is the same. Beside it, what was met on the way.

    `known` records come apart from the others. `only`: the others are passed over; None for none. `texts`: else all
    come as those that are known.
    """

    def __init__(
        self,
        run: Run,
        job: PlannedJob,
        known: frozenset[bytes] = frozenset(),
        only: AbstractSet[bytes] | None = None,
        *,
        texts: bool = True,
    ) -> None:
        self.run, self.job, self.known, self.only, self.texts = run, job, known, only, texts
        self.seen: set[bytes] = set()
        self.repeated: set[bytes] = set()  # the records of several rows
        self.rows = 0

    def __iter__(self) -> Iterator[Some]:
        return self._pending() if self.job.shard is None else self._of_shard(self.job.shard)

    def _of_shard(self, shard: int) -> Iterator[Some]:
        reader, wanted = RowReader(self.run.task), self._wanted(shard)
        for found in shard_blocks(self.run, shard):
            self.rows += len(found.lines)
            for at in range(0, len(found.lines), FLUSH):
                lines = self._of_interest(found.lines[at : at + FLUSH])
                flags = set(map(flag_of, lines))
                fresh, keys = self._first_sights(lines, all_sent=flags <= SENT)
                if wanted is not None:
                    fresh = [line for key, line in zip(keys, fresh, strict=True) if key in wanted]
                    keys = list(map(key_of, fresh))
                if not self.texts or (self.known and self.known.issuperset(keys)):  # as nearly always where any are
                    if keys:
                        yield Some(keys, [], list(map(place_in_span, fresh)), found.segment, known=True)
                    continue
                if self.known and not self.known.isdisjoint(keys):
                    known = [line for line in fresh if line[:KEY] in self.known]
                    fresh = [line for line in fresh if line[:KEY] not in self.known]
                    keys = list(map(key_of, fresh))
                    yield Some(list(map(key_of, known)), [], list(map(place_in_span, known)), found.segment, known=True)
                if fresh:
                    escaped = _escaped(reader, fresh, some_cut=not CUTS.isdisjoint(flags))
                    yield Some(keys, escaped, list(map(place_in_span, fresh)), found.segment)

    def _of_interest(self, lines: list[bytes]) -> list[bytes]:
        return lines if self.only is None else [line for line in lines if line[:KEY] in self.only]

    def _wanted(self, shard: int) -> set[bytes] | None:
        """The records of a job that is about answers that do not stand by their score; None for all.

        The last tier is asked about drawn records anyway.
        """
        if self.job.below is None:
            return None
        to_last = self.job.tier + 1 == len(self.run.start.tiers)
        drawn, decided = self.run.draws.keys if to_last else frozenset(), self.run.decided
        assert decided is not None, "it says what such a job is about"
        found = scores_of(self.run, shard)
        return {
            each.key.encode() for each in found if not decided.stands(each.place, each.floor) and each.key not in drawn
        }

    def _first_sights(self, lines: list[bytes], *, all_sent: bool) -> tuple[list[bytes], list[bytes]]:
        """The good rows whose key was not seen before, with their keys; most often all, seen without a loop."""
        seen, keys = self.seen, list(map(key_of, lines))
        if all_sent and seen.isdisjoint(keys):
            before = len(seen)
            seen.update(keys)
            if len(seen) == before + len(keys):
                return lines, keys
            seen.difference_update(keys)
        fresh, of_fresh = [], []
        for key, line in zip(keys, lines, strict=True):
            if line[PLACE] not in SENT:
                continue
            if key in seen:
                self.repeated.add(key)
            else:
                seen.add(key)
                fresh.append(line)
                of_fresh.append(key)
        return fresh, of_fresh

    def _pending(self) -> Iterator[Some]:
        shown = bool(self.run.judged_tiers) and not self.job.judge  # what a judge was shown, stands behind the text
        for lines in pending_lines(self.run, self.job):
            self.rows += len(lines)
            for at in range(0, len(lines), FLUSH):
                some = self._of_interest(lines[at : at + FLUSH])
                if not self.texts:
                    yield Some(list(map(key_of, some)), [], known=True)
                    continue
                if self.known and (known := [key for key in map(key_of, some) if key in self.known]):
                    some = [line for line in some if line[:KEY] not in self.known]
                    yield Some(known, [], known=True)
                texts = [line[KEY + 1 :] for line in some]
                yield Some([line[:KEY] for line in some], [*map(without_answer, texts)] if shown else texts)


def _escaped(reader: RowReader, lines: list[bytes], *, some_cut: bool) -> list[bytes]:
    if not some_cut:
        try:
            return escape_all(list(map(reader.text_of, map(reader.decode, map(raw_of, lines)))))
        except UNDECODED:
            pass  # one of them reads only slowly
    texts = [(reader.text(line[RAW:]), line[PLACE] in CUTS) for line in lines]
    return [escape(cut_middle(text, reader.max_bytes) if cut else text) for text, cut in texts]
