"""merge: one part of the results: rows joined with the attempts at their records, as zstd Parquet, with its books."""

from __future__ import annotations

import zlib
from array import array
from collections import Counter, defaultdict
from hashlib import blake2b
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sluice.reasons import Outcome, Reason, Status
from sluice.results.findings import FindingsCount
from sluice.results.merging import Joined, Place, RowJoin, attempts_in, join_attempts, read_firsts
from sluice.results.more import with_more
from sluice.results.settled import PEOPLE
from sluice.results.settling import with_settled
from sluice.results.standing import Measured, Standing
from sluice.results.table import ATTEMPT, BASE
from sluice.rows.record import KEY, PLACE, SENT
from sluice.runs.books import PartBooks
from sluice.runs.document import read
from sluice.runs.state import End
from sluice.steps.repeats import repeats_of
from sluice.steps.scores import scores_of
from sluice.steps.selection import place_of, shard_of, shard_rows
from sluice.steps.services import Run

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sluice.aws.s3 import ObjectWriter
    from sluice.results.merging import Attempts
    from sluice.runs.state import Part
    from sluice.steps.services import Services

BATCH_ROWS = 10_000  # rows joined and written at once, a row group: larger ones take memory and no less time
IDS_COUNTED = 2_000_000  # up to so many rows, doubled ids are counted exactly; beyond, in a share of them
# Columns, as Parquet names them, whose values repeat; for the others a dictionary is work in vain.
REPEATING = [name for name, _ in BASE if name not in ("line", "id", "record", "labels", "trail")]
REPEATING += ["labels.list.element", *(f"trail.list.element.{field.name}" for field in ATTEMPT)]
_PLACE_OF = itemgetter(slice(KEY, PLACE))  # source and line of a stored row, in digits


def run(services: Services, part: Part) -> PartBooks:
    """Write `merged/<part>.parquet` and its books, which come last; a part with books is left alone."""
    opened = Run(services.work, part.run)
    keys = opened.keys
    done = services.work.find(keys.merged_books(part.part))
    if done is not None:
        return read(PartBooks, done, keys.merged_books(part.part))
    with services.work.writer(keys.merged(part.part)) as out:
        merge = _Merge(opened, part)
        merge.write(out)
    services.work.put(keys.merged_ids(part.part), merge.ids.tobytes())
    books = merge.books(out.size)
    services.work.put(keys.merged_books(part.part), books.write())
    return books


