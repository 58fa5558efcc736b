"""Two runs of a task with every feature on, over rows of several people whose every byte can be known again."""

from __future__ import annotations

import json
import os
import random
import re
import zlib
from functools import cache
from io import BytesIO
from itertools import chain
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import ipc

from sluice.answers.reuse import read_chunks
from sluice.files import digest_of
from sluice.results.corrections import Correction, Corrections
from sluice.results.folder import give_way
from sluice.results.settled import question_of
from sluice.rows.record import KEY
from sluice.runs.keys import AUDITS, LEARNED, LESSONS, REPLIES
from sluice.task.file import parse_task
from tests.harness.drive import Cloud, jsonl

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from sluice.task.task import Task

LABELS = ("red", "green", "blue")
DIGITS = re.compile(b"[0-9a-f]{%d,}" % KEY)
SAMPLE, TRAIN = 60, 200
SETTINGS = {"min_records_per_job": 1, "max_records_per_job": 150}
COUNT = int(os.environ.get("SLUICE_CANARIES", "450"))  # rows; `make canaries` plants 10,000 of 50 people
MANY = COUNT > 450
PEOPLE = 50 if MANY else 6
FIRST = -(-2 * COUNT // 3)  # rows of the first file
SHARED = "a red thing that several people have written"
PACKED = [{"model": "nova-micro", "pack": 5}, {"model": "claude-haiku-4-5", "pack": 10}]
JUDGE = "nova-lite"
# Every feature is on in one of these tasks; those that exclude each other stand in different ones. In each of them
# requests hold several rows, replies and people's answers are used again, and columns and rows are kept.
TASKS: dict[str, dict[str, Any]] = {
    "certified": {"quality": {"agree": 0.8, "sample": SAMPLE, "train": TRAIN, "repeats": 30}},
    "learned": {
        "answer": {},
        "tiers": [{"model": "learned", "min_score": 0.97}, *PACKED],
        "audit": {"rows": SAMPLE, "at_most": 0.3},
        "train": TRAIN,
    },
    "judged": {"gates": {"judge": {"model": JUDGE, "pack": 10}, "min_confidence": "likely"}},
}


def canary(person: int) -> str:
    """What stands in everything that is a person's, and in nothing else."""
    return f"kanary{person:02d}q"


def rows_of(count: int, people: int, *, first: int = 0) -> list[dict[str, Any]]:
    """Rows of people in turn, each with the person's own word; one in ten has a text that others have too."""
    dice = random.Random(first)
    rows = []
    for n in range(first, first + count):
        who = canary(n % people)
        text = SHARED if n % 10 == 3 else f"a {dice.choice(LABELS)} {dice.choice(('dark', 'bright'))} thing {who}-{n}"
        row: dict[str, Any] = {"id": f"{who}-id{n}", "text": text, "city": f"{who} town", "person": f"{who}"}
        rows.append(row if n % 60 != 59 else row | {"text": None})
    return rows


def reply(model: str, text: str) -> str:
    """An answer with words of the text in all that it holds; now and then no label, but such a word."""
    number = zlib.crc32(text.encode())
    if JUDGE in model:
        said = ("wrong", "unclear", f"no word but {text}")[number % 3] if number % 5 == 1 else "right"
        return json.dumps({"label": said})
    colour, word = text.split()[1], text.rsplit(maxsplit=1)[-1]
    if "micro" in model:
        if "dark" in text and number % 2:
            colour = LABELS[LABELS.index(colour) - 1]
        if number % 20 == 1:
            colour = f"no colour but {word}"
    return json.dumps({"evidence": word, "label": colour, "ref": word, "confidence": "likely"})


def task_of(kind: str) -> Task:
    """One of the tasks: with evidence and fields where answers may have them, kept columns and rows, kept replies."""
    base: dict[str, Any] = {
        "name": "t",
        "input": {"text": "text", "id": "id", "keep": {"city": "string", "person": "string"}, "keep_input": True},
        "labels": list(LABELS),
        "answer": {"fields": {"ref": {"type": "string"}}, "evidence": True},
        "tiers": PACKED,
        "reuse": {"days": 30},
    }
    return parse_task({**base, **TASKS[kind]}, "t")


def two_runs(rows: int, people: int, kind: str) -> tuple[Cloud, list[dict[str, Any]]]:
    """A cloud in which two runs have ended, one over a file and one over that and another."""
    cloud, task = Cloud(reply, dict(SETTINGS)), task_of(kind)
    files = {"a.jsonl": jsonl(rows_of(rows, people)), "b.jsonl": jsonl(rows_of(rows // 2, people, first=rows))}
    first = cloud.run(task, {"a.jsonl": files["a.jsonl"]})
    settle(cloud, task, first, rows // 10)
    second = cloud.run(task, files)
    return cloud, [first, second]


def settle(cloud: Cloud, task: Task, summary: dict[str, Any], count: int) -> None:
    """Let somebody confirm the first accepted rows of a run, so that the next one takes them for settled."""
    said = [
        Correction(
            **{name: row[name] for name in ("source", "line", "record", "id", "labels")},
            shown={"ref": row.get("ref")},
            note=f"{row['person']} asked",
            question=question_of(task),
            by="ann",
            at="2026-11-28T10:00:00+00:00",
            run=summary["run_id"],
        )
        for row in cloud.rows()
        if row["status"] == "accepted"
    ]
    Corrections(cloud.results, task.name).add(said[:count])


@cache
def shared_runs(kind: str = "certified") -> tuple[Cloud, list[dict[str, Any]]]:
    """Two runs for whoever only reads them, in which the task's features have all done something."""
    cloud, summaries = two_runs(FIRST, PEOPLE, kind)
    second = summaries[1]
    assert second["settled"]["rows"] > PEOPLE
    assert second["reused"]["records"]
    assert {
        "certified": lambda: second["certificate"] and second["repeats"]["records"],
        "learned": lambda: second["audit"] and second["tiers"][0]["accepted"] and second["taught_by"]["runs"],
        "judged": lambda: second["judge"]["wrong"] and second["judge"]["unclear"],
    }[kind]()
    return cloud, summaries


def as_folder(cloud: Cloud, summaries: Iterable[dict[str, Any]], out: Path) -> None:
    """Lay out what local runs would have left in a folder, one behind the other, with their inputs beside it."""
    for summary in summaries:
        run, document = summary["run_id"], json.loads(json.dumps(summary))
        for item in document["inputs"]:
            path = out.with_name(item["uri"].rpartition("/")[2])
            path.write_bytes(cloud.incoming.get(item["uri"].removeprefix("s3://incoming/")))
            item |= {"path": str(path), "sha256": digest_of(path)}
        give_way(out, document, published=True)
        copied = [key for key, _ in cloud.results.keys("results/") if run in key]
        found = {key: cloud.results.get(key) for key in copied}
        found |= {"run.json": msgspec.json.encode(document)}
        for name in ("report.html", "certificate.json", "draws.json"):
            if (data := cloud.results.find(f"reports/{run}/{name}")) is not None:
                found[name] = data
        for key, data in found.items():
            (out / key).parent.mkdir(parents=True, exist_ok=True)
            (out / key).write_bytes(data)
    for key, _ in chain.from_iterable(cloud.work.keys(f"{folder}/") for folder in (REPLIES, LEARNED, AUDITS)):
        (out / key).parent.mkdir(parents=True, exist_ok=True)
        (out / key).write_bytes(cloud.work.get(key))


def readable(key: str, data: bytes) -> Iterator[bytes]:
    """An object as it is, and all that can be read in it."""
    yield data
    if data[:4] == b"PAR1":
        yield repr(pq.ParquetFile(BytesIO(data)).read().to_pylist()).encode()
        yield repr(pq.ParquetFile(BytesIO(data)).metadata.to_dict()).encode()
    elif data[:6] == b"ARROW1" or key.endswith(".arrow"):
        yield repr(_arrow(data).to_pylist()).encode()
    elif "replies/" in key or key.endswith("reused.bin"):
        for chunk in read_chunks([data]):
            yield b" ".join(chunk.keys) + repr(list(chunk.replies())).encode()
    elif key.endswith((".zlib", LESSONS)):
        yield from _inflated(data)


def _arrow(data: bytes) -> pa.Table:
    try:
        return ipc.open_file(data).read_all()
    except pa.ArrowInvalid:
        return ipc.open_stream(data).read_all()


def _inflated(data: bytes) -> Iterator[bytes]:
    while data:
        inflate = zlib.decompressobj()
        yield inflate.decompress(data)
        data = inflate.unused_data


def holders(objects: Iterable[tuple[str, bytes]], *words: str, records: Iterable[str] = ()) -> set[str]:
    """The keys of the objects in which one of some words can be read, or the key of a record, in digits or in bytes."""
    wanted, digits = [word.encode() for word in words], {record.encode() for record in records}
    wanted += [bytes.fromhex(record) for record in records]

    def holds(text: bytes) -> bool:
        return any(word in text for word in wanted) or any(
            found[n : n + KEY] in digits for found in DIGITS.findall(text) for n in range(len(found) - KEY + 1)
        )

    return {key for key, data in objects if any(holds(text) for text in readable(key, data))}


def in_folder(out: Path) -> list[tuple[str, bytes]]:
    """All files below a folder."""
    files = sorted(path for path in out.rglob("*") if path.is_file())
    return [(path.relative_to(out).as_posix(), path.read_bytes()) for path in files]
