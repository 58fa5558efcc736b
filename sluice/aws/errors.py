"""What AWS says, in the words of `sluice.errors`, with what to do about it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    NoRegionError,
    ProfileNotFound,
)
from botocore.exceptions import ConnectionError as NoConnection

from sluice.errors import BadRequest, RetryLater, SluiceError, Stop

if TYPE_CHECKING:
    from collections.abc import Iterator

EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired"})
UNKNOWN_KEY = frozenset({"InvalidClientTokenId", "UnrecognizedClientException", "InvalidAccessKeyId", "AuthFailure"})
SIGN_IN = "sign in (aws sso login, aws configure), or name a profile with --profile"


@contextmanager
def translating() -> Iterator[None]:
    """Let nothing of boto3 out of the block: what it raises becomes an error of `sluice.errors`."""
    try:
        yield
    except (SluiceError, BotoCoreError, ClientError) as error:
        told = translated(error)
        if told is error:
            raise
        raise told from error


def translated(error: SluiceError | BotoCoreError | ClientError) -> SluiceError:
    """Say what went wrong, and what to do about it, for somebody who did not write this."""
    match error:
        case NoRegionError():
            return BadRequest(
                "no Region is known to call AWS in: give --region, set AWS_REGION, or name one in a profile"
            )
        case ProfileNotFound():
            do = "give --profile and --region, or set AWS_PROFILE and AWS_REGION"
            return BadRequest(f"{str(error).rstrip('.')}; {do}")
        case SluiceError(__cause__=ClientError() as cause) if _code(cause) in EXPIRED | UNKNOWN_KEY:
            return _refused(cause)
        case SluiceError():
            return error
        case ClientError():
            return _refused(error)
        case _:
            return _unreached(error)


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _refused(error: ClientError) -> Stop:
    code = _code(error)
    if code in EXPIRED:
        return Stop(f"your AWS credentials have expired: {SIGN_IN}")
    if code in UNKNOWN_KEY:
        return Stop(f"AWS does not know your credentials ({code}): {SIGN_IN}")
    return Stop(f"AWS refuses: {error}")


def _unreached(error: BotoCoreError) -> RetryLater | Stop:
    name = type(error).__name__
    if "Credential" in name or "Token" in name or "SSO" in name:
        return Stop(f"no AWS credentials: {str(error).rstrip('.').lower()}; {SIGN_IN}")
    kind = RetryLater if isinstance(error, NoConnection | HTTPClientError) else Stop
    return kind(f"AWS cannot be reached: {error}")
