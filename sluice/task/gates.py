"""What an answer must pass to be accepted."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, field_validator

from sluice.task.answer import Confidence
from sluice.task.base import Name, Strict
from sluice.task.judge import JudgeGate
from sluice.task.schema import check_schema

if TYPE_CHECKING:
    from collections.abc import Mapping


class Rule(Strict):
    """A JSON Schema that an answer has to satisfy, seen together with its row."""

    name: Name = Field(
        description="The rule's name, for people; an answer that fails a rule has the reason rule_failed."
    )
    json_schema: dict[str, Any] = Field(alias="schema", description='JSON Schema over {"row": …, "answer": …}.')

    @field_validator("json_schema")
    @classmethod
    def _is_a_schema(cls, value: dict[str, Any]) -> dict[str, Any]:
        check_schema(value)
        strangers = [name for name in _names_at_the_top(value) if name not in ("row", "answer")]
        if strangers:
            raise ValueError(f"{strangers[0]} is neither row nor answer, which is all that a rule sees at the top")
        return value

    @property
    def reads_row(self) -> bool:
        """Whether the rule can look at the row; only a schema that plainly names the answer alone cannot."""
        return _reads_row(self.json_schema)


def _names_at_the_top(schema: Mapping[str, Any]) -> list[str]:
    return [*schema.get("properties", {}), *schema.get("required", [])]


# What names no member at the top, and the keywords whose schemas look at the same top.
_HARMLESS = {"type", "title", "description", "properties", "required", "$schema", "$defs", "$comment"}
_SAME = {"if", "then", "else", "not"}
_EACH = {"allOf", "anyOf", "oneOf"}


def _reads_row(schema: Any) -> bool:
    if isinstance(schema, bool):
        return False
    if set(schema) - _HARMLESS - _SAME - _EACH or set(_names_at_the_top(schema)) - {"answer"}:
        return True
    inside = [schema[name] for name in _SAME & set(schema)]
    inside += [part for name in _EACH & set(schema) for part in schema[name]]
    return any(map(_reads_row, inside))


class Gates(Strict):
    """What an answer must pass to be accepted; what fails goes on to the next tier."""

    min_confidence: Confidence | None = Field(
        None, description="The least confidence that is accepted. Default: likely, when answer.confidence is on."
    )
    min_score: Annotated[float, Field(strict=True, gt=0, le=1)] | None = Field(
        None,
        description="The least score that is accepted of the first tier's answers: how likely the last tier gives the "
        "same, as the rows of `train` (or `audit`) teach. Measured, not certified; none: answers get no score.",
    )
    rules: tuple[Rule, ...] = Field((), description="Rules over the row and its answer.")
    judge: JudgeGate | None = Field(
        None,
        description="A cheap model that is shown each answer which passed all other gates, with its text; what it does "
        "not call right goes on. In rounds of its own; none: answers are not shown to anybody.",
    )

    @field_validator("rules")
    @classmethod
    def _named_apart(cls, value: tuple[Rule, ...]) -> tuple[Rule, ...]:
        twice = [name for name, count in Counter(rule.name for rule in value).items() if count > 1]
        if twice:
            raise ValueError(f"two rules are called {twice[0]}")
        return value
