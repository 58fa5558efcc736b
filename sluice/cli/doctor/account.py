"""Checks of the account: who asks and where, and how much may run at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sluice.aws.service_quotas import ServiceQuotas
from sluice.cli.doctor.findings import Found, Status
from sluice.runs.fitted import fit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sluice.cli.doctor.patient import Patient

SPARE = 10  # functions that run beside the workers of a map


def region(patient: Patient) -> Iterator[Found]:
    """A Region is set."""
    if patient.cloud.session.region_name is None:
        yield Found(Status.PROBLEM, "no Region is set", "give --region, or set AWS_REGION")
    else:
        yield Found(Status.OK, patient.region)


def credentials(patient: Patient) -> Iterator[Found]:
    """AWS knows who asks."""
    who = patient.client("sts").get_caller_identity()
    yield Found(Status.OK, f"account {who['Account']}, {who['Arn']}")


def quotas(patient: Patient) -> Iterator[Found]:
    """The account may run batch jobs, and how large ones."""
    if not patient.in_batch:
        yield Found(Status.OK, "no task uses batch jobs")
        return
    listed = ServiceQuotas(patient.client("service-quotas")).of_bedrock()
    found = fit(patient.settings, patient.in_batch, listed, "Service Quotas lists none")
    for name, quota in found.quotas.items():
        guessed = quota.source.startswith("the default")
        yield Found(Status.UNKNOWN if guessed else Status.OK, f"{name} = {quota.value:,} ({quota.source})")


def concurrency(patient: Patient) -> Iterator[Found]:
    """Lambda may run as many functions at once as a run's maps start."""
    limit = patient.client("lambda").get_account_settings()["AccountLimit"]["UnreservedConcurrentExecutions"]
    settings = patient.settings
    wanted = max(settings.max_workers, settings.max_jobs_in_flight) + SPARE
    said = f"Lambda runs {limit:,} functions at once; a run of these settings takes up to {wanted:,}"
    if limit < wanted:
        do = f"ask for a higher quota of concurrent executions, or set max_workers to {max(1, limit - SPARE)}"
        yield Found(Status.PROBLEM, said, do)
    else:
        yield Found(Status.OK, said)
