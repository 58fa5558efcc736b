from __future__ import annotations

from typing import Any

import pytest

from sluice.errors import BadTask
from sluice.rows.record import Buckets, RowReader, route_in
from sluice.rows.routes import router_of
from sluice.task.file import parse_task
from sluice.task.routes import MAX_ROUTES, Course
from sluice.task.schema import KEYWORDS, unknown_words

TASK = {"name": "routed", "input": {"text": "text"}, "labels": ["a", "b"], "tiers": [{"model": "m"}] * 3}
HARD = {"properties": {"kind": {"const": "hard"}}, "required": ["kind"]}


def with_routes(*routes: dict[str, Any], **more: Any) -> Any:
    return parse_task({**TASK, "routes": list(routes), **more}, "task")


def problems(*routes: dict[str, Any], **more: Any) -> list[str]:
    with pytest.raises(BadTask) as refused:
        with_routes(*routes, **more)
    return refused.value.problems


def test_a_route_starts_at_its_tier_and_ends_at_its_last() -> None:
    """Tiers count from 0; without one it is the first, without the other the last; the file reads back as it was."""
    task = with_routes({"when": HARD, "tier": 1}, {"when": HARD, "last": 1}, {"when": HARD, "tier": 1, "last": 1})
    assert task.courses == (Course(1, 2), Course(0, 1), Course(1, 1))
    assert parse_task(task.model_dump(mode="json"), "task") == task


def test_routes_are_part_of_the_version_and_a_task_without_keeps_its_own() -> None:
    """What was certified or kept under a version stays so."""
    assert with_routes().version == parse_task(TASK, "task").version
    assert with_routes({"when": HARD, "tier": 1}).version != with_routes().version


@pytest.mark.parametrize(
    ("route", "said"),
    [
        ({"tier": 1}, "routes.0.when: is required"),
        ({"when": {"type": "strin"}, "tier": 1}, "routes.0.when: {'type': 'strin'}: is no JSON Schema"),
        ({"when": {"$ref": "http://x/y"}, "tier": 1}, "routes.0.when: "),
        ({"when": HARD, "tier": 3}, "routes.0.tier: 3 is no tier; the task's 3 tiers are counted from 0 to 2"),
        ({"when": HARD, "tier": -1}, "routes.0.tier: -1: "),
        ({"when": HARD, "last": 3}, "routes.0.last: 3 is no tier"),
        ({"when": HARD, "tier": 2, "last": 1}, "routes.0.last: 1 comes before tier 2"),
        ({"when": {"kind": "hard"}, "tier": 1}, "routes.0.when.kind: is no keyword of JSON Schema"),
        (
            {"when": {"properties": {"kind": {"konst": "hard"}}}, "tier": 1},
            "routes.0.when.properties.kind.konst: is no keyword of JSON Schema",
        ),
        ({"when": {"anyOf": [{}, {"amount": 3}]}, "tier": 1}, "routes.0.when.anyOf.1.amount: is no keyword"),
        ({"when": HARD, "tier": 1, "end": 2}, "routes.0.end: no such field"),
    ],
)
def test_a_route_that_cannot_be_meant_is_refused_by_its_place(route: dict[str, Any], said: str) -> None:
    """With what is allowed, before any row is read."""
    (problem,) = problems(route)
    assert problem.startswith(said)


def test_routes_are_refused_where_they_would_never_take_a_row_or_break_what_is_measured() -> None:
    """Behind one that takes all; beside a certificate or an audit, which ask both tiers about rows drawn from all."""
    assert problems({"when": {}, "tier": 1}, {"when": HARD, "tier": 2}) == [
        "routes.1: never takes a row, since routes.0 before it takes all: move that one to the end"
    ]
    two = [{"model": "m"}] * 2
    assert problems({"when": HARD, "tier": 1}, quality={}, tiers=two)[0].startswith(
        "routes: leave them out beside qual"
    )
    assert problems({"when": HARD, "tier": 1}, audit={}, tiers=two)[0].startswith("routes: leave them out beside audit")
    many = problems(*[{"when": HARD, "tier": 1}] * (MAX_ROUTES + 1))
    assert many[0].startswith("routes: ")


def test_every_keyword_of_json_schema_may_stand_in_a_route() -> None:
    """Also with lists and mappings of schemas inside; data behind const, enum and default is not looked into."""
    schema: dict[str, Any] = {name: {} for name in KEYWORDS}
    schema |= {"allOf": [{"items": [{}, {"not": {}}]}], "dependencies": {"a": ["b"], "c": {"type": "null"}}}
    schema |= {"const": {"kind": 1}, "enum": [{"kind": 1}], "default": {"kind": 1}, "examples": [{"kind": 1}]}
    assert list(unknown_words(schema, "when")) == []


@pytest.mark.parametrize(
    ("raw", "route"),
    [
        ('{"text":"a","kind":"hard"}', 0),
        ('{"text":"a","amount":11}', 1),
        ('{"text":"a","kind":"hard","amount":11}', 0),
        ('{"text":"a","amount":"11"}', None),
        ('{"text":"a"}', None),
        ('{"text":"a","kind":"hard","other":NaN}', 0),
        ('{"text":"a","other":"\\ud800","amount":12}', 1),
        ('{"text":"a","other":' + "9" * 5000 + ',"kind":"hard"}', 0),
        ('{"text":"a","amount":NaN}', None),
        ('{"text":"' + "b" * 200 + '","kind":"hard"}', 0),
    ],
)
def test_the_first_route_that_takes_a_row_is_noted_in_its_flag(raw: str, route: int | None) -> None:
    """Whatever else stands in the row, and whether its text is cut."""
    large = {"properties": {"amount": {"type": "number", "exclusiveMinimum": 10}}, "required": ["amount"]}
    read = {"text": "text", "max_tokens": 16, "when_longer": "cut"}
    task = with_routes({"when": HARD, "tier": 1}, {"when": large, "tier": 2}, input=read)
    buckets = Buckets(RowReader(task), 3, router_of(task))
    buckets.add([raw.encode()], 0, 1)
    counts = dict(buckets.routed)
    ((_, (stored,), _),) = buckets.drain()
    assert route_in(stored[53]) == route
    assert counts == ({} if route is None else {route: (1, len(raw))})
