"""Which route of a task takes a row."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import jsonschema_rs

from sluice.rows.record import parse_object, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sluice.task.task import Task


def router_of(task: Task) -> Callable[[bytes], int | None] | None:
    """From a raw row to the number of the first route that takes it; None for a task without routes."""
    if not task.routes:
        return None
    accepts = [jsonschema_rs.validator_for(route.when).is_valid for route in task.routes]

    def route(raw: bytes) -> int | None:
        row = parse_object(raw)
        assert isinstance(row, dict), "only good rows are routed"
        try:
            return _first(accepts, row)
        except (ValueError, OverflowError, RecursionError):  # it holds what is no JSON, or what has no number
            return _first_of_odd(accepts, row)

    return route


def _first(accepts: Sequence[Callable[[Any], bool]], row: dict[str, Any]) -> int | None:
    return next((number for number, takes in enumerate(accepts) if takes(row)), None)


def _first_of_odd(accepts: Sequence[Callable[[Any], bool]], row: dict[str, Any]) -> int | None:
    """The same of a row with NaN or half an emoji in it, which say nothing, and need not be what routes look at."""
    try:
        text = printable(json.dumps(row, ensure_ascii=False))
        return _first(accepts, json.loads(text, parse_constant=lambda _: None, parse_int=float))
    except (ValueError, OverflowError, RecursionError):
        return None
