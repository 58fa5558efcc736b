"""The deployment in one view."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import CfnOutput, Stack

from infra.access import BedrockAccess
from infra.catalog import Catalog
from infra.functions import Functions
from infra.monitoring import Monitoring
from infra.network import Network
from infra.storage import Storage
from infra.triggers import Triggers
from infra.workflow import Workflow
from sluice.runs.settings import database_name
from sluice.steps.waiting import Looks

if TYPE_CHECKING:
    from constructs import Construct

    from infra.options import Options
    from infra.tasks import Tasks


# The steps that write objects of any size into a run's own folder.
REQUEST_READERS = ("partition", "plan", "prepare", "infer", "answer", "check", "score", "merge", "publish")
BY_PARTS = ("partition", "plan", "prepare", "check")


class SluiceStack(Stack):
    """Composes the capabilities, wires them and grants each step what it does."""

    def __init__(self, scope: Construct, id_: str, *, options: Options, tasks: Tasks) -> None:
        super().__init__(
            scope,
            id_,
            description="Sluice: batch classification with Bedrock",
            suppress_template_indentation=True,  # a quarter of its size, which CloudFormation limits
        )
        storage = Storage(self, "Storage", options=options, reuse_days=tasks.reuse_days())
        functions = Functions(self, "Functions", tasks=tasks.folder, options=options)
        workflow = Workflow(
            self,
            "Workflow",
            functions=functions,
            work=storage.work,
            keep_logs_days=options.keep_logs_days,
            looks=Looks.of(options.sluice),
        )
        if options.vpc:
            Network(self, "Network", vpc=options.vpc).join(functions)
        models = tasks.model_ids(options.models)
        bedrock = BedrockAccess(self, "Bedrock", storage=storage, models=models, geographies=options.geographies)
        triggers = Triggers(self, "Triggers", start=functions["start"], sweep=functions["sweep"])
        triggers.on_objects(storage.incoming)
        triggers.on_sources(options.source_buckets)
        triggers.on_clock(tasks.schedules(options.intake))
        triggers.on_failed(workflow.machine)
        catalog = Catalog(
            self,
            "Catalog",
            database=database_name(options.environment),
            storage=storage,
            schemas=tasks.schemas(),
            fields=tasks.fields(),
            scan_limit_gb=options.scan_limit_gb,
            tables_in=options.tables_in,
        )
        monitoring = Monitoring(self, "Monitoring", options=options)
        monitoring.watch(machine=workflow.machine, functions=functions, lost=triggers.lost)
        functions.configure(storage=storage, machine=workflow.machine, role=bedrock.role)
        _grant(storage=storage, functions=functions, workflow=workflow, bedrock=bedrock)
        storage.grant_sources(options.source_buckets, functions["start"], functions["partition"])
        self._name(
            IncomingBucket=storage.incoming.bucket_name,
            WorkBucket=storage.work.bucket_name,
            ResultsBucket=storage.results.bucket_name,
            StateMachineArn=workflow.machine.state_machine_arn,
            StartFunction=functions["start"].function_name,
            SweepFunction=functions["sweep"].function_name,
            Workgroup=catalog.workgroup.name,
        )

    def _name(self, **outputs: str) -> None:
        """Say in the stack's outputs what the command line looks for."""
        for name, value in outputs.items():
            CfnOutput(self, name, value=value)


def _grant(*, storage: Storage, functions: Functions, workflow: Workflow, bedrock: BedrockAccess) -> None:
    """Every permission of every step; the constructs add what their own wiring needs."""
    storage.grant_runs(*functions.all())
    storage.grant_uploads(*(functions[step] for step in BY_PARTS))
    storage.grant_requests(
        readers=(functions[step] for step in REQUEST_READERS),
        writers=(functions[step] for step in ("partition", "prepare", "infer", "answer", "merge")),
    )
    storage.grant_replies(finds=functions["prepare"], keeps=functions["check"], merges=functions["publish"])
    storage.grant_samples(functions["plan"])
    storage.grant_audits(functions["publish"])
    storage.grant_lessons(learns=functions["learn"], keeps=functions["publish"])
    storage.grant_choice(functions["start"])
    storage.grant_versions(functions["partition"])
    storage.grant_inbox(functions["start"])
    storage.grant_corrections(functions["start"])
    storage.grant_notices(functions["plan"])
    storage.grant_results(functions["publish"])
    storage.grant_key(workflow.role, to_read=True)
    workflow.grant_start(functions["start"], functions["sweep"])
    workflow.grant_look(functions["start"])
    workflow.grant_list(functions["start"])
    workflow.grant_stop(functions["sweep"])
    workflow.grant_announce(functions["start"], functions["plan"], functions["publish"])
    bedrock.grant_quotas(functions["start"])
    bedrock.grant_submit(functions["submit"])
    bedrock.grant_poll(functions["poll"], functions["check"])
    bedrock.grant_invoke(functions["infer"])
    bedrock.grant_stop(functions["sweep"])
