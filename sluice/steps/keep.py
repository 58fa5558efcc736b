"""keep: the rows of a span once more, compressed, for what comes when those that partition wrote have expired.

Rows are read by ranges, which partition's own object serves as it is; it is the input over again, and expires within
days. What lasts is this copy: frames of equal length, compressed one by one, with a table of where each begins. zlib,
since prepare, which may have to read them, has nothing better in its bundle.
"""

from __future__ import annotations

import zlib
from array import array
from typing import TYPE_CHECKING

from sluice.errors import RetryLater
from sluice.steps.services import Run

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sluice.runs.state import Span
    from sluice.steps.services import Services

FRAME_BYTES = 128 * 1024
LEVEL = 1
# Half of what one core compresses and the network brings, so that a worker with little time left does not begin.
BYTES_A_SECOND = 30e6
LONGEST = 800  # seconds: a worker that has just begun has so many


def run(services: Services, span: Span) -> None:
    """Write the copy of `rows/<span>` and, once it is whole, its table; a span that has one is left alone.

    Raises:
        RetryLater: this worker has spent its time on reading the span; the next has enough.

    """
    opened = Run(services.work, span.run)
    keys, store = opened.keys, services.work
    if store.exists(keys.frames(span.span)):
        return
    rows = store.head(keys.rows(span.span))
    if rows is None:  # an earlier version wrote it where it lasts
        return
    if services.remaining_seconds() < min(LONGEST, rows.size / BYTES_A_SECOND):
        raise RetryLater(f"{keys.rows(span.span)} is kept by the next call, which has its own time")
    begins = array("Q", [0])
    with store.writer(keys.kept(span.span)) as out:
        for frame in frames(store.blocks(keys.rows(span.span))):
            out.write(zlib.compress(frame, LEVEL))
            begins.append(out.size)
    store.put(keys.frames(span.span), begins.tobytes())


def frames(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in frames of `FRAME_BYTES`, but for the last."""
    held = bytearray()
    for block in blocks:
        held += block
        whole = len(held) - len(held) % FRAME_BYTES
        for at in range(0, whole, FRAME_BYTES):
            yield bytes(held[at : at + FRAME_BYTES])
        del held[:whole]
    if held:
        yield bytes(held)
