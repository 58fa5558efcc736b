"""Runs in a folder: which rows are its truth, what is history, and who may write there.

Under `results/` each row of each input stands once: a run takes the place of earlier ones over the same files, which go
to `history/<run>/`; runs over other files of the same task stand beside it. `run.json` and `report.html` are those of
the latest run, `history/<run>/` has those of the others.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sluice.aws.folder import Folder
from sluice.errors import BadRequest
from sluice.files import digest_of, plain, whole_file
from sluice.results.published import Origin, Published, reading_of
from sluice.rows.containers import container_of
from sluice.runs.keys import AUDITS, LEARNED, REPLIES, SAMPLES
from sluice.runs.state import Input

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sluice.results.wanted import Wanted

HISTORY = "history"
CERTIFICATE, DRAWS = "certificate.json", "draws.json"
DOCUMENTS = ("run.json", "report.html", CERTIFICATE, DRAWS)
LOCK = ".lock"
ARRIVING = ".arriving"  # the folder of what is being collected, and takes the place of earlier rows when it is whole
ASKED = "logs/asked.json"  # what the latest run in the folder was begun with
UNFINISHED = {
    "logs",
    "replies.jsonl",
    REPLIES,
    AUDITS,
    SAMPLES,
    LEARNED,
}  # what there is of a run that never got so far as to leave its document


def check_out(out: Path, task: str | None = None) -> None:
    """Refuse a folder with other people's files, or with another task's results.

    It must be new, empty, or hold earlier runs, of `task` where one is named.

    Raises:
        BadRequest: it is no folder, or holds something else; with a folder to use instead.

    """
    if not out.exists():
        return
    if not out.is_dir():
        raise BadRequest(f"{out} is not a folder", "out")
    if any(not entry.name.startswith(".") for entry in out.iterdir()) and not _holds_a_run(out):
        what = "holds files that are no run of Sluice"
        raise BadRequest(f"{out} {what}; name a new, an empty or a run's folder", "out")
    if task is not None and (other := _task_of(out)) not in (None, task):
        raise BadRequest(
            f"{out} holds results of the task {other}, and one folder is for one task; use {out}-{task}", "out"
        )


def _holds_a_run(out: Path) -> bool:
    """Whether Sluice has written here: a finished run's document, or the logs of one that never got so far."""
    names = {entry.name for entry in out.iterdir() if not entry.name.startswith(".")}
    if names and names <= UNFINISHED:
        return True
    return _task_of(out) is not None


def _task_of(out: Path) -> str | None:
    """The task of a folder's latest run; None where there is none."""
    try:
        document = msgspec.json.decode((out / "run.json").read_bytes())
    except (OSError, ValueError):
        return None
    return str(document["task"]) if isinstance(document, dict) and {"run_id", "task"} <= document.keys() else None


