"""Join what came back to what was sent, and judge it: of each record one verdict, and what it took."""

from __future__ import annotations

import tempfile
from array import array
from collections import Counter
from itertools import chain, repeat
from typing import TYPE_CHECKING, Literal

import msgspec

from sluice.answers.archive import FILLED, NO_REPLY, UNKNOWN, UNREADABLE, Archive, Lines, archived
from sluice.answers.judge import STOPPED_BY_POLICY, STOPPED_SHORT, Judge, Verdict
from sluice.answers.packs import Packs, share, split_reply
from sluice.answers.refusals import bare, of_access, of_text
from sluice.answers.replies import Reply, output_lines, read_line
from sluice.answers.requests import FILLER, FILLER_TOKENS
from sluice.answers.reuse import read_chunks
from sluice.decoding import decode
from sluice.reasons import Reason
from sluice.rows.record import BYTES_PER_TOKEN, KEY, PLACE, RAW, SENT, RowReader, parse_object
from sluice.steps.selection import shard_of, shard_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from sluice.runs.keys import JobKeys
    from sluice.steps.reuse import Keeper
    from sluice.steps.services import Run
    from sluice.task.task import Task

    Wait = Callable[[int, Reply], None]  # lets a record's reply wait for its row

About = Literal["request", "text", "access"]  # what a refusal is about
# Why a record of a pack has no answer of its own; where the request itself failed, there is a message too.
OF_PACKS = frozenset(tuple(Reason)[list(Reason).index(Reason.REPLY_EMPTY) : list(Reason).index(Reason.LABEL_MISSING)])
NOT_CACHED = (0, 0)
SPOOLED = 1024 * 1024  # bytes of waiting replies that need no file yet


