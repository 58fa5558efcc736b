"""What AWS would refuse to a handler, refused here.

That is: calls that its role does not allow, parameters that the service's own model does not admit, and a missing key
where the role may not know that it is missing. A wrapper around botocore's one place through which every client call
goes; it runs inside the worker process of a function, and knows the function's role.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from botocore.client import BaseClient
from botocore.exceptions import ClientError

from sluice.local.ledger import INVALID
from sluice.local.policies import through_s3
from sluice.local.rules import violations_of
from sluice.local.template import PARTITION, arn_of
from sluice.models.servers import is_own

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from botocore.model import OperationModel

    from sluice.local.policies import Role

Check = tuple[str, str, dict[str, str]]  # action, resource, condition keys
PROFILE = re.compile(r"(us-gov|us|eu|apac|jp|au|ca|global)\.")
# Some of the Regions that an inference profile routes to; the access to the model in each of them is checked.
ROUTES = {
    "us.": ("us-east-1", "us-east-2", "us-west-2"),
    "eu.": ("eu-central-1", "eu-west-1", "eu-west-3", "eu-north-1"),
}

# operation -> permissions on the object; the operation's name is often not the permission's. Who begins an upload by
# parts has to be able to abort it: its parts would be paid for, and seen by nobody.
ON_OBJECT = {
    "GetObject": ("s3:GetObject",),
    "HeadObject": ("s3:GetObject",),
    "PutObject": ("s3:PutObject",),
    "CreateMultipartUpload": ("s3:PutObject", "s3:AbortMultipartUpload"),
    "UploadPart": ("s3:PutObject",),
    "UploadPartCopy": ("s3:PutObject",),
    "CompleteMultipartUpload": ("s3:PutObject",),
    "CopyObject": ("s3:PutObject",),
    "AbortMultipartUpload": ("s3:AbortMultipartUpload",),
    "DeleteObject": ("s3:DeleteObject",),
    "ListParts": ("s3:ListMultipartUploadParts",),
    "GetObjectTagging": ("s3:GetObjectTagging",),
    "PutObjectTagging": ("s3:PutObjectTagging",),
}
ON_BUCKET = {
    "HeadBucket": "s3:ListBucket",
    "ListObjects": "s3:ListBucket",
    "ListObjectsV2": "s3:ListBucket",
    "ListObjectVersions": "s3:ListBucketVersions",
    "ListMultipartUploads": "s3:ListBucketMultipartUploads",
    "GetBucketLocation": "s3:GetBucketLocation",
}
WITH_SOURCE = {"CopyObject", "UploadPartCopy"}
READS = {"GetObject", "HeadObject"}
WRITES = {"PutObject", "CopyObject", "CreateMultipartUpload"}
PARTS = {"UploadPart", "UploadPartCopy", "CompleteMultipartUpload"}
COMPLETED_WRITES = {"PutObject", "CopyObject", "CompleteMultipartUpload"}
MISSING = {"404", "NoSuchKey", "NoSuchVersion", "NotFound"}


@dataclass(frozen=True)
class Guard:
    """What one function may do. `keys` is the KMS key of each encrypted bucket."""

    role: Role
    keys: Mapping[str, str]
    region: str

    def check(self, service: str, operation: str, parameters: Mapping[str, Any]) -> None:
        """Let the call pass, or raise the error that AWS answers to one without a permission.

        Raises:
            ClientError: AccessDenied, or AccessDeniedException outside S3.
        """
        for action, resource, context in self.needs(service, operation, parameters):
            if not self.role.allows(action, resource, context):
                raise denied(service, operation, f"the role has no {action} on {resource}")

    def check_parameters(self, operation: OperationModel, parameters: Mapping[str, Any]) -> None:
        """Let parameters pass that the service's model admits; botocore looks at types, and at no length or pattern.

        Raises:
            ClientError: ValidationException.
        """
        service = operation.service_model.service_name
        if problems := violations_of(operation, as_sent(parameters)):
            if self.role.ledger is not None:
                self.role.ledger.note(INVALID, f"{service}:{operation.name}", "*")
            raise refused(operation.name, "ValidationException", "; ".join(problems), 400)

    def needs(self, service: str, operation: str, parameters: Mapping[str, Any]) -> Iterator[Check]:
        """Every permission that a call takes."""
        match service:
            case "s3":
                yield from self._s3(operation, parameters)
            case "bedrock":
                yield from self._bedrock(operation, parameters)
            case "bedrock-runtime":
                for arn in model_arns(parameters["modelId"], self.region):
                    yield "bedrock:InvokeModel", arn, {}
            case "stepfunctions":
                yield self._states(operation, parameters)
            case "events":
                for entry in parameters.get("Entries", []):
                    bus = entry.get("EventBusName", "default")
                    arn = bus if bus.startswith("arn:") else self._arn("events", f"event-bus/{bus}")
                    yield "events:PutEvents", arn, {"events:source": entry["Source"]}
            case "service-quotas":
                yield f"servicequotas:{operation}", "*", {}
            case _:
                yield f"{service}:{operation}", "*", {}

    def _s3(self, operation: str, parameters: Mapping[str, Any]) -> Iterator[Check]:
        bucket = parameters.get("Bucket", "")
        arn = f"arn:{PARTITION}:s3:::{bucket}"
        if operation in ON_BUCKET:
            yield ON_BUCKET[operation], arn, {"s3:prefix": parameters.get("Prefix", "")}
            return
        if operation == "DeleteObjects":
            for item in parameters["Delete"]["Objects"]:
                yield "s3:DeleteObject", f"{arn}/{item['Key']}", {}
            return
        if operation not in ON_OBJECT:
            raise LookupError(f"the local runner does not know the permission for s3 {operation}")
        versioned = "Version" if parameters.get("VersionId") and operation in READS | {"DeleteObject"} else ""
        for action in ON_OBJECT[operation]:
            yield action + versioned, f"{arn}/{parameters['Key']}", {}
        if operation in WITH_SOURCE:
            yield from self._source(parameters["CopySource"])
        yield from self._encryption(operation, bucket)

    def _source(self, source: str | Mapping[str, str]) -> Iterator[Check]:
        if isinstance(source, str):
            bucket, key = unquote(source).lstrip("/").split("/", 1)
        else:
            bucket, key = source["Bucket"], source["Key"]
        yield "s3:GetObject", f"arn:{PARTITION}:s3:::{bucket}/{key}", {}
        yield from self._encryption("GetObject", bucket)

    def _encryption(self, operation: str, bucket: str) -> Iterator[Check]:
        key = self.keys.get(bucket)
        if key is None:
            return
        by_s3 = through_s3(self.region)
        if operation in READS | PARTS:
            yield "kms:Decrypt", key, by_s3
        if operation in WRITES | PARTS:
            yield "kms:GenerateDataKey", key, by_s3

    def _bedrock(self, operation: str, parameters: Mapping[str, Any]) -> Iterator[Check]:
        action = f"bedrock:{operation}"
        if operation == "CreateModelInvocationJob":
            yield action, self._arn("bedrock", "model-invocation-job/*"), {}
            for arn in model_arns(parameters["modelId"], self.region)[:1]:
                yield action, arn, {}
            yield "iam:PassRole", parameters["roleArn"], {"iam:PassedToService": "bedrock.amazonaws.com"}
        elif operation == "ListModelInvocationJobs":
            yield action, "*", {}
        elif "jobIdentifier" in parameters:
            name = parameters["jobIdentifier"]
            yield action, name if name.startswith("arn:") else self._arn("bedrock", f"model-invocation-job/{name}"), {}
        else:
            yield action, "*", {}

    def _states(self, operation: str, parameters: Mapping[str, Any]) -> Check:
        action = f"states:{operation}"
        for field in ("executionArn", "mapRunArn", "stateMachineArn"):
            if field in parameters:
                return action, parameters[field], {}
        return action, "*", {}

    def _arn(self, service: str, rest: str) -> str:
        return arn_of(service, self.region, rest)


def is_profile(model: str) -> bool:
    """Whether a model's id is that of an inference profile."""
    return PROFILE.match(model) is not None


