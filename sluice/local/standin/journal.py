"""The stand-in's own record of what it was asked: the only witness that is none of the pipeline's."""

from __future__ import annotations

import datetime as dt
import threading
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from pathlib import Path


class Journal:
    """Keeps a line for each call in a file; without a path it keeps nothing.

    `job` is the name that Create was given, or the id or ARN that another operation was about; `request` tells the
    bodies of Converse apart without holding a row's text; `error` is null where an answer was sent.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.lock = threading.Lock()
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)

    def note(self, operation: str, names: list[str], body: bytes, error: str | None) -> None:
        """Keep one call."""
        if self.path is None:
            return
        line: dict[str, Any] = {"at": dt.datetime.now(dt.UTC).isoformat(), "operation": operation}
        if operation == "Converse":
            line |= {"model": names[0], "request": blake2b(body, digest_size=8).hexdigest()}
        elif operation == "CreateModelInvocationJob":
            line |= asked_of(body)
        elif names:
            line["job"] = names[0]
        with self.lock, self.path.open("ab") as file:
            file.write(msgspec.json.encode({**line, "error": error}) + b"\n")


def asked_of(body: bytes) -> dict[str, Any]:
    """Name, model and token of the job that Create asks for."""
    try:
        request = msgspec.json.decode(body)
        return {"job": request["jobName"], "model": request["modelId"], "token": request.get("clientRequestToken")}
    except (msgspec.DecodeError, LookupError, TypeError):
        return {"job": None}
