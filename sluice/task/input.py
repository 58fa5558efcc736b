"""What is read of a row."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, WithJsonSchema, field_validator, model_validator

from sluice.task.base import FieldPath, Strict, Whole, Yes, one_or_several
from sluice.task.columns import KeepType, Kept, format_problem
from sluice.task.csv_form import CsvForm


class KeptAs(Strict):
    """A kept field whose dates are written in a form of their own."""

    type: KeepType = Field(description="The column's type: date or timestamp.")
    format: str | None = Field(
        None,
        description="How dates are written, like %m/%d/%Y; or unix_seconds, unix_milliseconds, excel_days. "
        "ISO 8601 is read as well.",
    )

    @model_validator(mode="after")
    def _format_fits(self) -> KeptAs:
        if self.format is not None and (problem := format_problem(self.format, self.type)):
            raise ValueError(problem)
        return self


def _type_or_form(value: object) -> KeepType | KeptAs:
    """A column's type as the task file gives it: a word, or a mapping with a format."""
    if isinstance(value, Mapping | KeptAs):
        return KeptAs.model_validate(value)
    if isinstance(value, str) and value in set(KeepType):
        return KeepType(value)
    raise ValueError(f"should be {', '.join(KeepType)}, or {{type: date, format: '%m/%d/%Y'}}")


class Input(Strict):
    """Which fields of a row are read, and which are carried to the output."""

    text: Annotated[
        tuple[FieldPath, ...],
        BeforeValidator(one_or_several),
        WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}),
    ] = Field(
        description="The field that holds the text, or several in order; a dot reaches into an object, or is part of "
        "the name."
    )
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
    keep: dict[FieldPath, Annotated[KeepType | KeptAs, BeforeValidator(_type_or_form)]] = Field(
        {},
        description="Fields copied to typed columns: a path and its type, or {type, format} for dates that are not "
        "written in ISO 8601. A column is called like its path, with _ for dots and all else that is no letter, digit "
        "or underscore.",
    )
    keep_input: Yes = Field(False, description="Whether the whole row stands in the output, as JSON in column input.")

    csv: CsvForm | None = Field(None, description="How CSV files are written, where it is not as RFC 4180 says.")

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
        return tuple(
            Kept(re.sub(r"\W", "_", path), path, kind.type, kind.format)
            if isinstance(kind, KeptAs)
            else Kept(re.sub(r"\W", "_", path), path, kind)
            for path, kind in self.keep.items()
        )


def _within(path: str, other: str) -> bool:
    """Whether `path` is `other` or lies inside it."""
    return path == other or path.startswith(f"{other}.")
