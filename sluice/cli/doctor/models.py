"""Checks of the models of the tasks: ids, access, ends of life, requests and batch jobs."""

from __future__ import annotations

import datetime as dt
import secrets
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from sluice.answers.refusals import remedy
from sluice.aws.errors import translated
from sluice.cli.doctor.findings import DENIED, Found, Status, code_of
from sluice.errors import BadSetting
from sluice.models.catalog import base_of, profile_of
from sluice.models.lifecycle import NEWER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sluice.cli.doctor.patient import Patient, Trial
    from sluice.models.catalog import Model

BUSY = frozenset({"ThrottlingException", "TooManyRequestsException", "ServiceUnavailableException"})
CONTROL = "nova-micro"  # takes batch jobs wherever Bedrock does
OWN_ARN = "is an ARN of your own making, of which this cannot be asked"
SUBSCRIBE = (
    'once, as an administrator: see "Before the first run" in docs/operating.md (the use-case form, one call, which '
    "subscribes, and 15 minutes)"
)


def profiles(patient: Patient) -> Iterator[Found]:
    """Each model of the tasks has an id here, and each inference profile is one that the Region has."""
    pages = patient.client("bedrock").get_paginator("list_inference_profiles").paginate()
    here = {profile["inferenceProfileId"] for page in pages for profile in page["inferenceProfileSummaries"]}
    for name, model in patient.models.items():
        if isinstance(model, BadSetting):
            yield Found(Status.PROBLEM, str(model))
        elif model.id.startswith("arn:") or profile_of(model.id) is None:
            yield Found(Status.OK, f"{name} is {model.id}")
        elif model.id in here:
            yield Found(Status.OK, f"{name} is the profile {model.id}")
        else:
            base = model.id.partition(".")[2]
            others = sorted(profile for profile in here if profile.endswith(f".{base}"))
            do = f"write one of these in the task: {', '.join(others)}" if others else "choose another Region or model"
            yield Found(Status.PROBLEM, f"{name}: {patient.region} has no profile {model.id}", do)


def access(patient: Patient) -> Iterator[Found]:
    """The account has agreed to what each model asks, and is entitled to it.

    Without that the first calls may be answered, for up to 15 minutes, and those behind them not.
    """
    for name, model in patient.known.items():
        base = base_of(model.id)
        if base is None:
            yield Found(Status.UNKNOWN, f"{name} {OWN_ARN}")
        else:
            said = patient.client("bedrock").get_foundation_model_availability(modelId=base)
            yield _accessible(name, base, said)


def _accessible(name: str, base: str, said: dict[str, Any]) -> Found:
    agreement = said["agreementAvailability"]["status"]
    if agreement == "PENDING":
        return Found(Status.PROBLEM, f"{name}: its agreement is pending", "wait 15 minutes before the first run")
    lacking = [
        what
        for what, has in (
            # Amazon's own are not sold in the Marketplace.
            ("its licence agreement", agreement == "AVAILABLE" or base.startswith("amazon.")),
            ("authorization", said["authorizationStatus"] == "AUTHORIZED"),
            ("entitlement", said["entitlementAvailability"] == "AVAILABLE"),
        )
        if not has
    ]
    if lacking:
        return Found(Status.PROBLEM, f"{name} lacks {', '.join(lacking)}", SUBSCRIBE)
    return Found(Status.OK, f"the account may use {name}")


def lifecycle(patient: Patient) -> Iterator[Found]:
    """No model is Legacy or at its end, by what Bedrock says and by what the catalogue knows."""
    today = dt.datetime.now(dt.UTC).date()
    for name, model in patient.known.items():
        life = model.lifecycle
        known = life.said(name, today) if life else None
        if life and life.ended(today):
            yield Found(Status.PROBLEM, str(known), f"name {life.follower} in the task")
        elif (base := base_of(model.id)) is None:
            yield Found(Status.UNKNOWN, f"{name} {OWN_ARN}")
        else:
            said = patient.client("bedrock").get_foundation_model(modelIdentifier=base)["modelDetails"]
            follower = life.follower if life else NEWER
            yield _living(name, said.get("modelLifecycle", {}), known, follower, today)


