"""The deployment in one view."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import Stack

from infra.access import BedrockAccess
from infra.bundle import function_code
from infra.functions import Functions
from infra.storage import Storage
from infra.workflow import Workflow

if TYPE_CHECKING:
    from constructs import Construct

    from infra.options import Options


class SluiceStack(Stack):
    """Composes the capabilities, wires them and grants each step what it does."""

    def __init__(self, scope: Construct, id_: str, *, options: Options) -> None:
        super().__init__(scope, id_, description="Sluice: batch classification with Bedrock")
        storage = Storage(self, "Storage", encryption=options.encryption, keep_runs_days=options.keep_runs_days)
        bedrock = BedrockAccess(self, "Bedrock", storage=storage, models=options.models)
        functions = Functions(
            self,
            "Functions",
            code=function_code(packages=options.bundle),
            environment={
                "SLUICE_WORK_BUCKET": storage.work.bucket_name,
                "SLUICE_RESULTS_BUCKET": storage.results.bucket_name,
            },
        )
        workflow = Workflow(
            self,
            "Workflow",
            functions=functions,
            work=storage.work,
            max_workers=options.sluice.max_workers,
        )
        storage.grant_runs(*functions)
        storage.grant_incoming(functions["start"], functions["partition"])
        storage.grant_results(functions["publish"])
        storage.grant_key(workflow.machine)
        bedrock.grant_submit(functions["submit"])
        bedrock.grant_poll(functions["poll"])
        bedrock.grant_invoke(functions["infer"])
        bedrock.grant_stop(functions["sweep"])
