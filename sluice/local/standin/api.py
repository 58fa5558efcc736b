"""The stand-in's HTTP side: operations of `bedrock`, `bedrock-runtime` and `service-quotas`, with their errors."""

from __future__ import annotations

import re
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from sluice.local.callers import refusal
from sluice.local.requests import BadRequest, RequestReader
from sluice.local.rules import Refused, check_request
from sluice.local.sources.source import NoAnswer
from sluice.local.standin.jobs import Counts
from sluice.local.standin.journal import Journal
from sluice.local.standin.prompt_cache import PromptCache
from sluice.local.standin.quotas import QuotaList
from sluice.local.standin.records import model_output

if TYPE_CHECKING:
    from collections.abc import Callable

    from sluice.local.faults import Faults
    from sluice.local.standin.jobs import JobTable
    from sluice.local.standin.work import Factory

ROUTES = (
    ("POST", re.compile(r"/model-invocation-job"), "CreateModelInvocationJob"),
    ("GET", re.compile(r"/model-invocation-job/([^/]+)"), "GetModelInvocationJob"),
    ("GET", re.compile(r"/model-invocation-jobs"), "ListModelInvocationJobs"),
    ("POST", re.compile(r"/model-invocation-job/([^/]+)/stop"), "StopModelInvocationJob"),
    ("POST", re.compile(r"/model/([^/]+)/converse"), "Converse"),
)
CALLS = "/sluice/calls"  # no operation of AWS: how the calls stand, for the runner
STATUS = {
    "AccessDeniedException": 403,
    "ConflictException": 400,
    "InternalServerException": 500,
    "ModelErrorException": 424,
    "ModelTimeoutException": 408,
    "ResourceNotFoundException": 404,
    "ServiceQuotaExceededException": 400,
    "ServiceUnavailableException": 503,
    "ThrottlingException": 429,
    "TooManyRequestsException": 429,
    "ValidationException": 400,
}
NO_ANSWER = {
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    408: "ModelTimeoutException",  # may have been answered and billed, as the next: a step does not repeat them
    424: "ModelErrorException",
    429: "ThrottlingException",
}