def model_arns(model: str, region: str) -> list[str]:
    """The ARNs that using a model touches: itself, and for an inference profile the model wherever it routes to.

    None for a model of one's own, which no deployment asks.
    """
    if is_own(model):
        return []
    if model.startswith("arn:"):
        return [model]
    prefix = PROFILE.match(model)
    if prefix is None:
        return [f"arn:{PARTITION}:bedrock:{region}::foundation-model/{model}"]
    behind = model[prefix.end() :]
    regions = ROUTES.get(prefix.group(), (region,))
    routed = [f"arn:{PARTITION}:bedrock:{each}::foundation-model/{behind}" for each in regions]
    return [arn_of("bedrock", region, f"inference-profile/{model}"), *routed]


def as_sent(parameters: Mapping[str, Any]) -> Mapping[str, Any]:
    """The parameters as the model describes them: botocore takes the source of a copy as a mapping too."""
    source = parameters.get("CopySource")
    if not isinstance(source, dict):
        return parameters
    return {**parameters, "CopySource": f"{source['Bucket']}/{source['Key']}"}


def denied(service: str, operation: str, message: str) -> ClientError:
    """AWS's answer to a call that a role does not allow; S3's code differs from the others'."""
    return refused(operation, "AccessDenied" if service == "s3" else "AccessDeniedException", message, 403)


def refused(operation: str, code: str, message: str, status: int) -> ClientError:
    """An error of the service's."""
    said = {"Code": code, "Message": f"Local runner: {message}"}
    return ClientError({"Error": said, "ResponseMetadata": {"HTTPStatusCode": status}}, operation)  # type: ignore[typeddict-item]


def install(guard: Guard, on_write: Callable[[str], None]) -> None:
    """Put the guard before every call of this process. `on_write` hears "before" and "after" each S3 write."""
    client: Any = BaseClient
    call = client._make_api_call  # noqa: SLF001  botocore has no public place that sees call and answer

    def guarded(self: BaseClient, operation: str, parameters: dict[str, Any]) -> Any:
        service = self.meta.service_model.service_name
        guard.check_parameters(self.meta.service_model.operation_model(operation), parameters)
        guard.check(service, operation, parameters)
        writes = service == "s3" and operation in COMPLETED_WRITES
        if writes:
            on_write("before")
        try:
            answer = call(self, operation, parameters)
        except ClientError as error:
            if service == "s3" and error.response["Error"]["Code"] in MISSING and "Key" in parameters:
                bucket = f"arn:{PARTITION}:s3:::{parameters['Bucket']}"
                if not guard.role.allows("s3:ListBucket", bucket, {"s3:prefix": parameters["Key"]}):
                    raise denied(
                        service,
                        operation,
                        f"{parameters['Key']} is missing, and without s3:ListBucket on "
                        f"{bucket} S3 answers 403 instead of 404",
                    ) from None
            raise
        if writes:
            on_write("after")
        return answer

    client._make_api_call = guarded  # noqa: SLF001
