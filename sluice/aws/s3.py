"""Objects of one bucket: whole, by range, as a stream, and written by parts so that no file stands in memory."""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeVar

from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    IncompleteReadError,
    ReadTimeoutError,
    ResponseStreamingError,
)

from sluice.errors import BadInput, RetryLater, Stop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from concurrent.futures import Future
    from datetime import datetime
    from types import TracebackType

    from botocore.response import StreamingBody
    from mypy_boto3_s3.client import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

T = TypeVar("T")
R = TypeVar("R")

PART_BYTES = 5 * 1024 * 1024  # the least that S3 takes, and 10,000 of them: objects of up to 52 GB
SMALL_BYTES = 256 * 1024  # up to here an object's memory grows with it; behind it a whole part is taken at once
BLOCK_BYTES = 1024 * 1024
MAX_DELETED = 1000  # in one call
BROKEN = (ConnectionClosedError, IncompleteReadError, ReadTimeoutError, ResponseStreamingError)
MAX_BREAKS = 5  # of a stream, one after the other without a byte between them
MISSING = frozenset({"404", "NoSuchKey", "NoSuchVersion", "NotFound"})
TAKEN = frozenset({"412", "PreconditionFailed"})
# Another write of the same key is under way, and may yet fail: S3 asks to try again.
CONFLICT = frozenset({"409", "ConditionalRequestConflict"})
CONFLICT_PAUSES = (0.02, 0.1, 0.4, 1.0)  # seconds
BUSY = CONFLICT | frozenset({"SlowDown", "ServiceUnavailable", "InternalError", "RequestTimeout", "503", "500"})


class Head(NamedTuple):
    """What S3 says of an object: bytes, entity tag, version (None without versions), ISO 8601 time, metadata."""

    size: int
    etag: str
    version: str | None
    modified: str
    metadata: Mapping[str, str] | None = None


class Entry(NamedTuple):
    """A line of a bucket's list: key, bytes, when it was written."""

    key: str
    size: int
    modified: datetime


