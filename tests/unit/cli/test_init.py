"""`sluice init`: what it writes can be run, says why, and overwrites nothing."""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import json
import re
import tempfile
import unicodedata
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from sluice.cli.app import app
from sluice.cli.column_types import type_of
from sluice.cli.guesses import Guess, columns_of, guess_fields
from sluice.cli.init import Labels, Request, described, examples_of, init_task, name_of, quoted, render
from sluice.cli.samples import spread
from sluice.errors import BadRequest
from sluice.task.columns import KeepType
from sluice.task.file import load_task, parse_task
from tests.harness.drive import jsonl

if TYPE_CHECKING:
    from typer.testing import Result

ROWS = [
    {
        "ticket": f"T-{n}",
        "subject": f"Question {n}",
        "body": f"The parcel number {n} has not come, where is it now?",
        "team": ["delivery", "billing", "other"][n % 3],
        "meta": {"lang": "en", "day": 1 + n % 5, "blank": " "},
    }
    for n in range(30)
]


@pytest.fixture
def sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "Letters 2026.jsonl"
    path.write_bytes(jsonl(ROWS))
    return path


def called(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["init", *arguments])


def guessed(rows: list[dict[str, Any]]) -> Guess:
    return guess_fields(columns_of(rows), len(rows), None)


def test_the_task_that_is_written_can_be_run(sample: Path) -> None:
    """Fields are guessed, labels and known answers come from the column, each label has an example."""
    result = called(sample.name, "--label-column", "team")
    assert result.exit_code == 0, result.stderr
    task = load_task("letters_2026")
    assert (task.input.id, task.input.text, task.input.gold) == ("ticket", ("subject", "body"), "team")
    assert list(task.labels) == ["delivery", "billing", "other"]
    assert task.none == "other"
    assert sorted(example.labels for example in task.examples) == [("billing",), ("delivery",), ("other",)]
    for said in ("wrote tasks/letters_2026.yaml", "the longest texts", "sluice plan", "sluice pilot", "sluice run"):
        assert said in result.stdout


def test_what_was_guessed_can_be_read_by_a_program(sample: Path) -> None:
    """The file, its fields and its labels, and nothing else on standard output."""
    found = json.loads(called(sample.name, "--label-column", "team", "--json").stdout)
    assert (found["path"], found["name"]) == ("tasks/letters_2026.yaml", "letters_2026")
    assert (found["id"], found["text"], found["gold"]) == ("ticket", ["subject", "body"], "team")
    assert set(found["labels"]) == {"delivery", "billing", "other"}


def test_a_task_is_not_overwritten(sample: Path) -> None:
    """Without --force the file stays as it is, and the message says how to go on."""
    called(sample.name, "--labels", "a,b")
    path = Path("tasks/letters_2026.yaml")
    before = path.read_text()
    refused = called(sample.name, "--labels", "c,d")
    assert (refused.exit_code, path.read_text()) == (2, before)
    assert "--force" in refused.stderr
    assert called(sample.name, "--labels", "c,d", "--force").exit_code == 0
    assert list(load_task("letters_2026").labels) == ["c", "d"]


def test_labels_come_from_a_list_a_file_or_a_guess(sample: Path) -> None:
    """A list may have blanks, a file may be CSV with descriptions; a column called like one is taken by itself."""
    Path("plain.txt").write_text("one\n\ntwo\n")
    Path("full.csv").write_text("Name; Description\r\none ;The first, in words\r\ntwo;\r\n;\r\n")
    assert called(sample.name, "--labels", " one , two,one", "--name", "a").exit_code == 0
    assert called(sample.name, "--labels-file", "plain.txt", "--name", "b").exit_code == 0
    assert list(load_task("a").labels) == list(load_task("b").labels) == ["one", "two"]
    assert described(Path("full.csv")) == {"one": "The first, in words", "two": "describe this label"}
    assert called(sample.name, "--name", "c").exit_code == 0
    assert load_task("c").input.gold == "team"


@pytest.mark.parametrize(
    ("values", "labels", "given"),
    [
        ([5, 1, 5, 1, 5, 1, 5, 1, 5], ["5", "1"], "5"),
        ([True, False, True] * 3, ["true", "false"], "true"),
        ([4.5, 4.5, 2.0] * 3, ["4.5", "2.0"], "4.5"),
        (["Qualite\u0301", "Qualit\u00e9", "b", "Qualit\u00e9"] * 2, ["Qualit\u00e9", "b"], "Qualit\u00e9"),
        (["\u05d0\u200f", "a\u00a0b", "\u05d0\u200f"] * 3, ["\u05d0\u200f", "a\u00a0b"], "\u05d0\u200f"),
    ],
)
def test_a_label_column_may_hold_numbers_truths_and_any_writing(
    sample: Path, values: list[Any], labels: list[str], given: str
) -> None:
    """Numbers and truths are named by their JSON; a name in two forms is one label; no character gets lost."""
    sample.write_bytes(jsonl([{"text": f"some words {n}", "stars": value} for n, value in enumerate(values)]))
    assert called(sample.name, "--label-column", "stars").exit_code == 0
    task = load_task("letters_2026")
    assert (list(task.labels), task.input.gold) == (labels, "stars")
    assert given in [example.labels[0] for example in task.examples]


