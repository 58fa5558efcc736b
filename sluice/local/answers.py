"""Who answers each tier of a run on this machine: what `--answers` and models.yaml say together."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from sluice.errors import BadRequest
from sluice.local.sources import check_answers
from sluice.models.servers import USUAL_KEY, Server
from sluice.task.tiers import Transport

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sluice.models.catalog import Catalog
    from sluice.task.judge import JudgeGate
    from sluice.task.task import Task
    from sluice.task.tiers import Answerer, Tier

A = TypeVar("A", bound="Answerer")
STANDIN, BEDROCK, SERVER = "standin", "bedrock", "openai"
OF_ONE = re.compile(r"(\d+|judge)=(.*)", re.DOTALL)
JUDGE = "judge"  # how the judge is called beside the numbers of tiers


@dataclass(frozen=True)
class Answers:
    """Who answers: `said` is how run.json has it, `servers` the models that a server of one's own answers, by name.

    `others` says which source answers the models that have none: by name, and under "" for all that are not named.
    """

    said: str
    others: Mapping[str, str] = field(default_factory=dict)
    servers: Mapping[str, Server] = field(default_factory=dict)

    @classmethod
    def everywhere(cls, source: str = STANDIN) -> Answers:
        """One source that is no server, for all tiers."""
        return cls(source, {"": source})

    @property
    def kinds(self) -> set[str]:
        """Which kinds of source there are."""
        return {source.partition(":")[0] for source in self.others.values()} | ({SERVER} if self.servers else set())

    @property
    def secret_variables(self) -> set[str]:
        """The variables of the environment that no process but this one may see."""
        return {USUAL_KEY}.union(*(server.variables for server in self.servers.values()))


@dataclass(frozen=True)
class Arrangement:
    """A task with the tiers that are asked, who answers them, the task as given, and what there is to say of it."""

    task: Task
    answers: Answers
    given: Task
    notes: tuple[str, ...] = ()


def arranged(task: Task, given: str | Sequence[str] | None, catalog: Catalog) -> Arrangement:
    """Find who answers each tier, and leave one rung of those that ask the same model of the same server.

    Without `given`, a tier asks its own server where models.yaml has one; a task without any has the stand-in.

    Raises:
        BadRequest: a source that there is not, a tier that nobody answers, or a key that is not set.
        BadSetting: a file of recorded answers that is none.
    """
    sources = _by_name(task, [given] if isinstance(given, str) else list(given or ()))
    ladder = _Ladder(catalog)
    for number, tier in enumerate(task.tiers):
        ladder.tiers.append(ladder.asked(str(number), tier, sources.get(str(number))))
    if task.gates.judge is not None:
        ladder.judge = ladder.asked(JUDGE, task.gates.judge, sources.get(JUDGE))
    if ladder.open and (ladder.servers or given):
        first = next(iter(ladder.open))
        raise BadRequest(
            f"for {' and '.join(ladder.open.values())} are missing: say who answers, as {first}=standin (made-up "
            f"labels), {first}=bedrock (costs money) or {first}=openai:URL#MODEL",
            "answers",
        )
    if not ladder.servers:
        return Arrangement(task, Answers(_said(ladder), ladder.others), task)
    ladder.join_rungs()
    least = len(task.tiers) if task.quality else min(2, task.drawn)
    if len(ladder.tiers) < least:
        what = "quality" if task.quality else "audit" if task.audit else "train"
        raise BadRequest(f"name one model for {len(task.tiers)} tiers, and {what} compares two: name two", "answers")
    for server in ladder.servers.values():
        _check_key(server)
    answers = Answers(_said(ladder), ladder.others, ladder.servers)
    changed: dict[str, object] = {"tiers": tuple(ladder.tiers)}
    if ladder.judge is not None:
        changed["gates"] = task.gates.model_copy(update={"judge": ladder.judge})
    if task.budget.max_usd is not None and (unpriced := sorted(ladder.passing & ladder.servers.keys())):
        changed["budget"] = task.budget.model_copy(update={"max_usd": None})
        ladder.notes.append(
            f"budget.max_usd is not kept: no price of {', '.join(unpriced)} is known; give the model one in models.yaml"
        )
    return Arrangement(task.model_copy(update=changed), answers, task, tuple(ladder.notes))


def _by_name(task: Task, given: Sequence[str]) -> dict[str, str]:
    """The source that is named for each tier and the judge; one without a name is for all that have none."""
    found: dict[str, str] = {}
    named = [*map(str, range(len(task.tiers))), *([] if task.gates.judge is None else [JUDGE])]
    for_all = [text for text in given if not OF_ONE.fullmatch(text)]
    if len(for_all) > 1:
        raise BadRequest(
            f"{for_all[1]}: {for_all[0]} is for all tiers already; say which, as 0={for_all[0]}", "answers"
        )
    for text in given:
        match = OF_ONE.fullmatch(text)
        check_answers(match[2] if match else text)
        if match is None:
            continue
        who = match[1] if match[1] == JUDGE else str(int(match[1]))
        if who not in named:
            no_judge = "; it has no gates.judge" * (who == JUDGE)
            raise BadRequest(f"{text}: the task's tiers are 0 to {len(task.tiers) - 1}{no_judge}", "answers")
        if who in found:
            raise BadRequest(f"{text}: {_called(who)} is answered by {found[who]} already", "answers")
        found[who] = match[2]
    return {**{who: for_all[0] for who in named if for_all}, **found}


def _called(who: str) -> str:
    return "the judge" if who == JUDGE else f"tier {who}"


class _Ladder:
    """The tiers as they are asked, taken up one by one."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self.tiers: list[Tier] = []
        self.judge: JudgeGate | None = None
        self.servers: dict[str, Server] = {}
        self.others: dict[str, str] = {}
        self.notes: list[str] = []
        self.open: dict[str, str] = {}  # those that nobody was named for
        self.passing: set[str] = set()  # names of models that only --answers knows

    def asked(self, who: str, tier: A, source: str | None) -> A:
        """A tier or judge as it is asked: a source answers that was named for it, or its own server."""
        if tier.is_learned:  # nobody else answers it
            return tier
        entry = self.catalog.entries.get(tier.model)
        own = None if entry is None else entry.openai
        if own is not None and source in (None, BEDROCK):
            return self._of_server(tier, tier.model, own)
        if source is not None and source.startswith(f"{SERVER}:"):
            url, _, model = source.removeprefix(f"{SERVER}:").rpartition("#")
            server = Server(url=url, model=model)
            name = self._name(server)
            self.passing.add(name)
            return self._of_server(tier.model_copy(update={"request": {}}), name, server)
        if self.others.setdefault(tier.model, source or STANDIN) != (source or STANDIN):
            raise BadRequest(f"{who}={source}: {tier.model} is answered by {self.others[tier.model]}", "answers")
        self.open |= {} if source else {who: f"{_called(who)} ({tier.model})"}
        return tier

    def _of_server(self, tier: A, name: str, server: Server) -> A:
        self.servers[name] = server
        return tier.model_copy(update={"model": name, "transport": Transport.BATCH})

    def _name(self, server: Server) -> str:
        """A name for a model that models.yaml does not have: its own, with the host where another server has that."""
        known = self.servers.get(server.model, server)
        return server.model if known == server else f"{server.model}@{urlsplit(server.url).netloc}"

    def join_rungs(self) -> None:
        """Leave the first of the tiers that ask the same of the same model: its second answer would be the first."""
        kept: list[Tier] = []
        for tier in self.tiers:
            same = next((other for other in kept if self._same(other, tier)), None)
            if same is None:
                kept.append(tier)
                continue
            server = self.servers[tier.model]
            note = (
                f"tiers of this task ask the same model, {server.model} at {server.place}: it is one rung, asked once"
            )
            self.notes += [] if note in self.notes else [note]
        self.tiers = kept
        names = {tier.model for tier in (*kept, *([] if self.judge is None else [self.judge]))}
        self.servers = {name: server for name, server in self.servers.items() if name in names}

    def _same(self, one: Tier, other: Tier) -> bool:
        first, second = self.servers.get(one.model), self.servers.get(other.model)
        if first is None or second is None:
            return False
        if one.model == other.model and other.model in self.passing:
            return True  # --answers: what the tiers say was meant for the models that they name
        asked = {"max_tokens", "temperature", "request", "pack"}
        return first.asks == second.asks and one.model_dump(include=asked) == other.model_dump(include=asked)


def _said(ladder: _Ladder) -> str:
    """The sources as run.json has them: one for all, or each with its tier in front."""
    found = {}
    asked: list[tuple[str, Answerer]] = [(str(number), tier) for number, tier in enumerate(ladder.tiers)]
    for who, tier in [*asked, *([] if ladder.judge is None else [(JUDGE, ladder.judge)])]:
        server = ladder.servers.get(tier.model)
        if not tier.is_learned:
            found[who] = ladder.others[tier.model] if server is None else f"{SERVER}:{server.place}#{server.model}"
    sources = set(found.values())
    return sources.pop() if len(sources) == 1 else " ".join(f"{n}={source}" for n, source in found.items())


def _check_key(server: Server) -> None:
    needed = server.variables - (set() if server.key_env else {USUAL_KEY})
    for name in sorted(needed):
        if not os.environ.get(name):
            raise BadRequest(
                f"{server.model} at {server.place} takes its key from the variable {name}, which is not set"
            )
