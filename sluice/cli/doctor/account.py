"""Checks of the account: who asks and where, and how much may run at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sluice.cli.doctor.findings import Found, Status
from sluice.models.quotas import on_demand_quotas
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
    ids = [model.id for model in patient.in_batch.values()]
    found = fit(patient.settings, ids, patient.quotas, "Service Quotas lists none")
    for name, quota in found.quotas.items():
        guessed = quota.source.startswith("the default")
        yield Found(Status.UNKNOWN if guessed else Status.OK, f"{name} = {quota.value:,} ({quota.source})")


def on_demand(patient: Patient) -> Iterator[Found]:
    """The account may call the models of the tasks: many new accounts have a quota of 0, and are throttled for ever."""
    for name, model in patient.on_demand.items():
        found = on_demand_quotas(model.id, patient.quotas)
        if zero := next((quota for quota in found if quota.value == 0), None):
            few = f"; so are fewer than {patient.settings.min_records_per_job} records of a tier in batch"
            yield Found(
                Status.PROBLEM,
                f"{name}: {zero.name} ({zero.code}) is 0, so every call of it is throttled, for ever"
                f"{few if name in patient.in_batch else ''}",
                "open a case with AWS Support, since Service Quotas cannot raise it in many new accounts; or name a "
                "model or a profile that has quota",
            )
        elif found:
            least = min(found, key=lambda quota: ("tokens per minute" not in quota.name, quota.value))
            yield Found(Status.OK, f"{name}: {least.value:,.0f} ({least.name}, {least.code})")
        else:
            yield Found(Status.UNKNOWN, f"Service Quotas lists no quota of calls for {model.id}")


def concurrency(patient: Patient) -> Iterator[Found]:
    """Lambda may run as many functions at once as a run's maps start."""
    limit = patient.client("lambda").get_account_settings()["AccountLimit"]["UnreservedConcurrentExecutions"]
    settings = patient.settings
    wanted = max(settings.max_workers, settings.max_jobs_in_flight) + SPARE
    said = f"Lambda runs {limit:,} functions at once; a run of these settings takes up to {wanted:,}"
    if limit < wanted:
        room = max(1, limit - SPARE)
        high = [name for name in ("max_workers", "max_jobs_in_flight") if getattr(settings, name) > room]
        do = f"ask for a higher quota of concurrent executions, or set {' and '.join(high)} to {room}"
        yield Found(Status.PROBLEM, said, do)
    else:
        yield Found(Status.OK, said)
