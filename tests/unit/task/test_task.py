from __future__ import annotations

import copy
import json
import re
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sluice.errors import BadTask
from sluice.task.answer import AnswerField, Confidence, FieldType
from sluice.task.columns import BASE_COLUMNS, KeepType, Kept
from sluice.task.examples import MAX_EXAMPLES
from sluice.task.file import json_schema, load_task, parse_task, task_names
from sluice.task.labels import MAX_LABELS
from sluice.task.task import Task
from sluice.task.tiers import Transport

if TYPE_CHECKING:
    from pathlib import Path

SMALL: dict[str, Any] = {"name": "small", "input": {"text": "text"}, "labels": ["billing", "technical", "other"]}
WHOLE: dict[str, Any] = {
    "name": "whole",
    "description": "Sort messages.",
    "input": {
        "id": "ticket.id",
        "text": ["subject", "body"],
        "max_tokens": 500,
        "when_longer": "cut",
        "gold": "team",
        "keep": {"customer.name": "string", "sent": "timestamp"},
        "keep_input": True,
    },
    "labels": {"billing": "Money", "technical": None, "other": ""},
    "choose": {"min": 0, "max": 2},
    "none": "other",
    "instructions": "Be brief.",
    "examples": [
        {"text": "Charged twice", "label": "billing", "amount": 3, "tags": ["a"], "mood": "low"},
        {"subject": "Hi", "body": "there", "labels": [], "amount": None, "tags": [], "mood": "high"},
    ],
    "answer": {
        "confidence": True,
        "evidence": True,
        "fields": {
            "amount": {"type": ["number", "null"], "description": "In euros"},
            "tags": {"type": "array", "items": {"type": "string", "enum": ["a", "b"]}},
            "mood": {"enum": ["low", "high"]},
        },
    },
    "gates": {
        "min_confidence": "certain",
        "rules": [{"name": "has-amount", "schema": {"properties": {"answer": {"required": ["amount"]}}}}],
    },
    "tiers": [{"model": "nova-micro", "transport": "batch"}, {"model": "claude-haiku-4-5", "timeout_hours": 48}],
    "budget": {"max_usd": 5},
    "limits": {"unresolved": 0.1, "rejected": 0.2},
}


def task(**changes: Any) -> Task:
    return parse_task({**SMALL, **changes}, "test")


def problems(data: object) -> list[str]:
    with pytest.raises(BadTask) as caught:
        parse_task(data, "bad.yaml")
    return caught.value.problems


def problems_with(**changes: Any) -> list[str]:
    return problems({**SMALL, **changes})


def test_defaults() -> None:
    """A task with a name, a text and labels has the documented defaults for all else."""
    small = task()
    assert small.input.text == ("text",)
    assert small.labels == {"billing": "", "technical": "", "other": ""}
    assert (small.choose, small.many, small.min_labels, small.max_labels) == ("one", False, 1, 1)
    assert small.answer.confidence
    assert small.gates.min_confidence is Confidence.LIKELY
    assert [tier.model for tier in small.tiers] == ["nova-micro", "claude-haiku-4-5"]
    assert {tier.transport for tier in small.tiers} == {Transport.AUTO}
    assert (small.tiers[0].max_tokens, small.tiers[0].attempts, small.tiers[0].timeout_hours) == (200, 2, 24)
    assert small.budget.max_usd is None


def test_a_frozen_task_is_a_task_file() -> None:
    """What is written into a run's start reads back as the same task with the same version."""
    whole = parse_task(WHOLE, "test")
    again = parse_task(json.loads(json.dumps(whole.model_dump(mode="json"))), "start.json")
    assert again == whole
    assert again.version == whole.version


@pytest.mark.parametrize("text", ["text", "body", ["text", "body"], ["subject", "body"]])
def test_an_example_is_frozen_like_the_task(text: object) -> None:
    """An example's text reads back the same, also where a field of the row is called text."""
    before = task(input={"text": text}, examples=[{"text": "Hi", "label": "other"}])
    assert parse_task(before.model_dump(mode="json"), "start.json") == before


def test_empty_sections_are_left_out() -> None:
    """A section with nothing behind its colon means its defaults."""
    assert task(answer=None, budget=None, none=None) == task()


