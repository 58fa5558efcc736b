"""What a check says."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from botocore.exceptions import ClientError

DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "403"})


class Status(StrEnum):
    """What a check says; `unknown` where nobody may look, which hinders no run."""

    OK = "ok"
    PROBLEM = "problem"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found, and what to do about it."""

    check: str
    status: Status
    found: str
    do: str = ""


class Found(NamedTuple):
    """A finding before it has the name of its check."""

    status: Status
    found: str
    do: str = ""


def lines(finding: Finding) -> Iterator[str]:
    """A finding as it is printed."""
    yield f"{finding.status:<9}{finding.check:<16}{finding.found}"
    if finding.do:
        yield f"{'':25}do: {finding.do}"


def code_of(error: ClientError) -> str:
    """The code of an error of AWS."""
    return str(error.response.get("Error", {}).get("Code", ""))
