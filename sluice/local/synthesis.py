"""The template of the real app, synthesized once per state of its sources."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sluice.errors import Stop

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ROOT = Path(__file__).resolve().parents[2]
SOURCES = (
    *("infra", "tasks", "app.py", "cdk.json", "models.yaml"),
    *("sluice/task", "sluice/models", "sluice/results/table.py", "sluice/results/run_table.py"),
    *("sluice/runs/inbox.py", "sluice/runs/settings.py", "sluice/aws/events.py", "sluice/aws/metrics.py"),
)
PACKAGES = ("aws-cdk-lib", "cdk-nag", "constructs")
PROGRAM = """
import json, sys, infra.app
template = infra.app.synthesize(bundle=False, **json.loads(sys.argv[2]))
json.dump(template, open(sys.argv[1], "w"))
"""


def synthesized(root: Path = ROOT, models: Sequence[str] = (), options: Mapping[str, Any] | None = None) -> Path:
    """The file that holds the template; synthesis takes seconds, so it is kept under `.build/` by content.

    `models`: ids that may be called beside those that the deployment has by itself; `options` are laid over cdk.json's.

    Raises:
        Stop: the app does not synthesize; the message is the app's.
    """
    context = {**(options or {}), **({"models": [*_declared_models(root), *models]} if models else {})}
    target = root / ".build" / f"template-{fingerprint(root, context)}.json"
    if target.exists():
        return target
    target.parent.mkdir(exist_ok=True)
    partial = target.with_suffix(f".{os.getpid()}")
    command = [sys.executable, "-c", PROGRAM, str(partial), json.dumps(context)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Stop(f"the app does not synthesize:\n{done.stderr.strip()}")
    json.loads(partial.read_bytes())
    partial.replace(target)
    return target


def _declared_models(root: Path) -> list[str]:
    """The option `models` of cdk.json."""
    declared = json.loads((root / "cdk.json").read_bytes())["context"].get("models", [])
    return list(json.loads(declared) if isinstance(declared, str) else declared)


def fingerprint(root: Path, context: Mapping[str, Any]) -> str:
    """A hash of everything that the template depends on."""
    digest = hashlib.blake2b(json.dumps(context, sort_keys=True).encode(), digest_size=12)
    for path in sorted(sources(root)):
        digest.update(f"{path.relative_to(root)}\0".encode())
        digest.update(path.read_bytes())
    for package in PACKAGES:
        digest.update(f"{package}=={metadata.version(package)}\0".encode())
    return digest.hexdigest()


def sources(root: Path) -> Iterator[Path]:
    """The files that synthesis reads."""
    for name in SOURCES:
        path = root / name
        if path.is_file():
            yield path
        elif path.is_dir():
            yield from (file for file in path.rglob("*") if file.is_file() and "__pycache__" not in file.parts)


def load(path: Path) -> dict[str, Any]:
    """A template from its file."""
    document: dict[str, Any] = json.loads(path.read_bytes())
    return document
