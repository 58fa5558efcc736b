"""Commands for runs in AWS: begun, watched, steered."""

from __future__ import annotations

from typing import Annotated

import typer

from sluice.cli.calls import in_cloud
from sluice.cli.help import examples
from sluice.cli.options import (
    EnvOption,
    JsonOption,
    ProfileOption,
    RunArgument,
    RunOrFolder,
    SettingsOption,
    StackRegionOption,
    TaskOption,
)

commands = typer.Typer()


@commands.command(
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
    raise in_cloud((env, region, profile), lambda deployment: submit_inputs(deployment, asked))


@commands.command(
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

    raise in_cloud((env, region, profile), lambda deployment: list_runs(deployment, limit, task, as_json=json))


@commands.command(
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

    raise in_cloud((env, region, profile), lambda deployment: watch_run(deployment, run, as_json=json))


@commands.command(
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

    raise in_cloud((env, region, profile), lambda deployment: show_info(deployment, run, as_json=json))


@commands.command(
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

    raise in_cloud((env, region, profile), lambda deployment: approve_run(deployment, run, as_json=json))


@commands.command(
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

    raise in_cloud((env, region, profile), lambda deployment: cancel_run(deployment, run, as_json=json))


@commands.command(
    epilog=examples(
        "sluice resume out/demo",
        "sluice resume tickets-20261120t101500-0123456789",
        "sluice resume tickets-20261120t101500-0123456789 --max-usd 50",
        "sluice resume tickets-20261120t101500-0123456789 --escalate-refused",
    )
)
def resume(
    run: RunOrFolder,
    max_usd: Annotated[
        float | None, typer.Option("--max-usd", metavar="N", min=0, help="A new budget for the whole run, in dollars.")
    ] = None,
    escalate_refused: Annotated[
        bool,
        typer.Option("--escalate-refused", help="Ask the next tier for what its tier refuses again, all alike."),
    ] = False,
    json: JsonOption = False,
    env: EnvOption = "prod",
    region: StackRegionOption = None,
    profile: ProfileOption = None,
) -> None:
    """Go on with a run, or a folder's; buy only what is missing.

    It may have failed, been cancelled, or run out of budget: then --max-usd gives it a new one.
    A tier that refused all that it was sent is asked again first; what it refuses still waits for the next resume,
    or goes on to the next, dearer tier with --escalate-refused.

    Exit codes: 0 resumed, 1 AWS could not be reached, 2 it cannot be resumed; of a folder those of `sluice run`.
    """
    from sluice.cli.fetch import folder_of  # noqa: PLC0415

    if (folder := folder_of(run)) is not None:
        from sluice.api.local import job_again  # noqa: PLC0415
        from sluice.cli.run import go_on_here  # noqa: PLC0415

        raise typer.Exit(go_on_here(lambda: job_again(folder, max_usd), as_json=json))
    from sluice.cli.control import resume_run  # noqa: PLC0415

    raise in_cloud(
        (env, region, profile),
        lambda deployment: resume_run(deployment, run, max_usd, escalate_refused=escalate_refused, as_json=json),
    )


@commands.command(
    epilog=examples(
        "sluice rejudge out/demo --task ./stricter.yaml",
        "sluice rejudge tickets-20261120t101500-0123456789 --task ./stricter.yaml",
    )
)
def rejudge(
    run: RunOrFolder,
    task: TaskOption,
    json: JsonOption = False,
    env: EnvOption = "prod",
    region: StackRegionOption = None,
    profile: ProfileOption = None,
) -> None:
    """Judge a run's stored answers by a changed task; buy nothing.

    Prints the id of the new run, which has results of its own. In a folder here they take the place of the run's, which
    goes to history/.

    Exit codes: 0 begun, 1 AWS could not be reached, 2 wrong usage or a bad task; of a folder those of `sluice run`.
    """
    from sluice.cli.fetch import folder_of  # noqa: PLC0415

    if (folder := folder_of(run)) is not None:
        from sluice.api.local import job_judged  # noqa: PLC0415
        from sluice.cli.run import go_on_here  # noqa: PLC0415

        raise typer.Exit(go_on_here(lambda: job_judged(folder, task), as_json=json))
    from sluice.cli.control import rejudge_run  # noqa: PLC0415

    raise in_cloud((env, region, profile), lambda deployment: rejudge_run(deployment, run, task, as_json=json))
