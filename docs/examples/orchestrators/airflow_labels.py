"""An Airflow DAG that labels a file each night: in a deployment, or with the local runner where none is named.

Airflow 3 with the package of Sluice in its workers. SLUICE_DEPLOYMENT names the environment of a deployed stack
(`prod`); without it the same workflow runs inside the worker, with the stand-in's answers unless `answers=` says
otherwise.
"""

import os

import pendulum
from airflow.sdk import dag, task

import sluice

INPUT = os.environ.get("SLUICE_INPUT", "tickets.jsonl")
TASK = os.environ.get("SLUICE_TASK", "tasks/tickets.yaml")
OUT = os.environ.get("SLUICE_OUT", "out/airflow")


@dag(schedule="@daily", start_date=pendulum.datetime(2026, 11, 1, tz="UTC"), catchup=False)
def labels() -> None:
    """Label what has come, then look at what is left without a label."""

    @task
    def label() -> dict[str, str]:
        """Begin the run and wait for it. A run that is begun twice with the same input is the same run."""
        described = sluice.load_task(TASK)
        if deployment := os.environ.get("SLUICE_DEPLOYMENT"):
            deployed = sluice.Deployment(deployment).submit(INPUT, described)
            deployed.wait()
            return {"run": deployed.run_id, "status": deployed.status}
        local = sluice.run(INPUT, described, out=OUT)
        return {"run": local.run_id, "status": local.status}

    @task
    def unresolved(ended: dict[str, str]) -> int:
        """Count the rows that no model could settle; they have a reason each."""
        if deployment := os.environ.get("SLUICE_DEPLOYMENT"):
            return int(sluice.Deployment(deployment).run(ended["run"]).table(status="unresolved").num_rows)
        return int(sluice.open_run(OUT).table(status="unresolved").num_rows)

    unresolved(label())


labels()
