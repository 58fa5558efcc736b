"""Processes that never outlive the one that started them, and the small messages between them."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import struct
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import msgspec

from sluice.errors import Stop

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping, Sequence
    from pathlib import Path

PR_SET_PDEATHSIG = 1
LENGTH = struct.Struct(">I")
READY_SECONDS = 60.0
GRACE_SECONDS = 2.0


class Child:
    """A Python module run as a process of its own session, so that Ctrl-C in the terminal does not reach it.

    The child lives as long as its standard input stays open (`die_with_parent`), and says that it is ready by one
    JSON line on its standard output. What it writes to standard error goes to `log`.
    """

    def __init__(self, module: str, arguments: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        self.module = module
        self.log = log
        self.stopped = False
        with log.open("ab") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=dict(environment),
                start_new_session=True,
            )

    def ready(self) -> dict[str, Any]:
        """What the child says of itself once it serves.

        Raises:
            Stop: it ended, or stayed silent for a minute; the message has the last line of its log.
        """
        answer: list[bytes] = []
        assert self.process.stdout is not None
        reader = threading.Thread(
            target=lambda out: answer.append(out.readline()), args=(self.process.stdout,), daemon=True
        )
        reader.start()
        reader.join(READY_SECONDS)
        if not answer or not answer[0]:
            self.stop()
            raise Stop(f"{self.module} did not start: {last_line(self.log)} (all of it: {self.log})")
        document: dict[str, Any] = msgspec.json.decode(answer[0])
        return document

    def tell(self, document: Any) -> None:
        """Write one line to the child's standard input, for `hear`."""
        assert self.process.stdin is not None
        self.process.stdin.write(msgspec.json.encode(document) + b"\n")
        self.process.stdin.flush()

    def stop(self) -> None:
        """End the process and everything that it started; once, since its id is another's some time later."""
        if self.stopped:
            return
        self.stopped = True
        for signum in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signum)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(GRACE_SECONDS)
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()


def say_ready(**facts: Any) -> None:
    """The line that `Child.ready` waits for."""
    sys.stdout.write(msgspec.json.encode(facts).decode() + "\n")
    sys.stdout.flush()


def hear() -> bytes:
    """The line that `Child.tell` wrote."""
    return sys.stdin.buffer.readline()


def die_with_parent() -> None:
    """End this process group as soon as standard input is closed, which the death of the parent does too."""

    def watch() -> None:
        while os.read(0, 4096):
            pass
        os.killpg(os.getpgrp(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


def die_with_starter() -> None:
    """On Linux: have the kernel kill this process when the thread that started it ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def send_message(channel: socket.socket, data: bytes) -> None:
    """Write one length-prefixed message."""
    channel.sendall(LENGTH.pack(len(data)) + data)


def receive_message(channel: socket.socket) -> bytes | None:
    """The next message, or None at the end of the stream."""
    header = _receive(channel, LENGTH.size)
    return None if header is None else _receive(channel, LENGTH.unpack(header)[0])


def _receive(channel: socket.socket, size: int) -> bytes | None:
    data = bytearray()
    while len(data) < size:
        block = channel.recv(min(size - len(data), 1 << 20))
        if not block:
            return None
        data += block
    return bytes(data)


def last_line(path: Path) -> str:
    """The last line of a log: what an exception says, without where it comes from."""
    lines = path.read_text(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
