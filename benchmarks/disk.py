"""S3 in a directory: the client's calls that `sluice.aws.s3` makes, with files, so that no network is measured."""

from __future__ import annotations

import datetime as dt
import os
import uuid
from typing import IO, TYPE_CHECKING, Any

from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def refusal(code: str, operation: str) -> ClientError:
    """An error as botocore raises it."""
    return ClientError({"Error": {"Code": code, "Message": code}}, operation)


def _modified(found: os.stat_result) -> dt.datetime:
    return dt.datetime.fromtimestamp(found.st_mtime, dt.UTC)


def _entry(key: str, path: Path) -> dict[str, Any]:
    found = path.stat()
    return {"Key": key, "Size": found.st_size, "LastModified": _modified(found)}


class Body:
    """What `get_object` returns: a stretch of a file as a stream."""

    def __init__(self, file: IO[bytes], begin: int, end: int) -> None:
        self._file = file
        self._left = end - begin
        file.seek(begin)

    def read(self, size: int | None = None) -> bytes:
        """Up to `size` bytes, all that is left without a size."""
        wanted = self._left if size is None else min(size, self._left)
        data = self._file.read(wanted) if wanted else b""
        self._left -= len(data)
        return data

    def close(self) -> None:
        self._file.close()


class DiskS3:
    """A client whose buckets are directories under `root`; parts of an upload are taken in order, as they are sent."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._uploads = root / ".uploads"
        self._uploads.mkdir(parents=True, exist_ok=True)

    def path(self, bucket: str, key: str) -> Path:
        return self.root / bucket / key

    def get_object(self, *, Bucket: str, Key: str, Range: str | None = None, **_frozen: str) -> Any:  # noqa: N803
        path = self.path(Bucket, Key)
        try:
            file = path.open("rb", buffering=0)
        except FileNotFoundError:
            raise refusal("NoSuchKey", "GetObject") from None
        begin, end = 0, os.fstat(file.fileno()).st_size
        if Range is not None:
            first, _, last = Range.removeprefix("bytes=").partition("-")
            begin, end = int(first), min(end, int(last) + 1) if last else end
        return {"Body": Body(file, begin, end)}

    def head_object(self, *, Bucket: str, Key: str) -> Any:  # noqa: N803
        try:
            found = self.path(Bucket, Key).stat()
        except FileNotFoundError:
            raise refusal("404", "HeadObject") from None
        return {"ContentLength": found.st_size, "ETag": f'"{found.st_mtime_ns}"', "LastModified": _modified(found)}

    def put_object(self, *, Bucket: str, Key: str, Body: bytes, IfNoneMatch: str | None = None) -> Any:  # noqa: N803
        path = self.path(Bucket, Key)
        if IfNoneMatch == "*" and path.exists():
            raise refusal("PreconditionFailed", "PutObject")
        upload = self._uploads / uuid.uuid4().hex
        upload.write_bytes(Body)
        self._appear(upload, path)
        return {"ETag": '"put"'}

    def copy_object(self, *, Bucket: str, Key: str, CopySource: dict[str, str]) -> Any:  # noqa: N803
        source = self.path(CopySource["Bucket"], CopySource["Key"])
        self.put_object(Bucket=Bucket, Key=Key, Body=source.read_bytes())

    def create_multipart_upload(self, *, Bucket: str, Key: str) -> Any:  # noqa: ARG002, N803
        upload = uuid.uuid4().hex
        (self._uploads / upload).touch()
        return {"UploadId": upload}

    def upload_part(self, *, UploadId: str, Body: bytes, **_place: Any) -> Any:  # noqa: N803
        with (self._uploads / UploadId).open("ab", buffering=0) as file:
            file.write(Body)
        return {"ETag": '"part"'}

    def complete_multipart_upload(self, *, Bucket: str, Key: str, UploadId: str, **_parts: Any) -> Any:  # noqa: N803
        self._appear(self._uploads / UploadId, self.path(Bucket, Key))

    def abort_multipart_upload(self, *, UploadId: str, **_place: Any) -> Any:  # noqa: N803
        (self._uploads / UploadId).unlink()

    def get_paginator(self, _operation: str) -> DiskS3:
        return self

    def paginate(self, *, Bucket: str, Prefix: str) -> Iterator[Any]:  # noqa: N803
        """One page with all keys under a prefix."""
        root, folder = self.root / Bucket, self.path(Bucket, Prefix.rpartition("/")[0])
        files = sorted((path.relative_to(root).as_posix(), path) for path in folder.rglob("*") if path.is_file())
        yield {"Contents": [_entry(key, path) for key, path in files if key.startswith(Prefix)]}

    def _appear(self, upload: Path, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        upload.replace(path)
