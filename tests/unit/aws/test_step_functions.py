"""Step Functions' lists, and which of its refusals are worth another try."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from sluice.aws.step_functions import Workflow
from sluice.errors import RetryLater, SluiceError, Stop
from tests.harness.s3 import client_error

NOON = dt.datetime(2026, 11, 20, 12, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)


class States:
    """Executions as AWS lists them: those under way by their beginning, the others by their end, the newest first."""

    def __init__(self, *pages: list[dict[str, Any]], error: str = "") -> None:
        self.pages = pages
        self.error = error
        self.asked: list[dict[str, Any]] = []

    def get_paginator(self, operation: str) -> States:
        assert operation == "list_executions"
        return self

    def paginate(self, **asked: Any) -> Any:
        self.asked.append(asked)
        if self.error:
            raise client_error(self.error, "ListExecutions")
        yield from ({"executions": page} for page in self.pages)

    def start_execution(self, **_: Any) -> Any:
        raise client_error(self.error, "StartExecution")


def execution(name: str, begun: dt.datetime, ended: dt.datetime | None = None) -> dict[str, Any]:
    return {"name": name, "startDate": begun, **({"stopDate": ended} if ended else {})}


def test_todays_executions_end_the_list_where_nothing_of_today_can_follow() -> None:
    """One that began yesterday and ended today stands among them and does not count; an old end ends the list."""
    pages = (
        [execution("now", NOON), execution("long", NOON - 30 * HOUR, NOON - HOUR)],
        [execution("early", NOON - 11 * HOUR, NOON - 10 * HOUR), execution("old", NOON - 40 * HOUR, NOON - 39 * HOUR)],
        [execution("never looked at", NOON)],
    )
    workflow = Workflow(States(*pages), "arn")  # type: ignore[arg-type]
    assert workflow.begun_since(NOON - 12 * HOUR) == ["now", "early"]


def test_executions_under_way_are_asked_for_alone() -> None:
    """All pages, by Step Functions' own filter."""
    states = States([execution("a", NOON)], [execution("b", NOON)])
    assert Workflow(states, "arn").going_on() == ["a", "b"]  # type: ignore[arg-type]
    assert states.asked == [{"stateMachineArn": "arn", "statusFilter": "RUNNING"}]


@pytest.mark.parametrize(
    ("code", "kind"),
    [("ExecutionLimitExceeded", RetryLater), ("ThrottlingException", RetryLater), ("InvalidName", Stop)],
)
def test_what_is_worth_another_try_says_so(code: str, kind: type[SluiceError]) -> None:
    """A full account and a throttle pass; a wrong name does not."""
    workflow = Workflow(States(error=code), "arn")  # type: ignore[arg-type]
    for call in (lambda: workflow.start("a", "a", 1), workflow.going_on):
        with pytest.raises(kind, match=code):
            call()
