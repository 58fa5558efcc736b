"""Replies that are kept for later runs: prepare looks for those of its records, check keeps what came, publish merges.

Under a question's prefix lies an object for each hash range that a job has kept replies of, by the day of its run. A
job reads the ranges that its own records lie in, and of these the objects that are young enough, one after the other.
"""

from __future__ import annotations

import datetime as dt
from hashlib import blake2b
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from sluice.answers.reuse import (
    OBJECT_BYTES,
    RANGE_RECORDS,
    ChunkWriter,
    Said,
    common_digits,
    could_be_read,
    overlaps,
    question,
    range_depth,
    read_chunks,
    take,
)
from sluice.rows.record import KEY
from sluice.runs.accounting import REPEAT
from sluice.runs.keys import ReplyKeys, is_over
from sluice.steps.listed import ListedRecords
from sluice.steps.records import JobRecords

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from collections.abc import Set as AbstractSet

    from sluice.answers.judge import Verdict
    from sluice.answers.replies import Reply
    from sluice.aws.s3 import Store
    from sluice.runs.state import JobItem, PlannedJob
    from sluice.steps.services import Run, Services

HEX_DIGITS = "0123456789abcdef"
LOOKS = 3  # at a list of objects of which one is gone: merged with others, and there under another name
TELLING = 64  # keys whose spread says how many there are in all
MERGED_FROM = 8  # objects of a day; of a day that is over two are enough
MERGED_BYTES = 2 * OBJECT_BYTES  # that are merged at once
SMALL_BYTES = OBJECT_BYTES // 2  # what is larger is large enough


def reply_keys(run: Run, tier: int) -> ReplyKeys:
    """Where the replies of a tier are kept."""
    return ReplyKeys(run.task.name, question(run.task, run.tier(tier), run.start.answers))


def reuse_days(run: Run, tier: int) -> int:
    """For how many days a tier's replies are used; 0: they are not, as those of what each run teaches itself anew."""
    reuse = run.task.reuse
    return 0 if reuse is None or run.tier(tier).is_learned else reuse.days


def shard_keys(run: Run, shard: int) -> tuple[str, str]:
    """The least and the greatest key that a shard can have."""
    depth, bounds = run.plan.depth, run.plan.bounds
    least, most = f"{bounds[shard]:0{depth}x}", f"{bounds[shard + 1] - 1:0{depth}x}"
    return least.ljust(KEY, "0"), most.ljust(KEY, "f")


class Known(NamedTuple):
    """The records of a job whose replies are there; `whole`: the job's records as they were met, if all of them are."""

    keys: frozenset[bytes] = frozenset()
    whole: tuple[JobRecords, ListedRecords] | None = None


