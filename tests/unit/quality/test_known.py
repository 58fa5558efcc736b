from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sluice.api.quality import evaluate
from sluice.errors import BadRequest
from sluice.quality.known import from_file
from sluice.results.published import Origin, Published
from sluice.rows.containers import Reading
from sluice.runs.document import read
from sluice.runs.keys import Keys
from sluice.runs.state import Inputs
from sluice.task.file import parse_task
from tests.harness.drive import Cloud

if TYPE_CHECKING:
    from pathlib import Path

    from sluice.task.task import Task

ROWS = [
    {"id": "01", "text": "about a", "known": "about", "lang": "de"},
    {"id": "02", "text": "odd one", "known": "about", "lang": "de"},
    {"id": "03", "text": "about c", "known": "strange"},
    {"id": "04", "text": "odd four"},
]
INPUT = b"".join(json.dumps(row).encode() + b"\n" for row in ROWS) + b"no JSON\n"


def make(**more: Any) -> Task:
    made = {
        "name": "t",
        "input": {"id": "id", "text": "text", "keep": {"lang": "string"}, **more},
        "labels": ["about", "odd"],
        "tiers": [{"model": "nova-micro", "transport": "on_demand"}],
    }
    return parse_task(made, "t")


def answer(_model: str, text: str) -> str:
    return json.dumps({"label": "odd" if "odd" in text else "about", "confidence": "certain"})


def ran(task: Task) -> tuple[Published, dict[str, Any]]:
    cloud = Cloud(answer)
    summary = cloud.run(task, {"a.jsonl": INPUT})
    key = Keys(summary["run_id"]).inputs

    def origins() -> list[Origin]:
        found = read(Inputs, cloud.work.get(key), key).inputs
        return [Origin(cloud.incoming, item.uri.removeprefix("s3://incoming/"), item, Reading()) for item in found]

    return Published(cloud.results, summary["run_id"], "results/t/", origins), dict(summary)


@pytest.mark.parametrize("kept", [True, False])
def test_known_answers_of_the_input_are_found_wherever_it_lies(kept: bool) -> None:
    """In the column of whole rows, or in the files themselves; rejected rows are no part of it."""
    found = evaluate(*ran(make(gold="known", keep_input=kept)), by=["lang"])
    assert [found[name] for name in ("rows", "known", "right", "of", "outside", "interval")] == [4, 2, 1, 2, 1, None]
    assert found["slices"]["lang"] == [{"value": "de", "right": 1, "of": 2, "share": 0.5}]
    assert found["models"] == ["us.amazon.nova-micro-v1:0"]


def files(folder: Path) -> dict[str, Path]:
    """The same known answers in each way to write them."""
    rows = [{"id": "01", "label": "about"}, {"id": "04", "label": "odd"}, {"id": "09", "label": "odd"}]
    places = [{"source": "a.jsonl", "line": n, "label": label} for n, label in ((1, "about"), (4, "odd"), (9, "odd"))]
    made = {name: folder / f"gold.{name}" for name in ("csv", "tsv", "jsonl", "parquet", "places.jsonl")}
    made["csv"].write_text("id,label\n" + "".join(f"{row['id']},{row['label']}\n" for row in rows))
    made["tsv"].write_text("id\tlabels\n" + "".join(f'{row["id"]}\t["{row["label"]}"]\n' for row in rows))
    made["jsonl"].write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    pq.write_table(pa.Table.from_pylist(rows), made["parquet"])
    made["places.jsonl"].write_text("\n".join(map(json.dumps, places)))
    return made


def test_a_file_is_joined_by_id_or_by_place(tmp_path: Path) -> None:
    """Ids of digits keep their zeros; a source is its URI or its last name; rows that there are not are nobody's."""
    published, summary = ran(make())
    for name, file in files(tmp_path).items():
        found = evaluate(published, summary, file)
        assert [found[each] for each in ("known", "right", "of", "gold")] == [2, 2, 2, str(file)], name


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("g.csv", "a,b\n1,2\n", "it needs `id`, or `source` and `line`"),
        ("g.csv", "id,label\n", "has no rows"),
        ("g.jsonl", '{"id": "01", "label": "odd"}\n[1]\n', "line 2 is no JSON object"),
        ("g.jsonl", '{"source": "a", "line": "x", "label": "odd"}\n', "row 1: `line` is no number"),
        ("g.parquet", "none", "cannot be read"),
        ("g.xlsx", "none", "none of .csv"),
        ("gone.csv", None, "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_joined_is_refused_with_its_place(
    tmp_path: Path, name: str, text: str | None, message: str
) -> None:
    """And with what it would have to hold; no cell of it is told."""
    file = tmp_path / name
    if text is not None:
        file.write_text(text)
    with pytest.raises(BadRequest, match=message):
        from_file(make(), file)


def test_a_run_of_which_nothing_is_known_is_refused() -> None:
    """Without known answers in the task, without one that is a label, or with a column that there is not."""
    published, summary = ran(make())
    with pytest.raises(BadRequest, match=r"input\.gold"):
        evaluate(published, summary)
    with pytest.raises(BadRequest, match="lung is no column of the results"):
        evaluate(published, summary, by=["lung"])
    other, of_other = ran(make(gold="id"))
    with pytest.raises(BadRequest, match="0 were given, and 4 that are no label"):
        evaluate(other, of_other)
