"""Lambda on this machine: warm worker processes, a time-out that kills, limits on payloads."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import uuid
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from sluice.local.children import receive_message, send_message
from sluice.local.faults import Crash, Faults, Plan
from sluice.local.ledger import FOLDER
from sluice.local.zygote import QUIET, Order

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sluice.local.template import Function

FUNCTION_ARN_PARTS = 7  # an eighth is the version
PAYLOAD_BYTES = 6 * 1024 * 1024  # Lambda's limit for a synchronous call, both ways


@dataclass(frozen=True)
class Answer:
    """What an invocation gave: the JSON payload, and whether it is an error's description."""

    payload: bytes
    failed: bool = False

    @classmethod
    def failure(cls, kind: str, message: str) -> Answer:
        """An error of the platform, not of the handler."""
        return cls(json.dumps({"errorType": kind, "errorMessage": message}).encode(), failed=True)


@dataclass(frozen=True)
class Surroundings:
    """What the workers of one run share. `endpoints`: the variables that lead their AWS clients."""

    logs: str
    variables: dict[str, str]
    crashes: tuple[Crash, ...] = ()
    plan: Plan = field(default_factory=Plan)


@dataclass(frozen=True)
class Worker:
    """One process that serves one function."""

    pid: int
    channel: socket.socket

    def end(self) -> None:
        """Hang up, upon which the process ends; its id may be another's by now, if it has ended before."""
        self.channel.close()

    def kill(self) -> None:
        """End the process in the middle of its work."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self.channel.close()


class FunctionHost:
    """Invokes the template's functions.

    Each function runs at most once per processor at a time, and waits for its turn otherwise: the machine is never
    overcommitted by many children of one kind, and a slow step never holds up a step of another kind.
    """

    def __init__(self, functions: Mapping[str, Function], keys: Mapping[str, str], region: str, path: str) -> None:
        self.functions = functions
        self.keys = dict(keys)
        self.region = region
        self.surroundings: Surroundings | None = None
        self.faults = Faults()
        self.idle: dict[str, list[tuple[Surroundings, Worker]]] = defaultdict(list)
        self.turns = {arn: threading.Semaphore(os.cpu_count() or 1) for arn in functions}
        self.lock = threading.Lock()
        self.zygote, self.process = start_zygote(path)
        self.warm = False

    def configure(self, surroundings: Surroundings) -> None:
        """Use these surroundings from now on; idle workers of others are ended."""
        with self.lock:
            self.surroundings = surroundings
            self.faults = Faults(surroundings.plan)
            for workers in self.idle.values():
                while workers:
                    workers.pop()[1].end()

    def ledgers(self) -> Path:
        """The folder for what becomes of calls now."""
        assert self.surroundings is not None, "configure comes before the first invocation"
        return Path(self.surroundings.logs) / FOLDER

    def find(self, name: str) -> Function | None:
        """A function by its ARN, with or without a version, by its name or its step."""
        arn = ":".join(name.split(":")[:FUNCTION_ARN_PARTS])
        if arn in self.functions:
            return self.functions[arn]
        return next((item for item in self.functions.values() if name in {item.name, item.step}), None)

    def invoke(self, function: Function, payload: bytes) -> Answer:
        """Run a function once, as soon as it is its turn."""
        if len(payload) > PAYLOAD_BYTES:
            return Answer.failure("Lambda.RequestTooLargeException", f"{len(payload)} bytes exceed {PAYLOAD_BYTES}")
        fault = self.faults.of_invocation(function.step)
        if fault is not None:
            return Answer.failure(fault.error or "", "planned by the fault plan")
        with self.turns[function.arn]:
            return self._invoke(function, payload)

    def _invoke(self, function: Function, payload: bytes) -> Answer:
        surroundings, worker = self._take(function)
        timeout = surroundings.plan.timeout(function.step) or function.timeout
        worker.channel.settimeout(timeout)
        try:
            send_message(worker.channel, payload)
            message = receive_message(worker.channel)
        except TimeoutError:
            worker.kill()
            text = f"RequestId: {uuid.uuid4()} Error: Task timed out after {timeout:.2f} seconds"
            return Answer.failure("Sandbox.Timedout", text)
        except OSError:
            message = None
        if message is None:
            worker.end()
            text = f"RequestId: {uuid.uuid4()} Error: Runtime exited without providing a reason"
            return Answer.failure("Runtime.ExitError", text)
        self._give_back(function, surroundings, worker)
        return interpret(message)

    def _take(self, function: Function) -> tuple[Surroundings, Worker]:
        with self.lock:
            assert self.surroundings is not None, "configure comes before the first invocation"
            if self.idle[function.arn]:
                return self.idle[function.arn].pop()
            return self.surroundings, self._fork(function, self.surroundings)

    def _give_back(self, function: Function, surroundings: Surroundings, worker: Worker) -> None:
        with self.lock:
            if surroundings is self.surroundings:
                self.idle[function.arn].append((surroundings, worker))
            else:
                worker.end()

    def _fork(self, function: Function, surroundings: Surroundings) -> Worker:
        if not self.warm:
            self._answer_of_zygote()
            self.warm = True
        ours, theirs = socket.socketpair()
        order = Order(function, self.region, self.keys, surroundings.logs, surroundings.variables, surroundings.crashes)
        with theirs:
            socket.send_fds(self.zygote, [b"F"], [theirs.fileno()])
            send_message(self.zygote, msgspec.json.encode(order))
        return Worker(int(self._answer_of_zygote()), ours)

    def _answer_of_zygote(self) -> bytes:
        answer = receive_message(self.zygote)
        if answer is None:
            raise RuntimeError("the process that forks the workers has ended; its words are in server.log")
        return answer


def start_zygote(path: str) -> tuple[socket.socket, subprocess.Popen[bytes]]:
    """Start the process that forks the workers; it says "ready" on the socket once it has imported everything."""
    ours, theirs = socket.socketpair()
    environment = {
        **QUIET,
        "LANG": "C.UTF-8",
        "PATH": os.environ.get("PATH", ""),
        "PYTHONPATH": path,
        "PYTHONSAFEPATH": "1",
    }
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "sluice.local.zygote", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr,
            env=environment,
        )
    return ours, process


def interpret(message: bytes) -> Answer:
    """A worker's message as an answer."""
    document: dict[str, Any] = json.loads(message)
    failed = "error" in document
    payload = json.dumps(document["error"] if failed else document["result"]).encode()
    if len(payload) > PAYLOAD_BYTES:
        return Answer.failure("Function.ResponseSizeTooLarge", f"{len(payload)} bytes exceed {PAYLOAD_BYTES}")
    return Answer(payload, failed)
