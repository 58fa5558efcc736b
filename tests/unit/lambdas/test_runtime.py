from __future__ import annotations

import json
from typing import Any

import pytest

from lambdas.runtime import _place

REPORT = {"name": "t-1-2", "status": "FAILED", "input": json.dumps({"run": "t-1", "next": 0, "max_workers": 20})}


@pytest.mark.parametrize(
    ("event", "place"),
    [
        ({"run": "t-1", "round": 2, "job": 7, "next": "poll"}, {"run": "t-1", "round": 2, "job": 7}),
        ({"run": "t-1", "span": 3, "pieces": [[0, 0, 5]]}, {"run": "t-1", "span": 3}),
        ({"source": "aws.states", "detail": REPORT}, {"run": "t-1"}),
        ({"source": "aws.s3", "detail": {"object": {"key": "tickets/a.jsonl"}}}, {}),
        (None, {}),
    ],
)
def test_the_log_says_where_in_a_run_an_event_belongs(event: Any, place: dict[str, Any]) -> None:
    """Steps are told by their run, round and job; a report about an execution tells its run inside its input."""
    assert _place(event) == place