class Lookup:
    """Finds kept replies of a job's records, and copies them into the job, where they last as long as the run.

    Of records that start `elsewhere`, at another tier, none is looked for.
    """

    def __init__(self, run: Run, job: PlannedJob, elsewhere: AbstractSet[bytes] = frozenset()) -> None:
        self.run, self.job, self.elsewhere = run, job, elsewhere
        self.keys = reply_keys(run, job.tier)
        self.today = dt.date.fromisoformat(run.start.date)
        self.days = 0 if job.judge else reuse_days(run, job.tier)  # a judge's word is about an answer, not a text

    def find(self, place: str) -> Known:
        """The records whose replies are there; they are written to `place`, unless there were some already.

        What was found once stays: a job that is prepared again holds the same requests.
        """
        store = self.run.store
        if not self.days or self.job.purpose == REPEAT:  # what the oracle says anew is what is asked for
            return Known()
        if store.exists(place):
            return Known(frozenset(key for chunk in read_chunks(store.blocks(place)) for key in chunk.keys))
        with store.writer(place) as out:
            if self.job.shard is not None and not self._objects(*shard_keys(self.run, self.job.shard)):
                return Known()
            met, listed = self._met()
            wanted = set(listed.keys) - self.elsewhere
            writer = ChunkWriter(out.write)
            for data in self._read(wanted):
                for chunk in read_chunks([data]):
                    if known := wanted.intersection(chunk.keys):
                        take(chunk, known, out.write, writer)
                        wanted -= known
            writer.close()
        if not wanted and not self.elsewhere:
            return Known(whole=(met, listed))
        return Known(frozenset(listed.keys) - self.elsewhere - wanted)

    def _met(self) -> tuple[JobRecords, ListedRecords]:
        """The job's records: as many as a job may have, and nothing of their texts."""
        met, listed = JobRecords(self.run, self.job, texts=False), ListedRecords()
        for some in met:
            listed.add(some.keys, some.places, some.segment)
        return met, listed

    def _read(self, wanted: set[bytes]) -> Iterator[bytes]:
        """The objects that may have any of these, the newest first; none when there are no more wanted.

        Raises:
            Stop, RetryLater: S3 refuses.
        """
        if not wanted:
            return
        least, most = min(wanted).decode(), max(wanted).decode()
        read: set[str] = set()
        for _ in range(LOOKS):
            gone = False
            for key in self._objects(least, most):
                if key in read:
                    continue
                data = self.run.store.find(key)
                if data is None:
                    gone = True
                    continue
                read.add(key)
                yield data
                if not wanted:
                    return
            if not gone:
                return

    def _objects(self, least: str, most: str) -> list[str]:
        """What lies in the ranges from one key to another and is young enough, the newest first."""
        return young_objects(self.run.store, self.keys, least, most, (self.today, self.days))


def young_objects(store: Store, keys: ReplyKeys, least: str, most: str, young: tuple[dt.date, int]) -> list[str]:
    """The objects of a question in the ranges from one key to another that are not over, the newest first."""
    shared = common_digits(least, most)
    prefixes = [keys.range(shared[:count]) for count in range(len(shared))]
    found = [
        key
        for prefix in (*prefixes, keys.beginning(shared))
        for key, _ in store.keys(prefix)
        if overlaps(keys.digits(key), least, most) and not is_over(key, *young)
    ]
    return sorted(found, key=lambda key: key.rpartition("/")[2], reverse=True)


def known_keys(
    run: Run, kept: Store, place: tuple[int, int], answers: str, wanted: Collection[bytes]
) -> frozenset[bytes]:
    """Of a shard's records those to which another place keeps a reply of a tier; `place` is that tier and that shard.

    `answers`: who gave those replies. Nothing but keys is read of them.
    """
    tier, shard = place
    days, found = reuse_days(run, tier), set[bytes]()
    if not days or not wanted:
        return frozenset()
    keys = ReplyKeys(run.task.name, question(run.task, run.tier(tier), answers))
    young = dt.date.fromisoformat(run.start.date), days
    for name in young_objects(kept, keys, *shard_keys(run, shard), young):
        if len(found) == len(wanted):
            break
        for chunk in read_chunks([kept.get(name)]):
            found.update(key for key in chunk.keys if key in wanted)
    return frozenset(found)


class Keeper:
    """Keeps the replies of a job as they are judged: one object for each hash range, or more where texts are long."""

    def __init__(self, run: Run, item: JobItem, job: PlannedJob, sent: Sequence[str]) -> None:
        self.run, self.item = run, item
        self.keys = reply_keys(run, job.tier)
        least, most = (min(sent), max(sent)) if job.shard is None else shard_keys(run, job.shard)
        # How few keys lie does not tell how many there are.
        self.depth = 0 if job.shard is None and len(sent) < TELLING else range_depth(least, most, len(sent))
        self.ranges: dict[str, tuple[_Objects, ChunkWriter]] = {}

    def add(self, key: str, reply: Reply, verdict: Verdict, tokens: tuple[int, int]) -> None:
        """Take a record's reply, if it could be read; tokens that are only estimated stand there as -1 - e."""
        if reply.text is None or not could_be_read(verdict):
            return
        tokens_in, tokens_out = (-1 - count if count < 0 else count for count in tokens)
        digits = key[: self.depth]
        if digits not in self.ranges:
            run, item = self.run, self.item
            objects = _Objects(run.store, self.keys.job(digits, run.start.date, run.id, item.round, item.job))
            self.ranges[digits] = objects, ChunkWriter(objects.write)
        self.ranges[digits][1].add(key.encode(), Said(reply.text, reply.stop, tokens_in, tokens_out))

    def close(self) -> None:
        """Write what is left; a job that is settled again writes the same to the same keys."""
        for objects, writer in self.ranges.values():
            writer.close()
            objects.close()


