"""Triggers: which schedules are accepted, and what a deployment may say in their place."""

from __future__ import annotations

from typing import Any

import pytest

from sluice.errors import BadTask
from sluice.task.file import parse_task
from sluice.task.triggers import Objects, Schedule, by_drop, effective, read_overlay, versions_of

TASK = {"name": "texts", "input": {"text": "text"}, "labels": ["a", "b"]}


def trigger_of(value: Any) -> object:
    return parse_task({**TASK, "trigger": value}, "test").trigger


@pytest.mark.parametrize(
    "expression",
    [
        "cron(0 6 * * ? *)",
        "cron(0/15 6-18 ? * MON-FRI *)",
        "cron(0,30 0 L * ? 2026)",
        "cron(0 8 ? JAN,jul 2#1 *)",
        "cron(59 23 15W 12 ? *)",
        "rate(1 minute)",
        "rate(12 hours)",
    ],
)
def test_what_scheduler_takes_is_taken(expression: str) -> None:
    """The expression stands as it was written; the rest has defaults."""
    assert trigger_of({"schedule": expression}) == Schedule(schedule=expression)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("daily", "trigger: 'daily': should be on_drop, on_ready, {when:"),
        ({"schedule": "0 6 * * *"}, "trigger.schedule: '0 6 * * *': should be cron(minutes hours"),
        ({"schedule": "cron(0 6 * * *)"}, "should be cron(minutes hours"),
        ({"schedule": "cron(0 6 * * * *)"}, "should have ? for the day of month or for the day of week"),
        ({"schedule": "cron(0 6 ? * ? *)"}, "should have ? for the day of month or for the day of week"),
        ({"schedule": "cron(60 6 * * ? *)"}, "'60' is no minutes: numbers from 0 to 59"),
        ({"schedule": "cron(0 6 ? * MOO *)"}, "'MOO' is no day of week"),
        ({"schedule": "cron(0/x 6 * * ? *)"}, "'0/x' is no minutes"),
        ({"schedule": "rate(1 days)"}, "rate(1 day), rate(2 days)"),
        ({"schedule": "rate(0 hours)"}, "a number above 0"),
        ({"schedule": "rate(1 day)", "timezone": "Berlin"}, "trigger.timezone: 'Berlin': should be a time zone"),
        ({"schedule": "rate(1 day)", "window_minutes": 1441}, "trigger.window_minutes: 1441: should be less than"),
        ({"schedule": "rate(1 day)", "zone": "UTC"}, "trigger.zone: no such field"),
        ({"timezone": "UTC"}, "trigger.schedule: is required"),
    ],
)
def test_what_scheduler_refuses_is_a_mistake_of_the_task(value: Any, said: str) -> None:
    """It is named with its place when the task is read, long before a deployment fails over it."""
    with pytest.raises(BadTask) as found:
        trigger_of(value)
    assert said in str(found.value)


def test_the_trigger_changes_no_decision() -> None:
    """A task that is run at another hour gives the same answers: it keeps its version."""
    changed = parse_task({**TASK, "trigger": "on_ready"}, "test")
    assert changed.version == parse_task(TASK, "test").version


@pytest.mark.parametrize(
    ("overlay", "found"),
    [
        (None, "on_ready"),
        ("off", "off"),
        (False, "off"),
        ("rate(1 day)", Schedule(schedule="rate(1 day)")),
        (
            {"schedule": "rate(1 day)", "timezone": "Asia/Tokyo"},
            Schedule(schedule="rate(1 day)", timezone="Asia/Tokyo"),
        ),
    ],
)
def test_a_deployment_has_the_last_word(overlay: Any, found: object) -> None:
    """A task's own trigger counts where the deployment says nothing of it."""
    assert effective("on_ready", None if overlay is None else read_overlay(overlay)) == found


@pytest.mark.parametrize(("overlay", "said"), [("daily", "schedule = 'daily': should be cron"), (7, "7")])
def test_a_wrong_word_of_a_deployment_is_named(overlay: Any, said: str) -> None:
    """The place, the value and what is allowed."""
    with pytest.raises(ValueError, match=said):
        read_overlay(overlay)


@pytest.mark.parametrize(
    ("value", "drops", "versions"),
    [
        ("on_drop", True, "each"),
        ("on_ready", False, "each"),
        ({"versions": "latest"}, True, "latest"),
        ({"when": "on_drop"}, True, "each"),
        ({"when": "on_ready", "versions": "latest"}, False, "latest"),
        ({"schedule": "rate(1 day)", "versions": "latest"}, False, "latest"),
        ({"schedule": "rate(1 day)"}, False, "each"),
    ],
)
def test_a_trigger_says_which_versions_are_run(value: Any, drops: bool, versions: str) -> None:
    """Beside every kind of trigger, and each of them unless the task says otherwise."""
    own = trigger_of(value)
    assert (by_drop(own), versions_of(own, None)) == (drops, versions)  # type: ignore[arg-type]
    assert parse_task({**TASK, "trigger": parse_task({**TASK, "trigger": value}, "a").model_dump()["trigger"]}, "b")


def test_a_deployments_schedule_leaves_the_versions_to_the_task() -> None:
    """Unless it names them itself."""
    own = Objects(versions="latest")
    assert versions_of(own, read_overlay("off")) == "latest"
    assert versions_of(own, read_overlay("rate(1 day)")) == "latest"
    assert versions_of(own, read_overlay({"schedule": "rate(1 day)", "versions": "each"})) == "each"


@pytest.mark.parametrize("value", [{"when": "off"}, {"versions": "newest"}, {"when": "on_drop", "zone": "UTC"}])
def test_a_mapping_of_objects_knows_no_other_word(value: Any) -> None:
    """A slip is told where it stands."""
    with pytest.raises(BadTask, match=r"trigger\."):
        trigger_of(value)
