"""The replies that a task lets later runs use, in the folder of the results: as in the work bucket, key for key."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from sluice.files import write_whole
from sluice.runs.keys import REPLIES, is_over

if TYPE_CHECKING:
    from pathlib import Path

    from sluice.local.cloud import LocalCloud
    from sluice.task.task import Task


class KeptRuns:
    """Brings a task's kept replies into a cloud before a run, and takes them out behind it, if it keeps any."""

    def __init__(self, cloud: LocalCloud, task: Task, out: Path) -> None:
        self.cloud, self.out = cloud, out
        self.days = None if task.reuse is None else task.reuse.days
        self.prefix = f"{REPLIES}/{task.name}/"

    def bring(self) -> None:
        """Upload what the folder has; what has expired goes, as a bucket's lifecycle would have it."""
        if self.days is None:
            return
        today = dt.datetime.now(dt.UTC).date()
        for key in self._here():
            if is_over(key, today, self.days):
                (self.out / key).unlink()
            else:
                self.cloud.upload(self.out / key, self.cloud.bucket("SLUICE_WORK_BUCKET"), key)

    def take(self) -> None:
        """Write what the run has kept, and remove what it has merged."""
        if self.days is None:
            return
        bucket = self.cloud.bucket("SLUICE_WORK_BUCKET")
        there, here = set(self.cloud.keys(bucket, self.prefix)), set(self._here())
        for key in sorted(there - here):
            (self.out / key).parent.mkdir(parents=True, exist_ok=True)
            write_whole(self.out / key, self.cloud.read(bucket, key) or b"")
        for key in here - there:
            (self.out / key).unlink()

    def _here(self) -> list[str]:
        return [str(path.relative_to(self.out)) for path in (self.out / self.prefix).rglob("*_*") if path.is_file()]