def ids_modulus(rows: int) -> int:
    """Of the ids of a run with so many rows, one in this many is counted."""
    return max(1, rows // IDS_COUNTED)


def standing_of(run: Run, shard: int, found: Sequence[Attempts]) -> Standing | Measured | None:
    """Which answers of a shard stand that waited; None for a run that draws no rows. `found`: the shard's attempts."""
    if run.task.quality is None and not run.draws_rows:
        return None
    decided, scores, covered = run.decided, dict[str, int](), set[str]()
    for each in scores_of(run, shard) if run.task.gives_scores else ():
        scores[each.key] = each.place.score
        if decided is not None and decided.stands(each.place, each.floor):
            covered.add(each.key)
    drawn = run.draws.keys if run.store.exists(run.source.draws) else set()
    if run.promises_nothing:
        answered = drawn & {key for attempts in found for key in answered_by_last(run, attempts)}
        gate = run.score_gate
        told = {} if gate is None or gate.untaught is not None else scores
        why = Reason.LOW_SCORE if gate is None else gate.falls_short
        enough = None if gate is None else covered
        return Measured(answered, told, enough, gives_scores=run.task.gives_scores, falls_short=why)
    return Standing(scores, drawn, covered, certified=decided is not None)


def answered_by_last(run: Run, attempts: Attempts) -> list[str]:
    """The records of which these attempts hold a valid answer of the last tier."""
    if attempts.tier + 1 < len(run.start.tiers):
        return []
    accepted = pc.equal(attempts.table["outcome"], Outcome.ACCEPTED.value)
    return attempts.table["key"].filter(accepted).to_pylist()  # type: ignore[no-any-return]


class _Merge:
    """One part on its way into a file, batch by batch."""

    def __init__(self, run: Run, part: Part) -> None:
        self.run, self.part = run, part
        end = read(End, run.store.get(run.keys.end), run.keys.end)
        self.cancelled = end.reason == Reason.CANCELLED
        firsts = read_firsts(self._first_lines())
        found = list(self._attempts())
        asked = join_attempts(run.task, run.start, found, firsts, end.reason, standing_of(run, part.shard, found))
        settled = [record for record in run.settled if shard_of(run.plan, record.record) == part.shard]
        records = with_settled(run.task, asked, settled)
        records = with_more(records, {key: (*each.tokens, each.usd) for key, each in repeats_of(run).items()})
        pa.default_memory_pool().release_unused()  # what joining the attempts took, rows will want
        uris = [item.uri for item in run.inputs.inputs]
        self.rows = RowJoin(run.task, run.start, uris, records)
        self.numbers = {uri: str(number) for number, uri in enumerate(uris)}
        self.inputs: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.modulus = ids_modulus(run.plan.rows)
        self.ids = array("Q")
        self.ids_missing = 0
        self.findings = FindingsCount(run.task, records, run.plan.rows)
        self.counts: Counter[str] = Counter()
        self.drawn = pa.array(self._drawn_here(), pa.string())
        self.drawn_rows: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.labels: Counter[str] = Counter()
        self.settled_labels: Counter[str] = Counter()
        self.kept_invalid: Counter[str] = Counter()
        self.input_tokens = self.output_tokens = 0
        self.cost: float | None = 0.0

    def _drawn_here(self) -> list[str]:
        """The records of the shard that were drawn for the last tier."""
        run = self.run
        keys = run.draws.keys if run.draws_rows and run.store.exists(run.source.draws) else ()
        return [key for key in keys if shard_of(run.plan, key) == self.part.shard]

    def _attempts(self) -> Iterator[Attempts]:
        for key, _ in self.run.store.keys(self.run.keys.answers(self.part.shard)):
            if self.cancelled and not self.run.store.exists(self.run.keys.counts_of(key)):
                continue  # only in a cancelled run a job may have been left half settled
            yield attempts_in(self.run.store.get(key))

    def _first_lines(self) -> list[bytes]:
        """The list of records of the shard's first job; none when it was never prepared.

        Of such a shard records may have been drawn all the same, and sent by another job: then the rows tell.
        """
        job = self.run.shard_jobs.get(self.part.shard)
        data = None if job is None else self.run.store.find(self.run.source.job(*job).records)
        if data is not None:
            return data.split(b"\n")[:-1]
        return list(self._drawn_lines()) if self.run.draws_rows else []

    def _drawn_lines(self) -> Iterator[bytes]:
        drawn = {key.encode() for key in self.run.draws.keys} if self.run.store.exists(self.run.source.draws) else set()
        places: dict[bytes, bytes] = {}
        rows: Counter[bytes] = Counter()
        for segment, lines in shard_rows(self.run, self.part.shard) if drawn else ():
            for line in lines:
                key = line[:KEY]
                if line[PLACE] in SENT and key in drawn:
                    rows[key] += 1
                    places.setdefault(key, b"%08d%012d" % place_of(line, segment))
        yield from (key + place if rows[key] > 1 else key for key, place in places.items())

    def write(self, out: ObjectWriter) -> None:
        """Join and write, a row group per batch."""
        writing: dict[str, Any] = {"compression": "zstd", "compression_level": 1, "use_dictionary": REPEATING}
        with pq.ParquetWriter(out, self.rows.schema, **writing) as writer:
            for places in self._batches():
                joined = self.rows.join(places)
                self._count(joined)
                self.findings.add([line for place in places for line in place.lines], joined)
                writer.write_table(joined.table, row_group_size=BATCH_ROWS)

    def _batches(self) -> Iterator[list[Place]]:
        """Stored rows in the order of the input, in batches of at most `BATCH_ROWS`."""
        batch: list[Place] = []
        room = BATCH_ROWS
        for segment, lines in shard_rows(self.run, self.part.shard, self.part.first, self.part.last):
            lines.sort(key=_PLACE_OF)  # they come bucket by bucket
            at = 0
            while at < len(lines):
                taken = lines[at : at + room]
                batch.append(Place(taken, segment.first_source, segment.line_base))
                at, room = at + len(taken), room - len(taken)
                if not room:
                    yield batch
                    batch, room = [], BATCH_ROWS
            lines.clear()  # before the next segment comes
        if batch:
            yield batch

    def _count(self, joined: Joined) -> None:
        table = joined.table
        statuses = _value_counts(table["status"])
        self.counts.update(statuses)
        self._count_inputs(table, statuses)
        by_people = pc.fill_null(pc.equal(table["model"], PEOPLE), False)
        if settled := pc.sum(by_people).as_py():
            self.counts["settled"] += settled
            self.settled_labels.update(_value_counts(pc.list_flatten(table["labels"].filter(by_people))))
        if len(self.drawn):
            records = table["record"]
            self.drawn_rows.update(_value_counts(records.filter(pc.is_in(records, self.drawn))))
        self.counts["shared"] += pc.sum(table["shared"]).as_py() or 0
        self.reasons.update(_value_counts(table["reason"]))
        self.labels.update(_value_counts(pc.list_flatten(table["labels"])))
        self.kept_invalid.update(joined.kept_invalid)
        self.input_tokens += pc.sum(table["input_tokens"]).as_py() or 0
        self.output_tokens += pc.sum(table["output_tokens"]).as_py() or 0
        if table["cost_usd"].null_count:
            self.cost = None
        elif self.cost is not None:
            self.cost += pc.sum(table["cost_usd"]).as_py() or 0.0
        if self.run.task.input.id is not None:
            self._count_ids(table["id"])

    def _count_inputs(self, table: pa.Table, statuses: dict[str, int]) -> None:
        """Count what became of the rows of each input; rows come in the order of the inputs."""
        source = table["source"]
        if len(source) and source[0] == source[-1]:
            self.inputs[self.numbers[source[0].as_py()]].update(statuses)
            return
        for uri, status, rows in _counted_pairs(source, table["status"]):
            self.inputs[self.numbers[uri]][status] += rows

    def _count_ids(self, column: pa.ChunkedArray) -> None:
        """Keep a hash of each id, or of the ids in a share of the hash space when the run is large."""
        self.ids_missing += column.null_count
        ids = pc.cast(column.drop_null(), pa.binary()).to_pylist()
        if self.modulus > 1:
            ids = [value for value in ids if zlib.crc32(value) % self.modulus == 0]
        self.ids.frombytes(b"".join([blake2b(value, digest_size=8).digest() for value in ids]))

    def books(self, size: int) -> PartBooks:
        """The part's books."""
        statuses = {status: self.counts[status.value] for status in Status}
        return PartBooks(
            part=self.part.part,
            shard=self.part.shard,
            rows=sum(statuses.values()),
            accepted=statuses[Status.ACCEPTED],
            unresolved=statuses[Status.UNRESOLVED],
            rejected=statuses[Status.REJECTED],
            shared=self.counts["shared"],
            reasons=dict(self.reasons),
            labels=dict(self.labels),
            settled_labels=dict(self.settled_labels),
            ids_missing=self.ids_missing,
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            cost_usd=self.cost,
            kept_invalid=dict(self.kept_invalid),
            inputs={
                number: (of[Status.ACCEPTED], of[Status.UNRESOLVED], of[Status.REJECTED])
                for number, of in self.inputs.items()
            },
            gold=self.findings.gold.tally(),
            findings=self.findings.findings(),
            settled=self.counts["settled"],
            drawn_rows=dict(self.drawn_rows),
            bytes=size,
        )


def _value_counts(column: pa.ChunkedArray) -> dict[str, int]:
    return {
        item["values"]: item["counts"] for item in pc.value_counts(column).to_pylist() if item["values"] is not None
    }


def _counted_pairs(one: pa.ChunkedArray, other: pa.ChunkedArray) -> list[tuple[str, str, int]]:
    """How often each pair of values stands side by side."""
    counted = pa.table([one, other], ["one", "other"]).group_by(["one", "other"]).aggregate([([], "count_all")])
    return list(zip(*(counted[name].to_pylist() for name in ("one", "other", "count_all")), strict=True))
