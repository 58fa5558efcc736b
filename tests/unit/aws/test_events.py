from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from sluice.aws.events import Event, EventBus
from sluice.errors import RetryLater


class Bus:
    """EventBridge's client, as far as the bus uses it."""

    def __init__(self, answer: dict[str, str]) -> None:
        self.answer = answer
        self.entries: list[dict[str, Any]] = []

    def put_events(self, *, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803
        self.entries += Entries
        return {"FailedEntryCount": int("ErrorCode" in self.answer), "Entries": [self.answer]}


def test_an_event_says_whose_it_is() -> None:
    """Rules match source, type and environment; the detail is JSON."""
    bus = Bus({"EventId": "1"})
    EventBus(bus, "dev").publish(Event.FINISHED, {"run_id": "r"})  # type: ignore[arg-type]
    [entry] = bus.entries
    assert (entry["Source"], entry["DetailType"]) == ("sluice", "Sluice Run Finished")
    assert json.loads(entry["Detail"]) == {"environment": "dev", "run_id": "r"}


def test_a_refused_event_is_an_error() -> None:
    """The call succeeds and the event does not: only the answer says so."""
    bus = Bus({"ErrorCode": "ThrottlingException", "ErrorMessage": "slow down"})
    with pytest.raises(RetryLater, match="ThrottlingException"):
        EventBus(bus, "dev").publish(Event.FINISHED, {})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "PutEvents"), "AccessDenied"),
        (EndpointConnectionError(endpoint_url="events.invalid"), "EndpointConnectionError"),
    ],
)
def test_a_call_that_fails_is_an_error_of_ours(error: Exception, said: str) -> None:
    """Denied or unreachable: who announces need not know botocore."""

    class Broken:
        def put_events(self, **_: Any) -> Any:
            raise error

    with pytest.raises(RetryLater, match=said):
        EventBus(Broken(), "dev").publish(Event.FINISHED, {})  # type: ignore[arg-type]