@pytest.mark.parametrize(
    "labels",
    [
        {"Refund_not_showing_up": None, "reverted_card_payment?": "", "yes": "", "دست‌کم": ""},
        ["Refund_not_showing_up", "reverted_card_payment?", "yes", "دست‌کم"],
    ],
)
def test_labels_keep_their_spelling(labels: object) -> None:
    """Labels given as mapping or list are spelled in the task as in the file, in the same order."""
    assert list(task(labels=labels).labels) == ["Refund_not_showing_up", "reverted_card_payment?", "yes", "دست‌کم"]


def test_labels_from_a_csv_file(tmp_path: Path) -> None:
    """A path as labels is read as CSV beside the task file."""
    (tmp_path / "labels.csv").write_text('\ufeffname,description\r\nbilling,"Money, bills"\r\nother,\r\n', "utf-8")
    (tmp_path / "t.yaml").write_text("name: t\ninput: {text: text}\nlabels: labels.csv\n", "utf-8")
    assert load_task(str(tmp_path / "t.yaml")).labels == {"billing": "Money, bills", "other": ""}


@pytest.mark.parametrize(
    "content",
    [
        "name,description\r\nbilling ,Charges\r\ntechnical, Errors \r\n,\r\n,\r\n",
        "\ufeffName;Description\r\nbilling;Charges;;\r\ntechnical;Errors\r\n;\r\n",
        "sep=;\r\nname;description\r\nbilling;Charges\r\n\r\ntechnical;Errors\r\n",
        "\r\n,\r\nname,owner,description\r\nbilling,me,Charges\r\ntechnical,,Errors\r\n",
        'name, description\n"billing", "Charges"\ntechnical,Errors',
        "description|name\nCharges|billing\nErrors|technical\n",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_labels_file_is_read_as_spreadsheets_write_it(tmp_path: Path, content: str, encoding: str) -> None:
    """Empty rows, blanks around a cell and another separator are nobody's labels."""
    (tmp_path / "labels.csv").write_bytes(content.encode(encoding))
    made = parse_task({**SMALL, "labels": "labels.csv"}, "t.yaml", tmp_path)
    assert made.labels == {"billing": "Charges", "technical": "Errors"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("name,description\nbilling,Charges, invoices\nb,c\n", "line 2: more cells than the first line names"),
        ("name,description\nbilling,Charges\n,Errors\n", "line 3: there is no name in it"),
        ('name,description\nbilling,"Charges\nb,c\n', "a quote may not be closed"),
        ("name,name\na,b\n", "names a column twice"),
        ("name\na\na\n", "'a' stands there 2 times"),
    ],
)
def test_a_labels_file_is_whole_or_refused(tmp_path: Path, content: str, said: str) -> None:
    """What its writer cannot have meant is named with its line, and never cut in silence."""
    (tmp_path / "labels.csv").write_text(content, "utf-8")
    with pytest.raises(BadTask, match=re.escape(said)):
        parse_task({**SMALL, "labels": "labels.csv"}, "t.yaml", tmp_path)


@pytest.mark.parametrize("label", ["\u05e9\u200f", "\U0001f469\u200d\U0001f4bb", "a\u00a0b", "co\u00adop"])
def test_labels_of_any_writing_are_taken(label: str) -> None:
    """Marks of direction, joiners, emoji and soft hyphens are part of how a label is spelled."""
    assert label in task(labels=[label, "b"]).labels


def test_a_label_of_nothing_visible_is_refused() -> None:
    """It would be the form of an empty word."""
    assert "is empty" in problems_with(labels=["\u200b", "b"])[0]


def test_none_stands_alone() -> None:
    """Where at least two labels are asked for it never could; an example that puts it beside others is refused too."""
    several = {**SMALL, "choose": {"min": 2, "max": 3}, "none": "other"}
    (said,) = problems(several)
    assert said.startswith("none: 'other': says that nothing fits, so it stands alone, and choose.min is 2; ")
    example = {"text": "x", "labels": ["billing", "other"]}
    assert problems({**SMALL, "choose": "many", "none": "other", "examples": [example]}) == [
        "examples.0.label: 'other' says that nothing fits, so it should stand alone"
    ]


def test_a_run_that_began_with_a_task_of_before_goes_on() -> None:
    """Checks that came later do not stop it."""
    several = {**SMALL, "choose": {"min": 2, "max": 3}, "none": "other"}
    assert parse_task(several, "start.json", frozen=True).none == "other"


@pytest.mark.parametrize(
    ("content", "part"),
    [(None, "there is no file"), (b"label\nx\n", "the columns name"), (b"name\n\xff\n", "not UTF-8")],
)
def test_a_csv_file_that_is_none(tmp_path: Path, content: bytes | None, part: str) -> None:
    """A CSV file that is missing, not UTF-8 or without its first line is refused with its path."""
    if content is not None:
        (tmp_path / "labels.csv").write_bytes(content)
    with pytest.raises(BadTask, match=part) as caught:
        parse_task({**SMALL, "labels": "labels.csv"}, "t.yaml", tmp_path)
    assert "labels.csv" in str(caught.value)


@pytest.mark.parametrize("plain", ["yes", "no", "on", "off", "true", "null", "404", "1.5", "2026-01-01"])
def test_unquoted_labels_are_refused(tmp_path: Path, plain: str) -> None:
    """A label that YAML reads as another type is refused, with the advice to quote it; quoted it is fine."""
    path = tmp_path / "t.yaml"
    path.write_text(f"name: t\ninput: {{text: text}}\nlabels: {{{plain}: x, other: y}}\n", "utf-8")
    with pytest.raises(BadTask, match="in quotes"):
        load_task(str(path))
    path.write_text(f"name: t\ninput: {{text: text}}\nlabels: {{'{plain}': x, other: y}}\n", "utf-8")
    assert plain in load_task(str(path)).labels


@pytest.mark.parametrize(
    "labels",
    [
        ["a", "a"],
        ["é", "e\u0301"],
        ["", "a"],
        ["a ", "b"],
        ["a\nb", "b"],
        ["a\u2028b"],
        ["x" * 201],
        {"a": 3},
        5,
        [["a"]],
    ],
)
def test_bad_labels_are_refused(labels: object) -> None:
    """Labels that repeat, are empty, cannot be printed, or are no text name their field."""
    assert all(problem.startswith("labels") for problem in problems_with(labels=labels))


def test_too_many_labels_are_refused() -> None:
    """One label more than the documented number is refused, that number is not."""
    assert len(task(labels=[f"l{n}" for n in range(MAX_LABELS)]).labels) == MAX_LABELS
    assert "too many" in problems_with(labels=[f"l{n}" for n in range(MAX_LABELS + 1)])[0]


@pytest.mark.parametrize(
    ("choose", "expected"),
    [("one", (False, 1, 1)), ("many", (True, 1, 3)), ({"max": 2}, (True, 1, 2)), ({"min": 0, "max": 3}, (True, 0, 3))],
)
def test_how_many_labels(choose: object, expected: tuple[bool, int, int]) -> None:
    """Every way to write choose comes down to a least and a most number of labels."""
    chosen = task(choose=choose)
    assert (chosen.many, chosen.min_labels, chosen.max_labels) == expected


@pytest.mark.parametrize("choose", ["onee", 1, {"min": 2, "max": 1}, {"max": 4}, {"max": 0}, {"min": 1}, {"max": True}])
def test_bad_choose_is_refused(choose: object) -> None:
    """A choice of an impossible number of labels is refused."""
    assert problems_with(choose=choose)[0].startswith("choose")


def test_extraction_needs_no_labels() -> None:
    """Without labels a task is fine if it says what to extract, and refused if not."""
    fields = {"price": {"type": "number"}}
    bare = parse_task({"name": "t", "input": {"text": "text"}, "answer": {"fields": fields}}, "t")
    assert (bare.many, bare.min_labels, bare.max_labels) == (False, 0, 0)
    assert problems({"name": "t", "input": {"text": "text"}}) == [
        "labels: missing; a task needs labels, or answer.fields that say what to extract"
    ]


def test_the_label_for_nothing_is_one_of_the_labels() -> None:
    """`none` that is no label is refused with the nearest label."""
    assert "did you mean other?" in problems_with(none="othr")[0]


def test_all_problems_at_once() -> None:
    """Mistakes in different parts are reported together, each with its field."""
    bad = {
        "name": "Bad Name",
        "inputs": {},
        "input": {"txt": "a", "text": ["a", "a"], "keep": {"x": "strin"}},
        "labels": {True: "x"},
        "tiers": [{"modle": "x"}, {"model": "m", "timeout_hours": 3}],
        "gates": {"min_confidence": "sure"},
        "budget": {"max_usd": 0},
        "limits": {"unresolved": 5},
    }
    found = problems(bad)
    places = {sentence.split(":")[0] for sentence in found}
    assert places == {
        *("name", "inputs", "input.txt", "input.text", "input.keep.x", "labels", "tiers.0.modle", "tiers.0.model"),
        *("tiers.1.timeout_hours", "gates.min_confidence", "budget.max_usd", "limits.unresolved"),
    }
    assert "inputs: no such field; did you mean input?" in "\n".join(found)


@pytest.mark.parametrize(
    ("changes", "value", "allowed"),
    [
        ({"tiers": [{"model": "m", "transport": "bach"}]}, "'bach'", "'batch'"),
        ({"tiers": [{"model": "m", "max_tokens": "200"}]}, "'200'", "integer"),
        ({"tiers": [{"model": "m", "attempts": True}]}, "True", "integer"),
        ({"tiers": [{"model": "m", "temperature": float("nan")}]}, "nan", "finite"),
        ({"tiers": []}, "[]", "at least 1"),
        ({"input": {"text": "text", "when_longer": "trim"}}, "'trim'", "'cut'"),
        ({"input": {"text": ".."}}, "'..'", "dot"),
        ({"input": {"text": []}}, "[]", "at least one"),
        ({"input": {"text": "text", "keep_input": "yes"}}, "'yes'", "boolean"),
        ({"input": {"text": "a.b", "gold": "a"}}, "'a'", "shown the answer"),
        ({"gates": {"rules": [{"name": "r", "schema": {"type": "strin"}}]}}, "strin", "JSON Schema"),
        ({"gates": {"rules": [{"name": "r", "schema": {"$ref": "http://x.example/y"}}]}}, "x.example", "JSON Schema"),
        ({"gates": {"rules": [{"name": "r", "schema": {"required": ["label"]}}]}}, "label", "neither row nor answer"),
        ({"gates": {"rules": [{"name": "r", "schema": {}}, {"name": "r", "schema": {}}]}}, "r", "two rules"),
        ({"answer": {"confidence": False}, "gates": {"min_confidence": "likely"}}, "'likely'", "answer.confidence"),
    ],
)
def test_a_refusal_names_value_and_what_is_allowed(changes: dict[str, Any], value: str, allowed: str) -> None:
    """A single bad value makes a single problem, which shows it and says what would do."""
    (sentence,) = problems_with(**changes)
    assert value in sentence
    assert allowed in sentence


@pytest.mark.parametrize("data", [None, [], "name: x", 5])
def test_a_file_that_is_no_mapping(data: object) -> None:
    """A task file with anything but a mapping is refused as a whole."""
    assert "mapping" in problems(data)[0]


def test_a_confidence_that_is_not_asked_for_is_no_gate() -> None:
    """Without stated confidence the default gate is off."""
    assert task(answer={"confidence": False}).gates.min_confidence is None


def test_confidence_is_ordered() -> None:
    """Certain stands above likely, likely above unsure."""
    assert Confidence.CERTAIN.rank > Confidence.LIKELY.rank > Confidence.UNSURE.rank


def test_kept_columns() -> None:
    """A kept column is called like its path, with underscores for dots and other signs."""
    kept = task(input={"text": "text", "keep": {"a.b-c": "int", "Größe": "double"}}).input.kept
    assert kept == (Kept("a_b_c", "a.b-c", KeepType.INT), Kept("Größe", "Größe", KeepType.DOUBLE))


@pytest.mark.parametrize("taken", [*BASE_COLUMNS, "input", "run_date", "Label", "Run_Date"])
def test_taken_column_names_are_refused(taken: str) -> None:
    """Neither a kept column nor an answer field may be called like a column that is always there."""
    assert "taken" in problems_with(input={"text": "text", "keep": {taken: "string"}})[0]
    assert "taken" in problems_with(answer={"fields": {taken: {"type": "string"}}})[0]


def test_columns_may_not_collide() -> None:
    """Two columns whose names differ only by case, or by what became an underscore, are refused."""
    assert "taken by input.keep.a.b" in problems_with(input={"text": "t", "keep": {"a.b": "int", "A_b": "int"}})[0]
    clash = {"input": {"text": "t", "keep": {"price": "int"}}, "answer": {"fields": {"Price": {"type": "number"}}}}
    assert "taken by answer.fields.Price" in problems_with(**clash)[0]


@pytest.mark.parametrize("name", ["text", "body", "evidence"])
def test_fields_may_not_be_called_like_other_parts_of_an_answer(name: str) -> None:
    """A field with the name of the text or of the evidence could not be told apart in examples and answers."""
    answer = {"evidence": True, "fields": {name: {"type": "string"}}}
    assert f"answer.fields.{name}: " in problems_with(input={"text": "body"}, answer=answer)[0]


@pytest.mark.parametrize(
    ("schema", "kind", "array", "nullable"),
    [
        ({"type": "string"}, FieldType.STRING, False, False),
        ({"type": ["integer", "null"]}, FieldType.INTEGER, False, True),
        ({"type": ["boolean", None]}, FieldType.BOOLEAN, False, True),
        ({"enum": ["a", "b"]}, FieldType.STRING, False, False),
        ({"type": ["string", "null"], "enum": ["a", None]}, FieldType.STRING, False, True),
        ({"type": "array", "items": {"type": "number"}, "description": "d"}, FieldType.NUMBER, True, False),
        ({"type": ["array", "null"], "items": {"enum": ["x"]}}, FieldType.STRING, True, True),
    ],
)
def test_field_types(schema: dict[str, Any], kind: FieldType, array: bool, nullable: bool) -> None:
    """A field's property says its type, and written again it says the same."""
    field = AnswerField.model_validate(schema)
    assert (field.type, field.array, field.nullable) == (kind, array, nullable)
    assert AnswerField.model_validate(field.schema_property()) == field
    jsonschema_rs.validator_for(field.schema_property())


@pytest.mark.parametrize(
    "schema",
    [
        *("string", {}, {"type": "date"}, {"type": "object"}, {"type": ["string", "integer"]}, {"type": "null"}),
        *({"type": "string", "minLength": 1}, {"type": "array"}, {"type": "array", "items": {"type": "array"}}),
        *({"type": "array", "items": {"type": ["string", "null"]}}, {"type": "string", "items": {"type": "string"}}),
        *({"type": "string", "enum": []}, {"type": "string", "enum": [True]}, {"enum": 5}, {"type": {"a": 1}}),
        *({"type": "integer", "enum": [1.5]}, {"type": "array", "items": {"type": "string"}, "enum": ["a"]}),
    ],
)
def test_other_field_types_are_refused(schema: object) -> None:
    """What no typed column can hold is refused with the field's name."""
    assert problems_with(answer={"fields": {"x": schema}})[0].startswith("answer.fields.x: ")


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.floats(-3, 3),
    st.sampled_from("abc"),
    st.lists(st.sampled_from("ab")),
)


