"""Requests checked against botocore's own model of the service: types, lengths, ranges, patterns, required members.

botocore checks types and required members before it sends; lengths, ranges and patterns it leaves to the service.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

import botocore.session

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from botocore.model import ServiceModel, Shape


class Refused(Exception):
    """An error that the API answers."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        self.code = code
        self.status = status
        super().__init__(message)


@cache
def service(name: str) -> ServiceModel:
    """The service as botocore describes it."""
    return botocore.session.get_session().get_service_model(name)


def check_request(service_name: str, operation: str, parameters: Mapping[str, Any]) -> None:
    """Let a request pass that fits the operation's model.

    Raises:
        Refused: ValidationException, in the service's words.
    """
    shape = service(service_name).operation_model(operation).input_shape
    problems = [] if shape is None else list(violations(shape, parameters, ""))
    if problems:
        count = f"{len(problems)} validation error{'s' if len(problems) > 1 else ''} detected: "
        raise Refused("ValidationException", count + "; ".join(problems))


def violations(shape: Shape, value: Any, place: str) -> Iterator[str]:
    """What is wrong with a value, one sentence per constraint."""
    match shape.type_name:
        case "structure":
            yield from _structure(shape, value, place)
        case "list":
            if not isinstance(value, list):
                yield _failed(value, place, "Member must be a list")
                return
            yield from _length(shape, len(value), value, place)
            for number, item in enumerate(value, 1):
                yield from violations(shape.member, item, f"{place}.{number}.member")  # type: ignore[attr-defined]
        case "string":
            yield from _string(shape, value, place)
        case "integer" | "long":
            if not isinstance(value, int) or isinstance(value, bool):
                yield _failed(value, place, "Member must be an integer")
                return
            yield from _range(shape, value, place)


def _structure(shape: Shape, value: Any, place: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield _failed(value, place, "Member must be a structure")
        return
    members = shape.members  # type: ignore[attr-defined]
    for name in shape.required_members:
        if value.get(name) is None:
            yield _failed(None, _below(place, name), "Member must not be null")
    for name, item in value.items():
        if name not in members:
            yield _failed(item, _below(place, name), "Member is not part of the request")
        elif item is not None:
            yield from violations(members[name], item, _below(place, name))


def _string(shape: Shape, value: Any, place: str) -> Iterator[str]:
    if not isinstance(value, str):
        yield _failed(value, place, "Member must be a string")
        return
    yield from _length(shape, len(value), value, place)
    pattern = shape.metadata.get("pattern")
    if pattern and re.fullmatch(pattern, value) is None:
        yield _failed(value, place, f"Member must satisfy regular expression pattern: {pattern}")
    allowed = shape.metadata.get("enum")
    if allowed and value not in allowed:
        yield _failed(value, place, f"Member must satisfy enum value set: [{', '.join(allowed)}]")


def _length(shape: Shape, length: int, value: Any, place: str) -> Iterator[str]:
    if length < shape.metadata.get("min", 0):
        yield _failed(value, place, f"Member must have length greater than or equal to {shape.metadata['min']}")
    if length > shape.metadata.get("max", length):
        yield _failed(value, place, f"Member must have length less than or equal to {shape.metadata['max']}")


def _range(shape: Shape, value: int, place: str) -> Iterator[str]:
    if value < shape.metadata.get("min", value):
        yield _failed(value, place, f"Member must have value greater than or equal to {shape.metadata['min']}")
    if value > shape.metadata.get("max", value):
        yield _failed(value, place, f"Member must have value less than or equal to {shape.metadata['max']}")


def _below(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def _failed(value: Any, place: str, constraint: str) -> str:
    shown = str(value)[:200]
    return f"Value '{shown}' at '{place}' failed to satisfy constraint: {constraint}"
