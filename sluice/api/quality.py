"""How good a run is, by what is known of its rows."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sluice.errors import BadRequest
from sluice.quality.comparison import Comparison, Side
from sluice.quality.drawn import DrawnRows, left_out
from sluice.quality.evaluation import Evaluation
from sluice.quality.judged import JudgeTally
from sluice.quality.known import from_corrections, from_file, from_input, rows_of
from sluice.quality.verification import Verification
from sluice.results.blurring import blurs, document
from sluice.results.corrections import FOLDER
from sluice.results.examples import excerpt
from sluice.results.folder import DRAWS, NOTHING_DRAWN
from sluice.results.run_document import read_run
from sluice.results.source_rows import SourceRows
from sluice.runs.document import read
from sluice.runs.drawn import Certificate, Draws
from sluice.runs.state import JUDGED_AGAIN
from sluice.task.file import parse_task

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sluice.quality.known import KnownAnswers
    from sluice.results.folder import Kept
    from sluice.results.published import Published
    from sluice.results.run_document import Run
    from sluice.task.task import Task

ORACLE = "oracle"  # of `gold`


def evaluate(
    published: Published,
    summary: Mapping[str, Any],
    gold: str | Path | None = None,
    by: Sequence[str] = (),
    kept: Kept = NOTHING_DRAWN,
) -> dict[str, Any]:
    """Compare a run's rows with what is known of them.

    Args:
        published: the run's rows.
        summary: its run.json.
        gold: a CSV, JSON Lines or Parquet file with `id`, or `source` and `line`, and `label`; or
            `corrections`, for what people have said of the rows; or `oracle`, for what the last tier said of the rows
            that were drawn for it. Else what the task calls `input.gold` is read from the run's input; of a task that
            names none, it is `oracle` where rows were drawn.
        by: columns of the results whose values are told apart.
        kept: which rows the run has drawn.

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
    drawn = _drawn(published, task, summary, kept)
    if gold is None and not task.input.gold and drawn.sample:
        gold = ORACLE
    by_oracle = str(gold) == ORACLE
    if by_oracle and not drawn.sample:
        raise BadRequest(f"{_nothing_drawn(published, run)}: name a file of known answers", "gold")
    known = None if by_oracle else _known(task, published, gold)
    evaluation = Evaluation(len(run.tiers), by_oracle=by_oracle)
    judged = JudgeTally()
    left, counts = left_out(task, published, drawn.taught), Counter[str]()
    for row in rows_of(published, known, drawn, by):
        why = left.why.get(row.record)
        if why is None:
            evaluation.add(row)
            judged.add(row)
        else:
            counts[why] += 1
    if not evaluation.known:
        raise BadRequest(f"no row of run {run.run_id} has a known answer; {_given(known, counts)}", "gold")
    prices = [tier.cost_usd / tier.sent if tier.cost_usd is not None and tier.sent else None for tier in run.tiers]
    return {
        "run_id": run.run_id,
        "task": run.task,
        "task_version": run.task_version,
        "answers": run.answers,
        "gold": "input" if gold is None else str(gold),
        "outside": known.outside if known else 0,
        "left_out": left.document(counts),
        "models": [tier.model for tier in run.tiers],
        **evaluation.document(prices),
        "judge": judged.document(run.judge),
        "blurred": document(blurs(run)),
    }


def _drawn(published: Published, task: Task, summary: Mapping[str, Any], kept: Kept) -> DrawnRows:
    """The drawn rows of a run; where several runs stand together, those of one speak for none of the others."""
    inputs = [item["uri"] for item in summary["inputs"]]
    if kept.draws is None or published.runs != [published.run]:
        return DrawnRows(task, inputs)
    certificate = None if kept.certificate is None else read(Certificate, kept.certificate, "certificate.json")
    return DrawnRows(task, inputs, read(Draws, kept.draws, DRAWS), certificate)


def _nothing_drawn(published: Published, run: Run) -> str:
    if published.runs != [published.run]:
        return f"the rows of {len(published.runs):,} runs stand together, and those that one of them drew speak for it"
    return f"run {run.run_id} has drawn no rows for its last tier (`audit` or `quality` in the task does)"


def _given(known: KnownAnswers | None, left: Counter[str]) -> str:
    told = (
        "the last tier has no valid answer to those that were drawn for it"
        if known is None
        else f"{known.given:,} were given, and {known.outside:,} that are no label of the task"
    )
    return f"{told}; {left.total():,} rows taught the model or are examples" if left else told


def _known(task: Task, published: Published, gold: str | Path | None) -> KnownAnswers:
    if gold is None:
        return from_input(task, published)
    return from_corrections(task, published) if str(gold) == FOLDER else from_file(task, Path(gold))


