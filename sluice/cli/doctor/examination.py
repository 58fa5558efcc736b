"""All checks in turn, and how they are shown."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from sluice.aws.errors import translated
from sluice.cli.doctor.account import concurrency, credentials, on_demand, quotas, region
from sluice.cli.doctor.deployment import athena, buckets, jobs, lake_formation, stack
from sluice.cli.doctor.findings import DENIED, Finding, Found, Status, code_of, lines
from sluice.cli.doctor.models import access, batch, lifecycle, models, profiles
from sluice.cli.exits import ExitCode, complain, reader_may_leave
from sluice.errors import BadRequest, SluiceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sluice.cli.doctor.patient import Patient

    Check = Callable[[Patient], Iterator[Found]]


def see_doctor(patient: Patient, *, as_json: bool) -> ExitCode:
    """Make all checks and print what they found; 1 where there is a problem."""
    if patient.calls:
        complain("sending each task's request to each of its tiers, for some cents at most; --no-calls leaves that out")
    found = []
    with reader_may_leave():
        for finding in examine(patient):
            found.append(finding)
            if not as_json:
                print("\n".join(lines(finding)), flush=True)
        bad = sum(finding.status is Status.PROBLEM for finding in found)
        if as_json:
            print(json.dumps({"ok": not bad, "checks": [asdict(finding) for finding in found]}, indent=2))
    if bad and not as_json:
        print(f"\n{bad} problem{'s' if bad > 1 else ''}", file=sys.stderr)
    return ExitCode.FAILED if bad else ExitCode.SUCCEEDED


def examine(patient: Patient) -> Iterator[Finding]:
    """Make the checks in turn; without a Region and credentials there is nothing to make the others with."""
    for name, check in FIRST.items():
        findings = list(_made(name, check, patient, Status.PROBLEM))
        yield from findings
        if any(finding.status is not Status.OK for finding in findings):
            return
    for name, check in CHECKS.items():
        yield from _made(name, check, patient, Status.UNKNOWN)


def _made(name: str, check: Check, patient: Patient, when_denied: Status) -> Iterator[Finding]:
    """What a check found; an error is a finding too."""
    try:
        for found in check(patient):
            yield Finding(name, *found)
    except (SluiceError, ClientError, BotoCoreError) as error:
        yield Finding(name, *_failed(check, error, when_denied))


def _failed(check: Check, error: SluiceError | ClientError | BotoCoreError, when_denied: Status) -> Found:
    """What an error says of a check: what only the caller may not see is no problem of a run."""
    cause = error.__cause__ if isinstance(error, SluiceError) else error
    said = str(translated(error))
    if isinstance(error, BadRequest) and check is not stack:
        return Found(Status.UNKNOWN, f"nothing to look at: {said.partition(':')[0]}")
    if isinstance(cause, ClientError) and code_of(cause) in DENIED:
        return Found(when_denied, said, f"allow yourself {cause.operation_name}, or ask somebody who may")
    return Found(Status.PROBLEM, said)


FIRST: dict[str, Check] = {"region": region, "credentials": credentials}
CHECKS: dict[str, Check] = {
    "stack": stack,
    "buckets": buckets,
    "profiles": profiles,
    "access": access,
    "lifecycle": lifecycle,
    "models": models,
    "batch models": batch,
    "quotas": quotas,
    "on demand": on_demand,
    "batch jobs": jobs,
    "concurrency": concurrency,
    "athena": athena,
    "lake formation": lake_formation,
}
