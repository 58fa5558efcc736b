"""What has to hold after any run, found out from what lies in S3 and from what Bedrock says it sold, not from the code.

Each row of the input comes out once, at its place; a label is a recorded answer to that row's own text; what can be
answered is; nothing is bought twice within a round; tokens and cost are those of the outputs; the books balance.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import dataclass, field
from html import unescape
from typing import TYPE_CHECKING, Any, NamedTuple

from jsonschema_rs import validator_for

from sluice.answers.requests import FILLER, filler
from sluice.answers.shown import OPEN_ANSWER
from sluice.aws.metrics import Measure
from sluice.reasons import TRANSPORT, Outcome, Reason
from sluice.task.routes import Course
from tests.harness.bedrock import user_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sluice.task.task import Task
    from tests.faults.scenarios import Scenario
    from tests.harness.machine import Machine

LEARNED = "learned"  # a tier that is no model of Bedrock
OF_PACKS = {Reason.ANSWER_MISSING, Reason.ANSWER_DOUBLED}
# A reply that says nothing: whoever comes next asks again.
NOT_KEPT = {reason.value for reason in (TRANSPORT | OF_PACKS)} | {
    "reply_empty", "reply_refused", "reply_cut", "reply_not_json", "reply_not_object", "reply_too_deep",
    "record_refused", "reply_gone",
}  # fmt: skip
TODAY, YESTERDAY = "2026-11-20", "2026-11-19"  # of the machine's clock
HELD_OPEN = {"budget", "cancelled"}  # reasons for which a record is not asked as often as it could be


class Place(NamedTuple):
    """Where a row stands in the input."""

    source: str
    line: int


FILLER_TEXT = user_text(json.loads(filler(0))["modelInput"])


@dataclass
class Verdict:
    """What is wrong with a run; all four are to be 0 or empty."""

    rows: int = 0
    lost: int = 0
    doubled: int = 0
    bought_twice: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        return not (self.lost or self.doubled or self.bought_twice or self.wrong)


def judge_run(machine: Machine, scenario: Scenario, run: str, summary: dict[str, Any]) -> Verdict:
    """Hold a published run against its input, its outputs and what was bought."""
    verdict = Verdict()
    expected = expected_rows(scenario)
    rows = machine.rows()
    verdict.rows = len(expected)
    found = Counter(Place(row["source"], row["line"]) for row in rows)
    verdict.lost = sum(1 for place in expected if place not in found)
    verdict.doubled = sum(count - 1 for count in found.values())
    allowed = records_by_text(scenario)
    bought = Counter[tuple[int, str, str]]()
    for (round_, model, text), count in machine.faulty.bought.items():
        bought[round_, model, text.partition(OPEN_ANSWER)[0]] += count * (text != FILLER_TEXT)
    again, oracle = repeated_texts(machine, run), json.loads(machine.work.get(f"runs/{run}/start.json"))["tiers"][-1]
    verdict.bought_twice = sum(
        max(0, count - allowed[text] - (text in again and round_ == 0 and model == oracle["model_id"]))
        for (round_, model, text), count in bought.items()
    )
    verdict.wrong += [f"{place} is no row of the input" for place in found if place not in expected]
    verdict.wrong += machine.faulty.violations
    courses = expected_courses(scenario)
    for row in rows:
        place = Place(row["source"], row["line"])
        problem = row_problem(machine, scenario, row, expected.get(place), courses.get(place))
        if problem:
            verdict.wrong.append(f"{row['source']} line {row['line']}: {problem}")
    verdict.wrong += list(books_problems(machine, run, summary, rows))
    return verdict


def repeated_texts(machine: Machine, run: str) -> set[str]:
    """The texts of a run that the last tier is to be asked about twice."""
    key = f"runs/{run}/pending/repeats.txt"
    lines = machine.work.get(key).decode().split("\n") if machine.work.exists(key) else []
    return {unescape(line.partition(" ")[2]) for line in lines if line}


def inherit(machine: Machine, before: Machine) -> None:
    """Give a machine the replies that another one has kept, as those of another run on the day before."""
    for (bucket, key), data in before.faulty_s3.objects.items():
        if key.startswith("replies/"):
            machine.faulty_s3.objects[bucket, key.replace(f"/{TODAY}_", f"/{YESTERDAY}_earlier-")] = data
    machine.faulty.answered |= before.faulty.answered


def reuse_problems(before: Machine, machine: Machine, scenario: Scenario) -> Iterator[str]:
    """What a second run has bought although the first had a readable reply, as far as the first one's rows say.

    Where the rules look at the row, rows of one text are records of their own: a model has to have answered all.
    """
    places = expected_rows(scenario)
    texts: Counter[str] = Counter()
    kept: Counter[tuple[str, str]] = Counter()
    for row in before.rows():
        text = places.get(Place(row["source"], row["line"]))
        if text is not None:
            texts[text] += 1
            said: dict[str, bool] = {}
            for step in row["trail"]:
                said[step["model"]] = said.get(step["model"], False) or step["reason"] not in NOT_KEPT
            kept.update((model, text) for model, readable in said.items() if readable)
    reads_row = scenario.task.reads_row
    sure = {name for name, count in kept.items() if count == texts[name[1]] or not reads_row}
    again = sorted(name for name in machine.faulty.sold & sure if name[1] != FILLER_TEXT)
    yield from (f"{model} was asked about {text!r} again" for model, text in again)


def expected_rows(scenario: Scenario) -> dict[Place, str | None]:
    """The place of each row, and its text if it has a usable one."""
    places: dict[Place, str | None] = {}
    for name, data in scenario.files.items():
        for number, line in enumerate(data.split(b"\n"), 1):
            if line.strip():
                places[Place(f"s3://incoming/{scenario.task.name}/{name}", number)] = text_of(line)
    return places


def expected_courses(scenario: Scenario) -> dict[Place, Course]:
    """From which tier to which each good row may be asked: as far as its own route and those of its record's others."""
    task, of_record, records = scenario.task, dict[object, Course](), dict[Place, object]()
    takes = [(validator_for(route.when).is_valid, route.course(len(task.tiers))) for route in task.routes]
    for name, data in scenario.files.items():
        for number, line in enumerate(data.split(b"\n"), 1):
            text = text_of(line)
            if text is None:
                continue
            row, whole = json.loads(line), Course(0, len(task.tiers) - 1)
            mine = next((course for is_taken, course in takes if is_taken(row)), whole)
            record = line.removesuffix(b"\r") if task.reads_row else text
            records[Place(f"s3://incoming/{task.name}/{name}", number)] = record
            other = of_record.get(record, mine)
            of_record[record] = Course(max(mine.tier, other.tier), max(mine.last, other.last))
    return {place: of_record[record] for place, record in records.items()}


