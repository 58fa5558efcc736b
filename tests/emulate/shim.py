"""ministack with what it lacks for this project's template; runs under the emulator's own interpreter.

Usage: shim.py <interpreter of the functions> <how much shorter waits and schedules are>

Nothing of the template or of the code is changed for the emulator. What is supplied here, and why:

- `AWS::Athena::NamedQuery`: CloudFormation knows no such resource there, though its Athena does;
- alarms on metric math: kept as alarms on their first metric, since nothing here looks at alarms;
- `Custom::S3AutoDeleteObjects`: CDK's function for it needs the AWS SDK that Lambda's Node carries; a bucket is emptied
  by the emulator itself;
- `events:source`, which PutEvents is not evaluated with, and `aws:SecureTransport`: true, though there is no TLS here;
- `MaxConcurrencyPath` of a map, which is read as no limit;
- `<aws.scheduler.scheduled-time>`, which Scheduler puts into a target's input;
- the functions run under an interpreter that has their locked packages, for this processor, instead of the emulator's
  own; and schedules tick faster, as the emulator's own setting has it for waits.
"""

from __future__ import annotations

import copy
import json
import os
import sys
from datetime import UTC, datetime
from typing import Any

from ministack import app
from ministack.core import iam_evaluator, lambda_runtime
from ministack.services import athena, eventbridge, s3, scheduler, stepfunctions
from ministack.services.cloudformation import provisioners

SCHEDULED = "<aws.scheduler.scheduled-time>"
AUTO_DELETE = "Custom::S3AutoDeleteObjects"
TICK = 1 / 4  # a minute lasts so long: a function that is cold has to be through with one tick before the next


def know_named_queries() -> None:
    def create(_: str, properties: dict[str, Any], __: str) -> tuple[str, dict[str, Any]]:
        _status, _headers, body = athena._create_named_query(properties)
        query = json.loads(body)["NamedQueryId"]
        return query, {"NamedQueryId": query}

    def delete(query: str, _: dict[str, Any]) -> None:
        athena._delete_named_query({"NamedQueryId": query})

    provisioners._RESOURCE_HANDLERS["AWS::Athena::NamedQuery"] = {"create": create, "delete": delete}


def know_metric_math() -> None:
    record = provisioners._cw_metric_alarm_record

    def plain(name: str, properties: dict[str, Any]) -> Any:
        if "Metrics" in properties:
            first = next(one["MetricStat"] for one in properties["Metrics"] if "MetricStat" in one)
            rest = {key: value for key, value in properties.items() if key != "Metrics"}
            properties = {**rest, **first["Metric"], "Period": first["Period"], "Statistic": "Sum"}
        return record(name, properties)

    provisioners._cw_metric_alarm_record = plain


def empty_buckets() -> None:
    def create(logical_id: str, _: dict[str, Any], __: str) -> tuple[str, dict[str, Any]]:
        return logical_id, {}

    def delete(_: str, properties: dict[str, Any]) -> None:
        bucket = s3._buckets.get(properties["BucketName"])
        for kept in ("objects", "versions", "delete_markers"):
            if bucket and isinstance(bucket.get(kept), dict):
                bucket[kept].clear()

    provisioners._RESOURCE_HANDLERS[AUTO_DELETE] = {"create": create, "delete": delete}


def know_context() -> None:
    evaluate = iam_evaluator.evaluate

    def with_context(ctx: Any, *policies: Any) -> Any:
        ctx.secure_transport = True
        request = iam_evaluator._signed_request.get()
        if ctx.action == "events:PutEvents" and request is not None:
            entries = json.loads(request.body)["Entries"]
            ctx.service_context["events:source"] = sorted({entry["Source"] for entry in entries})
        return evaluate(ctx, *policies)

    iam_evaluator.evaluate = with_context


def limit_maps() -> None:
    run = stepfunctions._run_distributed_map

    def limited(state: dict[str, Any], raw: Any, effective: Any, *rest: Any) -> Any:
        if path := state.get("MaxConcurrencyPath"):
            state = {**state, "MaxConcurrency": stepfunctions._resolve_path_or_ctx(path, effective, rest[-1])}
        return run(state, raw, effective, *rest)

    stepfunctions._run_distributed_map = limited


def tick(scale: float) -> None:
    invoke, parse = eventbridge._invoke_target, eventbridge._parse_rate_seconds

    def timed(target: dict[str, Any], event: dict[str, Any], rule: Any, *rest: Any) -> Any:
        if SCHEDULED in target.get("Input", ""):
            now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            target = {**copy.deepcopy(target), "Input": target["Input"].replace(SCHEDULED, now)}
        return invoke(target, event, rule, *rest)

    def sooner(expression: str) -> float | None:
        seconds: float | None = parse(expression)
        return seconds and seconds * scale

    eventbridge._invoke_target = timed
    eventbridge._parse_rate_seconds = sooner
    scheduler._SCHEDULE_TICK_INTERVAL = 1


def run_functions_with(interpreter: str) -> None:
    detect = lambda_runtime._detect_runtime_binary

    def found(runtime: str) -> tuple[str, str]:
        binary, script = detect(runtime)
        return (interpreter if runtime.startswith("python") else binary), script

    lambda_runtime._detect_runtime_binary = found


def main() -> None:
    interpreter, scale = sys.argv[1:]
    del sys.argv[1:]
    os.environ["SFN_WAIT_SCALE"] = scale
    stepfunctions._SFN_WAIT_SCALE = float(scale)
    know_named_queries()
    know_metric_math()
    empty_buckets()
    know_context()
    limit_maps()
    tick(TICK)
    run_functions_with(interpreter)
    app.main()


if __name__ == "__main__":
    main()