class Api:
    """The operations."""

    def __init__(
        self,
        jobs: JobTable,
        factory: Factory,
        faults: Faults,
        journal: Journal | None = None,
        quotas: QuotaList | None = None,
    ) -> None:
        self.jobs = jobs
        self.quotas = quotas or QuotaList(factory.settings, jobs.quota)
        self.factory = factory
        self.faults = faults
        self.journal = journal or Journal()
        self.cache = PromptCache()
        self.operations: dict[str, Callable[[list[str], dict[str, Any], bytes], Any]] = {
            "CreateModelInvocationJob": self.create,
            "GetModelInvocationJob": lambda names, _query, _body: self.jobs.get(names[0]).describe(),
            "ListModelInvocationJobs": lambda _names, query, _body: self.jobs.page(query),
            "StopModelInvocationJob": self.stop,
            "Converse": self.converse,
            "ListServiceQuotas": lambda _names, _query, body: self.quotas.page(msgspec.json.decode(body)),
        }

    def handle(self, method: str, target: str, body: bytes, action: str = "") -> tuple[int, str | None, bytes]:
        """Status, error code and JSON body of one call; `action` is that of a protocol without paths."""
        try:
            return 200, None, self._handle(method, target, body, action)
        except Refused as error:
            status = STATUS.get(error.code, error.status)
            return status, error.code, msgspec.json.encode({"__type": error.code, "message": str(error)})

    def _handle(self, method: str, target: str, body: bytes, action: str) -> bytes:
        parts = urlsplit(target)
        if action in self.operations:
            return self._call(action, [], parts.query, body)
        for verb, pattern, operation in ROUTES:
            match = pattern.fullmatch(parts.path)
            if match and verb == method:
                return self._call(operation, [unquote(name) for name in match.groups()], parts.query, body)
        raise Refused("UnknownOperationException", f"The stand-in does not know {method} {parts.path}", 404)

    def _call(self, operation: str, names: list[str], query: str, body: bytes) -> bytes:
        try:
            answer = self._answer(operation, names, query, body)
        except Refused as error:
            self.journal.note(operation, names, body, error.code)
            raise
        self.journal.note(operation, names, body, None)
        return answer

    def _answer(self, operation: str, names: list[str], query: str, body: bytes) -> bytes:
        fault = self.faults.of_call(operation)
        if fault is not None and not fault.after:
            raise Refused(fault.error, fault.message)
        parameters: dict[str, Any] = dict(parse_qsl(query))
        if "maxResults" in parameters:
            parameters["maxResults"] = int(parameters["maxResults"])
        answer = self.operations[operation](names, parameters, body)
        if fault is not None:
            raise Refused(fault.error, fault.message)
        return answer if isinstance(answer, bytes) else msgspec.json.encode(answer)

    def create(self, _names: list[str], _query: dict[str, Any], body: bytes) -> dict[str, str]:
        """Take a job on, once per client token."""
        try:
            request = msgspec.json.decode(body)
        except msgspec.DecodeError as error:
            raise Refused("ValidationException", f"The request is not JSON: {error}") from None
        job, new = self.jobs.create(request)
        if new:
            self.factory.start(job)
        return {"jobArn": job.arn}

    def stop(self, names: list[str], _query: dict[str, Any], _body: bytes) -> dict[str, str]:
        """Ask a job to stop; a server that is away is waited for no longer."""
        self.jobs.stop(names[0])
        self.factory.sources.end()
        return {}

    def converse(self, names: list[str], _query: dict[str, Any], body: bytes) -> bytes:
        """Answer one request on demand."""
        model = names[0]
        try:
            document = msgspec.json.decode(body)
            metadata = document.pop("requestMetadata", None) or {}
        except (msgspec.DecodeError, AttributeError) as error:
            raise Refused("ValidationException", f"The request is not a JSON object: {error}") from None
        check_request("bedrock-runtime", "Converse", {"modelId": model, **document})
        started = time.monotonic()
        try:
            request = RequestReader(model).read(str(metadata.get("record", "")), msgspec.json.encode(document))
            reply = self.factory.sources.of(model).answer(request, None)
        except BadRequest as error:
            raise Refused("ValidationException", str(error)) from None
        except NoAnswer as error:
            code = NO_ANSWER.get(error.code, "InternalServerException" if error.code >= 500 else "ValidationException")
            raise Refused(code, str(error)) from None
        milliseconds = int((time.monotonic() - started) * 1000)
        output = model_output(request, reply.cut(request), Counts(), self.cache.count(request))
        return output.replace(b'"latencyMs":0', b'"latencyMs":%d' % milliseconds, 1)


class Server(ThreadingHTTPServer):
    """Serves the operations on a free port of this machine, to callers that show the secret."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, api: Api, secret: str) -> None:
        self.api = api
        self.secret = secret
        super().__init__(("127.0.0.1", 0), Handler)


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: Server

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        if refused := refusal(self.headers.get, self.server.secret, self.server.server_port):
            self.close_connection = True  # its body is left unread
            self._send(403, "AccessDeniedException", msgspec.json.encode({"message": refused}))
            return
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path == CALLS:
            self._send(200, None, msgspec.json.encode(self.server.api.factory.sources.calls()))
            return
        action = self.headers.get("X-Amz-Target", "").rpartition(".")[2]
        self._send(*self.server.api.handle(self.command, self.path, body, action))

    def _send(self, status: int, code: str | None, answer: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        if code is not None:
            self.send_header("x-amzn-ErrorType", code)
        self.end_headers()
        self.wfile.write(answer)
        self.wfile.flush()

    def log_message(self, *_: Any) -> None:
        """Say nothing of each request."""
