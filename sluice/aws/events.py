"""What Sluice tells EventBridge, for whoever comes next; docs/internals/architecture.md has each event's details."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from sluice.errors import RetryLater

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_events.client import EventBridgeClient

SOURCE = "sluice"


class Event(StrEnum):
    """The events by their detail type."""

    FINISHED = "Sluice Run Finished"
    APPROVAL_NEEDED = "Sluice Approval Needed"
    AUDIT_ALARM = "Sluice Audit Alarm"
    REFUSED = "Sluice Object Refused"


class EventBus:
    """The account's default bus, which all environments share: each detail says from which one it is."""

    def __init__(self, client: EventBridgeClient, environment: str) -> None:
        self._client = client
        self._environment = environment

    def publish(self, kind: str, detail: Mapping[str, object]) -> None:
        """Send one event.

        Raises:
            RetryLater: the bus did not take it, which it says in its answer to a call that succeeds, or the call
                failed, for whatever reason: somebody may still mend the right to say so.

        """
        entry = {
            "Source": SOURCE,
            "DetailType": kind,
            "Detail": json.dumps({"environment": self._environment, **detail}),
        }
        try:
            sent = self._client.put_events(Entries=[entry])["Entries"][0]  # type: ignore[list-item]
        except ClientError as error:
            code = error.response["Error"]["Code"]
            raise RetryLater(f"EventBridge did not take the event {kind!r}: {code}") from error
        except BotoCoreError as error:
            raise RetryLater(f"EventBridge could not be told the event {kind!r}: {type(error).__name__}") from error
        if "ErrorCode" in sent:
            raise RetryLater(f"EventBridge did not take the event {kind!r}: {sent['ErrorCode']}")
