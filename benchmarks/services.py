"""What every piece of work stands on: files in place of S3, the name of the input, the memory of its process."""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from sluice.steps.services import Services

INPUT = "rows.jsonl"


def peak_mb() -> float:
    """Peak resident memory of this process so far. A process begins with that of its parent, which has to be small."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def services_of(directory: Path) -> Services:
    """The edges of a step, with files in place of S3 and no Bedrock."""
    from benchmarks.disk import DiskS3  # noqa: PLC0415 - what a piece of work does not need is not loaded
    from sluice.aws.s3 import Store  # noqa: PLC0415
    from sluice.steps.services import Services  # noqa: PLC0415

    client: Any = DiskS3(directory)
    nobody: Any = None
    return Services(
        work=Store(client, "work"),
        results=Store(client, "results"),
        bucket=lambda name: Store(client, name),
        bedrock=nobody,
    )