@given(
    st.sampled_from(
        [
            {"type": "integer"},
            {"type": ["number", "null"]},
            {"type": "boolean"},
            {"type": ["string", "null"], "enum": ["a", "b"]},
            {"type": "array", "items": {"type": "string", "enum": ["a"]}},
            {"type": "integer", "enum": [1, 2]},
        ]
    ),
    VALUES,
)
def test_a_field_admits_what_its_schema_admits(schema: dict[str, Any], value: object) -> None:
    """The check of examples agrees with a JSON Schema validator."""
    field = AnswerField.model_validate(schema)
    assert field.admits(value) == jsonschema_rs.validator_for(field.schema_property()).is_valid(value)


def test_examples_have_one_shape() -> None:
    """An example's text, labels and fields come out the same however it was written."""
    first, second = parse_task(WHOLE, "t").examples
    assert (first.text, first.labels) == ({"text": "Charged twice"}, ("billing",))
    assert first.fields == {"amount": 3, "tags": ["a"], "mood": "low"}
    assert (second.text, second.labels) == ({"subject": "Hi", "body": "there"}, ())
    assert task(examples=[{"text": "Hi", "label": "other"}]).examples[0].text == {"text": "Hi"}


@pytest.mark.parametrize(
    ("example", "part"),
    [
        ({"text": "a", "label": "biling"}, "did you mean billing?"),
        ({"text": "a", "label": True}, "in quotes"),
        ({"text": "a"}, "1 different label"),
        ({"text": "a", "labels": ["billing", "other"]}, "1 different label"),
        ({"text": "a", "label": "other", "labels": ["other"]}, "one of them"),
        ({"text": "a", "labels": "other"}, "list of labels"),
        ({"label": "other"}, "give text"),
        ({"text": 5, "label": "other"}, "should be a text"),
        ({"text": {"body": "x"}, "label": "other"}, "not in input.text"),
        ({"text": "a", "label": "other", "lable": "x"}, "did you mean label?"),
        ("a", "should be a mapping"),
    ],
)
def test_bad_examples_are_refused(example: object, part: str) -> None:
    """An example that the task's own gates would refuse is refused with its place."""
    found = problems_with(examples=[{"text": "fine", "label": "other"}, example])
    assert all(sentence.startswith("examples.1") for sentence in found)
    assert any(part in sentence for sentence in found)


