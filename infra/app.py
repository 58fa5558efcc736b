"""Builds the CDK app; `synthesize` gives its template to whoever wants to read or run it."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import aws_cdk as cdk

from infra.options import ROOT, Options
from infra.stack import SluiceStack
from infra.tasks import Tasks
from sluice.errors import BadSetting
from sluice.runs.settings import stack_name

# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
MAX_TEMPLATE_BYTES = 1_000_000
MAX_RESOURCES = 500
MOVE = ". With tables_in = stack, move the tables to nested stacks first: docs/operating.md, Many tasks"
# CDK's own check would end in a traceback of Node.
UNCHECKED = {"@aws-cdk/core:stackResourceLimit": 0}


def build(*, outdir: str | None = None, with_tasks: bool = True, **context: Any) -> cdk.App:
    """The app with the context of its cdk.json, over which `context` is laid, and over both CDK's command line.

    The tasks are those of the working folder; `with_tasks` is false where no task is deployed.
    """
    declared = json.loads((ROOT / "cdk.json").read_text(encoding="utf-8"))["context"]
    app = cdk.App(context={**declared, **context, **UNCHECKED}, outdir=outdir, analytics_reporting=False)
    options = Options.of(app.node)
    tasks = Tasks.load(Path(options.tasks)) if with_tasks else Tasks()
    tasks.check_waiting(options.alarms.waiting_hours)
    tasks.check_kept(options.sluice)
    SluiceStack(app, stack_name(options.environment), options=options, tasks=tasks)
    return app


def check_templates(folder: Path) -> None:
    """See that CloudFormation takes each template of what was synthesized, before anything is uploaded.

    Raises:
        BadSetting: one is too large, or has too many resources.
    """
    for template in sorted(folder.glob("*.template.json")):
        nested = template.name.endswith(".nested.template.json")
        size = template.stat().st_size
        count = len(json.loads(template.read_bytes()).get("Resources", {}))
        if size > MAX_TEMPLATE_BYTES or count > MAX_RESOURCES:
            raise BadSetting(
                f"tasks: {'a nested' if nested else 'the'} template has {size:,} bytes and {count} resources, and "
                f"CloudFormation takes {MAX_TEMPLATE_BYTES:,} and {MAX_RESOURCES}; each task adds its table and view "
                "with every column, and its schedule, each bucket of source_buckets a rule. Keep fewer columns "
                "(input.keep, answer.fields), or deploy some of the tasks from a folder of their own into another "
                "environment (tasks, environment)" + ("" if nested else MOVE)
            )


def synthesize(*, bundle: bool = False, **context: Any) -> dict[str, Any]:
    """The CloudFormation template, without the functions' packages unless `bundle` asks for them."""
    with tempfile.TemporaryDirectory(prefix="sluice-synth-") as outdir:
        assembly = build(outdir=outdir, bundle=bundle, **context).synth()
        [stack] = assembly.stacks
        check_templates(Path(outdir))
        template: dict[str, Any] = stack.template
    return template
