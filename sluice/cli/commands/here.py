"""Commands for rows on this machine: what a run would be, a trial, a whole run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sluice.cli.calls import here
from sluice.cli.help import examples
from sluice.cli.options import AnswersOption, CallsRegionOption, JsonOption, ProfileOption, SettingsOption, TaskOption

commands = typer.Typer()


@commands.command(
    epilog=examples(
        "sluice plan tickets.jsonl --task tickets",
        "sluice plan s3://my-bucket/tickets/ --task tickets --profile work",
        "sluice plan tickets.jsonl --task tickets --escalate 0.3 --json | jq .ceiling_usd",
        "sluice plan tickets.jsonl --task tickets --advise --target 0.95",
    )
)
def plan(  # noqa: PLR0913, PLR0917 - one for each option
    inputs: Annotated[
        list[str],
        typer.Argument(metavar="INPUT", help="Files or folders here, or s3://bucket/key and s3://.../prefix/."),
    ],
    task: TaskOption,
    settings: SettingsOption = None,
    escalate: Annotated[
        float,
        typer.Option(metavar="SHARE", min=0, max=1, help="The share of a tier's records that goes on to the next."),
    ] = 0.1,
    region: CallsRegionOption = "us-east-1",
    profile: ProfileOption = None,
    json: JsonOption = False,
    advise: Annotated[
        bool, typer.Option("--advise", help="List other models, packs and transports by what they would cost.")
    ] = False,
    target: Annotated[
        float,
        typer.Option(metavar="SHARE", min=0, max=1, help="With --advise: how often answers have to agree."),
    ] = 0.95,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="DIR", help="Earlier runs of the task: what replies kept there would save."
        ),
    ] = None,
) -> None:
    """Tell what a run would read, send and cost; nothing is sent.

    The rows are read by the workflow's own first steps, under the settings that cdk.json deploys.

    Exit codes: 0 planned, 1 an input cannot be reached, 2 wrong usage or a bad task.
    """
    from sluice.api.forecasting import buckets_of  # noqa: PLC0415
    from sluice.cli.plan import Request, plan_run  # noqa: PLC0415

    request = Request(inputs, task, settings or [], escalate, region, json, advise, target, out)
    raise here(lambda: plan_run(request, buckets_of(region, profile)))


@commands.command(
    epilog=examples(
        "sluice pilot tickets.jsonl --task tickets",
        "sluice pilot tickets.jsonl --task tickets -n 300 --answers bedrock --out out/pilot",
        "sluice pilot s3://my-bucket/tickets/ --task tickets --seed 7 --json | jq .escalated",
    )
)
def pilot(  # noqa: PLR0913, PLR0917 - one for each option
    inputs: Annotated[
        list[str],
        typer.Argument(metavar="INPUT", help="Files or folders here, or s3://bucket/key and s3://.../prefix/."),
    ],
    task: TaskOption,
    records: Annotated[int, typer.Option("-n", metavar="COUNT", min=1, help="How many records are drawn.")] = 200,
    answers: AnswersOption = None,
    seed: Annotated[
        int, typer.Option(metavar="NUMBER", min=-(2**63), max=2**63 - 1, help="Another number draws other records.")
    ] = 0,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="DIR", help="Where it goes; else out/<task>-pilot.")
    ] = None,
    settings: SettingsOption = None,
    region: CallsRegionOption = "us-east-1",
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Try a task on a sample, with the first and the strongest tier.

    What they answer is compared, and tells what to expect of all records.

    The records are drawn uniformly, and asked on demand: by the models of the task with --answers bedrock. The task's
    tiers answer the sample as a run would, and the strongest tier answers all of it a second time.

    Exit codes: 0 piloted, 1 failed, 2 wrong usage or a bad task, 3 cancelled.
    """
    from sluice.api.forecasting import buckets_of  # noqa: PLC0415
    from sluice.cli.pilot import Request, pilot_run  # noqa: PLC0415

    request = Request(inputs, task, records, seed, answers or [], out, settings or [], region, json)
    raise here(lambda: pilot_run(request, buckets_of(region, profile)))


@commands.command(
    epilog=examples(
        "sluice run tickets.jsonl --task tickets --out out/demo",
        "sluice run mail/ more.csv.gz --task ./mail.yaml --out out/mail",
        "sluice run some.jsonl --task tickets --out out/some --answers openai:http://localhost:11434/v1#qwen3",
        "sluice run some.jsonl --task tickets --out out/some --answers 0=openai:http://localhost:8000/v1#qwen3 "
        "--answers 1=bedrock",
        "sluice run some.jsonl --task tickets --out out/some --answers bedrock --set approve_above_usd=1",
        "sluice run tickets.jsonl --task tickets --out out/demo --json | jq .rows",
    )
)
def run(  # noqa: PLR0913, PLR0917 - one for each option
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT", help="JSON Lines, CSV or Parquet files, plain or packed; a folder means those below it."
        ),
    ],
    task: TaskOption,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Where results, run.json and report go.")],
    answers: AnswersOption = None,
    settings: SettingsOption = None,
    region: CallsRegionOption = "us-east-1",
    faults: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A plan of faults to lay over the run (YAML).")
    ] = None,
    wait: Annotated[
        float, typer.Option(metavar="MINUTES", min=0, help="How long a server that goes away is waited for.")
    ] = 15.0,
    json: Annotated[bool, typer.Option("--json", help="Print run.json on standard output, and nothing else.")] = False,
) -> None:
    """Run the deployed workflow over files, on this machine.

    Ctrl-C cancels the run: what was answered is kept, and every row is in the results.

    Replies of models that are asked are kept in DIR as they come: the same command again asks for what is missing.

    DIR may hold earlier runs of the task: rows of the same files are replaced, and kept in its history/; those of other
    files stay.

    Exit codes: 0 succeeded, 1 failed, 2 wrong usage or a bad task, 3 cancelled, 4 over a limit.
    """
    from sluice.cli.run import Request, run_files  # noqa: PLC0415

    request = Request(inputs, task, out, answers or [], settings or [], region, faults, json, wait)
    raise typer.Exit(run_files(request))