def test_an_example_gives_the_whole_text_or_its_parts() -> None:
    """A row's field may be called text; else a whole text beside a part of it is refused."""
    example = {"subject": "a", "text": "b", "label": "other"}
    assert task(input={"text": ["subject", "text"]}, examples=[example]).examples[0].text == {
        "subject": "a",
        "text": "b",
    }
    assert "one or the other" in problems_with(input={"text": ["subject", "body"]}, examples=[example])[0]


def test_examples_show_the_fields() -> None:
    """An example without a field that has to be there, or with a value that does not fit, is refused."""
    fields = {"price": {"type": "number"}}
    for wrong in ({}, {"price": "3"}):
        example = {"text": "a", "label": "other", **wrong}
        (sentence,) = problems_with(answer={"fields": fields}, examples=[example])
        assert sentence.startswith("examples.0.price: ")


def test_examples_are_a_short_list() -> None:
    """Anything but a list, or too long a list, is refused."""
    assert "list" in problems_with(examples={"text": "a"})[0]
    assert str(MAX_EXAMPLES) in problems_with(examples=[{"text": "a", "label": "other"}] * (MAX_EXAMPLES + 1))[0]


@pytest.mark.parametrize(
    ("schema", "reads"),
    [
        ({"type": "object", "required": ["answer"], "properties": {"answer": {"required": ["x"]}}}, False),
        ({"properties": {"row": {}, "answer": {}}}, True),
        ({"required": ["row"]}, True),
        ({"if": {"properties": {"row": {}}}}, True),
        ({"if": {"properties": {"answer": {}}}, "then": {"properties": {"answer": {"required": ["x"]}}}}, False),
        ({"if": {"properties": {"answer": {}}}, "else": {"required": ["row"]}}, True),
        ({"not": {"required": ["answer"]}, "anyOf": [True, {"properties": {"answer": {}}}]}, False),
        ({"allOf": [{"not": {"properties": {"row": {}}}}]}, True),
        ({"$ref": "#/$defs/a", "$defs": {"a": {}}}, True),
        ({"additionalProperties": False, "properties": {"answer": {}}}, True),
    ],
)
def test_which_rules_read_the_row(schema: dict[str, Any], reads: bool) -> None:
    """Only a rule that plainly looks at the answer alone leaves the row out of a record's identity."""
    assert task(gates={"rules": [{"name": "r", "schema": schema}]}).reads_row is reads


