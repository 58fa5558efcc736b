"""Stand-ins forked from a process that has imported what they need: starting Python for each costs most of a trial.

A fork is what `python -m sluice.local.standin` is after its imports: a session of its own, with its own environment,
standard input, output and log.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import msgspec

from sluice.local.children import Child, die_with_starter, receive_message, send_message

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

MODULE = "sluice.local.standin"
LOOK_SECONDS = 0.01


class Fork:
    """As much of `subprocess.Popen` as a `Child` uses, for a process whose parent is another."""

    def __init__(self, pid: int, stdin: int, stdout: int) -> None:
        self.pid = pid
        self.stdin = os.fdopen(stdin, "wb")
        self.stdout = os.fdopen(stdout, "rb")

    def wait(self, seconds: float) -> None:
        """Return once the process is gone.

        Raises:
            subprocess.TimeoutExpired: it is still there.
        """
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                os.kill(self.pid, 0)
            except ProcessLookupError:
                return
            time.sleep(LOOK_SECONDS)
        raise subprocess.TimeoutExpired(MODULE, seconds)


class Warm:
    """The process that forks, and what stands for `Child` meanwhile."""

    def __init__(self) -> None:
        self.channel, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.harness.warm", str(theirs.fileno())], pass_fds=[theirs.fileno()]
            )

    def child(self, module: str, arguments: Sequence[str], log: Path, environment: Mapping[str, str]) -> Child:
        """A `Child` of any module; the stand-in's is a fork."""
        if module != MODULE:
            return Child(module, arguments, log, environment)
        child = Child.__new__(Child)
        child.module, child.log, child.stopped = module, log, False
        child.process = self._fork(log, environment)  # type: ignore[assignment]
        return child

    def _fork(self, log: Path, environment: Mapping[str, str]) -> Fork:
        heard, stdin = os.pipe()
        stdout, said = os.pipe()
        errors = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        socket.send_fds(self.channel, [b"F"], [heard, said, errors])
        for descriptor in (heard, said, errors):
            os.close(descriptor)
        send_message(self.channel, msgspec.json.encode(environment))
        answer = receive_message(self.channel)
        assert answer, "the process that forks stand-ins has ended"
        return Fork(int(answer), stdin, stdout)

    def close(self) -> None:
        """End the process; each stand-in ends with its cloud."""
        self.channel.close()
        self.process.wait(10)


def serve(channel: socket.socket, run: Any) -> None:
    """Fork for each order until the other side hangs up."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        _, descriptors, _, _ = socket.recv_fds(channel, 1, 3)
        if not descriptors:
            return
        environment = msgspec.json.decode(receive_message(channel) or b"{}")
        pid = os.fork()
        if pid == 0:
            channel.close()
            os.setsid()
            for place, descriptor in enumerate(descriptors):
                os.dup2(descriptor, place)
                os.close(descriptor)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.environ.clear()
            os.environ.update(environment)
            with contextlib.suppress(KeyboardInterrupt):
                run()
            os._exit(0)
        for descriptor in descriptors:
            os.close(descriptor)
        send_message(channel, str(pid).encode())


def main() -> None:
    """Import the stand-in and what its first calls load, then fork."""
    die_with_starter()
    stand_in = importlib.import_module(f"{MODULE}.__main__")
    rules = importlib.import_module("sluice.local.rules")
    for service in ("bedrock", "bedrock-runtime", "service-quotas"):
        rules.service(service)
    boto3: Any = importlib.import_module("boto3")
    client = boto3.client("s3", region_name="us-east-1", aws_access_key_id="-", aws_secret_access_key="-")
    client.can_paginate("list_objects_v2")  # each fork finds the descriptions in the default session
    serve(socket.socket(fileno=int(sys.argv[1])), stand_in.main)


if __name__ == "__main__":
    main()