class Store:
    """One bucket.

    Raises `RetryLater` for what S3 asks to try again (boto3 has tried before) and `Stop` for what it refuses.
    """

    def __init__(self, client: S3Client, bucket: str) -> None:
        self.client = client
        self.bucket = bucket

    def uri(self, key: str) -> str:
        return f"s3://{self.bucket}/{key}"

    def find(self, key: str) -> bytes | None:
        """The whole object, or None when there is none."""
        try:
            return self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        except ClientError as error:
            if _code(error) in MISSING:
                return None
            raise _translated(error, self.uri(key)) from error

    def get(self, key: str) -> bytes:
        """The whole object; `Stop` when there is none."""
        data = self.find(key)
        if data is None:
            raise Stop(f"{self.uri(key)} does not exist")
        return data

    def read_range(self, key: str, begin: int, length: int) -> bytes:
        """`length` bytes from `begin`."""
        return b"".join(self.blocks(key, begin, begin + length))

    def open(
        self, key: str, begin: int = 0, end: int | None = None, version: str | None = None, etag: str | None = None
    ) -> StreamingBody:
        """The bytes from `begin` to before `end` (None: the end) as a stream.

        Of a frozen object `version` is read, or, in a bucket without versions, the object while it has this `etag`.

        Raises:
            BadInput: the frozen object was changed or deleted.

        """
        wanted: dict[str, Any] = {}
        if version is not None:
            wanted["VersionId"] = version
        elif etag is not None:
            wanted["IfMatch"] = etag
        if begin or end is not None:
            wanted["Range"] = f"bytes={begin}-{'' if end is None else end - 1}"
        try:
            return self.client.get_object(Bucket=self.bucket, Key=key, **wanted)["Body"]
        except ClientError as error:
            if version is not None or etag is not None:
                _refuse_changed(error, self.uri(key))
            raise _translated(error, self.uri(key)) from error

    def blocks(
        self, key: str, begin: int = 0, end: int | None = None, version: str | None = None, etag: str | None = None
    ) -> Iterator[bytes]:
        """The same stream, in blocks of up to 1 MiB; when the connection breaks, it is taken up where it was."""
        at, breaks = begin, 0
        while end is None or at < end:
            body = self.open(key, at, end, version, etag)
            try:
                while block := body.read(BLOCK_BYTES):
                    yield block
                    at, breaks = at + len(block), 0
            except BROKEN as error:
                breaks += 1
                if breaks > MAX_BREAKS:
                    raise RetryLater(f"{self.uri(key)}: the connection keeps breaking: {error}") from error
            else:
                return
            finally:
                body.close()

    def head(self, key: str, version: str | None = None) -> Head | None:
        """Size, entity tag and version of an object, or of one version of it; None when there is none."""
        wanted: dict[str, Any] = {} if version is None else {"VersionId": version}
        try:
            got = self.client.head_object(Bucket=self.bucket, Key=key, **wanted)
        except ClientError as error:
            if _code(error) in MISSING:
                return None
            raise _translated(error, self.uri(key)) from error
        version = got.get("VersionId")
        return Head(
            got["ContentLength"],
            got["ETag"],
            None if version == "null" else version,
            got["LastModified"].isoformat(),
            got.get("Metadata"),
        )

    def exists(self, key: str) -> bool:
        return self.head(key) is not None

    def keys(self, prefix: str) -> Iterator[tuple[str, int]]:
        """Keys under a prefix with their bytes, in order of the keys."""
        yield from ((entry.key, entry.size) for entry in self.entries(prefix))

    def entries(self, prefix: str) -> Iterator[Entry]:
        """The same, each with the time at which it was written."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        try:
            for page in pages:
                for item in page.get("Contents", []):
                    yield Entry(item["Key"], item["Size"], item["LastModified"])
        except ClientError as error:
            raise _translated(error, self.uri(prefix)) from error

    def put(self, key: str, data: bytes) -> None:
        try:
            self.client.put_object(Bucket=self.bucket, Key=key, Body=data)
        except ClientError as error:
            raise _translated(error, self.uri(key)) from error

    def put_new(self, key: str, data: bytes) -> bool:
        """Write only if there is no such object yet; True when this call wrote it, False when the object is there."""
        for pause in (*CONFLICT_PAUSES, None):
            try:
                self.client.put_object(Bucket=self.bucket, Key=key, Body=data, IfNoneMatch="*")
            except ClientError as error:
                if _code(error) in TAKEN:
                    return False
                if _code(error) not in CONFLICT or pause is None:
                    raise _translated(error, self.uri(key)) from error
                time.sleep(pause)
            else:
                return True
        raise AssertionError  # the last pause is None

    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects; one that is gone already is as good as removed."""
        for at in range(0, len(keys), MAX_DELETED):
            gone: Any = {"Objects": [{"Key": key} for key in keys[at : at + MAX_DELETED]], "Quiet": True}
            with _translating(self.uri(keys[at])):
                failed = self.client.delete_objects(Bucket=self.bucket, Delete=gone).get("Errors")
            if failed:
                kind = RetryLater if failed[0].get("Code") in BUSY else Stop
                raise kind(f"{self.uri(failed[0].get('Key', ''))}: DeleteObjects: {failed[0].get('Message')}")

    def copy_from(self, source: Store, source_key: str, key: str) -> None:
        """Copy an object of up to 5 GB inside S3."""
        origin = {"Bucket": source.bucket, "Key": source_key}
        try:
            self.client.copy_object(Bucket=self.bucket, Key=key, CopySource=origin)  # type: ignore[arg-type]
        except ClientError as error:
            raise _translated(error, self.uri(key)) from error

    def writer(self, key: str, metadata: Mapping[str, str] | None = None) -> ObjectWriter:
        """A context manager that writes one object by parts; it appears when the block ends without an error."""
        return ObjectWriter(self, key, metadata)


