"""The task file: what to read, the labels, how an answer is judged, which models in which order, what it may cost.

People write it, so several shapes are accepted (labels as mapping, list or CSV file; text as one field or several);
the objects here have one shape each. `Task.model_dump(mode="json")` is a task file again: so it is frozen into a run.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import jsonschema_rs
import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_serializer,
    model_validator,
)

from sluice.errors import BadTask
from sluice.triggers import Schedule, Trigger, read_trigger

MAX_LABELS = 1_000  # the list stands in every request: a thousand described labels are about 30,000 tokens
MAX_LABEL_CHARACTERS = 200
MAX_TIERS = 10
MAX_EXAMPLES = 100

# The columns that every results table has, in this order. Kept columns and answer fields may not be called like them,
# nor like `input` (the whole row) or `run_date` (the partition key).
BASE_COLUMNS = (
    "source",
    "line",
    "id",
    "record",
    "status",
    "reason",
    "label",
    "labels",
    "confidence",
    "score",
    "tier",
    "model",
    "attempts",
    "trail",
    "shared",
    "truncated",
    "input_tokens",
    "output_tokens",
    "cost_usd",
    "run_id",
    "task",
    "task_version",
)
RESERVED_COLUMNS = (*BASE_COLUMNS, "input", "run_date")

# Unquoted in YAML, these are no text; the advice is the same wherever a label stands.
QUOTE_IT = "write it in quotes: YAML reads a plain yes, no, on, off, null, number or date as something else than text"


class ProblemsError(ValueError):
    """Several mistakes found by one check, each a whole sentence that begins with its field."""

    def __init__(self, sentences: list[str]) -> None:
        self.sentences = sentences
        super().__init__("; ".join(sentences))


class Confidence(StrEnum):
    """How sure a model says it is: words, since stated numbers are a poor signal."""

    UNSURE = "unsure"
    LIKELY = "likely"
    CERTAIN = "certain"

    @property
    def rank(self) -> int:
        """0 for unsure, 1 for likely, 2 for certain."""
        return list(Confidence).index(self)


class Transport(StrEnum):
    """How a tier's records reach its model."""

    AUTO = "auto"
    BATCH = "batch"
    ON_DEMAND = "on_demand"


class KeepType(StrEnum):
    """The type of a kept column."""

    STRING = "string"
    INT = "int"
    DOUBLE = "double"
    BOOL = "bool"
    DATE = "date"
    TIMESTAMP = "timestamp"


class FieldType(StrEnum):
    """The type of an answer field's value, or of its elements."""

    STRING = "string"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"

    def admits(self, value: object) -> bool:
        """Whether a decoded JSON value is of this type; 3.0 is an integer as in JSON Schema, true is none."""
        match self:
            case FieldType.STRING:
                return isinstance(value, str)
            case FieldType.BOOLEAN:
                return isinstance(value, bool)
            case FieldType.NUMBER:
                return isinstance(value, int | float) and not isinstance(value, bool)
            case FieldType.INTEGER:
                whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
                return whole and not isinstance(value, bool)


def _path(value: str) -> str:
    if not value or "" in value.split("."):
        raise ValueError("should be the name of a field, or names with a dot between them (customer.address.city)")
    return value


def _name(value: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_-]{0,47}", value):
        raise ValueError("should be a lower-case letter, then up to 47 of a-z, 0-9, _ and -")
    return value


def _one_or_several(value: object) -> object:
    if isinstance(value, list | tuple):
        return value
    if not isinstance(value, str):
        raise ValueError("should be the name of a field, or a list of names")  # noqa: TRY004 - pydantic collects it
    return (value,)


FieldPath = Annotated[str, AfterValidator(_path)]
Name = Annotated[str, AfterValidator(_name)]
Whole = Annotated[int, Field(strict=True)]
Yes = Annotated[bool, Field(strict=True)]
Share = Annotated[float, Field(strict=True, ge=0, le=1)]


