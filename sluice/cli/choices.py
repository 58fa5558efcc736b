"""What options let choose from; apart from what acts on it, so that `--help` stays quick."""

from __future__ import annotations

from enum import StrEnum


class Format(StrEnum):
    """How rows are written."""

    TABLE = "table"
    CSV = "csv"
    XLSX = "xlsx"
    JSONL = "jsonl"
    PARQUET = "parquet"


class Shape(StrEnum):
    """What is written of a row: what came of it, or what it was."""

    RESULT = "result"
    INPUT = "input"


class ExportShape(StrEnum):
    """What `sluice export` writes."""

    FINE_TUNING = "fine-tuning"
    GOLD = "gold"
    EXAMPLES = "examples"
