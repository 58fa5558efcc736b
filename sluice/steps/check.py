"""check: join what came back to what was sent, in every terminal status; judge each answer; keep the job's books."""

from __future__ import annotations

import tempfile
from bisect import bisect_left, bisect_right
from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa

from sluice import accounting
from sluice.answers import Judge
from sluice.bedrock import TERMINAL
from sluice.containers import split_lines
from sluice.errors import RetryLater, Stop
from sluice.measures import Measure
from sluice.outputs import Manifest, Reply, output_lines, read_line, read_manifest
from sluice.prices import cost
from sluice.prompts import RequestWriter, escaped_of_line
from sluice.reasons import TRANSPORT, Outcome, Reason
from sluice.rows import KEY, RAW, RowReader, parse_object
from sluice.state import Counts, Ended, Failed, JobItem, Pending, Prepared, Submitted, read
from sluice.steps.selection import PendingWriter, shard_rows
from sluice.steps.services import Run
from sluice.table import ATTEMPTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sluice.state import FrozenTier, JobKeys, PlannedJob
    from sluice.steps.services import Services

MISSING = {"Expired": Reason.JOB_EXPIRED, "Failed": Reason.JOB_FAILED, "Stopped": Reason.JOB_STOPPED}
# What trying again cannot mend, in the words of Bedrock's messages.
PERMANENT = (
    "accessdenied",
    "access denied",
    "not authorized",
    "have access",  # "You don't have access to the model with the specified model ID."
    "permission",
    "not supported",
    "extra inputs",
    "is invalid",
    "does not exist",
    "resourcenotfound",
    "not found",  # of an OpenAI-compatible server: model "x" not found
    "no such model",
    "unauthorized",
)
# So Bedrock calls what is wrong with a request of every record, and what is wrong with the text of one.
GENERIC = "validationexception"


class Settled(msgspec.Struct, gc=False):
    """What came of one record in this job. Without gc: a hundred thousand of them stand in memory."""

    reason: Reason | None
    labels: tuple[str, ...] | None
    confidence: str | None
    fields: bytes | None
    input_tokens: int
    output_tokens: int


def run(services: Services, item: JobItem, error: dict[str, str] | None = None) -> Counts | None:
    """Settle a job and return its books; None when it was never sent, because the run was cancelled or a step failed.

    `error` is what a step before failed with: where nothing has been sent, the cause is kept for plan, which stops
    the run with it; a resumed run takes the job up again.
    """
    opened = Run(services.work, item.run)
    done = services.work.find(opened.keys.job(item.round, item.job).counts)
    if done is not None:
        return read(Counts, done, opened.keys.job(item.round, item.job).counts)
    keys = opened.source.job(item.round, item.job)
    written = services.work.find(keys.prepared)
    prepared = read(Prepared, written, keys.prepared) if written is not None else None
    try:
        ended = _ended(services, opened, keys)
    except (RetryLater, Stop) as unknown:
        _keep_cause(
            services,
            opened.keys.job(item.round, item.job),
            error or {"Error": type(unknown).__name__, "Cause": str(unknown)},
        )
        return None
    if prepared is None or (ended is None and prepared.records):
        if error is not None or not opened.cancelled:
            _keep_cause(services, opened.keys.job(item.round, item.job), error)
        return None
    counts = _Check(opened, item, prepared, ended).settle()
    accounting.check_job(counts)
    services.work.put(opened.keys.job(item.round, item.job).counts, counts.write())
    if opened.start.judges is None:
        _measure(services, opened.task.name, counts)
    return counts


def _measure(services: Services, task: str, counts: Counts) -> None:
    """Count what a job sent and cost, now that it has books and will not be settled again."""
    services.measure(Measure.RECORDS_SENT, counts.sent, task=task, tier=counts.tier)
    services.measure(Measure.RECORDS_ESCALATED, counts.escalated, task=task, tier=counts.tier)
    if counts.cost_usd is not None:
        services.measure(Measure.COST_USD, counts.cost_usd, task=task)


def _ended(services: Services, opened: Run, keys: JobKeys) -> Ended | None:
    """How the job ended: as poll or infer noted it, else as Bedrock says now; None when it is still out, or never was.

    A job that still runs is paid for and will bring answers, so it is not settled behind its back.
    """
    written = opened.store.find(keys.ended)
    if written is not None:
        return read(Ended, written, keys.ended)
    sent = opened.store.find(keys.submitted)
    if sent is None:
        return None
    state = services.bedrock.job(read(Submitted, sent, keys.submitted).job_arn)
    if state.status not in TERMINAL:
        return None
    ended = Ended(status=state.status, message=state.message, submitted=state.submitted, ended=state.ended)
    services.work.put(keys.ended, ended.write())  # Bedrock forgets its jobs; a run that judges again must not ask it
    return ended