@contextmanager
def held(out: Path) -> Iterator[None]:
    """Keep other processes from writing into a folder; what a process held that has died is free.

    Raises:
        BadRequest: another one is at it.

    """
    out.mkdir(parents=True, exist_ok=True)
    lock = os.open(out / LOCK, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BadRequest(
                f"{out} is being written by another run: wait for its end, or name another folder", "out"
            ) from None
        yield
    finally:
        os.close(lock)


def read_document(folder: Path) -> dict[str, Any]:
    """Read the run.json of a folder; `BadRequest` when it is none."""
    if not (folder / "run.json").is_file():
        raise BadRequest(
            f"{plain(folder)} holds no run: there is no {plain(folder / 'run.json')}; "
            "name the folder that `sluice run` was given as --out, or a run by its id, as `sluice runs` lists it"
        )
    try:
        document = msgspec.json.decode((folder / "run.json").read_bytes())
        assert {"run_id", "task", "status"} <= document.keys()
    except (ValueError, AssertionError, AttributeError):
        raise BadRequest(f"{folder / 'run.json'} is no run of Sluice") from None
    found: dict[str, Any] = document
    return found


def read_certificate(folder: Path) -> bytes | None:
    """Read the certificate of a folder's latest run; None where it has none."""
    try:
        return (folder / CERTIFICATE).read_bytes()
    except FileNotFoundError:
        return None


class Kept(NamedTuple):
    """What a run has published of the rows that it drew: draws.json and certificate.json, where there are such."""

    draws: bytes | None
    certificate: bytes | None


NOTHING_DRAWN = Kept(None, None)


def read_kept(folder: Path) -> Kept:
    """Read what a folder's latest run has drawn."""
    draws = folder / DRAWS
    return Kept(draws.read_bytes() if draws.is_file() else None, read_certificate(folder))


def in_folder(folder: Path) -> Published:
    """Open the rows of the latest run in a folder."""
    return _published(folder, read_document(folder))


def all_in_folder(folder: Path) -> Published:
    """Open the rows of all runs that are the folder's truth, the latest first."""
    latest, *others = (_published(folder, document) for document in _documents(folder, read_document(folder)))
    others = [run for run in others if run.parts]
    return Together(**{name: getattr(latest, name) for name in OPENED}, others=others) if others else latest


class RunIn(NamedTuple):
    """A run of a folder: its document, the folder that has its documents, its rows, and what is left beside these.

    A run of whose rows some have given way has all of them in the history, and the others among the folder's truth.
    """

    document: dict[str, Any]
    place: str
    rows: Published
    rest: Published | None


def runs_in_folder(folder: Path) -> Iterator[RunIn]:
    """Open every run that a folder has kept, the latest first."""
    latest = read_document(folder)
    for document in _documents(folder, latest):
        run = document["run_id"]
        here = _published(folder, document)
        whole = _published(folder, document, f"{HISTORY}/{run}/")
        place = "" if run == latest["run_id"] else f"{HISTORY}/{run}/"
        rows, rest = (whole, here) if whole.parts else (here, None)
        yield RunIn(document, place, rows, rest if rest is not None and rest.parts else None)


def runs_in(folder: Path) -> Iterator[tuple[Published, dict[str, Any], Kept]]:
    """Open the runs that have rows in a folder, one by one, the latest first."""
    latest = read_document(folder)
    for document in _documents(folder, latest):
        own = folder if document["run_id"] == latest["run_id"] else folder / HISTORY / document["run_id"]
        if (run := _published(folder, document)).parts:
            yield run, document, read_kept(own)


def _published(folder: Path, document: dict[str, Any], below: str = "") -> Published:
    prefix = f"{below}results/{document['task']}/"
    return Published(
        Folder("", folder),
        document["run_id"],
        prefix,
        lambda: _local_origins(document),
        document.get("definition") or None,
    )


def _documents(folder: Path, latest: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The documents of the latest run, and of those before it."""
    yield latest
    for path in sorted((folder / HISTORY).glob("*/run.json"), reverse=True):
        with suppress(ValueError):
            document = msgspec.json.decode(path.read_bytes())
            if document.get("run_id") != latest["run_id"]:
                yield document


OPENED = ("store", "run", "prefix", "origins", "definition")


@dataclass(frozen=True)
class Together(Published):
    """The rows of several runs of one task, each with the columns of the first."""

    others: Sequence[Published] = ()

    def _each(self) -> Iterator[Published]:
        yield Published(**{name: getattr(self, name) for name in OPENED})
        yield from self.others

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(run.size for run in self._each())

    @cached_property
    def stored(self) -> pa.Schema:
        """The columns of the files of the latest run that has rows."""
        return next(run for run in self._each() if run.parts).stored

    def batches(
        self, wanted: Wanted, columns: Sequence[str] | None = None, advance: Callable[[int], None] = lambda _size: None
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows that are meant, run by run; a column that an earlier run has not is empty there."""
        schema = self.schema if columns is None else pa.schema([self.offered.field(name) for name in columns])
        left = wanted.limit
        for run in self._each():
            if not run.parts:
                continue
            known = [name for name in schema.names if name in run.offered.names]
            for batch in run.batches(replace(wanted, limit=left), known, advance):
                arrays = [
                    batch[field.name].cast(field.type) if field.name in known else pa.nulls(len(batch), field.type)
                    for field in schema
                ]
                yield pa.record_batch(arrays, schema=schema)
                left = None if left is None else left - len(batch)
                if left == 0:
                    return

    @property
    def runs(self) -> list[str]:
        """The ids of the runs that have rows here."""
        return [run.run for run in self._each()]

    def origins_by_run(self) -> Iterator[tuple[str, Origin]]:
        """Yield the inputs of each run that has rows here."""
        for run in self._each():
            yield from ((run.run, origin) for origin in run.origins())

    def input_lines(self, wanted: Wanted) -> Iterator[bytes]:
        """Yield the rows that are meant as they stood in the input."""
        left = wanted.limit
        for run in self._each():
            for line in run.input_lines(replace(wanted, limit=left)) if run.parts else ():
                yield line
                left = None if left is None else left - 1
            if left == 0:
                return


def give_way(folder: Path, new: Mapping[str, Any], *, published: bool) -> None:
    """Take what a new run is about out of the folder's truth, before its own rows take the place.

    Earlier runs over the same files go to `history/<run>/` whole. Of one that was also about others, which the new run
    does not have, the rows of these stay. A run that has published nothing leaves all rows where they are.
    """
    if not (folder / "run.json").is_file():
        return
    latest = read_document(folder)
    if latest["run_id"] == new["run_id"]:
        return
    taken = {_place(item) for item in new["inputs"]}
    for document in list(_documents(folder, latest)):
        over = [item["uri"] for item in document["inputs"] if _place(item) in taken]
        for key, _ in _published(folder, document).parts if over and published else ():
            _retire(folder, document["run_id"], key, over, whole=len(over) == len(document["inputs"]))
    for name in DOCUMENTS:
        with suppress(FileNotFoundError):
            _move(folder / name, folder / HISTORY / latest["run_id"] / name)


def _place(item: Mapping[str, Any]) -> str:
    """What tells an input of one run from those of another: its file, or where it was read from."""
    return str(item.get("path") or item["uri"])


def _retire(folder: Path, run: str, key: str, sources: Sequence[str], *, whole: bool) -> None:
    """Move a file of results into the history; unless all of its rows are to go, those of other sources stay."""
    kept = folder / HISTORY / run / key
    if whole and not kept.exists():
        _move(folder / key, kept)
        return
    gone = pa.array(sources, pa.string())
    if not kept.exists():  # else it is a rest already: the whole one is in the history
        kept.parent.mkdir(parents=True, exist_ok=True)
        os.link(folder / key, kept)
    with (
        pq.ParquetFile(folder / key) as opened,
        whole_file(folder / key) as file,
        pq.ParquetWriter(file, opened.schema_arrow, compression="zstd") as writer,
    ):
        left = 0
        for batch in opened.iter_batches(use_threads=False):
            rest = batch.filter(pc.invert(pc.is_in(batch["source"], gone)))
            writer.write_batch(rest)
            left += rest.num_rows
    if not left:
        (folder / key).unlink()


def _move(path: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    path.replace(to)
    with suppress(OSError):  # other files are there
        path.parent.rmdir()


def _local_origins(document: dict[str, Any]) -> Iterator[Origin]:
    root, reading = Folder("", Path("/")), reading_of(document.get("definition"))
    for item in document["inputs"]:
        key = str(item.get("path") or "").lstrip("/")
        head = root.head(key) if key else None
        unchanged = head is not None and head.size == item["bytes"]
        container = _container(root, key, item["bytes"]) if unchanged else ""
        frozen = Input(
            uri=item["uri"], version=None, etag=head.etag if head else "", bytes=item["bytes"], container=container
        )
        yield Origin(root, key, frozen, reading, partial(_problem, item))


def _container(root: Folder, key: str, size: int) -> str:
    return str(container_of(key, size, lambda begin, end: root.read_range(key, begin, end - begin)))


def _problem(item: Mapping[str, Any]) -> str | None:
    """Say why a file's rows are not those that a run has read; None where they are, by size and hash."""
    if item.get("path") is None:
        return f"the rows of {item['uri']} are not on this machine: name the run by its id"
    path = Path(item["path"])
    if not path.is_file():
        return f"{plain(path)} cannot be found, and with it the rows"
    known = item.get("sha256")
    if path.stat().st_size != item["bytes"] or (known is not None and digest_of(path) != known):
        return f"{plain(path)} was changed, and with it the rows"
    return None
