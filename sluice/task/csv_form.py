"""How CSV files are written that are not written as RFC 4180 says."""

from __future__ import annotations

import codecs
from typing import Annotated

from pydantic import BeforeValidator, Field, WithJsonSchema, field_validator, model_validator

from sluice.task.base import Strict, Whole

WORDS = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|"}
NOT_OF_FILES = frozenset(
    {"idna", "punycode", "raw_unicode_escape", "unicode_escape", "utf-7", "mbcs", "oem", "undefined"}
)
MOST_SKIPPED = 1_000


def _separator(value: object) -> object:
    return WORDS.get(value, value) if isinstance(value, str) else value


def _header(value: object) -> object:
    if isinstance(value, bool):
        return value
    if isinstance(value, list | tuple) and value and all(isinstance(name, str) and name for name in value):
        return tuple(value)
    raise ValueError("should be true, false or the names of the columns in order")


class CsvForm(Strict):
    """How CSV and TSV files are written, where it is not as RFC 4180 says."""

    separator: Annotated[str, BeforeValidator(_separator)] | None = Field(
        None, description="The character between cells, or tab; by default a comma, in .tsv files a tab."
    )
    encoding: str = Field("utf-8", description="As Python calls it: utf-8, utf-16, cp1252, latin-1, shift_jis, …")
    quote: str = Field('"', description='The character around cells, doubled inside them; "" for none.')
    escape: str | None = Field(None, description="The character in front of one that stands for itself, mostly \\.")
    header: Annotated[
        bool | tuple[str, ...],
        BeforeValidator(_header),
        WithJsonSchema({"anyOf": [{"type": "boolean"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}),
    ] = Field(
        True, description="Whether a row with the columns' names stands above the others; or the names, if none does."
    )
    skip: Annotated[Whole, Field(ge=0, le=MOST_SKIPPED)] = Field(0, description="Lines above all that are no rows.")

    @field_validator("separator", "quote", "escape")
    @classmethod
    def _one_mark(cls, value: str | None) -> str | None:
        if value and (len(value) != 1 or value.isalnum() or value in "\r\n\0" or not value.isascii()):
            raise ValueError("should be one character of ASCII, no letter, digit or line end")
        return value

    @field_validator("encoding")
    @classmethod
    def _of_text(cls, value: str) -> str:
        try:
            name = codecs.lookup(value).name
            b"".decode(name)  # what is no encoding of text is refused here
        except (LookupError, ValueError):
            name = ""
        if not name or name in NOT_OF_FILES:
            raise ValueError("should be an encoding of text, as utf-8, utf-16, cp1252 or latin-1")
        return name

    @model_validator(mode="after")
    def _marks_differ(self) -> CsvForm:
        marks = [mark for mark in (self.separator, self.quote, self.escape) if mark]
        if self.separator == "":
            raise ValueError("separator should be one character")
        if len(set(marks)) < len(marks):
            raise ValueError("separator, quote and escape should differ")
        return self
