"""Commands for a task: written from a sample, and looked at."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sluice.cli.calls import here
from sluice.cli.help import examples
from sluice.cli.options import JsonOption, RegionOption

commands = typer.Typer()


@commands.command(
    epilog=examples(
        "sluice init",
        "sluice init mail.csv --label-column team",
        "sluice init mail.jsonl --labels billing,technical,other --name mail",
    )
)
def init(
    sample: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="A file with some of your rows, or all of them.")
    ] = None,
    labels: Annotated[str | None, typer.Option(metavar="A,B,C", help="The labels, with commas between them.")] = None,
    label_column: Annotated[
        str | None, typer.Option(metavar="FIELD", help="The field whose values are the labels, and the known answers.")
    ] = None,
    labels_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A label a line, or CSV with the columns name and description.")
    ] = None,
    name: Annotated[str | None, typer.Option(metavar="NAME", help="The task's name; else made of the file's.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a task of this name.")] = False,
    json: JsonOption = False,
) -> None:
    """Write a first task file from a sample of rows.

    Text and id are guessed from what the rows hold, with the reason beside each. The labels come from a list, a file
    or a field; their descriptions are left to you. Without FILE, a sample of rows and their task are written, to see a
    run with.

    Exit codes: 0 written, 2 wrong usage, or no task can be made of it.
    """
    if sample is None and (labels, label_column, labels_file, name) == (None, None, None, None):
        from sluice.cli.starter import write_sample  # noqa: PLC0415

        raise here(lambda: write_sample(force=force, as_json=json))
    if sample is None:
        raise typer.BadParameter(
            "labels and a name of your own are for rows of your own: name a file", param_hint="FILE"
        )
    from sluice.cli.init import Request, init_task  # noqa: PLC0415

    request = Request(sample, labels, label_column, labels_file, name, force, json)
    raise here(lambda: init_task(request))


@commands.command(
    epilog=examples(
        "sluice check tickets",
        "sluice check ./mail.yaml --sample mail.csv --region eu-central-1",
    )
)
def check(
    task: Annotated[str, typer.Argument(metavar="NAME|PATH", help="A task in tasks/, or its file.")],
    sample: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Rows to hold the task against: what a run would find in them.")
    ] = None,
    region: RegionOption = "us-east-1",
    json: JsonOption = False,
) -> None:
    """Tell what is wrong or weak about a task; show a request.

    The request is what a row becomes.

    Exit codes: 0 the task can be run, however weak; 2 it has mistakes.
    """
    from sluice.cli.tasks import Question, check_task  # noqa: PLC0415

    raise here(lambda: check_task(Question(task, region, sample, json)))
