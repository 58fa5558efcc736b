"""`sluice learn`: what a learned model was taught by, and how good it is, for the eye."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from sluice.api.learning import bring_vectors, learn, remove_vectors
from sluice.cli.exits import ExitCode, print_json
from sluice.cli.plan import section
from sluice.cli.summary import page_console
from sluice.figures import duration, percent, short_model, size

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from rich.console import RenderableType

    from sluice.aws.s3 import Store
    from sluice.quality.teaching import Earlier

SHOWN = 12  # labels; --json has all


def print_learned(
    task: str, runs: Sequence[Earlier], out: Path, upload: Store | None = None, *, as_json: bool
) -> ExitCode:
    """Teach a model, and print what by."""
    told = learn(task, runs, out, upload=upload)
    if as_json:
        print_json(told)
    else:
        page_console().print(Group(*sections(told)), soft_wrap=False)
    return ExitCode.SUCCEEDED


def print_vectors(task: str, file: Path | None, upload: Store | None, *, as_json: bool) -> ExitCode:
    """Bring word vectors, or take them away where there is no file, and say so."""
    told = remove_vectors(task, upload=upload) if file is None else bring_vectors(task, file, upload=upload)
    if as_json:
        print_json(told)
    elif file is None:
        page_console().print(f"removed {', '.join(told['removed'])}" if told["removed"] else "there were none")
    else:
        page_console().print(
            f"{told['words']:,} words of {told['dimensions']:,} numbers, {size(told['bytes'])}: {told['path']}"
        )
    return ExitCode.SUCCEEDED


def sections(told: Mapping[str, Any]) -> Iterator[RenderableType]:
    """Make the sections of the page."""
    by = told["taught_by"]
    yield Text.assemble((told["task"], "bold"), " learned  ", (f"version {told['version']}", "dim"))
    if told["stand_in"] is not None:
        yield Text(f"{told['stand_in']} The model was taught by them.", "yellow")
    yield Text(_agreement(told))
    yield from section("Taught by", _table(by["sources"].items(), "Who said so", "Records"))
    labels = sorted(by["labels"].items(), key=lambda item: (-item[1], item[0]))
    more = [Text(f"and {len(labels) - SHOWN:,} more, with --json", "dim")] if len(labels) > SHOWN else []
    yield from section("Labels", _table(labels[:SHOWN], "Label", "Records"), *more)
    yield from section("File", Text(told["path"], overflow="fold"))


def _agreement(told: Mapping[str, Any]) -> str:
    by = told["taught_by"]
    share, drawn = by["agreement"], by["drawn"]
    low, high = (percent(share[name], 1) for name in ("low", "high"))
    return (
        f"It gives the label of {short_model(told['teacher']['model'])} to {percent(share['count'], share['of'])} of "
        f"{share['of']:,} drawn rows, each answered by a model that had not seen its text; "
        f"95% interval by record {low} to {high}\n"
        f"taught in {duration(by['seconds'])} by {by['records']:,} records, {drawn['records']:,} of them drawn"
    )


def _table(rows: Sequence[tuple[str, int]], *columns: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column(columns[0], overflow="ellipsis", no_wrap=True)
    table.add_column(columns[1], justify="right")
    for name, count in rows:
        table.add_row(Text(name), f"{count:,}")
    return table
