"""Teaching a small model of a task's labels by what earlier runs have answered, outside of any run."""

from __future__ import annotations

import datetime as dt
import time
from collections import Counter
from hashlib import blake2b
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import msgspec

from sluice.api.tasks import load_task
from sluice.errors import BadRequest
from sluice.files import write_whole
from sluice.quality.learned import learn as teach
from sluice.quality.learned import read, write
from sluice.quality.lessons import Head, fingerprint, pack_lessons
from sluice.quality.teacher import teacher_for
from sluice.quality.teaching import lessons_of, teacher_in
from sluice.quality.vectors import Vectors, read_text
from sluice.results.folder import DRAWS
from sluice.results.origin import stand_in
from sluice.runs.document import read as read_document
from sluice.runs.drawn import Draws
from sluice.runs.keys import LEARNED, LessonKeys, vectors_key
from sluice.task.task import Task

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sluice.aws.s3 import Store
    from sluice.quality.learned import Learned
    from sluice.quality.lessons import Lesson, Teacher
    from sluice.quality.teaching import Earlier


def learn(
    task: Task | str | Path, runs: Sequence[Earlier], out: str | Path = LEARNED, *, upload: Store | None = None
) -> dict[str, Any]:
    """Teach a small model of a task's labels by what earlier runs of it have answered.

    Args:
        task: a task, its name in the folder `tasks`, or the path of its file.
        runs: what the runs have published. The last tier's answers teach, and corrections, and known answers of the
            input; only uniformly drawn rows (`audit`, `quality`) say how good the model is.
        out: the folder of learned models: the file is `<out>/<task>/<version>.bin`, and beside it `<version>.json` has
            what is returned. What taught it lies below, where the task's next runs on this machine take it up, if the
            folder is `learned` in the directory that they are begun in. Word vectors (`bring_vectors`) are looked for
            beside it.
        upload: the work bucket of a deployment, whose runs of the task are to take it up.

    Returns:
        What it was taught by (records by source, drawn rows and records, records by label), how often it agrees with
        the last tier on drawn rows that it had not seen, with the 95% interval by record, the seconds that it took, its
        version, and the fingerprint of its teacher.

    Raises:
        BadTask: the task has mistakes.
        BadRequest: a run had another teacher, labels or task; too little was drawn, or the inputs are gone.

    """
    known = task if isinstance(task, Task) else load_task(task)
    if not known.labels:
        raise BadRequest(f"the task {known.name} has no labels that could be learned")
    if not runs:
        raise BadRequest("no run is named that could teach: give the folders or ids of runs", "from")
    began = time.monotonic()
    teacher = teachers[0] if len(set(teachers := [teacher_in(run, known) for run in runs])) == 1 else None
    if teacher is None:
        raise BadRequest(f"the runs were answered by {_listed(teachers)}: name runs of one teacher", "from")
    lessons: list[Lesson] = []
    by_run = []
    for run in runs:
        found = list(lessons_of(run, known))
        sources = Counter(lesson.source.value for lesson in found)
        answers = run.summary.get("answers", "")
        by_run.append({"run_id": run.published.run, "answers": answers, "lessons": dict(sorted(sources.items()))})
        lessons += found
    brought = Path(out).parent / vectors_key(known.name)
    model, _ = teach(lessons, teacher, Vectors.read(brought.read_bytes()) if brought.is_file() else None)
    seconds = time.monotonic() - began
    kept = write(model)
    version = blake2b(kept, digest_size=6).hexdigest()
    told = {
        "task": known.name,
        "version": version,
        "teacher": {"fingerprint": fingerprint(teacher), "model": teacher.model, "pack": teacher.pack},
        "taught_by": {**model.taught_by, "seconds": round(seconds, 3)},
        "runs": by_run,
        "stand_in": next((note[1] for each in by_run if (note := stand_in(each["answers"]))), None),
        "at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
    }
    folder = Path(out) / known.name
    key, packed = _packed(known, runs, lessons, teacher, told)
    (folder / key.relative_to(f"{LEARNED}/{known.name}")).parent.mkdir(parents=True, exist_ok=True)
    write_whole(folder / key.relative_to(f"{LEARNED}/{known.name}"), packed)
    if upload is not None:
        upload.put(str(key), packed)
    write_whole(folder / f"{version}.bin", kept)
    write_whole(folder / f"{version}.json", msgspec.json.format(msgspec.json.encode(told), indent=2) + b"\n")
    return {**told, "path": str(folder / f"{version}.bin")}


