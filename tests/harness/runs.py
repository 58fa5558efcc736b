"""Examples of run.json, one for each way in which a run can end."""

from __future__ import annotations

import copy
from typing import Any

RUN: dict[str, Any] = {
    "schema_version": 1,
    "run_id": "20261120-tickets-4f2a",
    "task": "tickets",
    "task_version": "9d21",
    "status": "succeeded",
    "error": None,
    "started": "2026-11-20T10:15:00+00:00",
    "finished": "2026-11-20T10:15:09+00:00",
    "seconds": 9.4,
    "answers": "bedrock",
    "inputs": [{"uri": "s3://incoming/tickets/a.jsonl", "version": "3HL4", "bytes": 612345, "rows": 1000}],
    "rows": {"in": 1000, "accepted": 960, "unresolved": 30, "rejected": 10},
    "records": {"distinct": 900, "sent": 1030, "shared_rows": 90},
    "rounds": [
        {"round": 0, "tier": 0, "purpose": "classify", "jobs": 2, "sent": 900},
        {"round": 1, "tier": 1, "purpose": "escalate", "jobs": 1, "sent": 100},
    ],
    "tiers": [
        {
            "tier": 0,
            "model": "us.amazon.nova-micro-v1:0",
            "transport": "batch",
            "sent": 930,
            "answered": 920,
            "errored": 8,
            "missing": 2,
            "accepted": 800,
            "retried": 30,
            "escalated": 100,
            "unresolved": 0,
            "input_tokens": 400000,
            "output_tokens": 20000,
            "cost_usd": 0.0084,
        },
        {
            "tier": 1,
            "model": "us.anthropic.claude-haiku-4-5-20251001-v1:0",
            "transport": "on_demand",
            "sent": 100,
            "answered": 100,
            "errored": 0,
            "missing": 0,
            "accepted": 70,
            "retried": 0,
            "escalated": 0,
            "unresolved": 30,
            "input_tokens": 45000,
            "output_tokens": 2000,
            "cost_usd": 0.03,
        },
    ],
    "jobs": [
        {
            "round": 0,
            "job": job,
            "tier": 0,
            "status": "Completed",
            "message": None,
            "records": 450,
            "submitted": "2026-11-20T10:15:01Z",
            "ended": "2026-11-20T10:15:04Z",
        }
        for job in range(2)
    ],
    "reasons": {"low_confidence": 20, "missing": 10, "text_missing": 10},
    "labels": {"billing": 700, "other": 260},
    "gold": {
        "known": 500,
        "accepted": 480,
        "right": 430,
        "tiers": [{"tier": 0, "accepted": 400, "right": 360}, {"tier": 1, "accepted": 80, "right": 70}],
    },
    "escalations": [
        {"tier": 0, "reason": "low_confidence", "records": 80},
        {"tier": 0, "reason": "reply_cut", "records": 20},
    ],
    "findings": {
        "accepted": [{"tier": 0, "rows": 880}, {"tier": 1, "rows": 80}],
        "labels": [
            {"tier": 0, "label": "billing", "rows": 650},
            {"tier": 0, "label": "other", "rows": 230},
            {"tier": 1, "label": "billing", "rows": 50},
            {"tier": 1, "label": "other", "rows": 30},
        ],
        "confidence": [
            {"tier": 0, "confidence": "certain", "accepted": True, "rows": 600},
            {"tier": 0, "confidence": "likely", "accepted": True, "rows": 280},
            {"tier": 0, "confidence": "unsure", "accepted": False, "rows": 90},
            {"tier": 1, "confidence": "certain", "accepted": True, "rows": 80},
        ],
        "changes": [
            {"first": "other", "final": "billing", "rows": 30},
            {"first": "billing", "final": "other", "rows": 5},
        ],
        "compared": 70,
        "changed": 35,
        "known": [
            {"tier": 0, "confidence": "certain", "right": True, "rows": 300},
            {"tier": 0, "confidence": "likely", "right": True, "rows": 60},
            {"tier": 0, "confidence": "likely", "right": False, "rows": 40},
            {"tier": 1, "confidence": "certain", "right": True, "rows": 70},
            {"tier": 1, "confidence": "certain", "right": False, "rows": 10},
        ],
        "mistakes": [{"known": "billing", "given": "other", "rows": 50}],
        "groups": [
            {
                "column": "product",
                "kind": "text",
                "values": ["box", "lamp"],
                "rows": [600, 300],
                "labels": ["billing", "other"],
                "cells": [[420, 170], [210, 80]],
                "other_labels": [0, 0],
                "unlabelled": [10, 10],
                "missing": 60,
                "other_values": 30,
                "at_least": False,
            },
            {
                "column": "created",
                "kind": "time",
                "values": ["2026-09", "2026-10"],
                "rows": [490, 500],
                "labels": ["billing", "other"],
                "cells": [[350, 130], [350, 130]],
                "other_labels": [0, 0],
                "unlabelled": [10, 20],
                "missing": 0,
                "other_values": 0,
                "at_least": False,
            },
        ],
        "examples": [
            {
                "record": f"{n:032x}",
                "status": status,
                "reason": reason,
                "tier": tier,
                "label": label,
                "confidence": None if label is None else "certain",
                "first": "other" if tier else None,
                "source": "s3://incoming/tickets/a.jsonl",
                "line": n,
                "text": f"a text of row {n}",
            }
            for n, (status, reason, tier, label) in enumerate(
                [
                    ("accepted", None, 0, "billing"),
                    ("accepted", None, 1, "billing"),
                    ("unresolved", "low_confidence", 1, None),
                    ("rejected", "text_missing", None, None),
                ],
                start=1,
            )
        ],
    },
    "definition": {"name": "tickets", "input": {"text": ["body"]}, "labels": {"billing": "", "other": ""}},
    "cost_usd": 0.0384,
    "baseline_usd": 0.3,
    "prices": {"source": "price list", "date": "2026-11-20"},
    "ids": {"missing": 1, "duplicate": 2},
    "warnings": [],
}


def changed(**changes: Any) -> dict[str, Any]:
    return {**copy.deepcopy(RUN), **changes}


def without_prices() -> dict[str, Any]:
    run = changed(cost_usd=None, baseline_usd=None)
    run["tiers"][0]["cost_usd"] = None
    return run


def many_tiers() -> dict[str, Any]:
    tier = RUN["tiers"][0]
    return changed(tiers=[{**tier, "tier": index, "escalated": 800 - 100 * index} for index in range(8)])


RUNS = {
    "good": RUN,
    "failed": changed(status="failed", error="no access", labels={}, cost_usd=0.0),
    "cancelled": changed(status="cancelled"),
    "over a limit": changed(status="over_limit", answers="replay:/tmp/a.jsonl"),
    "unknown price": without_prices(),
    "77 labels": changed(labels={f"label {index}": index for index in range(77)}),
    "zero rows": changed(
        rows={"in": 0, "accepted": 0, "unresolved": 0, "rejected": 0}, records={"distinct": 0}, labels={}, reasons={}
    ),
    "only rejected": changed(
        rows={"in": 3, "accepted": 0, "unresolved": 0, "rejected": 3}, records={"distinct": 0}, labels={}
    ),
    "eight tiers": many_tiers(),
    "many jobs": changed(jobs=[{**RUN["jobs"][0], "job": job, "status": "Expired"} for job in range(30)]),
    "hardly begun": {"schema_version": 1, "run_id": "r", "task": "t", "status": "failed", "error": "no role"},
}