class Strict(BaseModel):
    """A part of the task file: fixed after reading, no unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", serialize_by_alias=True, allow_inf_nan=False)


class Input(Strict):
    """Which fields of a row are read, and which are carried to the output."""

    text: Annotated[
        tuple[FieldPath, ...],
        BeforeValidator(_one_or_several),
        WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}),
    ] = Field(description="The field that holds the text, or several in order; dotted paths reach into objects.")
    id: FieldPath | None = Field(None, description="The field with your own id, copied to the output as a string.")
    max_tokens: Annotated[Whole, Field(ge=1, le=1_000_000)] = Field(
        4000, description="A longer text is rejected or cut, as when_longer says."
    )
    when_longer: Literal["reject", "cut"] = Field(
        "reject", description="reject: the row becomes a rejected row; cut: the middle of the text is left out."
    )
    gold: FieldPath | None = Field(
        None, description="The field with the known answer, for reports; never shown to a model."
    )
    keep: dict[FieldPath, KeepType] = Field(
        {},
        description="Fields copied to typed columns: a path and its type. A column is called like its path, "
        "with _ for dots and all else that is no letter, digit or underscore.",
    )
    keep_input: Yes = Field(False, description="Whether the whole row stands in the output, as JSON in column input.")

    @field_validator("text")
    @classmethod
    def _named_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            raise ValueError("should name at least one field")
        twice = [path for path, count in Counter(value).items() if count > 1]
        if twice:
            raise ValueError(f"names {twice[0]} twice")
        return value

    @field_validator("gold")
    @classmethod
    def _gold_stays_hidden(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value and any(_within(value, path) or _within(path, value) for path in info.data.get("text", ())):
            raise ValueError("is part of text, so the model would be shown the answer")
        return value

    @property
    def kept(self) -> tuple[Kept, ...]:
        """The kept columns in the order of the task file."""
        return tuple(Kept(re.sub(r"\W", "_", path), path, kind) for path, kind in self.keep.items())


@dataclass(frozen=True, slots=True)
class Kept:
    """A field of the row that is copied to a typed column."""

    column: str
    path: str
    type: KeepType


def _within(path: str, other: str) -> bool:
    """Whether `path` is `other` or lies inside it."""
    return path == other or path.startswith(f"{other}.")


class LabelCount(Strict):
    """How many labels a row may get."""

    min: Annotated[Whole, Field(ge=0)] = Field(1, description="The fewest labels of a row; 0: a row may get none.")
    max: Annotated[Whole, Field(ge=1)] = Field(description="The most labels of a row.")


class AnswerField(Strict):
    """A further field that the model extracts, written as a JSON Schema property, stored as a typed column."""

    type: FieldType
    array: bool = False
    nullable: bool = False
    enum: tuple[str | int | float | bool, ...] = ()
    description: str = ""

    KEYWORDS: ClassVar[tuple[str, ...]] = ("type", "items", "enum", "description")

    @model_validator(mode="before")
    @classmethod
    def _read(cls, value: object) -> object:
        """Turn the JSON Schema property into attributes."""
        if not isinstance(value, Mapping):
            raise ValueError("should be a JSON Schema property, such as {type: string}")  # noqa: TRY004
        _only(value, cls.KEYWORDS, "a rule under gates.rules can check more")
        types, nullable = _types(value)
        array = types == ["array"]
        inner = _items(value) if array else value
        if array:
            types, _ = _types(inner)
        elif "items" in value:
            raise ValueError("items is for type: array")
        if len(types) != 1 or types[0] not in list(FieldType):
            allowed = ", ".join(FieldType)
            raise ValueError(f"type should be one of {allowed}, an array of one of them, or [<type>, 'null']")
        enum = _choices(inner, FieldType(types[0]), nullable)
        return {
            "type": types[0],
            "array": array,
            "nullable": nullable,
            "enum": enum,
            "description": value.get("description") or "",
        }

    @model_serializer
    def schema_property(self) -> dict[str, Any]:
        """The field as a JSON Schema property, as in the task file."""
        inner: dict[str, Any] = {"type": self.type.value}
        if self.enum:
            inner["enum"] = list(self.enum)
        outer: dict[str, Any] = {"type": "array", "items": inner} if self.array else inner
        if self.nullable:
            outer["type"] = [outer["type"], "null"]
            if "enum" in outer:
                outer["enum"].append(None)
        return {**outer, "description": self.description} if self.description else outer

    def admits(self, value: object) -> bool:
        """Whether a decoded JSON value fits the field."""
        if value is None:
            return self.nullable
        if self.array:
            return isinstance(value, list) and all(self._admits_one(item) for item in value)
        return self._admits_one(value)

    def _admits_one(self, value: object) -> bool:
        return self.type.admits(value) and (not self.enum or value in self.enum)


def _only(schema: Mapping[Any, Any], allowed: tuple[str, ...], hint: str) -> None:
    unknown = [str(key) for key in schema if key not in allowed]
    if unknown:
        raise ValueError(f"{unknown[0]} cannot be used here; there are: {', '.join(allowed)} ({hint})")


def _items(schema: Mapping[Any, Any]) -> Mapping[Any, Any]:
    items = schema.get("items")
    if "enum" in schema:
        raise ValueError("enum of an array belongs into its items")
    if not isinstance(items, Mapping):
        raise ValueError("an array should say items: {type: …}")  # noqa: TRY004 - pydantic collects ValueError
    _only(items, ("type", "enum"), "items are plain values; describe the field itself")
    if _types(items)[1]:
        raise ValueError("items cannot be null")
    return items


def _types(schema: Mapping[Any, Any]) -> tuple[list[str], bool]:
    """The types of a property without null, and whether null is among them."""
    given = schema.get("type")
    choices = schema.get("enum")
    if given is None and isinstance(choices, list) and all(isinstance(choice, str) for choice in choices):
        given = "string"  # {enum: [low, high]} says enough
    # YAML reads null in [string, null] as nothing at all.
    types = ["null" if item is None else str(item) for item in (given if isinstance(given, list) else [given])]
    return [name for name in types if name != "null"], "null" in types and isinstance(given, list)


def _choices(schema: Mapping[Any, Any], kind: FieldType, nullable: bool) -> list[Any]:
    choices = schema.get("enum", [])
    if not isinstance(choices, list) or ("enum" in schema and not choices):
        raise ValueError("enum should be a list of values")
    if nullable:
        choices = [choice for choice in choices if choice is not None]
    wrong = [choice for choice in choices if not kind.admits(choice)]
    if wrong:
        advice = f"; {QUOTE_IT}" if kind is FieldType.STRING else ""
        raise ValueError(f"{wrong[0]!r} in enum is no {kind}{advice}")
    return choices


class Answer(Strict):
    """What the model is asked for besides the label."""

    confidence: Yes = Field(True, description="Whether the model says how sure it is: certain, likely or unsure.")
    evidence: Yes = Field(False, description="Whether the model quotes its evidence, which must occur in the text.")
    fields: Annotated[
        dict[str, AnswerField],
        WithJsonSchema(
            {
                "type": "object",
                "propertyNames": {"pattern": "^[A-Za-z_][A-Za-z0-9_]{0,63}$"},
                "additionalProperties": {
                    "type": "object",
                    "properties": {
                        "type": {"description": "string, integer, number, boolean or array; [<type>, 'null'] for null"},
                        "items": {"type": "object", "description": "For an array: type and enum of its elements."},
                        "enum": {"type": "array", "description": "The allowed values."},
                        "description": {"type": "string", "description": "What the field holds; the model reads it."},
                    },
                    "additionalProperties": False,
                },
            }
        ),
    ] = Field({}, description="Further fields to extract, as JSON Schema properties; each becomes a typed column.")

    @field_validator("fields")
    @classmethod
    def _plain_names(cls, value: dict[str, AnswerField]) -> dict[str, AnswerField]:
        for name in value:
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,63}", name):
                raise ValueError(f"{name!r} should be letters, digits and _ (at most 64), not beginning with a digit")
        return value


class Example(Strict):
    """A text with its right answer: text by field (`text` when it was given as a whole), labels, further fields."""

    text: dict[str, str]
    labels: tuple[str, ...] = ()
    fields: dict[str, Any] = Field({})

    @model_serializer
    def as_written(self) -> dict[str, Any]:
        """The flat shape of the task file."""
        return {"text": self.text, **({"labels": list(self.labels)} if self.labels else {}), **self.fields}


def _refuse_remote(uri: str) -> Any:
    raise ValueError(f"{uri} is not part of the schema")


class Rule(Strict):
    """A JSON Schema that an answer has to satisfy, seen together with its row."""

    name: Name = Field(
        description="The rule's name, for people; an answer that fails a rule has the reason rule_failed."
    )
    json_schema: dict[str, Any] = Field(alias="schema", description='JSON Schema over {"row": …, "answer": …}.')

    @field_validator("json_schema")
    @classmethod
    def _is_a_schema(cls, value: dict[str, Any]) -> dict[str, Any]:
        try:
            jsonschema_rs.validator_for(value, retriever=_refuse_remote)
        except (ValueError, jsonschema_rs.ReferencingError) as error:
            raise ValueError(f"is no JSON Schema: {str(error).splitlines()[0]}") from None
        strangers = [name for name in _names_at_the_top(value) if name not in ("row", "answer")]
        if strangers:
            raise ValueError(f"{strangers[0]} is neither row nor answer, which is all that a rule sees at the top")
        return value

    @property
    def reads_row(self) -> bool:
        """Whether the rule can look at the row; only a schema that plainly names the answer alone cannot."""
        harmless = {"type", "title", "description", "properties", "required", "$schema", "$defs", "$comment"}
        return not (set(self.json_schema) <= harmless and set(_names_at_the_top(self.json_schema)) <= {"answer"})


def _names_at_the_top(schema: Mapping[str, Any]) -> list[str]:
    return [*schema.get("properties", {}), *schema.get("required", [])]


class Gates(Strict):
    """What an answer must pass to be accepted; what fails goes on to the next tier."""

    min_confidence: Confidence | None = Field(
        None, description="The least confidence that is accepted. Default: likely, when answer.confidence is on."
    )
    rules: tuple[Rule, ...] = Field((), description="Rules over the row and its answer.")

    @field_validator("rules")
    @classmethod
    def _named_apart(cls, value: tuple[Rule, ...]) -> tuple[Rule, ...]:
        twice = [name for name, count in Counter(rule.name for rule in value).items() if count > 1]
        if twice:
            raise ValueError(f"two rules are called {twice[0]}")
        return value


class Tier(Strict):
    """One model of the cascade and how it is called."""

    model: Annotated[str, Field(min_length=1, max_length=2048)] = Field(
        description="A short name of the catalogue (nova-micro) or a full model or inference profile id."
    )
    transport: Transport = Field(
        Transport.AUTO, description="auto: batch where there are enough records, else on demand; or batch, on_demand."
    )
    max_tokens: Annotated[Whole, Field(ge=1, le=64_000)] = Field(
        200, description="The longest answer, in tokens; an answer that is cut off is not accepted."
    )
    temperature: Annotated[float, Field(strict=True, ge=0, le=1)] = Field(
        0.0, description="0 for the likeliest answer, up to 1."
    )
    attempts: Annotated[Whole, Field(ge=1, le=10)] = Field(
        2, description="How often a record is sent to this tier when sending, not the answer, fails."
    )
    # Bounds of CreateModelInvocationJob's timeoutDurationInHours.
    timeout_hours: Annotated[Whole, Field(ge=24, le=168)] = Field(
        24, description="After how many hours Bedrock ends a batch job."
    )


class Budget(Strict):
    """What a run may cost."""

    max_usd: Annotated[float, Field(strict=True, gt=0)] | None = Field(
        None, description="Nothing is sent that would take the run above this; none: no limit."
    )


class Limits(Strict):
    """Shares of the rows above which a run ends as over_limit."""

    unresolved: Share | None = Field(None, description="Rows that no tier could answer; none: no limit.")
    rejected: Share | None = Field(None, description="Rows that could not be read; none: no limit.")


class Report(Strict):
    """What a run's report and run.json may hold of the rows."""

    examples: Yes = Field(
        True, description="Whether some rows of each kind stand there with the beginning of their text."
    )


