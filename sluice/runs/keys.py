"""The keys of what a run keeps in S3."""

from __future__ import annotations

import datetime as dt

REQUESTS = "requests"  # the folder of what expires within days; runs of earlier versions have it all in their own
REPLIES = "replies"  # the folder of replies that later runs may use; they expire as their task says
AUDITS = "audits"  # the folder of what the audits of a task's runs say together; nothing in it expires
SAMPLES = "samples"  # the folder of rows that people label before a run; nothing in it expires
LEARNED = "learned"  # the folder of what a task's runs have to teach later ones; nothing in it expires
VECTORS = "vectors"  # the folder of word vectors that people bring for a task; nothing in it expires
RANGE_DIGITS = 6  # of a record's key, at most, name a hash range
LESSONS = ".lessons"  # how their names end
NO_DIGIT = "-"  # before every digit, so that a range stands before those that are parts of it


class Keys:
    """The keys of one run in the work bucket.

    What belongs to the end of an execution, which a further one does anew, carries that execution's number. What is
    used up within days, which is most of the bytes, lies under `passing`: requests, what came back, rows as partition
    wrote them, parts that wait for their publication. There it expires after `keep_requests_days`; nothing else is
    removed while the run lasts.
    """

    def __init__(self, run: str, execution: int = 0, requests_in: str = REQUESTS) -> None:
        self.run = run
        self.execution = execution
        self.root = f"runs/{run}"
        self.passing = f"{requests_in}/{run}"
        ending = f"{self.root}/end-{execution}"
        self.end = f"{ending}/end.json"
        self.cancel = f"{ending}/cancel.json"
        self.approval = f"{ending}/approval.json"
        self.published = f"{ending}/published.json"
        self.merged_prefix = f"{ending}/merged/"
        self.tables_prefix = f"{self.passing}/end-{execution}/merged/"
        self.start = f"{self.root}/start.json"
        self.inputs = f"{self.root}/inputs.json"
        self.spans = f"{self.root}/spans.json"
        self.settled = f"{self.root}/settled.jsonl"
        self.plan = f"{self.root}/plan.json"
        self.cuts = f"{self.root}/cuts.bin"
        self.parts = f"{self.root}/parts.json"
        self.resumptions = f"{self.root}/resumed/"
        self.summary = f"{self.root}/run.json"
        self.rows_prefix = f"{self.root}/rows/"
        self.draws = f"{self.root}/draws.json"
        self.drawn_records = f"{self.root}/pending/draws.txt"
        self.drawn_prefix = f"{self.root}/drawn/"
        self.repeated_records = f"{self.root}/pending/repeats.txt"
        self.repeats_prefix = f"{self.root}/repeats/"
        self.shards = f"{self.root}/shards.json"
        self.learned = f"{self.root}/learned.bin"
        self.profile = f"{self.root}/profile.bin"
        self.new_kinds_prefix = f"{self.root}/new/"
        self.taught = f"{self.root}/taught.json"
        self.held = f"{self.root}/held.json"
        self.score_gate = f"{self.root}/score.json"
        self.certificate = f"{self.root}/certificate.json"
        self.forgotten = f"{self.root}/forgotten.json"

    def resumption(self, number: int) -> str:
        return f"{self.resumptions}{number:03d}.json"

    def rows(self, span: int) -> str:
        return f"{self.passing}/rows/{span:06d}"

    def rows_before(self, span: int) -> str:
        """Where earlier versions wrote the rows of a span."""
        return f"{self.rows_prefix}{span:06d}"

    def kept(self, span: int) -> str:
        return f"{self.rows_prefix}{span:06d}.zlib"

    def frames(self, span: int) -> str:
        return f"{self.rows_prefix}{span:06d}.frames"

    def ranks(self, span: int) -> str:
        return f"{self.rows_prefix}{span:06d}.ranks"

    def drawn(self, round_: int, job: int) -> str:
        return f"{self.drawn_prefix}{round_:02d}-{job:05d}.arrow"

    def repeats(self, round_: int, job: int) -> str:
        return f"{self.repeats_prefix}{round_:02d}-{job:05d}.json"

    def scores(self, shard: int) -> str:
        return f"{self.root}/scores/{shard:06d}.bin"

    def new_kinds(self, shard: int) -> str:
        return f"{self.new_kinds_prefix}{shard:06d}.json"

    def floors(self, shard: int) -> str:
        return f"{self.root}/scores/{shard:06d}.floors"

    def given_up(self, span: int) -> str:
        return f"{self.rows_prefix}{span:06d}.refused"

    def index(self, span: int) -> str:
        return f"{self.rows_prefix}{span:06d}.index"

    def jobs(self, round_: int) -> str:
        return f"{self.root}/round-{round_}/jobs.json"

    def round_plan(self, round_: int) -> str:
        return f"{self.root}/round-{round_}/plan.json"

    def job(self, round_: int, job: int) -> JobKeys:
        return JobKeys(self.root, self.passing, round_, job)

    def answers(self, shard: int) -> str:
        return f"{self.root}/answers/{shard:06d}/"

    def answer(self, shard: int, round_: int, job: int) -> str:
        return f"{self.answers(shard)}{round_:02d}-{job:05d}.arrow"

    def counts_of(self, answer: str) -> str:
        """The books of the job that an answers' object came from."""
        round_ = int(answer.rpartition("/")[2].partition("-")[0])
        return self.job(round_, self.job_of(answer)).counts

    def job_of(self, answer: str) -> int:
        """The number of the job that an object of answers, or of those to drawn records, came from."""
        return int(answer.rpartition("-")[2].partition(".")[0])

    def pending(self, round_: int, job: int, tier: int, attempt: int, why: str) -> str:
        return f"{self.root}/pending/{round_:02d}-{job:05d}-{tier}-{attempt}-{why}.txt"

    def merged(self, part: int) -> str:
        return f"{self.tables_prefix}{part:06d}.parquet"

    def merged_books(self, part: int) -> str:
        return f"{self.merged_prefix}{part:06d}.json"

    def merged_ids(self, part: int) -> str:
        return f"{self.tables_prefix}{part:06d}.ids"


