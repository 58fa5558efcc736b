"""Certified runs under fault plans: the certificate of a calm run, that in which lost answers disagree, or none.

    python -m tests.faults.certified --plans 300 --seed 0

Every plan is held against a run of the same scenario in which nothing fails. A plan that broke something is run again
by `--plans 1 --seed N`. `make prove` ends with them.
"""

# ruff: noqa: T201 - what a command prints

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections import Counter
from dataclasses import replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from sluice.answers.shown import OPEN_ANSWER
from sluice.api.quality import verify
from sluice.errors import Stop
from sluice.local.faults import draw
from sluice.quality.score import HIGHEST, tie
from sluice.reasons import TRANSPORT, Reason
from sluice.results.published import Published
from sluice.runs.drawn import Certificate, Draws
from sluice.runs.keys import Keys
from sluice.task.file import parse_task
from tests.faults.invariants import judge_run
from tests.faults.scenarios import Scenario, draw_plan
from tests.harness.drive import jsonl
from tests.harness.faults import FaultPlan, WriteKill
from tests.harness.machine import Machine

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sluice.task.task import Task

LABELS = ("red", "green", "blue")
FIRST, ORACLE = "nova-micro", "claude-haiku-4-5"
SAMPLE, TRAIN = 60, 200
FLOORS = {"red": 0.8, "blue": 0.7}
JUDGE = "nova-lite"
KINDS = ("plain", "floors", "packs", "floors in packs", "learned", "learned with floors", "judged")
CRASHES, SILENCES = 0.4, 0.3  # the shares of plans that are a crash at one write, or that lose sampled answers alone
# What a certificate does not take from its sampled answers: it is the same whatever was lost.
FIXED = (
    *("agree", "delta", "population", "sample", "train", "at_most", "disagreements", "seed", "task_version", "models"),
    *("packs", "drawn_records", "pieces", "status", "based_on", "differing"),
)


def label_of(model: str, text: str) -> str:
    """The oracle says the colour that the text names; the first tier errs, most often where it is dark."""
    colour = text.split()[1]
    wrong = 0.6 if "dark" in text else 0.01
    if ORACLE not in model and draw(3, text) < wrong:
        return LABELS[LABELS.index(colour) - 1]
    return colour


def reply(model: str, text: str) -> str:
    """An answer; now and then one that no gate lets pass. The judge calls most wrong ones wrong, and few right ones."""
    if JUDGE in model:
        text, _, shown = text.partition(OPEN_ANSWER)
        right, chance = f'"{label_of(ORACLE, text)}"' in shown, draw(5, text)
        return json.dumps({"label": "unclear" if chance < 0.1 else "right" if right != (chance > 0.8) else "wrong"})
    label = label_of(model, text) if ORACLE in model or draw(4, text) > 0.05 else "purple"
    return json.dumps({"label": label, "confidence": "likely"})


def muted(mute: frozenset[str], model: str, text: str) -> str:
    """The same, but nothing of the oracle's to some texts."""
    return "" if ORACLE in model and text in mute else reply(model, text)


def rows(count: int, seed: int = 1, repeated: float = 0.2) -> bytes:
    """Rows, some of which repeat a text, and some that are none."""
    dice = random.Random(seed)
    texts = [
        f"a {dice.choice(LABELS)} {'dark' if dice.random() < 0.3 else 'bright'} thing {n}, {dice.choice('abc') * 9}"
        for n in range(count)
    ]
    texts = [dice.choice(texts[:20]) if dice.random() < repeated else text for text in texts]
    return jsonl([{"text": text, "n": n} if n % 50 else {"text": ""} for n, text in enumerate(texts)])


@cache
def scenario_of(kind: str) -> Scenario:
    """A run that asks for a certificate, before anything goes wrong."""
    quality: dict[str, Any] = {"agree": 0.8, "sample": SAMPLE, "train": TRAIN}
    if "floors" in kind:
        quality["floors"] = FLOORS
    first: dict[str, Any] = {"kind": "learned"} if "learned" in kind else {"model": FIRST}
    oracle: dict[str, Any] = {"model": ORACLE}
    if "packs" in kind:
        first, oracle = first | {"pack": 5}, oracle | {"pack": 10}
    task = parse_task(
        {
            "name": "promised",
            "input": {"text": "text"},
            "labels": list(LABELS),
            "tiers": [first, oracle],
            "quality": quality,
            "gates": {"judge": {"model": JUDGE, "pack": 5}} if "judged" in kind else {},
        },
        "the task of the faults",
    )
    settings = {"min_records_per_job": 1, "max_records_per_job": 70, "on_demand_concurrency": 1, "span_bytes": 9_000}
    return Scenario(task, {"a.jsonl": rows(330), "b.jsonl": rows(120, seed=2)}, settings, label_of)


