"""Checks of what is deployed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from sluice.cli.doctor.findings import Found, Status, code_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sluice.cli.doctor.patient import Patient

STEADY = {"CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE"}
EVERYBODY = "IAM_ALLOWED_PRINCIPALS"  # Lake Formation's name for: IAM alone decides
LOST = "there is none", "`sluice deploy` does not make a lost bucket anew: `sluice destroy` first"
BARRED = "no access", "allow yourself s3:ListBucket on it"


def stack(patient: Patient) -> Iterator[Found]:
    """The deployment is finished, and its code is in use."""
    name, outputs = patient.cloud.name, patient.cloud.outputs
    status = patient.cloud.status
    if status not in STEADY:
        yield Found(Status.PROBLEM, f"{name} is {status}", "see its events in CloudFormation; `sluice deploy` again")
        return
    function = patient.start
    state, update = function.get("State", "Active"), function.get("LastUpdateStatus", "Successful")
    if (state, update) != ("Active", "Successful"):
        why = function.get("StateReason") or function.get("LastUpdateStatusReason") or "no reason is given"
        said = f"{outputs['StartFunction']} is {state}, its update {update}: {why}"
        yield Found(Status.PROBLEM, said, "`sluice deploy` again")
        return
    yield Found(Status.OK, f"{name} is {status}; its code is of {function['LastModified'][:19]}, {function['Runtime']}")


def buckets(patient: Patient) -> Iterator[Found]:
    """The buckets of the deployment can be reached."""
    outputs = patient.cloud.outputs
    for bucket in (outputs[name] for name in ("IncomingBucket", "WorkBucket", "ResultsBucket")):
        try:
            patient.client("s3").head_bucket(Bucket=bucket)
        except ClientError as error:
            said, do = LOST if code_of(error) in {"404", "NoSuchBucket"} else BARRED
            yield Found(Status.PROBLEM, f"{bucket}: {said}", do)
        else:
            yield Found(Status.OK, bucket)


def jobs(patient: Patient) -> Iterator[Found]:
    """Batch jobs can be listed, which `sluice watch` does."""
    open_ = patient.client("bedrock").list_model_invocation_jobs(statusEquals="InProgress", maxResults=100)
    count = len(open_["invocationJobSummaries"])
    yield Found(Status.OK, f"batch jobs can be listed; {count}{'+' if 'nextToken' in open_ else ''} in progress")


def athena(patient: Patient) -> Iterator[Found]:
    """The workgroup takes queries."""
    name = patient.workgroup
    group = patient.client("athena").get_work_group(WorkGroup=name)["WorkGroup"]
    if group["State"] == "ENABLED":
        yield Found(Status.OK, f"the workgroup {name} is enabled")
    else:
        yield Found(Status.PROBLEM, f"the workgroup {name} is {group['State']}", "enable it in Athena")


def lake_formation(patient: Patient) -> Iterator[Found]:
    """Nothing but IAM stands between a reader and the tables, or the caller has grants."""
    name = patient.workgroup
    patient.client("glue").get_database(Name=name)
    lake = patient.client("lakeformation")
    settings = lake.get_data_lake_settings()["DataLakeSettings"]
    defaults = settings.get("CreateTableDefaultPermissions", [])
    if any(one["Principal"].get("DataLakePrincipalIdentifier") == EVERYBODY for one in defaults):
        yield Found(Status.OK, f"the tables of {name} are guarded by IAM alone")
        return
    who = patient.client("sts").get_caller_identity()["Arn"]
    granted = lake.list_permissions(Resource={"Database": {"Name": name}})["PrincipalResourcePermissions"]
    principals = {one["Principal"]["DataLakePrincipalIdentifier"] for one in granted}
    if principals & {EVERYBODY, who}:
        yield Found(Status.OK, f"Lake Formation guards {name}, and has grants for you")
        return
    do = (
        f"in Lake Formation grant SELECT and DESCRIBE on all tables of {name} to those who query, and to {who} if that "
        f"includes you; or give {EVERYBODY} back its rights"
    )
    yield Found(Status.PROBLEM, f"Lake Formation guards {name}, and shows no grant for {who}", do)
