"""The reference of the Python API, made of signatures and docstrings."""

# ruff: noqa: INP001 - a module beside the pages, not a package
from __future__ import annotations

import dataclasses
import inspect
import re
from typing import TYPE_CHECKING, Any

import sluice
from docs.markdown import fenced, table
from sluice import errors
from sluice.api.rows import Rows
from sluice.api.tasks import Inputs
from sluice.deployment.standing import Standing
from sluice.deployment.submission import Swept
from sluice.forecast.estimate import Forecast
from sluice.forecast.parts import TierForecast
from sluice.forecast.pilot import Findings
from sluice.forecast.trial import Pilot
from sluice.quality.intervals import Share
from sluice.runs.approval import Approval
from sluice.runs.progress import RoundProgress, Snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator

SECTION = re.compile(r"^(Args|Returns|Raises):$", re.MULTILINE)
ENTRY = re.compile(r"^ {4}(\w[\w, ]*): ", re.MULTILINE)
FUNCTIONS = ("load_task", "plan", "pilot", "run", "open_run")
CLASSES = ("Run", "Deployment", "DeployedRun")
RECORDS = (Forecast, TierForecast, Pilot, Findings, Share, Snapshot, RoundProgress, Standing, Swept, Approval)
INPUTS = str(Inputs).replace("pathlib.", "").replace("collections.abc.", "").replace("typing.", "")


def functions(_: object) -> str:
    """Describe the functions of the package."""
    return "\n".join(_call(f"sluice.{name}", getattr(sluice, name), 3) for name in FUNCTIONS)


def classes(_: object) -> str:
    """Describe the classes, each with what can be asked of it."""
    return "\n".join(part for name in CLASSES for part in _class(name, getattr(sluice, name)))


def records(_: object) -> str:
    """Describe what is returned, and what callbacks are told."""
    return "\n".join(part for record in RECORDS for part in _record(record))


def tree(_: object) -> str:
    """Show the tree of errors as it stands in the module."""
    lines = inspect.getdoc(errors) or ""
    return fenced("\n".join(line[4:] for line in lines.split("\n") if line.startswith("    ")))


def _class(name: str, kind: Any) -> Iterator[str]:
    given = f"({_parameters(kind)})" if name == "Deployment" else ""
    yield f"### `sluice.{name}{given}`\n\n{_body(kind, kind.__init__)}"
    members = {key: value for key, value in _members(kind).items() if key not in {"ending", "published", "stack"}}
    properties = [
        [f"`{key}`", f"`{_annotation(value.fget)}`", _one_line(SECTION.split(inspect.getdoc(value) or "")[0])]
        for key, value in members.items()
        if isinstance(value, property)
    ]
    if properties:
        yield table(["property", "type", "what it is"], properties)
    if name == "DeployedRun":
        again = [key for key, value in vars(Rows).items() if inspect.isfunction(value) and key in members]
        members = {key: value for key, value in members.items() if key not in again}
        yield f"{', '.join(f'`{key}`' for key in again)}: as of `Run`.\n"
    for key, value in members.items():
        if inspect.isfunction(value):
            yield _call(f"{name}.{key}", value, 4)


def _members(kind: Any) -> dict[str, Any]:
    return {key: value for base in reversed(kind.__mro__) for key, value in vars(base).items() if key[0] != "_"}


def _call(title: str, function: Any, level: int) -> str:
    returns = _annotation(function)
    gives = f" → `{returns}`" if returns not in {"None", ""} else ""
    return f"{'#' * level} `{title}({_parameters(function)})`{gives}\n\n{_body(function, function)}"


def _parameters(function: Any) -> str:
    shown, starred = [], False
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name == "self":
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not starred:
            shown.append("*")
            starred = True
        default = "" if parameter.default is parameter.empty else f"={_shown(parameter.default)}"
        shown.append(f"{parameter.name}{default}")
    return ", ".join(shown)


def _shown(default: object) -> str:
    return getattr(default, "__qualname__", repr(default)) if callable(default) else repr(default)


def _annotation(function: Any) -> str:
    return str(inspect.unwrap(function).__annotations__.get("return", ""))


def _body(documented: Any, function: Any) -> str:
    """Make a docstring's text, its arguments with their types, and what is returned and raised."""
    text, *rest = SECTION.split(inspect.getdoc(documented) or "")
    parts = [_paragraphs(text)]
    types = inspect.unwrap(function).__annotations__
    for name, body in zip(rest[::2], rest[1::2], strict=True):
        if name == "Returns":
            parts.append(f"Returns: {_one_line(body)}\n")
            continue
        _, *entries = ENTRY.split(body)
        pairs = list(zip(entries[::2], map(_one_line, entries[1::2]), strict=True))
        if name == "Args":
            rows = [_argument(key, types, text) for key, text in pairs]
            parts.append(table(["argument", "type", "what it is"], rows))
        else:
            parts.append("Raises:\n\n" + "".join(f"- {_codes(key)}: {text}\n" for key, text in pairs))
    return "\n".join(parts)


def _argument(name: str, types: dict[str, str], text: str) -> tuple[str, str, str]:
    kind = str(types.get(name, "")).replace("Inputs", INPUTS)
    return f"`{name}`", f"`{kind}`", text


def _codes(names: str) -> str:
    return ", ".join(f"`{name}`" for name in names.split(", "))


def _record(record: Any) -> Iterator[str]:
    yield f"### `{record.__name__}`\n\n{_paragraphs(inspect.getdoc(record) or '')}"
    names = dataclasses.fields(record) if dataclasses.is_dataclass(record) else ()
    kinds = {field.name: str(field.type) for field in names} or dict(record.__annotations__)
    rows = [[f"`{name}`", f"`{kind}`"] for name, kind in kinds.items()]
    found = [(name, value) for name, value in vars(record).items() if isinstance(value, property) and name[0] != "_"]
    rows += [[f"`{name}`", f"`{_annotation(value.fget)}`"] for name, value in found]
    yield table(["field", "type"], rows)


def _paragraphs(text: str) -> str:
    return text.strip().replace("\n    ", "\n") + "\n"


def _one_line(text: str) -> str:
    return " ".join(text.split())