class Refused(Exception):
    """A run that stopped with the reason, however often it was resumed, and published nothing."""


class Ended(NamedTuple):
    """A run at its end: the machine, its summary, its certificate with its draws, its rows by source and line."""

    machine: Machine
    run: str
    summary: dict[str, Any]
    certificate: Certificate | None
    draws: Draws
    rows: dict[tuple[str, int], dict[str, Any]]


def play(scenario: Scenario, plan: FaultPlan, mute: frozenset[str] = frozenset()) -> Ended:
    """One run under a plan; even seeds resume one that is cancelled. Of texts in `mute` the oracle says nothing."""
    machine = Machine(plan, partial(muted, mute), scenario.settings)
    run = machine.begin(scenario.task, scenario.files)
    try:
        summary = machine.finish(run, resume_cancelled=plan.seed % 2 == 0)
    except AssertionError:
        if machine.failures[-1]["Error"] != Stop.__name__ or machine.rows():
            raise
        raise Refused(machine.failures[-1]["Cause"]) from None
    keys = Keys(run)
    kept = machine.work.get(keys.certificate) if machine.work.exists(keys.certificate) else None
    draws = msgspec.json.decode(machine.work.get(keys.draws), type=Draws, strict=False)
    certificate = None if kept is None else msgspec.json.decode(kept, type=Certificate, strict=False)
    found = {(row["source"], row["line"]): row for row in machine.rows()}
    return Ended(machine, run, summary, certificate, draws, found)


@cache
def calm(kind: str) -> Ended:
    """The run of a scenario in which nothing goes wrong."""
    return play(scenario_of(kind), FaultPlan())


def problems_of(kind: str, ended: Ended) -> Iterator[str]:
    """What is wrong with a run at its end."""
    scenario, whole = scenario_of(kind), calm(kind)
    verdict = judge_run(ended.machine, scenario, ended.run, ended.summary)
    if not verdict.clean:
        yield f"{verdict.lost} lost, {verdict.doubled} doubled, {verdict.bought_twice} bought twice"
        yield from verdict.wrong
    if (ended.draws.seed, ended.draws.sample, ended.draws.train) != (
        whole.draws.seed, whole.draws.sample, whole.draws.train,
    ):  # fmt: skip
        yield "other rows were drawn"
    if ended.certificate is None:
        yield from refusal_problems(ended)
    else:
        yield from verification_problems(ended)
        yield from certificate_problems(scenario, whole, ended, ended.certificate)


def refusal_problems(ended: Ended) -> Iterator[str]:
    """A run without a certificate says so, keeps no first answer, and was cancelled: nothing else here ends one."""
    if ended.summary["certificate"] is not None or not any(
        "no certificate" in said for said in ended.summary["warnings"]
    ):
        yield "there is no certificate, and no word of it"
    if ended.summary["status"] != "cancelled":
        yield f"there is no certificate, and the run has {ended.summary['status']}"
    yield from ("a first answer stands without a certificate" for row in ended.rows.values() if by_first(row))


def verification_problems(ended: Ended) -> Iterator[str]:
    """What `sluice verify` finds in what the run has published."""
    published = Published(ended.machine.results, ended.run, "results/promised/", origins=list)
    kept = ended.machine.results.get(f"reports/{ended.run}/certificate.json")
    yield from (f"verify: {problem}" for problem in verify(published, ended.summary, kept)["problems"])


def by_first(row: Mapping[str, Any]) -> bool:
    """Whether a row keeps the first tier's label."""
    return bool(row["status"] == "accepted" and row["tier"] == 0)


