"""Whether a run's rows are still like those that its learned model was taught and measured on.

Texts: a text is of a new kind where more of its features were never seen than in 99% of the drawn rows of earlier runs,
each of which is held against the others. Labels: drawn rows of this run against those of earlier ones. Agreement: how
often the model gives the last tier's labels to drawn rows that it had not seen, against what was stated. Each is tested
by Fisher's exact test over records, since rows of one text are not independent. Scores: how sure the model is of its
answers to drawn rows of this run, beside the lowest tenth of those of earlier ones, none of which it had seen.
"""

from __future__ import annotations

import json
import zlib
from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from sluice.errors import Stop
from sluice.quality.features import SLOT_BITS, count
from sluice.quality.rule import is_safe

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from sluice.quality.features import Rows
    from sluice.quality.lessons import Lesson

    Floats = NDArray[np.float64]

BEYOND = Fraction(1, 100)  # of the drawn rows, what lies beyond the threshold
FEWEST = 100  # drawn records, below which no threshold leaves one in a hundred beyond
RISK = Fraction(1, 20)
LOWEST = 10  # parts of the earlier rows, of which the lowest one is looked at
MAGIC = b"sluice-profile 1\n"


@dataclass(frozen=True, slots=True)
class Profile:
    """Of earlier runs' records which features they have, and how much of a text is usually new.

    `seen`: by slot (sluice.quality.features). Of `drawn` records `beyond` have a larger share of features that no other
    record has than `threshold`.
    """

    seen: NDArray[np.bool_]
    threshold: float
    drawn: int
    beyond: int

    @classmethod
    def of(cls, lessons: Iterable[Lesson]) -> Profile | None:
        """The profile of these records; None where too few of them were drawn."""
        records = {lesson.key: lesson for lesson in lessons if not lesson.drawn}
        records |= {lesson.key: lesson for lesson in lessons if lesson.drawn}
        told = [records[key] for key in sorted(records)]
        drawn = np.array([lesson.drawn > 0 for lesson in told])
        if int(drawn.sum()) < FEWEST:
            return None
        counts = count([lesson.text for lesson in told])
        in_rows = np.bincount(counts.columns, minlength=1 << SLOT_BITS)
        shares = np.sort(_shares(counts, in_rows == 1)[drawn])[::-1]
        threshold = float(shares[int(BEYOND * len(shares))])
        return cls(in_rows > 0, threshold, len(shares), int((shares > threshold).sum()))

    def unseen(self, counts: Rows) -> Floats:
        """Of each text the share of its features that no earlier record has."""
        return _shares(counts, ~self.seen)

    def write(self) -> bytes:
        """The file of a profile."""
        told = {"threshold": self.threshold, "drawn": self.drawn, "beyond": self.beyond}
        return MAGIC + zlib.compress(json.dumps(told).encode() + b"\n" + np.packbits(self.seen).tobytes())

    @classmethod
    def read(cls, data: bytes, key: str) -> Profile:
        """The profile of a file.

        Raises:
            Stop: it is none of this version.
        """
        if not data.startswith(MAGIC):
            raise Stop(f"{key} holds no profile of this version")
        head, seen = zlib.decompress(data[len(MAGIC) :]).split(b"\n", 1)
        return cls(np.unpackbits(np.frombuffer(seen, np.uint8)).astype(np.bool_), **json.loads(head))


def _shares(counts: Rows, which: NDArray[np.bool_]) -> Floats:
    """Of each row the share of its features that are among these; 0 of a row without any."""
    spelt = counts.columns < len(which)  # behind them stand word vectors
    rows = np.repeat(np.arange(len(counts)), counts.lengths())[spelt]
    found = np.bincount(rows, which[counts.columns[spelt]], minlength=len(counts))
    shares: Floats = found / np.maximum(np.bincount(rows, minlength=len(counts)), 1)
    return shares


def is_below(now: Mapping[str, Any], stated: Mapping[str, Any]) -> bool:
    """Whether a share of agreeing records lies below the one that was stated, with 95% certainty, one-sided."""
    (count, of), (agreeing, records) = ((share["records_agreeing"], share["records"]) for share in (now, stated))
    return is_safe(count, of + records, of, count + agreeing, RISK)


def lower_scores(here: Sequence[float], before: Sequence[float]) -> dict[str, Any] | None:
    """How many scores lie below the lowest tenth of earlier ones, and whether these are more; None where those are few.

    With m of `here` below the k-th lowest of `before`, at most k - 1 of the m + k - 1 lowest of all are earlier ones:
    were all of one kind, a hypergeometric tail, as in sluice.quality.rule. Equal scores are not below.
    """
    if len(before) < FEWEST or not here:
        return None
    rank, edge = len(before) // LOWEST, sorted(before)[len(before) // LOWEST - 1]
    below, was_below = (sum(score < edge for score in scores) for scores in (here, before))
    lower = below > 0 and is_safe(rank - 1, len(here) + len(before), len(before), below + rank - 1, RISK)
    return {"below": below, "of": len(here), "before": was_below, "of_before": len(before), "lower": lower}


def moved_labels(here: Sequence[Lesson], before: Sequence[Lesson]) -> list[dict[str, Any]]:
    """The labels whose share of the drawn records is another one than before: with 95% certainty for all together."""
    mine, theirs = ([lesson for lesson in lessons if lesson.drawn] for lessons in (here, before))
    now, then = (Counter(label for lesson in lessons for label in set(lesson.labels)) for lessons in (mine, theirs))
    labels = sorted(now.keys() | then.keys())
    found = []
    for label in labels:
        total, risk = now[label] + then[label], RISK / (2 * len(labels))
        rows = len(mine) + len(theirs)
        fewer = is_safe(now[label], rows, len(mine), total, risk)
        more = is_safe(then[label], rows, len(theirs), total, risk)
        if fewer or more:
            counted = {"rows": now[label], "of": len(mine), "before": then[label], "of_before": len(theirs)}
            found.append({"label": label, **counted})
    return found