def keeper_of(run: Run, item: JobItem, job: PlannedJob, asked: Sequence[str]) -> Keeper | None:
    """What keeps the replies of a job to the records that were asked; None where none are to be kept."""
    asks_anew = job.judge or job.purpose == REPEAT
    keeps = asked and not asks_anew and reuse_days(run, job.tier) and run.start.judges is None
    return Keeper(run, item, job, asked) if keeps else None


class _Objects:
    """Chunks on their way into objects, each small enough to be read whole; the keys are numbered behind `name`."""

    def __init__(self, store: Store, name: str) -> None:
        self.store, self.name = store, name
        self.held = bytearray()
        self.written = 0

    def write(self, chunk: bytes) -> None:
        self.held += chunk
        if len(self.held) >= OBJECT_BYTES:
            self.close()

    def close(self) -> None:
        if self.held:
            self.store.put(f"{self.name}_{self.written:03d}", bytes(self.held))
            self.written += 1
            self.held.clear()


def merge_kept(services: Services, run: Run) -> None:
    """Make of many small objects few, so that a look-up reads as few after a year of small runs as after one.

    Only objects of one range and day are merged, so that each reply still expires on its day. An object is removed
    when its replies stand in another one: whoever reads meanwhile finds them here or there, perhaps twice.
    """
    if run.start.judges is not None:
        return
    # Where ranges are finer, runs are large, and so are their objects.
    ranges = ["", *(HEX_DIGITS if run.plan.distinct > RANGE_RECORDS * 16 else ())]
    of_tiers = [reply_keys(run, tier) for tier in range(len(run.start.tiers)) if reuse_days(run, tier)]
    for keys in {keys.prefix: keys for keys in of_tiers}.values():
        for digits in ranges:
            small = [item for item in services.work.keys(keys.range(digits)) if item[1] < SMALL_BYTES]
            for day, group in groupby(small, key=lambda item: _day_of(item[0])):
                chosen = _together(group)
                if len(chosen) >= (MERGED_FROM if day.endswith(run.start.date) else 2):
                    _merge(services.work, day, chosen)


def _day_of(key: str) -> str:
    """How the keys of a range and day begin; only the last part tells, since the name of a task may hold an `_`."""
    folder, _, name = key.rpartition("/")
    return f"{folder}/{name.partition('_')[0]}"


def _together(group: Iterable[tuple[str, int]]) -> list[str]:
    """As many objects as can be merged at once."""
    chosen, size = [], 0
    for key, bytes_ in group:
        if size + bytes_ <= MERGED_BYTES:
            chosen.append(key)
            size += bytes_
    return chosen


def _merge(store: Store, day: str, chosen: Sequence[str]) -> None:
    """Write what objects of a range and day hold to others, and remove them; `day` is how their keys begin."""
    name = blake2b("\n".join(chosen).encode(), digest_size=8).hexdigest()
    objects = _Objects(store, f"{day}_merged-{name}")
    writer, seen = ChunkWriter(objects.write), set[bytes]()
    for key in chosen:
        data = store.find(key)
        if data is None:
            return  # somebody else is merging them; what is written already says nothing wrong
        for chunk in read_chunks([data]):
            take(chunk, frozenset(chunk.keys) - seen, objects.write, writer)
            seen.update(chunk.keys)
    writer.close()
    objects.close()
    store.delete(chosen)
