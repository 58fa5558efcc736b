"""What a task does not say, so that options that came after it change nothing of its version."""

from __future__ import annotations

from typing import Any


def leave_out_unsaid(data: dict[str, Any]) -> None:
    """Take out of a dumped task what it had not said when there was no such option: so it keeps its version."""
    _of_parts(data)
    for name in ("quality", "audit", "routes", "router", "train"):
        if not data[name]:
            del data[name]
    if data.get("audit") and data["audit"]["at_most"] is None:
        del data["audit"]["at_most"]
    if quality := data.get("quality"):
        if quality["against"] == "last":
            del quality["worse"], quality["accuracy"]
        if not quality["floors"]:
            del quality["floors"]


def _of_parts(data: dict[str, Any]) -> None:
    for tier in data["tiers"]:
        if not tier["request"]:
            del tier["request"]
    if data["input"]["csv"] is None:
        del data["input"]["csv"]
    if data["gates"]["judge"] is None:
        del data["gates"]["judge"]
    for part in (data["gates"], *data["tiers"]):
        if part["min_score"] is None:
            del part["min_score"]
