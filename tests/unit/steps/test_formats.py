"""Runs that an earlier version began: recordings of every format that is readable, taken up by today's steps."""

from __future__ import annotations

import io
import re
import zipfile
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow.parquet as pq
import pytest

from sluice.errors import Stop
from sluice.results.run_document import read_run
from sluice.runs import state
from sluice.runs.books import Counts, PartBooks
from sluice.runs.document import READABLE, Document, read
from sluice.runs.job import Ended, Prepared, Submitted
from sluice.runs.keys import Keys
from sluice.steps import rejudge, resume
from sluice.steps.services import Run
from tests.formats.record import FOLDER, machine, task

if TYPE_CHECKING:
    from tests.harness.machine import Machine

# The document behind each kind of key.
KINDS: dict[str, type[Document]] = {
    r"start\.json": state.Start,
    r"inputs\.json": state.Inputs,
    r"plan\.json": state.RunPlan,
    r"round-\d+/plan\.json": state.RoundPlan,
    r"round-\d+/\d{5}/prepared\.json": Prepared,
    r"round-\d+/\d{5}/submitted\.json": Submitted,
    r"round-\d+/\d{5}/ended\.json": Ended,
    r"round-\d+/\d{5}/counts\.json": Counts,
    r"resumed/\d{3}\.json": state.Resumption,
    r"end-\d+/end\.json": state.End,
    r"end-\d+/merged/\d{6}\.json": PartBooks,
}
# What the last execution wrote over: outputs of a run, which no step reads.
OUTPUTS = re.compile(r"work/runs/[^/]+/run\.json|results/.*")
RECORDINGS = [(number, name) for number in sorted(READABLE) for name in ("whole", "cancelled")]


@cache
def recording(number: int, name: str) -> dict[str, bytes]:
    """The objects of a recorded run by bucket and key, in the order in which they came to be."""
    with zipfile.ZipFile(FOLDER / f"format-{number}.zip") as archive:
        own = [entry for entry in archive.namelist() if entry.startswith(f"{name}/")]
        return {entry.removeprefix(f"{name}/"): archive.read(entry) for entry in own}


def run_of(objects: dict[str, bytes]) -> str:
    return next(path.split("/")[2] for path in objects if path.startswith("work/runs/"))


def taken_up(objects: dict[str, bytes]) -> Machine:
    """A deployment of today that finds these objects."""
    made = machine()
    for path, data in objects.items():
        bucket, key = path.split("/", 1)
        made.s3.objects[bucket, key] = data
    return made


def stops(objects: dict[str, bytes]) -> list[int]:
    """After how many objects the earlier version may have been replaced: wherever no job is under way.

    The Bedrock of these tests knows no jobs from before; what today reads of them is in the documents' own test.
    """
    found, flying = list[int](), set[str]()
    for number, path in enumerate(objects, 1):
        job, _, kind = path.rpartition("/")
        flying |= {job} if kind == "submitted.json" else set()
        flying -= {job} if kind == "ended.json" else set()
        if not flying and (found or kind == "start.json"):
            found.append(number)
    return found[:-1]  # behind the last one the run is published


def decided(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    names = ("source", "line", "id", "status", "label", "reason", "n")
    return sorted(tuple(row[name] for name in names) for row in rows)


def recorded_rows(objects: dict[str, bytes]) -> list[dict[str, Any]]:
    files = [data for path, data in objects.items() if path.startswith("results/results/")]
    return [row for data in files for row in pq.ParquetFile(io.BytesIO(data)).read().to_pylist()]


@pytest.mark.parametrize(("number", "name"), RECORDINGS)
def test_every_document_of_an_earlier_version_is_read(number: int, name: str) -> None:
    """A field that came later has a default; a field that went is let pass."""
    found = set()
    for path, data in recording(number, name).items():
        for pattern, kind in KINDS.items():
            if re.fullmatch(f"work/runs/[^/]+/{pattern}", path):
                assert read(kind, data, path).format == number
                found.add(kind)
    assert found == set(KINDS.values()) - ({state.Resumption} if name == "whole" else set())


@pytest.mark.parametrize(("number", "name"), RECORDINGS)
def test_a_run_that_an_earlier_version_began_is_finished_from_wherever_it_stands(number: int, name: str) -> None:
    """Every step reads what the steps before it left in yesterday's format, and decides each row alike."""
    objects = recording(number, name)
    run, expected = run_of(objects), decided(recorded_rows(objects))
    places = stops(objects)
    assert len(places) > 20
    for stop in places:
        before = {path: data for path, data in list(objects.items())[:stop] if not OUTPUTS.fullmatch(path)}
        made = taken_up(before)
        summary = made.finish(run)
        assert summary["status"] == "succeeded", (stop, summary["error"])
        assert decided(made.rows()) == expected, stop


@pytest.mark.parametrize(("number", "name"), RECORDINGS)
def test_a_run_that_an_earlier_version_finished_is_resumed_and_buys_nothing(number: int, name: str) -> None:
    """Its books, answers and parts are those of yesterday."""
    objects = recording(number, name)
    made, run = taken_up(objects), run_of(objects)
    resume.run(made.services, run)
    assert made.execute(run)["status"] == "succeeded"
    assert not made.faulty.bought
    assert decided(made.rows()) == decided(recorded_rows(objects))


@pytest.mark.parametrize(("number", "name"), RECORDINGS)
def test_answers_that_an_earlier_version_bought_are_judged_again(number: int, name: str) -> None:
    """Rows, records and outputs of yesterday under a gate of today."""
    objects = recording(number, name)
    made = taken_up(objects)
    new = rejudge.run(made.services, run_of(objects), task().model_copy(update={"description": "Judged again."}))
    assert made.execute(new)["status"] == "succeeded"
    assert not made.faulty.bought


@pytest.mark.parametrize(("number", "name"), RECORDINGS)
def test_the_command_line_reads_the_summary_of_an_earlier_version(number: int, name: str) -> None:
    """run.json gains keys, and loses none."""
    objects = recording(number, name)
    run = run_of(objects)
    document = msgspec.json.decode(objects[f"work/{Keys(run).summary}"])
    read_run(document)
    made = taken_up(objects)
    resume.run(made.services, run)
    assert document.keys() <= made.execute(run).keys()


def test_a_format_that_nobody_knows_is_refused() -> None:
    """By its number, rather than by what happens to be missing in it."""
    objects = recording(1, "whole")
    made, run = taken_up(objects), run_of(objects)
    start = msgspec.json.decode(objects[f"work/{Keys(run).start}"])
    made.work.put(Keys(run).start, msgspec.json.encode({**start, "format": 99}))
    with pytest.raises(Stop, match=r"has format 99; this version reads \[1\]"):
        _ = Run(made.work, run).start
