"""Commands for what a run came to, in AWS or in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sluice.cli.calls import here, in_cloud
from sluice.cli.choices import Format, Shape
from sluice.cli.help import examples
from sluice.cli.options import EnvOption, JsonOption, ProfileOption, RunOrFolder, StackRegionOption, named
from sluice.reasons import Status

commands = typer.Typer()


@commands.command(
    epilog=examples(
        "sluice results tickets-20261120t101500-0123456789",
        "sluice results out/demo --status unresolved",
        "sluice results out/demo --label billing --label other --format csv > some.csv",
        "sluice results out/demo --changed --sample 50 --format xlsx --out look.xlsx",
        "sluice results out/demo --where \"confidence = 'likely' and text ilike '%refund%'\" --columns id,label,text",
        "sluice results out/demo --format parquet --out all.parquet",
        "sluice results out/demo --status unresolved --as input > again.jsonl",
    )
)
def results(  # noqa: PLR0913, PLR0917 - one for each option
    run: RunOrFolder,
    label: Annotated[
        list[str] | None, typer.Option("--label", metavar="LABEL", help="Rows with this label; repeat it for others.")
    ] = None,
    status: Annotated[
        list[Status] | None,
        typer.Option("--status", metavar="STATUS", help="Rows that are accepted, unresolved or rejected."),
    ] = None,
    reason: Annotated[
        list[str] | None, typer.Option("--reason", metavar="CODE", help="Rows with this reason code.")
    ] = None,
    confidence: Annotated[
        list[str] | None,
        typer.Option(
            "--confidence", metavar="WORD", help="Rows of which a model was certain, or said likely or unsure."
        ),
    ] = None,
    tier: Annotated[
        list[int] | None, typer.Option("--tier", metavar="NUMBER", min=0, help="Rows that this tier settled; from 0.")
    ] = None,
    changed: Annotated[
        bool, typer.Option("--changed", help="Rows of which a stronger tier changed the label.")
    ] = False,
    where: Annotated[
        str | None, typer.Option("--where", metavar="SQL", help="Rows for which this holds: SQL over the columns.")
    ] = None,
    sample: Annotated[
        int | None, typer.Option("--sample", metavar="N", min=1, help="So many of them, drawn uniformly.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", metavar="NUMBER", help="Another number draws other rows.")] = 0,
    columns: Annotated[
        list[str] | None, typer.Option("--columns", "-c", metavar="A,B,C", help="Only these columns, in this order.")
    ] = None,
    text: Annotated[
        bool, typer.Option("--text/--no-text", help="Add the text and the input's own columns, from the files.")
    ] = True,
    limit: Annotated[
        int | None, typer.Option("--limit", "-n", metavar="N", min=1, help="At most so many rows; of a table 20.")
    ] = None,
    format_: Annotated[
        Format | None, typer.Option("--format", "-f", help="How the rows are written; else a table.")
    ] = None,
    excel: Annotated[
        bool, typer.Option("--excel", help="CSV with the mark that Excel needs for letters beyond ASCII.")
    ] = False,
    as_: Annotated[
        Shape | None,
        typer.Option("--as", help="input: the rows as lines of JSON as they stood in the input; else the results."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="PATH", help="A file for rows, a folder for a whole run."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print run.json on standard output, and nothing else.")] = False,
    env: EnvOption = "prod",
    region: StackRegionOption = None,
    profile: ProfileOption = None,
) -> None:
    """Download a run's files, or print the rows that you ask for.

    RUN is a run of the deployment, or the folder of a local one. Without a filter or a format, the Parquet files,
    run.json and the report are downloaded, laid out as `sluice run` does it; of a folder the summary is shown. The run
    has to have ended.

    Rows come with the name of their file, their row in it, their text and their own columns, read from the files as
    the run had frozen them; of a file that has changed since, these stay empty. Cells of CSV that a spreadsheet would
    run as a formula get a quote in front of them; in xlsx they are texts. --where and xlsx need the extra tables.

    --as input gives the unresolved rows where no filter says otherwise; it needs the inputs as they were, or the
    column input.

    Exit codes: 0 written, 1 AWS or a file could not be reached, 2 wrong usage, or there is nothing.
    """
    from sluice.cli.exits import ExitCode, complain  # noqa: PLC0415
    from sluice.cli.fetch import fetch_results, folder_of, show_folder  # noqa: PLC0415
    from sluice.cli.results import Asked, conflict, hand_out  # noqa: PLC0415
    from sluice.results.folder import all_in_folder  # noqa: PLC0415

    asked = Asked(
        labels=tuple(label or ()),
        statuses=tuple(status or ()),
        reasons=tuple(reason or ()),
        limit=limit,
        format=format_,
        shape=as_,
        out=out,
        confidences=tuple(confidence or ()),
        tiers=tuple(tier or ()),
        changed=changed,
        columns=named(columns),
        where=where,
        sample=sample,
        seed=seed,
        text=text,
        excel=excel,
    )
    folder = folder_of(run)
    if wrong := conflict(asked, folder, as_json=json):
        complain(wrong)
        raise typer.Exit(ExitCode.USAGE)
    if folder is not None:
        raise here(
            lambda: hand_out(all_in_folder(folder), asked) if asked.for_rows else show_folder(folder, as_json=json)
        )
    raise in_cloud(
        (env, region, profile),
        lambda deployment: (
            hand_out(deployment.run(run).published(), asked)
            if asked.for_rows
            else fetch_results(deployment, run, out or Path(run), as_json=json)
        ),
    )


@commands.command(
    epilog=examples(
        "sluice report tickets-20261120t101500-0123456789 --open",
        "sluice report out/demo --open",
        "sluice report out/before --against out/after --open",
    )
)
def report(
    run: RunOrFolder,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="Where it goes; else RUN.html here.")
    ] = None,
    against: Annotated[
        str | None, typer.Option("--against", metavar="B", help="Another run over the same rows: what moved to it.")
    ] = None,
    open_it: Annotated[bool, typer.Option("--open", help="Show it in your browser.")] = False,
    json: JsonOption = False,
    env: EnvOption = "prod",
    region: StackRegionOption = None,
    profile: ProfileOption = None,
) -> None:
    """Download a run's report, and print where it lies.

    Of a local run, named by its folder, the report is there already; --out copies it. What people have corrected since
    stands in it, too, with who and when.

    With --against the page shows RUN and B side by side: what moved, by label, with some of the rows. Rows are the same
    that stand on the same line of the same input.

    Exit codes: 0 it is there, 1 AWS could not be reached, 2 there is none, or the runs have no row in common.
    """
    from sluice.cli.fetch import fetch_report, folder_of, show_report  # noqa: PLC0415

    if against is not None:
        from sluice.cli.comparison import opened, write_beside  # noqa: PLC0415

        if folder_of(run) is not None and folder_of(against) is not None:
            sides = opened(run, None), opened(against, None)
            raise here(lambda: write_beside(*sides, out, show_it=open_it, as_json=json))
        raise in_cloud(
            (env, region, profile),
            lambda it: write_beside(opened(run, it), opened(against, it), out, show_it=open_it, as_json=json),
        )
    folder = folder_of(run)
    if folder is not None:
        raise here(lambda: show_report(folder, out, show_it=open_it, as_json=json))
    place = out or Path(f"{run}.html")
    raise in_cloud(
        (env, region, profile), lambda deployment: fetch_report(deployment, run, place, show_it=open_it, as_json=json)
    )


@commands.command(
    epilog=examples(
        "sluice forget out/demo --id c-1731",
        "sluice forget out/demo --text-contains 'Jane Roe' --yes",
        'sluice forget out/demo --where "customer = 1731" --json',
        "sluice forget --deployed --task tickets --id c-1731",
    )
)
def forget(  # noqa: PLR0913, PLR0917 - one for each option
    folder: Annotated[
        Path | None, typer.Argument(metavar="[DIR]", help="The folder of local runs; none with --deployed.")
    ] = None,
    ids: Annotated[list[str] | None, typer.Option("--id", metavar="ID", help="A row's own id; repeat it.")] = None,
    where: Annotated[
        str | None, typer.Option("--where", metavar="CONDITION", help="In SQL, as `sluice results --where` takes it.")
    ] = None,
    texts: Annotated[
        list[str] | None,
        typer.Option("--text-contains", metavar="TEXT", help="In the row's text, in any case; repeat it."),
    ] = None,
    deployed: Annotated[bool, typer.Option("--deployed", help="In all that a deployment keeps.")] = False,
    task: Annotated[str | None, typer.Option("--task", "-t", metavar="NAME", help="Of this task only.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Take them out, and do not ask.")] = False,
    by: Annotated[str | None, typer.Option("--by", metavar="NAME", help="Who does it; else your name here.")] = None,
    json: JsonOption = False,
    env: EnvOption = "prod",
    region: StackRegionOption = None,
    profile: ProfileOption = None,
) -> None:
    """Take a person's rows out of all that runs have kept, for ever.

    Results and those before them, run.json and report, certificates, corrections and kept replies are looked through,
    of a deployment also all versions of inputs and what runs worked with, and what would go is counted by place,
    without any text. Then it is done: with --yes, or where you agree. A row has to meet each kind of condition that is
    given. What no row shows any more is counted as forgotten, so that books and certificates still hold. A protocol of
    what was taken out, when and by whom stands in forgotten/ of the folder, or of the results bucket.

    What cannot be reached is listed. A deployment gets no rights for this: yours have to do.

    Exit codes: 0 done, or shown, 1 it could not be done, 2 wrong usage, or no row is meant.
    """
    from sluice.cli.forget import Request, forget_here, forget_there  # noqa: PLC0415

    request = Request(ids or (), where, texts or (), yes, by, json)
    if (folder is None) != deployed:
        raise typer.BadParameter("name a folder, or --deployed")
    if folder is not None:
        raise here(lambda: forget_here(folder, request))
    raise in_cloud((env, region, profile), lambda deployment: forget_there(deployment, task, request))
