"""What a model is asked for besides the label, and how sure it says it is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, ClassVar

from pydantic import Field, WithJsonSchema, field_validator, model_serializer, model_validator

from sluice.task.base import Strict, Yes
from sluice.task.problems import QUOTE_IT


class Confidence(StrEnum):
    """How sure a model says it is: words, since stated numbers are a poor signal."""

    UNSURE = "unsure"
    LIKELY = "likely"
    CERTAIN = "certain"

    @property
    def rank(self) -> int:
        """0 for unsure, 1 for likely, 2 for certain."""
        return list(Confidence).index(self)


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