class Judged:
    """The verdicts on a job's records, in the order in which they were sent; None where nothing came back.

    The last `reused` of them were not sent: their replies were found, and took nothing. `question`: what was asked
    instead of the task. `by_word`: the word for how
    sure an answer is counts; of what the run has taught itself the score says it.
    """

    def __init__(
        self,
        run: Run,
        keys: JobKeys,
        sent: Sequence[str],
        reused: int = 0,
        keeper: Keeper | None = None,
        *,
        question: Task | None = None,
        by_word: bool = True,
    ) -> None:
        self.run, self.keys, self.sent, self.keeper = run, keys, sent, keeper
        self.asked = len(sent) - reused
        self.reused_tokens = (0, 0)  # what the replies that were found took when they were bought
        self.judge = Judge(question or run.task, by_word=by_word)
        # A verdict is one object for all replies that read alike.
        self.verdicts: list[Verdict | None] = [None] * len(sent)
        # Tokens that a reply does not tell stand there as what they are estimated at, below zero.
        self.tokens_in, self.tokens_out = (array("q", bytes(8 * len(sent))) for _ in range(2))
        # Those of the tokens in that were read from a cache, and that were written to one.
        self.cached = tuple(array("q", bytes(8 * len(sent))) for _ in range(2))
        self.untold: set[int] = set()
        self.failures: dict[tuple[Reason, About], Verdict] = {}
        self.messages: Counter[str] = Counter()  # without what differs from record to record
        self.wordings: dict[str, str] = {}  # of each of them one as it came
        self.alike = True  # whether all errors have the very same words
        self.refusals: Counter[str] = Counter()  # those of them that refuse a request, and not for its text
        self.barred: Counter[str] = Counter()  # those of these that say that the model may not be called
        self.unknown = self.duplicates = self.unreadable = 0
        self.fillers = 0  # answers to requests without a record, and what they took
        self.filler_tokens = (0, 0)
        # Verdicts on what a request of several records lacks: those that came of the pack, and not of a record.
        self.of_packs: dict[Reason, Verdict] = {}
        self.strangers = 0  # answers under an id that their request does not have
        self.succeeded = 0  # requests that were answered
        packed = run.store.find(keys.packs)
        self.packs = None if packed is None else Packs.read(packed)
        asked = list(sent[: self.asked])
        self.ids = asked if self.packs is None else [name for name, _ in self.packs.requests(asked)]
        self._judge_all()
        self.settled = self.asked - self.verdicts[: self.asked].count(None)
        self.errored = sum(self.messages.values())
        self.answered = self.settled - self.errored
        self.missing = self.asked - self.settled

    def forget_tokens(self) -> None:
        """Count no tokens, since what was bought before is judged again."""
        self.tokens_in = self.tokens_out = array("q", bytes(8 * len(self.sent)))
        self.cached = (self.tokens_in, self.tokens_in)
        self.untold = set()

    def came_of_pack(self, verdict: Verdict) -> bool:
        """Whether a record has no answer since its request held others too, and it may have one alone."""
        return verdict is self.of_packs.get(verdict.reason) if verdict.reason is not None else False

    def sizes(self) -> Iterable[int]:
        """Of each record in order how many its request holds."""
        if self.packs is None:
            return repeat(1, len(self.sent))
        packed = (size for size in self.packs.sizes for _ in range(size))
        return chain(packed, repeat(1, len(self.sent) - self.asked))

    @property
    def why_barred(self) -> str | None:
        """What most of those refusals say that end the right to call the model; None without any."""
        return next((self.wordings[said] for said, count in self.barred.most_common(1) if count), None)

    @property
    def commonest_message(self) -> str | None:
        """What most of the refusals say, or of the errors where nothing was refused."""
        most = (+self.refusals or self.messages).most_common(1)
        return self.wordings[most[0][0]] if most else None

    def is_error(self, verdict: Verdict) -> bool:
        """Whether a verdict is that of a request that failed; what a kept reply says never is."""
        return any(verdict is error for error in self.failures.values())

    def is_refusal(self, verdict: Verdict) -> bool:
        """Whether a verdict is that of a refused request, but for those about the text's own length or content."""
        return self.is_barred(verdict) or verdict is self.failures.get((Reason.RECORD_REFUSED, "request"))

    def is_barred(self, verdict: Verdict) -> bool:
        """Whether a verdict is that of a request that was refused since the model may not be called."""
        return verdict is self.failures.get((Reason.RECORD_REFUSED, "access"))

    def is_about_text(self, verdict: Verdict) -> bool:
        """Whether a verdict is that of a request that was refused for its text's own length or content."""
        return verdict is self.failures.get((Reason.RECORD_REFUSED, "text"))

    def _replies(self) -> Iterator[tuple[int, Reply]]:
        """One reply for each request that came back; of several, an answer goes before an error, else the first."""
        answered, failed = bytearray(len(self.ids)), dict[int, Reply]()
        for n, reply in chain.from_iterable(zip(*lines, strict=True) for lines in self._lines()):
            if reply is None:
                self.unreadable += n == UNREADABLE
                self.unknown += n == UNKNOWN
            elif n == FILLED:
                self._count_filler(reply)
            elif answered[n]:
                self.duplicates += 1
            elif reply.reason is not None:
                self.duplicates += n in failed
                failed.setdefault(n, reply)
            else:
                answered[n] = 1
                if failed:
                    self.duplicates += failed.pop(n, None) is not None
                self.succeeded += 1
                yield n, reply
        yield from failed.items()

    def _of_records(self) -> Iterator[tuple[int, Reply]]:
        """One reply for each record whose request came back: what the request's reply says of it."""
        if self.packs is None:
            yield from self._replies()
            return
        for request, reply in self._replies():
            first, size = self.packs.firsts[request], self.packs.sizes[request]
            if size == 1:
                yield first, reply
            else:
                yield from enumerate(self._parts(request, reply, self.sent[first : first + size]), first)

    def _parts(self, request: int, reply: Reply, keys: Sequence[str]) -> list[Reply]:
        """The reply to a request of several records, as one to each: tokens shared out, so that their sum is the same.

        One without an answer of its own has `message` None and a reason; it is not the reply's own error.
        """
        tokens = [
            [None] * len(keys) if count is None else share(count, len(keys))
            for count in (reply.input_tokens, reply.output_tokens)
        ]
        cached = zip(*(share(count, len(keys)) for count in reply.cached), strict=True)
        answers: list[str | Reason | None] = [None] * len(keys)
        if reply.reason is None and reply.stop in STOPPED_BY_POLICY:
            answers = [Reason.REPLY_REFUSED] * len(keys)
        elif reply.reason is None and self.packs is not None:
            parts = split_reply(reply.text or "", self.packs.names(self.sent, request).ids)
            self.strangers += parts.strangers
            cut = reply.stop in STOPPED_SHORT
            answers = [Reason.REPLY_CUT if cut and said is Reason.ANSWER_MISSING else said for said in parts.answers]
        return [
            Reply(
                key,
                None if isinstance(said, Reason) else said,  # a reason is a string, too
                None,
                tokens_in,
                tokens_out,
                said if isinstance(said, Reason) else reply.reason,
                reply.message,
                of_cache,
            )
            for key, said, tokens_in, tokens_out, of_cache in zip(keys, answers, *tokens, cached, strict=True)
        ]

    def _lines(self) -> Iterator[Lines]:
        """What came back, some lines at a time: as it was kept, else from the job's output, and then it is kept."""
        store = self.run.store
        if store.exists(self.keys.replies):
            yield from archived(store.blocks(self.keys.replies), self.ids)
        elif self.run.start.judges is not None or self.is_gone():  # another run's, of an earlier version
            yield from self._output()
        else:
            with store.writer(self.keys.replies) as out:
                archive = Archive(out)
                for lines in self._output():
                    archive.add(lines)
                    yield lines
                archive.close()

    def is_gone(self) -> bool:
        """Whether what was sent and what came back has expired before anybody read it."""
        store = self.run.store
        return not any(store.exists(key) for key in (self.keys.replies, self.keys.input)) and not any(
            True for _ in store.keys(self.keys.output_prefix)
        )

    def _output(self) -> Iterator[Lines]:
        number, filled = {name: n for n, name in enumerate(self.ids)}.get, set[str]()
        for lines in output_lines(self.run.store, self.keys.output_prefix):
            found = Lines([], [])
            for line in filter(None, lines):
                reply = read_line(line)
                n = UNREADABLE if reply is None else number(reply.record, UNKNOWN)
                if n == UNKNOWN and reply is not None and reply.record.startswith(FILLER):
                    if reply.record in filled:
                        continue
                    if reply.reason is None or reply.input_tokens or reply.output_tokens:
                        filled.add(reply.record)  # else an answer may stand further down
                    n = FILLED
                found.numbers.append(n)
                found.replies.append(None if n in NO_REPLY else reply)
            yield found

    def _count_filler(self, reply: Reply) -> None:
        """Drop what a filler was answered, but not what it took; a count that is missing is taken for the most."""
        most = FILLER_TOKENS if reply.reason is None else (0, 0)
        told = (reply.input_tokens, reply.output_tokens)
        tokens_in, tokens_out = (limit if tokens is None else tokens for tokens, limit in zip(told, most, strict=True))
        self.fillers += reply.reason is None
        self.filler_tokens = self.filler_tokens[0] + tokens_in, self.filler_tokens[1] + tokens_out

    def _judge_all(self) -> None:
        """Most replies are judged as they come; those that need their row wait on disk until it streams by.

        Neither stands in memory as a whole.
        """
        places = dict[str, tuple[int, int]]()
        with tempfile.SpooledTemporaryFile(SPOOLED) as spill:

            def wait(n: int, reply: Reply) -> None:
                places[reply.record] = n, spill.tell()
                spill.write(msgspec.json.encode(reply) + b"\n")

            self._judge_come(wait)
            self._judge_known(wait)
            reader, judge = RowReader(self.run.task), self.judge
            for raw, record in self._rows_of(places):
                n, place = places.pop(record)
                spill.seek(place)
                reply = decode(spill.readline(), Reply)
                row = parse_object(raw)
                self.verdicts[n] = verdict = judge.judge_afresh(
                    reply.text or "", reply.stop, reader.text(raw), row if isinstance(row, dict) else None
                )
                self._keep(n, reply, verdict)

    def _judge_come(self, wait: Wait) -> None:
        """Judge the replies that came back, as they come."""
        judge, verdicts, keeps = self.judge, self.verdicts, self.keeper is not None
        all_in, all_out = self.tokens_in, self.tokens_out
        for n, reply in self._of_records():
            tokens_in, tokens_out = reply.input_tokens, reply.output_tokens
            if tokens_in is None or tokens_out is None:
                tokens_in, tokens_out = self._untold(n, reply)
            all_in[n], all_out[n] = tokens_in, tokens_out
            if reply.cached != NOT_CACHED and reply.input_tokens is not None:
                self.cached[0][n], self.cached[1][n] = reply.cached
            if reply.reason is not None or reply.text is None:
                self._settle_failed(n, reply)
            elif judge.may_need_row and judge.needs_row(reply.text):
                wait(n, reply)
            else:
                verdicts[n] = verdict = judge.judge(reply.text, reply.stop)
                if keeps:
                    self._keep(n, reply, verdict)

    def _judge_known(self, wait: Wait) -> None:
        """Judge the replies that prepare found, each wording once; their tokens were paid when they were bought."""
        if self.asked == len(self.sent):
            return
        judge, verdicts, sent = self.judge, self.verdicts, self.sent
        take_number = dict(zip(map(str.encode, sent[self.asked :]), range(self.asked, len(sent)), strict=True)).pop
        tokens_in = tokens_out = 0
        for chunk in read_chunks(self.run.store.blocks(self.keys.reused)):
            columns = chunk.columns()
            judged = [None if judge.needs_row(text) else judge.judge(text, stop) for text, stop in columns.texts]
            for key, which, read, written in zip(chunk.keys, *columns.of_records, strict=True):
                n = take_number(key, None)
                if n is None:
                    continue
                tokens_in += read
                tokens_out += written
                verdicts[n] = verdict = judged[which]
                if verdict is None:
                    wait(n, Reply(sent[n], *columns.texts[which], 0, 0))
        self.reused_tokens = tokens_in, tokens_out

    def _keep(self, n: int, reply: Reply, verdict: Verdict) -> None:
        """Keep a reply for later runs, unless it is one that was kept."""
        if self.keeper is not None and n < self.asked:
            self.keeper.add(self.sent[n], reply, verdict, (self.tokens_in[n], self.tokens_out[n]))

    def _untold(self, n: int, reply: Reply) -> tuple[int, int]:
        """Tokens in and out of a reply that does not tell them all; what is read of the input, check has to see."""
        self.untold.add(n)
        read, written = reply.input_tokens, reply.output_tokens
        estimate = -1 - len((reply.text or "").encode()) // BYTES_PER_TOKEN
        return -1 if read is None else read, estimate if written is None else written

    def _rows_of(self, wanted: dict[str, tuple[int, int]]) -> Iterator[tuple[bytes, str]]:
        """The first good row of each wanted record."""
        for shard in sorted({shard_of(self.run.plan, key) for key in wanted}):
            for found in shard_rows(self.run, shard):
                for line in found.lines:
                    record = line[:KEY].decode()
                    if record in wanted and line[PLACE] in SENT:
                        yield line[RAW:], record

    def _settle_failed(self, n: int, reply: Reply) -> None:
        if reply.message is None and reply.reason in OF_PACKS:
            self.verdicts[n] = self.of_packs.setdefault(reply.reason, Verdict(reply.reason))
            return
        message, reason = reply.message or "", reply.reason or Reason.REPLY_UNREADABLE
        said = bare(message)
        first = self.wordings.setdefault(said, message)
        self.alike = self.alike and message == first and len(self.wordings) == 1
        self.messages[said] += 1
        about: About = "request"
        if reason is Reason.RECORD_REFUSED:
            about = "text" if of_text(message) else "access" if of_access(message) else "request"
            self.refusals[said] += about != "text"
            self.barred[said] += about == "access"
        self.verdicts[n] = self.failures.setdefault((reason, about), Verdict(reason))
