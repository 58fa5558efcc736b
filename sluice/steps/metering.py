"""Tokens that replies do not tell: what the job's manifest has left of them, else an estimate."""

from __future__ import annotations

from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from array import array


def share_out(tokens: array[int], total: int | None) -> bool:
    """Fill in what is below zero: an estimate e stands there as -1 - e. Whether the sum is that of the manifest.

    What `total` has left beyond the known ones is shared out by the estimates, and sums hold to the token.
    """
    untold = [n for n, count in enumerate(tokens) if count < 0]
    estimates = [-1 - tokens[n] for n in untold]
    left = None if total is None else total - sum(count for count in tokens if count > 0)
    told = left is not None and left > 0
    if left is not None and told:
        weights = [0, *accumulate(estimate + 1 for estimate in estimates)]
        ends = [left * weight // weights[-1] for weight in weights]
        estimates = [end - begin for begin, end in pairwise(ends)]
    for n, count in zip(untold, estimates, strict=True):
        tokens[n] = count
    return told or not untold