def test_without_labels_a_draft_is_written(sample: Path) -> None:
    """It can be run, and says that it is a draft."""
    sample.write_bytes(jsonl([{"text": f"some words {n}"} for n in range(5)]))
    assert "a draft" in called(sample.name).stdout
    assert len(load_task("letters_2026").labels) == 3


def test_several_labels_in_a_row_are_several_in_the_task(sample: Path) -> None:
    """A field of lists makes a task that chooses many."""
    rows = [{"text": f"words {n}", "topics": ["mud", "view"] if n % 2 else ["view"]} for n in range(9)]
    sample.write_bytes(jsonl(rows))
    assert called(sample.name, "--label-column", "topics").exit_code == 0
    task = load_task("letters_2026")
    assert (list(task.labels), task.many) == (["view", "mud"], True)


@pytest.mark.parametrize("suffix", ["csv", "jsonl.gz", "parquet"])
def test_every_container_can_be_a_sample(sample: Path, suffix: str) -> None:
    """The rows are read as a run reads them."""
    path = sample.parent / f"in.{suffix}"
    rows = [{"key": f"k{n}", "note": f"a few words about {n}"} for n in range(8)]
    if suffix == "csv":
        out = io.StringIO()
        writer = csv.DictWriter(out, ["key", "note"])
        writer.writeheader()
        writer.writerows(rows)
        path.write_text(out.getvalue())
    elif suffix == "parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_bytes(gzip.compress(jsonl(rows)))
    assert called(path.name, "--labels", "a,b").exit_code == 0
    assert (load_task("in").input.id, load_task("in").input.text) == ("key", ("note",))


