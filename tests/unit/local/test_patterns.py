"""Event patterns: what a rule lets through."""

from __future__ import annotations

from typing import Any

import pytest

from sluice.errors import Stop
from sluice.local.patterns import matches

EVENT = {
    "source": "aws.s3",
    "resources": ["arn:aws:s3:::b"],
    "detail": {"bucket": {"name": "b"}, "object": {"key": "in/a b+c%25é.jsonl", "size": 5}},
}


def of_key(*conditions: Any) -> dict[str, Any]:
    return {"detail": {"object": {"key": list(conditions)}}}


@pytest.mark.parametrize(
    ("pattern", "fits"),
    [
        ({}, True),
        ({"source": ["aws.s3"]}, True),
        ({"source": ["aws.ec2"]}, False),
        ({"source": ["aws.ec2", "aws.s3"], "detail": {"bucket": {"name": ["c"]}}}, False),
        ({"resources": ["arn:aws:s3:::a", "arn:aws:s3:::b"]}, True),
        ({"detail": {"object": {"size": [5]}}}, True),
        ({"detail": {"object": {"size": ["5"]}}}, False),
        ({"detail": {"user": {"name": ["x"]}}}, False),
        (of_key({"prefix": "in/"}), True),
        (of_key({"prefix": "out/"}, {"suffix": ".jsonl"}), True),
        (of_key({"suffix": ".csv"}), False),
        (of_key({"anything-but": {"prefix": "in/"}}), False),
        (of_key({"anything-but": {"prefix": "out/"}}), True),
        (of_key({"anything-but": ["x", "y"]}), True),
        (of_key({"exists": True}), True),
        ({"detail": {"object": {"etag": [{"exists": False}]}}}, True),
        ({"detail": {"object": {"etag": [{"anything-but": "x"}]}}}, False),
    ],
)
def test_an_event_fits_a_pattern(pattern: dict[str, Any], fits: bool) -> None:
    """All fields have to fit, of each field one condition; a field that is not there fits nothing but its absence."""
    assert matches(pattern, EVENT) == fits


@pytest.mark.parametrize(
    "condition", [{"wildcard": "in/*"}, {"numeric": [">", 3]}, {"prefix": {"equals-ignore-case": "x"}}]
)
def test_an_unknown_condition_is_an_error(condition: dict[str, Any]) -> None:
    """A guess would run something else than what is deployed."""
    with pytest.raises(Stop, match="does not know the condition"):
        matches(of_key(condition), EVENT)