def _keep_cause(services: Services, keys: JobKeys, error: dict[str, str] | None) -> None:
    found = error or {"Error": "Unfinished", "Cause": "check was reached before the job was sent"}
    services.work.put(keys.failed, Failed(error=found.get("Error", ""), cause=cause_of(found)).write())


def cause_of(error: dict[str, str]) -> str:
    """The message inside a Lambda error, which Step Functions hands over as a JSON text."""
    cause = error.get("Cause", "")
    try:
        return str(msgspec.json.decode(cause)["errorMessage"])
    except (msgspec.MsgspecError, KeyError, TypeError):
        return cause


class _Check:
    """One job on its way from outputs to attempts, pending records and books."""

    def __init__(self, run: Run, item: JobItem, prepared: Prepared, ended: Ended | None) -> None:
        self.run, self.item, self.prepared = run, item, prepared
        self.ended = ended or Ended(status="Completed", message=None, submitted=None, ended=None)
        self.job: PlannedJob = run.planned_job(item)
        self.tier: FrozenTier = run.tier(self.job.tier)
        self.keys = run.source.job(item.round, item.job)
        self.buys = run.start.judges is None
        self.judge = Judge(run.task)
        lines = run.store.get(self.keys.records).split(b"\n")[: prepared.records]  # behind: those held back
        self.sent = [line[:KEY].decode() for line in lines]
        self.missing = MISSING.get(self.ended.status, Reason.MISSING)
        self.settled: dict[str, Settled] = {}
        self.messages: Counter[str] = Counter()
        self.unknown = self.duplicates = self.unreadable = 0
        self.fatal: str | None = None

    def settle(self) -> Counts:
        """Judge, keep the attempts by shard, keep what has to be sent again, count."""
        if self.judge.needs_row:
            self._judge_with_rows()
        else:
            self._judge_as_they_come()
        settled = map(self.settled.get, self.sent)
        reasons = [self.missing if found is None else found.reason for found in settled]
        self.fatal = self._fatal() if self.buys else None
        of = {reason: self._outcome(reason) for reason in set(reasons)}
        outcomes = [of[reason] for reason in reasons]
        self._write_attempts(outcomes)
        pending = self._write_pending(outcomes) if self.buys else []
        return self._counts(outcomes, pending)

    def _replies(self) -> Iterator[Reply]:
        """One reply for each record that came back; of several, an answer goes before an error, else the first."""
        sent = frozenset(self.sent)
        open_, failed = set(sent), dict[str, Reply]()
        for lines in output_lines(self.run.store, self.keys.output_prefix):
            for line in lines:
                reply = read_line(line) if line else None
                if reply is None:
                    self.unreadable += bool(line)
                elif reply.record not in open_:
                    self.duplicates += reply.record in sent
                    self.unknown += reply.record not in sent
                elif reply.reason is not None:
                    self.duplicates += reply.record in failed
                    failed.setdefault(reply.record, reply)
                else:
                    open_.remove(reply.record)
                    if failed:
                        self.duplicates += failed.pop(reply.record, None) is not None
                    yield reply
        yield from failed.values()

    def _judge_as_they_come(self) -> None:
        judge, settled, buys = self.judge.judge, self.settled, self.buys
        for reply in self._replies():
            if reply.reason is not None or reply.text is None:
                self._settle_failed(reply)
                continue
            reason, labels, confidence, fields = judge(reply.text, reply.stop)
            tokens_in, tokens_out = (reply.input_tokens, reply.output_tokens) if buys else (0, 0)
            settled[reply.record] = Settled(reason, labels, confidence, fields, tokens_in, tokens_out)

    def _judge_with_rows(self) -> None:
        """Replies wait on disk, then meet their rows as these stream by: neither stands in memory as a whole."""
        places: dict[str, int] = {}
        with tempfile.TemporaryFile() as spill:
            for reply in self._replies():
                if reply.reason is not None or reply.text is None:
                    self._settle_failed(reply)
                    continue
                places[reply.record] = spill.tell()
                spill.write(msgspec.json.encode(reply).replace(b"\n", b"") + b"\n")
            reader = RowReader(self.run.task)
            for raw, record in self._rows_of(places):
                spill.seek(places.pop(record))
                reply = msgspec.json.decode(spill.readline(), type=Reply)
                row = parse_object(raw)
                verdict = self.judge.judge(
                    reply.text or "", reply.stop, reader.text(raw), row if isinstance(row, dict) else None
                )
                self.settled[record] = Settled(*verdict, *self._tokens(reply))

    def _rows_of(self, wanted: dict[str, int]) -> Iterator[tuple[bytes, str]]:
        """The first row of each wanted record."""
        for shard in sorted({self._shard(key) for key in wanted}):
            for found in shard_rows(self.run, shard):
                for line in found.lines:
                    record = line[:KEY].decode()
                    if record in wanted:
                        yield line[RAW:], record

    def _settle_failed(self, reply: Reply) -> None:
        self.messages[reply.message or ""] += 1
        reason = reply.reason or Reason.REPLY_UNREADABLE
        self.settled[reply.record] = Settled(reason, None, None, None, *self._tokens(reply))

    def _tokens(self, reply: Reply) -> tuple[int, int]:
        """What the reply cost: nothing where a stored one is judged again."""
        return (reply.input_tokens, reply.output_tokens) if self.buys else (0, 0)

    def _outcome(self, reason: Reason | None) -> tuple[Outcome, Reason | None]:
        """What becomes of a record whose attempt ended so."""
        if reason is None:
            return Outcome.ACCEPTED, None
        if not self.buys:
            return Outcome.UNRESOLVED, reason  # unless a later tier's stored answer passes
        # What refused every record alike is no verdict on any of them: a resumed run asks this tier again first.
        if (reason in TRANSPORT or self.fatal) and self.job.attempt < self.tier.attempts:
            return Outcome.RETRIED, reason
        last = self.job.tier + 1 >= len(self.run.start.tiers)
        return (Outcome.UNRESOLVED if last else Outcome.ESCALATED), reason

    def _shard(self, key: str) -> int:
        return bisect_right(self.run.plan.bounds, int(key[: self.run.plan.depth], 16)) - 1

    def _write_attempts(self, outcomes: Sequence[tuple[Outcome, Reason | None]]) -> None:
        """`answers/<shard>/…`: the attempts of this job, an object for each shard that it touches."""
        places: dict[int, list[int]] = {}
        if self.job.shard is not None:
            places[self.job.shard] = list(range(len(self.sent)))
        else:
            for n, key in enumerate(self.sent):
                places.setdefault(self._shard(key), []).append(n)
        for shard, numbers in places.items():
            if numbers:
                data = self._attempts(numbers, outcomes)
                self.run.store.put(self.run.keys.answer(shard, self.item.round, self.item.job), data)

    def _attempts(self, numbers: Sequence[int], outcomes: Sequence[tuple[Outcome, Reason | None]]) -> bytes:
        none = Settled(None, None, None, None, 0, 0)
        keys = [self.sent[n] for n in numbers]
        found = [self.settled.get(key, none) for key in keys]
        columns: list[Sequence[Any]] = [
            keys,
            [outcomes[n][0].value for n in numbers],
            [None if (reason := outcomes[n][1]) is None else reason.value for n in numbers],
            [settled.labels for settled in found],
            [settled.confidence for settled in found],
            [settled.fields for settled in found],
            [settled.input_tokens for settled in found],
            [settled.output_tokens for settled in found],
        ]
        arrays = [pa.array(values, field.type) for values, field in zip(columns, ATTEMPTS, strict=True)]
        about = {"round": self.item.round, "tier": self.job.tier, "transport": self.prepared.transport}
        schema = ATTEMPTS.with_metadata({"attempts": msgspec.json.encode(about)})
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as out:
            out.write_batch(pa.record_batch(arrays, schema=schema))
        return bytes(sink.getvalue().to_pybytes())

    def _write_pending(self, outcomes: Sequence[tuple[Outcome, Reason | None]]) -> list[Pending]:
        """What is to be sent again, with the text that was sent; read from the job's own input."""
        to, tier, attempt = {Outcome.RETRIED: "retry", Outcome.ESCALATED: "next"}, self.job.tier, self.job.attempt
        wanted = {n: why for n, (outcome, _) in enumerate(outcomes) if (why := to.get(outcome))}
        goals = {"retry": (tier, attempt + 1), "next": (tier + 1, 1)}
        writers = {
            why: PendingWriter(
                self.run.store, self.run.keys.pending(self.item.round, self.item.job, *goals[why], why), *goals[why]
            )
            for why in dict.fromkeys(wanted.values())
        }
        requests = RequestWriter(self.run.task, self.tier)
        for n, line in self._input_lines(list(wanted)):
            writers[wanted[n]].add(self.sent[n].encode(), escaped_of_line(line + b"\n", requests))
        held = self.prepared.held
        written = [pending for writer in writers.values() if (pending := writer.close()) is not None]
        return [*written, held] if held is not None else written

    def _input_lines(self, wanted: Sequence[int]) -> Iterator[tuple[int, bytes]]:
        """The lines of the job's input with these numbers, which stand there in the order of the records."""
        at = first = 0
        blocks = self.run.store.blocks(self.keys.input) if wanted else iter(())
        for lines in split_lines(blocks, self.run.settings.max_file_bytes):
            behind = bisect_left(wanted, first + len(lines), at)
            yield from ((n, lines[n - first]) for n in wanted[at:behind])
            at, first = behind, first + len(lines)

    def _counts(self, outcomes: Sequence[tuple[Outcome, Reason | None]], pending: list[Pending]) -> Counts:
        of, reasons, onward = _tally(outcomes)
        tokens_in = sum(settled.input_tokens for settled in self.settled.values())
        tokens_out = sum(settled.output_tokens for settled in self.settled.values())
        held = self.prepared.held.records if self.prepared.held and self.buys else 0
        errored = sum(self.messages.values())
        return Counts(
            round=self.item.round,
            job=self.item.job,
            tier=self.job.tier,
            attempt=self.job.attempt,
            purpose=self.job.purpose,
            transport=self.prepared.transport,
            status=self.ended.status,
            message=self.ended.message or self._commonest_message(),
            submitted=self.ended.submitted,
            ended=self.ended.ended,
            records=len(self.sent) + held,
            sent=len(self.sent),
            held_back=held,
            answered=len(self.settled) - errored,
            errored=errored,
            missing=len(self.sent) - len(self.settled),
            accepted=of[Outcome.ACCEPTED],
            retried=of[Outcome.RETRIED],
            escalated=of[Outcome.ESCALATED],
            unresolved=of[Outcome.UNRESOLVED],
            duplicates=self.duplicates,
            unknown=self.unknown,
            unreadable=self.unreadable,
            reasons=reasons,
            escalated_for=onward,
            input_tokens=tokens_in,
            output_tokens=tokens_out,
            cost_usd=cost(self.tier.price, self.prepared.transport, tokens_in, tokens_out),
            pending=pending,
            fatal=self.fatal,
            warnings=self._warnings(),
        )

    def _commonest_message(self) -> str | None:
        return self.messages.most_common(1)[0][0] if self.messages else None

    def _fatal(self) -> str | None:
        """Why sending more would fail the same way, if it would: the job or each of its records was refused."""
        if not self.sent or len(self.settled) - sum(self.messages.values()):
            return None
        message = self.ended.message if self.ended.status == "Failed" else self._commonest_message()
        if message is None or not self._lasts(message.lower()):
            return None
        return f"all {len(self.sent)} records were refused by {self.tier.model_id}: {message}"

    def _lasts(self, message: str) -> bool:
        """Whether trying again cannot mend what the message tells: by its words, or since it is about all alike."""
        alike = self.ended.status == "Failed" or (len(self.messages) == 1 and len(self.settled) > 1)
        return any(word in message for word in PERMANENT) or (GENERIC in message and alike)

    def _warnings(self) -> list[str]:
        manifest = read_manifest(self.run.store, self.keys.output_prefix) or Manifest()
        answered = len(self.settled) - sum(self.messages.values())
        place = f"round {self.item.round}, job {self.item.job}"
        found = []
        if manifest.successRecordCount not in (None, answered):
            found.append(f"{place}: the manifest says {manifest.successRecordCount} successes, {answered} were found")
        missing = len(self.sent) - len(self.settled)
        if missing and self.ended.status == "Completed" and self.buys:
            found.append(f"{place}: it is {self.ended.status}, and {missing} of {len(self.sent)} records are missing")
        for count, what in (
            (self.duplicates, "lines were about a record that had its answer already"),
            (self.unknown, "lines were about records that were never sent"),
            (self.unreadable, "lines could not be read"),
        ):
            if count:
                found.append(f"{place}: {count} {what}")
        return found


def _tally(
    outcomes: Sequence[tuple[Outcome, Reason | None]],
) -> tuple[Counter[Outcome], dict[str, int], dict[str, int]]:
    """Count outcomes, reasons of all that was not accepted, and reasons of what goes on to the next tier."""
    of: Counter[Outcome] = Counter()
    reasons: Counter[str] = Counter()
    onward: Counter[str] = Counter()
    for (outcome, reason), count in Counter(outcomes).items():
        of[outcome] += count
        if reason is not None:
            reasons[reason.value] += count
            if outcome is Outcome.ESCALATED:
                onward[reason.value] += count
    return of, dict(reasons), dict(onward)
