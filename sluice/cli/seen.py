"""What a run would see in a sample: its own first steps read the rows, as for `sluice plan`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sluice.budget.costs import ESCALATED
from sluice.cli.display import busy
from sluice.errors import BadInput
from sluice.forecast.cautions import sample_cautions
from sluice.forecast.estimate import Asked
from sluice.forecast.forecast import planned
from sluice.runs.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from sluice.aws.s3 import Store
    from sluice.models.catalog import Catalog
    from sluice.task.task import Task


def seen_in(file: Path, task: Task, catalog: Catalog, region: str) -> dict[str, Any]:
    """The rows of a sample and what a run would find in them, each caution also as a sentence.

    Raises:
        BadInput: the file cannot be read as rows at all.

    """
    about = Asked([str(file)], task, Settings(), catalog, region, ESCALATED)
    with busy("reading the sample"), planned(about, _no_bucket, lambda *_: None) as estimate:
        made = estimate.forecast()
        rejected = sum(made.rejected.values())
        rows = {"in": made.rows, "good": made.rows - rejected, "rejected": rejected}
        return {"rows": rows, **made.found, "cautions": sample_cautions(made, estimate)}


def _no_bucket(name: str) -> Store:
    raise BadInput(f"s3://{name}: a sample is a file of this machine")
