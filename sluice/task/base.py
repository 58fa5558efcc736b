"""The base of every part of the task file, and the small types of its fields."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


def _path(value: str) -> str:
    if not value.strip("."):
        raise ValueError("should be the name of a field, or names with a dot between them (customer.address.city)")
    return value


def _name(value: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_-]{0,47}", value):
        raise ValueError("should be a lower-case letter, then up to 47 of a-z, 0-9, _ and -")
    return value


def one_or_several(value: object) -> object:
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
