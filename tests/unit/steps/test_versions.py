"""Versions of one key in the inbox: each a run, or the newest alone; and how many of them run within an hour."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.runs.document import read
from sluice.runs.inbox import Notice
from sluice.runs.keys import Keys
from sluice.runs.state import Inputs
from tests.harness.inbox import World
from tests.unit.steps.test_intake import deliver, later, meanwhile, sweep

if TYPE_CHECKING:
    from pathlib import Path

KEYS = ("latest/a.jsonl", "latest/b.csv")
DROPS = st.sampled_from(KEYS).map(lambda key: lambda world: world.drop(key))
PROCESSES = st.one_of(st.integers(0, 30).map(deliver), st.just(sweep()), st.just(sweep(task="latest", now=True)))
TIMES = st.sampled_from([1, 20, 61, 1000]).map(later)
# What happens at one point after the other: mostly nothing.
POINTS = st.lists(
    st.one_of(
        *[st.none()] * 3,
        st.sampled_from(["die before", "die after", "conflict"]),
        st.lists(st.one_of(DROPS, PROCESSES, TIMES), min_size=1, max_size=4).map(meanwhile),
    ),
    max_size=40,
)
ACTS = st.lists(st.one_of(DROPS, PROCESSES, TIMES), min_size=3, max_size=25)


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A task that runs each version, and one that runs the newest."""
    folder = tmp_path_factory.mktemp("tasks")
    for name, trigger in (("each", "on_drop"), ("latest", "{versions: latest}")):
        text = f"name: {name}\ninput: {{text: text}}\nlabels: [a, b]\ntrigger: {trigger}\n"
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    return folder


def frozen(world: World) -> dict[str, Inputs]:
    """What each run has frozen."""
    found = {run: Keys(run).inputs for run in world.runs()}
    return {run: read(Inputs, world.work.get(key), key) for run, key in found.items()}


def noted(world: World) -> set[tuple[str, str | None]]:
    """URI and version of each object of which a notice tells."""
    notices = [read(Notice, world.work.get(key), key) for key in world.keys("notices/")]
    return {(f"s3://{notice.bucket}/{notice.key}", notice.version) for notice in notices}


def test_the_newest_of_what_waits_together_is_run(tasks: Path) -> None:
    """Those before it are named in the run and in a notice, as no fault of anybody, and never run."""
    world = World(tasks)
    for _ in range(3):
        world.arrive("latest/a.jsonl")
        world.later(1)
    world.arrive("latest/b.csv")
    world.later(61)
    (run,) = world.sweep().runs
    kept = frozen(world)[run]
    assert [(item.uri[14:], item.version) for item in kept.inputs] == [("latest/a.jsonl", "v2"), ("latest/b.csv", "v3")]
    assert [(item.uri, item.version) for item in kept.passed_over] == [
        ("s3://incoming/latest/a.jsonl", "v0"),
        ("s3://incoming/latest/a.jsonl", "v1"),
    ]
    assert noted(world) == {(item.uri, item.version) for item in kept.passed_over}
    assert (world.told, world.keys("inbox/")) == ({}, [])
    for event in world.events:
        world.deliver(event)
    world.later(1000)
    assert world.sweep().runs == []
    assert world.keys("inbox/") == []


def test_a_version_that_comes_later_is_a_run_of_its_own(tasks: Path) -> None:
    """Only what waits together is passed over."""
    world = World(tasks)
    for _ in range(2):
        world.arrive("latest/a.jsonl")
        world.later(61)
        assert len(world.sweep().runs) == 1
    assert noted(world) == set()


@settings(max_examples=60)
@given(acts=ACTS, points=POINTS)
def test_each_version_is_run_once_or_passed_over_once(tasks: Path, acts: list[Any], points: list[Any]) -> None:
    """Wherever processes die or overlap: none is lost, none twice, and a newest one is never passed over."""
    world = World(tasks, dict(enumerate(points)), settings={"max_versions_per_hour": 3})
    for act in acts:
        act(world)
    world.plan = {}
    for event in world.events:
        world.deliver(event)
    for _ in range(40):
        world.later(901)
        assert world.sweep().problems == []
    assert world.keys("inbox/") == []
    ours = [event for event in world.events if event["detail"]["object"]["key"] in KEYS]
    dropped = {(f"s3://incoming/{e['detail']['object']['key']}", e["detail"]["object"]["version-id"]) for e in ours}
    run = Counter(place for places in world.runs().values() for place in places)
    passed = noted(world) & dropped
    assert max(run.values(), default=1) == 1
    assert set(run) & dropped == dropped - passed
    named = [(item.uri, item.version) for kept in frozen(world).values() for item in kept.passed_over]
    assert len(named) == len(set(named))
    assert set(named) <= passed
    for key in KEYS:
        times = {(e["detail"]["object"]["version-id"]): e["time"] for e in ours if e["detail"]["object"]["key"] == key}
        last = {(f"s3://incoming/{key}", version) for version, at in times.items() if at == max(times.values())}
        assert not last or last - passed


def test_more_versions_within_an_hour_wait(tasks: Path) -> None:
    """The oldest go first, other keys beside them; what waits is overdue, and goes when the hour is over."""
    world = World(tasks, settings={"max_versions_per_hour": 2})
    for _ in range(5):
        world.arrive("each/a.jsonl")
        world.later(1)
    world.arrive("each/b.jsonl")
    world.later(61)
    swept = world.sweep()
    assert (len(swept.runs), swept.waiting) == (2, 3)
    assert swept.held == "max_versions_per_hour = 2: s3://incoming/each/a.jsonl has had so many runs within the hour"
    world.later(1800)
    world.arrive("each/c.jsonl")
    world.later(61)
    swept = world.sweep()
    assert [place for run in swept.runs for place in world.runs()[run]] == [("s3://incoming/each/c.jsonl", "v6")]
    assert swept.overdue_seconds > 1800
    for _ in range(2):
        world.later(3601)
        world.sweep()
    read = {version for places in world.runs().values() for uri, version in places if uri.endswith("a.jsonl")}
    assert read == {"v0", "v1", "v2", "v3", "v4"}
    assert world.keys("inbox/") == []


def test_a_signal_stays_with_what_it_speaks_of(tasks: Path) -> None:
    """A command for a held object is not used up before the object has gone."""
    world = World(tasks, settings={"max_versions_per_hour": 1})
    for _ in range(2):
        world.arrive("each/a.jsonl")
    assert len(world.sweep(task="each", now=True).runs) == 1
    assert len(world.keys("inbox/signals/")) == 1
    world.later(3601)
    assert len(world.sweep().runs) == 1
    assert world.keys("inbox/") == []


def test_no_limit_is_a_limit_that_can_be_set(tasks: Path) -> None:
    """null: as many runs of a key as there are versions."""
    world = World(tasks, settings={"max_versions_per_hour": None})
    for _ in range(25):
        world.arrive("each/a.jsonl")
    world.later(61)
    assert len(world.sweep().runs) == 25
