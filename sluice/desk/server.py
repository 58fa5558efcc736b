"""Serves the desk to one browser on this machine, and keeps each decision before it answers.

It listens at 127.0.0.1 alone, and answers to who knows the token, by the host's own name, and from no other page.
"""

from __future__ import annotations

import datetime as dt
import hmac
import json
import secrets
import sys
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from sluice.desk.page import policy, render
from sluice.desk.queues import told
from sluice.errors import SluiceError
from sluice.quality.sheet import FIELD, SheetReader, Wrong
from sluice.results.corrections import Correction
from sluice.results.settled import question_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sluice.results.published import Published
    from sluice.task.task import Task

HOST = "127.0.0.1"
MOST = 1_000_000  # bytes of a request
IDLE_SECONDS = 30  # of a connection that says nothing


class Decisions:
    """Takes what the page's reviewer says: checked, and in the log when it is answered."""

    def __init__(
        self, published: Published, task: Task, document: Mapping[str, Any], by: str, versions: Mapping[Any, str | None]
    ) -> None:
        self.corrections = published.corrections
        self.rows = document["rows"]
        self.reader = SheetReader(task)
        self.question = question_of(task)
        self.by = by
        self.versions = versions
        self.taken = 0
        self._told = {number: row["seen"] for number, row in enumerate(self.rows)}
        self._one_by_one = threading.Lock()

    def take(self, said: Mapping[str, Any]) -> dict[str, Any]:
        """Keep a decision, or take one back; what stands of the row then.

        Raises:
            Wrong: no row could have that answer, or it is none.
            SluiceError, OSError: it could not be kept.

        """
        number, seen = said.get("row"), said.get("seen")
        if not isinstance(number, int) or not 0 <= number < len(self.rows):
            raise Wrong("is about a row that is not on this desk")
        row = self.rows[number]
        made = Correction(
            source=row["source"],
            version=self.versions.get((row["run_id"], row["source"])),
            line=row["line"],
            id=row["id"],
            record=row["record"],
            given=row["labels"],
            by=self.by,
            at=dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds"),
            run=row["run_id"],
            seen=_mark(seen),
            **self._what(said, row),
        )
        with self._one_by_one:
            mark = self.corrections.add([made])[0].mark
            self.taken += 1 if made.withdraws is None else -1
            return {"mark": mark, **self._log_of(row), "others": self._news(number)}

    def _log_of(self, row: Mapping[str, Any]) -> dict[str, Any]:
        log = self.corrections.of_row((row["source"], row["line"], row["record"]))
        return {"seen": log.last, "said": [told(each) for each in log.heads]}

    def _news(self, but: int) -> dict[int, dict[str, Any]]:
        """What was said of the page's other rows since it was told last."""
        found = {}
        for number, row in enumerate(self.rows):
            last = self.corrections.of_row((row["source"], row["line"], row["record"])).last
            if last != self._told.get(number):
                self._told[number] = last
                if number != but:
                    found[number] = self._log_of(row)
        return found

    def _what(self, said: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, Any]:
        if said.get("withdraws") is not None:
            if (mark := _mark(said["withdraws"])) is None:
                raise Wrong("takes back what is no correction")
            return {"withdraws": mark}
        labels = said.get("labels")
        given = said.get("fields")
        fields = given if isinstance(given, dict) else {}
        found = self.reader.fields({FIELD.format(name): value for name, value in fields.items()})
        if not self.reader.task.labels and not found:
            raise Wrong("has neither a label nor a field")
        return {
            "labels": self.reader.labels(labels) if self.reader.task.labels else None,
            "fields": found,
            "note": str(said.get("note") or "")[:2_000],
            "drawn": bool(row["drawn"]),
            "shown": row["given"],
            "question": self.question,
        }


def _mark(value: object) -> tuple[int, int] | None:
    match value:
        case [int(number), int(line)]:
            return number, line
    return None


