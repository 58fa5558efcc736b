"""What a run is asked for, made sure of before anything is started."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from sluice.cli.exits import UsageError
from sluice.local.sources import SOURCES
from sluice.rows.containers import SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def find_inputs(names: Sequence[str]) -> list[Path]:
    """List the files that the arguments name, each once; a folder stands for the supported files in it, sorted."""
    found: dict[Path, Path] = {}
    for name in names:
        for file in _files(Path(name)):
            found.setdefault(file.resolve(), file)
    return list(found.values())


def _files(place: Path) -> Iterable[Path]:
    if place.is_dir():
        found = sorted(file for file in place.iterdir() if file.is_file() and _supported(file))
        if not found:
            raise UsageError(f"{place} holds no file that ends in {', '.join(SUFFIXES)}")
        return found
    if not place.exists():
        raise UsageError(f"{place} does not exist")
    if not place.is_file():
        raise UsageError(f"{place} is neither a file nor a folder")
    try:
        place.open("rb").close()
    except OSError as error:
        raise UsageError(f"{place} cannot be read: {error.strerror}") from None
    return [place]


def _supported(file: Path) -> bool:
    return not file.name.startswith(".") and file.name.lower().endswith(tuple(SUFFIXES))


def parse_settings(pairs: Iterable[str]) -> dict[str, str]:
    """Split KEY=VALUE pairs; the last of a key counts."""
    settings = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            raise UsageError(f"--set {pair}: a setting is given as KEY=VALUE")
        settings[key.strip()] = value.strip()
    return settings


def check_answers(source: str) -> None:
    """Refuse a source of answers that does not exist."""
    kind, _, rest = source.partition(":")
    match kind:
        case "standin" | "bedrock" if not rest:
            return
        case "replay" if Path(rest).is_file():
            _check_recording(Path(rest))
            return
        case "replay":
            raise UsageError(f"--answers {source}: there is no file {rest or 'named'}")
        case "openai":
            url, _, model = rest.rpartition("#")
            if url.startswith(("http://", "https://")) and model:
                return
            raise UsageError(f"--answers {source}: write openai:URL#MODEL, as openai:http://localhost:11434/v1#qwen3")
    raise UsageError(f"--answers {source} is not known; there are: {SOURCES}")


def _check_recording(path: Path) -> None:
    from sluice.local.sources.replay import read_recording  # noqa: PLC0415 (the other sources do without)

    for _ in read_recording(path):
        pass


def check_faults(plan: Path | None) -> None:
    """Refuse a plan of faults that is not there, or is none."""
    if plan is None:
        return
    if not plan.is_file():
        raise UsageError(f"--faults {plan} is not a file")
    from sluice.local.faults import read_plan  # noqa: PLC0415 (runs without a plan do without)

    read_plan(plan)


def check_out(out: Path) -> None:
    """Refuse a folder with other people's files: it must be new, empty, or hold an earlier run's run.json."""
    if not out.exists():
        return
    if not out.is_dir():
        raise UsageError(f"--out {out} is not a folder")
    if any(not entry.name.startswith(".") for entry in out.iterdir()) and not _holds_a_run(out):
        raise UsageError(f"--out {out} holds files that are no run of Sluice; name a new, an empty or a run's folder")


def _holds_a_run(out: Path) -> bool:
    """Whether Sluice has written here: a finished run's document, or the logs of one that never got so far."""
    names = {entry.name for entry in out.iterdir() if not entry.name.startswith(".")}
    if names == {"logs"}:
        return True
    try:
        document = msgspec.json.decode((out / "run.json").read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(document, dict) and {"run_id", "task"} <= document.keys()
