"""EventBridge's event patterns, as far as a synthesized rule of this app uses them.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html (read 2026-11-20). A kind of
condition that is not known here is an error, never a match.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sluice.errors import Stop

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MISSING = object()


def matches(pattern: Mapping[str, Any], event: Mapping[str, Any]) -> bool:
    """Whether an event fits: each field of the pattern fits the event's, those that it does not name may be anything.

    Raises:
        Stop: a condition that is not known here.
    """
    return all(_field(wanted, event.get(name, MISSING)) for name, wanted in pattern.items())


def _field(wanted: Any, value: Any) -> bool:
    if isinstance(wanted, dict):
        return matches(wanted, value if isinstance(value, dict) else {})
    if not isinstance(wanted, list):
        raise Stop(f"an event pattern holds lists of conditions, not {wanted!r}")
    values = value if isinstance(value, list) else [value]
    return any(_condition(condition, values) for condition in wanted)


def _condition(condition: Any, values: Sequence[Any]) -> bool:
    if not isinstance(condition, dict):
        return any(type(value) is type(condition) and value == condition for value in values)
    ((operator, operand),) = condition.items()
    if operator == "exists":
        return bool((list(values) != [MISSING]) == operand)
    return any(value is not MISSING and _operator(operator, operand, value) for value in values)


def _operator(operator: str, operand: Any, value: Any) -> bool:
    match operator, operand:
        case "prefix" | "suffix", str():
            text = value if isinstance(value, str) else ""
            return text.startswith(operand) if operator == "prefix" else text.endswith(operand)
        case "anything-but", dict():
            return not _condition(operand, [value])
        case "anything-but", _:
            return value not in (operand if isinstance(operand, list) else [operand])
    raise Stop(f"the local runner does not know the condition {operator}: {operand!r} of an event pattern")