def bring_vectors(
    task: Task | str | Path, path: str | Path, out: str | Path = ".", *, upload: Store | None = None
) -> dict[str, Any]:
    """Bring word vectors of one's own for a task's learned model: `<out>/vectors/<task>.bin`.

    Args:
        task: a task, its name in the folder `tasks`, or the path of its file.
        path: a text file of word vectors, as word2vec, GloVe and fastText write them; it may be packed by gzip.
        out: the project, in which runs on this machine are begun.
        upload: the work bucket of a deployment, whose runs of the task are to take them up.

    Returns:
        The task, how many words and dimensions were kept, how many bytes they take, and the path.

    Raises:
        BadTask: the task has mistakes.
        BadRequest: the file cannot be read, or a line of it is no word with its numbers.

    """
    known = task if isinstance(task, Task) else load_task(task)
    vectors = read_text(Path(path))
    kept, key = vectors.write(), vectors_key(known.name)
    write_whole(Path(out) / key, kept)
    if upload is not None:
        upload.put(key, kept)
    return {"task": known.name, **vectors.facts(), "bytes": len(kept), "path": str(Path(out) / key)}


def remove_vectors(task: Task | str | Path, out: str | Path = ".", *, upload: Store | None = None) -> dict[str, Any]:
    """Take a task's word vectors away again, from the project and, with `upload`, from a deployment's work bucket.

    Returns:
        The task, and which of its files were there.

    Raises:
        BadTask: the task has mistakes.

    """
    known = task if isinstance(task, Task) else load_task(task)
    path, removed = Path(out) / vectors_key(known.name), []
    if path.is_file():
        path.unlink()
        removed.append(str(path))
    if upload is not None and upload.exists(vectors_key(known.name)):
        upload.delete([vectors_key(known.name)])
        removed.append(vectors_key(known.name))
    return {"task": known.name, "removed": removed}


def _packed(
    task: Task, runs: Sequence[Earlier], lessons: Sequence[Lesson], teacher: Teacher, told: Mapping[str, Any]
) -> tuple[PurePosixPath, bytes]:
    """What later runs are taught by: its place, by the day of the latest run, and the file."""
    drawn = [read_document(Draws, run.kept.draws, DRAWS) for run in runs if run.kept.draws is not None]
    head = Head(
        task=task.name,
        runs=[run.published.run for run in runs],
        seeds=[draws.seed for draws in drawn],
        teacher=teacher,
        agreement=told["taught_by"]["agreement"],
    )
    day = max(str(run.summary.get("started"))[:10] for run in runs)
    key = LessonKeys(task.name, fingerprint(teacher)).of(day, f"learn-{told['version']}")
    return PurePosixPath(key), pack_lessons(head, lessons)


def learned(path: str | Path, task: Task | str | Path, model: str) -> Learned:
    """Read a learned model for a task whose last tier is `model`, by the id that run.json has.

    Raises:
        BadRequest: it is no such file, or labels or teacher have changed since.

    """
    known = task if isinstance(task, Task) else load_task(task)
    try:
        kept = Path(path).read_bytes()
    except OSError as error:
        raise BadRequest(f"{path} cannot be read: {type(error).__name__}") from error
    return read(kept, teacher_for(known, model, known.tiers[-1].pack))


def _listed(teachers: Sequence[Teacher]) -> str:
    return " and ".join(dict.fromkeys(teacher.model for teacher in teachers))
