"""The template of the real app, synthesized once per state of its sources."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from importlib import metadata
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sluice.errors import BadSetting, Stop
from sluice.places import PACKAGE, PROJECT, made, user_cache

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

# What synthesis reads, of the app and of the package; the modules that only run in functions are not among it.
OF_THE_APP = ("infra", "app.py", "cdk.json")
OF_THE_PACKAGE = (
    *("task", "models", "results/table.py", "results/run_table.py"),
    *("runs/inbox.py", "runs/settings.py", "aws/events.py", "aws/metrics.py"),
)
OF_THE_FOLDER = ("tasks", "models.yaml")
PACKAGES = ("aws-cdk-lib", "constructs")
PROGRAM = """
import json, sys, infra.app
template = infra.app.synthesize(bundle=False, **json.loads(sys.argv[2]))
json.dump(template, open(sys.argv[1], "w"))
"""


def synthesized(models: Sequence[str] = (), options: Mapping[str, Any] | None = None, *, tasks: bool = True) -> Path:
    """The file that holds the template; synthesis takes seconds, so it is kept in the user's cache by content.

    It is that of this folder: with the options of its cdk.json, over which `options` are laid, and with its tasks
    unless `tasks` says otherwise: a run that brings its own needs no other, is not stopped by the mistakes of another,
    and goes on with the same template when its task has been changed.
    `models`: ids that may be called beside those that the deployment has by itself.

    Raises:
        BadSetting: cdk.json cannot be read.
        Stop: the app does not synthesize; the message is the app's.
    """
    declared = {**options_here(), **(options or {})}
    context = {**declared, **({"models": [*_listed(declared.get("models")), *models]} if models else {})}
    if not tasks:
        context |= {"with_tasks": False, "schedules": {}, "source_buckets": []}
    target = user_cache() / f"template-{fingerprint(context, tasks=tasks)}.json"
    if target.exists():
        return target
    partial = made(target.parent) / f"{target.stem}.{os.getpid()}-{threading.get_ident()}"
    command = [sys.executable, "-c", PROGRAM, str(partial), json.dumps(context)]
    done = subprocess.run(command, env=surroundings(), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Stop(f"the app does not synthesize:\n{done.stderr.strip()}")
    json.loads(partial.read_bytes())
    partial.replace(target)
    return target


def surroundings() -> dict[str, str]:
    """The environment in which Python finds the app's modules first, and none in the working folder."""
    path = os.pathsep.join([str(PROJECT), *filter(None, sys.path)])
    return {**os.environ, "PYTHONPATH": path, "PYTHONSAFEPATH": "1"}


def options_here() -> dict[str, Any]:
    """What cdk.json of this folder says, where it is one of Sluice: its context has `sluice` in it.

    Raises:
        BadSetting: it cannot be read.
    """
    try:
        context = json.loads(Path("cdk.json").read_bytes()).get("context", {})
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError) as error:
        raise BadSetting(f"cdk.json cannot be read: {error}") from None
    return dict(context) if "sluice" in context else {}


def _listed(models: Any) -> list[str]:
    """The option `models`, which a command line gives as text."""
    return list((json.loads(models) if isinstance(models, str) else models) or ())


def fingerprint(context: Mapping[str, Any], *, tasks: bool = True) -> str:
    """A hash of everything that the template depends on."""
    digest = hashlib.blake2b(json.dumps(context, sort_keys=True).encode(), digest_size=12)
    for name, path in sources(tasks=tasks):
        digest.update(f"{name}\0".encode())
        digest.update(path.read_bytes())
    for package in PACKAGES:
        digest.update(f"{package}=={metadata.version(package)}\0".encode())
    return digest.hexdigest()


def sources(*, tasks: bool = True) -> Iterator[tuple[str, Path]]:
    """The files that synthesis reads, each with a name that does not tell where it lies."""
    of_the_folder = OF_THE_FOLDER if tasks else ("models.yaml",)
    places = ((PROJECT, OF_THE_APP), (PACKAGE, OF_THE_PACKAGE), (Path(), of_the_folder))
    for root, name in chain.from_iterable(((root, name) for name in names) for root, names in places):
        yield from ((path.relative_to(root).as_posix(), path) for path in _files(root / name))


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
    elif path.is_dir():
        found = sorted(file for file in path.rglob("*") if file.is_file())
        yield from (file for file in found if "__pycache__" not in file.parts)


def load(path: Path) -> dict[str, Any]:
    """A template from its file."""
    document: dict[str, Any] = json.loads(path.read_bytes())
    return document
