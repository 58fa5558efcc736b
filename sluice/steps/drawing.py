r"""Which rows are drawn for the last tier: partition notes those of a span that can be, plan draws among all of them.

`rows/<span>.ranks` has a line of fixed width for each row that might be drawn, by rank, without its text:

    rank (16 hex)  source (8 digits)  line (12 digits)  key (32 hex)  first byte in rows/<span> (12)  bytes (10)  \n

and a line feed alone at its end.
"""

from __future__ import annotations

import heapq
from binascii import hexlify
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from sluice.answers.requests import cut_middle, escape
from sluice.aws.s3 import ahead
from sluice.errors import BadInput
from sluice.quality.draws import Draws as Drawn
from sluice.quality.draws import Ranked, Ranks
from sluice.quality.draws import draw as quality_draw
from sluice.quality.rule import REFUSED, allowed, most_disagreements, smallest_sample
from sluice.reasons import Outcome, Reason
from sluice.results.standing import what_failed
from sluice.rows.record import CUTS, KEY, PLACE, RAW, SENT, SOURCE, RowReader
from sluice.runs.document import read
from sluice.runs.drawn import DrawnRow, Draws
from sluice.steps.labelled import labels_of
from sluice.steps.selection import PendingWriter
from sluice.steps.stored import StoredRows
from sluice.task.judge import WORDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from decimal import Decimal

    from sluice.runs.state import Pending
    from sluice.steps.services import Run
    from sluice.task.quality import Quality

FirstTold = tuple[tuple[str, ...], str | None, frozenset[str]]
RANK = 16
KEY_AT = RANK + PLACE - KEY
BEGIN_AT = KEY_AT + KEY
BYTES_AT = BEGIN_AT + 12
WIDTH = BYTES_AT + 11
END = b"\n"
CHUNK = 64  # lines read at once: of many spans, few rows each are drawn
AT_ONCE = 16
REPEATED = 0  # the number of an attempt that is none: no reply to one is taken for it, wherever replies are kept


class Drawing:
    """The rows of a span with the smallest ranks, segment by segment, in the memory of twice as many as are drawn."""

    def __init__(self, run: Run) -> None:
        self.wanted = run.task.drawn
        self._ranks = Ranks(run.start.seed or "00")
        self._uris = [item.uri for item in run.inputs.inputs] if self.wanted else []
        self._pieces: dict[bytes, Callable[[bytes], bytes]] = {}
        self._segments: list[list[bytes]] = []
        self._here: list[bytes] = []
        self._highest: bytes | None = None  # above, no row of this segment is drawn any more

    def begin(self, source: int, begin: int) -> None:
        """A piece of an input follows, that begins at this byte."""
        if self.wanted:
            self._pieces[b"%08d" % source] = self._ranks.piece(self._uris[source], begin)

    def offer(self, stored: list[bytes], at: int) -> None:
        """Look at stored rows that follow each other in the object of rows, from the byte `at` on."""
        for line in stored:
            size = len(line)
            if line[PLACE + 1] in SENT:
                rank = hexlify(self._pieces[line[KEY + 1 : SOURCE + 1]](line[SOURCE + 1 : PLACE + 1]))
                if self._highest is None or rank <= self._highest:
                    place = line[KEY + 1 : PLACE + 1] + line[1 : KEY + 1]
                    self._here.append(b"%b%b%012d%010d\n" % (rank, place, at, size))
            at += size
        if len(self._here) > 2 * self.wanted:
            self._keep_smallest()

    def _keep_smallest(self) -> None:
        self._here.sort()
        del self._here[self.wanted :]
        if self._here and len(self._here) == self.wanted:
            self._highest = self._here[-1][:RANK]

    def end_segment(self) -> None:
        """What was offered is the next segment's."""
        self._keep_smallest()
        self._segments.append(self._here)
        self._here, self._highest = [], None

    def forget(self, segments: int) -> None:
        """Take back all segments behind the first so many."""
        del self._segments[segments:]

    def written(self) -> bytes:
        """The object of the span's ranks."""
        return b"".join(islice(heapq.merge(*self._segments), self.wanted)) + END


class Stored(NamedTuple):
    """Where a row that might be drawn lies, and the key of its record."""

    key: str
    span: int
    begin: int
    bytes: int


def draw(opened: Run) -> Draws:
    """Draw the rows of a run, once, and write their records for the oracle.

    Raises:
        BadInput: so many rows are too few for what the task promises, or nobody has labelled the sample that it takes.

    """
    done = opened.store.find(opened.keys.draws)
    if done is not None:
        return read(Draws, done, opened.keys.draws)
    quality, drawn = opened.task.quality, draw_rows(opened)
    sample, train = ([DrawnRow(source=int(r.source), line=r.line, key=r.note.key) for r in rows] for rows in drawn)
    gold = labels_of(opened, sample) if quality is not None and quality.by_gold else None
    notes = [row.note for row in [*drawn.sample, *drawn.train]]
    draws = Draws(
        seed=opened.start.seed or "",
        population=good_rows(opened) - len(train),
        sample=sample,
        train=train,
        records=_write_records(opened, _distinct(notes), opened.keys.drawn_records, attempt=1),
        gold=gold,
        repeats=_write_repeats(opened, _distinct([row.note for row in drawn.sample])),
    )
    opened.store.put(opened.keys.draws, draws.write())
    return draws


def good_rows(opened: Run) -> int:
    """How many rows of a run that has been cut can be drawn."""
    return opened.plan.good


def draw_rows(opened: Run) -> Drawn[Stored]:
    """Draw the rows with the smallest ranks.

    Raises:
        BadInput: so many rows are too few for what the task promises.

    """
    quality = opened.task.quality
    if quality is not None:
        _check(quality, good_rows(opened))
    return quality_draw(_streams(opened), *opened.task.draws)


