"""A local cloud that is reached as a deployment is: the synthesized workflow behind the services' own interfaces."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import boto3

from sluice.api.deployment import Deployment
from sluice.local.server import INVOKE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sluice.local.cloud import LocalCloud


def lambda_server(cloud: LocalCloud) -> ThreadingHTTPServer:
    """Serve Lambda's Invoke, synchronous and not, with the functions of a local cloud."""

    class Invoke(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            step = self.path.split("/")[3]
            event = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("X-Amz-Invocation-Type") == "Event":
                threading.Thread(target=cloud._post, args=(INVOKE + step, event), daemon=True).start()
                self.answer(202, b"", ok=True)
            else:
                ok, said = cloud._post(INVOKE + step, event)
                self.answer(200, said, ok=ok)

        def answer(self, status: int, body: bytes, *, ok: bool) -> None:
            self.send_response(status)
            if not ok:
                self.send_header("X-Amz-Function-Error", "Unhandled")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Invoke)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


class Session(boto3.Session):
    """Leads every service to the local cloud, and Lambda to its functions."""

    def __init__(self, cloud: LocalCloud, functions: str) -> None:
        super().__init__(cloud.secret, cloud.secret, region_name=cloud.region)
        self.cloud = cloud
        self.functions = functions

    def client(self, service_name: str, *args: Any, **more: Any) -> Any:
        if service_name == "lambda":
            return super().client(service_name, *args, endpoint_url=self.functions, **more)  # type: ignore[call-overload]
        return self.cloud._client(service_name)


@contextmanager
def as_deployment(cloud: LocalCloud) -> Iterator[Deployment]:
    """A local cloud as a stack whose outputs are looked up."""
    outputs = {
        f"{name}Bucket": cloud.bucket(f"SLUICE_{name.upper()}_BUCKET") for name in ("Incoming", "Work", "Results")
    }
    outputs |= {"StateMachineArn": cloud.workflow.arn, "StartFunction": "start", "SweepFunction": "sweep"}
    template = {
        "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},  # a stack cannot be empty
        "Outputs": {name: {"Value": value} for name, value in outputs.items()},
    }
    cloud._client("cloudformation").create_stack(StackName="Sluice", TemplateBody=json.dumps(template))
    server = lambda_server(cloud)
    try:
        yield Deployment(session=Session(cloud, f"http://127.0.0.1:{server.server_port}"))
    finally:
        server.shutdown()
        server.server_close()
