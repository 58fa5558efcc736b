"""`sluice init`: a first task file from a sample of rows, with the reason for each guess beside it."""

from __future__ import annotations

import math
import re
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from rich.console import Console
from rich.text import Text

from sluice.cli.column_types import keep_lines
from sluice.cli.csv_guess import csv_lines
from sluice.cli.exits import ExitCode, print_json
from sluice.cli.guesses import Column, Guess, columns_of, guess_fields, last_name
from sluice.cli.samples import FIRST, form_of, rows_of, spread
from sluice.errors import BadRequest, BadTask
from sluice.files import plain, write_whole
from sluice.results.gold import known_words
from sluice.rows.paths import look_up
from sluice.rows.record import BYTES_PER_TOKEN, join_texts, printable
from sluice.task.file import parse_task
from sluice.task.label_file import label_text, labels_of_table
from sluice.task.labels import MAX_LABELS, PLACEHOLDER
from sluice.task.spelling import Names, plain_form, printable_name
from sluice.task.task import Task

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

TASKS = Path("tasks")
MAX_GUESSED = 100  # labels of a column that nobody named
SHOWN_LABELS = 8
EXAMPLES = 12  # labels up to which each gets an example
EXAMPLE = range(3, 400)  # characters of a text that can be one
USUAL_TOKENS = 4000  # input.max_tokens when nothing is said
MOST_TOKENS = 100_000  # what the default models take, with room for the instructions
LABELS = ("label", "labels", "category", "class", "topic", "intent", "team", "tag", "sentiment", "gold")
NOTHING_FITS = ("other", "none", "unknown", "misc", "miscellaneous", "n/a")
PLAIN = re.compile(r"[A-Za-z_][\w.-]*")
DRAFT = ("first_label", "second_label", "other")


@dataclass(frozen=True, slots=True)
class Request:
    """What the command line says, as it says it."""

    sample: Path
    labels: str | None = None
    column: str | None = None
    file: Path | None = None
    name: str | None = None
    force: bool = False
    json: bool = False


@dataclass(frozen=True, slots=True)
class Labels:
    """Labels with their descriptions, where they come from, and the column of the known answers if they have one."""

    described: dict[str, str]
    origin: str
    column: str | None = None
    several: bool = False


def init_task(request: Request) -> ExitCode:
    """Write a task file, and say what was guessed and what to do next."""
    if not request.sample.is_file():
        raise BadRequest(f"{plain(request.sample)} is not a file; name a file with some of your rows")
    rows = spread(rows_of(request.sample), FIRST)
    columns = columns_of(rows)
    labels = labels_of(request, columns)
    guess = guess_fields(columns, len(rows), labels.column)
    name = request.name or name_of(request.sample)
    path = TASKS / f"{name}.yaml"
    if path.exists() and not request.force:
        raise BadRequest(f"{path} exists; --force writes over it, --name gives another name")
    text = render(name, request.sample, guess, labels, columns, list(examples_of(rows, guess, labels)))
    _checked(text, path)
    write_whole(path, text.encode())
    if request.json:
        found = {"text": guess.text, "id": guess.id, "labels": list(labels.described), "gold": labels.column}
        print_json({"path": str(path), "name": name, **found})
        return ExitCode.SUCCEEDED
    console = Console(highlight=False, emoji=False, soft_wrap=not sys.stdout.isatty())
    console.print(Text("\n".join(_said(path, name, request.sample, guess, labels))))
    return ExitCode.SUCCEEDED


def _checked(text: str, path: Path) -> Task:
    """What is written can be run; a name or a label of the user's that cannot be used is told before."""
    try:
        return parse_task(yaml.safe_load(text), str(path))
    except BadTask as error:
        raise BadRequest(f"no task can be made of this: {'; '.join(error.problems)}") from None


def _said(path: Path, name: str, sample: Path, guess: Guess, labels: Labels) -> Iterator[str]:
    yield f"wrote {path}\n  text    {', '.join(guess.text)}: {guess.why_text}"
    yield f"  id      {guess.id or '(none)'}: {guess.why_id}"
    yield f"  labels  {len(labels.described):,}: {labels.origin}"
    yield "\nDescribe each label in the file, in a sentence or in words that the texts use. Then:"
    yield f"  sluice check {name} --sample {sample}"
    yield f"  sluice plan {sample} --task {name}"
    yield f"  sluice pilot {sample} --task {name} -n 50 --out out/{name}-pilot"
    yield f"  sluice run {sample} --task {name} --out out/{name}"