class DeskServer(ThreadingHTTPServer):
    """The desk at an address of this machine, until it is shut down."""

    daemon_threads = True

    def __init__(self, document: Mapping[str, Any], decisions: Decisions) -> None:
        self.token = secrets.token_urlsafe(24)
        self.decisions = decisions
        self.page = render(document, token=self.token).encode()
        super().__init__((HOST, 0), Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a tab that went away before it was answered: what it said has been kept, or never came."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)

    @property
    def origin(self) -> str:
        """The page's origin."""
        return f"http://{HOST}:{self.server_address[1]}"

    @property
    def address(self) -> str:
        """Where the page is, for whoever may open it."""
        return f"{self.origin}/{self.token}/"


class Handler(BaseHTTPRequestHandler):
    """Answers two requests: for the page, and to keep a decision."""

    server: DeskServer
    timeout = IDLE_SECONDS
    protocol_version = "HTTP/1.1"

    def version_string(self) -> str:
        """Tell nobody what this is made of."""
        return "sluice"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the base class names it
        """Say nothing of each request."""

    def do_GET(self) -> None:
        """Hand out the page."""
        if self._refused():
            return
        if self._path() != "":
            self._answer(HTTPStatus.NOT_FOUND, b"there is no such page")
            return
        self._answer(HTTPStatus.OK, self.server.page, "text/html; charset=utf-8")

    def do_POST(self) -> None:
        """Keep a decision."""
        if self._refused():
            return
        length = self.headers.get("Content-Length") or ""
        if self._path() != "decisions" or self.headers.get_content_type() != "application/json":
            self._answer(HTTPStatus.NOT_FOUND, b"there is no such page")
        elif not length.isdecimal() or int(length) > MOST:
            self._answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, b"that is too much")
        else:
            self._answer(*self._kept(self.rfile.read(int(length))), "application/json")

    def _kept(self, body: bytes) -> tuple[HTTPStatus, bytes]:
        try:
            said = json.loads(body)
            if not isinstance(said, dict):
                raise Wrong("is no decision")  # noqa: TRY301 - told like all else that is wrong
            return HTTPStatus.OK, json.dumps(self.server.decisions.take(said)).encode()
        except (ValueError, RecursionError):
            return HTTPStatus.BAD_REQUEST, b'{"wrong": "it is no JSON"}'
        except Wrong as wrong:
            return HTTPStatus.BAD_REQUEST, json.dumps({"wrong": f"it {wrong}"}).encode()
        except (SluiceError, OSError) as error:
            return HTTPStatus.SERVICE_UNAVAILABLE, json.dumps({"wrong": f"it could not be kept: {error}"}).encode()

    def _path(self) -> str:
        return self.path.removeprefix(f"/{self.server.token}/")

    def _refused(self) -> bool:
        """Refuse who does not know the token, calls the host by another name, or comes from another page."""
        known = self.path.split("/")[1] if self.path.count("/") >= 2 else ""
        right = hmac.compare_digest(known.encode("utf-8", "replace"), self.server.token.encode())
        host = self.headers.get("Host") == self.server.origin.removeprefix("http://")
        origin = self.headers.get("Origin") in (None, self.server.origin)
        site = self.headers.get("Sec-Fetch-Site") in (None, "same-origin", "none")
        if right and host and origin and site:
            return False
        self.close_connection = True  # what else was sent is not read
        self._answer(HTTPStatus.FORBIDDEN, b"open the address that `sluice review` has printed")
        return True

    def _answer(self, status: HTTPStatus, body: bytes, kind: str = "text/plain; charset=utf-8") -> None:
        self.send_response(status)
        for name, value in (
            ("Content-Type", kind),
            ("Content-Length", str(len(body))),
            ("Content-Security-Policy", f"{policy(served=True)}; frame-ancestors 'none'"),
            ("Cache-Control", "no-store"),
            ("Referrer-Policy", "no-referrer"),
            ("X-Content-Type-Options", "nosniff"),
            ("Cross-Origin-Resource-Policy", "same-origin"),
            ("Cross-Origin-Opener-Policy", "same-origin"),
        ):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
