"""What a source of answers is, and what it says."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Protocol

import msgspec

from sluice.errors import BadSetting, BadTask
from sluice.local.requests import BYTES_PER_TOKEN, Request

if TYPE_CHECKING:
    from sluice.models.catalog import Catalog
    from sluice.task.task import Task

DIGEST = 16


class Reply(msgspec.Struct, frozen=True):
    """What a model said. Token counts that are not known are estimated: bytes divided by four."""

    text: str
    stop_reason: str = "end_turn"
    input_tokens: int | None = None
    output_tokens: int | None = None

    def cut(self, request: Request) -> Reply:
        """The reply within the request's output limit."""
        most = request.max_tokens * BYTES_PER_TOKEN
        if self.output_tokens is not None or len(self.text) * BYTES_PER_TOKEN <= most:
            return self
        data = self.text.encode(errors="replace")
        if len(data) <= most:
            return self
        return Reply(data[:most].decode(errors="ignore"), "max_tokens", self.input_tokens, request.max_tokens)


class Call(msgspec.Struct, frozen=True):
    """A call that a source would make for a request: whom it goes to, and its body as it is sent."""

    request: Request
    whom: bytes
    body: bytes

    def digest(self) -> bytes:
        """The fingerprint of everything that the answer depends on."""
        return digest_of(self.whom + b"\n" + self.body)


def digest_of(data: bytes) -> bytes:
    """16 bytes by which kept replies are found."""
    return blake2b(data, digest_size=DIGEST).digest()


class NoAnswer(Exception):
    """A source has no answer for one record: the record ends as an error."""

    def __init__(self, message: str, code: int = 400) -> None:
        self.code = code
        super().__init__(message)


class Source(Protocol):
    """Answers requests. `concurrency` says how many at once are worth asking: 1 for one that only computes."""

    name: str
    concurrency: int

    def answer(self, request: Request, run: str | None) -> Reply:
        """The reply to one request; `run` is known in a batch job.

        Raises:
            NoAnswer: for this record.
        """
        ...


@dataclass(frozen=True)
class Tiers:
    """Which tier of the task a model id belongs to. `names` holds, per tier, the name in the task and the id."""

    names: tuple[tuple[str, ...], ...]

    @classmethod
    def of(cls, task: Task, region: str, catalog: Catalog) -> Tiers:
        """The tiers of a task and its judge, their models resolved as in a Region where the catalogue knows them."""
        names: list[tuple[str, ...]] = []
        for tier in task.answerers:
            try:
                names.append((tier.model, catalog.resolve(tier.model, region).id))
            except (BadTask, BadSetting):
                names.append((tier.model,))
        return cls(tuple(names))

    def find(self, model: str) -> int:
        """The tier of a model id; the first one for an id that belongs to none."""
        for tier, names in enumerate(self.names):
            if model in names:
                return tier
        for tier, names in enumerate(self.names):
            if any(name in model for name in names):
                return tier
        return 0

    def names_of(self, model: str) -> tuple[str, ...]:
        """Every name under which a recording may hold a model's answers."""
        found = [names for names in self.names if any(name == model or name in model for name in names)]
        return (model, *(found[0] if found else ()))
