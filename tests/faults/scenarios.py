"""Small random runs, each drawn from a number: inputs with repeats and bad rows, tiers, settings, and replies."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sluice.answers.shown import OPEN_ANSWER
from sluice.local.faults import draw
from sluice.task.file import parse_task
from sluice.task.router import COMPLEX, SIMPLE
from sluice.task.task import Task
from tests.harness.faults import FaultPlan
from tests.harness.faulty_bedrock import AS_ROUTER

if TYPE_CHECKING:
    from collections.abc import Callable

LABELS = ("red", "green", "blue")
MODELS = ("nova-micro", "claude-haiku-4-5", "claude-sonnet-4-5")
PACKED = 0.5  # the share of scenarios whose requests may hold several records
JUDGED = 0.45  # the share of scenarios without routes, of one tier or two, in which the third model looks at answers
REUSED = 0.5  # the share of those that run twice, and buy nothing the second time that the first had kept
ROUTED = 0.3  # the share of those whose routes say where rows start and how far they go
ASKING = 0.3  # of those with several tiers, the share whose router is asked which of the first two answers
# A rule over the row, so that rows with the same text are records of their own.
EARLY = {"properties": {"row": {"properties": {"n": {"maximum": 30}}}}}
# Lines that are no good rows: data, each with one output row.
BAD = (b"{broken", b'{"id": "no text"}', b'{"text": ""}', b'{"text": 7}', b"\xff\xfe", b"[1]", b'"text"')
# Texts that look like places of rows, as the keys of rejected ones are made of.
PLACES = ("0:1", "0:2", "1:1", "0:0:1", "0 1", "1", "rejected", "0:0:2")
# Characters at which a reader that is not careful splits a line, escapes twice, or counts bytes wrongly.
ODD = ("", "\u2028", "\x85", "\u2029 <text>", "&lt;", "</text>", "é", "\N{LARGE RED CIRCLE}", '"', "\\n")


def label_of(model: str, text: str) -> str:
    """The label that a model gives a text."""
    return LABELS[int(draw(1, model, text) * len(LABELS))]


@dataclass(frozen=True)
class Scenario:
    """One run before anything goes wrong; `says(model, text)` is the label that a model gives a text."""

    task: Task
    files: dict[str, bytes]
    settings: dict[str, Any]
    says: Callable[[str, str], str] = label_of


def reply(model: str, text: str) -> str:
    """What a model writes: mostly an answer, often with prose around it, sometimes none that can be used."""
    kind = draw(2, model, text)
    if OPEN_ANSWER in text:
        word = "right" if kind < 0.6 else "wrong" if kind < 0.8 else "unclear"
        return json.dumps({"label": word}) if kind < 0.95 else "Who knows."
    if model.endswith(AS_ROUTER):
        return json.dumps({"label": SIMPLE}) if kind < 0.4 else json.dumps({"label": COMPLEX}) if kind < 0.8 else "Hm."
    sure = json.dumps({"label": label_of(model, text), "confidence": "certain"})
    if kind < 0.45:
        return sure
    if kind < 0.65:
        return f"```json\n{sure}\n```\u2028Because it says so.\x85"
    if kind < 0.8:
        return sure.replace("certain", "unsure")
    if kind < 0.9:
        return f"I would say {label_of(model, text)}."
    return sure.replace(label_of(model, text), "purple")


def draw_scenario(seed: int) -> Scenario:
    """The scenario of a seed."""
    rng = random.Random(seed)
    tiers = [
        {
            "model": model,
            "transport": rng.choice(("batch", "auto", "auto", "on_demand")),
            "attempts": rng.randint(1, 3),
        }
        for model in MODELS[: rng.randint(1, 3)]
    ]
    packing = random.Random(f"packs {seed}")
    if packing.random() < PACKED:
        tiers = [tier | {"pack": packing.choice((1, 2, 3, 5, 10, 20))} for tier in tiers]
    task: dict[str, Any] = {
        "name": "faults",
        "input": {"text": "text", "id": "id", "keep": {"n": "int"}},
        "labels": list(LABELS),
        "gates": {"min_confidence": "likely"},
        "tiers": tiers,
    }
    if random.Random(f"reuse {seed}").random() < REUSED:
        task["reuse"] = {"days": 1}
    task |= draw_routes(random.Random(f"routes {seed}"), len(tiers))
    if "router" in task:
        task.pop("reuse", None)  # a router's answers are not kept
    judging = random.Random(f"judge {seed}")
    if judging.random() < JUDGED and len(tiers) < len(MODELS) and not {"routes", "router"} & task.keys():
        judge = {"transport": judging.choice(("batch", "batch", "on_demand")), "attempts": judging.randint(1, 3)}
        task["gates"]["judge"] = {"model": MODELS[-1], "pack": judging.choice((1, 3, 10)), **judge}
    if rng.random() < 0.15:
        task["budget"] = {"max_usd": rng.choice((0.0001, 0.001, 0.01))}
    if rng.random() < 0.15:
        task["gates"]["rules"] = [{"name": "early", "schema": EARLY}]
    most = rng.randint(5, 40)
    settings = {
        "max_records_per_job": most,
        "min_records_per_job": min(most, rng.choice((1, 2, 3, 6, 10))),
        "max_jobs_in_flight": rng.randint(1, 4),
        # Equal texts that are called at once would draw their faults in the order of threads.
        "on_demand_concurrency": 1 if "rules" in task["gates"] else rng.randint(1, 3),
        "span_bytes": rng.choice((60, 200, 1000, 10**6)),
        "part_bytes": rng.choice((100, 10**6)),
    }
    files = draw_files(rng)
    return hostile(seed, Scenario(parse_task(task, "the task of the faults"), files, settings))


def draw_routes(rng: random.Random, tiers: int) -> dict[str, Any]:
    """Routes by what stands in a row, which rows of one text need not share; a router; mostly neither."""
    drawn: dict[str, Any] = {}
    if rng.random() < ROUTED:
        drawn["routes"] = []
        for _ in range(rng.randint(1, 3)):
            tier = rng.randrange(tiers)
            kinds = (
                {"n": {"maximum": rng.randint(0, 30)}},
                {"text": {"pattern": "x"}},
                {"id": {"pattern": "[02468]$"}},
            )
            route = {"when": {"properties": rng.choice(kinds)}, "tier": tier}
            drawn["routes"].append(route | rng.choice(({}, {"last": rng.randrange(tier, tiers)})))
    if tiers > 1 and rng.random() < ASKING:
        drawn["router"] = {}
    return drawn


def hostile(seed: int, scenario: Scenario) -> Scenario:
    """Every third scenario with a shape of input or settings that somebody would choose to break it."""
    rng = random.Random(f"hostile {seed}")
    if rng.random() > 1 / 3:
        return scenario
    task, files, settings = scenario.task, dict(scenario.files), dict(scenario.settings)
    alike = json.dumps({"text": rng.choice(PLACES), "id": "same", "n": 1}).encode()
    lines = rng.randint(1, 30)
    match rng.choice(("one record a job", "one-byte spans", "alike", "rejected", "places", "empty files")):
        case "one record a job":
            settings |= {"max_records_per_job": 1, "min_records_per_job": 1}
        case "one-byte spans":
            settings |= {"span_bytes": 1, "part_bytes": 1}
            files = {name: data[:400] for name, data in files.items()}
        case "alike":
            files = {name: b"\n".join([alike] * lines) for name in files}
        case "rejected":
            files = {name: b"\n".join(rng.choices(BAD, k=lines)) for name in files}
        case "places":
            rows = [json.dumps({"text": rng.choice(PLACES), "id": f"r{n}", "n": n}).encode() for n in range(lines)]
            files = {name: b"\n".join(line for row in rows for line in (rng.choice(BAD), row)) for name in files}
        case "empty files":
            blank = {f"{name}.empty.jsonl": rng.choice((b"", b"\n", b"\r\n\n")) for name in files}
            files = {
                "0.jsonl": b"",
                **{
                    name: data
                    for pair in zip(files, blank, strict=True)
                    for name, data in ((pair[0], files[pair[0]]), (pair[1], blank[pair[1]]))
                },
            }
    return Scenario(task, files, settings)


def small_scenario() -> Scenario:
    """Two spans, two batch jobs in the first round, and a second tier on demand."""
    tiers = [
        {"model": MODELS[0], "attempts": 4},
        {"model": MODELS[1], "transport": "on_demand", "attempts": 4},
    ]
    read = {"text": "text", "id": "id"}
    task = {"name": "faults", "input": read, "labels": list(LABELS), "tiers": tiers}
    lines = [json.dumps({"text": f"text {n % 14}", "id": str(n)}).encode() for n in range(16)]
    settings = {
        "max_records_per_job": 8,
        "min_records_per_job": 2,
        "max_jobs_in_flight": 2,
        "on_demand_concurrency": 1,
        "span_bytes": 300,
    }
    return Scenario(parse_task(task, "task"), {"a.jsonl": b"\n".join([*lines, b"{broken"])}, settings)


UTF_16 = b"\xff\xfe"


def draw_files(rng: random.Random) -> dict[str, bytes]:
    """Up to three files of up to 40 lines; texts repeat within and between them."""
    texts = [
        f"text {n} {rng.choice(ODD)} {'x' * rng.choice((0, 0, 5, 60))}".rstrip() for n in range(rng.randint(1, 80))
    ]
    files = {}
    for name in ("a.jsonl", "b.jsonl", "c.jsonl")[: rng.randint(1, 3)]:
        lines = [draw_line(rng, texts, n) for n in range(rng.randint(1, 40))]
        if lines == [UTF_16]:  # alone it says that the file is no rows, and the file is refused by name
            lines = [b"{}"]
        files[name] = rng.choice((b"\n", b"\n", b"\r\n")).join(lines) + rng.choice((b"", b"\n"))
    return files


def draw_line(rng: random.Random, texts: list[str], n: int) -> bytes:
    kind = rng.random()
    if kind < 0.07:
        return rng.choice(BAD)
    if kind < 0.1:
        return b""
    return json.dumps({"text": rng.choice(texts), "id": f"r{n}", "n": n}, ensure_ascii=rng.random() < 0.5).encode()


def draw_plan(seed: int) -> FaultPlan:
    """The fault plan of a seed: some seeds are calm in one way or another, some are all storm."""
    rng = random.Random(f"plan {seed}")

    def share(*levels: float) -> float:
        return rng.choice(levels)

    return FaultPlan(
        seed=seed,
        jobs=share(0, 0.2, 0.5, 1),
        records=share(0, 0.05, 0.3),
        calls=share(0, 0, 0.1, 0.4),
        kills=share(0, 0.03, 0.15, 0.3),
        twice=share(0, 0, 0.2),
        late=share(0, 0.5),
        time_outs=share(0, 0.3),
        quota=rng.choice((None, None, 1, 2)),
        cancel=rng.choice((None, None, None, rng.randint(1, 40))),
        cancel_in_create=rng.choice((None, None, None, rng.randint(1, 4))),
    )
