"""A run in memory whose rows people look at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sluice.results.published import Origin, Published
from sluice.rows.containers import Reading
from sluice.runs.document import read
from sluice.runs.keys import Keys
from sluice.runs.state import Inputs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.harness.drive import Cloud


def opened(cloud: Cloud, summary: Mapping[str, Any]) -> Published:
    """The published rows of a run, with its inputs."""
    key = Keys(summary["run_id"]).inputs

    def origins() -> list[Origin]:
        found = read(Inputs, cloud.work.get(key), key).inputs
        return [Origin(cloud.incoming, item.uri.removeprefix("s3://incoming/"), item, Reading()) for item in found]

    return Published(cloud.results, summary["run_id"], "results/t/", origins, summary["definition"])