class ObjectWriter:
    """Collects bytes and uploads them by parts; a small object is one put. Nothing appears before `close`."""

    def __init__(self, store: Store, key: str, metadata: Mapping[str, str] | None = None) -> None:
        self.store = store
        self.key = key
        self.metadata: Any = {} if metadata is None else {"Metadata": metadata}
        self.size = 0
        self.closed = False
        # Filled anew for each part and sent as it is: fresh memory, or one more copy, costs as much as the writing.
        self._part = bytearray()
        self._filled = 0
        self._upload: str | None = None
        self._parts: list[CompletedPartTypeDef] = []

    def write(self, data: bytes) -> int:
        """Take bytes in order; uploads whenever a part is full."""
        self.size += len(data)
        rest = memoryview(data)
        while len(rest) > (free := PART_BYTES - self._filled):
            self._take(rest[:free])
            self._send(self._part)
            rest = rest[free:]
        self._take(rest)
        return len(data)

    def _take(self, data: memoryview) -> None:
        """Put bytes behind those that are held."""
        end = self._filled + len(data)
        if len(self._part) < end > SMALL_BYTES:
            whole = bytearray(PART_BYTES)
            whole[: self._filled] = self._part
            self._part = whole
        self._part[self._filled : end] = data
        self._filled = end

    def flush(self) -> None:
        """Part of the file protocol; parts are sent when they are full."""

    def close(self) -> None:
        """Finish the object."""
        if self.closed:
            return
        self.closed = True
        del self._part[self._filled :]
        if self._upload is None and not self.metadata:
            self.store.put(self.key, bytes(self._part))
            return
        if self._upload is None:
            with _translating(self.store.uri(self.key)):
                self.store.client.put_object(
                    Bucket=self.store.bucket, Key=self.key, Body=bytes(self._part), **self.metadata
                )
            return
        if self._filled:
            self._send(self._part)
        with _translating(self.store.uri(self.key)):
            self.store.client.complete_multipart_upload(**self._target, MultipartUpload={"Parts": self._parts})

    def abort(self) -> None:
        """Leave nothing behind."""
        self.closed = True
        if self._upload is not None:
            with _translating(self.store.uri(self.key)):
                self.store.client.abort_multipart_upload(**self._target)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, _error: object, _trace: TracebackType | None) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    @property
    def _target(self) -> dict[str, Any]:
        return {"Bucket": self.store.bucket, "Key": self.key, "UploadId": self._upload}

    def _send(self, part: bytearray) -> None:
        client = self.store.client
        with _translating(self.store.uri(self.key)):
            if self._upload is None:
                begun = client.create_multipart_upload(Bucket=self.store.bucket, Key=self.key, **self.metadata)
                self._upload = begun["UploadId"]
            number = len(self._parts) + 1
            sent = client.upload_part(**self._target, PartNumber=number, Body=part)  # type: ignore[arg-type]
        self._parts.append({"ETag": sent["ETag"], "PartNumber": number})
        self._filled = 0


def ahead(load: Callable[[T], R], items: Iterable[T], at_once: int) -> Iterator[R]:
    """What `load` makes of each item, in order, while the next `at_once` are under way; one alone needs no thread."""
    items = iter(items)
    first = list(islice(items, 2))
    if len(first) < 2:
        yield from map(load, first)
        return
    waiting: deque[Future[R]] = deque()
    with ThreadPoolExecutor(at_once) as pool:
        try:
            for item in chain(first, items):
                waiting.append(pool.submit(load, item))
                if len(waiting) > at_once:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for unwanted in waiting:
                unwanted.cancel()


@contextmanager
def _translating(uri: str) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        raise _translated(error, uri) from error


def _refuse_changed(error: ClientError, uri: str) -> None:
    if _code(error) in TAKEN:
        raise BadInput(f"{uri} was changed while the run read it: start the run again, and leave the object as it is")
    if _code(error) in MISSING:
        raise BadInput(f"{uri} was deleted before the run had read it: put it back and start the run again")


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _translated(error: ClientError, uri: str) -> RetryLater | Stop:
    kind = RetryLater if _code(error) in BUSY else Stop
    return kind(f"{uri}: {error}")
