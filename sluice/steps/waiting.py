"""Waits between two tries, in whole seconds, since a Wait state takes no fraction."""

from __future__ import annotations

import math
import random


def longer_wait(last: float, first: float, longest: float) -> int:
    """Twice the last wait between `first` and `longest`, with jitter, so that several runs do not come back at once."""
    grown = min(longest, max(first, 2 * last))
    return math.ceil(grown * random.uniform(0.75, 1.25))  # noqa: S311 - no secret depends on it
