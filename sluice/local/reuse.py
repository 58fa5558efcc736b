"""What outlasts a run, in the folder of the results as in the buckets: replies, audits, lessons, what people said."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING

from sluice.files import write_whole
from sluice.results.corrections import FOLDER
from sluice.runs.keys import AUDITS, LEARNED, LESSONS, REPLIES, SAMPLES, is_over, vectors_key

if TYPE_CHECKING:
    from sluice.local.cloud import LocalCloud
    from sluice.task.task import Task


class KeptRuns:
    """Brings what a task's runs have kept into a cloud before a run, and takes it out behind it, if they keep any."""

    def __init__(self, cloud: LocalCloud, task: Task, out: Path) -> None:
        self.cloud, self.out = cloud, out
        self.days = None if task.reuse is None else task.reuse.days
        audited = task.audit is not None and task.audit.at_most is not None
        by_gold = task.quality is not None and task.quality.by_gold
        kept = {REPLIES: self.days is not None, AUDITS: audited, SAMPLES: by_gold, LEARNED: task.gives_scores}
        # What `sluice learn` has written into the project.
        self.taught = sorted(Path(LEARNED, task.name).rglob(f"[!.]*{LESSONS}")) if task.gives_scores else []
        self.prefixes = [f"{folder}/{task.name}/" for folder, wanted in kept.items() if wanted]
        # Word vectors of the project's own, for a model that a run teaches.
        self.vectors = [path] if task.gives_scores and (path := Path(vectors_key(task.name))).is_file() else []
        self.said = f"{FOLDER}/{task.name}/"

    def bring(self) -> None:
        """Upload what the folder has; replies that have expired go, as a bucket's lifecycle would have it."""
        for path in sorted((self.out / self.said).glob("*.jsonl")):
            self.cloud.upload(path, self.cloud.bucket("SLUICE_RESULTS_BUCKET"), f"{self.said}{path.name}")
        today = dt.datetime.now(dt.UTC).date()
        for key in self._here():
            if key.startswith(REPLIES) and self.days is not None and is_over(key, today, self.days):
                (self.out / key).unlink()
            else:
                self.cloud.upload(self.out / key, self.cloud.bucket("SLUICE_WORK_BUCKET"), key)
        for path in (*self.taught, *self.vectors):
            self.cloud.upload(path, self.cloud.bucket("SLUICE_WORK_BUCKET"), path.as_posix())

    def take(self) -> None:
        """Write what the run has kept, and remove what it has merged."""
        bucket, here = self.cloud.bucket("SLUICE_WORK_BUCKET"), set(self._here())
        there = {key for prefix in self.prefixes for key in self.cloud.keys(bucket, prefix)}
        there -= {path.as_posix() for path in self.taught} - here  # lies in the project already
        for key in sorted(there - here):
            (self.out / key).parent.mkdir(parents=True, exist_ok=True)
            write_whole(self.out / key, self.cloud.read(bucket, key) or b"")
        for key in here - there:
            (self.out / key).unlink()

    def _here(self) -> list[str]:
        """The keys that lie in the folder; what a write left unfinished begins with a dot."""
        found = (path for prefix in self.prefixes for path in (self.out / prefix).rglob("[!.]*") if path.is_file())
        return [str(path.relative_to(self.out)) for path in found]
