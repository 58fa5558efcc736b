"""Counts the texts of a shard that are of a new kind, while they are scored."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

import numpy as np

from sluice.quality.drift import Profile
from sluice.runs.taught import NewKinds, NewText

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Sequence

    from sluice.quality.features import Rows
    from sluice.steps.services import Run

SHOWN = 5  # texts
SHOWN_CHARACTERS = 200


class Watch:
    """Looks at texts, some at a time; `examples`: keeps some of those that are of a new kind."""

    def __init__(self, profile: Profile, *, examples: bool) -> None:
        self.profile, self.shown = profile, SHOWN if examples else 0
        self._seen: list[str] = []
        self._new: list[str] = []
        self._examples: list[tuple[float, str, str]] = []

    @classmethod
    def of(cls, opened: Run) -> Watch | None:
        """The watch of a run; None where there is nothing to hold its texts against."""
        data = opened.store.find(opened.keys.profile)
        if data is None:
            return None
        return cls(Profile.read(data, opened.keys.profile), examples=opened.task.report.examples)

    def look(self, keys: Sequence[str], texts: Sequence[str], counts: Rows) -> None:
        """Count these records."""
        unseen = self.profile.unseen(counts)
        beyond = np.flatnonzero(unseen > self.profile.threshold).tolist()
        self._seen += keys
        self._new += [keys[at] for at in beyond]
        found = [*self._examples, *((float(unseen[at]), keys[at], texts[at][:SHOWN_CHARACTERS]) for at in beyond)]
        self._examples = heapq.nlargest(self.shown, found)

    def told(self, rows: Counter[str]) -> NewKinds:
        """What was counted, where each record has so many rows."""
        return NewKinds(
            records=len(self._seen),
            rows=sum(rows[key] for key in self._seen),
            new_records=len(self._new),
            new_rows=sum(rows[key] for key in self._new),
            examples=[NewText(record=key, text=text, unseen=round(share, 3)) for share, key, text in self._examples],
        )
