"""`sluice export`: a run's answers as training data, or as known answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml

from sluice.cli.display import busy
from sluice.cli.exits import ExitCode, complain
from sluice.errors import BadRequest
from sluice.files import plain, whole_file
from sluice.results.export import FineTuning, gold_lines, total_left_out
from sluice.results.task_examples import examples_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from sluice.results.published import Published


def export_fine_tuning(published: Published, out: Path, most: int, validation: float, seed: int) -> ExitCode:
    """Write train.jsonl and validation.jsonl into a folder, and say what is in them."""
    drawn = FineTuning(published, most=most, validation=validation, seed=seed)
    with busy("reading the rows"):
        training, held = drawn.draw()
    if not drawn.made.training:
        raise BadRequest("no accepted answer of the last tier could be taken: see `sluice results --tier`")
    out.mkdir(parents=True, exist_ok=True)
    _write(out / "train.jsonl", training)
    _write(out / "validation.jsonl", held)
    made = drawn.made
    print(f"{out / 'train.jsonl'}: {made.training:,} records\n{out / 'validation.jsonl'}: {made.validation:,} records")
    print("by label: " + ", ".join(f"{plain(label)} {count:,}" for label, count in made.labels.most_common()))
    for why, count in total_left_out(made):
        print(f"left out: {count:,} {why}")
    for warning in made.warnings:
        complain(plain(warning))
    return ExitCode.SUCCEEDED


def export_gold(published: Published, out: Path) -> ExitCode:
    """Write known answers, as `sluice evaluate --gold` reads them."""
    count = _write(out, gold_lines(published))
    print(f"{out}: {count:,} rows with the last tier's accepted answer")
    return ExitCode.SUCCEEDED if count else ExitCode.USAGE


def export_examples(published: Published, out: Path, most: int) -> ExitCode:
    """Write rows that people have settled as the part `examples` of a task file."""
    found = examples_of(published, most)
    with whole_file(out) as file:
        file.write(yaml.safe_dump({"examples": found}, allow_unicode=True, sort_keys=False, width=120).encode())
    print(f"{out}: {len(found):,} examples; look at them before they go into the task file, which each request repeats")
    return ExitCode.SUCCEEDED


def _write(path: Path, lines: Iterable[bytes]) -> int:
    count = 0
    with whole_file(path) as file:
        for line in lines:
            file.write(line)
            count += 1
    return count
