"""Paths: how a task names what stands in a row, and how that is taken out without decoding the rest.

A dot reaches into an object, or is part of a name, as flattened exports have it (`ticket.body`): the field that is
called like the whole path comes first, then those called like several of its names, then each name by itself.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

DEEP = 5  # names up to which every way to read a path is tried: each name doubles their number
MISSING = msgspec.UNSET


@lru_cache(maxsize=1024)
def readings(path: str) -> tuple[tuple[str, ...], ...]:
    """The ways to read a path, as names of fields one inside the other, in the order in which they are tried."""
    names = path.split(".")
    if len(names) > DEEP:
        return (path,), tuple(names)
    return tuple(_readings(names))


def _readings(names: Sequence[str]) -> Iterable[tuple[str, ...]]:
    for count in range(len(names), 0, -1):
        first, rest = ".".join(names[:count]), names[count:]
        yield from ((first, *inner) for inner in _readings(rest)) if rest else [(first,)]


def look_up(row: Any, path: str) -> Any:
    """The value at a path of a decoded object; None where there is none."""
    return next((found for names in readings(path) if (found := _at(row, names)) is not MISSING), None)


def _at(value: Any, names: Sequence[str]) -> Any:
    for name in names:
        if not isinstance(value, dict) or name not in value:
            return MISSING
        value = value[name]
    return value


def row_type(every: Sequence[tuple[str, ...]], leaf: Any, nothing: Any = None) -> type[msgspec.Struct]:
    """A struct that decodes only these names of a JSON object; attributes f0, f1, … in the order of the first names."""
    fields: list[tuple[str, Any, Any]] = []
    for n, name in enumerate(dict.fromkeys(names[0] for names in every)):
        below = [names[1:] for names in every if names[0] == name]
        if () in below:
            fields.append((f"f{n}", leaf, msgspec.field(name=name, default=nothing)))
        else:
            fields.append((f"f{n}", row_type(below, leaf, nothing) | None, msgspec.field(name=name, default=None)))
    return msgspec.defstruct("PartialRow", fields, gc=False)


class Picker:
    """Decodes only what stands at some paths of a row; `MISSING` or None for what does not stand there.

    A row whose other values lie in the way of a path raises what msgspec raises: the caller then decodes all of it.
    """

    def __init__(self, paths: Sequence[str], leaf: Any, nothing: Any = None) -> None:
        every = [names for path in paths for names in readings(path)]
        # A value and what lies inside it cannot both be taken out undecoded.
        self.nested = any(one != other and other[: len(one)] == one for one in every for other in every)
        self.decode: Callable[[bytes], Any] = _undecoded
        self.places: list[list[list[str]]] = [[] for _ in paths]
        if not self.nested:
            self.decode = msgspec.json.Decoder(row_type(every, leaf, nothing)).decode
            self.places = [[attributes(every, names) for names in readings(path)] for path in paths]


def _undecoded(_raw: bytes) -> Any:
    raise TypeError("one of the paths leads into another")


def attributes(every: Sequence[tuple[str, ...]], names: tuple[str, ...]) -> list[str]:
    """Where the value at some names stands in a decoded `row_type(every)`: f0, or f1 and in it f0."""
    firsts = list(dict.fromkeys(other[0] for other in every))
    here = [f"f{firsts.index(names[0])}"]
    return here + attributes([other[1:] for other in every if other[0] == names[0]], names[1:]) if names[1:] else here


def value_in(row: Any, places: Iterable[Sequence[str]]) -> Any:
    """The value of a decoded row at the first of some places where there is one, else None."""
    for place in places:
        value = row
        for name in place:
            value = getattr(value, name)
            if value is None:
                break
        else:
            if value is not MISSING:
                return value
    return None