class JobKeys:
    """The keys of one job of one round."""

    def __init__(self, root: str, passing: str, round_: int, job: int) -> None:
        place = f"round-{round_}/{job:05d}"
        self.root, self.passing = f"{root}/{place}", f"{passing}/{place}"
        self.input_prefix = f"{self.passing}/in/"
        self.input = f"{self.input_prefix}part-0.jsonl"
        self.records = f"{self.root}/records.txt"
        self.packs = f"{self.root}/packs.bin"
        self.prepared = f"{self.root}/prepared.json"
        self.submitted = f"{self.root}/submitted.json"
        self.looked = f"{self.root}/looked.json"
        self.throttled = f"{self.root}/throttled.json"
        self.ended = f"{self.root}/ended.json"
        self.output_prefix = f"{self.passing}/out/"
        self.replies = f"{self.root}/replies.arrow"
        self.reused = f"{self.root}/reused.bin"
        self.begun_prefix = f"{self.root}/infer/"
        self.came_prefix = f"{self.passing}/infer/"
        self.counts = f"{self.root}/counts.json"
        self.failed = f"{self.root}/failed.json"


class ReplyKeys:
    """The keys of replies that are kept for one question of a task: by hash range, then by the day of their run.

    A range is named by the digits that its records' keys begin with, filled up to `RANGE_DIGITS`.
    """

    def __init__(self, task: str, question: str) -> None:
        self.prefix = f"{REPLIES}/{task}/{question}/"

    def range(self, digits: str) -> str:
        return f"{self.prefix}{digits.ljust(RANGE_DIGITS, NO_DIGIT)}/"

    def beginning(self, digits: str) -> str:
        """The prefix of a range and of all its parts."""
        return self.prefix + digits

    def job(self, digits: str, day: str, run: str, round_: int, job: int) -> str:
        """How the keys begin of what a job keeps in a range; `day` is the date of the run."""
        return f"{self.range(digits)}{day}_{run}-{round_:02d}-{job:05d}"

    def digits(self, key: str) -> str:
        """The digits of an object's range."""
        return key.removeprefix(self.prefix).partition("/")[0].rstrip(NO_DIGIT)


class AuditKeys:
    """The keys of what the alarm of a task's audits goes by: its runs in the order of publishing, and their draws."""

    def __init__(self, task: str) -> None:
        self.prefix = f"{AUDITS}/{task}/"
        self.runs = f"{self.prefix}runs/"

    def run(self, number: int) -> str:
        """The run that was published as the `number`-th, from 1."""
        return f"{self.runs}{number:08d}.json"

    def draw(self, seed: str) -> str:
        """The same of the run with these draws."""
        return f"{self.prefix}draws/{seed}.json"


class LessonKeys:
    """The keys of what runs of a task have to teach later ones, by the fingerprint of their teacher, then by day."""

    def __init__(self, task: str, teacher: str) -> None:
        self.task = f"{LEARNED}/{task}/"
        self.prefix = f"{self.task}{teacher}/"

    def of(self, day: str, name: str) -> str:
        """What a run has to teach, or `sluice learn`."""
        return f"{self.prefix}{day}_{name}{LESSONS}"


def vectors_key(task: str) -> str:
    """Where the word vectors of a task lie, in the work bucket and in a project."""
    return f"{VECTORS}/{task}.bin"


def is_over(kept: str, today: dt.date, days: int) -> bool:
    """Whether the replies of an object, by its key, are older than a task lets them be used."""
    day = kept.rpartition("/")[2].partition("_")[0]
    return (today - dt.date.fromisoformat(day)).days > days
