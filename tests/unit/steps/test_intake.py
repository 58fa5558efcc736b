"""Intake: what arrives becomes runs, each object in exactly one, in whatever order and however often it is told of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.errors import BadTask
from sluice.runs.inbox import Intake, Source
from sluice.steps import intake
from sluice.steps.services import Run
from sluice.task.file import load_task
from tests.harness.inbox import World, write_tasks
from tests.harness.s3 import Objects
from tests.harness.stage import stage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Act = Callable[["World"], object]
GOOD = ("texts/a.jsonl", "texts/b.csv", "texts/a b+c%25é.jsonl", "batches/1/x.jsonl", "batches/2/y", "nightly/z.jsonl")
BAD = ("tests/a.jsonl", "texts/a.xlsx", "alone.jsonl", "nightly/z.parquet.gz")
NIGHT = "2026-11-20T06:00:00Z"


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of tasks that no test changes, so that thousands of sweeps parse each of them once."""
    folder = write_tasks(tmp_path_factory.mktemp("tasks"))
    shared = cache(partial(load_task, directory=folder))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(intake, "load_task", lambda name, of: shared(name) if of == folder else load_task(name, of))
        yield folder


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


@settings(max_examples=300)
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


def arrive(key: str) -> Act:
    return lambda world: world.arrive(key)


# Objects for two tasks, among them one that cannot be read and one that only looks like a good one.
MORNING: list[Act] = [
    *map(arrive, ("texts/a.jsonl", "texts/b.csv", "nightly/z.jsonl", "texts/a.xlsx", "nightly/z.parquet.gz")),
    *map(arrive, ("batches/1/x.jsonl", "batches/1/_READY")),
    later(61),
    sweep(),
    sweep(task="nightly", time=NIGHT),
    sweep(task="nightly", time=NIGHT),
]


@pytest.fixture(scope="module")
def mornings(tasks: Path) -> list[World]:
    """The world before each act of an undisturbed morning, and after the last."""
    found = [World(tasks)]
    for act in MORNING:
        found.append(found[-1].goes_on({}))
        act(found[-1])
    return found


def disturb(mornings: list[World], plan: dict[int, Any]) -> None:
    """A morning that a plan disturbs, from the act of its first point on, as what was before is the same; healed."""
    at = max(n for n, world in enumerate(mornings[:-1]) if world.points <= min(plan))
    world = mornings[at].goes_on(plan)
    for act in MORNING[at:]:
        act(world)
    heal(world)
    hold(world)


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


@pytest.mark.parametrize("name", MEANWHILE)
def test_whatever_happens_at_one_moment_is_healed(mornings: list[World], name: str) -> None:
    """At every single write of a morning, before and after it."""
    for point in range(mornings[-1].points):
        disturb(mornings, {point: MEANWHILE[name]})


@pytest.mark.parametrize("name", ["sweep much later", "one more and a command", "the tick again"])
def test_a_process_that_dies_in_the_middle_of_another_is_healed(mornings: list[World], name: str) -> None:
    """At every moment of a morning another process runs, and dies at one of its first writes."""
    for point in range(mornings[-1].points):
        for more in range(1, 9):
            disturb(mornings, {point: MEANWHILE[name], point + more: "die after"})


# When what arrived is due.


def runs_of(swept: Any) -> list[str]:
    assert swept.problems == []
    return list(swept.runs)


def test_what_is_dropped_together_is_one_run(world: World) -> None:
    """500 objects, once nothing more has come for a while; a minute later there is nothing left to do."""
    world.arrive(*(f"texts/{n:03}.jsonl" for n in range(500)))
    assert runs_of(world.sweep()) == []
    world.later(59)
    world.arrive("texts/late.jsonl")
    world.later(59)
    assert world.sweep().waiting == 501
    world.later(1)
    (run,) = runs_of(world.sweep())
    assert len(world.runs()[run]) == 501
    assert runs_of(world.sweep()) == []
    assert world.executions == [run]