DECIDING = {
    "description": "Other words.",
    "labels": {"billing": "Bills", "technical": None, "other": ""},
    "choose": "many",
    "instructions": "Be quick.",
    "none": "technical",
}


@pytest.mark.parametrize("field", DECIDING)
def test_the_version_follows_what_decides(field: str) -> None:
    """A change of what a request or a gate depends on is another version."""
    assert parse_task({**WHOLE, "examples": [], field: DECIDING[field]}, "t").version != whole_version(examples=[])


def whole_version(**changes: Any) -> str:
    return parse_task({**WHOLE, **changes}, "t").version


def test_the_version_ignores_what_does_not_decide() -> None:
    """What is kept, what it may cost and how it is sent leave the version as it is."""
    other = copy.deepcopy(WHOLE)
    other["budget"], other["limits"] = {"max_usd": 7}, {}
    other["input"] |= {"id": None, "keep": {}, "gold": None, "keep_input": False}
    other["tiers"] = [{"model": "nova-micro"}, {"model": "claude-haiku-4-5"}]
    version = whole_version()
    assert parse_task(other, "t").version == version
    assert len(version) == 12
    assert int(version, 16) >= 0


def test_the_version_follows_the_order_of_labels() -> None:
    """The labels in another order are another request, so another version."""
    assert task(labels=["a", "b"]).version != task(labels=["b", "a"]).version


