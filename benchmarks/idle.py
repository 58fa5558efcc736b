"""What a deployment costs a month while nothing runs, from its template and the prices of aws_prices.yaml."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.scaling import prices

if TYPE_CHECKING:
    from collections.abc import Mapping

MINUTES = 30 * 24 * 60
# A sweep that finds nothing: measured on this project's own steps, a list of the inbox and two metrics. Assumed for a
# Lambda: 0.2 seconds of it, and 1.5 KB of log.
SWEEP_SECONDS = 0.2
SWEEP_LOG_BYTES = 1_500
SWEEP_METRICS = 2  # objects that wait, and for how long the oldest has been due


class Item(NamedTuple):
    """A line of the bill: what, how many, USD a month."""

    what: str
    number: int
    usd: float


def idle(resources: Mapping[str, Mapping[str, Any]]) -> list[Item]:
    """The lines of a month without a run; `resources` are those of a synthesized template."""
    price = prices()
    kinds = Counter(resource["Type"] for resource in resources.values())
    alarms = [item["Properties"] for item in resources.values() if item["Type"] == "AWS::CloudWatch::Alarm"]
    read = sum(max(1, sum("MetricStat" in each for each in alarm.get("Metrics", ()))) for alarm in alarms)
    start = next(item for name, item in resources.items() if name.startswith("FunctionsStart") and _function(item))
    memory = start["Properties"]["MemorySize"]
    sweep = SWEEP_SECONDS * memory / 1024 * price["lambda_gb_second"] + price["lambda_request"] + price["s3_put"]
    sweep += price["scheduler_invocation"] + SWEEP_LOG_BYTES / 1e9 * price["log_gb"]
    dashboards, keys = kinds["AWS::CloudWatch::Dashboard"], kinds["AWS::KMS::Key"]
    return [
        Item("alarms, for each metric that they read", read, read * price["alarm_metric"]),
        Item("dashboard, where the account has three already", dashboards, dashboards * price["dashboard"]),
        Item("metrics that are told each minute", SWEEP_METRICS, SWEEP_METRICS * price["custom_metric"]),
        Item("looks into the inbox, one a minute", MINUTES, MINUTES * sweep),
        Item("customer key, with `encryption` = `kms`", keys or 1, (keys or 1) * price["kms_key"]),
    ]


def _function(resource: Mapping[str, Any]) -> bool:
    return bool(resource["Type"] == "AWS::Lambda::Function")


def table(resources: Mapping[str, Mapping[str, Any]]) -> str:
    """The lines as a table, without the key in the sum, since a deployment has none by itself."""
    items = idle(resources)
    lines = ["| what | how many | USD a month |", "| --- | --: | --: |"]
    lines += [f"| {item.what} | {item.number:,} | {item.usd:,.2f} |" for item in items]
    without_key = sum(item.usd for item in items[:-1])
    return "\n".join([*lines, f"| **together, without a key** | | **{without_key:,.2f}** |"]) + "\n"