def test_an_event_that_comes_again_after_its_run_leaves_nothing(world: World) -> None:
    """What waits is counted, and a task by the clock would count it until its next tick."""
    world.arrive("nightly/a.jsonl")
    assert len(runs_of(world.sweep(task="nightly", time=NIGHT))) == 1
    world.deliver(world.events[0])
    assert world.keys("inbox/") == []


def test_where_objects_keep_coming_the_first_does_not_wait_for_ever(world: World) -> None:
    """Ten times the time to settle, and what is there goes."""
    for number in range(20):
        world.arrive(f"texts/{number}.jsonl")
        world.later(30)
        if world.sweep().runs:
            break
    assert (number, len(world.executions)) == (19, 1)


def test_a_ready_object_speaks_for_its_folder(world: World) -> None:
    """After a grace, since its event may have overtaken the others; what lies elsewhere goes on waiting."""
    world.arrive("batches/1/x.jsonl", "batches/2/y", "batches/2/_READY")
    assert runs_of(world.sweep()) == []
    world.arrive("batches/2/deep/z.jsonl")
    world.later(15)
    swept = world.sweep()
    assert sorted(uri for uri, _ in world.runs()[swept.runs[0]]) == [
        "s3://incoming/batches/2/deep/z.jsonl",
        "s3://incoming/batches/2/y",
    ]
    world.later(10_000)
    assert (world.sweep().runs, world.sweep().waiting) == ([], 1)


def test_a_ready_object_hastens_a_drop(world: World) -> None:
    """It counts whatever the trigger."""
    world.arrive("texts/a.jsonl", "texts/_READY")
    world.later(15)
    assert len(runs_of(world.sweep())) == 1


def test_a_ready_object_that_comes_again_without_a_version_is_another(tasks: Path) -> None:
    """Each day's is empty like the one before; the event's sequencer tells them apart from a doubled event."""
    world = World(tasks, intake=Intake(sources=(Source(bucket="elsewhere", prefix="in/", task="batches"),)))
    for day in range(2):
        world.deliver(world.drop(f"in/{day}.jsonl", bucket="elsewhere"))
        event = world.drop("in/_READY", b"", bucket="elsewhere")
        world.deliver(event)
        world.later(20)
        assert len(runs_of(world.sweep())) == 1
        world.deliver(event)
    world.deliver(world.drop("in/more.jsonl", bucket="elsewhere"))
    world.later(20)
    assert runs_of(world.sweep()) == []


def test_a_tick_counts_once_and_names_its_run(world: World) -> None:
    """What comes after it waits for the next one, however often the first is delivered."""
    world.arrive("nightly/a.jsonl")
    world.later(100_000)
    assert runs_of(world.sweep()) == []
    (run,) = runs_of(world.sweep(task="nightly", time=NIGHT))
    assert run.startswith("nightly-20261120t060000-")
    world.arrive("nightly/b.jsonl")
    assert runs_of(world.sweep(task="nightly", time=NIGHT)) == []
    assert len(runs_of(world.sweep(task="nightly", time="2026-11-21T06:00:00Z"))) == 1


def test_a_deployment_has_the_last_word_on_a_trigger(tasks: Path) -> None:
    """Off means that neither quiet nor clock begins a run; a command does."""
    world = World(tasks, intake=Intake(schedules={"texts": "off"}))
    world.arrive("texts/a.jsonl")
    world.later(100_000)
    assert runs_of(world.sweep()) == []
    assert len(runs_of(world.sweep(task="texts", now=True))) == 1


def test_quiet_minutes_are_cheap(world: World) -> None:
    """With thousands waiting for their tick, a minute's sweep asks S3 for the list and nothing else."""
    world.arrive(*(f"nightly/{n}.jsonl" for n in range(50)))
    world.s3.requests = 0
    swept = world.sweep()
    assert (swept.waiting, swept.overdue_seconds, world.s3.requests) == (50, 0, 1)


