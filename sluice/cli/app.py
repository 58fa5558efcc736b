"""The commands and their options. What they do is imported when they are called, so that `--help` stays quick."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sluice.cli.choices import Format, Shape
from sluice.cli.help import examples
from sluice.reasons import Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from sluice.cli.cloud import Cloud
    from sluice.cli.exits import ExitCode

app = typer.Typer(
    name="sluice",
    help="Classify texts in batches: every row to the cheapest model, only failed answers to a stronger one.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


RegionOption = Annotated[
    str,
    typer.Option("--region", metavar="REGION", envvar=["AWS_REGION", "AWS_DEFAULT_REGION"], help="For models' ids."),
]
CallsRegionOption = Annotated[
    str,
    typer.Option(
        "--region",
        metavar="REGION",
        envvar=["AWS_REGION", "AWS_DEFAULT_REGION"],
        help="For models' ids, and where AWS is called.",
    ),
]
EnvOption = Annotated[
    str, typer.Option("--env", metavar="NAME", envvar="SLUICE_ENV", help="The deployment's environment.")
]
StackRegionOption = Annotated[
    str | None,
    typer.Option(
        "--region",
        metavar="REGION",
        envvar=["AWS_REGION", "AWS_DEFAULT_REGION"],
        help="The stack's Region; else the profile's own.",
    ),
]
ProfileOption = Annotated[
    str | None,
    typer.Option("--profile", metavar="NAME", help="A profile of your AWS settings; else the environment's."),
]
RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="A run's id, as `sluice runs` lists it.")]
RunOrFolder = Annotated[
    str, typer.Argument(metavar="RUN", help="A run's id, as `sluice runs` lists it, or the folder of a local run.")
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print a JSON document, and nothing else, on standard output.")
]
SettingsOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a deployment setting.")
]


def _tasks_here(begun: str) -> list[str]:
    """Complete a task's name from the folder tasks."""
    return sorted(file.stem for file in Path("tasks").glob("*.yaml") if file.stem.startswith(begun))