# The labels.


def labels_of(request: Request, columns: Mapping[str, Column]) -> Labels:
    """The labels that were named, or a draft.

    Raises:
        BadRequest: several sources were named, or one that has no labels.

    """
    given = [source for source in (request.labels, request.column, request.file) if source is not None]
    if len(given) > 1:
        raise BadRequest("--labels, --label-column and --labels-file say the same: give one of them")
    if request.labels is not None:
        names = list(dict.fromkeys(filter(None, (name.strip() for name in request.labels.split(",")))))
        return Labels(dict.fromkeys(names, PLACEHOLDER), "as given")
    if request.file is not None:
        return Labels(described(request.file), f"from {request.file}")
    if request.column is not None:
        return from_column(request.sample, request.column, columns)
    guessed = next((path for path in columns if last_name(path) in LABELS and _can_be_label(columns[path])), None)
    if guessed is not None:
        return from_column(request.sample, guessed, columns)
    return Labels(dict.fromkeys(DRAFT, PLACEHOLDER), "a draft, since none were named; replace them by your own")


def _can_be_label(column: Column) -> bool:
    return len(column.values) <= min(MAX_GUESSED, column.rows // 2)


def described(file: Path) -> dict[str, str]:
    """The labels of a file: CSV with the columns name and description, else one a line."""
    try:
        text = label_text(file)
        pairs = labels_of_table(text, file)
    except (OSError, ValueError) as error:
        raise BadRequest(f"--labels-file {file} cannot be read: {error}") from None
    listed = [(line.strip(), "") for line in text.splitlines() if line.strip()] if pairs is None else pairs
    return {name: description or PLACEHOLDER for name, description in listed}


def from_column(sample: Path, path: str, columns: Mapping[str, Column]) -> Labels:
    """The values of a field over all rows, the most frequent first."""
    if path not in columns:
        raise BadRequest(f"--label-column {path}: no such field; there are: {', '.join(columns)}")
    counts: Counter[str] = Counter()
    rows = several = 0
    for row in rows_of(sample):
        value = look_up(row, path)
        names = known_words(value) or ()
        counts.update(names)
        rows += bool(names)
        several += isinstance(value, list)
        if len(counts) > MAX_LABELS:
            raise BadRequest(f"--label-column {path}: it has more than {MAX_LABELS:,} values, so they are no labels")
    if not counts:
        raise BadRequest(f"--label-column {path}: no row has a word or a number there")
    origin = f"the values of {path} in {rows:,} rows, which are the known answers (input.gold)"
    spelled: dict[str, str] = {}  # one name in several forms is one label, spelled as it is most often
    for name, _ in counts.most_common():
        spelled.setdefault(plain_form(name), name)
    return Labels(dict.fromkeys(spelled.values(), PLACEHOLDER), origin, path, several > 0)


def examples_of(rows: Sequence[Mapping[str, Any]], guess: Guess, labels: Labels) -> Iterator[tuple[str, list[str]]]:
    """The first row of each label that is short enough to be shown to the model, as its text and labels."""
    if labels.column is None or len(labels.described) > EXAMPLES:
        return
    open_, names = set(labels.described), Names(labels.described)
    for row in rows:
        words = known_words(look_up(row, labels.column)) or ()
        given = [name for word in words if (name := names.find(word)) is not None]
        texts = [look_up(row, path) for path in guess.text]
        if not open_.intersection(given) or len(given) < len(words):
            continue
        if not all(text is None or isinstance(text, str) for text in texts) or not any(texts):
            continue
        text = printable(join_texts(guess.text, texts))
        if len(text) in EXAMPLE:
            open_ -= set(given)
            yield text, given


# The file.


def name_of(sample: Path) -> str:
    """A task's name made of a file's."""
    stem = sample.name.split(".", 1)[0].lower()
    return re.sub(r"[^a-z0-9_-]+", "_", stem).strip("_-").lstrip("0123456789_-")[:48] or "task"


def quoted(text: str) -> str:
    """A text as YAML, in quotes unless it is one plain word that nothing else is spelled like."""
    if PLAIN.fullmatch(text) and yaml.safe_load(text) == text:
        return text
    return str(yaml.safe_dump(text, default_style='"', allow_unicode=True, width=10**9)).removesuffix("\n")


def render(
    name: str,
    sample: Path,
    guess: Guess,
    labels: Labels,
    columns: Mapping[str, Column],
    examples: Sequence[tuple[str, Sequence[str]]],
) -> str:
    """Write the task file."""
    lines = [
        f"# Drafted by `sluice init` from {sample.name}. Every field and its default: `sluice schema`.",
        f"name: {name}",
        "# What the task is for, in a sentence; the model reads it.",
        'description: ""',
        *_input_lines(guess, labels, columns),
        *csv_lines(form_of(sample)),
        *_label_lines(labels),
        *_example_lines(examples, several=labels.several),
        "# The cheapest model first; what it cannot settle goes on to the next.",
        "tiers:",
        "  - {model: nova-micro}",
        "  - {model: claude-haiku-4-5}",
        "# Nothing is sent that would take a run above this; the rest goes on with `sluice resume --max-usd`.",
        "budget: {max_usd: 20}",
        "# A run that leaves more of its rows without a label, or cannot read more of them, ends as over_limit.",
        "limits: {unresolved: 0.1, rejected: 0.1}",
    ]
    return "\n".join(map(_printable, lines)) + "\n"


def _printable(line: str) -> str:
    """A line of the file; a name in a comment may hold anything."""
    return "".join(item if printable_name(item) else "\N{REPLACEMENT CHARACTER}" for item in line)


def _input_lines(guess: Guess, labels: Labels, columns: Mapping[str, Column]) -> Iterator[str]:
    text = guess.text[0] if len(guess.text) == 1 else f"[{', '.join(map(quoted, guess.text))}]"
    yield "input:"
    if guess.id is not None:
        yield f"  id: {quoted(guess.id)}  # {guess.why_id}"
    yield f"  text: {quoted(text) if len(guess.text) == 1 else text}  # {guess.why_text}"
    longest = sum(columns[path].longest for path in guess.text)
    if longest > USUAL_TOKENS * BYTES_PER_TOKEN:
        tokens = min(MOST_TOKENS, 1000 * math.ceil(longest / BYTES_PER_TOKEN / 1000))
        yield f"  max_tokens: {tokens}  # the longest text has {longest:,} bytes; a longer one is rejected"
    if labels.column is not None:
        yield f"  gold: {quoted(labels.column)}  # known answers, for reports; never shown to a model"
    used = {*guess.text, guess.id, labels.column}
    yield from keep_lines({path: column for path, column in columns.items() if path not in used}, quoted)


def _label_lines(labels: Labels) -> Iterator[str]:
    yield f"# Labels: {labels.origin}. The model knows a label by its description."
    yield "labels:"
    yield from (f"  {quoted(name)}: {quoted(text)}" for name, text in labels.described.items())
    if labels.several:
        yield "choose: many"
    fits = next((name for name in labels.described if name.casefold() in NOTHING_FITS), None)
    if fits is not None:
        yield f"none: {quoted(fits)}  # for a text that fits no other label"
    else:
        yield "# none: other  # name the label for a text that fits none"


def _example_lines(examples: Sequence[tuple[str, Sequence[str]]], *, several: bool) -> Iterator[str]:
    if not examples:
        yield "# examples:  # texts with their right answers, shown to the model; one for each label helps most"
        yield f"#   - {{text: ..., {'labels: [...]' if several else 'label: ...'}}}"
        return
    yield "# From your rows; check that each is right. Leave them out when you compare results with known answers."
    yield "examples:"
    for text, given in examples:
        answer = f"labels: [{', '.join(map(quoted, given))}]" if several else f"label: {quoted(given[0])}"
        yield f"  - {{text: {quoted(text)}, {answer}}}"
