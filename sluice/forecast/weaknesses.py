"""What is weak in a task that can be run: what costs accuracy or money without being a mistake."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from difflib import SequenceMatcher
from itertools import combinations, pairwise, product
from typing import TYPE_CHECKING, Any, NamedTuple

import jsonschema_rs

from sluice.answers.requests import answer_tokens, example_text, prompt_tokens
from sluice.figures import percent, short_model
from sluice.task.answer import Confidence
from sluice.task.labels import described
from sluice.task.spelling import Names

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sluice.models.catalog import Model
    from sluice.task.gates import Rule
    from sluice.task.task import Task

NAMED = 5  # labels that a sentence lists
COMPARED = 200  # labels up to which each is compared with each
ALIKE = 0.87
INSTRUCTIONS = 500  # tokens of instructions from which they are worth a word
MOSTLY = 0.9  # the share of what is read that they may be
FEW = 0.5  # the share of rows that may lack the text


class Weakness(NamedTuple):
    """One weakness: the field of the task file, and what is weak about it and what to do."""

    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


class Sample(NamedTuple):
    """What rows of a sample hold: how many there are, how many have each path, mean tokens of a text, gold values."""

    rows: int
    having: Mapping[str, int]
    text_tokens: float
    gold: Mapping[str, int]


def weaknesses(task: Task, models: Sequence[Model], sample: Sample | None = None) -> list[Weakness]:
    """Every weakness of a task whose tiers have these models, in the order of the file's fields."""
    found: list[Weakness] = []
    if sample is not None:
        found += _fields(task, sample)
    found += [
        *_descriptions(task),
        *_alike(task),
        *_none(task),
        *_examples(task),
        *_gates(task),
        *_judge(task, models),
        *_tiers(task, models),
    ]
    if sample is not None and sample.rows:
        found += _instructions(task, sample.text_tokens)
    return found


def _fields(task: Task, sample: Sample) -> Iterator[Weakness]:
    rows = sample.rows
    if not rows:
        yield Weakness("input", "the sample has no row that can be read")
        return
    wanted = [("input.text", path) for path in task.input.text]
    wanted += [(f"input.{name}", path) for name in ("id", "gold") if (path := getattr(task.input, name))]
    wanted += [("input.keep", path) for path in task.input.keep]
    for field, path in wanted:
        having = sample.having.get(path, 0)
        if not having:
            yield Weakness(field, f"{path} stands in none of the {rows:,} rows of the sample")
        elif having < FEW * rows and field != "input.keep":
            yield Weakness(field, f"{path} stands in {having:,} of the {rows:,} rows of the sample")
    labels = Names(task.labels)
    strangers = [value for value in sample.gold if task.labels and labels.find(value) is None]
    if strangers:
        known = f"known answers of the sample are none of the labels: {_listed(strangers)}"
        yield Weakness("input.gold", f"{known}; they are compared with no answer")


def _descriptions(task: Task) -> Iterator[Weakness]:
    bare = [name for name, text in task.labels.items() if not described(text)]
    if bare:
        share = f"{len(bare):,} of {len(task.labels):,} labels" if len(bare) < len(task.labels) else "no label"
        verb = "have no description" if len(bare) < len(task.labels) else "has a description"
        yield Weakness("labels", f"{share} {verb} ({_listed(bare)}); a sentence for each tells the model what it means")
    if len(task.labels) == 1 and not task.many:
        yield Weakness("labels", "there is one, so every answer is the same; add the others")


def _alike(task: Task) -> Iterator[Weakness]:
    folded: dict[str, list[str]] = defaultdict(list)
    for name in task.labels:
        folded[re.sub(r"[\W_]+", "", name.casefold()).rstrip("s") or name].append(name)
    pairs: list[Sequence[str]] = [names for names in folded.values() if len(names) > 1]
    if len(task.labels) <= COMPARED:
        pairs += [(folded[one][0], folded[other][0]) for one, other in combinations(folded, 2) if _close(one, other)]
    for names in pairs:
        shown = " and ".join(map(repr, names))
        yield Weakness("labels", f"{shown} are nearly the same; models mix such names up: merge or rename them")
    for text, count in Counter(filter(None, map(described, task.labels.values()))).items():
        if count > 1:
            names = [name for name, other in task.labels.items() if described(other) == text]
            yield Weakness("labels", f"{_listed(names)} have the same description; say how they differ")


def _close(one: str, other: str) -> bool:
    matcher = SequenceMatcher(None, one, other)
    return matcher.real_quick_ratio() > ALIKE and matcher.quick_ratio() > ALIKE and matcher.ratio() > ALIKE


def _none(task: Task) -> Iterator[Weakness]:
    if task.labels and task.none is None and task.min_labels:
        yield Weakness("none", "is not set, so a text that fits no label gets one all the same; name the label for it")


