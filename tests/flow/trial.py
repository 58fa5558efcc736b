"""A run under a fault plan, held against what the stand-in for Bedrock itself says was asked of it."""

from __future__ import annotations

import json
import time
from collections import Counter, defaultdict
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import yaml

from sluice.cli.exits import OF_STATUS
from sluice.local.answers import Answers
from sluice.local.runner import Request, collect, prepare, start
from sluice.task.file import parse_task
from tests.flow.local import (
    FIRST,
    LABELS,
    PLAIN,
    SECOND,
    Outcome,
    hold,
    hold_calls,
    numbered,
    read_rows,
    record,
    reply,
    write,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    import boto3

    from sluice.local.cloud import LocalCloud
    from tests.flow.local import Flow


class Bought(NamedTuple):
    """A Bedrock job of a run, as the stand-in lists it."""

    name: str
    arn: str
    status: str
    model: str
    token: str
    begin: str
    end: str | None

    @property
    def round(self) -> int:
        return int(self.name.rsplit("-", 2)[1].removeprefix("r"))


def label_of(number: int) -> str:
    """The label that every model gives to the row of this number."""
    return LABELS[number % len(LABELS)]


@cache
def console(cloud: LocalCloud) -> boto3.Session:
    """One session for all trials of a cloud: each new one would read botocore's descriptions of Bedrock again."""
    return cloud.session()


class Trial:
    """One input, task and fault plan on the shared cloud.

    Both models know the label of every row. The first one is unsure of the first `unsure` rows, which escalate, and
    as sure of the others as `sure` says; the second is certain of all.
    """

    alone = True  # whether all calls in the stand-in's journal are those of one run

    def __init__(
        self,
        flow: Flow,
        rows: int = 200,
        *,
        faults: Mapping[str, Any] | None = None,
        unsure: int = 0,
        sure: str = "certain",
        task: Mapping[str, Any] | None = None,
        settings: Mapping[str, object] | None = None,
    ) -> None:
        folder: Path = flow.folder()
        self.cloud = flow.cloud
        self.task = parse_task({**PLAIN, **(task or {})}, "the test's task")
        self.files = [write(folder / "in.jsonl", numbered(rows))]
        said = record(folder / "answers.jsonl", dict(replies(rows, unsure, sure)))
        plan = write(folder / "faults.yaml", yaml.safe_dump(dict(faults or {})).encode())
        # A trial's jobs are small so that there are many of them, and looks come at once so that it is short.
        short = {"min_records_per_job": 20, "poll_seconds_max": 60, **(settings or {})}
        self.request = Request(self.files, self.task, folder / "out", Answers.everywhere(f"replay:{said}"), short, plan)
        self.run = ""

    def begin(self) -> str:
        """Start the run; its id."""
        prepare(self.cloud, self.request)
        self.run = start(self.cloud, self.request)
        return self.run

    def finish(self, name: str = "") -> Outcome:
        """Wait for an execution of the run, the first unless told otherwise, and collect the outcome."""
        self.cloud.wait(name or self.run)
        return self.outcome()

    def go(self) -> Outcome:
        """Run to the end."""
        self.begin()
        return self.finish()

    def resume(self, **more: Any) -> Outcome:
        """Go on with the run in a further execution."""
        begun = self.cloud.invoke("start", {"resume": {"run": self.run, **more}})
        return self.finish(begun["execution"])

    def outcome(self) -> Outcome:
        """What lies there now; a run that has published is held to its books, its labels and its bill."""
        run = collect(self.cloud, self.run, self.request.out)
        outcome = Outcome(self.task, self.request.out, run, read_rows(self.request.out, run))
        if run["status"] != "failed":
            hold(outcome)
        self.hold_labels(outcome)
        self.hold_bill(run)
        hold_calls(self.request.out)
        return outcome

    def hold_labels(self, outcome: Outcome) -> None:
        """Each label is the recorded answer to that row's own text."""
        for row in outcome.rows:
            if row["label"] is not None:
                assert row["label"] == label_of(int(row["id"].removeprefix("n")))

    def hold_bill(self, run: Mapping[str, Any]) -> None:
        """Nothing was bought twice within a round, and the tokens of run.json are those of the outputs."""
        jobs = self.jobs()
        assert len({job.name for job in jobs}) == len(jobs)
        assert len({job.token for job in jobs}) == len(jobs)
        sent = self.sent()
        for round_, records in sent.items():
            assert max(Counter(records).values()) == 1, f"round {round_}"
        calls = Counter(call["request"] for call in self.calls("Converse") if call["error"] is None)
        if self.alone:
            assert sum(calls.values()) <= sum(len(self.records(place)) for place in self.on_demand)
        assert max(calls.values(), default=0) <= len(sent)
        tokens = [sum(tier[name] for tier in run["tiers"]) for name in ("input_tokens", "output_tokens")]
        assert tokens == self.tokens()

    @cached_property
    def bedrock(self) -> Any:
        """A client of the stand-in, as somebody in the console has one."""
        return console(self.cloud).client("bedrock", endpoint_url=self.cloud.bedrock)

    def jobs(self) -> list[Bought]:
        """All Bedrock jobs of the run, the oldest first."""
        pages = self.bedrock.get_paginator("list_model_invocation_jobs").paginate(nameContains=f"{self.run}-r")
        found = [job for page in pages for job in page["invocationJobSummaries"]]
        return sorted(
            Bought(
                job["jobName"],
                job["jobArn"],
                job["status"],
                job["modelId"],
                job["clientRequestToken"],
                job["submitTime"].isoformat(),
                job["endTime"].isoformat() if "endTime" in job else None,
            )
            for job in found
        )

    def calls(self, operation: str) -> list[dict[str, Any]]:
        """The calls of an operation that came while this trial had the stand-in, from the stand-in's journal."""
        path = self.request.out / "logs" / "bedrock.jsonl"
        lines = map(json.loads, path.read_text().splitlines()) if path.exists() else []
        return [line for line in lines if line["operation"] == operation]

    def most_at_once(self) -> int:
        """How many jobs of one model were open at the same time, at most."""
        most = 0
        for model in {job.model for job in self.jobs()}:
            jobs = [job for job in self.jobs() if job.model == model]
            moments = sorted([(job.begin, 1) for job in jobs] + [(job.end or "9999", -1) for job in jobs])
            level = 0
            for _, step in moments:
                level += step
                most = max(most, level)
        return most

    def wait_until(self, happened: Callable[[], object]) -> None:
        """Look until something has happened, while the run goes on."""
        deadline = time.monotonic() + 40
        while not happened():
            assert time.monotonic() < deadline, "it never happened"
            time.sleep(0.02)

    # What the run has kept: the requests that it sent, and what came back.

    @property
    def work(self) -> str:
        return self.cloud.bucket("SLUICE_WORK_BUCKET")

    def keys(self, ending: str) -> list[str]:
        """The keys of the run that end so."""
        folders = (f"{folder}/{self.run}/" for folder in ("runs", "requests"))
        return [key for folder in folders for key in self.cloud.keys(self.work, folder) if key.endswith(ending)]

    def read(self, key: str) -> bytes:
        data = self.cloud.read(self.work, key)
        assert data is not None
        return data

    @property
    def on_demand(self) -> list[str]:
        """The places of the jobs that were sent by single calls."""
        return sorted({key.rpartition("/infer/")[0] for key in self.keys(".begun")})

    def records(self, place: str) -> list[str]:
        """The records that a job was prepared to send."""
        requests = self.read(f"{passing(place)}/in/part-0.jsonl")
        return [json.loads(line)["recordId"] for line in requests.splitlines()]

    def sent(self) -> dict[int, list[str]]:
        """The records of each round that were sent: in jobs that the stand-in took on, or by calls."""
        named = {job.name.removeprefix(f"{self.run}-r") for job in self.jobs()}
        places = [f"runs/{self.run}/round-{name.replace('-', '/')}" for name in named]
        sent: defaultdict[int, list[str]] = defaultdict(list)
        for place in [*places, *self.on_demand]:
            sent[int(place.split("/")[-2].removeprefix("round-"))] += self.records(place)
        return dict(sorted(sent.items()))

    def tokens(self) -> list[int]:
        """Input and output tokens of the first answer to each record of each job that has books."""
        sums = [0, 0]
        outputs = self.keys(".jsonl.out")
        for place in (key.removesuffix("/counts.json") for key in self.keys("/counts.json")):
            wanted = set(self.records(place))
            lines = (
                line for key in outputs if key.startswith(f"{passing(place)}/") for line in self.read(key).splitlines()
            )
            for found in map(decoded, lines):
                if found.get("recordId") in wanted and "modelOutput" in found:
                    wanted.remove(found["recordId"])
                    usage = found["modelOutput"]["usage"]
                    sums = [sums[0] + usage["inputTokens"], sums[1] + usage["outputTokens"]]
        return sums


def passing(place: str) -> str:
    """Where the requests of a job lie, and what came back."""
    return place.replace("runs/", "requests/", 1)


def decoded(line: bytes) -> dict[str, Any]:
    """A line of output, empty where it is none."""
    try:
        found = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeError):
        return {}
    return found if isinstance(found, dict) else {}


def replies(rows: int, unsure: int, sure: str) -> Iterable[tuple[str, dict[str, str]]]:
    """What each model says of each row."""
    for number in range(rows):
        label = label_of(number)
        said = reply(label, "unsure" if number < unsure else sure)
        yield f"n{number}", {FIRST: said, SECOND: reply(label)}


def exit_code(outcome: Outcome) -> int:
    """The exit status with which `sluice run` would end."""
    return int(OF_STATUS[outcome.run["status"]])
