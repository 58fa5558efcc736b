"""How good a run is, by what is known of its rows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sluice.errors import BadRequest
from sluice.quality.evaluation import Evaluation
from sluice.quality.known import from_corrections, from_file, from_input, rows_of
from sluice.quality.verification import Verification
from sluice.results.corrections import FOLDER
from sluice.results.run_document import read_run
from sluice.runs.document import read
from sluice.runs.drawn import Certificate
from sluice.task.file import parse_task

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sluice.quality.known import KnownAnswers
    from sluice.results.published import Published
    from sluice.task.task import Task


def evaluate(
    published: Published, summary: Mapping[str, Any], gold: str | Path | None = None, by: Sequence[str] = ()
) -> dict[str, Any]:
    """Compare a run's rows with what is known of them.

    Args:
        published: the run's rows.
        summary: its run.json.
        gold: a CSV, JSON Lines or Parquet file with `id`, or `source` and `line`, and `label`; or
            `corrections`, for what people have said of the rows; else what the task calls `input.gold` is read from the
            run's input.
        by: columns of the results whose values are told apart.

    Returns:
        A document of counts, shares and, where rows were drawn uniformly, intervals (docs/quality.md).

    Raises:
        BadRequest: nothing is known of the rows, or a file or column is not there.

    """
    run = read_run(summary)
    task = parse_task(run.definition, "the run's task", frozen=True)
    if not task.labels:
        raise BadRequest(f"the task {task.name} has no labels that could be compared")
    published.check_columns(by)
    known = _known(task, published, gold)
    evaluation = Evaluation(len(run.tiers))
    for row in rows_of(published, known, by):
        evaluation.add(row)
    if not evaluation.known:
        given = f"{known.given:,} were given, and {known.outside:,} that are no label of the task"
        raise BadRequest(f"no row of run {run.run_id} has a known answer; {given}", "gold")
    prices = [tier.cost_usd / tier.sent if tier.cost_usd is not None and tier.sent else None for tier in run.tiers]
    return {
        "run_id": run.run_id,
        "task": run.task,
        "task_version": run.task_version,
        "answers": run.answers,
        "gold": "input" if gold is None else str(gold),
        "outside": known.outside,
        "models": [tier.model for tier in run.tiers],
        **evaluation.document(prices),
    }


def _known(task: Task, published: Published, gold: str | Path | None) -> KnownAnswers:
    if gold is None:
        return from_input(task, published)
    return from_corrections(task, published) if str(gold) == FOLDER else from_file(task, Path(gold))


def verify(published: Published, summary: Mapping[str, Any], kept: bytes | None) -> dict[str, Any]:
    """Find a run's certificate again from what it has published.

    Args:
        published: the run's rows.
        summary: its run.json.
        kept: its certificate.json.

    Returns:
        `problems`, in words, none where the certificate stands; how many rows were `checked`; what is promised.

    Raises:
        BadRequest: the run has no certificate.

    """
    run = read_run(summary)
    if kept is None or run.certificate is None:
        why = (
            "its task asks for none (`quality`)" if not run.definition.get("quality") else "it ended before it had one"
        )
        raise BadRequest(f"run {run.run_id} has no certificate: {why}")
    found = Verification(read(Certificate, kept, "certificate.json"), summary).run(published)
    return {
        "run_id": run.run_id,
        "task": run.task,
        "answers": run.answers,
        "promise": run.certificate.promise,
        "checked": found.checked,
        "problems": found.problems,
    }