TaskOption = Annotated[
    str,
    typer.Option(
        "--task",
        "-t",
        metavar="NAME|PATH",
        help="A task in tasks/, or its file.",
        autocompletion=_tasks_here,
    ),
]


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415

        typer.echo(f"sluice {version('sluice')}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


def _here(command: Callable[[], ExitCode]) -> typer.Exit:
    """Run a command that needs no deployment; the exit that it comes to."""
    from sluice.cli.cloud import concluded  # noqa: PLC0415

    return typer.Exit(concluded(command))


def _in_cloud(place: tuple[str, str | None, str | None], command: Callable[[Cloud], ExitCode]) -> typer.Exit:
    """Run a command on a deployed stack, given by its environment, Region and profile; the exit that it comes to."""
    from sluice.cli.cloud import Cloud, Place, concluded  # noqa: PLC0415

    return typer.Exit(concluded(lambda: command(Cloud.at(Place(*place)))))


@app.command(
    epilog=examples(
        "sluice init mail.csv --label-column team",
        "sluice init mail.jsonl --labels billing,technical,other --name mail",
    )
)
def init(
    sample: Annotated[Path, typer.Argument(metavar="FILE", help="A file with some of your rows, or all of them.")],
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
    or a field; their descriptions are left to you.

    Exit codes: 0 written, 2 wrong usage, or no task can be made of it.
    """
    from sluice.cli.cloud import concluded  # noqa: PLC0415
    from sluice.cli.init import Request, init_task  # noqa: PLC0415

    request = Request(sample, labels, label_column, labels_file, name, force, json)
    raise typer.Exit(concluded(lambda: init_task(request)))


@app.command(
    epilog=examples(
        "sluice check tickets",
        "sluice check ./mail.yaml --sample mail.csv --region eu-central-1",
    )
)
def check(
    task: Annotated[str, typer.Argument(metavar="NAME|PATH", help="A task in tasks/, or its file.")],
    sample: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Rows to hold the task against: their fields, their lengths.")
    ] = None,
    region: RegionOption = "us-east-1",
    json: JsonOption = False,
) -> None:
    """Tell what is wrong or weak about a task; show a request.

    The request is what a row becomes.

    Exit codes: 0 the task can be run, however weak; 2 it has mistakes.
    """
    from sluice.cli.cloud import concluded  # noqa: PLC0415
    from sluice.cli.tasks import Question, check_task  # noqa: PLC0415

    raise typer.Exit(concluded(lambda: check_task(Question(task, region, sample, json))))


@app.command(
    epilog=examples(
        "sluice plan tickets.jsonl --task tickets",
        "sluice plan s3://my-bucket/tickets/ --task tickets --profile work",
        "sluice plan tickets.jsonl --task tickets --escalate 0.3 --json | jq .ceiling_usd",
    )
)
def plan(
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
) -> None:
    """Tell what a run would read, send and cost; nothing is sent.

    The rows are read by the workflow's own first steps, under the settings that cdk.json deploys.

    Exit codes: 0 planned, 1 an input cannot be reached, 2 wrong usage or a bad task.
    """
    from sluice.cli.cloud import Cloud, Place, concluded  # noqa: PLC0415
    from sluice.cli.plan import Request, plan_run  # noqa: PLC0415

    request = Request(inputs, task, settings or [], escalate, region, json)
    raise typer.Exit(
        concluded(lambda: plan_run(request, lambda name: Cloud.at(Place("prod", region, profile)).bucket(name)))
    )


@app.command(
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
    answers: Annotated[
        str,
        typer.Option(metavar="SOURCE", help="standin, replay:FILE, openai:URL#MODEL or bedrock."),
    ] = "standin",
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
    from sluice.cli.cloud import Cloud, Place, concluded  # noqa: PLC0415
    from sluice.cli.pilot import Request, pilot_run  # noqa: PLC0415

    request = Request(inputs, task, records, seed, answers, out, settings or [], region, json)
    raise typer.Exit(
        concluded(lambda: pilot_run(request, lambda name: Cloud.at(Place("prod", region, profile)).bucket(name)))
    )


@app.command(
    epilog=examples(
        "sluice run tickets.jsonl --task tickets --out out/demo",
        "sluice run mail/ more.csv.gz --task ./mail.yaml --out out/mail",
        "sluice run some.jsonl --task tickets --out out/some --answers openai:http://localhost:11434/v1#qwen3",
        "sluice run some.jsonl --task tickets --out out/some --answers bedrock --set approve_above_usd=1",
        "sluice run tickets.jsonl --task tickets --out out/demo --json | jq .rows",
    )
)
def run(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT", help="JSON Lines, CSV or Parquet files, plain or packed; a folder means those in it."
        ),
    ],
    task: TaskOption,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Where results, run.json and report go.")],
    answers: Annotated[
        str,
        typer.Option(metavar="SOURCE", help="standin, replay:FILE, openai:URL#MODEL or bedrock."),
    ] = "standin",
    settings: SettingsOption = None,
    region: CallsRegionOption = "us-east-1",
    faults: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A plan of faults to lay over the run (YAML).")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print run.json on standard output, and nothing else.")] = False,
) -> None:
    """Run the deployed workflow over files, on this machine.

    Ctrl-C cancels the run: what was answered is kept, and every row is in the results.

    Exit codes: 0 succeeded, 1 failed, 2 wrong usage or a bad task, 3 cancelled, 4 over a limit.
    """
    from sluice.cli.run import Request, run_files  # noqa: PLC0415

    request = Request(inputs, task, out, answers, settings or [], region, faults, json)
    raise typer.Exit(run_files(request))


@app.command(
    epilog=examples(
        "sluice submit tickets.jsonl more.csv.gz --task tickets",
        "sluice submit s3://my-bucket/mails/ --task ./mails.yaml --set max_workers=5",
        "sluice submit --task tickets",
    )
)
def submit(
    task: TaskOption,
    inputs: Annotated[
        list[str] | None,
        typer.Argument(metavar="INPUT", help="Files or folders here, or s3://bucket/key and s3://.../prefix/."),
    ] = None,
    settings: SettingsOption = None,
    again: Annotated[bool, typer.Option("--again", help="Run anew what the same command has run before.")] = False,
    json: JsonOption = False,
    env: EnvOption = "prod",
    region: StackRegionOption = None,
    profile: ProfileOption = None,
) -> None:
    """Begin one run of all inputs in AWS at once, and print its id.

    Files are uploaded; objects in S3, as far as the deployment may read them, are read in place. A task file given by
    its path is sent along, without a deployment. The same command again is the same run, but for --again.

    Without INPUT: what waits for the deployed task is run now, whatever its trigger.

    Exit codes: 0 begun, 1 AWS could not be reached, 2 wrong usage or a bad task.
    """
    from sluice.cli.submit import Submission  # noqa: PLC0415
    from sluice.cli.submit import submit as submit_inputs  # noqa: PLC0415

    asked = Submission(inputs or [], task, settings or [], again, json)
    raise _in_cloud((env, region, profile), lambda cloud: submit_inputs(cloud, asked))


@app.command(
    epilog=examples(
        "sluice runs",
        "sluice runs --task tickets --limit 5",
        "sluice runs --env dev --json | jq -r .[0].run_id",
    )
)
def runs(
    task: Annotated[str | None, typer.Option("--task", "-t", metavar="NAME", help="Of this task only.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many.")] = 20,
    json: JsonOption = False,
    env: EnvOption = "prod",
    region: StackRegionOption = None,
    profile: ProfileOption = None,
) -> None:
    """List the latest runs in AWS, newest first.

    Exit codes: 0 listed, 1 AWS could not be reached, 2 wrong usage.
    """
    from sluice.cli.runs import list_runs  # noqa: PLC0415

    raise _in_cloud((env, region, profile), lambda cloud: list_runs(cloud, limit, task, as_json=json))


@app.command(
    epilog=examples(
        "sluice watch tickets-20261120t101500-0123456789",
        "sluice watch tickets-20261120t101500-0123456789 --json > run.json",
    )
)
def watch(
    run: RunArgument,
    json: JsonOption = False,
    env: EnvOption = "prod",
    region: StackRegionOption = None,
    profile: ProfileOption = None,
) -> None:
    """Show a run in AWS until it ends, then its summary.

    Exit codes are the run's, as those of `sluice run`, and 5 when it waits for an approval; Ctrl-C leaves the run alone
    and ends with 130.
    """
    from sluice.cli.runs import watch_run  # noqa: PLC0415

    raise _in_cloud((env, region, profile), lambda cloud: watch_run(cloud, run, as_json=json))


@app.command(
    epilog=examples(
        "sluice info tickets-20261120t101500-0123456789",
        "sluice info tickets-20261120t101500-0123456789 --json | jq .task",
    )
)
def info(
    run: RunArgument,
    json: JsonOption = False,
    env: EnvOption = "prod",
    region: StackRegionOption = None,
    profile: ProfileOption = None,
) -> None:
    """Tell what a run was frozen with, how it stands, where it lies.

    Task and version, tiers, settings and inputs are those that the run began with, whatever has changed since. With
    --json the whole task and every input are in it.

    Exit codes: 0 told, 1 AWS could not be reached, 2 there is no such run.
    """
    from sluice.cli.info import show_info  # noqa: PLC0415

    raise _in_cloud((env, region, profile), lambda cloud: show_info(cloud, run, as_json=json))


@app.command(
    epilog=examples(
        "sluice approve tickets-20261120t101500-0123456789",
    )
)
def approve(
    run: RunArgument,
    json: JsonOption = False,
    env: EnvOption = "prod",
    region: StackRegionOption = None,
    profile: ProfileOption = None,
) -> None:
    """Agree to the cost of a run that waits for it; then it goes on.

    Exit codes: 0 approved, 1 AWS could not be reached, 2 it does not wait.
    """
    from sluice.cli.control import approve_run  # noqa: PLC0415

    raise _in_cloud((env, region, profile), lambda cloud: approve_run(cloud, run, as_json=json))


@app.command(
    epilog=examples(
        "sluice cancel tickets-20261120t101500-0123456789",
    )
)
def cancel(
    run: RunArgument,
    json: JsonOption = False,
    env: EnvOption = "prod",
    region: StackRegionOption = None,
    profile: ProfileOption = None,
) -> None:
    """Stop a run in AWS; what was answered is kept and published.

    Exit codes: 0 being cancelled, 1 AWS could not be reached, 2 it cannot be cancelled.
    """
    from sluice.cli.control import cancel_run  # noqa: PLC0415

    raise _in_cloud((env, region, profile), lambda cloud: cancel_run(cloud, run, as_json=json))


@app.command(
    epilog=examples(
        "sluice resume tickets-20261120t101500-0123456789",
        "sluice resume tickets-20261120t101500-0123456789 --max-usd 50",
    )
)
def resume(
    run: RunArgument,
    max_usd: Annotated[
        float | None, typer.Option("--max-usd", metavar="N", min=0, help="A new budget for the whole run, in dollars.")
    ] = None,
    json: JsonOption = False,
    env: EnvOption = "prod",
    region: StackRegionOption = None,
    profile: ProfileOption = None,
) -> None:
    """Go on with a run; only what is missing is bought.

    It may have failed, been cancelled, or run out of budget: then --max-usd gives it a new one.

    Exit codes: 0 resumed, 1 AWS could not be reached, 2 it cannot be resumed.
    """
    from sluice.cli.control import resume_run  # noqa: PLC0415

    raise _in_cloud((env, region, profile), lambda cloud: resume_run(cloud, run, max_usd, as_json=json))


@app.command(
    epilog=examples(
        "sluice rejudge tickets-20261120t101500-0123456789 --task ./stricter.yaml",
    )
)
def rejudge(
    run: RunArgument,
    task: TaskOption,
    json: JsonOption = False,
    env: EnvOption = "prod",
    region: StackRegionOption = None,
    profile: ProfileOption = None,
) -> None:
    """Judge a run's stored answers by a changed task; buy nothing.

    Prints the id of the new run, which has results of its own.

    Exit codes: 0 begun, 1 AWS could not be reached, 2 wrong usage or a bad task.
    """
    from sluice.cli.control import rejudge_run  # noqa: PLC0415

    raise _in_cloud((env, region, profile), lambda cloud: rejudge_run(cloud, run, task, as_json=json))


@app.command(
    epilog=examples(
        "sluice results tickets-20261120t101500-0123456789",
        "sluice results out/demo --status unresolved",
        "sluice results out/demo --label billing --label other --format csv > some.csv",
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
    limit: Annotated[
        int | None, typer.Option("--limit", "-n", metavar="N", min=1, help="At most so many rows; of a table 20.")
    ] = None,
    format_: Annotated[
        Format | None, typer.Option("--format", "-f", help="How the rows are written; else a table.")
    ] = None,
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

    Cells of CSV that a spreadsheet would run as a formula get a quote in front of them. --as input gives the
    unresolved rows where no filter says otherwise; it needs the inputs as they were, or the column input.

    Exit codes: 0 written, 1 AWS or a file could not be reached, 2 wrong usage, or there is nothing.
    """
    from sluice.cli.exits import ExitCode, complain  # noqa: PLC0415
    from sluice.cli.published import folder_of, in_folder  # noqa: PLC0415
    from sluice.cli.results import Asked, conflict, hand_out  # noqa: PLC0415

    asked = Asked(
        labels=tuple(label or ()),
        statuses=tuple(status or ()),
        reasons=tuple(reason or ()),
        limit=limit,
        format=format_,
        shape=as_,
        out=out,
    )
    folder = folder_of(run)
    if wrong := conflict(asked, folder, as_json=json):
        complain(wrong)
        raise typer.Exit(ExitCode.USAGE)
    if folder is not None:
        from sluice.cli.fetch import show_folder  # noqa: PLC0415

        raise _here(lambda: hand_out(in_folder(folder), asked) if asked.for_rows else show_folder(folder, as_json=json))
    from sluice.cli.fetch import fetch_results, published  # noqa: PLC0415

    raise _in_cloud(
        (env, region, profile),
        lambda cloud: (
            hand_out(published(cloud, run), asked)
            if asked.for_rows
            else fetch_results(cloud, run, out or Path(run), as_json=json)
        ),
    )


@app.command(
    epilog=examples(
        "sluice report tickets-20261120t101500-0123456789 --open",
        "sluice report out/demo --open",
    )
)
def report(
    run: RunOrFolder,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="Where it goes; else RUN.html here.")
    ] = None,
    open_it: Annotated[bool, typer.Option("--open", help="Show it in your browser.")] = False,
    json: JsonOption = False,
    env: EnvOption = "prod",
    region: StackRegionOption = None,
    profile: ProfileOption = None,
) -> None:
    """Download a run's report, and print where it lies.

    Of a local run, named by its folder, the report is there already; --out copies it.

    Exit codes: 0 it is there, 1 AWS could not be reached, 2 there is none.
    """
    from sluice.cli.fetch import fetch_report, show_report  # noqa: PLC0415
    from sluice.cli.published import folder_of  # noqa: PLC0415

    folder = folder_of(run)
    if folder is not None:
        raise _here(lambda: show_report(folder, out, show_it=open_it, as_json=json))
    place = out or Path(f"{run}.html")
    raise _in_cloud(
        (env, region, profile), lambda cloud: fetch_report(cloud, run, place, show_it=open_it, as_json=json)
    )


