"""The process that plays AWS: moto's S3, Step Functions and EventBridge over HTTP, and the functions behind them."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from sluice.decoding import decode
from sluice.local.callers import own_secret, refusal
from sluice.local.children import die_with_parent, say_ready
from sluice.local.functions import FunctionHost, Surroundings
from sluice.local.ledger import Ledger
from sluice.local.policies import Role
from sluice.local.template import Template

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

HELD_BYTES = 256 * 1024  # of an object, in memory; what is larger lies in a file
LEAST_FILES = 16_384  # that may be open, for objects to lie in files: some 5 million rows have so many
MOST_FILES = 1_048_576
INVOKE = "/_sluice/invoke/"
CONFIGURE = "/_sluice/configure"


class Front:
    """The WSGI application: two paths of our own, everything else is moto's, and all of it for this cloud alone."""

    def __init__(self, host: FunctionHost, moto: Callable[..., Iterable[bytes]], secret: str) -> None:
        self.host = host
        self.moto = moto
        self.secret = secret

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        refused = refusal(lambda name: environ.get(f"HTTP_{name.upper()}"), self.secret, int(environ["SERVER_PORT"]))
        if refused:
            status, answer = "403 Forbidden", error("AccessDenied", refused)
        elif not path.startswith("/_sluice/"):
            return self.moto(environ, start_response)
        else:
            status, answer = self._command(path, environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)))
        start_response(status, [("Content-Type", "application/json"), ("Content-Length", str(len(answer)))])
        return [answer]

    def _command(self, path: str, body: bytes) -> tuple[str, bytes]:
        if path != CONFIGURE:
            return self.invoke(path.removeprefix(INVOKE), body)
        self.host.configure(decode(body, Surroundings))
        return "200 OK", b"{}"

    def invoke(self, name: str, payload: bytes) -> tuple[str, bytes]:
        """Run a function: status 200 and its result, or 500 and the error's description."""
        function = self.host.find(name)
        if function is None:
            return "404 Not Found", error("ResourceNotFoundException", name)
        answer = self.host.invoke(function, payload)
        return ("500 Internal Server Error" if answer.failed else "200 OK"), answer.payload


def error(kind: str, message: str) -> bytes:
    """An error's description, in the form in which Lambda has one."""
    return msgspec.json.encode({"errorType": kind, "errorMessage": message})


def main() -> None:
    """Serve until standard input closes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--template", required=True)
    parser.add_argument("--region", required=True)
    parser.add_argument("--scale", type=float, required=True)
    arguments = parser.parse_args()
    template = Template(msgspec.json.decode(Path(arguments.template).read_bytes()), arguments.region)
    keys = {bucket.name: bucket.key_arn for bucket in template.buckets().values() if bucket.key_arn}
    host = FunctionHost(template.functions(), keys, arguments.region, os.pathsep.join(filter(None, sys.path)))
    die_with_parent()
    keep_in_files()
    serve(host, template, keys, arguments.scale)


def keep_in_files() -> None:
    """Have moto keep large objects in files, so that memory does not grow with the rows, where enough may be open."""
    try:
        import resource  # noqa: PLC0415 - Windows has none
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if most < LEAST_FILES:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))
    except (OSError, ValueError):  # macOS takes no more than its own limit, whatever it says
        return
    os.environ.setdefault("MOTO_S3_DEFAULT_KEY_BUFFER_SIZE", str(HELD_BYTES))


def serve(host: FunctionHost, template: Template, keys: dict[str, str], scale: float) -> None:
    """Load moto, change its engine, and answer requests."""
    from moto.core.config import default_user_config  # noqa: PLC0415  two seconds, while the zygote imports too
    from moto.moto_server.werkzeug_app import (  # noqa: PLC0415
        DomainDispatcherApplication,
        MotoRequestHandler,
        create_backend_app,
    )
    from werkzeug.serving import make_server  # noqa: PLC0415

    from sluice.local.engine import Rights, patch  # noqa: PLC0415
    from sluice.local.objects import Objects  # noqa: PLC0415

    default_user_config["stepfunctions"] = {"execute_state_machine": True}
    default_user_config["lambda"] = {"use_docker": False}
    workflow = template.workflow()
    role = Role(workflow.statements, Ledger(host.ledgers, "workflow"))
    patch(host, Rights(role, workflow.arn, keys), scale)
    application = Front(host, Objects(DomainDispatcherApplication(create_backend_app)), own_secret())

    class Quiet(MotoRequestHandler):
        def log(self, kind: str, message: str, *args: Any) -> None:
            """Say nothing of each request."""

    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=Quiet)
    os.environ["MOTO_PORT"] = str(server.port)
    say_ready(port=server.port)
    server.serve_forever()


if __name__ == "__main__":
    main()
