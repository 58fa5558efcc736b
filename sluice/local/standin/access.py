"""Whether a job's service role may read its input, write its output and use its model, by the template's policies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sluice.local.guard import is_profile, model_arns
from sluice.local.policies import Role, through_s3
from sluice.local.template import PARTITION

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sluice.local.ledger import Ledger
    from sluice.local.template import Template


@dataclass(frozen=True)
class Access:
    """Checks service roles; without a template it lets everything pass."""

    template: Template | None
    region: str
    ledger: Ledger | None = None

    def refusal(self, request: dict[str, Any]) -> str | None:
        """Bedrock's message for a job that its role does not let run, or None."""
        if self.template is None:
            return None
        role = Role(self.template.statements(request["roleArn"]), self.ledger)
        if not role.statements:
            return f"The service role {request['roleArn']} has no permissions."
        for action, resource in self._needs(request):
            if not role.allows(action, resource, through_s3(self.region)):
                return f"The service role has no {action} on {resource}."
        return None

    def _needs(self, request: dict[str, Any]) -> Iterator[tuple[str, str]]:
        source = request["inputDataConfig"]["s3InputDataConfig"]["s3Uri"].removeprefix("s3://")
        target = request["outputDataConfig"]["s3OutputDataConfig"]["s3Uri"].removeprefix("s3://")
        yield "s3:ListBucket", f"arn:{PARTITION}:s3:::{source.partition('/')[0]}"
        # Both on both, as AWS's own example has it: what Bedrock really calls is told nowhere.
        for key in (f"{source.rstrip('/')}/part-0.jsonl", f"{target.rstrip('/')}/job/part-0.jsonl.out"):
            yield "s3:GetObject", f"arn:{PARTITION}:s3:::{key}"
            yield "s3:PutObject", f"arn:{PARTITION}:s3:::{key}"
        for bucket, actions in self._keys(source, target):
            for action in actions:
                yield action, bucket
        model = request["modelId"]
        for arn in model_arns(model, self.region) if is_profile(model) else ():
            yield "bedrock:InvokeModel", arn  # a foundation model needs no permission of the role's own

    def _keys(self, source: str, target: str) -> Iterator[tuple[str, tuple[str, ...]]]:
        assert self.template is not None
        keys = {bucket.name: bucket.key_arn for bucket in self.template.buckets().values() if bucket.key_arn}
        for uri, action in ((source, "kms:Decrypt"), (target, "kms:GenerateDataKey")):
            key = keys.get(uri.partition("/")[0])
            if key is not None:
                yield key, (action,)