def records_by_text(scenario: Scenario) -> Counter[str]:
    """How many records hold a text: one, or, where the task's rules look at the row, one for each different row."""
    lines = {line.removesuffix(b"\r") for data in scenario.files.values() for line in data.split(b"\n")}
    texts = [text for line in lines if (text := text_of(line)) is not None]
    return Counter(texts if scenario.task.reads_row else set(texts))


def text_of(line: bytes) -> str | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    text = row.get("text") if isinstance(row, dict) else None
    return text if isinstance(text, str) and text.strip() else None


def row_problem(
    machine: Machine, scenario: Scenario, row: dict[str, Any], text: str | None, course: Course | None
) -> str | None:
    """What is wrong with an output row; `course`: that of its record."""
    status, reason = row["status"], row["reason"]
    if (status == "rejected") != (text is None):
        return f"it is {status} and its text is {text!r}"
    if text is None or course is None:
        return None if row["label"] is None and reason else "it is rejected without a reason"
    if status == "accepted" and row["model"] != LEARNED:
        if (row["model"], text) not in machine.faulty.answered:
            return f"{row['model']} was never asked about {text!r}"
        if row["label"] != scenario.says(row["model"], text):
            return f"{row['label']} is not what {row['model']} said of {text!r}"
    if status == "accepted":
        return words_problem(scenario.task, row) or trail_problem(scenario.task, row, course, ended=True)
    if row["label"] is not None or not reason:
        return f"it is {status} with label {row['label']} for reason {reason}"
    held_open = reason in HELD_OPEN
    return words_problem(scenario.task, row) or trail_problem(scenario.task, row, course, ended=held_open)