# What is refused.


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("tests/a.jsonl", "there is no task tests; did you mean texts/? Deployed are: batches, nightly, texts"),
        ("alone.jsonl", "it lies in no task's folder; Deployed are: batches, nightly, texts"),
        ("texts/a.XLSX", "it ends in .xlsx; rows are read from .jsonl, "),
        ("texts/a.tar.gz", "it ends in .tar.gz; rows"),
        ("texts/a.parquet.gz", "it ends in .parquet.gz: Parquet is compressed in itself; unpack it"),
    ],
)
def test_what_nothing_can_become_of_is_refused_once(world: World, key: str, reason: str) -> None:
    """The notice says why and what to do; a doubled event says nothing more."""
    event = world.drop(key)
    notice = world.deliver(event)
    assert notice.reason.startswith(reason)
    assert notice.reason.endswith(f"sluice submit 's3://incoming/{key}' --task NAME")
    assert world.deliver(event) is None
    assert world.told == {f"incoming/{key}": 1}
    assert world.keys("inbox/") == []


@pytest.mark.parametrize(
    "key",
    [
        *("texts/", "texts/sub/", "_submitted/1/a.jsonl"),
        *("texts/_SUCCESS", "texts/.DS_Store", "texts/sub/_metadata", "texts/_temporary/0/a.jsonl", "texts/.tmp/a.csv"),
    ],
)
def test_some_objects_are_nobodys_business(world: World, key: str) -> None:
    """Folders' placeholders, what was uploaded for a command, and what writers leave beside their data."""
    assert world.deliver(world.drop(key)) is None
    assert (world.keys(""), world.told) == ([], {})


def test_one_bad_object_keeps_no_other_from_its_run(tasks: Path) -> None:
    """Gone, too large for one worker, or replaced in a bucket without versions: each has its notice."""
    intake = Intake(sources=(Source(bucket="elsewhere", task="texts"),))
    world = World(tasks, settings={"max_text_bytes": 20}, intake=intake)
    world.arrive("texts/a.jsonl", "texts/gone.jsonl")
    world.deliver(world.drop("texts/large.csv", b"text\n" * 9))
    for body in (b"{}\n", b"{ }\n"):
        world.deliver(world.drop("b.jsonl", body, bucket="elsewhere"))
    world.s3.objects = Objects({place: body for place, body in world.s3.objects.items() if "gone" not in place[1]})
    world.later(61)
    swept = world.sweep()
    read = [uri for places in world.runs().values() for uri, _ in places]
    assert sorted(read) == ["s3://elsewhere/b.jsonl", "s3://incoming/texts/a.jsonl"]
    assert {notice.key for notice in swept.refused} == {"texts/gone.jsonl", "texts/large.csv", "b.jsonl"}
    assert world.keys("inbox/") == []


def test_what_may_not_be_read_waits_until_it_may(tasks: Path) -> None:
    """A role or a key that lacks a right is no fault of the object: nothing is refused, and somebody is told."""
    world = World(tasks, intake=Intake(sources=(Source(bucket="elsewhere", task="texts"),)))
    for key in ("a.jsonl", "b.jsonl"):
        world.deliver(world.drop(key, bucket="elsewhere"))
    world.s3.denied.add("elsewhere")
    world.later(600)
    swept = world.sweep()
    assert (swept.refused, swept.runs, swept.overdue_seconds) == ([], [], 540)
    assert [problem.partition(":")[0] for problem in swept.problems] == ["texts"]
    assert world.told == {}
    world.s3.denied.clear()
    world.later(60)
    (run,) = runs_of(world.sweep())
    assert [uri for uri, _ in world.runs()[run]] == ["s3://elsewhere/a.jsonl", "s3://elsewhere/b.jsonl"]
    assert world.keys("inbox/") == []