@pytest.mark.parametrize(
    ("rows", "text", "id_"),
    [
        ([{"a": "x" * 9, "text": "y" * 8 + str(n)} for n in range(5)], ["text"], None),
        ([{"deep": {"body": f"words and words {n}"}, "no": n} for n in range(5)], ["deep.body"], "no"),
        ([{"url": f"https://x/{n}", "content": f"words of text {n}"} for n in range(5)], ["content"], "url"),
        ([{"content": f"words of text {n}", "k": "same"} for n in range(5)], ["content"], None),
        ([{"dot.ted": "x" * 99, "content": "words", "gone": None}], ["dot.ted"], "content"),
    ],
)
def test_fields_are_guessed_from_what_they_hold(rows: list[dict[str, Any]], text: list[str], id_: str | None) -> None:
    """Long and various strings are the text, a value of its own in each row is the id; names may have dots."""
    found = guessed(rows)
    assert (found.text, found.id) == (text, id_)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["gone.jsonl"], "gone.jsonl is not a file"),
        (["Letters 2026.jsonl", "--label-column", "nope"], "no such field; there are: ticket"),
        (["Letters 2026.jsonl", "--label-column", "meta.blank"], "no row has a word or a number there"),
        (["Letters 2026.jsonl", "--labels", "a", "--label-column", "team"], "give one of them"),
        (["Letters 2026.jsonl", "--labels-file", "gone.txt"], "cannot be read"),
        (["Letters 2026.jsonl", "--labels", "a", "--name", "Not A Name"], "no task can be made of this: name"),
        (["numbers.jsonl"], "no field of the rows holds text"),
    ],
)
def test_what_cannot_be_drafted_is_refused(sample: Path, arguments: list[str], said: str) -> None:
    """The exit code is 2, the sentence names what is wrong, and nothing is written."""
    Path("numbers.jsonl").write_bytes(jsonl([{"a": 1}]))
    result = called(*arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert not Path("tasks").exists()


def test_a_column_of_too_many_values_is_none_of_labels(sample: Path) -> None:
    """A thousand labels is what a task may have."""
    sample.write_bytes(jsonl([{"text": "words", "who": f"w{n}"} for n in range(1002)]))
    assert "more than 1,000 values" in called(sample.name, "--label-column", "who").stderr


@pytest.mark.parametrize(
    ("file", "name"),
    [("Tickets.2026.csv.gz", "tickets"), ("2026-05 Börse.jsonl", "b_rse"), ("___.csv", "task"), ("x" * 80, "x" * 48)],
)
def test_a_name_is_made_of_the_files(file: str, name: str) -> None:
    """It is one that a task may have."""
    assert name_of(Path(file)) == name


# Names that a task may have: printed, not bordered by blanks, and in one normal form.
NAMES = st.text(min_size=1, max_size=12).filter(
    lambda text: text.isprintable() and text == text.strip() == unicodedata.normalize("NFC", text)
)


@settings(max_examples=150, derandomize=True)
@given(labels=st.dictionaries(NAMES, st.text(max_size=20), min_size=1, max_size=6), texts=st.lists(NAMES, max_size=3))
def test_whatever_labels_and_examples_hold_they_are_read_back(labels: dict[str, str], texts: list[str]) -> None:
    """Quotes, colons, commas, yes and null, characters that YAML folds: each label is spelled as it was given."""
    names = list(labels)
    examples = [(text, names[:1]) for text in texts]
    guess, columns = Guess(["t"], "why", None, "why"), columns_of([{"t": "x"}])
    made = render("x", Path("a\nb: c.csv"), guess, Labels(labels, "as given"), columns, examples)
    task = parse_task(yaml.safe_load(made), "x")
    assert list(task.labels) == names
    assert [example.text["t"] for example in task.examples] == texts


@given(st.text())
def test_any_text_is_read_back_from_its_quotes(text: str) -> None:
    """Plain where it is a plain word, else between quotes."""
    assert yaml.safe_load(f"[{quoted(text)}]") == [text]
    assert "\n" not in quoted(text)


def test_examples_are_short_rows_of_known_labels() -> None:
    """One a label; none where there are many labels, and none of rows that a model could not be shown."""
    rows: list[dict[str, Any]] = [
        {"t": 7, "l": "a"},
        {"t": "x" * 999, "l": "a"},
        {"t": "short", "l": "a"},
        {"t": "again", "l": "a"},
        {"t": "other", "l": "b"},
        {"t": "none", "l": None},
    ]
    guess = Guess(["t"], "", None, "")
    labels = Labels({"a": "", "b": ""}, "", "l")
    assert list(examples_of(rows, guess, labels)) == [("short", ["a"]), ("other", ["b"])]
    many = Labels({str(n): "" for n in range(20)}, "", "l")
    assert list(examples_of(rows, guess, many)) == []


# `sluice check`, which says what is left to do.


def checked(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["check", "letters_2026", *arguments])


def test_check_finds_what_init_left_open(sample: Path) -> None:
    """Placeholders are a weakness, not a mistake."""
    called(sample.name, "--labels", "a,b")
    result = checked("--sample", sample.name)
    assert result.exit_code == 0
    assert "no label has a description (a, b)" in result.stdout
    assert "none: is not set" in result.stdout
    assert "--- system" in result.stdout


def test_check_says_all_of_it_in_json(sample: Path) -> None:
    """Mistakes end with 2, weaknesses with 0, in the same document."""
    called(sample.name, "--labels", "a,b")
    document = json.loads(checked("--json").stdout)
    assert (document["ok"], document["mistakes"]) == (True, [])
    assert [weakness["field"] for weakness in document["weaknesses"]] == ["labels", "none", "examples"]
    Path("tasks/letters_2026.yaml").write_text("name: letters_2026\n")
    refused = checked("--json")
    assert refused.exit_code == 2
    assert json.loads(refused.stdout)["mistakes"][0] == "input: is required"


def test_check_holds_a_task_against_rows(sample: Path) -> None:
    """A field that the rows do not have is told, and so are answers that are no labels."""
    called(sample.name, "--label-column", "team")
    other = sample.parent / "other.jsonl"
    other.write_bytes(jsonl([{"body": "words", "team": "press"}]))
    found = checked("--sample", "other.jsonl", "--json")
    told = [f"{weakness['field']}: {weakness['message']}" for weakness in json.loads(found.stdout)["weaknesses"]]
    assert any(line.startswith("input.id: ticket stands in none of the 1 rows") for line in told)
    assert any(
        line.startswith("input.gold: known answers of the sample are none of the labels: press") for line in told
    )
    assert checked("--sample", "gone.jsonl").exit_code == 2


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30) | st.just("\ud800 cut"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=80, derandomize=True)
@given(
    rows=st.lists(st.dictionaries(st.sampled_from(["text", "id", "label", "a.b", "ü", ""]), JSON), max_size=12),
    column=st.sampled_from([None, "label", "id"]),
)
def test_any_rows_make_a_task_or_a_sentence(rows: list[dict[str, Any]], column: str | None) -> None:
    """Whatever stands in them, what is written is a task, and what cannot be one is refused without a traceback."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        Path("in.jsonl").write_bytes(jsonl(rows))
        try:
            init_task(Request(Path("in.jsonl"), column=column))
        except BadRequest:
            assert not Path("tasks").exists()
        else:
            assert load_task("in").input.text


def test_without_a_file_a_sample_project_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In an empty folder there is something to run at once; what is there already is not written over."""
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["init"])
    assert result.exit_code == 0
    rows = Path("tickets.jsonl").read_bytes().splitlines()
    assert f"{len(rows):,} lines" in result.stdout
    assert load_task("tickets").name == "tickets"
    assert "sluice run tickets.jsonl --task tickets --out out/tickets" in result.stdout
    Path("tasks/tickets.yaml").write_text("name: mine\n")
    refused = CliRunner().invoke(app, ["init"])
    assert refused.exit_code == 2
    assert "tickets.jsonl and tasks/tickets.yaml would be written over; --force does it" in refused.stderr
    assert Path("tasks/tickets.yaml").read_text() == "name: mine\n"


