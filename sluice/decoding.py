"""JSON read into types, also by several threads at once.

msgspec hands out what it knows of a type while it still finds it out: two threads that meet a type for the first time
together read half of it, and the process dies of a segmentation fault (0.22.0). So what reads a type is made by one
thread at a time, and knows all of the type when it is used.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

    Hook = Callable[[Any, Any], Any]

T = TypeVar("T")

_one_by_one = threading.Lock()
_made: dict[tuple[Any, Any], msgspec.json.Decoder[Any]] = {}


def decoder(kind: type[T], dec_hook: Hook | None = None) -> msgspec.json.Decoder[T]:
    """Give what decodes a type; the same one each time."""
    with _one_by_one:
        known = kind, dec_hook
        if known not in _made:
            _made[known] = msgspec.json.Decoder(kind, dec_hook=dec_hook)
        return _made[known]


def decode(data: bytes, kind: type[T], dec_hook: Hook | None = None) -> T:
    """Decode JSON into a type.

    Raises:
        msgspec.MsgspecError: it is no JSON, or not of the type.
    """
    return decoder(kind, dec_hook).decode(data)


def convert(value: object, kind: type[T], **how: Any) -> T:
    """Convert what has been decoded, or has attributes, into a type; `how` as msgspec.convert has it.

    Raises:
        msgspec.ValidationError: it is not of the type.
    """
    decoder(kind)  # from here on the type is known
    converted: T = msgspec.convert(value, kind, **how)
    return converted
