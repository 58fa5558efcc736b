"""Answers of the real Bedrock, one Converse call per record with the caller's credentials: a pilot on few rows.

Unproven: nothing in this repository has called it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import boto3
import msgspec
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from sluice.local.sources import NoAnswer, Reply

if TYPE_CHECKING:
    from sluice.local.standin.requests import Request

CONCURRENCY = 8
CALLERS = "SLUICE_CALLER_"  # the runner saves the caller's AWS variables under this prefix before it sets fake ones


class BedrockSource:
    """Asks the tier's own model."""

    name = "bedrock"
    concurrency = CONCURRENCY

    def __init__(self, region: str, client: Any = None) -> None:
        config = Config(retries={"mode": "adaptive", "max_attempts": 8}, max_pool_connections=CONCURRENCY)
        self.client: Any = client or callers_session().client("bedrock-runtime", region_name=region, config=config)

    def answer(self, request: Request, run: str | None = None) -> Reply:  # noqa: ARG002  the same in every run
        """Ask Bedrock.

        Raises:
            NoAnswer: it refuses, or is throttled too often.
        """
        try:
            got = self.client.converse(modelId=request.model, **msgspec.json.decode(request.raw))
        except ClientError as error:
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500)
            raise NoAnswer(str(error), code=status) from None
        except BotoCoreError as error:
            raise NoAnswer(str(error), code=500) from None
        text = "".join(block.get("text", "") for block in got["output"]["message"]["content"])
        return Reply(text, got["stopReason"], got["usage"]["inputTokens"], got["usage"]["outputTokens"])


def callers_session() -> boto3.Session:
    """A session with the credentials that the caller of the runner has."""
    saved = {name.removeprefix(CALLERS): value for name, value in os.environ.items() if name.startswith(CALLERS)}
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ.update(saved)
    return boto3.Session()
