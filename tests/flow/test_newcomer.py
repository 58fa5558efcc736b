"""The way of somebody new, as the README shows it: its very commands, on a file that is no sample of ours."""

from __future__ import annotations

import csv
import json
import random
import re
import shlex
import subprocess
from typing import TYPE_CHECKING

from tests.flow.local import ROOT
from tests.flow.test_command import PROGRAM, surroundings

if TYPE_CHECKING:
    from pathlib import Path

PHRASES = {
    "refund": ("Please pay back the money for order {}.", "I want a refund for order {}, it came broken."),
    "address": ("Order {} should go to my new address.", "I have moved: send order {} to the new street."),
    "praise": ("Thank you, order {} came early!", "Order {} is lovely, thanks to all of you."),
}


def commands() -> list[list[str]]:
    """The commands of the README's section, without the remarks behind them."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = text.split("## Your own rows\n", 1)[1].split("\n## ", 1)[0]
    return [shlex.split(line, comments=True) for line in re.findall(r"^    (sluice .*)$", section, re.MULTILINE)]


def write_letters(folder: Path) -> None:
    """A file as the README names it: letters.csv with the columns id, message and topic."""
    rng = random.Random(11)
    with (folder / "letters.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "message", "topic"])
        for number in range(80):
            topic = rng.choice(list(PHRASES))
            rows.writerow([f"L{number}", rng.choice(PHRASES[topic]).format(number), topic])


def call(folder: Path, words: list[str]) -> str:
    """Call a command as a user would; what it printed."""
    assert words[0] == "sluice"
    environment = {**surroundings(), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*PROGRAM, *words[1:]],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{shlex.join(words)}\n{done.stderr}"
    return done.stdout


def test_the_readme_leads_from_a_file_to_its_report(tmp_path: Path) -> None:
    """init, check, plan, pilot, run, report: each ends well and hands on to the next."""
    write_letters(tmp_path)
    said = {words[1]: call(tmp_path, words) for words in commands()}
    assert list(said) == ["init", "check", "plan", "pilot", "run", "report"]
    assert "message" in said["init"]
    assert "no label has a description" in said["check"]
    assert "80 rows" in said["plan"]
    assert "50 of 80 distinct records" in said["pilot"]
    run = json.loads((tmp_path / "out" / "letters" / "run.json").read_bytes())
    assert run["rows"]["in"] == run["rows"]["accepted"] + run["rows"]["unresolved"] == 80
    assert "out/letters/report.html" in said["report"]
    assert (tmp_path / "out" / "letters" / "report.html").is_file()


def test_the_next_commands_of_init_are_those_of_the_readme(tmp_path: Path) -> None:
    """Whoever follows what the command says instead of the page comes the same way."""
    write_letters(tmp_path)
    first, *rest = commands()
    shown = [line.split()[1] for line in call(tmp_path, first).splitlines() if line.startswith("  sluice ")]
    assert shown == [words[1] for words in rest if words[1] != "report"]