def trail_problem(task: Task, row: dict[str, Any], course: Course, *, ended: bool) -> str | None:
    """What is wrong with how often each tier was asked; `ended`: no further attempt was due."""
    trail = row["trail"]
    turns = [(attempt["round"], attempt["tier"] if task.quality else 0) for attempt in trail]
    if len(set(turns)) < len(turns) or (not task.quality and turns != sorted(turns)):
        return f"two attempts in one round: {turns}"  # drawn rows alone have both tiers asked in one
    # What a tier refused to all alike is asked once more under the same attempt, and left if it is refused again.
    again = [step["reason"] == Reason.RECORD_REFUSED and step["outcome"] == Outcome.RETRIED for step in trail]
    of = Counter((step["tier"], is_word(task, step)) for step, free in zip(trail, again, strict=True) if not free)
    often = [asked for asked, count in of.items() if count > most_sendings(task, *asked)]
    if often:
        return f"tier {often[0][0]}, or the judge of its answers, was asked {of[often[0]]} times"
    if problem := course_problem(task, [attempt["tier"] for attempt in trail], course):
        return problem
    if ended or row["reason"] == Reason.RECORD_REFUSED:  # or left, where its tier refused all alike
        return None
    if not trail or trail[-1]["tier"] != course.last:
        return f"it was given up for {row['reason']} before the last tier: {trail}"
    if trail[-1]["reason"] in OF_PACKS:
        return f"it was given up for {trail[-1]['reason']}, and never asked about alone"
    for tier, settings in enumerate(task.tiers):
        last = [attempt for attempt in trail if attempt["tier"] == tier][-1:]
        word = bool(last) and is_word(task, last[0])
        due = task.gates.judge.attempts if word and task.gates.judge is not None else settings.attempts
        if last and last[0]["reason"] in TRANSPORT and of[tier, word] < due:
            return f"tier {tier} was given up for {last[0]['reason']} after {of[tier, word]} attempts"
    return None


def is_word(task: Task, step: Mapping[str, Any]) -> bool:
    """Whether an attempt is the judge's, which is none of the tiers."""
    return task.gates.judge is not None and task.gates.judge.model in step["model"]


def most_sendings(task: Task, tier: int, word: bool) -> int:
    """How often a record may be sent: in a pack, and in half of one, before it goes alone, and its attempts count.

    The router's question the first tier is asked before, each as often as its attempts.
    """
    asked = task.gates.judge if word and task.gates.judge is not None else task.tiers[tier]
    routed = 0 if task.router is None or tier else task.tiers[0].attempts
    return asked.attempts + (asked.pack > 1) + (asked.pack > 3) + routed


def words_problem(task: Task, row: Mapping[str, Any]) -> str | None:
    """What is wrong with what the judge says of a row's answers: all that pass are shown to it, and it decides.

    Where answers get a score, that decides of those that it does not call wrong.
    """
    if task.gates.judge is None or task.gives_scores:
        return None
    answers, words = ([s for s in row["trail"] if is_word(task, s) == word] for word in (False, True))
    for answer in answers:
        last = [word for word in words if word["tier"] == answer["tier"]][-1:]
        agreed = bool(last) and last[0]["reason"] == Reason.JUDGE_AGREED
        if (answer["outcome"] == Outcome.ACCEPTED) != (agreed and answer is answers[-1]):
            return f"an answer of tier {answer['tier']} is {answer['outcome']}, of which the judge says {last}"
    return None


def course_problem(task: Task, tiers: list[int], course: Course) -> str | None:
    """What is wrong with the tiers that a row was asked of, in their order."""
    if tiers != sorted(tiers):
        return "the tiers are out of order"
    if tiers and not task.quality and not course.tier == tiers[0] <= tiers[-1] <= course.last:
        return f"it was asked from tier {tiers[0]} to tier {tiers[-1]}, its routes say {course}"
    return None


def books_problems(machine: Machine, run: str, summary: dict[str, Any], rows: list[dict[str, Any]]) -> Iterator[str]:
    """Where run.json, the rows and the outputs say different things."""
    statuses = Counter(row["status"] for row in rows)
    for status in ("accepted", "unresolved", "rejected"):
        if summary["rows"][status] != statuses[status]:
            yield f"run.json counts {summary['rows'][status]} {status} rows, there are {statuses[status]}"
    tokens_in, tokens_out, usd = recount(machine, run)
    shown = [sum(row[name] for row in rows) for name in ("input_tokens", "output_tokens", "cost_usd")]
    if shown[:2] != [tokens_in, tokens_out]:
        yield f"the outputs have {tokens_in} and {tokens_out} tokens, the rows {shown[0]} and {shown[1]}"
    twice, told = recount(machine, run, repeats=True), summary["repeats"]
    if (told["input_tokens"], told["output_tokens"]) != twice[:2] or not math.isclose(told["cost_usd"], twice[2]):
        yield f"what was asked once more took {twice}, run.json says {told}"
    filled, told = fillers(machine, run), summary["fillers"]
    if (told["input_tokens"], told["output_tokens"]) != filled[:2] or not math.isclose(told["cost_usd"], filled[2]):
        yield f"the outputs' fillers took {filled}, run.json says {told}"
    for name, figure in (("the rows", shown[2]), ("run.json", summary["cost_usd"] - filled[2])):
        if not math.isclose(figure, usd, rel_tol=1e-6, abs_tol=1e-12):
            yield f"the outputs cost {usd}, {name} say {figure}"
    yield from measured_problems(machine, summary)