DEFAULT_TIERS = (Tier(model="nova-micro"), Tier(model="claude-haiku-4-5"))


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
    gates: Gates = Field(Gates(), validate_default=True, description="What an answer must pass to be accepted.")
    tiers: Annotated[tuple[Tier, ...], Field(min_length=1, max_length=MAX_TIERS)] = Field(
        DEFAULT_TIERS, description="The models, cheapest first; default nova-micro, then claude-haiku-4-5."
    )
    budget: Budget = Field(Budget(), description="The most that a run may cost.")
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
        return _labels(value, (info.context or {}).get("base"))

    @field_validator("choose", mode="before")
    @classmethod
    def _read_choose(cls, value: object, info: ValidationInfo) -> object:
        if isinstance(value, Mapping):
            value = LabelCount.model_validate(value)
        if not isinstance(value, LabelCount) and value not in ("one", "many"):
            raise ValueError("should be one, many or {min: …, max: …}")
        if "labels" in info.data:
            _check_choose(value, len(info.data["labels"]))
        return value

    @field_validator("none", mode="before")
    @classmethod
    def _none_is_a_label(cls, value: object, info: ValidationInfo) -> object:
        if not isinstance(value, str):
            raise ValueError(f"should be a label; {QUOTE_IT}")  # noqa: TRY004
        labels = info.data.get("labels", {value: ""})
        if value not in labels:
            raise ValueError(f"should be one of the labels{_nearest(value, labels)}")
        return value

    @field_validator("answer")
    @classmethod
    def _answer_fits(cls, value: Answer, info: ValidationInfo) -> Answer:
        found = _column_problems(info.data.get("input"), value)
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
        reader = _ExampleReader(info.data["input"].text, info.data["labels"], info.data["choose"], info.data["answer"])
        read = [reader.read(f"examples.{number}", example) for number, example in enumerate(value)]
        if reader.problems:
            raise ProblemsError(reader.problems)
        return read

    @field_validator("gates")
    @classmethod
    def _gates_fit(cls, value: Gates, info: ValidationInfo) -> Gates:
        asked = info.data["answer"].confidence if "answer" in info.data else True
        if not asked and value.min_confidence:
            problem = f"{value.min_confidence.value!r} cannot be checked while answer.confidence is false"
            raise ProblemsError([f"gates.min_confidence: {problem}"])
        if asked and not value.min_confidence:
            return value.model_copy(update={"min_confidence": Confidence.LIKELY})
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
    def reads_row(self) -> bool:
        """Whether a judgement can depend on more of the row than its text."""
        return any(rule.reads_row for rule in self.gates.rules)

    @cached_property
    def version(self) -> str:
        """12 hex digits that change with everything in the file that can change a decision.

        Left out: what is kept, budget, limits, report, trigger and transport. Name and description count, since the
        request holds them; so does the order of labels and fields.
        """
        data = self.model_dump(
            mode="json",
            exclude={
                "budget": True,
                "limits": True,
                "report": True,
                "trigger": True,
                "input": {"id", "gold", "keep", "keep_input"},
                "tiers": {"__all__": {"transport", "timeout_hours"}},
            },
        )
        data["labels"] = list(data["labels"].items())
        data["answer"]["fields"] = list(data["answer"]["fields"].items())
        canonical = json.dumps(data, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        return hashlib.blake2b(canonical.encode(), digest_size=6).hexdigest()


def _labels(value: object, base: Path | None) -> dict[str, str]:
    """Labels of any of the three shapes as name -> description.

    Raises:
        ProblemsError: all that is wrong with them.

    """
    if isinstance(value, str):
        pairs = _label_file(value, base)
    elif isinstance(value, Mapping):
        pairs = list(value.items())
    elif isinstance(value, list | tuple):
        pairs = [(name, None) for name in value]
    else:
        raise ValueError("should be a mapping of name to description, a list of names, or the path of a CSV file")  # noqa: TRY004
    found = [problem for name, description in pairs for problem in _label_problems(name, description)]
    counts = Counter(unicodedata.normalize("NFC", name) for name, _ in pairs if isinstance(name, str))
    found += [f"labels: {name!r} stands there {count} times" for name, count in counts.items() if count > 1]
    if len(pairs) > MAX_LABELS:
        found.append(f"labels: {len(pairs):,} are too many; at most {MAX_LABELS:,} are allowed")
    if found:
        raise ProblemsError(found)
    return {name: description or "" for name, description in pairs}


def _label_problems(name: object, description: object) -> list[str]:
    if not isinstance(name, str):
        return [f"labels: {name!r} is not text; {QUOTE_IT}"]
    found = []
    if not name or name != name.strip():
        found.append(f"labels: {name!r} is empty, or begins or ends with a space")
    # The two joiners are invisible but part of how some scripts and emoji are spelled.
    elif not re.sub("[\u200c\u200d]", "", name).isprintable():
        found.append(f"labels: {name!r} holds a line break or another character that cannot be printed")
    if len(name) > MAX_LABEL_CHARACTERS:
        found.append(f"labels: {_shown(name)} is longer than {MAX_LABEL_CHARACTERS} characters")
    if description is not None and not isinstance(description, str):
        found.append(f"labels.{name}: the description {description!r} is not text; {QUOTE_IT}")
    return found


def _label_file(name: str, base: Path | None) -> list[tuple[Any, Any]]:
    if base is None:
        raise ValueError("should hold the labels themselves: a path is read relative to a task file")
    path = base / name
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError:
        raise ValueError(f"is read as the path of a CSV file, and there is no file {path}") from None
    except UnicodeDecodeError:
        raise ValueError(f"names {path}, which is not UTF-8") from None
    reader = csv.DictReader(io.StringIO(text, newline=""))
    if "name" not in (reader.fieldnames or ()):
        raise ValueError(f"names {path}, whose first line should hold the columns name and, optionally, description")
    return [(row["name"], row.get("description")) for row in reader]


def _check_choose(choose: object, labels: int) -> None:
    if choose != "one" and not labels:
        raise ValueError("needs labels to choose from")
    if isinstance(choose, LabelCount):
        if choose.min > choose.max:
            raise ValueError(f"min {choose.min} is above max {choose.max}")
        if choose.max > labels:
            raise ValueError(f"max {choose.max} is above the number of labels, {labels}")


def _column_problems(rows: Input | None, answer: Answer) -> list[str]:
    """Names of columns that collide; Athena does not tell capitals from small letters."""
    wanted = [(f"answer.fields.{name}", name) for name in answer.fields]
    wanted += [(f"input.keep.{kept.path}", kept.column) for kept in rows.kept] if rows else []
    taken = dict.fromkeys(RESERVED_COLUMNS, "a column that every table has")
    found = []
    for place, column in wanted:
        holder = taken.setdefault(column.casefold(), place)
        if holder != place:
            found.append(f"{place}: the column {column!r} is taken by {holder}; choose another name")
    return found


class _ExampleReader:
    """Sorts the flat keys of an example into text, labels and fields, and collects what is wrong."""

    def __init__(self, text: tuple[str, ...], labels: dict[str, str], choose: str | LabelCount, answer: Answer) -> None:
        self._text = text
        self._labels = labels
        self._choose = choose
        self._fields = answer.fields
        self.problems: list[str] = []

    def read(self, place: str, example: object) -> dict[str, Any]:
        """One example in the shape of `Example`; nonsense if `problems` were found."""
        if isinstance(example, Example):
            example = example.as_written()
        if not isinstance(example, Mapping):
            self.problems.append(f"{place}: {_shown(example)} should be a mapping of text, label and fields")
            return {}
        rest = {str(key): value for key, value in example.items()}
        return {
            "text": self._read_text(place, rest),
            "labels": self._read_labels(place, rest),
            "fields": self._read_fields(place, rest),
        }

    def _read_text(self, place: str, rest: dict[str, Any]) -> dict[str, str]:
        whole = rest.pop("text", None)
        given = {path: rest.pop(path) for path in self._text if path in rest}
        if isinstance(whole, Mapping):
            given |= {str(key): value for key, value in whole.items()}
        elif whole is not None:
            if given and "text" not in self._text:
                self.problems.append(f"{place}.text: stands beside {', '.join(given)}; give one or the other")
            single = len(self._text) == 1 and not given
            given[self._text[0] if single else "text"] = whole
        if not given:
            self.problems.append(f"{place}.text: missing; give text, or {' and '.join(self._text)}")
        for path, value in given.items():
            if not isinstance(value, str) or not value:
                self.problems.append(f"{place}.{path}: {_shown(value)} should be a text")
            if path not in (*self._text, "text"):
                self.problems.append(f"{place}.text.{path}: is not in input.text ({', '.join(self._text)})")
        return given

    def _read_labels(self, place: str, rest: dict[str, Any]) -> list[str]:
        one, several = rest.pop("label", None), rest.pop("labels", None)
        if one is not None and several is not None:
            self.problems.append(f"{place}.label: stands beside labels; give one of them")
        given = several if isinstance(several, list | tuple) else [] if one is None else [one]
        if several is not None and not isinstance(several, list | tuple):
            self.problems.append(f"{place}.labels: {_shown(several)} should be a list of labels")
        for label in given:
            if not isinstance(label, str):
                self.problems.append(f"{place}.label: {label!r} is not text; {QUOTE_IT}")
            elif label not in self._labels:
                self.problems.append(f"{place}.label: {label!r} is none of the labels{_nearest(label, self._labels)}")
        self._check_count(place, list(given))
        return list(given)

    def _check_count(self, place: str, given: list[Any]) -> None:
        if not self._labels:
            return
        low, high = 1, 1 if self._choose == "one" else len(self._labels)
        if isinstance(self._choose, LabelCount):
            low, high = self._choose.min, self._choose.max
        if not low <= len(given) <= high or len(set(map(str, given))) < len(given):
            wanted = str(low) if low == high else f"{low} to {high}"
            self.problems.append(f"{place}.label: {_shown(given)} should be {wanted} different label(s)")

    def _read_fields(self, place: str, rest: dict[str, Any]) -> dict[str, Any]:
        known = [*self._text, "text", "label", "labels", *self._fields]
        for name in set(rest) - set(self._fields):
            self.problems.append(f"{place}.{name}: no such field{_nearest(name, known)}")
        for name, field in self._fields.items():
            if not field.admits(rest.get(name)):
                shown = _shown(rest[name]) if name in rest else "missing"
                schema = json.dumps(field.schema_property(), ensure_ascii=False)
                self.problems.append(f"{place}.{name}: {shown} does not fit answer.fields.{name} {schema}")
        return {name: rest.get(name) for name in self._fields}


# Which model holds the fields of a place, for the names that a misspelt one could have meant.
_PLACES: dict[str, type[BaseModel]] = {
    "": Task,
    "input": Input,
    "choose": LabelCount,
    "answer": Answer,
    "gates": Gates,
    "gates.rules": Rule,
    "tiers": Tier,
    "budget": Budget,
    "limits": Limits,
    "report": Report,
    "trigger": Schedule,
}


# What pydantic says in Python's words.
_IN_YAML = {
    "bool_type": "should be a boolean, true or false",
    "dict_type": "should be a mapping",
    "float_type": "should be a number",
    "model_type": "should be a mapping",
    "string_type": "should be text",
    "too_short": "should hold at least 1",
    "tuple_type": "should be a list",
}


def problems_of(error: ValidationError, places: Mapping[str, type[BaseModel]], at: str = "") -> list[str]:
    """One sentence per mistake: the field's dotted path, its value, what is allowed."""
    found: list[str] = []
    for item in error.errors(include_url=False):
        cause = item.get("ctx", {}).get("error")
        parts = [at, *map(str, item["loc"])] if at else [str(part) for part in item["loc"]]
        path = ".".join(parts)
        if item["type"] == "too_short" and len(item["input"]) >= item["ctx"]["min_length"]:
            continue  # what is missing there was refused above, with its own reason
        if isinstance(cause, ProblemsError):
            found += cause.sentences
        elif isinstance(cause, ValidationError):
            found += problems_of(cause, places, path)
        elif item["type"] == "missing":
            found.append(f"{path}: is required")
        elif item["type"] == "extra_forbidden":
            holder = places.get(".".join(part for part in parts[:-1] if not part.isdigit()), BaseModel)
            names = [field.alias or name for name, field in holder.model_fields.items()]
            found.append(f"{path}: no such field{_nearest(parts[-1], names)}")
        else:
            allowed = str(cause) if cause else _IN_YAML.get(item["type"], item["msg"].replace("Input should", "should"))
            found.append(f"{path}: {_shown(item['input'])}: {allowed}")
    return found


def _nearest(name: str, names: Any) -> str:
    """A clause with the nearest of `names`, or a few of them."""
    known = [str(item) for item in names]
    near = get_close_matches(name, known, n=1)
    listed = ", ".join(known[:20]) + (", …" if len(known) > 20 else "")
    return (f"; did you mean {near[0]}?" if near else ".") + (f" There are: {listed}" if listed else "")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:60]}… ({len(text)} characters)"