def test_tasks_are_found_by_name_and_by_path(tmp_path: Path) -> None:
    """A name means a file in the folder, anything else a path; both endings count."""
    for suffix in ("yaml", "yml"):
        (tmp_path / f"t{suffix}.{suffix}").write_text(f"name: t{suffix}\ninput: {{text: a}}\nlabels: [x, y]\n")
    assert load_task("tyaml", tmp_path).name == "tyaml"
    assert load_task("tyml", tmp_path).name == "tyml"
    assert load_task(str(tmp_path / "tyml.yml")).name == "tyml"
    assert task_names(tmp_path) == ["tyaml", "tyml"]
    with pytest.raises(BadTask, match=r"did you mean tyaml\? There are: tyaml, tyml"):
        load_task("tyam", tmp_path)


def test_a_task_is_called_like_its_file(tmp_path: Path) -> None:
    """A task found by name must bear that name, or two names would lead to one table."""
    (tmp_path / "a.yaml").write_text("name: b\ninput: {text: a}\nlabels: [x, y]\n")
    with pytest.raises(BadTask, match="like the file"):
        load_task("a", tmp_path)


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"name: x\nlabels: {}\nname: y\n", "line 3: 'name' stands there twice, first in line 1"),
        (b"labels: {a: 1, a: 2}", "line 1: 'a' stands there twice"),
        (b"name: [", "line 1"),
        (b"\xff\xfe", "not UTF-8"),
        (b"a: \x00", "not allowed"),
        (b"[" * 5000, "nested too deeply"),
        (b"", "mapping"),
    ],
)
def test_unreadable_files_are_refused(tmp_path: Path, content: bytes, part: str) -> None:
    """A file that is not YAML, or says a thing twice, is refused with its path and the line."""
    path = tmp_path / "t.yaml"
    path.write_bytes(content)
    with pytest.raises(BadTask, match=part) as caught:
        load_task(str(path))
    assert str(path) in str(caught.value)


