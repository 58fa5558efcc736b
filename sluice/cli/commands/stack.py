"""Commands for a deployment as a whole: synthesized, made, removed. CDK does it."""

from __future__ import annotations

from typing import Annotated

import typer

from sluice.cli.calls import here, in_cloud
from sluice.cli.help import examples
from sluice.cli.options import EnvOption, JsonOption, ProfileOption, StackRegionOption

commands = typer.Typer()

DeclaredEnvOption = Annotated[
    str | None, typer.Option("--env", metavar="NAME", envvar="SLUICE_ENV", help="Which deployment; else cdk.json's.")
]
CdkOptions = Annotated[
    list[str] | None, typer.Argument(metavar="OPTION", help="Options of CDK's own, behind two dashes: -- --force.")
]


def _by_cdk(verb: str, place: tuple[str | None, str | None, str | None], options: list[str] | None) -> typer.Exit:
    """Have CDK do something to a deployment, given by its environment, Region and profile; the exit it comes to."""
    from sluice.cli.deploy import Request, call_cdk  # noqa: PLC0415

    return here(lambda: call_cdk(Request(verb, *place, tuple(options or ()))))


@commands.command(
    epilog=examples(
        "sluice synth",
        "sluice synth --env dev -- --context removal=destroy",
    )
)
def synth(
    options: CdkOptions = None,
    env: DeclaredEnvOption = None,
    region: StackRegionOption = None,
    profile: ProfileOption = None,
) -> None:
    """Synthesize the CloudFormation template into cdk.out.

    It is made of the tasks in tasks/ and of the settings in cdk.json, if there is one. No AWS account is needed.

    Exit codes: 0 synthesized, 1 CDK failed, 2 wrong usage.
    """
    raise _by_cdk("synth", (env, region, profile), options)


@commands.command(
    epilog=examples(
        "sluice bootstrap --profile work --region eu-central-1",
    )
)
def bootstrap(
    options: CdkOptions = None,
    env: DeclaredEnvOption = None,
    region: StackRegionOption = None,
    profile: ProfileOption = None,
) -> None:
    """Prepare an account and Region for CDK; once for each.

    CDK makes a stack of its own there, CDKToolkit: a bucket for what it uploads, and the roles that deploy.

    Exit codes: 0 prepared, 1 CDK failed, 2 wrong usage.
    """
    raise _by_cdk("bootstrap", (env, region, profile), options)


@commands.command(
    epilog=examples(
        "sluice deploy --profile work",
        "sluice deploy --env dev -- --require-approval never",
    )
)
def deploy(
    options: CdkOptions = None,
    env: DeclaredEnvOption = None,
    region: StackRegionOption = None,
    profile: ProfileOption = None,
) -> None:
    """Deploy the tasks in tasks/ to an AWS account.

    The settings are those of cdk.json, if there is one. CDK asks before it widens anybody's rights. Afterwards it is
    offered to delete versions of functions that no execution uses, as `sluice prune` does.

    Exit codes: 0 deployed, 1 CDK failed, 2 wrong usage.
    """
    raise _by_cdk("deploy", (env, region, profile), options)


@commands.command(
    epilog=examples(
        "sluice prune",
        "sluice prune --env dev --yes",
    )
)
def prune(
    yes: Annotated[bool, typer.Option("--yes", help="Delete them.")] = False,
    json: JsonOption = False,
    env: EnvOption = "prod",
    region: StackRegionOption = None,
    profile: ProfileOption = None,
) -> None:
    """List versions of functions that no run uses, or delete them.

    Each deployment publishes new versions and keeps the old ones for runs under way; an account has room for 75 GB of
    code. What is listed goes with --yes. What the workflow or an execution under way uses stays, and what was replaced
    within the last hour.

    Exit codes: 0 listed or deleted, 1 AWS could not be reached, 2 wrong usage.
    """
    from sluice.cli.prune import prune as prune_versions  # noqa: PLC0415

    raise in_cloud((env, region, profile), lambda deployment: prune_versions(deployment, yes=yes, as_json=json))


@commands.command(
    epilog=examples(
        "sluice destroy --env dev",
    )
)
def destroy(
    options: CdkOptions = None,
    env: DeclaredEnvOption = None,
    region: StackRegionOption = None,
    profile: ProfileOption = None,
) -> None:
    """Remove a deployment; its data stays.

    CDK asks before. Buckets and key go too where the setting removal=destroy was deployed before.

    Exit codes: 0 removed, 1 CDK failed, 2 wrong usage.
    """
    raise _by_cdk("destroy", (env, region, profile), options)
