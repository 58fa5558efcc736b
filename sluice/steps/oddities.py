"""What is odd about what came back for a job, in sentences for whoever looks at the run."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sluice.answers.replies import Manifest
    from sluice.runs.job import Ended
    from sluice.runs.state import JobItem
    from sluice.steps.judging import Judged

HOW_METERED = {True: "are those that the manifest has left", False: "are estimated, and so is their cost"}


class Doubts(NamedTuple):
    """`metered`: the manifest told the tokens that replies did not; `gone`: what came back has been deleted."""

    metered: bool
    gone: bool
    buys: bool


def oddities(item: JobItem, ended: Ended, manifest: Manifest, judged: Judged, doubts: Doubts) -> Iterator[str]:
    """A sentence for each."""
    place = f"round {item.round}, job {item.job}"
    answered = judged.succeeded + judged.fillers
    if manifest.successRecordCount not in (None, answered):
        yield f"{place}: the manifest says {manifest.successRecordCount} successes, {answered} were found"
    if doubts.gone:
        yield (
            f"{place}: {judged.missing} records have no answer: what came back was deleted before it was read, as "
            "keep_requests_days says; they were not asked again"
        )
    elif judged.missing and ended.status == "Completed" and doubts.buys:
        yield f"{place}: it is {ended.status}, and {judged.missing} of {judged.asked} records are missing"
    for count, what in (
        (judged.duplicates, "lines were about a record that had its answer already"),
        (judged.unknown, "lines were about records that were never sent"),
        (judged.unreadable, "lines could not be read"),
        (judged.strangers, "answers stood under an id that no text of their request has"),
        (len(judged.untold), f"answers did not tell their tokens, which {HOW_METERED[doubts.metered]}"),
    ):
        if count:
            yield f"{place}: {count} {what}"
