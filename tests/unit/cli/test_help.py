"""What every command has to have: help, examples that work, JSON alone on standard output, and colours that can go."""

from __future__ import annotations

import json
import os
import pty
import re
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import typer.main
from typer.testing import CliRunner

from sluice.cli.app import app
from sluice.cli.exits import MEANINGS, ExitCode
from sluice.cli.help import examples, examples_in
from tests.unit.cli.test_app import RUN

if TYPE_CHECKING:
    from pathlib import Path

COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
EXAMPLES = [line for command in COMMANDS.values() for line in examples_in(command.epilog)]
COLOUR = re.compile(rb"\x1b\[(?:\d+;)*(?:3[0-7]|9[0-7]|38;[\d;]+)m")
LISTED = 64  # characters of a command's first sentence: `sluice --help` cuts what is longer


def test_examples_are_taken_out_as_they_were_put_in() -> None:
    """docs/cli.md shows the lines of the help."""
    assert examples_in(examples("sluice a", "sluice b | c")) == ["sluice a", "sluice b | c"]
    assert examples_in(None) == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str) -> None:
    """A first sentence that the list of commands shows whole, an example, and a word for every option."""
    command = COMMANDS[name]
    first = command.help.split("\n\n")[0]
    assert first.endswith(".")
    assert len(first) <= LISTED
    assert "Exit codes" in command.help
    assert any(line.startswith(f"sluice {name}") for line in examples_in(command.epilog))
    assert [option.name for option in command.params if not option.help] == []


@pytest.mark.parametrize("words", [[], ["run"], ["results"]])
def test_help_is_asked_for_by_one_letter_too(words: list[str]) -> None:
    """-h, of every command."""
    short, long = (CliRunner().invoke(app, [*words, option]) for option in ("-h", "--help"))
    assert (short.exit_code, short.output) == (0, long.output)
    assert "Usage:" in short.output


def test_every_command_speaks_json() -> None:
    """By the same option; what `schema` and `export` write is JSON already, and CDK speaks for itself."""
    without = [name for name, command in COMMANDS.items() if "json" not in {found.name for found in command.params}]
    assert set(without) == {"synth", "bootstrap", "deploy", "destroy", "schema", "export"}


@pytest.mark.parametrize("line", EXAMPLES)
def test_every_example_is_understood(line: str) -> None:
    """Its options exist, and nothing that is required is missing."""
    words = shlex.split(re.split(r" [|>] ", line)[0])
    assert words[0] == "sluice"
    assert COMMANDS[words[1]].make_context(words[1], words[2:]).command.name == words[1]


def test_every_exit_code_has_a_meaning() -> None:
    """The documentation lists them all."""
    assert set(MEANINGS) == set(ExitCode)


def test_tasks_are_completed() -> None:
    """From the folder tasks, by what has been typed."""
    option = next(found for found in COMMANDS["run"].params if found.name == "task")
    context = typer.Context(COMMANDS["run"])
    assert [item.value for item in option.shell_complete(context, "ti")] == ["tickets"]


# A terminal.


def on_terminal(*words: str, **variables: str) -> bytes:
    """Run a command whose standard output is a terminal; what it shows."""
    ours, theirs = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "FORCE_COLOR"}}
    subprocess.run(
        [sys.executable, "-c", "from sluice.cli import main; main()", *words],
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
        env={**environment, "TERM": "xterm-256color", "COLUMNS": "100", **variables},
        check=True,
    )
    os.close(theirs)
    shown = b""
    try:
        while block := os.read(ours, 65536):
            shown += block
    except OSError:  # the other end is closed
        pass
    os.close(ours)
    return shown


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run in a folder, as far as its summary shows it."""
    (tmp_path / "run.json").write_text(json.dumps(RUN))
    return tmp_path


@pytest.mark.parametrize(("variables", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)])
def test_colours_can_be_switched_off(folder: Path, variables: dict[str, str], coloured: bool) -> None:
    """A terminal has them, unless NO_COLOR is set or it cannot show any."""
    shown = on_terminal("results", str(folder), **variables)
    assert b"tickets succeeded" in re.sub(rb"\x1b\[[\d;]*m", b"", shown)
    assert bool(COLOUR.search(shown)) is coloured


def test_what_is_no_terminal_gets_no_colours(folder: Path) -> None:
    """Not one escape sequence."""
    command = [sys.executable, "-c", "from sluice.cli import main; main()", "results", str(folder)]
    said = subprocess.run(command, capture_output=True, check=True)
    assert b"\x1b" not in said.stdout + said.stderr


def test_help_loads_nothing_heavy() -> None:
    """Whatever a command needs is imported when it is called: completion and help answer at once."""
    code = "import sys, sluice.cli.app; print([m for m in ('boto3', 'pyarrow', 'rich', 'moto') if m in sys.modules])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert said.stdout.strip() == "[]"