@app.command(
    epilog=examples(
        "sluice doctor",
        "sluice doctor --env dev --no-calls",
        "sluice doctor --json | jq '.checks[] | select(.status == \"problem\")'",
    )
)
def doctor(
    calls: Annotated[
        bool, typer.Option("--calls/--no-calls", help="Ask each model one question, for a fraction of a cent in all.")
    ] = True,
    json: JsonOption = False,
    env: EnvOption = "prod",
    region: StackRegionOption = None,
    profile: ProfileOption = None,
) -> None:
    """Check the account and the deployment, and say what to mend.

    Looked at are credentials, Region, stack, buckets, the models of the tasks in tasks/ and their inference profiles,
    batch quotas, Lambda's concurrency, Athena and Lake Formation. Nothing is changed.

    Exit codes: 0 no problem, 1 a problem was found.
    """
    from sluice.cli.doctor import Patient, see_doctor, tasks_here  # noqa: PLC0415
    from sluice.cli.tasks import catalog_here  # noqa: PLC0415

    raise _in_cloud(
        (env, region, profile),
        lambda cloud: see_doctor(Patient(cloud, tasks_here(), catalog_here(), calls), as_json=json),
    )


@app.command(
    epilog=examples(
        "sluice schema > task.schema.json",
    )
)
def schema() -> None:
    """Print the JSON Schema of the task file, for editors.

    Exit codes: 0 printed.
    """
    from sluice.cli.tasks import print_schema  # noqa: PLC0415

    raise typer.Exit(print_schema())