def _living(name: str, told: dict[str, Any], known: str | None, follower: str, today: dt.date) -> Found:
    status, end = told.get("status", "ACTIVE"), told.get("endOfLifeTime")
    do = f"name {follower} in the task, and try it with `sluice pilot`"
    if end is not None and end.date() <= today:
        return Found(Status.PROBLEM, f"{name} reached its end of life on {end.date()}", do)
    until = f", until {end.date()}" if end is not None else ""
    if status == "LEGACY":
        return Found(Status.PROBLEM, f"{name} is Legacy{until}: AWS is about to withdraw it", do)
    note = f"; {known}" if known and end is None else ""
    return Found(Status.OK, f"{name} is {status.title()}{until}{note}")


def models(patient: Patient) -> Iterator[Found]:
    """Each model answers what each task asks of it, as a run would ask it."""
    if patient.calls:
        for trial in patient.trials:
            yield _answers(patient, trial)


def _answers(patient: Patient, trial: Trial) -> Found:
    place = f"{trial.name} for {trial.task}"
    try:
        said = patient.client("bedrock-runtime").converse(modelId=trial.model.id, **trial.body)
    except ClientError as error:
        if code_of(error) in BUSY:
            do = "try again in some minutes; what never ends is a quota: see on demand"
            return Found(Status.UNKNOWN, f"{place}: busy at the moment ({code_of(error)})", do)
        return Found(Status.PROBLEM, f"{place}: {translated(error)}", _remedy(error, trial.place))
    return Found(Status.OK, f"{place} answered after {said['metrics']['latencyMs']} ms")


def _remedy(error: ClientError, tier: str) -> str:
    if code_of(error) in DENIED:
        return (
            f"{SUBSCRIBE}; and allow bedrock:InvokeModel on the profile and on the model in every Region that it "
            "routes to"
        )
    gone = "the model may have left this Region or come to its end: choose another, and give its id in the task"
    return remedy(str(error), tier) or gone


def batch(patient: Patient) -> Iterator[Found]:
    """Each model of batch jobs takes them: Bedrock is asked for a job on nothing, which it refuses, and says why."""
    if not patient.calls or not patient.in_batch:
        return
    control = patient.model(CONTROL)
    wanted = {name: model for name, model in patient.in_batch.items() if model != control}
    said = None if isinstance(control, BadSetting) else _refusal(patient, control)
    if said is not None and _takes_none(said):
        yield Found(Status.UNKNOWN, f"even {CONTROL} is refused here: {said}")
        return
    if CONTROL in patient.in_batch:
        yield Found(Status.OK, f"{CONTROL} takes batch jobs")
    for name, model in wanted.items():
        said = _refusal(patient, model)
        if _takes_none(said):
            do = "give its tiers transport: on_demand, or choose another model"
            yield Found(Status.PROBLEM, f"{name} takes no batch jobs: {said}", do)
        else:
            yield Found(Status.OK, f"{name} takes batch jobs")


def _takes_none(said: str) -> bool:
    return "not supported" in said.lower() and "batch" in said.lower()


def _refusal(patient: Patient, model: Model) -> str:
    """Why Bedrock refuses a job on a prefix without an object; a job that it made all the same is stopped.

    It looks at the right to pass the role first, then at the caller's, then at the model, then at the input.
    """
    client, name = patient.client("bedrock"), f"sluice-doctor-{secrets.token_hex(6)}"
    nothing = f"s3://{patient.cloud.outputs['WorkBucket']}/doctor/{name}/"
    try:
        made = client.create_model_invocation_job(
            jobName=name,
            modelId=model.id,
            roleArn=patient.role,
            modelInvocationType="Converse",
            inputDataConfig={"s3InputDataConfig": {"s3InputFormat": "JSONL", "s3Uri": f"{nothing}in/"}},
            outputDataConfig={"s3OutputDataConfig": {"s3Uri": f"{nothing}out/"}},
            timeoutDurationInHours=24,
        )
    except ClientError as error:
        if code_of(error) != "ValidationException":
            raise
        return str(error)
    client.stop_model_invocation_job(jobIdentifier=made["jobArn"])
    return ""