def _distinct(drawn: list[Stored]) -> list[Stored]:
    """Each record once, where the first of its rows stands."""
    found: dict[str, Stored] = {}
    for row in drawn:
        found.setdefault(row.key, row)
    return list(found.values())


def _write_repeats(opened: Run, sampled: list[Stored]) -> Pending | None:
    """Write the first of the sampled records once more, dealt out anew: no two of a request share one again.

    Not where a request holds more records than there are requests: then as few as may be do.
    """
    quality, pack = opened.task.quality, opened.start.tiers[-1].pack
    wanted = sampled[: 0 if quality is None else quality.repeats]
    dealt = [row for place in range(pack) for row in wanted[place::pack]]
    return _write_records(opened, dealt, opened.keys.repeated_records, attempt=REPEATED)


def _write_records(opened: Run, records: list[Stored], key: str, *, attempt: int) -> Pending | None:
    """Write records for the oracle; none where there is no row."""
    reader, oracle = RowReader(opened.task), len(opened.start.tiers) - 1
    stored = StoredRows(opened.store, opened.keys)

    def load(row: Stored) -> bytes:
        return stored.read(row.span, row.begin + 1, row.bytes - 1)

    out = PendingWriter(opened.store, key, oracle, attempt)
    for row, line in zip(records, ahead(load, records, AT_ONCE), strict=True):
        text = reader.text(line[RAW:])
        out.add(row.key.encode(), escape(cut_middle(text, reader.max_bytes) if line[PLACE] in CUTS else text))
    return out.close()


def _check(quality: Quality, good: int) -> None:
    for kept, what in quality.promises:
        _check_promise(quality, kept, what, good)


def _check_promise(quality: Quality, kept: Decimal, what: str, good: int) -> None:
    population = good - quality.train
    if population >= quality.sample:
        at_most = allowed(population, quality.sample, kept)
        if most_disagreements(population, quality.sample, at_most, quality.delta) != REFUSED:
            return
    least = smallest_sample(kept, quality.delta, population) if population > 0 else None
    mend = (
        f"a sample of {least:,}"
        if least is not None and least < population
        else "the last tier alone, without `quality`,"
    )
    drawn = f"{quality.train:,} teach the score and {quality.sample:,} are the sample"
    raise BadInput(
        f"quality: of {good:,} rows {drawn}: too few to promise that, of the others, {what}; "
        f"{mend} would do for so many. Nothing was sent"
    )


def _streams(opened: Run) -> list[Iterator[Ranked[Stored]]]:
    """The candidates of each span in the order of their ranks, read as far as they are wanted."""
    base: dict[int, tuple[int, int]] = {}
    for segment in opened.plan.segments:
        base[segment.span] = segment.first_source, segment.line_base

    def first(span: int) -> bytes:
        return opened.store.read_range(opened.keys.ranks(span), 0, CHUNK * WIDTH)

    spans = sorted(base)
    return [
        _candidates(opened, span, base[span], chunk)
        for span, chunk in zip(spans, ahead(first, spans, AT_ONCE), strict=True)
    ]


def _candidates(opened: Run, span: int, place: tuple[int, int], chunk: bytes) -> Iterator[Ranked[Stored]]:
    at, (first_source, line_base) = 0, place
    while chunk:
        for n in range(0, len(chunk), WIDTH):
            line = chunk[n : n + WIDTH]
            if line == END:
                return
            source, number = line[RANK : RANK + SOURCE - KEY].decode(), int(line[RANK + SOURCE - KEY : KEY_AT])
            begin, size = int(line[BEGIN_AT:BYTES_AT]), int(line[BYTES_AT : WIDTH - 1])
            base = line_base if int(source) == first_source else 0
            note = Stored(line[KEY_AT:BEGIN_AT].decode(), span, begin, size)
            yield Ranked(int(line[:RANK], 16), source, number + base, note)
        at += len(chunk)
        chunk = opened.store.read_range(opened.keys.ranks(span), at, CHUNK * WIDTH)


class DrawnAnswers(NamedTuple):
    """What the tiers say of drawn records, by key: the first one its labels, the word for how sure it is, and facts.

    Only valid answers stand here; in `refused` those that all gates but the judge have passed.
    """

    first: dict[str, FirstTold]
    oracle: dict[str, tuple[str, ...]]
    refused: dict[str, FirstTold]


def drawn_answers(opened: Run) -> DrawnAnswers:
    """The answers to drawn records, as check has set them apart."""
    from sluice.results.answered import answers_in  # noqa: PLC0415 - Arrow, which partition's part here does without
    from sluice.results.merging import attempts_in  # noqa: PLC0415 - the same

    found = DrawnAnswers({}, {}, {})
    keys = [key for key, _ in opened.store.keys(opened.keys.drawn_prefix)]
    for answer in answers_in(map(attempts_in, ahead(opened.store.get, keys, AT_ONCE))):
        if answer.tier == 0 and answer.outcome == Outcome.SCORED:
            why = what_failed(answer.reason, scored=opened.task.gives_scores)
            told = answer.labels, answer.confidence, facts_of(opened, answer.said)
            if why is None:
                found.first[answer.key] = told
            elif why == Reason.JUDGE_REFUSED:
                found.refused[answer.key] = told
        elif answer.tier and answer.outcome == Outcome.ACCEPTED:
            found.oracle[answer.key] = answer.labels
    return found


def facts_of(opened: Run, said: str | None) -> frozenset[str]:
    """What is known of a first answer beside itself: what the judge has said of it, be it nothing."""
    return frozenset({f"judge {said if said in WORDS else 'none'}"} if opened.judges(0) else ())