def certificate_problems(scenario: Scenario, whole: Ended, ended: Ended, found: Certificate) -> Iterator[str]:
    """Where a certificate is not that of the calm run, lost answers of the oracle counted as disagreements."""
    right = whole.certificate
    assert right is not None
    yield from (f"{name} is another" for name in FIXED if getattr(found, name) != getattr(right, name))
    drawn = ended.draws.keys
    yield from (
        "a drawn row keeps a first answer" for row in ended.rows.values() if by_first(row) and row["record"] in drawn
    )
    lost = set[str]()
    for answer, whole_answer in zip(found.sampled, right.sampled, strict=True):
        if answer.oracle != whole_answer.oracle:
            if answer.oracle is not None:
                yield f"the oracle never said {answer.oracle} of {answer.key}"
            lost.add(answer.key)
    yield from repeats_problems(found, right)
    for key in lost:
        yield from lost_problems(scenario.task, key, ended)
    if found.sampled_unanswered != sum(answer.oracle is None for answer in found.sampled):
        yield "the lost answers are not counted"
    if firsts_of(ended) == firsts_of(whole) and taught(ended) == taught(whole):
        yield from same_problems(whole, right, found, ended, lost)


def repeats_problems(found: Certificate, right: Certificate) -> Iterator[str]:
    """The oracle was asked twice about the same records, or about none; where its answers came, it said the same."""
    twice = [(row.key, row.again) for row in found.sampled if row.repeated]
    meant = {row.key: row.oracle for row in right.sampled if row.repeated}
    if twice and [key for key, _ in twice] != list(meant):
        yield "the oracle was asked twice about other records"
    yield from (f"it never said {again} of {key}" for key, again in twice if again not in (None, meant[key]))


def lost_problems(task: Task, key: str, ended: Ended) -> Iterator[str]:
    """An answer is lost only where all attempts were made, or a reply came that nobody can use.

    Or where all were refused alike, and a resumed run was answered behind the certificate.
    """
    row = next(row for row in ended.rows.values() if row["record"] == key)
    asked = [step for step in row["trail"] if step["tier"] == 1]
    final = row["reason"] not in TRANSPORT or row["reason"] == Reason.RECORD_REFUSED
    late = any(step["reason"] == Reason.RECORD_REFUSED and step["outcome"] == "retried" for step in asked)
    if (row["status"] == "accepted" and not late) or not (final or len(asked) >= task.tiers[1].attempts):
        yield f"{key} is {row['status']}, asked {len(asked)} times, and counts as lost"


def model_of(ended: Ended) -> bytes:
    """The learned model of a run."""
    return ended.machine.work.get(Keys(ended.run).learned)


def taught(ended: Ended) -> dict[str, str | None]:
    """The oracle's labels of the train rows, by their records: what the score was fitted to."""
    labels = {row["record"]: row["label"] if row["tier"] == 1 else None for row in ended.rows.values()}
    return {row.key: labels[row.key] for row in ended.draws.train}


def firsts_of(ended: Ended) -> dict[str, tuple[str, ...]]:
    """The first tier's valid answer to each record, empty where it has none, and the judge's last word about it."""
    found = {}
    for row in ended.rows.values():
        steps = [step for step in row["trail"] or () if step["tier"] == 0]
        words = [step["detail"] or "" for step in steps if JUDGE in step["model"]][-1:]
        found[row["record"]] = (*[step["label"] for step in steps if step["label"]][:1], *words)
    return found


def same_problems(whole: Ended, right: Certificate, found: Certificate, ended: Ended, lost: set[str]) -> Iterator[str]:
    """Nothing that scores are made of was lost: they are the same, and lost answers alone make a difference."""
    if model_of(ended) != model_of(whole) or [row.place for row in found.sampled] != [
        row.place for row in right.sampled
    ]:
        yield "the same answers have taught another score"
        return
    train = {row.key for row in ended.draws.train}
    bad = [row.bad or (row.key in lost and row.key not in train) for row in right.sampled]
    if [row.bad for row in found.sampled] != bad:
        yield "lost answers do not count as disagreements, or others do"
    bars: dict[str | None, tuple[int, int] | None] = {None: bar(found.disagreements, right, bad, None)}
    bars |= {each.label: bar(each.disagreements, right, bad, each.label) for each in right.floors}
    says: dict[str | None, object] = {None: place_of(found.threshold)}
    says |= {floor.label: place_of(floor.threshold) for floor in found.floors if not floor.refused}
    yield from (f"the threshold of {name} is another" for name, said in says.items() if said != bars[name])
    refused = {floor.label for floor in right.floors if floor.refused}
    kept = set()
    for place, row in whole.rows.items():
        if row["score"] is None or row["record"] in ended.draws.keys:
            continue
        at = (round(row["score"] * HIGHEST), tie(row["record"]))
        first = next(step["label"] for step in row["trail"] if step["tier"] == 0 and step["label"])
        if first not in refused and all(above is None or at > above for above in (bars[None], bars.get(first))):
            kept.add(place)
    if {place for place, row in ended.rows.items() if by_first(row)} != kept:
        yield "other rows keep their first answer than those above the thresholds"