class _Loader(yaml.SafeLoader):
    """YAML without silent overwriting: a key that stands twice in one mapping is an error."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: dict[tuple[str, str], int] = {}
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode):
            if (key.tag, key.value) in seen:
                first = seen[key.tag, key.value]
                problem = f"{key.value!r} stands there twice, first in line {first}"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            seen[key.tag, key.value] = key.start_mark.line + 1
    loader.flatten_mapping(node)
    return yaml.SafeLoader.construct_mapping(loader, node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def read_yaml(path: Path) -> object:
    """The content of a YAML file.

    Raises:
        ValueError: not UTF-8, not YAML, or a key that stands twice; the message names the line.
        OSError: it cannot be read.

    """
    try:
        return yaml.load(path.read_bytes().decode("utf-8-sig"), _Loader)  # noqa: S506 - a SafeLoader
    except UnicodeDecodeError as error:
        raise ValueError(f"is not UTF-8 (byte {error.start})") from None
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise ValueError(f"{line}{error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None


def parse_task(data: object, source: str, base: Path | None = None) -> Task:
    """The task that `data` (a decoded task file) describes.

    Args:
        data: what the YAML file holds, or `Task.model_dump(mode="json")`.
        source: what errors call the file.
        base: the folder in which a CSV file of labels is looked for.

    Raises:
        BadTask: one sentence per mistake, all at once.

    """
    if not isinstance(data, Mapping):
        raise BadTask(source, [f"{_shown(data)}: should be a mapping that begins with name: …"])
    try:
        return Task.model_validate(dict(data), context={"base": base})
    except ValidationError as error:
        raise BadTask(source, problems_of(error, _PLACES)) from None


def load_task(name_or_path: str, directory: Path = Path("tasks")) -> Task:
    """The task called so in `directory`, or in the file at that path.

    Raises:
        BadTask: there is none, or it has mistakes.

    """
    path, by_name = _find(name_or_path, directory)
    try:
        data = read_yaml(path)
    except OSError as error:
        raise BadTask(str(path), [f"cannot be read: {error.strerror}"]) from None
    except ValueError as error:
        raise BadTask(str(path), [str(error)]) from None
    task = parse_task(data, str(path), path.parent)
    if by_name and task.name != path.stem:
        raise BadTask(str(path), [f"name: {task.name!r}: should be {path.stem!r}, like the file"])
    return task


def task_names(directory: Path = Path("tasks")) -> list[str]:
    """The names of the tasks in a folder."""
    return sorted({path.stem for suffix in ("yaml", "yml") for path in directory.glob(f"*.{suffix}")})


def _find(name_or_path: str, directory: Path) -> tuple[Path, bool]:
    """The file, and whether it was asked for by name."""
    if re.fullmatch(r"[\w-]+", name_or_path):
        for suffix in ("yaml", "yml"):
            path = directory / f"{name_or_path}.{suffix}"
            if path.is_file():
                return path, True
    path = Path(name_or_path)
    if path.is_file():
        return path, False
    raise BadTask(name_or_path, [f"no such task in {directory}/{_nearest(name_or_path, task_names(directory))}"])


def json_schema() -> dict[str, Any]:
    """The JSON Schema of the task file, with descriptions and defaults, for editors."""
    schema = Task.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Sluice task"}
