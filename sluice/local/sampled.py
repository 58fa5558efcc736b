"""Local files as the objects that a run on this machine makes of them: the same names, the same entity tags.

So what is drawn of them before a run is what the run draws.
"""

from __future__ import annotations

import datetime as dt
from hashlib import md5
from typing import TYPE_CHECKING, cast

import msgspec

from sluice.aws.s3 import BLOCK_BYTES, Head, Store
from sluice.errors import BadInput, Stop
from sluice.local.asking import FOR_SERVERS, models_beside
from sluice.local.cloud import TRANSFER
from sluice.local.runner import SHORT_PAUSES
from sluice.local.synthesis import load, synthesized
from sluice.local.template import Template
from sluice.rows.inputs import names
from sluice.runs.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from mypy_boto3_s3.client import S3Client

    from sluice.models.catalog import Catalog
    from sluice.task.task import Task


class Uploaded(Store):
    """The bucket that a run's files are uploaded to, read from the files themselves."""

    def __init__(self, bucket: str, files: Sequence[Path], task: str) -> None:
        super().__init__(cast("S3Client", None), bucket)
        self.files = {f"{task}/{name}": file for file, name in zip(files, names(files), strict=True)}
        self._heads: dict[str, tuple[int, Head]] = {}

    @property
    def uris(self) -> list[str]:
        """The objects, in the order of the files."""
        return [self.uri(key) for key in self.files]

    def head(self, key: str, version: str | None = None) -> Head | None:  # noqa: ARG002 (one version is to be read)
        """Tell what S3 would say of a file."""
        file = self.files.get(key)
        if file is None or not file.is_file():
            return None
        found = file.stat()
        known = self._heads.get(key)
        if known is None or (known[0], known[1].size) != (found.st_mtime_ns, found.st_size):
            modified = dt.datetime.fromtimestamp(found.st_mtime, dt.UTC).isoformat()
            known = self._heads[key] = found.st_mtime_ns, Head(found.st_size, etag_of(file), None, modified)
        return known[1]

    def find(self, key: str) -> bytes | None:
        """Read a whole file."""
        return None if self.head(key) is None else self.files[key].read_bytes()

    def blocks(
        self,
        key: str,
        begin: int = 0,
        end: int | None = None,
        version: str | None = None,  # noqa: ARG002 (one version is to be read)
        etag: str | None = None,
    ) -> Iterator[bytes]:
        """Read a stretch of a file, in blocks of up to 1 MiB; `BadInput` when it has changed since it was frozen."""
        head = self.head(key)
        if head is None:
            raise Stop(f"{self.uri(key)} does not exist")
        if etag is not None and head.etag != etag:
            raise BadInput(f"{self.files[key]} was changed while it was read")
        left = max(0, (head.size if end is None else end) - begin)
        with self.files[key].open("rb") as file:
            file.seek(begin)
            while left and (block := file.read(min(left, BLOCK_BYTES))):
                yield block
                left -= len(block)


def etag_of(file: Path) -> str:
    """The entity tag that a file has once a local run has uploaded it: by parts, where it is that large."""
    size, whole = file.stat().st_size, md5(usedforsecurity=False)
    parts: list[bytes] = []
    with file.open("rb") as content:
        if size < TRANSFER.multipart_threshold:
            while block := content.read(BLOCK_BYTES):
                whole.update(block)
            return f'"{whole.hexdigest()}"'
        while part := content.read(TRANSFER.multipart_chunksize):
            parts.append(md5(part, usedforsecurity=False).digest())
    return f'"{md5(b"".join(parts), usedforsecurity=False).hexdigest()}-{len(parts)}"'


def as_run_here(
    files: Sequence[Path],
    task: Task,
    catalog: Catalog,
    region: str,
    chosen: Mapping[str, object],
    *,
    servers: bool,
) -> tuple[Uploaded, Settings]:
    """The files as a run on this machine would read them, and the settings that it would have."""
    template = Template(load(synthesized(models=models_beside(task, catalog, region), tasks=False)), region)
    start = next(function for function in template.functions().values() if function.step == "start")
    settings = Settings.model_validate(msgspec.json.decode(start.environment["SLUICE_SETTINGS"]))
    mine = {**SHORT_PAUSES, **(FOR_SERVERS if servers else {}), **chosen}
    return Uploaded(start.environment["SLUICE_INCOMING_BUCKET"], files, task.name), settings.override(mine)