def _examples(task: Task) -> Iterator[Weakness]:
    if not task.examples:
        yield Weakness("examples", "there are none; one for each label, taken from your rows, helps most")
    places: dict[str, list[int]] = defaultdict(list)
    for number, example in enumerate(task.examples):
        places[example_text(task, example).strip().casefold()].append(number)
    for numbers in places.values():
        if len(numbers) > 1:
            answers = {(task.examples[number].labels, str(task.examples[number].fields)) for number in numbers}
            same = "the same text" if len(answers) == 1 else "the same text with different answers"
            yield Weakness("examples", f"{' and '.join(map(str, numbers))} (from 0) have {same}; keep one")


def _gates(task: Task) -> Iterator[Weakness]:
    if task.answer.confidence and task.gates.min_confidence is Confidence.UNSURE:
        yield Weakness(
            "gates.min_confidence", "unsure lets every answer pass; likely is the least that means something"
        )
    asks = task.answer.confidence or task.answer.evidence or task.gates.rules
    if not asks and len(task.tiers) > 1:
        yield Weakness("gates", "only malformed answers go on to the next tier; ask for answer.confidence or evidence")
    for rule in task.gates.rules:
        yield from _rule(task, rule)


def _rule(task: Task, rule: Rule) -> Iterator[Weakness]:
    """A rule over the answer alone is tried on every answer that the task allows, as far as they can be listed."""
    if rule.reads_row and rule.json_schema not in ({}, {"not": {}}):
        return
    if task.answer.fields or task.many or task.answer.evidence:
        return
    validator = jsonschema_rs.validator_for(rule.json_schema)
    passed = {validator.is_valid({"row": {}, "answer": answer}) for answer in _answers(task)}
    if passed == {True}:
        yield Weakness("gates.rules", f"{rule.name} lets every answer pass")
    if passed == {False}:
        yield Weakness("gates.rules", f"{rule.name} lets no answer pass, so no row can be accepted")


def _answers(task: Task) -> Iterable[dict[str, Any]]:
    levels = [level.value for level in Confidence] if task.answer.confidence else [None]
    for label, level in product(task.labels, levels):
        yield {"label": label} if level is None else {"label": label, "confidence": level}


def _tiers(task: Task, models: Sequence[Model]) -> Iterator[Weakness]:
    needed = answer_tokens(task)
    for number, tier in enumerate(task.tiers):
        if tier.max_tokens < needed:
            message = (
                f"{tier.max_tokens} is below the {needed} tokens of an answer, and one that is cut is not accepted"
            )
            yield Weakness(f"tiers.{number}.max_tokens", message)
        if tier.pack > 1:
            message = (
                f"nobody has measured how packs of {tier.pack} change what {tier.model} answers to these texts; "
                "run the same sample with and without"
            )
            yield Weakness(f"tiers.{number}.pack", message)
    for number, (before, model) in enumerate(pairwise(models[: len(task.tiers)]), 1):
        dear, cheap = _usd(before), _usd(model)
        if before.id == model.id and not task.tiers[number].temperature:
            message = (
                f"{short_model(model.id)} is asked the same a second time; a stronger model would answer otherwise"
            )
            yield Weakness(f"tiers.{number}.model", message)
        elif dear is not None and cheap is not None and cheap < dear:
            message = (
                f"{short_model(model.id)} costs less than {short_model(before.id)} before it; put the cheapest first"
            )
            yield Weakness(f"tiers.{number}.model", message)


def _judge(task: Task, models: Sequence[Model]) -> Iterator[Weakness]:
    """A judge that looks at answers of its own: what it believed once, it believes again."""
    if task.gates.judge is None:
        return
    *tiers, judge = models
    own = [number for number, model in enumerate(tiers) if model.id == judge.id]
    if own:
        which = f"tier{'s' * (len(own) > 1)} {' and '.join(map(str, own))}"
        message = f"{short_model(judge.id)} would look at its own answers, those of {which}; name another model"
        yield Weakness("gates.judge.model", message)


def _usd(model: Model) -> float | None:
    """A price to compare models by: of ten tokens read and one written, on demand."""
    price = model.price
    if price is None or price.on_demand_input is None or price.on_demand_output is None:
        return None
    return 10 * price.on_demand_input + price.on_demand_output


def _instructions(task: Task, text_tokens: float) -> Iterator[Weakness]:
    constant = prompt_tokens(task)
    share = constant / (constant + text_tokens)
    if constant >= INSTRUCTIONS and share >= MOSTLY:
        yield Weakness(
            "instructions",
            f"{percent(share, 1)} of what each request holds is the same in all ({constant:,} tokens of labels, "
            f"instructions and examples; a text has about {text_tokens:,.0f}); shorter ones make the run cheaper",
        )


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:NAMED])
    return f"{shown} and {len(names) - NAMED:,} more" if len(names) > NAMED else shown