def test_every_field_is_documented() -> None:
    """The schema for editors describes each field and gives each optional one its default."""
    schema = json_schema()
    for part in [schema, *schema["$defs"].values()]:
        for name, field in part.get("properties", {}).items():
            assert field.get("description"), name
            assert name in part.get("required", []) or "default" in field, name


@pytest.mark.parametrize(
    "data",
    [
        *(SMALL, WHOLE, {**SMALL, "labels": "labels.csv"}, {**SMALL, "labels": {"a": None}}),
        *({**SMALL, "choose": "many"}, {**SMALL, "choose": {"min": 0, "max": 2}}),
        *(SMALL | {"input": {"text": ["a", "b.c"]}}, SMALL | {"answer": {"fields": {"x": {"type": "string"}}}}),
    ],
)
def test_the_schema_accepts_what_users_write(data: dict[str, Any]) -> None:
    """Editors do not underline any of the shapes that the reader takes."""
    errors = [str(error) for error in jsonschema_rs.validator_for(json_schema()).iter_errors(data)]
    assert errors == []


@pytest.mark.parametrize("data", [SMALL | {"lables": []}, SMALL | {"choose": "two"}, SMALL | {"tiers": []}])
def test_the_schema_refuses_mistakes(data: dict[str, Any]) -> None:
    """Editors underline a misspelt field and a value that is not allowed."""
    assert not jsonschema_rs.validator_for(json_schema()).is_valid(data)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(sorted(Task.model_fields)), JSON)
def test_any_nonsense_is_a_bad_task(field: str, value: object) -> None:
    """Whatever stands in a field, the answer is a task or a refusal, never another error."""
    try:
        read = parse_task({**WHOLE, field: value}, "t")
    except BadTask as error:
        assert error.problems  # noqa: PT017 - either outcome is fine
    else:
        assert parse_task(read.model_dump(mode="json"), "t") == read


@given(st.sampled_from(["text", "keep", "fields", "schema", "rules", "examples", "tiers"]), JSON)
def test_any_nonsense_inside_is_a_bad_task(place: str, value: object) -> None:
    """The same holds for what stands deeper in the file."""
    data = copy.deepcopy(WHOLE)
    match place:
        case "text" | "keep":
            data["input"][place] = value
        case "fields":
            data["answer"]["fields"]["tags"] = value
        case "schema":
            data["gates"]["rules"][0]["schema"] = value
        case "rules":
            data["gates"]["rules"] = value
        case _:
            data[place] = [value]
    try:
        parse_task(data, "t")
    except BadTask as error:
        assert error.problems  # noqa: PT017 - either outcome is fine


