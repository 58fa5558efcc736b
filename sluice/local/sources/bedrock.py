"""Answers of the real Bedrock, one Converse call per record with the caller's credentials: a pilot on few rows.

Unproven: nothing in this repository has called it.
"""

from __future__ import annotations

import os
import random
import time
from typing import TYPE_CHECKING, Any

import boto3
import msgspec
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from sluice.answers.objects import PART
from sluice.answers.replies import tokens_of
from sluice.aws.bedrock import THROTTLES, UNREACHED
from sluice.local.sources.source import Call, NoAnswer, Reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from sluice.local.requests import Request

CONCURRENCY = 8
THROTTLED, UNAVAILABLE, TIMED_OUT = 429, 503, 408  # what each end of a call without an answer is told as
TRIES = 8  # of a throttled record of a batch job, behind which no step waits
FIRST_WAIT_SECONDS = 1.0
# A call that is lost may have been billed: it is not repeated behind anybody's back.
ONCE = Config(
    retries={"mode": "standard", "total_max_attempts": 1},
    connect_timeout=10,
    read_timeout=120,
    max_pool_connections=CONCURRENCY,
)
CALLERS = "SLUICE_CALLER_"  # the runner saves the caller's AWS variables under this prefix before it sets fake ones


class BedrockSource:
    """Asks the tier's own model."""

    name = "bedrock"
    concurrency = CONCURRENCY

    def __init__(self, region: str, client: Any = None, sleep: Callable[[float], None] = time.sleep) -> None:
        self.client: Any = client or callers_session().client("bedrock-runtime", region_name=region, config=ONCE)
        self.region, self.sleep = region, sleep

    def answer(self, request: Request, run: str | None = None) -> Reply:
        """Ask Bedrock.

        Raises:
            NoAnswer: as `send` does.
        """
        return self.send(self.call(request), run)

    def call(self, request: Request) -> Call:
        """The call for a request, to the model in its Region."""
        return Call(request, f"bedrock {self.region} {request.model}".encode(), request.raw)

    def send(self, call: Call, run: str | None = None) -> Reply:
        """Ask Bedrock, once; in a batch job again after a pause when it throttles, which costs nothing.

        Raises:
            NoAnswer: it refuses, throttles, or gives no answer.
        """
        for attempt in range(TRIES if run else 1):
            if attempt:
                self.sleep(FIRST_WAIT_SECONDS * 2**attempt * random.uniform(0.25, 0.5))
            try:
                return self._once(call.request)
            except NoAnswer as error:
                last = error
                if error.code != THROTTLED:
                    break
        raise last

    def _once(self, request: Request) -> Reply:
        try:
            got = self.client.converse(modelId=request.model, **msgspec.json.decode(request.raw))
        except ClientError as error:
            raise NoAnswer(str(error), code=_status(error)) from None
        except BotoCoreError as error:
            code = UNAVAILABLE if isinstance(error, UNREACHED) else TIMED_OUT  # what was sent may have been answered
            raise NoAnswer(str(error), code=code) from None
        text = PART.join(filter(None, (block.get("text") for block in got["output"]["message"]["content"])))
        return Reply(text, got["stopReason"], *tokens_of(got.get("usage")))


def _status(error: ClientError) -> int:
    """A refusal's status; a throttle is one whatever status it came with."""
    if error.response.get("Error", {}).get("Code") in THROTTLES:
        return THROTTLED
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500))


def callers_session() -> boto3.Session:
    """A session with the credentials that the caller of the runner has."""
    saved = {name.removeprefix(CALLERS): value for name, value in os.environ.items() if name.startswith(CALLERS)}
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ.update(saved)
    return boto3.Session()
