"""check: join what came back to what was sent, in every terminal status; judge each answer; keep the job's books."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from sluice.answers.judge import Verdict
from sluice.answers.packs import PackWriter, next_pack
from sluice.answers.refusals import FEW, REFUSED_JOB, lasts, of_text
from sluice.answers.replies import Manifest, read_manifest
from sluice.answers.requests import RequestWriter
from sluice.aws.metrics import Measure
from sluice.errors import RetryLater, Stop
from sluice.models.prices import cost
from sluice.reasons import TRANSPORT, Outcome, Reason
from sluice.rows.record import BYTES_PER_TOKEN, KEY
from sluice.runs import accounting
from sluice.runs.books import Counts
from sluice.runs.document import read
from sluice.runs.job import THROTTLED, Ended, Prepared
from sluice.runs.state import JobItem, Pending
from sluice.steps.courses import courses_of
from sluice.steps.ended import how_it_ended, keep_cause
from sluice.steps.endings import (
    MISSING,
    Ending,
    Traits,
    Waiting,
    attempts_of,
    attempts_stream,
    name_of,
    numbered,
    routed,
    tally,
)
from sluice.steps.judge_gate import as_kept, ending_of, said, showing
from sluice.steps.judging import Judged
from sluice.steps.metering import share_out
from sluice.steps.oddities import Doubts, oddities
from sluice.steps.onward import PendingWriters
from sluice.steps.records import JobRecords
from sluice.steps.repeats import keep_repeats
from sluice.steps.reuse import keeper_of
from sluice.steps.selection import shard_of
from sluice.steps.services import Run

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sluice.runs.state import FrozenTier, PlannedJob
    from sluice.steps.services import Services

AGAIN = {Outcome.RETRIED, Outcome.REFUSED}  # outcomes after which the same is asked again, or plan decides
FAILED_TOGETHER = TRANSPORT | {Reason.RECORD_REFUSED}  # of a request: none of its records was looked at alone


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
        ended = how_it_ended(services, opened, keys, error)
    except (RetryLater, Stop) as unknown:
        keep_cause(
            services,
            opened.keys.job(item.round, item.job),
            error or {"Error": type(unknown).__name__, "Cause": str(unknown)},
        )
        return None
    if prepared is None or (ended is None and prepared.records):
        if error is not None or not opened.cancelled:
            keep_cause(services, opened.keys.job(item.round, item.job), error)
        return None
    counts = _Check(opened, item, prepared, ended).settle()
    accounting.check_job(counts, sends=opened.start.judges is None)
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


class _Check:
    """One job on its way from outputs to attempts, pending records and books."""

    def __init__(self, run: Run, item: JobItem, prepared: Prepared, ended: Ended | None) -> None:
        self.run, self.item, self.prepared = run, item, prepared
        self.ended = ended or Ended(status="Completed", message=None, submitted=None, ended=None)
        self.job: PlannedJob = run.planned_job(item)
        self.tier: FrozenTier = run.answerer(self.job)
        self.keys = run.source.job(item.round, item.job)
        self.buys = run.start.judges is None
        listed = prepared.records + prepared.reused  # behind: those held back
        self.sent = [line[:KEY] for line in run.store.get(self.keys.records).decode().split("\n")[:listed]]
        self.manifest = read_manifest(run.store, self.keys.output_prefix) or Manifest()
        keeper = keeper_of(run, item, self.job, self.sent[: prepared.records])
        asked, learned = run.question(self.job), self.tier.is_learned
        self.judged = Judged(run, self.keys, self.sent, prepared.reused, keeper, question=asked, by_word=not learned)
        if keeper is not None:
            keeper.close()
        self.missing = Verdict(self._why_missing())
        self.metered = True
        self.fatal = self._fatal() if self.buys else None
        self.drawn = self.run.draws.keys if self.run.draws_rows else set()
        self.waiting, self.judges = Waiting.of(run, self.job.tier), run.judges(self.job.tier)
        most = len(run.start.tiers) - 1
        self.last = most if self.job.last is None else self.job.last
        self.courses = courses_of(run, self.job) if self.buys and any(of.last < most for of in run.task.courses) else {}

    def _why_missing(self) -> Reason:
        """Why no answer came to a record that has none."""
        might = self.buys and self.judged.missing and self.ended.status not in {"Failed", REFUSED_JOB}
        if might and self.judged.is_gone():
            return Reason.REPLY_GONE
        return MISSING.get(self.ended.status, Reason.MISSING)

    def settle(self) -> Counts:
        """Keep the attempts by shard, keep what has to be sent again, count."""
        if not self.buys:  # stored replies cost nothing when they are judged again
            self.judged.forget_tokens()
        self._meter()
        if self.job.purpose == accounting.REPEAT:
            return keep_repeats(self.run, self.item, self.job, self.prepared, self.ended, self.judged)
        verdicts = [verdict or self.missing for verdict in self.judged.verdicts]
        alike = self.judged.packs is None and not self.courses and not self.waiting.drawn
        traits = [Traits(0, is_drawn=False, last=self.last)] * len(self.sent) if alike else self._traits()
        names = map(id, verdicts)
        at, of = numbered(list(names) if alike else list(zip(names, traits, strict=True)))
        endings = [self._ending(verdicts[n], traits[n]) for n in at]
        shown = [as_kept(verdicts[n], self.job, ending) for n, ending in zip(at, endings, strict=True)]
        attempts = attempts_of(self.sent, self.judged, shown, endings, of)
        self._write_attempts(attempts)
        self._write_drawn(attempts)
        pending = self._write_pending(endings, of, traits, verdicts) if self.buys else []
        return self._counts(endings, of, pending, said([verdicts[n] for n in at], of) if self.job.judge else {})

    def _traits(self) -> list[Traits]:
        """Of each record what decides about it beside its verdict."""
        # What becomes of a record depends on how many others its request held. Half of a small pack is none.
        half = next_pack(self.tier.pack, self.job.pack)
        return [
            Traits(0 if size == 1 else half if size > half else 1, key in self.waiting.drawn, self._last(key))
            for size, key in zip(self.judged.sizes(), self.sent, strict=True)
        ]

    def _meter(self) -> None:
        """Find what the tokens are that replies do not tell."""
        untold, (tokens_in, tokens_out) = self.judged.untold, (self.judged.tokens_in, self.judged.tokens_out)
        if not untold:
            return
        task = self.run.question(self.job)
        constant = [RequestWriter(task, self.tier).constant_bytes] * len(self.sent)
        if self.judged.packs is not None:
            of_packs = PackWriter(task, self.tier, b"").constant_bytes
            sizes = self.judged.packs.sizes
            constant = [of_packs // size if size > 1 else constant[0] for size in sizes for _ in range(size)]
        for n, escaped in self._texts(sorted(n for n in untold if tokens_in[n] < 0)):
            tokens_in[n] = -1 - (constant[n] + len(escaped)) // BYTES_PER_TOKEN
        told = (
            None if tokens is None else max(0, tokens - fillers)
            for tokens, fillers in zip(self.manifest.tokens, self.judged.filler_tokens, strict=True)
        )
        in_all = [share_out(*pair) for pair in zip((tokens_in, tokens_out), told, strict=True)]
        self.metered = all(in_all)

    def _last(self, key: str) -> int:
        """The last tier that a record may be sent to."""
        course = self.courses.get(key.encode())
        return self.last if course is None else course.last

    def _ending(self, verdict: Verdict, traits: Traits) -> Ending:
        """What becomes of a record whose attempt ended so."""
        ending = self._outcome(verdict, traits.fewer, traits.last)
        if self.job.judge and not self.judges:  # of stored words that the task no longer asks for, nothing waits
            return ending
        return self.waiting.hold(ending, is_drawn=traits.is_drawn)

    def _outcome(self, verdict: Verdict, fewer: int, last: int) -> Ending:
        onward = Outcome.UNRESOLVED if self.job.tier >= last else Outcome.ESCALATED
        ending = self._by_itself(verdict, fewer, onward)
        if self.job.judge and ending.outcome not in AGAIN:
            scored = self.waiting.scores and self.judges
            return ending_of(verdict, onward, buys=self.buys, scored=scored) or ending
        if ending.outcome is Outcome.ACCEPTED and self.judges and not self.job.judge:
            return Ending(Outcome.JUDGED)
        return ending

    def _by_itself(self, verdict: Verdict, fewer: int, onward: Outcome) -> Ending:
        """The same, whatever a judge says of it; `onward`: what not being accepted comes to."""
        reason = verdict.reason
        heard = verdict is not self.missing and not self.judged.is_error(verdict)
        if self.job.router and (ending := routed(verdict, onward, heard=heard, buys=self.buys)) is not None:
            return ending
        if reason is None:
            return Ending(Outcome.ACCEPTED)
        if not self.buys or reason is Reason.REPLY_GONE:
            return Ending(Outcome.UNRESOLVED, reason)  # unless a later tier's stored answer passes
        if self._waits_for_plan(verdict):
            return Ending(Outcome.REFUSED, reason)
        if self._was_throttled(reason):  # a batch job takes it, where there can be one; nothing was billed for it
            return Ending(Outcome.RETRIED if self.tier.batch else onward, reason)
        if fewer and (reason in FAILED_TOGETHER or self.judged.came_of_pack(verdict)):
            return Ending(Outcome.RETRIED, reason, split=fewer)
        if reason in TRANSPORT and self.job.attempt < self.tier.attempts:
            return Ending(Outcome.RETRIED, reason)
        return Ending(onward, reason)

    def _was_throttled(self, reason: Reason | None) -> bool:
        """Whether a record was called for too long without being let through."""
        return reason is Reason.THROTTLED and self.ended.status == THROTTLED

    def _waits_for_plan(self, verdict: Verdict) -> bool:
        """Whether plan says what becomes of it: what was refused of all is no verdict on any of them.

        A job of a few records cannot tell; the round may, if its tier was sent more of them in other jobs. A reply
        that was kept from an earlier run is a verdict, whatever became of the records beside it.
        """
        failed = verdict is self.missing or self.judged.is_error(verdict)
        if not failed or self.judged.is_about_text(verdict):
            return False
        if self.judged.answered:
            return self.judged.is_barred(verdict)
        return bool(self.fatal) or (self.judged.is_refusal(verdict) and self._sent_in_round() > FEW)

    def _sent_in_round(self) -> int:
        """About how many records the round sends to the job's tier."""
        jobs = self.run.round_plan(self.item.round).jobs
        return sum(job.records for job in jobs if (job.tier, job.judge) == (self.job.tier, self.job.judge))

    def _write_attempts(self, attempts: pa.RecordBatch) -> None:
        """`answers/<shard>/…`: the attempts of this job, an object for each shard that it touches."""
        if self.job.shard is not None:
            places = {self.job.shard: attempts} if len(attempts) else {}
        else:
            of_shard: dict[int, list[int]] = {}
            for n, key in enumerate(self.sent):
                of_shard.setdefault(shard_of(self.run.plan, key), []).append(n)
            places = {shard: attempts.take(pa.array(numbers)) for shard, numbers in of_shard.items()}
        for shard, some in places.items():
            self.run.store.put(self.run.keys.answer(shard, self.item.round, self.item.job), self._stream(some))

    def _write_drawn(self, attempts: pa.RecordBatch) -> None:
        """`drawn/…`: the attempts at drawn records alone, for whoever teaches and certifies by them."""
        numbers = [n for n, key in enumerate(self.sent) if key in self.drawn] if self.drawn else []
        if numbers:
            some = attempts.take(pa.array(numbers))
            self.run.store.put(self.run.keys.drawn(self.item.round, self.item.job), self._stream(some))

    def _stream(self, attempts: pa.RecordBatch) -> bytes:
        about = {"round": self.item.round, "tier": self.job.tier, "transport": self.prepared.transport}
        about |= {"judge": True} if self.job.judge else {}
        return attempts_stream(attempts, about)

    def _write_pending(
        self, endings: Sequence[Ending], of: Sequence[int], traits: Sequence[Traits], verdicts: Sequence[Verdict]
    ) -> list[Pending]:
        """What is to be sent again, with the text that was sent: read again where it was read then."""
        why = [name_of(ending, throttled=self._was_throttled(ending.reason)) for ending in endings]
        wanted = {n: name for n, kind in enumerate(of) if (name := why[kind])}
        wanted |= {n: "asked" for n in wanted if wanted[n] == "refused" and self.waiting.has_asked(self.sent[n])}
        writers = PendingWriters(self.run, self.item, self.job)
        answers = showing(self.run.task) if self.judges else None
        for n, escaped in self._texts(list(wanted)):
            if answers is not None and wanted[n] == "judge":
                escaped = answers.with_answer(escaped, verdicts[n].labels or ())  # noqa: PLW2901 - the text with more
            writers.add(wanted[n], traits[n].last, self.sent[n].encode(), escaped)
        return [*writers.close(), *self._kept()]

    def _kept(self) -> list[Pending]:
        """What prepare held back, or moved to other tiers."""
        held = self.prepared.held
        return [*([] if held is None else [held]), *self.prepared.moved]

    def _texts(self, wanted: Sequence[int]) -> Iterator[tuple[int, bytes]]:
        """The escaped texts of the sent records with these numbers, in order.

        From the rows, or from what earlier jobs left: the job's input holds the instructions with each of them.
        """
        number = {self.sent[n].encode(): n for n in wanted}
        for some in JobRecords(self.run, self.job, only=number.keys()) if wanted else ():
            for key, escaped in zip(some.keys, some.escaped, strict=True):
                yield number[key], escaped

    def _counts(
        self, endings: Sequence[Ending], of: Sequence[int], pending: list[Pending], words: dict[str, int]
    ) -> Counts:
        outcomes, reasons, onward = tally(endings, of)
        judged = self.judged
        tokens_in, tokens_out = sum(judged.tokens_in), sum(judged.tokens_out)
        held = sum(pending.records for pending in self._kept()) if self.buys else 0
        cached = sum(judged.cached[0]), sum(judged.cached[1])
        usd = cost(self.tier.price, self.prepared.transport, tokens_in, tokens_out, *cached)
        fillers = cost(self.tier.price, self.prepared.transport, *judged.filler_tokens) if self.buys else 0.0
        return Counts(
            round=self.item.round,
            job=self.item.job,
            tier=self.job.tier,
            attempt=self.job.attempt,
            purpose=self.job.purpose,
            transport=self.prepared.transport,
            status=self.ended.status,
            message=self.ended.message or judged.commonest_message,
            submitted=self.ended.submitted,
            ended=self.ended.ended,
            records=len(self.sent) + held,
            sent=judged.asked,
            reused=self.prepared.reused,
            reused_tokens=judged.reused_tokens,
            saved_usd=self._saved_usd() if self.buys and self.prepared.reused else 0.0,
            held_back=held,
            moved=self.prepared.moved_beyond(self.job.tier),
            answered=judged.answered,
            errored=judged.errored,
            missing=judged.missing,
            accepted=outcomes[Outcome.ACCEPTED],
            retried=outcomes[Outcome.RETRIED],
            escalated=outcomes[Outcome.ESCALATED],
            unresolved=outcomes[Outcome.UNRESOLVED],
            refused=outcomes[Outcome.REFUSED],
            scored=outcomes[Outcome.SCORED],
            judged=outcomes[Outcome.JUDGED],
            judge=self.job.judge,
            said=words,
            again=self.job.refused is not None,
            duplicates=judged.duplicates,
            unknown=judged.unknown,
            unreadable=judged.unreadable,
            estimated=0 if self.metered else len(judged.untold),
            reasons=reasons,
            escalated_for=onward,
            input_tokens=tokens_in,
            output_tokens=tokens_out,
            cache_read_tokens=cached[0],
            cache_write_tokens=cached[1],
            cost_usd=accounting.total([usd, fillers]),
            fillers=self.prepared.fillers if self.buys else 0,
            filler_tokens=judged.filler_tokens if self.buys else (0, 0),
            filler_usd=fillers,
            pending=pending,
            fatal=self.fatal,
            warnings=list(oddities(self.item, self.ended, self.manifest, judged, self._doubts())),
        )

    def _saved_usd(self) -> float | None:
        """What the replies that were found would have cost today, sent with the rest of the job."""
        batch = self.tier.batch and len(self.sent) >= self.run.settings.min_records_per_job
        transport = accounting.BATCH if batch else self.prepared.transport
        return cost(self.tier.price, transport, *self.judged.reused_tokens)

    def _fatal(self) -> str | None:
        """Why sending more would fail the same way, if it would: the job or each of its records was refused.

        Access that ends in the middle of a job, as that of a new account may, is no verdict on the rest of its texts.
        """
        if self.judged.answered:
            told, barred = self.judged.why_barred, self.judged.barred.total()
            of = f"{barred} of {self.judged.asked} records were refused by {self.tier.called}, which answered others"
            return None if told is None else f"{of}: {told}"
        if not self.judged.asked:
            return None
        asked, refused = self.judged.asked, self.judged.refusals.total()
        whole = self.ended.status in {"Failed", REFUSED_JOB}
        message = (self.ended.message if whole else None) or self.judged.commonest_message
        if message is None or not (refused > FEW or self._lasts(message, whole=whole)):
            return None
        many = f"{refused} of {asked}" if not whole and 0 < refused < asked else f"all {asked}"
        return f"{many} records were refused by {self.tier.called}: {message}"

    def _lasts(self, message: str, *, whole: bool) -> bool:
        """Whether trying again cannot mend what is said of the job, or of each of a few records."""
        if self.ended.status == REFUSED_JOB:
            return True
        alike = whole or (self.judged.alike and self.judged.settled > 1)
        return not of_text(message) and lasts(message, alike=alike)

    def _doubts(self) -> Doubts:
        return Doubts(self.metered, gone=self.missing.reason is Reason.REPLY_GONE, buys=self.buys)
