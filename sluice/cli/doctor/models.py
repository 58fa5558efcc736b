"""Checks of the models of the tasks: ids, access, ends of life, and whether they take the tasks' requests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from sluice.aws.errors import translated
from sluice.cli.doctor.findings import DENIED, Found, Status, code_of
from sluice.errors import BadSetting
from sluice.models.catalog import PROFILE_ID, profile_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sluice.cli.doctor.patient import Patient
    from sluice.models.catalog import Model

BUSY = frozenset({"ThrottlingException", "TooManyRequestsException", "ServiceUnavailableException"})
QUESTION = {"messages": [{"role": "user", "content": [{"text": "Answer with the word yes."}]}]}
BRIEF = {"inferenceConfig": {"maxTokens": 5}}


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


def models(patient: Patient) -> Iterator[Found]:
    """Each model answers; without calls, the account has access to it."""
    for name, model in patient.known.items():
        yield _answers(patient, name, model) if patient.calls else _accessible(patient, name, model)


def _answers(patient: Patient, name: str, model: Model) -> Found:
    try:
        said = patient.client("bedrock-runtime").converse(modelId=model.id, **QUESTION, **BRIEF)
    except ClientError as error:
        if code_of(error) in BUSY:
            return Found(Status.OK, f"{name} is there, and busy at the moment ({code_of(error)})")
        return Found(Status.PROBLEM, f"{name}: {translated(error)}", _remedy(code_of(error), str(error)))
    return Found(Status.OK, f"{name} answered after {said['metrics']['latencyMs']} ms")


def _remedy(code: str, message: str) -> str:
    if code in DENIED:
        return (
            "request access under Model access in the Bedrock console (Anthropic asks for a use case once), and allow "
            "bedrock:InvokeModel on the profile and on the model in every Region that it routes to"
        )
    if "on-demand throughput" in message:
        return "the model is called through an inference profile alone: write its id, such as us.<model>, in the task"
    return "the model may have left this Region or come to its end: choose another, and give its id in the task"


def _accessible(patient: Patient, name: str, model: Model) -> Found:
    base = PROFILE_ID.sub(r"\2", model.id, count=1)
    said = patient.client("bedrock").get_foundation_model_availability(modelId=base)
    lacking = [
        what
        for what, has in (
            ("its licence agreement", said["agreementAvailability"]["status"] in {"AVAILABLE", "NOT_REQUIRED"}),
            ("authorization", said["authorizationStatus"] == "AUTHORIZED"),
            ("entitlement", said["entitlementAvailability"] == "AVAILABLE"),
        )
        if not has
    ]
    if lacking:
        return Found(Status.PROBLEM, f"{name} lacks {', '.join(lacking)}", _remedy("AccessDenied", ""))
    return Found(Status.OK, f"{name} can be used; it was not asked")