def compare(
    first: tuple[Published, Mapping[str, Any]],
    second: tuple[Published, Mapping[str, Any]],
    gold: str | Path | None = None,
) -> dict[str, Any]:
    """Compare two runs over the same rows, whatever their tasks, prompts, models and packs.

    Args:
        first: a run's rows and its run.json.
        second: the other's.
        gold: known answers, as of `evaluate`; else those of the input, where one of the tasks names some.

    Returns:
        A document of costs, agreement and, where rows have known answers, who is right more often (docs/quality.md).

    Raises:
        BadRequest: they have no row, no label or no known answer that was asked for in common.

    """
    sides = [_side(*each) for each in (first, second)]
    runs = [read_run(side.summary) for side in sides]
    _check_two(sides)
    known = _known_of_either(sides, gold)
    found = Comparison(sides[0], sides[1], known).document()
    if gold is not None and found["gold"] is None:
        raise BadRequest(f"no row that both runs have has a known answer in {gold}", "gold")
    return {
        "runs": [_about(side, run) for side, run in zip(sides, runs, strict=True)],
        "known": None if known is None else "input" if gold is None else str(gold),
        "outside": 0 if known is None else known.outside,
        **found,
    }


def moved(first: tuple[Published, Mapping[str, Any]], second: tuple[Published, Mapping[str, Any]]) -> dict[str, Any]:
    """Find what moved between two runs over the same rows, by label, with some of the rows.

    Args:
        first: a run's rows and its run.json.
        second: the other's.

    Returns:
        `runs`, `rows` as of `compare`, `moved` (`Comparison.moved`); its rows have their `text` where both tasks let
        reports have examples, cut to some hundred characters. `problems`: of which inputs there is no text any more.

    Raises:
        BadRequest: they are one, or have no row in common, or a task has no labels.

    """
    sides = [_side(*each) for each in (first, second)]
    _check_two(sides)
    found = Comparison(sides[0], sides[1], None)
    what = found.moved()
    texts = all(side.task.report.examples for side in sides)
    source = SourceRows(replace(sides[1].published, definition=sides[1].summary.get("definition")))
    rows = sorted((row for pair in what["pairs"] for row in pair["examples"]), key=itemgetter("source", "line"))
    for row, raw in zip(rows, source.at(rows) if texts else [None] * len(rows), strict=True):
        row["text"] = None if raw is None else excerpt(source.text(raw))
    return {
        "runs": [_about(side, read_run(side.summary)) for side in sides],
        "rows": found.document()["rows"],
        "moved": what,
        "texts": texts,
        "problems": sorted(set(source.problems.values())),
    }


def _check_two(sides: Sequence[Side]) -> None:
    names = [read_run(side.summary).run_id for side in sides]
    if names[0] == names[1]:
        raise BadRequest(f"{names[0]} is one run: name two that differ in what you want to compare")
    if not set(sides[0].task.labels) & set(sides[1].task.labels):
        raise BadRequest("the tasks of the two runs have no label in common: nothing of their answers can be compared")


def _side(published: Published, summary: Mapping[str, Any]) -> Side:
    run = read_run(summary)
    task = parse_task(run.definition, "the run's task", frozen=True)
    if not task.labels:
        raise BadRequest(f"the task {task.name} has no labels that could be compared")
    if not published.parts:
        raise BadRequest(f"run {run.run_id} has no results to compare: it is {run.status.replace('_', ' ')}")
    return Side(published, task, summary)


def _known_of_either(sides: Sequence[Side], gold: str | Path | None) -> KnownAnswers | None:
    """What is known of the rows: of a label that one of the tasks alone has, too."""
    labels = sides[1].task.labels | sides[0].task.labels
    of = sides[0]
    if (gold is None and not of.task.input.gold) or (str(gold) == FOLDER and not len(of.published.corrections)):
        of = sides[1]
    if gold is None and not of.task.input.gold:
        return None
    return _known(of.task.model_copy(update={"labels": labels}), of.published, gold)


def _about(side: Side, run: Run) -> dict[str, Any]:
    """What one of the runs was, and what it cost; with what it would have cost without replies of earlier runs.

    A run that judges the answers of another bought nothing, and does not know what they would cost.
    """
    parts = (None if run.answers.startswith(JUDGED_AGAIN) else run.cost_usd, run.reused.saved_usd)
    bought = None if None in parts else sum(part for part in parts if part is not None)
    return {
        "run_id": run.run_id,
        "task": run.task,
        "task_version": run.task_version,
        "status": run.status,
        "answers": run.answers,
        "models": [tier.model for tier in run.tiers],
        "packs": [tier.pack for tier in side.task.tiers],
        "rows": run.rows.total,
        "cost_usd": run.cost_usd,
        "without_reuse_usd": bought,
        "usd_per_1000_rows": None if bought is None or not run.rows.total else 1000 * bought / run.rows.total,
    }


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
        why = "its task asks for none (`quality`)"
        if run.definition.get("quality"):
            why = "it ended before it had one"
        elif run.score is not None:
            why += "; its min_score (`gates.min_score`, or that of a learned tier) is measured, and promises nothing"
        raise BadRequest(f"run {run.run_id} has no certificate: {why}")
    if not run.certificate.certified and run.certificate.based_on is None:
        raise BadRequest(
            f"run {run.run_id} is measured, not certified: {run.certificate.promise}; there is nothing to verify"
        )
    if not run.certificate.certified:
        raise BadRequest(
            f"run {run.run_id} is measured, not certified: it judges the answers of {run.certificate.based_on} again, "
            "and promises nothing that could be verified"
        )
    found = Verification(read(Certificate, kept, "certificate.json"), summary).run(published)
    return {
        "run_id": run.run_id,
        "task": run.task,
        "answers": run.answers,
        "promise": run.certificate.promise,
        "checked": found.checked,
        "problems": found.problems,
    }