def test_names_that_begin_with_an_underscore_are_no_data_anywhere(tasks: Path) -> None:
    """In somebody else's bucket a folder called _submitted holds no uploads for commands, and no rows either."""
    world = World(tasks, intake=Intake(sources=(Source(bucket="elsewhere", task="texts"),)))
    world.deliver(world.drop("_submitted/a.jsonl", bucket="elsewhere"))
    world.deliver(world.drop("submitted/a.jsonl", bucket="elsewhere"))
    assert len(world.keys("inbox/waiting/texts/")) == 1


def test_an_object_of_no_source_is_refused(world: World) -> None:
    """A rule that tells of more than the deployment reads is noticed."""
    notice = world.deliver(world.drop("x.jsonl", bucket="elsewhere"))
    assert notice.reason.startswith("no entry of source_buckets covers s3://elsewhere/x.jsonl")


def test_of_several_sources_the_nearest_counts(tasks: Path) -> None:
    """The one with the longest prefix."""
    sources = (Source(bucket="b12", task="texts"), Source(bucket="b12", prefix="deep/", task="nightly"))
    world = World(tasks, intake=Intake(sources=sources))
    for key in ("a.jsonl", "deep/b.jsonl"):
        world.deliver(world.drop(key, bucket="b12"))
    assert [key.split("/")[2] for key in world.keys("inbox/waiting/")] == ["nightly", "texts"]


# Limits, time, and what cannot begin.


def test_so_many_runs_at_once_and_the_oldest_next(tasks: Path) -> None:
    """What is held waits with its signal, and goes in order of age as soon as there is room."""
    world = World(tasks, settings={"max_runs": 1})
    world.arrive("texts/a.jsonl")
    world.later(10)
    world.arrive("nightly/a.jsonl")
    world.later(10)
    world.arrive("batches/a.jsonl", "batches/_READY")
    world.later(60)
    held = world.sweep(task="nightly", time=NIGHT)
    assert (held.held, len(held.runs)) == (None, 1)
    for _ in range(2):
        assert world.sweep().held == "max_runs = 1: so many runs are under way"
        world.ended.update(world.executions)
        world.sweep()
    assert [run.partition("-")[0] for run in world.executions] == ["nightly", "texts", "batches"]


def test_what_is_held_is_overdue(tasks: Path) -> None:
    """An operator sees how long the oldest has waited that could go."""
    world = World(tasks, settings={"max_runs": 1})
    world.executions.append("another-20261120t060000-0123456789")
    world.arrive("texts/a.jsonl")
    world.later(600)
    swept = world.sweep()
    assert (swept.overdue_seconds, swept.waiting) == (540, 1)


@pytest.mark.parametrize(
    ("key", "waits", "signals", "overdue"),
    [
        ("texts/a.jsonl", 0, [], 540),
        ("texts/a.jsonl", 0, ["texts/_READY"], 600),
        ("batches/a.jsonl", 30_000, ["batches/_READY"], 600),
    ],
)
def test_overdue_counts_from_when_objects_were_due(
    tasks: Path, key: str, waits: float, signals: list[str], overdue: float
) -> None:
    """A night's wait for its signal is none; what was dropped is due when it is quiet, or told that it may go."""
    world = World(tasks, settings={"max_runs": 1})
    world.executions.append("another-20261120t060000-0123456789")
    world.arrive(key)
    world.later(waits)
    world.arrive(*signals)
    world.later(600)
    assert world.sweep().overdue_seconds == overdue


def test_while_objects_keep_coming_the_first_are_due_after_ten_times_the_quiet(tasks: Path) -> None:
    """Each that comes puts the others off, and no longer than that."""
    world = World(tasks, settings={"max_runs": 1})
    world.executions.append("another-20261120t060000-0123456789")
    for number in range(24):
        world.arrive(f"texts/{number}.jsonl")
        world.later(30)
    assert world.sweep().overdue_seconds == 24 * 30 - 600