def bar(x: int, right: Certificate, bad: list[bool], label: str | None) -> tuple[int, int] | None:
    """The first disagreement that is one too many, from the top, of all sampled rows or of those called by a label."""
    rows = [
        (row.place.score, row.place.tie)
        for row, counts in zip(right.sampled, bad, strict=True)
        if counts and row.place is not None and (label is None or row.first == [label])
    ]
    return sorted(rows, reverse=True)[x] if 0 <= x < len(rows) else None


def place_of(place: Any) -> tuple[int, int] | None:
    """A stored place as a pair."""
    return None if place is None else (place.score, place.tie)


class Outcome(NamedTuple):
    """What a plan did: how it ended in words, what is wrong, which faults struck."""

    seed: int
    ended: str
    problems: list[str]
    struck: Counter[str]


def plan_of(seed: int, kind: str) -> tuple[FaultPlan, frozenset[str]]:
    """A storm, or one crash at a write that goes round all those of the calm run, or sampled answers that stay lost.

    With the latter goes all that loses nothing: crashes, late and repeated events, calls that fail.
    """
    dice = random.Random(f"certified {seed}")
    which, plan = dice.random(), draw_plan(seed)
    if which < CRASHES:
        write = 1 + seed * 7 % calm(kind).machine.faulty_s3.all_writes
        kill = WriteKill(write, dice.choice(("before", "after")), again=dice.random() < 0.5)
        return FaultPlan(seed=seed, kill_at=kill), frozenset()
    if which < CRASHES + SILENCES:
        texts = sampled_texts(kind)
        mute = frozenset(dice.sample(texts, dice.choice((1, 3, len(texts) // 4, len(texts)))))
        return replace(plan, jobs=0, records=0, cancel=None, cancel_in_create=None), mute
    return plan, frozenset()


@cache
def sampled_texts(kind: str) -> list[str]:
    """The texts of sampled rows that teach nothing."""
    draws = calm(kind).draws
    train = {row.key for row in draws.train}
    files = [data.split(b"\n") for data in scenario_of(kind).files.values()]
    found = {str(json.loads(files[row.source][row.line - 1])["text"]) for row in draws.sample if row.key not in train}
    return sorted(found)


def run_seed(seed: int) -> Outcome:
    """The plan of a seed, over the scenarios in turn; an exception is a problem, too."""
    kind = KINDS[seed % len(KINDS)]
    struck = Counter[str]()
    try:
        ended = play(scenario_of(kind), *plan_of(seed, kind))
        struck = ended.machine.dice.struck
        problems = list(problems_of(kind, ended))
    except Refused as refused:
        honest = "cannot be taught" in str(refused)  # so many train rows lost their answer
        return Outcome(seed, "refused", [] if honest else [f"{kind}: {refused}"], struck)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is reported with its seed
        return Outcome(seed, "crashed", [f"{kind}: {type(error).__name__}: {error}"], struck)
    certificate, right = ended.certificate, calm(kind).certificate
    assert right is not None
    if certificate is None:
        how = "no certificate: cancelled"
    elif msgspec.structs.replace(certificate, at=right.at, learned=right.learned) == right:
        how = "the same certificate"
    elif model_of(ended) == model_of(calm(kind)):
        how = "lost answers count as disagreements"
    else:
        how = "taught by fewer answers"
    return Outcome(seed, how, [f"{kind}: {problem}" for problem in problems], struck)


def main() -> int:
    """Run the plans, and count how they ended."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--plans", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    began = time.monotonic()
    outcomes = [run_seed(seed) for seed in range(given.seed, given.seed + given.plans)]
    struck = sum((outcome.struck for outcome in outcomes), Counter[str]())
    print(f"{given.plans:,} plans over certified runs, {struck.total():,} faults of {len(struck)} kinds")
    for how, count in Counter(outcome.ended for outcome in outcomes).most_common():
        print(f"  {how:<40}{count:>6,}")
    broken = [outcome for outcome in outcomes if outcome.problems]
    for outcome in broken[:20]:
        print(f"seed {outcome.seed}: {'; '.join(outcome.problems[:5])[:1000]}")
    print(f"  {'broken':<40}{len(broken):>6,}\n  {'seconds':<40}{time.monotonic() - began:>6,.0f}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
