"""`routes` of run.json."""

from __future__ import annotations

import msgspec


class RunRoute(msgspec.Struct, frozen=True, kw_only=True):
    """Rows that a route of the task took: at which tier they start, and at which they end at the latest."""

    route: int
    tier: int
    last: int
    rows: int = 0
