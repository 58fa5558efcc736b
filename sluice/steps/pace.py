"""How often one key is run: more versions of it within an hour than a deployment allows wait for their turn."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sluice.steps.services import Run
from sluice.steps.spending import runs_begun_since
from sluice.steps.start import run_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sluice.runs.inbox import Dropped
    from sluice.steps.services import Services

WINDOW = dt.timedelta(hours=1)


@dataclass
class Pace:
    """Runs of each key that began within the hour, and what is held back by the limit on them; None: no limit."""

    limit: int | None
    begun: Counter[str]
    held: str | None = None

    @classmethod
    def of(cls, services: Services, task: str, limit: int | None) -> Pace:
        """Count by what the task's runs have frozen; where there are fewer runs than allowed, none has to be read."""
        if limit is None:
            return cls(None, Counter())
        prefix = f"{run_name(task)}-"
        runs = [run for run in runs_begun_since(services, services.now() - WINDOW) if run.startswith(prefix)]
        if len(runs) < limit:
            return cls(limit, Counter())
        return cls(limit, Counter(item.uri for run in runs for item in Run(services.work, run).inputs.inputs))

    def let_go(self, items: Iterable[Dropped]) -> list[Dropped]:
        """Those of which another run may begin now; what is held stays so, since its later versions come after it."""
        going = []
        for item in items:
            if self.limit is None or self.begun[item.uri] < self.limit:
                self.begun[item.uri] += 1
                going.append(item)
            else:
                self.held = f"max_versions_per_hour = {self.limit}: {item.uri} has had so many runs within the hour"
        return going


def of_keys(items: Iterable[Dropped], others: Iterable[Dropped]) -> list[Dropped]:
    """Those that are versions of the same keys as the others."""
    uris = {item.uri for item in others}
    return [item for item in items if item.uri in uris]
