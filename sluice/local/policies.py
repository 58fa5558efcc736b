"""Which calls a role allows, by the statements of its policies, and which of its rights were used.

Only what decides in this app: Allow and Deny, wildcards in actions and resources, and a handful of condition
operators. Resource policies (bucket, key) are not looked at.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from sluice.errors import Stop
from sluice.local.ledger import REFUSED, USED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sluice.local.ledger import Ledger

NEGATED = {"StringNotEquals", "StringNotLike", "ArnNotLike", "ArnNotEquals"}
EXACT = {"StringEquals", "StringNotEquals", "Bool"}
NULL = "Null"
# What a call may have several of, by AWS's Service Authorization Reference (ArrayOf…): a condition without a set
# operator in front need not match there.
MULTIVALUED = {"events:source", "aws:TagKeys", "aws:CalledVia", "aws:PrincipalOrgPaths", "aws:SourceOrgPaths"}
SETS = ("ForAllValues", "ForAnyValue")
LIKE = {"StringLike", "StringNotLike", "ArnLike", "ArnNotLike", "ArnEquals", "ArnNotEquals"}


@dataclass(frozen=True)
class Statement:
    """One statement of a policy. `conditions` is operator, key, accepted values."""

    allow: bool
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    conditions: tuple[tuple[str, str, tuple[str, ...]], ...] = ()

    @classmethod
    def parse(cls, raw: Mapping[str, Any]) -> Statement:
        """A statement of a resolved policy document.

        Raises:
            Stop: NotAction, NotResource or a condition operator that is not known here.
        """
        if not {"Action", "Resource"} <= set(raw):
            raise Stop(f"the local runner reads statements with Action and Resource only: {dict(raw)}")
        conditions = tuple(
            (operator, key, tuple(map(str, listed(values))))
            for operator, keys in raw.get("Condition", {}).items()
            for key, values in keys.items()
        )
        for operator, _, _ in conditions:
            if _plain(operator) not in EXACT | LIKE | {NULL}:
                raise Stop(f"the local runner does not know the condition operator {operator}")
        return cls(raw["Effect"] == "Allow", tuple(listed(raw["Action"])), tuple(listed(raw["Resource"])), conditions)

    def covers(self, action: str, resource: str, context: Mapping[str, str]) -> bool:
        """Whether the statement speaks of this call."""
        return (
            _named(self.actions, action) != ()
            and any(like(pattern, resource) for pattern in self.resources)
            and all(fulfilled(operator, key, context.get(key), values) for operator, key, values in self.conditions)
        )

    def rights(self, action: str, resource: str) -> Iterator[Right]:
        """The pairs of the statement's action and resource, as they stand there, that cover this call."""
        for spelled in _named(self.actions, action):
            yield from ((spelled, pattern) for pattern in self.resources if like(pattern, resource))


Right = tuple[str, str]  # an action and a resource pattern of a statement


@dataclass(frozen=True)
class Role:
    """A role as its policies describe it; its ledger notes which of its rights were used, and what was refused."""

    statements: tuple[Statement, ...]
    ledger: Ledger | None = field(default=None, compare=False)

    def allows(self, action: str, resource: str, context: Mapping[str, str] | None = None) -> bool:
        """Whether one call is allowed: by one statement at least, and denied by none."""
        context = context or {}
        speaking = [statement for statement in self.statements if statement.covers(action, resource, context)]
        allowed = bool(speaking) and all(statement.allow for statement in speaking)
        if self.ledger is not None and allowed:
            for right in {right for statement in speaking for right in statement.rights(action, resource)}:
                self.ledger.note(USED, *right)
        elif self.ledger is not None:
            self.ledger.note(REFUSED, action, resource)
        return allowed


def through_s3(region: str) -> dict[str, str]:
    """The condition key of KMS where S3 uses a key for whoever reads or writes an object."""
    return {"kms:ViaService": f"s3.{region}.amazonaws.com"}


def fulfilled(operator: str, key: str, value: str | None, accepted: tuple[str, ...]) -> bool:
    """One condition: a key that the call does not carry fails it, a negated operator and `ForAllValues` excepted.

    On a key that has several values only a set operator matches, as the strictest reading of AWS has it.
    """
    if operator == NULL:
        return (value is None) == (accepted == ("true",))
    if (key in MULTIVALUED) != operator.startswith(SETS):
        return False
    if value is None:
        return operator.startswith("ForAllValues") or operator in NEGATED
    operator = _plain(operator)
    matches = any(value == item if operator in EXACT else like(item, value) for item in accepted)
    return matches != (operator in NEGATED)


def _plain(operator: str) -> str:
    """The operator without the set that it is about."""
    return operator.removeprefix("ForAllValues:").removeprefix("ForAnyValue:")


@cache
def _named(actions: tuple[str, ...], action: str) -> tuple[str, ...]:
    """Those of a statement's actions, as they are spelled there, that name a call's."""
    return tuple(spelled for spelled in actions if like(spelled.lower(), action.lower()))


def like(pattern: str, value: str) -> bool:
    """IAM's wildcards: `*` any text, `?` one character."""
    return _compiled(pattern).fullmatch(value) is not None


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."), re.DOTALL)


def listed(value: Any) -> list[Any]:
    """A policy's value or list of values as a list."""
    return value if isinstance(value, list) else [value]
