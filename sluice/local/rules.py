"""Requests checked against botocore's own model of the service: types, lengths, ranges, patterns, required members.

botocore checks types and required members before it sends; lengths, ranges and patterns it leaves to the service.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sized
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any

import botocore.session

if TYPE_CHECKING:
    from botocore.model import OperationModel, ServiceModel, Shape


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
    problems = violations_of(service(service_name).operation_model(operation), parameters)
    if problems:
        count = f"{len(problems)} validation error{'s' if len(problems) > 1 else ''} detected: "
        raise Refused("ValidationException", count + "; ".join(problems))


def violations_of(operation: OperationModel, parameters: Mapping[str, Any]) -> list[str]:
    """What is wrong with a call's parameters, one sentence per constraint."""
    shape = operation.input_shape
    return [] if shape is None else list(violations(shape, parameters, ""))


def violations(shape: Shape, value: Any, place: str) -> Iterator[str]:
    """What is wrong with a value; what may hold any JSON, times and bytes are let pass."""
    if shape.type_name not in TYPES or getattr(shape, "is_document_type", False):
        return
    kind, name, check = TYPES[shape.type_name]
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        yield _failed(value, place, f"Member must be {name}")
        return
    yield from check(shape, value, place)


def _map(shape: Any, value: Mapping[str, Any], place: str) -> Iterator[str]:
    yield from _length(shape, value, place)
    for key, item in value.items():
        yield from violations(shape.key, key, f"{place}.key")
        yield from violations(shape.value, item, f"{place}.{key}.value")


def _list(shape: Any, value: list[Any], place: str) -> Iterator[str]:
    yield from _length(shape, value, place)
    for number, item in enumerate(value, 1):
        yield from violations(shape.member, item, f"{place}.{number}.member")


def _structure(shape: Any, value: Mapping[str, Any], place: str) -> Iterator[str]:
    members = shape.members
    if getattr(shape, "is_tagged_union", False) and len(value) != 1:
        yield _failed(value, place, "Exactly one member must be set")
    for name in shape.required_members:
        made_by_client = members[name].metadata.get("idempotencyToken")
        if value.get(name) is None and not made_by_client:
            yield _failed(None, _below(place, name), "Member must not be null")
    for name, item in value.items():
        if name not in members:
            yield _failed(item, _below(place, name), "Member is not part of the request")
        elif item is not None:
            yield from violations(members[name], item, _below(place, name))


def _string(shape: Shape, value: str, place: str) -> Iterator[str]:
    yield from _length(shape, value, place)
    pattern = shape.metadata.get("pattern")
    if pattern and not fits_pattern(pattern, value):
        yield _failed(value, place, f"Member must satisfy regular expression pattern: {pattern}")
    allowed = shape.metadata.get("enum")
    if allowed and value not in allowed:
        yield _failed(value, place, f"Member must satisfy enum value set: [{', '.join(allowed)}]")


def fits_pattern(pattern: str, value: str) -> bool:
    """Whether a text is what a pattern describes; one in a dialect that Python does not read lets everything pass."""
    compiled = _compiled(pattern)
    return compiled is None or compiled.fullmatch(value) is not None


@cache
def _compiled(pattern: str) -> re.Pattern[str] | None:
    with suppress(re.error):
        return re.compile(pattern)
    return None


def _length(shape: Shape, value: Sized, place: str) -> Iterator[str]:
    if len(value) < shape.metadata.get("min", 0):
        yield _failed(value, place, f"Member must have length greater than or equal to {shape.metadata['min']}")
    if len(value) > shape.metadata.get("max", len(value)):
        yield _failed(value, place, f"Member must have length less than or equal to {shape.metadata['max']}")


def _range(shape: Shape, value: float, place: str) -> Iterator[str]:
    if value < shape.metadata.get("min", value):
        yield _failed(value, place, f"Member must have value greater than or equal to {shape.metadata['min']}")
    if value > shape.metadata.get("max", value):
        yield _failed(value, place, f"Member must have value less than or equal to {shape.metadata['max']}")


def _below(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def _failed(value: Any, place: str, constraint: str) -> str:
    shown = str(value)[:200]
    return f"Value '{shown}' at '{place}' failed to satisfy constraint: {constraint}"


def _nothing(*_: Any) -> Iterator[str]:
    return iter(())


# What stands for each type of the model in a call's parameters, in JSON and in Python alike, and what is checked then.
TYPES: dict[str, tuple[Any, str, Callable[[Any, Any, str], Iterator[str]]]] = {
    "structure": (Mapping, "a structure", _structure),
    "map": (Mapping, "a map", _map),
    "list": (list, "a list", _list),
    "string": (str, "a string", _string),
    "integer": (int, "an integer", _range),
    "long": (int, "an integer", _range),
    "float": (int | float, "a number", _range),
    "double": (int | float, "a number", _range),
    "boolean": (bool, "a boolean", _nothing),
}
