"""A Dagster asset that holds the labels of a file: from a deployment, or by the local runner where none is named.

SLUICE_DEPLOYMENT names the environment of a deployed stack (`prod`); without it the same workflow runs inside the
process, with the stand-in's answers unless `answers=` says otherwise.
"""

import os

from dagster import AssetExecutionContext, Definitions, MaterializeResult, asset, materialize

import sluice

INPUT = os.environ.get("SLUICE_INPUT", "tickets.jsonl")
TASK = os.environ.get("SLUICE_TASK", "tasks/tickets.yaml")
OUT = os.environ.get("SLUICE_OUT", "out/dagster")


@asset
def labels(context: AssetExecutionContext) -> MaterializeResult:
    """Each row of the input with its label, or the reason why it has none."""
    described = sluice.load_task(TASK)
    if deployment := os.environ.get("SLUICE_DEPLOYMENT"):
        deployed = sluice.Deployment(deployment).submit(INPUT, described)
        deployed.wait()
        run_id, summary, rows = deployed.run_id, deployed.summary, deployed.table()
    else:
        local = sluice.run(INPUT, described, out=OUT)
        run_id, summary, rows = local.run_id, local.summary, local.table()
    context.log.info("run %s ended as %s", run_id, summary["status"])
    return MaterializeResult(metadata={"run": run_id, "rows": rows.num_rows, "cost_usd": summary["cost_usd"]})


defs = Definitions(assets=[labels])

if __name__ == "__main__":
    materialize([labels])
