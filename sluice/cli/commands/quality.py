"""Commands for how good a run is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sluice.cli.calls import here, in_cloud
from sluice.cli.choices import ExportShape
from sluice.cli.help import examples
from sluice.cli.options import (
    AnswersOption,
    EnvOption,
    JsonOption,
    ProfileOption,
    RunOrFolder,
    SettingsOption,
    StackRegionOption,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sluice.api.deployment import DeployedRun
    from sluice.cli.exits import ExitCode
    from sluice.results.folder import Kept
    from sluice.results.published import Published

commands = typer.Typer()


@commands.command(
    epilog=examples(
        "sluice evaluate out/demo --by language",
        "sluice evaluate out/demo --gold corrections",
        "sluice evaluate out/demo --gold oracle",
        "sluice evaluate tickets-20261120t101500-0123456789 --gold checked.csv --json",
    )
)
def evaluate(
    run: RunOrFolder,
    gold: Annotated[
        Path | None,
        typer.Option("--gold", metavar="FILE", help="Known answers; or corrections, or oracle; else the input's."),
    ] = None,
    by: Annotated[
        list[str] | None, typer.Option("--by", metavar="COLUMN", help="Tell the values of a column apart; repeat it.")
    ] = None,
    json: JsonOption = False,
    env: EnvOption = "prod",
    region: StackRegionOption = None,
    profile: ProfileOption = None,
) -> None:
    """Compare a run's answers with known ones.

    How often it was right, by tier, label, stated confidence and column; the most frequent mistakes; what going on to a
    stronger tier changed. Known answers are those of the task's input.gold, or a CSV, JSON Lines or Parquet file with
    the columns id, or source and line, and label. They speak for the rows that have one, and no others. --gold
    corrections takes what people have said of the rows (`sluice review`); --gold oracle what the last tier said of the
    rows that were drawn for it (`audit`, `quality`), which is also what is taken where the task names no known answers.
    From drawn rows come intervals for all, and shares of labels that are corrected for errors.

    Exit codes: 0 printed, 1 AWS or a file could not be reached, 2 wrong usage, or nothing is known of any row.
    """
    from sluice.cli.evaluation import print_evaluation  # noqa: PLC0415
    from sluice.cli.fetch import folder_of  # noqa: PLC0415
    from sluice.results.folder import all_in_folder, read_document, read_kept  # noqa: PLC0415

    folder = folder_of(run)
    if folder is not None:

        def opened() -> tuple[Published, Mapping[str, Any], Kept]:
            return all_in_folder(folder), read_document(folder), read_kept(folder)

        raise here(lambda: print_evaluation(opened(), gold, by or (), as_json=json))

    def deployed(run: DeployedRun) -> tuple[Published, Mapping[str, Any], Kept]:
        return run.published(), run.summary, run.kept()

    raise in_cloud(
        (env, region, profile),
        lambda deployment: print_evaluation(deployed(deployment.run(run)), gold, by or (), as_json=json),
    )


@commands.command(
    epilog=examples(
        "sluice compare out/haiku out/nova",
        "sluice compare tickets-20261120t101500-0123456789 tickets-20261121t101500-9876543210 --gold checked.csv",
        "sluice compare out/before out/after --gold corrections --json",
    )
)
def compare(
    first: Annotated[str, typer.Argument(metavar="A", help="A run's id, or the folder of a local run.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Another run over the same rows.")],
    gold: Annotated[
        Path | None,
        typer.Option("--gold", metavar="FILE", help="Known answers; or corrections; else the input's."),
    ] = None,
    json: JsonOption = False,
    env: EnvOption = "prod",
    region: StackRegionOption = None,
    profile: ProfileOption = None,
) -> None:
    """Compare two runs over the same rows: cost, agreement, accuracy.

    Tasks, prompts, models, ladders and packs may differ. Where rows have known answers (the input's, a file's, or
    --gold corrections, as of `sluice evaluate`), it says by how much B is right more often than A, with an interval,
    and by an exact test that counts rows of one text once whether luck may be all of it: then no difference is shown.

    Exit codes: 0 printed, 1 AWS or a file could not be reached, 2 wrong usage, or the runs have no row in common.
    """
    from sluice.cli.comparison import opened, print_comparison  # noqa: PLC0415
    from sluice.cli.fetch import folder_of  # noqa: PLC0415

    if folder_of(first) is not None and folder_of(second) is not None:
        raise here(lambda: print_comparison(opened(first, None), opened(second, None), gold, as_json=json))
    raise in_cloud(
        (env, region, profile),
        lambda deployment: print_comparison(opened(first, deployment), opened(second, deployment), gold, as_json=json),
    )


@commands.command(
    epilog=examples(
        "sluice sample out/demo -n 300 --out checked.csv",
        "sluice sample tickets-20261120t101500-0123456789 --out checked.xlsx",
        "sluice sample tickets.jsonl --task tickets --folder out/tickets",
        "sluice sample --task tickets --folder out/tickets --import sample-tickets.csv",
    )
)
def sample(  # noqa: PLR0913, PLR0917 - one for each option
    what: Annotated[
        list[str] | None,
        typer.Argument(metavar="RUN|INPUT", help="A run, or the folder of a local one; with --task, inputs of a run."),
    ] = None,
    rows: Annotated[
        int | None,
        typer.Option(
            "--rows", "-n", metavar="N", min=1, max=100_000, help="So many rows; else 500, or as of the task."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="A new .csv or .xlsx; else sample-RUN.csv.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", metavar="NUMBER", help="Another number draws other rows.")] = 0,
    task: Annotated[
        str | None, typer.Option("--task", "-t", metavar="NAME|PATH", help="Draw before a run of this task.")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option("--folder", metavar="DIR", help="With --task: of a run here, with this as --out.")
    ] = None,
    sheet: Annotated[
        Path | None, typer.Option("--import", metavar="FILE", help="With --task: take the labels of the sheet.")
    ] = None,
    answers: AnswersOption = None,
    settings: SettingsOption = None,
    json: JsonOption = False,
    env: EnvOption = "prod",
    region: StackRegionOption = None,
    profile: ProfileOption = None,
) -> None:
    """Draw rows of a run, or before one, for people to label.

    The sheet has the rows' texts and an empty column label, and no answer, with which people would only agree. Fill in
    all rows: those that are easy to label are not like the others.

    Of a finished RUN: `sluice review RUN --import` takes the sheet, and `sluice evaluate RUN --gold
    corrections` says how often all rows are right, with an interval: measured, not certified. The same seed
    draws the rows that the desk shows as its uniform sample.

    Before a run, with INPUT and --task: the rows that the run will draw for its certificate (quality.against: gold).
    --import takes the labels back, and a run of the same inputs under the same task takes them up: of a deployment, or
    with --folder DIR of this machine, into which it has to go. --answers and --set as of that run.

    Exit codes: 0 written or taken, 1 some lines were not, or AWS or a file could not be reached, 2 wrong usage, or
    there are no labels.
    """
    if task is not None:
        from sluice.cli.sampled import Request, sample_deployed, sample_here  # noqa: PLC0415

        asked = Request(what or [], task, rows, out, folder, sheet, answers, settings or [], region, json)
        if folder is not None:
            raise here(lambda: sample_here(asked))
        raise in_cloud((env, region, profile), lambda deployment: sample_deployed(deployment, asked))
    raise _sample_run(what or [], (out, rows or 500, seed), (env, region, profile), as_json=json)


def _sample_run(
    named: list[str], asked: tuple[Path | None, int, int], place: tuple[str, str | None, str | None], *, as_json: bool
) -> typer.Exit:
    from sluice.cli.fetch import folder_of  # noqa: PLC0415
    from sluice.cli.sampling import write_sample  # noqa: PLC0415
    from sluice.errors import BadRequest  # noqa: PLC0415
    from sluice.results.folder import all_in_folder  # noqa: PLC0415

    def one_run() -> str:
        if len(named) == 1:
            return named[0]
        raise BadRequest("name one run, or the folder of one; inputs of a run to come go with --task", "task")

    folder = folder_of(named[0]) if len(named) == 1 else Path()
    if folder is not None:
        return here(lambda: write_sample(all_in_folder(Path(one_run())), *asked, name=one_run(), as_json=as_json))
    return in_cloud(
        place,
        lambda deployment: write_sample(deployment.run(one_run()).published(), *asked, name=one_run(), as_json=as_json),
    )


@commands.command(
    epilog=examples(
        "sluice review out/demo",
        "sluice review out/demo --file review.html",
        "sluice review out/demo --import review-tickets.jsonl",
        "sluice review tickets-20261120t101500-0123456789 --import checked.csv --by ann --json",
    )
)
def review(  # noqa: PLR0913, PLR0917 - one for each option
    run: RunOrFolder,
    file: Annotated[
        Path | None, typer.Option("--file", metavar="PATH", help="Write the page as a file that needs no server.")
    ] = None,
    sheet: Annotated[
        Path | None,
        typer.Option("--import", metavar="FILE", help="Take right labels from CSV, xlsx or JSON Lines."),
    ] = None,
    column: Annotated[
        str | None, typer.Option("--label-column", metavar="NAME", help="The sheet's column of the right label.")
    ] = None,
    by: Annotated[
        str | None, typer.Option("--by", metavar="NAME", help="Who says so; else your name on this machine.")
    ] = None,
    over: Annotated[
        bool, typer.Option("--over", help="You know what others have said of these rows, and decide.")
    ] = False,
    limit: Annotated[
        int, typer.Option("--limit", "-n", metavar="N", min=1, max=10_000, help="At most so many rows of a queue.")
    ] = 500,
    sample: Annotated[
        int, typer.Option("--sample", metavar="N", min=1, max=10_000, help="So many rows drawn uniformly.")
    ] = 200,
    seed: Annotated[int, typer.Option("--seed", metavar="NUMBER", help="Another number draws other rows.")] = 0,
    open_it: Annotated[bool, typer.Option("--open/--no-open", help="Show the page in your browser.")] = True,
    json: JsonOption = False,
    env: EnvOption = "prod",
    region: StackRegionOption = None,
    profile: ProfileOption = None,
) -> None:
    """Look at a run's rows in your browser, and say what is right.

    Without --import or --file a page opens at an address of this machine, until Ctrl-C: unresolved rows, rows against
    known answers or a learned model, those that a stronger tier changed, the lowest scores, and a uniform sample, which
    alone measures how good the run is. The keyboard is enough, and each decision is kept before the next row shows.
    --file writes the same as one file; what it gives back goes in by --import.

    What is said is a layer over the results (`sluice results`, `sluice evaluate --gold corrections`), kept in
    corrections/TASK of the folder, or of the results bucket, by your own rights. Nothing that was said before is
    written over. Who says something else of a row, and has not seen what somebody said of it, is in conflict with it:
    both are kept, and named.

    A sheet names its rows by id, by source and line, or by file and row, and has the right label in corrected_label,
    right, gold or label, the first that there is; notes in note, extracted fields in corrected_FIELD. Each line is
    checked, and those that cannot be taken are named.

    Exit codes: 0 all taken, 1 some lines were not, or AWS or a file could not be reached, 2 wrong usage.
    """
    from sluice.cli.fetch import folder_of  # noqa: PLC0415
    from sluice.cli.review import Request, review_run  # noqa: PLC0415
    from sluice.results.folder import all_in_folder  # noqa: PLC0415

    request = Request(
        sheet, column, by, over=over, as_json=json, file=file, limit=limit, sample=sample, seed=seed, show_it=open_it
    )
    folder = folder_of(run)
    if folder is not None:
        raise here(lambda: review_run(all_in_folder(folder), request))
    raise in_cloud((env, region, profile), lambda deployment: review_run(deployment.run(run).published(), request))


@commands.command(
    epilog=examples("sluice verify out/reviews", "sluice verify tickets-20261120t101500-0123456789 --json")
)
def verify(
    run: RunOrFolder,
    json: JsonOption = False,
    env: EnvOption = "prod",
    region: StackRegionOption = None,
    profile: ProfileOption = None,
) -> None:
    """Find a run's certificate again from what it has published.

    That the drawn rows are those of the seed, the sampled answers those of the rows, the figures those of the rule, and
    each label that of who stands for it. Scores are read as they are stored.

    Exit codes: 0 the certificate stands, 1 it does not, or AWS or a file could not be reached, 2 wrong usage, or there
    is none.
    """
    from sluice.cli.evaluation import print_verification  # noqa: PLC0415
    from sluice.cli.fetch import folder_of  # noqa: PLC0415
    from sluice.results.folder import in_folder, read_certificate, read_document  # noqa: PLC0415

    folder = folder_of(run)
    if folder is not None:
        raise here(
            lambda: print_verification(in_folder(folder), read_document(folder), read_certificate(folder), as_json=json)
        )
    raise in_cloud(
        (env, region, profile),
        lambda deployment: print_verification(
            deployment.run(run).published(),
            deployment.run(run).summary,
            deployment.run(run).certificate(),
            as_json=json,
        ),
    )


@commands.command(
    epilog=examples(
        "sluice export out/demo --as fine-tuning --out out/student",
        "sluice export tickets-20261120t101500-0123456789 --as gold --out gold.jsonl",
        "sluice export out/demo --as examples --out examples.yaml",
    )
)
def export(  # noqa: PLR0913, PLR0917 - one for each option
    run: RunOrFolder,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="PATH", help="A folder; of gold and examples a file.")],
    as_: Annotated[ExportShape, typer.Option("--as", help="What is written.")] = ExportShape.FINE_TUNING,
    most: Annotated[
        int | None,
        typer.Option("--most", metavar="N", min=1, help="At most so many; else 10,000, or 20 examples."),
    ] = None,
    validation: Annotated[
        float, typer.Option(metavar="SHARE", min=0, max=0.5, help="The share that is held back for validation.")
    ] = 0.1,
    seed: Annotated[int, typer.Option("--seed", metavar="NUMBER", help="Another number draws other records.")] = 0,
    env: EnvOption = "prod",
    region: StackRegionOption = None,
    profile: ProfileOption = None,
) -> None:
    """Write answers as training data, known answers or examples.

    fine-tuning: train.jsonl and validation.jsonl for a customization job of Bedrock (bedrock-conversation-2024), with
    the very instructions and texts that a run sends. Repeats of a text, rows that a correction disputes, cut texts and
    words that such jobs refuse are left out; no label has more than ten times the records of the rarest.

    gold: a line for each row with source, line, id and label, as `sluice evaluate --gold` reads it.

    examples: texts that people have settled (`sluice review`) with their answers, as the part `examples` of a task
    file; those that the models had wrong first, each label in turn, none longer than 1,500 characters.

    Exit codes: 0 written, 1 AWS or a file could not be reached, 2 wrong usage, or there is nothing.
    """
    from sluice.cli.export import export_examples, export_fine_tuning, export_gold  # noqa: PLC0415
    from sluice.cli.fetch import folder_of  # noqa: PLC0415
    from sluice.results.folder import all_in_folder  # noqa: PLC0415

    def write(published: Published) -> ExitCode:
        if as_ is ExportShape.GOLD:
            return export_gold(published, out)
        if as_ is ExportShape.EXAMPLES:
            return export_examples(published, out, min(most or 20, 100))
        return export_fine_tuning(published, out, most or 10_000, validation, seed)

    folder = folder_of(run)
    if folder is not None:
        raise here(lambda: write(all_in_folder(folder)))
    raise in_cloud((env, region, profile), lambda deployment: write(deployment.run(run).published()))
