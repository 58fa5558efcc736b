"""How the calls of a run on this machine stand, as who makes them tells it."""

from __future__ import annotations

import msgspec


class Waiting(msgspec.Struct, frozen=True):
    """A server that is away: what is known of it, and for how many more seconds it is waited for."""

    why: str
    seconds: float
    given_up: bool = False


class Calls(msgspec.Struct, frozen=True, kw_only=True):
    """Records answered, those of them from replies that were kept, and what else there is to say of the calls.

    `repeated` are calls that were made again; `failed` counts calls by kind, `refused` records that got no answer.
    `estimated`: replies whose tokens nobody counted.
    """

    answered: int = 0
    kept: int = 0
    repeated: int = 0
    refused: int = 0
    failed: dict[str, int] = {}
    input_tokens: int = 0
    output_tokens: int = 0
    estimated: int = 0
    waiting: Waiting | None = None
