"""Commands for what Sluice stands on: an account, an editor."""

from __future__ import annotations

from typing import Annotated

import typer

from sluice.cli.calls import in_cloud
from sluice.cli.help import examples
from sluice.cli.options import EnvOption, JsonOption, ProfileOption, StackRegionOption

commands = typer.Typer()


@commands.command(
    epilog=examples(
        "sluice doctor",
        "sluice doctor --env dev --no-calls",
        "sluice doctor --json | jq '.checks[] | select(.status == \"problem\")'",
    )
)
def doctor(
    calls: Annotated[
        bool,
        typer.Option(
            "--calls/--no-calls", help="Send each task's request to each of its tiers once, for some cents at most."
        ),
    ] = True,
    json: JsonOption = False,
    env: EnvOption = "prod",
    region: StackRegionOption = None,
    profile: ProfileOption = None,
) -> None:
    """Check the account and the deployment, and say what to mend.

    Looked at are credentials, Region, stack, buckets, the models of the tasks in tasks/ (inference profiles, agreement
    and entitlement, ends of life, whether they take the tasks' requests and batch jobs), quotas of batch and of calls,
    Lambda's concurrency, Athena and Lake Formation. Nothing is changed.

    Exit codes: 0 no problem, 1 a problem was found.
    """
    from sluice.api.tasks import catalog_here  # noqa: PLC0415
    from sluice.cli.doctor.examination import see_doctor  # noqa: PLC0415
    from sluice.cli.doctor.patient import Patient, tasks_here  # noqa: PLC0415

    raise in_cloud(
        (env, region, profile),
        lambda deployment: see_doctor(Patient(deployment.stack, tasks_here(), catalog_here(), calls), as_json=json),
    )


@commands.command(
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
