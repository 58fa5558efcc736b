"""What a local run is asked for, made sure of before anything is started."""

from __future__ import annotations

from pathlib import Path

from sluice.errors import BadRequest
from sluice.local.sources import SOURCES


def check_answers(source: str) -> None:
    """Refuse a source of answers that does not exist.

    Raises:
        BadRequest: it is none, or its file is not there.
        BadSetting: the file holds no recording.
    """
    kind, _, rest = source.partition(":")
    match kind:
        case "standin" | "bedrock" if not rest:
            return
        case "replay" if Path(rest).is_file():
            _check_recording(Path(rest))
            return
        case "replay":
            raise BadRequest(f"{source}: there is no file {rest or 'named'}", "answers")
        case "openai":
            url, _, model = rest.rpartition("#")
            if url.startswith(("http://", "https://")) and model:
                return
            raise BadRequest(f"{source}: write openai:URL#MODEL, as openai:http://localhost:11434/v1#qwen3", "answers")
    raise BadRequest(f"{source} is not known; there are: {SOURCES}", "answers")


def _check_recording(path: Path) -> None:
    from sluice.local.sources.replay import read_recording  # noqa: PLC0415 (the other sources do without)

    for _ in read_recording(path):
        pass


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