def measured_problems(machine: Machine, summary: dict[str, Any]) -> Iterator[str]:
    """Where the metrics count more than there was; where nothing was killed, where they count less too.

    A handler that is killed right behind its write has measured nothing, and will not do the work again.
    """
    told = {
        Measure.ROWS_IN: summary["rows"]["in"],
        Measure.RECORDS_SENT: summary["records"]["sent"],
        Measure.COST_USD: summary["cost_usd"],
    }
    killed = machine.kills or machine.faults.kill_at is not None
    for measure, figure in told.items():
        counted = machine.readings.total(measure)
        same = math.isclose(counted, figure, rel_tol=1e-9, abs_tol=1e-12)
        if not same and (counted > figure or not killed):
            yield f"{measure} adds up to {counted}, run.json says {figure}"


def recount(machine: Machine, run: str, *, repeats: bool = False) -> tuple[int, int, float]:
    """Tokens and dollars of the outputs of all jobs, one reply a record: its first answer, else its first error.

    `repeats`: of jobs alone that ask once more what was asked.
    """
    start = json.loads(machine.work.get(f"runs/{run}/start.json"))
    tokens_in = tokens_out = 0
    usd = 0.0
    for key, _ in list(machine.work.keys(f"runs/{run}/round-")):
        root, _, name = key.rpartition("/")
        if name != "counts.json":
            continue
        counts = json.loads(machine.work.get(key))
        price, kind = price_of(start, counts), counts["transport"]
        if kind == LEARNED or (repeats and counts["purpose"] != "repeat"):  # asks nobody
            continue
        got = list(replies(machine, root).values())
        sums = [sum(usage[n] for usage in got) for n in (0, 1)]
        tokens_in, tokens_out = tokens_in + sums[0], tokens_out + sums[1]
        usd += (sums[0] * price[f"{kind}_input"] + sums[1] * price[f"{kind}_output"]) / 1e6
    return tokens_in, tokens_out, usd


def price_of(start: Mapping[str, Any], counts: Mapping[str, Any]) -> dict[str, float]:
    """The prices of whom a job has asked."""
    asked = start["judge"] if counts.get("judge") else start["tiers"][counts["tier"]]
    price: dict[str, float] = asked["price"]
    return price


def fillers(machine: Machine, run: str) -> tuple[int, int, float]:
    """Tokens and dollars of the first answer to each request without a record, in jobs that were settled."""
    start = json.loads(machine.work.get(f"runs/{run}/start.json"))
    tokens_in = tokens_out = 0
    usd = 0.0
    for key, _ in list(machine.work.keys(f"runs/{run}/round-")):
        if not key.endswith("/counts.json"):
            continue
        counts = json.loads(machine.work.get(key))
        price, kind = price_of(start, counts), counts["transport"]
        for took in filler_usage(machine, key.rpartition("/")[0].replace("runs/", "requests/", 1)).values():
            tokens_in, tokens_out = tokens_in + took[0], tokens_out + took[1]
            usd += (took[0] * price[f"{kind}_input"] + took[1] * price[f"{kind}_output"]) / 1e6
    return tokens_in, tokens_out, usd


def filler_usage(machine: Machine, root: str) -> dict[str, tuple[int, int]]:
    """Tokens by filler of a job."""
    found: dict[str, tuple[int, int]] = {}
    for key, _ in machine.work.keys(f"{root}/out/"):
        for line in machine.work.get(key).split(b"\n") if key.endswith(".jsonl.out") else ():
            try:
                answer = json.loads(line)
            except ValueError:
                continue
            if answer["recordId"].startswith(FILLER) and (output := answer.get("modelOutput")):
                usage = output["usage"].get("inputTokens", 0), output["usage"].get("outputTokens", 0)
                found.setdefault(answer["recordId"], usage)
    return found


def replies(machine: Machine, root: str) -> dict[str, tuple[int, int]]:
    """Tokens by record of a job."""
    root = root.replace("runs/", "requests/", 1)
    sent = {line[:32] for line in machine.work.get(f"{root}/in/part-0.jsonl").split(b'"recordId":"')[1:]}
    known = {key.decode() for key in sent}
    answers: dict[str, tuple[int, int]] = {}
    broken: dict[str, tuple[int, int]] = {}
    for key, _ in machine.work.keys(f"{root}/out/"):
        if not key.endswith(".jsonl.out"):
            continue
        for line in machine.work.get(key).split(b"\n"):
            try:
                found = json.loads(line)
            except ValueError:
                continue
            if found["recordId"] not in known:
                continue
            output = found.get("modelOutput") or {"usage": {}, "output": {"message": {"content": None}}}
            usage = output["usage"].get("inputTokens", 0), output["usage"].get("outputTokens", 0)
            (answers if output["output"]["message"]["content"] else broken).setdefault(found["recordId"], usage)
    return broken | answers
