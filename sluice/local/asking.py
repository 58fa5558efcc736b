"""How the processes of a local run learn who answers: the models' file for the functions, the servers for the stand-in.

Keys are in none of the files: they go to the one process that sends them by its standard input, and the environment of
the others is without them.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from sluice.answers.requests import system_prompt
from sluice.errors import BadSetting, BadTask
from sluice.files import write_whole
from sluice.local.sources.openai import Endpoint
from sluice.local.sources.reach import reach
from sluice.local.sources.schema import response_format
from sluice.models.catalog import Catalog
from sluice.models.servers import USUAL_KEY, own_id
from sluice.task.file import read_yaml
from sluice.task.tiers import DEFAULT_TIERS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sluice.local.answers import Answers
    from sluice.models.servers import Server
    from sluice.task.task import Task
    from sluice.task.tiers import Answerer

MODELS = "models.json"
# A server takes what it gets at once: there is no least number of records for a job, and a job that is soon judged
# shows soon how many are accepted.
FOR_SERVERS = {"min_records_per_job": 1, "max_records_per_job": 2000}


def endpoint_of(server: Server, task: Task) -> Endpoint:
    """A server as it is asked for a task, with its key from the environment."""
    headers = {
        name: os.environ.get(value[1:], "") if value[:1] == "$" else value for name, value in server.headers.items()
    }
    if key := os.environ.get(server.key_env or USUAL_KEY):
        headers.setdefault("Authorization", f"Bearer {key}")
    return Endpoint(
        url=server.chat,
        model=server.model,
        headers=headers,
        extra_body=server.extra_body,
        response_format=response_format(task, server.response_format),
        formats=_formats(task, server.response_format),
        timeout_seconds=server.timeout_seconds,
        concurrency=server.concurrency,
    )


def _formats(task: Task, kind: str | None) -> dict[str, dict[str, Any]]:
    """The form of the answers to what router and judge are asked, by their instructions."""
    asked = [task.routing] if task.router is not None else []
    asked += [task.judging] if task.gates.judge is not None else []
    found = {system_prompt(question): response_format(question, kind) for question in asked}
    return {prompt: form for prompt, form in found.items() if form is not None}


def make_sure_of(answers: Answers, task: Task) -> None:
    """Look whether each server is there and takes requests, rather than let a whole run find out.

    Raises:
        Stop: one is not, or does not.
    """
    reach((endpoint_of(server, task), server.key_env or USUAL_KEY) for server in answers.servers.values())


def who_answers(answers: Answers, task: Task, catalog: Catalog, region: str) -> dict[str, Any]:
    """What the stand-in has to know of it, by the ids of models."""

    def id_of(model: str) -> str:
        with suppress(BadTask, BadSetting):  # the start of the run refuses those, with the reason
            return catalog.resolve(model, region).id
        return model

    others = {id_of(model) if model else "": _absolute(source) for model, source in answers.others.items()}
    servers = {own_id(name): endpoint_of(server, task) for name, server in answers.servers.items()}
    return {"answers": others, "servers": msgspec.to_builtins(servers)}


def _absolute(source: str) -> str:
    """A source with the path of a replay made independent of the working folder."""
    kind, _, path = source.partition(":")
    return f"replay:{Path(path).resolve()}" if kind == "replay" else source


def models_file(answers: Answers, logs: Path) -> Path | None:
    """Where the functions find the models of this folder, and those that only this run knows; None without any.

    Deployed functions have them in their code. Where there are servers it is a copy, in which nothing secret stands.
    """
    own = Path(os.environ.get("SLUICE_MODELS") or "models.yaml")
    if not answers.servers:
        return own.resolve() if own.is_file() else None
    content: dict[str, Any] = {"source": "models of this run"}
    if own.is_file() and isinstance(read := read_yaml(own), dict):
        content = read
    models = {name: _without_secrets(entry) for name, entry in content.get("models", {}).items()}
    for name, server in answers.servers.items():
        if not models.get(name, {}).get("openai"):
            models[name] = {"openai": {"url": server.place, "model": server.model}}
    content["models"] = models
    logs.mkdir(parents=True, exist_ok=True)
    write_whole(logs / MODELS, msgspec.json.encode(content))
    return (logs / MODELS).resolve()


def _without_secrets(entry: Mapping[str, Any]) -> dict[str, Any]:
    server = entry.get("openai")
    if not server:
        return dict(entry)
    return {**entry, "openai": {"url": server["url"].partition("?")[0], "model": server["model"]}}


def models_beside(task: Task, catalog: Catalog, region: str) -> list[str]:
    """The ids of a task's models that the default tiers do not have: a deployment of the task would allow them."""

    def ids(tiers: Iterable[Answerer]) -> set[str]:
        found = set()
        for tier in tiers:
            with suppress(BadTask, BadSetting):  # the start of the run refuses those, with the reason
                model = catalog.resolve(tier.model, region)
                found |= {model.id} if model.server is None else set()
        return found

    return sorted(ids(task.answerers) - ids(DEFAULT_TIERS))
