"""Stored rows by range: as partition wrote them, or, once these have expired, out of the copy that lasts."""

from __future__ import annotations

import zlib
from array import array
from itertools import pairwise
from typing import TYPE_CHECKING

from sluice.errors import Stop
from sluice.steps.keep import FRAME_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from sluice.aws.s3 import Store
    from sluice.runs.keys import Keys


class StoredRows:
    """The rows of a run's spans. `read` gives bytes of one by their place in what partition wrote."""

    def __init__(self, store: Store, keys: Keys) -> None:
        self.store = store
        self.keys = keys
        self._otherwise: dict[int, Callable[[int, int], bytes]] = {}  # of spans whose own rows have expired

    def read(self, span: int, begin: int, length: int) -> bytes:
        """`length` bytes from `begin`.

        Raises:
            Stop: there are no rows of the span, neither as they were written nor kept.

        """
        if span not in self._otherwise:
            key = self.keys.rows(span)
            try:
                return self.store.read_range(key, begin, length)
            except Stop:
                if self.store.exists(key):
                    raise
                self._otherwise[span] = self._kept(span)
        return self._otherwise[span](begin, length)

    def _kept(self, span: int) -> Callable[[int, int], bytes]:
        table = self.store.find(self.keys.frames(span))
        if table is None:  # a run of an earlier version, whose rows last as they are
            return lambda begin, length: self.store.read_range(self.keys.rows_before(span), begin, length)
        begins = array("Q", table)

        def read(begin: int, length: int) -> bytes:
            first, last = begin // FRAME_BYTES, (begin + length - 1) // FRAME_BYTES
            at, until = begins[first], begins[last + 1]
            packed = self.store.read_range(self.keys.kept(span), at, until - at)
            bounds = [place - at for place in begins[first : last + 2]]
            rows = b"".join(zlib.decompress(packed[a:b]) for a, b in pairwise(bounds))
            skipped = begin - first * FRAME_BYTES
            return rows[skipped : skipped + length]

        return read
