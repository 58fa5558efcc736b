"""A folder in the place of a bucket, so that the workflow's own steps can read local files and keep their notes."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, cast

from sluice.aws.s3 import BLOCK_BYTES, Head, ObjectWriter, Store
from sluice.errors import BadInput, Stop

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from mypy_boto3_s3.client import S3Client

LOCAL = "local-files"  # the bucket whose keys are paths of this machine


class Folder(Store):
    """A folder with the ways of a bucket; a key is a path below it."""

    def __init__(self, bucket: str, root: Path) -> None:
        super().__init__(cast("S3Client", None), bucket)
        self.root = root

    def find(self, key: str) -> bytes | None:
        """Read a whole file, or return None when there is none."""
        path = self.root / key
        return path.read_bytes() if path.is_file() else None

    def blocks(
        self,
        key: str,
        begin: int = 0,
        end: int | None = None,
        version: str | None = None,  # noqa: ARG002 (files have none)
        etag: str | None = None,
    ) -> Iterator[bytes]:
        """Read a stretch of a file, in blocks of up to 1 MiB; `BadInput` when it has changed since it was frozen."""
        path = self.root / key
        head = self.head(key)
        if head is None:
            raise Stop(f"{path} does not exist")
        if etag is not None and head.etag != etag:
            raise BadInput(f"{path} was changed while it was read")
        left = max(0, (head.size if end is None else end) - begin)
        with path.open("rb") as file:
            file.seek(begin)
            while left and (block := file.read(min(left, BLOCK_BYTES))):
                yield block
                left -= len(block)

    def head(self, key: str, version: str | None = None) -> Head | None:  # noqa: ARG002 (files have no versions)
        """Tell a file's size and time, or None when there is none."""
        path = self.root / key
        if not path.is_file():
            return None
        found = path.stat()
        modified = dt.datetime.fromtimestamp(found.st_mtime, dt.UTC).isoformat()
        return Head(found.st_size, f'"{found.st_mtime_ns}-{found.st_size}"', None, modified)

    def keys(self, prefix: str) -> Iterator[tuple[str, int]]:
        """List the files whose paths begin so, in order."""
        for path in sorted(self.root.rglob("*")):
            key = path.relative_to(self.root).as_posix()
            if key.startswith(prefix) and path.is_file():
                yield key, path.stat().st_size

    def put(self, key: str, data: bytes) -> None:
        """Write a file and its folder."""
        path = self.root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def put_new(self, key: str, data: bytes) -> bool:
        """Write a file if there is none: of several writers one succeeds, and what it wrote survives a power cut."""
        path = self.root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.part")
        try:
            with unfinished.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.link(unfinished, path)
        except FileExistsError:
            return False
        finally:
            unfinished.unlink(missing_ok=True)
        _sync(path.parent)
        return True

    def delete(self, keys: Sequence[str]) -> None:
        """Remove files, and the folders that are left empty."""
        for key in keys:
            path = self.root / key
            path.unlink(missing_ok=True)
            for folder in path.parents:
                if folder == self.root or not folder.is_relative_to(self.root):
                    break
                with suppress(OSError):  # it holds something else
                    folder.rmdir()

    def writer(self, key: str, metadata: Mapping[str, str] | None = None) -> ObjectWriter:  # noqa: ARG002 (files have none)
        """Write a file piece by piece."""
        return _FileWriter(self, key, self.root / key)


def _sync(folder: Path) -> None:
    """Have the names in a folder written down; a system that cannot open folders does so by itself."""
    with suppress(PermissionError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


class _FileWriter(ObjectWriter):
    """Writes straight into a file, which stands under its own name when it is whole."""

    def __init__(self, store: Store, key: str, path: Path) -> None:
        super().__init__(store, key)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._unfinished = path.with_name(f".{path.name}.part")
        self._file = self._unfinished.open("wb")

    def write(self, data: bytes) -> int:
        """Take bytes in order."""
        self.size += len(data)
        return self._file.write(data)

    def close(self) -> None:
        """Finish the file."""
        if not self.closed:
            self.closed = True
            self._file.close()
            with suppress(FileNotFoundError):  # what is written anew stays as closed to others as it was
                shutil.copymode(self._path, self._unfinished)
            self._unfinished.replace(self._path)

    def abort(self) -> None:
        """Leave nothing behind."""
        self.closed = True
        self._file.close()
        self._unfinished.unlink(missing_ok=True)
