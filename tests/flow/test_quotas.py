"""The account's quotas, read from Service Quotas at the start of a run, decide how it is cut."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.flow.trial import Trial

if TYPE_CHECKING:
    from tests.flow.local import Flow


def test_lower_and_higher_quotas_than_the_defaults_are_kept(flow: Flow) -> None:
    """Fewer records a job and more jobs at once than anybody has set: no job is refused for its size."""
    account = {"max_records_per_job": 55, "max_jobs_in_flight": 30}
    trial = Trial(flow, 200, unsure=60, faults={"account": account})
    run = trial.go().run
    assert (run["status"], run["rows"]["accepted"], run["warnings"]) == ("succeeded", 200, [])
    assert {name: run["quotas"][name]["value"] for name in account} == account
    assert run["quotas"]["max_records_per_job"]["source"].endswith("for Nova Micro V1 (L-57DC56A1)")
    assert all(len(trial.records(place)) <= 55 for place in {key.rpartition("/in/")[0] for key in trial.keys(".jsonl")})
    assert {job["status"] for job in run["jobs"]} == {"Completed"}


def test_quotas_that_cannot_be_read_are_warned_of(flow: Flow) -> None:
    """Without access the run goes on under the defaults, and run.json says so."""
    denied = {"operation": "ListServiceQuotas", "error": "AccessDeniedException", "message": "not you"}
    run = Trial(flow, 40, faults={"calls": [denied]}).go().run
    assert run["status"] == "succeeded"
    [warning] = run["warnings"]
    assert "the quotas could not be read, and the settings' defaults hold" in warning
    assert "not you" in warning
    assert run["quotas"]["max_records_per_job"] == {
        "value": 50_000,
        "source": "the default, since Service Quotas could not be read for us.amazon.nova-micro-v1:0",
    }