@given(st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=5, unique=True))
def test_labels_survive_yaml(labels: list[str]) -> None:
    """Labels that are accepted come out of a YAML file as they went in."""
    try:
        before = task(labels=labels)
    except BadTask:
        return
    read = yaml.safe_load(yaml.safe_dump({**SMALL, "labels": labels}, allow_unicode=True))
    assert list(parse_task(read, "t").labels) == list(before.labels) == labels


def test_a_kept_date_may_be_written_in_a_form_of_its_own() -> None:
    """The short form and the one with a format stand side by side, and a dumped task reads back as the same."""
    made = task(input={"text": "t", "keep": {"a": "date", "b": {"type": "timestamp", "format": "%d.%m.%Y %H:%M"}}})
    assert made.input.kept == (
        Kept("a", "a", KeepType.DATE),
        Kept("b", "b", KeepType.TIMESTAMP, "%d.%m.%Y %H:%M"),
    )
    assert parse_task(made.model_dump(mode="json"), "t") == made


@pytest.mark.parametrize(
    ("kept", "message"),
    [
        ("strin", "input.keep.x: 'strin': should be string, int, double, bool, date, timestamp, or {type: date"),
        ({"format": "%Y%m%d"}, "input.keep.x.type: is required"),
        ({"type": "date", "formt": "%Y"}, "input.keep.x.formt: no such field"),
        ({"type": "int", "format": "%Y%m%d"}, "belongs to a date or a timestamp, not to int"),
        ({"type": "date", "format": "MM/DD/YYYY"}, "like %m/%d/%Y"),
        ({"type": "date", "format": "%Y-%m"}, "like %m/%d/%Y"),
        ({"type": "date", "format": "%Y-%-m-%d"}, "%- is no part of a date"),
        ({"type": "date", "format": "%d.%m.%Y %Z"}, "%Z is no part of a date"),
        ({"type": "date", "format": "%m/%d/%Y%"}, "% is no part of a date"),
        ({"type": "date", "format": "%Y%Y%m%d"}, "names %Y twice"),
    ],
)
def test_a_kept_column_that_cannot_be_is_refused(kept: object, message: str) -> None:
    """A format that is no date, or for no date, is told with what it could be."""
    assert message in "\n".join(problems_with(input={"text": "t", "keep": {"x": kept}}))


def bomb(levels: int, wide: int = 9, merge: str = "") -> str:
    """YAML in which each line stands for the one before so many times."""
    opening, close = ("{", "}") if merge else ("[", "]")
    lines = [f"a0: &a0 {opening}{'x: ' if merge else ''}y{close}"]
    for n in range(1, levels):
        before = ", ".join([f"*a{n - 1}"] * wide)
        lines.append(f"a{n}: &a{n} {{k{n}: 1, {merge}: [{before}]}}" if merge else f"a{n}: &a{n} [{before}]")
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (bomb(9), "without its aliases"),
        (bomb(400, 2), "without its aliases"),
        (bomb(9, merge="<<"), "without its aliases"),
        (f"name: t\nlabels: *a8\n{bomb(9)}", "line 2"),
        ("labels: &a [*a]", "within what it stands for"),
        ("name: &a {b: {c: *a}}", "within what it stands for"),
        (bomb(5000, 1), "nested too deeply"),
        ("[" * 5000, "nested too deeply"),
    ],
)
def test_aliases_that_stand_for_too_much_are_refused(tmp_path: Path, text: str, part: str) -> None:
    """In one line, at once, and before anything is made of them."""
    (tmp_path / "t.yaml").write_text(text, "utf-8")
    with pytest.raises(BadTask, match=part) as refused:
        load_task(str(tmp_path / "t.yaml"))
    assert len(refused.value.problems) == 1
    assert len(str(refused.value)) < 500


def test_aliases_that_spare_typing_are_taken(tmp_path: Path) -> None:
    """An anchor for what stands twice is what they are for."""
    written = "name: t\ninput: {text: text}\nlabels: {a: &d same, b: *d}\ntiers: [&m {model: nova-micro}, {<<: *m}]\n"
    (tmp_path / "t.yaml").write_text(written, "utf-8")
    task = load_task(str(tmp_path / "t.yaml"))
    assert (task.labels, len(task.tiers)) == ({"a": "same", "b": "same"}, 2)