@pytest.mark.parametrize("option", ["--labels=a,b", "--label-column=team", "--labels-file=x", "--name=mail"])
def test_what_is_said_of_a_task_needs_rows_to_make_it_of(
    option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sample has a task and labels of its own: an option for another is not passed over in silence."""
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["init", option])
    assert result.exit_code == 2
    assert "name a file" in result.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("values", "kind", "form"),
    [
        (["1", "-20", "0"], "int", None),
        (["007", "012"], "string", None),
        (["1.5", "2"], "double", None),
        (["true", "false"], "bool", None),
        (["2026-01-31"], "date", None),
        (["2026-01-31T10:00:00Z", "2026-02-01T00:00:00+01:00"], "timestamp", None),
        (["01/31/2026", "02/01/2026", ""], "date", "%m/%d/%Y"),
        (["31/01/2026", "01/02/2026"], "date", "%d/%m/%Y"),
        (["01/02/2026", "03/04/2026"], "string", None),
        (["31.01.2026 10:30"], "timestamp", "%d.%m.%Y %H:%M"),
        (["2026-02-31"], "string", None),
        (["", " "], "string", None),
    ],
)
def test_a_columns_type_is_guessed_from_all_its_values(values: list[str], kind: str, form: str | None) -> None:
    """A code with zeros in front is no number; dates that can be read in two ways stay texts."""
    column = columns_of([{"a": value} for value in values])["a"]
    assert type_of(column) == (KeepType(kind), form)


def test_the_columns_that_are_offered_can_be_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever takes the signs of a comment away has a task; what the results have already is not offered."""
    monkeypatch.chdir(tmp_path)
    rows = [f"{n};new;some words {n};{n % 12 + 1:02d}/{n % 28 + 1:02d}/2026" for n in range(40)]
    Path("in.csv").write_text("\n".join(["nr;status;message;sent", *rows]))
    assert CliRunner().invoke(app, ["init", "in.csv", "--labels", "a,b"]).exit_code == 0
    file = Path("tasks/in.yaml")
    file.write_text(re.sub(r"^  #   ", "    ", file.read_text(), flags=re.MULTILINE).replace("# keep:  #", "keep:  #"))
    kept = [(each.column, each.type, each.format) for each in load_task("in").input.kept]
    assert kept == [("sent", KeepType.DATE, "%m/%d/%Y")]


def test_rows_are_looked_at_from_the_beginning_to_the_end() -> None:
    """A file that is sorted shows all its kinds; a short one is taken whole."""
    assert spread(range(5), 10) == [0, 1, 2, 3, 4]
    found = spread(range(100_000), 100)
    assert 100 <= len(found) < 200
    assert found[0] == 0
    assert found[-1] > 98_000
    assert {late - early for early, late in pairwise(found)} == {512}


def test_an_id_that_is_nearly_unique_is_offered_with_a_warning() -> None:
    """One repeated value in a hundred is told; a field of another name, or of many repeated values, is none."""
    rows = [{"text": f"words and more words {n}", "ticket_id": f"T{max(1, n)}"} for n in range(100)]
    found = guessed(rows)
    assert found.id == "ticket_id"
    assert "of 100 rows 1 repeat another's value: make sure" in found.why_id
    assert guessed([{**row, "ticket_id": "T1" if n < 5 else str(n)} for n, row in enumerate(rows)]).id is None
    assert guessed([{"text": row["text"], "colour": row["ticket_id"]} for row in rows]).id is None
