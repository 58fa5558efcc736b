"""A Prefect flow that labels a file: in a deployment, or with the local runner where none is named.

SLUICE_DEPLOYMENT names the environment of a deployed stack (`prod`); without it the same workflow runs inside the
worker, with the stand-in's answers unless `answers=` says otherwise.
"""

import os

from prefect import flow, task

import sluice

INPUT = os.environ.get("SLUICE_INPUT", "tickets.jsonl")
TASK = os.environ.get("SLUICE_TASK", "tasks/tickets.yaml")
OUT = os.environ.get("SLUICE_OUT", "out/prefect")


@task(retries=2, retry_delay_seconds=60)
def label(path: str) -> dict[str, object]:
    """Begin the run and wait for it; a repeated call with the same input buys nothing twice in a deployment."""
    described = sluice.load_task(TASK)
    if deployment := os.environ.get("SLUICE_DEPLOYMENT"):
        deployed = sluice.Deployment(deployment).submit(path, described)
        deployed.wait()
        return {"run": deployed.run_id, "status": deployed.status, "rows": deployed.table().num_rows}
    local = sluice.run(path, described, out=OUT)
    return {"run": local.run_id, "status": local.status, "rows": local.table().num_rows}


@flow
def labels(path: str = INPUT) -> dict[str, object]:
    """Label one file."""
    return label(path)


if __name__ == "__main__":
    labels()