def spend(world: World, *, published: bool, expected_usd: float | None) -> float:
    """Have a run under way today, or published; what its jobs have cost."""
    staged = stage(rows=10)
    cost = sum(counts.cost_usd or 0 for counts in staged.round(0))
    world.s3.objects |= staged.machine.faulty_s3.objects
    opened = Run(world.work, staged.run)
    world.work.put(opened.keys.plan, msgspec.structs.replace(opened.plan, expected_usd=expected_usd).write())
    if published:
        world.work.put(opened.keys.published, b"{}")
    world.executions += [staged.run, f"{staged.run}-1"]
    world.arrive("texts/a.jsonl")
    world.later(61)
    return cost


@pytest.mark.parametrize(
    ("published", "expected", "counted"), [(True, 9.0, None), (False, 9.0, 9.0), (False, 0.0, None)]
)
@pytest.mark.parametrize(("share", "begun"), [(1.0, 0), (1.1, 1)])
def test_so_many_dollars_a_day(
    tasks: Path, share: float, begun: int, *, published: bool, expected: float, counted: float | None
) -> None:
    """As today's runs have cost, those under way at least what is expected; each run counts once."""
    cost = spend(World(tasks), published=published, expected_usd=expected)
    world = World(tasks, settings={"max_usd_per_day": share * (counted or cost)})
    spend(world, published=published, expected_usd=expected)
    swept = world.sweep()
    assert (len(swept.runs), (swept.held or "").partition(" = ")[0]) == (begun, "" if begun else "max_usd_per_day")


def test_a_run_of_unknown_cost_is_not_free(tasks: Path) -> None:
    """A limit that cannot be kept holds, and says for which run."""
    world = World(tasks, settings={"max_usd_per_day": 1000})
    spend(world, published=False, expected_usd=None)
    swept = world.sweep()
    reason = f"what the run {world.executions[0]} costs is unknown, since a price is; give prices in models.yaml"
    assert (swept.runs, swept.held) == ([], f"max_usd_per_day = 1000: {reason}")


def test_a_sweep_that_runs_out_of_time_is_gone_on_with(world: World) -> None:
    """The next one takes up the intent when its lease is over, and not before."""
    world.arrive(*(f"texts/{n}.jsonl" for n in range(5)))
    world.later(61)
    world.remaining = lambda: 900.0 if not world.keys("inbox/open/") else 10.0
    assert world.sweep().problems == ["texts: out of time after 0 objects; the next sweep goes on"]
    world.remaining = lambda: 900.0
    assert world.sweep().overdue_seconds == 1
    world.later(1)
    assert [len(world.runs()[run]) for run in runs_of(world.sweep())] == [5]


def test_a_task_that_cannot_run_holds_up_no_other(tmp_path: Path) -> None:
    """It is told every minute, and goes on once it is mended."""
    own = write_tasks(tmp_path)
    world = World(own)
    world.arrive("batches/a.jsonl", "batches/_READY", "texts/a.jsonl")
    whole = (own / "batches.yaml").read_text()
    (own / "batches.yaml").write_text(whole + "tiers: [{model: nobody.unheard-of-v1:0}]\nbudget: {max_usd: 1}\n")
    world.later(61)
    swept = world.sweep()
    assert len(swept.runs) == 1
    assert (
        "batches: task batches: tiers.0.model: the on-demand price of nobody.unheard-of-v1:0 is unknown"
        in swept.problems[0]
    )
    assert swept.overdue_seconds == 61
    (own / "batches.yaml").write_text(whole)
    world.later(61)
    assert len(runs_of(world.sweep())) == 1
    assert world.keys("inbox/") == []


def test_a_sweep_for_no_task_is_an_error(world: World) -> None:
    """A schedule or a command that names a task that is not deployed is told so."""
    with pytest.raises(BadTask, match="no such task"):
        world.sweep(task="letters", now=True)
