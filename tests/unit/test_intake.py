"""Intake: what arrives becomes runs, each object in exactly one, in whatever order and however often it is told of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.harness.inbox import World, write_tasks

if TYPE_CHECKING:
    from pathlib import Path

Act = Callable[["World"], object]
GOOD = ("texts/a.jsonl", "texts/b.csv", "texts/a b+c%25é.jsonl", "batches/1/x.jsonl", "batches/2/y", "nightly/z.jsonl")
BAD = ("tests/a.jsonl", "texts/a.xlsx", "alone.jsonl", "nightly/z.parquet.gz")
NIGHT = "2026-11-20T06:00:00Z"


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tasks(tmp_path_factory.mktemp("tasks"))


@pytest.fixture
def world(tasks: Path) -> World:
    return World(tasks)


# The invariant.


def deliver(number: int) -> Act:
    def act(world: World) -> None:
        if world.events:
            world.deliver(world.events[number % len(world.events)])

    return act


def drop(key: str) -> Act:
    return lambda world: world.drop(key)


def sweep(**wanted: Any) -> Act:
    return lambda world: world.sweep(**wanted)


def later(seconds: float) -> Act:
    return lambda world: world.later(seconds)


def meanwhile(acts: list[Act]) -> Act:
    """Other processes, one after the other, while this one is in the middle of its work."""

    def act(world: World) -> None:
        for other in acts:
            other(world)

    return act


DROPS = st.sampled_from([*GOOD, *BAD, "texts/folder/", "_submitted/1/a.jsonl", "batches/1/_READY"]).map(drop)
PROCESSES = st.one_of(
    st.integers(0, 30).map(deliver),
    st.just(sweep()),
    st.sampled_from([NIGHT, "2026-11-21T06:00:00Z"]).map(lambda time: sweep(task="nightly", time=time)),
    st.sampled_from(["texts", "batches"]).map(lambda task: sweep(task=task, now=True)),
)
TIMES = st.sampled_from([1, 20, 61, 1000]).map(later)
ACTS = st.lists(st.one_of(DROPS, PROCESSES, TIMES), min_size=3, max_size=25)
# What happens at one point after the other: mostly nothing.
POINTS = st.lists(
    st.one_of(
        *[st.none()] * 3,
        st.sampled_from(["die before", "die after", "conflict"]),
        st.lists(st.one_of(DROPS, PROCESSES, TIMES), min_size=1, max_size=4).map(meanwhile),
    ),
    max_size=40,
)


def heal(world: World) -> None:
    """From here on nothing goes wrong: every event comes at last, and once more, and the clock goes on."""
    world.plan = {}
    for event in [*world.events, *world.events]:
        world.deliver(event)
    world.deliver(world.drop("batches/_READY"))
    world.sweep(task="nightly", time="2026-11-22T06:00:00Z")
    for _ in range(6):
        world.later(901)
        swept = world.sweep()
        assert swept.problems == []
    assert world.keys("inbox/") == []


@settings(max_examples=300, deadline=None)
@given(acts=ACTS, points=POINTS)
def test_each_object_is_in_exactly_one_run(tasks: Path, acts: list[Any], points: list[Any]) -> None:
    """Whatever is doubled, late, out of order or overlapping, wherever processes die: nothing is lost or run twice."""
    world = World(tasks, dict(enumerate(points)))
    for act in acts:
        act(world)
    heal(world)
    hold(world)


def hold(world: World) -> None:
    """Each good object is in one run, no key twice in one, each bad one has one notice, each run one execution."""
    runs = world.runs()
    assert all(len(dict(places)) == len(places) for places in runs.values())
    dropped = [event["detail"]["object"] for event in world.events]
    good = [(f"s3://incoming/{item['key']}", item["version-id"]) for item in dropped if item["key"] in GOOD]
    assert Counter(place for places in runs.values() for place in places) == Counter(good)
    assert sorted(world.executions) == sorted(runs)
    refused = {item["key"] for item in dropped if item["key"] in BAD}
    assert {place.removeprefix("incoming/") for place in world.told} == refused
    assert len(world.keys("notices/")) == sum(item["key"] in BAD for item in dropped)


def morning(world: World) -> None:
    """Objects for two tasks, among them one that cannot be read and one that only looks like a good one."""
    world.arrive("texts/a.jsonl", "texts/b.csv", "nightly/z.jsonl", "texts/a.xlsx", "nightly/z.parquet.gz")
    world.arrive("batches/1/x.jsonl", "batches/1/_READY")
    world.later(61)
    world.sweep()
    world.sweep(task="nightly", time=NIGHT)
    world.sweep(task="nightly", time=NIGHT)


# All that the other processes can do in the middle of one; after a pause the intents of others count as abandoned.
MEANWHILE: dict[str, Any] = {
    "die before": "die before",
    "die after": "die after",
    "conflict": "conflict",
    "sweep": sweep(),
    "the event again": meanwhile([deliver(0), deliver(2)]),
    "sweep much later": meanwhile([later(1000), sweep()]),
    "one more and a command": meanwhile(
        [drop("texts/a b+c%25é.jsonl"), deliver(-1), later(1000), sweep(task="texts", now=True)]
    ),
    "the tick again": meanwhile([drop("nightly/z.jsonl"), deliver(-1), later(1000), sweep(task="nightly", time=NIGHT)]),
}


def count_points(tasks: Path) -> int:
    world = World(tasks)
    morning(world)
    return world.points


@pytest.mark.parametrize("name", MEANWHILE)
def test_whatever_happens_at_one_moment_is_healed(tasks: Path, name: str) -> None:
    """At every single write of a morning, before and after it."""
    for point in range(count_points(tasks)):
        world = World(tasks, {point: MEANWHILE[name]})
        morning(world)
        heal(world)
        hold(world)


@pytest.mark.parametrize("name", ["sweep much later", "one more and a command", "the tick again"])
def test_a_process_that_dies_in_the_middle_of_another_is_healed(tasks: Path, name: str) -> None:
    """At every moment of a morning another process runs, and dies at one of its first writes."""
    for point in range(count_points(tasks)):
        for more in range(1, 9):
            world = World(tasks, {point: MEANWHILE[name], point + more: "die after"})
            morning(world)
            heal(world)
            hold(world)
