"""What starts a task's runs by itself: a drop, a `_READY` object, or the clock."""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from sluice.task.problems import words_of

ON_DROP, ON_READY, OFF = "on_drop", "on_ready", "off"
RATE = re.compile(r"rate\((\d+) (minute|minutes|hour|hours|day|days)\)")
CRON = re.compile(r"cron\((\S+) (\S+) (\S+) (\S+) (\S+) (\S+)\)")
# The six parts of a cron expression: name, the numbers that are allowed, and the words beside them.
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
PARTS: tuple[tuple[str, int, int, tuple[str, ...]], ...] = (
    ("minutes", 0, 59, ()),
    ("hours", 0, 23, ()),
    ("day of month", 1, 31, ()),
    ("month", 1, 12, MONTHS),
    ("day of week", 1, 7, DAYS),
    ("year", 1970, 2199, ()),
)
# L, W and # mean the last day, the nearest weekday and the n-th one of the month.
SPECIAL = {"day of month": re.compile(r"L|LW|\d{1,2}W"), "day of week": re.compile(r"L|\d#[1-5]|\dL")}


# What of several versions of one object that wait together is run.
VersionsOf = Literal["each", "latest"]
EACH: VersionsOf = "each"


class Objects(BaseModel):
    """By objects: a drop, or a `_READY` beside it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    when: Literal["on_drop", "on_ready"] = Field("on_drop", description="As the word alone would say.")
    versions: VersionsOf = Field(
        EACH,
        description="Of several versions of one object that wait together: each, a run of each, the oldest first; or "
        "latest, one run of the newest.",
    )


class Schedule(BaseModel):
    """By the clock: what waits at a tick of EventBridge Scheduler is one run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schedule: str = Field(
        description="cron(0 6 * * ? *): minutes, hours, day of month, month, day of week, year; or rate(12 hours)."
    )
    timezone: str = Field("UTC", description="The time zone of the cron expression, as Europe/Berlin.")
    window_minutes: Annotated[int, Field(strict=True, ge=0, le=1440)] = Field(
        0, description="The tick may come so many minutes later, so that many schedules do not come at once."
    )
    versions: VersionsOf | None = Field(
        None, description="each or latest, as for objects; where a deployment says nothing, the task's own counts."
    )

    @field_validator("schedule")
    @classmethod
    def _is_an_expression(cls, value: str) -> str:
        check_expression(value)
        return value

    @field_validator("timezone")
    @classmethod
    def _is_a_zone(cls, value: str) -> str:
        if not _known_zone(value):
            raise ValueError("should be a time zone by its name, as UTC or Europe/Berlin")
        return value


Trigger = Literal["on_drop", "on_ready"] | Objects | Schedule
# What a deployment says in place of a task's own trigger; off: nothing but `_READY` and a command.
Overlay = Schedule | Literal["off"]
WORDS = "on_drop, on_ready, {when: on_drop, versions: latest} or {schedule: cron(0 6 * * ? *), timezone: Europe/Berlin}"


def read_trigger(value: object) -> Trigger:
    """A trigger as a task file writes it.

    Raises:
        ValueError, ValidationError: it is none.

    """
    if isinstance(value, Objects) or (isinstance(value, Mapping) and ("when" in value or value.keys() == {"versions"})):
        return Objects.model_validate(value)
    if isinstance(value, Mapping | Schedule):
        return Schedule.model_validate(value)
    if value == ON_DROP:
        return "on_drop"
    if value == ON_READY:
        return "on_ready"
    raise ValueError(f"should be {WORDS}")


def read_overlay(value: object) -> Overlay:
    """A deployment's word on one task: off, an expression alone, or a mapping as in the task file.

    Raises:
        ValueError: it is none of them; the message says what is wrong.

    """
    if value in (OFF, False):  # YAML's and the command line's off
        return "off"
    try:
        return Schedule.model_validate({"schedule": value} if isinstance(value, str) else value)
    except ValidationError as error:
        wrong = error.errors(include_url=False)[0]
        place = ".".join(map(str, wrong["loc"])) or "schedule"
        raise ValueError(f"{place} = {wrong['input']!r}: {words_of(wrong)}") from None


def check_expression(value: str) -> None:
    """Refuse what EventBridge Scheduler would refuse.

    Raises:
        ValueError: neither cron with six parts nor a rate.

    """
    if rate := RATE.fullmatch(value):
        number, unit = int(rate[1]), rate[2]
        if number < 1 or (number == 1) == unit.endswith("s"):
            raise ValueError("should be a number above 0 and its unit: rate(1 day), rate(2 days)")
        return
    cron = CRON.fullmatch(value)
    if cron is None:
        raise ValueError("should be cron(minutes hours day-of-month month day-of-week year) or rate(12 hours)")
    for part, text in zip(PARTS, cron.groups(), strict=True):
        _check_part(*part, text)
    if (cron[3] == "?") == (cron[5] == "?"):
        raise ValueError("should have ? for the day of month or for the day of week, whichever does not count")


def _check_part(name: str, low: int, high: int, words: tuple[str, ...], text: str) -> None:
    if text == "?" and name in SPECIAL:
        return
    for item in text.split(","):
        span, _, step = item.partition("/")
        ends = span.split("-")
        special = name in SPECIAL and SPECIAL[name].fullmatch(item)
        fits = special or (
            (span == "*" or (len(ends) <= 2 and all(_is_one(end, low, high, words) for end in ends)))
            and (step.isdigit() if "/" in item else True)
        )
        if not fits:
            raise ValueError(f"{item!r} is no {name}: numbers from {low} to {high}, *, ranges and steps")


def _is_one(text: str, low: int, high: int, words: tuple[str, ...]) -> bool:
    return (text.isdigit() and low <= int(text) <= high) or text.upper() in words


def _known_zone(name: str) -> bool:
    """Whether there is such a time zone; where the machine has no list of them, as in Lambda, any name will do."""
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return not zoneinfo.available_timezones()
    return True


def effective(own: Trigger, overlay: Overlay | None) -> Trigger | Literal["off"]:
    """What triggers a task in a deployment that may have its own word on it."""
    return own if overlay is None else overlay


def by_drop(trigger: Trigger | Literal["off"]) -> bool:
    """Whether what is dropped goes by itself."""
    return ON_DROP in {trigger, getattr(trigger, "when", None)}


def versions_of(own: Trigger, overlay: Overlay | None) -> VersionsOf:
    """What of several versions of one object is run in a deployment that may have its own word on the task."""
    said: VersionsOf | None = getattr(overlay, "versions", None) or getattr(own, "versions", None)
    return said or EACH
