"""What a run keeps that draws rows for its last tier: which they were, and its certificate."""

from __future__ import annotations

import msgspec
from msgspec import field

from sluice.reasons import Reason
from sluice.runs.document import Document
from sluice.runs.state import Pending, Place

CERTIFIED, MEASURED = "certified", "measured"


class DrawnRow(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """A drawn row: the number of its input, its line there, the key of its record."""

    source: int
    line: int
    key: str


class Draws(Document, frozen=True, kw_only=True):
    """The rows that were drawn for a certificate or an audit, in the order of their ranks, and out of how many.

    `population`: N, the good rows without those of `train`. `records`: the drawn records, for the oracle; None where
    no row is good. An audit has a sample alone; where there is a score all the same, its sample teaches it. `gold`:
    what people say of the rows of `sample`, in their order, where the run is certified against that; None of a row that
    they left open. `taught`: as published, keys of records that taught the run's model and were not drawn to do so.
    `repeats`: the sampled records that the oracle is asked about once more.
    """

    seed: str
    population: int
    sample: list[DrawnRow]
    train: list[DrawnRow]
    records: Pending | None
    gold: list[list[str] | None] | None = None
    taught: list[str] = field(default_factory=list)
    repeats: Pending | None = None

    @property
    def keys(self) -> set[str]:
        """The records that the oracle is asked about because a row of theirs was drawn."""
        return {row.key for rows in (self.sample, self.train) for row in rows}

    @property
    def teaching(self) -> list[DrawnRow]:
        """The rows whose answers teach."""
        return self.train or self.sample


class SampledAnswer(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """A sampled row with what the tiers say of its record: `place` and labels are None where an answer is not valid.

    `gold`: what a person says of the row, of a certificate against that; None of a row that is left open. `repeated`:
    the oracle was asked about it once more, and said `again`, None where that is no valid answer.
    """

    source: int
    line: int
    key: str
    place: Place | None
    first: list[str] | None
    oracle: list[str] | None
    bad: bool
    gold: list[str] | None = None
    repeated: bool = False
    again: list[str] | None = None

    @property
    def compares(self) -> bool:
        """Whether the oracle has answered twice."""
        return self.repeated and self.oracle is not None and self.again is not None

    @property
    def agrees(self) -> bool:
        """Whether the oracle, which has answered twice, has said the same."""
        return self.compares and set(self.oracle or ()) == set(self.again or ())


class PieceLines(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """A piece of an input that was read on its own: its first byte, and how many lines of the input lie before it."""

    source: int
    begin: int
    lines: int


class Floor(msgspec.Struct, frozen=True, kw_only=True):
    """What is promised of the rows that the first tier calls `label`: at least the share `keep` of those is right.

    `population`, `sample`, `at_most` and `disagreements` are N, n, A and x within these rows alone; with x below 0 the
    sample is too small, and all of them go to the oracle. `threshold` as of the certificate, beside which it holds.
    """

    label: str
    keep: str
    population: int
    sample: int
    at_most: int
    disagreements: int
    threshold: Place | None
    accepted_rows: int

    @property
    def refused(self) -> bool:
        """Whether nothing can be promised, so that no such row is accepted."""
        return self.disagreements < 0


class Differing(msgspec.Struct, frozen=True, kw_only=True):
    """Sampled rows that keep a first answer that the oracle would not have given, with its share's 95% interval."""

    rows: int
    of: int
    low: float
    high: float


class Repeats(msgspec.Struct, frozen=True, kw_only=True):
    """How often the oracle agrees with itself: of `asked` sampled records that it was asked about once more.

    On `answered` it gave two valid answers, on `agreeing` of these the same, with the 95% interval of that share.
    """

    asked: int
    answered: int
    agreeing: int
    low: float
    high: float


class Accuracy(msgspec.Struct, frozen=True, kw_only=True):
    """A promise that a share `promised` of the rows is right, by fixed steps (sluice/quality/certificate.py).

    `at_most` is A. Step 0 sends all to the oracle, and step n accepts what stands above `thresholds[n - 1]`, about
    5n% of the population, all that has a place where it is None. `wrong`: at each step, how many sampled rows end with
    a wrong label. `safe`: the last step at which the promise holds, None where the oracle alone does not reach it;
    `taken`: the step whose threshold the certificate has, which keeps its other promise, too.
    """

    promised: str
    at_most: int
    thresholds: list[Place | None]
    wrong: list[int]
    safe: int | None
    taken: int | None


class ForgottenDraws(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of a certificate's run that were taken out of its results, as far as its figures rest on them.

    `good` of them were no rejected rows, `train` were train rows, `kept` kept the first tier's label; `called` and
    `kept_as` count, by the label that the first tier gave, those without train rows and those that kept it. `sampled`
    and `taught`: keys of sampled and train records that other rows of the results have.
    """

    good: int = 0
    train: int = 0
    kept: int = 0
    called: dict[str, int] = field(default_factory=dict)
    kept_as: dict[str, int] = field(default_factory=dict)
    sampled: list[str] = field(default_factory=list)
    taught: list[str] = field(default_factory=list)


class JudgedRows(msgspec.Struct, frozen=True, kw_only=True):
    """What the judge and the score make of the same drawn rows, whose first answers the judge was shown.

    Of `rows` of them, which have a valid answer of the last tier, too, that has another label on `wrong`. Of those
    `judge_caught` were called wrong, and so were `judge_refused` of the others; `score_caught` and `score_refused` lie
    at the threshold or below by a score without the judge's words, and `caught` and `refused` do not stand in this
    run, by the judge or by its score. Each row has the score that a model gave it which had not seen it.
    """

    rows: int
    wrong: int
    judge_caught: int
    judge_refused: int
    score_caught: int
    score_refused: int
    caught: int
    refused: int


class Certificate(Document, frozen=True, kw_only=True):
    """What a run promises of its labels, and all that it takes to check it beside the stored scores and answers.

    `population` N, `sample` n, `at_most` A and `disagreements` x are those of sluice/quality/rule.py; accepted is what
    stands above `threshold`, or all that passed the gates where it is None. `below`: of each shard the records that go
    to the oracle. `best_share`: what no score could pass, as far as the sample tells. `sampled` and `pieces` let
    anyone find the draws and the rule's figures again beside the published rows. `floors` are those of the task, in its
    order: an answer stands above the threshold and above that of its label's floor.

    Of a sampled row that was `forgotten` since, line 0 and an empty key are left, and what the rule takes from it.

    `against` is `last` or `gold`; then `agree` is the share of rows that is promised not to be wrong where the oracle
    is right, a sampled row is bad by what people say, and `open` counts those that they left open.

    `status` is `certified`, or `measured`: where `accuracy` was to be promised and the oracle alone does not reach it;
    and of a run that judges the answers of another, `based_on`, whose thresholds it takes: the sample had been seen, so
    that nothing is promised, and `differing` tells what it shows.
    """

    agree: str
    delta: str
    population: int
    sample: int
    train: int
    at_most: int
    disagreements: int
    threshold: Place | None
    seed: str
    task_version: str
    models: list[str]
    packs: list[int]
    learned: str
    drawn_records: int
    scored_records: int
    accepted_records: int
    accepted_rows: int
    sampled_accepted: int
    sampled_agreeing: int
    sampled_unanswered: int
    best_share: float
    below: list[tuple[int, int]]
    sampled: list[SampledAnswer]
    pieces: list[PieceLines]
    at: str
    floors: list[Floor] = field(default_factory=list)
    status: str = CERTIFIED
    based_on: str | None = None
    against: str = "last"
    open: int = 0
    accuracy: Accuracy | None = None
    differing: Differing | None = None
    forgotten: ForgottenDraws | None = None
    repeats: Repeats | None = None
    judged: JudgedRows | None = None

    def stands(self, place: Place, floor: int) -> bool:
        """Whether an answer with this place stands, whose label has the floor with this number, from 1; 0 for none."""
        found = self.floors[floor - 1] if floor else None
        return _is_above(place, self.threshold) and (
            found is None or (not found.refused and _is_above(place, found.threshold))
        )


def _is_above(place: Place, threshold: Place | None) -> bool:
    return threshold is None or (place.score, place.tie) > (threshold.score, threshold.tie)


class AuditedRun(Document, frozen=True, kw_only=True):
    """How the alarm of a task's audits stands after a run, the `number`-th with draws of its own that was published.

    Of `rows` compared ones `differ` had another label of the last tier, where `at_most` is the share that is allowed.
    `value` is R of sluice/quality/alarm.py, `begun` the number of the first run that it is made of, `last_alarm` the
    latest run with an alarm, this one included. `execution`: that of the run which entered.
    """

    number: int
    run: str
    execution: int
    seed: str
    at: str
    at_most: str
    differ: int
    rows: int
    value: float
    begun: int
    alarm: bool
    last_alarm: str | None = None


class HeldAnswer(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What a model that was not taught by a record says of it: the score of its first answer, as it is stored.

    `labels`: that answer itself, where the learned tier gives it; of another tier None. `alone`: of an answer that a
    judge was shown the score without the judge's word.
    """

    score: int
    labels: list[str] | None = None
    alone: int | None = None


class Held(Document, frozen=True, kw_only=True):
    """The drawn records that taught, by key, as models see them that had not been taught by them.

    The taught one knows them by heart. Only so many are held out as it takes to measure; the others measure nothing.
    `untaught`: why nothing could be taught, in words, if so.
    """

    taught: list[str]
    answers: dict[str, HeldAnswer]
    untaught: str | None = None


class ScoreGate(Document, frozen=True, kw_only=True):
    """Which answers of the first tier stand by their score in a run without a certificate, and what that is worth.

    An answer stands from `min_score` on. Of records that were not drawn `scored_records` have a valid first answer, and
    `accepted_records` with `accepted_rows` stand; `below`: of each shard the records that go on. `drawn_accepted`: the
    drawn records that stand, unless the last tier has an answer. `unseen`: the drawn records that measure nothing.

    Measured on `measured` drawn rows, which have a valid answer of both and whose score is that of a model that had not
    seen them: on `agreeing` the first tier and the oracle agree; `above` have the score, and on `above_agreeing` of
    those both agree, with the 95% interval from `low` to `high` of that share, rows of one record being one cluster.

    `out_of_service`: a learned tier that agreed less than it had stated, of which nothing stands. `judged`: what a
    judge is worth beside the score; None without one, or where nothing was taught.
    """

    min_score: float
    threshold: Place
    population: int
    drawn: int
    seed: str
    models: list[str]
    lessons: int
    untaught: str | None
    scored_records: int
    accepted_records: int
    accepted_rows: int
    measured: int
    agreeing: int
    above: int
    above_agreeing: int
    low: float
    high: float
    below: list[tuple[int, int]]
    drawn_accepted: list[str]
    unseen: list[str]
    at: str
    out_of_service: bool = False
    judged: JudgedRows | None = None

    @property
    def falls_short(self) -> Reason:
        """Why an answer does not stand."""
        return Reason.LEARNED_OUT_OF_SERVICE if self.out_of_service else Reason.LOW_SCORE

    def stands(self, place: Place, floor: int) -> bool:
        """Whether an answer with this place stands; there are no floors."""
        return not floor and _is_above(place, self.threshold)


class ShardItem(msgspec.Struct, frozen=True, kw_only=True):
    """What one worker of the step score scores."""

    run: str
    shard: int
