"""A plan of faults, made sure of before anything is started."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sluice.errors import BadRequest

if TYPE_CHECKING:
    from pathlib import Path


def check_faults(plan: Path | None) -> None:
    """Refuse a plan of faults that is not there, or is none.

    Raises:
        BadRequest: there is no such file.
        BadSetting: it holds no plan.
    """
    if plan is None:
        return
    if not plan.is_file():
        raise BadRequest(f"{plan} is not a file", "faults")
    from sluice.local.faults import read_plan  # noqa: PLC0415 (runs without a plan do without)

    read_plan(plan)
