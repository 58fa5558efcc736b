"""The task file: what to read, the labels, how an answer is judged, which models in which order, what it may cost.

People write it, so several shapes are accepted (labels as mapping, list or CSV file; text as one field or several);
the objects here have one shape each. `Task.model_dump(mode="json")` is a task file again: so it is frozen into a run.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, WithJsonSchema, field_validator, model_validator

from sluice.task.answer import Answer, Confidence
from sluice.task.base import Name, Strict, Whole
from sluice.task.columns import column_problems
from sluice.task.examples import MAX_EXAMPLES, Example, ExampleReader
from sluice.task.gates import Gates
from sluice.task.input import Input
from sluice.task.judge import judge_problems, judged_tiers
from sluice.task.labels import MAX_LABELS, LabelCount, check_choose, check_none, read_labels
from sluice.task.problems import QUOTE_IT, ProblemsError, nearest
from sluice.task.quality import FEWEST_TAUGHT, MOST_DRAWN, Audit, Quality
from sluice.task.questions import judging, question, routing
from sluice.task.router import Router, router_problem
from sluice.task.routes import MAX_ROUTES, Course, Route, check_routes
from sluice.task.scores import score_problems
from sluice.task.tiers import DEFAULT_TIERS, MAX_TIERS, Answerer, Budget, Corrections, Limits, Report, Reuse, Tier
from sluice.task.triggers import Trigger, read_trigger
from sluice.task.unsaid import leave_out_unsaid

TWO = 2  # tiers of a task with `quality`


class Task(Strict):
    """A task, checked as a whole. Fields stand in the order in which they are checked against each other."""

    name: Name = Field(description="The task's name: its folder in the buckets and its table in Athena.")
    description: str = Field("", description="What the task is for, in a sentence; the model reads it too.")
    input: Input = Field(description="Which fields of a row are read and kept.")
    labels: Annotated[
        dict[str, str],
        WithJsonSchema(
            {
                "anyOf": [
                    {"type": "object", "additionalProperties": {"type": ["string", "null"]}},
                    {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
                    {"type": "string"},
                ]
            }
        ),
    ] = Field(
        {},
        description="The labels: a mapping of name to description, a list of names, or the path of a CSV file with "
        f"columns name and description. At most {MAX_LABELS:,}; may be left out when answer.fields is given.",
    )
    choose: Annotated[
        Literal["one", "many"] | LabelCount,
        WithJsonSchema(
            {
                "anyOf": [
                    {"enum": ["one", "many"]},
                    {
                        "type": "object",
                        "properties": {
                            "min": {"type": "integer", "minimum": 0, "default": 1},
                            "max": {"type": "integer", "minimum": 1},
                        },
                        "required": ["max"],
                        "additionalProperties": False,
                    },
                ]
            }
        ),
    ] = Field("one", description="one label; many: at least one; or {min, max}, where min: 0 allows none.")
    none: str | None = Field(None, description="The label that says that nothing fits; one of the labels.")
    instructions: str = Field("", max_length=20_000, description="What else the model should know, in your words.")
    answer: Answer = Field(Answer(), validate_default=True, description="What is asked for besides the label.")
    examples: Annotated[
        tuple[Example, ...],
        WithJsonSchema(
            {
                "type": "array",
                "maxItems": MAX_EXAMPLES,
                "items": {
                    "type": "object",
                    "properties": {
                        "text": {"type": ["string", "object"], "description": "The text, or the text of each field."},
                        "label": {"type": "string", "description": "Its label."},
                        "labels": {"type": "array", "items": {"type": "string"}, "description": "Its labels."},
                    },
                },
            }
        ),
    ] = Field(
        (),
        description="Texts with their right answers, shown to the model: text (or the text fields by name), "
        f"label or labels, and the answer fields. At most {MAX_EXAMPLES}.",
    )
    quality: Quality | None = Field(
        None, description="A promise about the labels, which the run certifies: two tiers, the last one is the oracle."
    )
    audit: Audit | None = Field(
        None, description="Rows drawn at random that the last tier is asked about, too, to measure the others by it."
    )
    train: Annotated[Whole, Field(ge=FEWEST_TAUGHT, le=MOST_DRAWN)] | None = Field(
        None,
        description="Rows drawn at random that the last tier is asked about, to teach `gates.min_score` or a learned "
        "tier; its label of them stands. About 1% of the rows, between 500 and 10,000.",
    )
    gates: Gates = Field(Gates(), validate_default=True, description="What an answer must pass to be accepted.")
    tiers: Annotated[tuple[Tier, ...], Field(min_length=1, max_length=MAX_TIERS)] = Field(
        DEFAULT_TIERS, description="The models, cheapest first; default nova-micro, then claude-haiku-4-5."
    )
    routes: Annotated[tuple[Route, ...], Field(max_length=MAX_ROUTES)] = Field(
        (),
        description="Rows that start at a stronger tier or end at a weaker one: each with when, tier and last; the "
        f"first that takes a row counts. At most {MAX_ROUTES}.",
    )
    router: Router | None = Field(
        None,
        description="A question to the first tier before all others: whether it or the next one is to answer; none: "
        "the first tier answers, and its answers say what goes on.",
    )
    budget: Budget = Field(Budget(), description="The most that a run may cost.")
    reuse: Reuse | None = Field(
        None, description="For how long replies are kept for later runs, which then do not ask for them; none: not."
    )
    corrections: Corrections = Field(Corrections(), description="What runs make of what people have said of rows.")
    limits: Limits = Field(Limits(), description="When a run counts as over its limits.")
    report: Report = Field(Report(), description="What a run's report may show of the rows.")
    trigger: Trigger = Field(
        "on_drop",
        description="What starts a run: on_drop, the objects that were dropped, once it is quiet; on_ready, an object "
        "called _READY beside them; or a schedule, at whose tick what waits is run.",
    )

    @model_validator(mode="before")
    @classmethod
    def _empty_is_left_out(cls, value: object) -> object:
        """`answer:` with nothing behind it means the defaults."""
        return {key: item for key, item in value.items() if item is not None} if isinstance(value, dict) else value

    @field_validator("labels", mode="before")
    @classmethod
    def _read_labels(cls, value: object, info: ValidationInfo) -> dict[str, str]:
        return read_labels(value, (info.context or {}).get("base"))

    @field_validator("choose", mode="before")
    @classmethod
    def _read_choose(cls, value: object, info: ValidationInfo) -> object:
        if isinstance(value, Mapping):
            value = LabelCount.model_validate(value)
        if not isinstance(value, LabelCount) and value not in ("one", "many"):
            raise ValueError("should be one, many or {min: …, max: …}")
        if "labels" in info.data:
            check_choose(value, len(info.data["labels"]))
        return value

    @field_validator("none", mode="before")
    @classmethod
    def _none_is_a_label(cls, value: object, info: ValidationInfo) -> object:
        if not isinstance(value, str):
            raise ValueError(f"should be a label; {QUOTE_IT}")  # noqa: TRY004
        labels = info.data.get("labels", {value: ""})
        if value not in labels:
            raise ValueError(f"should be one of the labels{nearest(value, labels)}")
        if not (info.context or {}).get("frozen"):  # a run that began before this was refused goes on
            check_none(info.data.get("choose"))
        return value

    @field_validator("answer")
    @classmethod
    def _answer_fits(cls, value: Answer, info: ValidationInfo) -> Answer:
        found = column_problems(info.data["input"].kept if "input" in info.data else (), value.fields)
        if not value.fields and not info.data.get("labels", True):
            found.append("labels: missing; a task needs labels, or answer.fields that say what to extract")
        # What an answer and an example call their other parts.
        taken = {"text", *(info.data["input"].text if "input" in info.data else ()), *["evidence"] * value.evidence}
        found += [f"answer.fields.{name}: the name is taken; choose another" for name in value.fields if name in taken]
        if found:
            raise ProblemsError(found)
        return value

    @field_validator("examples", mode="before")
    @classmethod
    def _read_examples(cls, value: object, info: ValidationInfo) -> object:
        if not isinstance(value, list | tuple):
            raise ValueError("should be a list of examples")  # noqa: TRY004
        if len(value) > MAX_EXAMPLES:
            raise ValueError(f"should be at most {MAX_EXAMPLES}")
        if not {"input", "labels", "choose", "answer"} <= set(info.data):
            return ()  # their own mistakes come first
        none = None if (info.context or {}).get("frozen") else info.data.get("none")
        reader = ExampleReader(
            info.data["input"].text, info.data["labels"], info.data["choose"], info.data["answer"], none
        )
        read = [reader.read(f"examples.{number}", example) for number, example in enumerate(value)]
        if reader.problems:
            raise ProblemsError(reader.problems)
        return read

    @field_validator("quality")
    @classmethod
    def _floors_fit(cls, value: Quality | None, info: ValidationInfo) -> Quality | None:
        if value is not None and {"labels", "choose"} <= info.data.keys():
            many = info.data["choose"] != "one"
            if found := value.floor_problems(info.data["labels"], many=many):
                raise ProblemsError(found)
        return value

    @field_validator("gates")
    @classmethod
    def _gates_fit(cls, value: Gates, info: ValidationInfo) -> Gates:
        asked = info.data["answer"].confidence if "answer" in info.data else True
        if not asked and value.min_confidence:
            problem = f"{value.min_confidence.value!r} cannot be checked while answer.confidence is false"
            raise ProblemsError([f"gates.min_confidence: {problem}"])
        if info.data.get("quality"):
            if value.min_confidence:
                problem = "leave it out beside quality, where the certificate decides how sure an answer has to be"
                raise ProblemsError([f"gates.min_confidence: {problem}"])
            return value
        if asked and not value.min_confidence:
            return value.model_copy(update={"min_confidence": Confidence.LIKELY})
        return value

    @field_validator("tiers")
    @classmethod
    def _tiers_fit(cls, value: tuple[Tier, ...], info: ValidationInfo) -> tuple[Tier, ...]:
        answer = info.data.get("answer")
        gives_more = answer is not None and bool(answer.evidence or answer.fields)
        if found := [*score_problems(info.data, value, gives_more=gives_more), *judge_problems(info.data, value)]:
            raise ProblemsError(found)
        if not info.data.get("quality"):
            return value
        if not info.data.get("labels", True):
            raise ProblemsError(["quality: a task without labels has nothing that could agree; leave it out"])
        if len(value) != TWO:
            said = f"quality needs two tiers, one that answers first and the oracle; there are {len(value)}"
            more = ": what a tier in between accepts, the oracle would not be asked about" * (len(value) > TWO)
            raise ProblemsError([f"tiers: {said}{more}"])
        return value

    @field_validator("routes")
    @classmethod
    def _routes_fit(cls, value: tuple[Route, ...], info: ValidationInfo) -> tuple[Route, ...]:
        if value and info.data.get("quality"):
            problem = "its certificate asks the first tier about every row, and the last about each that falls short"
            raise ProblemsError([f"routes: leave them out beside quality: {problem}"])
        if value and info.data.get("train"):
            problem = "rows that are drawn from all teach what the first tier's answers are worth"
            raise ProblemsError([f"routes: leave them out beside train: {problem}"])
        if value and info.data.get("audit"):
            problem = "it compares tiers by rows that are drawn from all and sent to both"
            raise ProblemsError([f"routes: leave them out beside audit: {problem}"])
        if "tiers" in info.data:
            check_routes(value, len(info.data["tiers"]))
        return value

    @field_validator("router")
    @classmethod
    def _router_fits(cls, value: Router | None, info: ValidationInfo) -> Router | None:
        if value is not None and (problem := router_problem(info.data)):
            raise ProblemsError([f"router: {problem}"])
        return value

    @field_validator("reuse")
    @classmethod
    def _reuse_fits(cls, value: Reuse | None, info: ValidationInfo) -> Reuse | None:
        if value is not None and info.data.get("router"):
            raise ProblemsError(["reuse: leave it out beside router, whose answers are not kept"])
        return value

    @field_validator("trigger", mode="before")
    @classmethod
    def _read_trigger(cls, value: object) -> object:
        return read_trigger(value)

    @property
    def many(self) -> bool:
        """Whether an answer holds a list of labels."""
        return bool(self.labels) and self.choose != "one"

    @property
    def min_labels(self) -> int:
        """The fewest labels of an accepted row; 0 for a task without labels."""
        if not self.labels:
            return 0
        return self.choose.min if isinstance(self.choose, LabelCount) else 1

    @property
    def max_labels(self) -> int:
        """The most labels of an accepted row; 0 for a task without labels."""
        if isinstance(self.choose, LabelCount):
            return self.choose.max
        return len(self.labels) if self.many else min(1, len(self.labels))

    @property
    def drawn(self) -> int:
        """How many rows are drawn for the last tier, whatever becomes of them; 0 where none is."""
        return sum(self.draws)

    @property
    def draws(self) -> tuple[int, int]:
        """How many rows are drawn to measure by, and how many to teach by."""
        if self.quality is not None:
            return self.quality.sample, self.quality.train
        return 0 if self.audit is None else self.audit.drawn, self.train or 0

    @property
    def min_score(self) -> float | None:
        """The least score of the first tier's answers that is accepted; None where none decides, or a certificate."""
        return self.tiers[0].min_score if self.tiers[0].is_learned else self.gates.min_score

    @property
    def settles(self) -> bool:
        """Whether texts keep what people have settled. Not where a sample was labelled before: that is of all rows."""
        return self.corrections.settle and not (self.quality is not None and self.quality.by_gold)

    @property
    def gives_scores(self) -> bool:
        """Whether the first tier's answers get a score, which decides whether they stand."""
        return self.quality is not None or self.min_score is not None

    @cached_property
    def routing(self) -> Task:
        """What the router asks, as a task of its own over the same texts; its labels are simple and complex."""
        assert self.router is not None, "asked only where there is a router"
        return question(Task, routing(self, self.router), gates=Gates(), tiers=self.tiers)

    @cached_property
    def judging(self) -> Task:
        """What a judge is asked of an answer, as a task of its own; its labels are right, wrong and unclear."""
        return question(Task, judging(self), gates=Gates(), tiers=self.tiers[-1:])

    def asked(self, *, router: bool = False, judge: bool = False) -> Task:
        """The task that a request is about."""
        return self.routing if router else self.judging if judge else self

    @property
    def answerers(self) -> tuple[Answerer, ...]:
        """All whose models are asked: the tiers in order, and behind them the judge."""
        return self.tiers if self.gates.judge is None else (*self.tiers, self.gates.judge)

    @property
    def places(self) -> tuple[str, ...]:
        """Where each of `answerers` stands in the task."""
        return tuple([f"tiers.{n}" for n in range(len(self.tiers))] + ["gates.judge"] * (self.gates.judge is not None))

    @property
    def judged_tiers(self) -> tuple[int, ...]:
        """The tiers whose answers are shown to a judge; none without one."""
        return () if self.gates.judge is None else judged_tiers(self.tiers, draws=self.drawn > 0)

    @cached_property
    def courses(self) -> tuple[Course, ...]:
        """Of each route the tiers that its rows may be sent to."""
        return tuple(route.course(len(self.tiers)) for route in self.routes)

    @property
    def whole_course(self) -> Course:
        """The tiers of a row that no route takes."""
        return Course(0, len(self.tiers) - 1)

    @property
    def reads_row(self) -> bool:
        """Whether a judgement can depend on more of the row than its text."""
        return any(rule.reads_row for rule in self.gates.rules)

    @cached_property
    def version(self) -> str:
        """12 hex digits that change with everything in the file that can change a decision.

        Left out: what is kept, budget, reuse, corrections, limits, report, trigger, transport and the oracle's repeats.
        Name and description count, since the request holds them; so does the order of labels and fields.
        """
        data = self.model_dump(
            mode="json",
            exclude={
                "budget": True,
                "reuse": True,
                "corrections": True,
                "limits": True,
                "report": True,
                "trigger": True,
                "input": {"id", "gold", "keep", "keep_input"},
                "quality": {"repeats"},
                "tiers": {"__all__": {"transport", "timeout_hours"}},
                "gates": {"judge": {"transport", "timeout_hours"}},
            },
        )
        leave_out_unsaid(data)
        data["labels"] = list(data["labels"].items())
        data["answer"]["fields"] = list(data["answer"]["fields"].items())
        canonical = json.dumps(data, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        return hashlib.blake2b(canonical.encode(), digest_size=6).hexdigest()
