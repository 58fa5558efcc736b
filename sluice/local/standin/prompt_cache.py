"""The cache of instructions that requests on demand share, as Bedrock counts it: written once, then read."""

from __future__ import annotations

from hashlib import blake2b
from threading import Lock
from typing import TYPE_CHECKING

import msgspec

from sluice.decoding import decode
from sluice.local.requests import BYTES_PER_TOKEN, limit

if TYPE_CHECKING:
    from sluice.local.requests import Request

# The shortest prefix that is cached, of the first family whose name is part of a model's id.
FROM_TOKENS = {"nova-": 1000, "haiku-4-5": 4096, "sonnet-4": 1024, "opus-4": 4096, "haiku-5": 512, "opus-5": 512}
NEVER = 10**9
MARK = b'"cachePoint"'


class _System(msgspec.Struct):
    system: msgspec.Raw = msgspec.Raw(b"[]")


class PromptCache:
    """Remembers the marked instructions of each model for as long as the stand-in runs."""

    def __init__(self) -> None:
        self._seen: set[bytes] = set()
        self._lock = Lock()

    def count(self, request: Request) -> tuple[int, int]:
        """Input tokens of a request that are read from the cache, and that are written to it."""
        if MARK not in request.raw:
            return 0, 0
        prefix = bytes(decode(request.raw, _System).system)
        tokens = len(prefix) // BYTES_PER_TOKEN
        if tokens < limit(FROM_TOKENS, request.model, NEVER):
            return 0, 0
        known = blake2b(request.model.encode() + b"\n" + prefix, digest_size=16).digest()
        with self._lock:
            found = known in self._seen
            self._seen.add(known)
        return (tokens, 0) if found else (0, tokens)
