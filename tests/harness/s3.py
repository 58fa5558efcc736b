"""S3 in memory, as far as `sluice.aws.s3` uses it: the client's calls, their shapes and their errors."""

from __future__ import annotations

import datetime as dt
import hashlib
import io
from bisect import bisect_left, insort
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def client_error(code: str, operation: str, status: int = 400, message: str | None = None) -> ClientError:
    """An error as botocore raises it."""
    return ClientError(
        {"Error": {"Code": code, "Message": message or code}, "ResponseMetadata": {"HTTPStatusCode": status}},  # type: ignore[typeddict-item]
        operation,
    )


LAST = chr(0x10FFFF)  # sorts behind whatever follows a prefix


class Objects(dict[tuple[str, str], bytes]):
    """Bodies by bucket and key, and the keys in order: a listing looks at those of its prefix alone."""

    def __init__(self, content: Mapping[tuple[str, str], bytes] | None = None) -> None:
        super().__init__(content or {})
        self.names = sorted(self)

    def __setitem__(self, name: tuple[str, str], body: bytes) -> None:
        if name not in self:
            insort(self.names, name)
        super().__setitem__(name, body)

    def __delitem__(self, name: tuple[str, str]) -> None:
        super().__delitem__(name)
        del self.names[bisect_left(self.names, name)]

    def pop(self, name: tuple[str, str], *default: Any) -> Any:
        if name in self:
            del self.names[bisect_left(self.names, name)]
        return super().pop(name, *default)

    def below(self, bucket: str, prefix: str) -> list[str]:
        """The keys of a bucket that begin with a prefix, in order."""
        begin, end = (bisect_left(self.names, (bucket, edge)) for edge in (prefix, prefix + LAST))
        return [key for _, key in self.names[begin:end]]


@dataclass
class MemoryS3:
    """A client over one dictionary; `writes` lists the keys in the order in which they appeared."""

    objects: Objects = field(default_factory=Objects)
    uploads: dict[str, dict[int, bytes]] = field(default_factory=dict)
    writes: list[str] = field(default_factory=list)
    requests: int = 0
    least_part: int = 5 * 1024 * 1024
    versioned: frozenset[str] = frozenset()  # buckets whose objects have one version each
    clock: Callable[[], dt.datetime] = lambda: dt.datetime(2026, 11, 20, 12, tzinfo=dt.UTC)
    modified: dict[tuple[str, str], dt.datetime] = field(default_factory=dict)

    def _write(self, bucket: str, key: str, body: bytes) -> str:
        self.objects[bucket, key] = body
        self.modified[bucket, key] = self.clock()
        self.writes.append(key)
        return self._etag(body)

    @staticmethod
    def _etag(body: bytes) -> str:
        return f'"{hashlib.md5(body).hexdigest()}"'

    def _read(self, bucket: str, key: str, operation: str, missing: str) -> bytes:
        self.requests += 1
        try:
            return self.objects[bucket, key]
        except KeyError:
            raise client_error(missing, operation, 404) from None

    def get_object(
        self,
        *,
        Bucket: str,  # noqa: N803
        Key: str,  # noqa: N803
        Range: str | None = None,  # noqa: N803
        VersionId: str | None = None,  # noqa: ARG002, N803
        IfMatch: str | None = None,  # noqa: N803
    ) -> Any:
        body = self._read(Bucket, Key, "GetObject", "NoSuchKey")
        if IfMatch is not None and IfMatch != self._etag(body):
            raise client_error("PreconditionFailed", "GetObject", 412)
        if Range is not None:
            begin, _, end = Range.removeprefix("bytes=").partition("-")
            if int(begin) >= len(body):
                raise client_error("InvalidRange", "GetObject", 416)
            body = body[int(begin) : int(end) + 1 if end else None]
        return {"Body": io.BytesIO(body)}

    def head_object(self, *, Bucket: str, Key: str, VersionId: str | None = None) -> Any:  # noqa: ARG002, N803
        body = self._read(Bucket, Key, "HeadObject", "404")
        modified = self._modified(Bucket, Key)
        version = {"VersionId": "1"} if Bucket in self.versioned else {}
        return {"ContentLength": len(body), "ETag": self._etag(body), "LastModified": modified, **version}

    def _modified(self, bucket: str, key: str) -> dt.datetime:
        return self.modified.get((bucket, key)) or self.clock()

    def put_object(self, *, Bucket: str, Key: str, Body: bytes, IfNoneMatch: str | None = None) -> Any:  # noqa: N803
        self.requests += 1
        if IfNoneMatch == "*" and (Bucket, Key) in self.objects:
            raise client_error("PreconditionFailed", "PutObject", 412)
        return {"ETag": self._write(Bucket, Key, Body)}

    def copy_object(self, *, Bucket: str, Key: str, CopySource: dict[str, str]) -> Any:  # noqa: N803
        self._write(Bucket, Key, self._read(CopySource["Bucket"], CopySource["Key"], "CopyObject", "NoSuchKey"))

    def create_multipart_upload(self, *, Bucket: str, Key: str) -> Any:  # noqa: N803
        upload = f"{Bucket}/{Key}/{len(self.uploads)}"
        self.uploads[upload] = {}
        return {"UploadId": upload}

    def upload_part(self, *, Bucket: str, Key: str, UploadId: str, PartNumber: int, Body: bytes) -> Any:  # noqa: ARG002, N803
        self.requests += 1
        self.uploads[UploadId][PartNumber] = bytes(Body)  # the caller fills its buffer anew
        return {"ETag": self._etag(Body)}

    def complete_multipart_upload(self, *, Bucket: str, Key: str, UploadId: str, MultipartUpload: Any) -> Any:  # noqa: N803
        parts = self.uploads.pop(UploadId)
        assert [part["PartNumber"] for part in MultipartUpload["Parts"]] == sorted(parts)
        small = [len(body) for number, body in parts.items() if number < len(parts) and len(body) < self.least_part]
        if small:
            raise client_error("EntityTooSmall", "CompleteMultipartUpload")
        self._write(Bucket, Key, b"".join(parts[number] for number in sorted(parts)))

    def abort_multipart_upload(self, *, Bucket: str, Key: str, UploadId: str) -> Any:  # noqa: ARG002, N803
        self.uploads.pop(UploadId)

    def get_paginator(self, operation: str) -> Any:
        assert operation == "list_objects_v2"
        return self

    def paginate(self, *, Bucket: str, Prefix: str) -> Any:  # noqa: N803
        self.requests += 1
        keys = self.objects.below(Bucket, Prefix)
        for at in range(0, max(1, len(keys)), 1000):
            page = keys[at : at + 1000]
            yield {"Contents": [self._entry(Bucket, key) for key in page]} if page else {}

    def _entry(self, bucket: str, key: str) -> dict[str, Any]:
        return {"Key": key, "Size": len(self.objects[bucket, key]), "LastModified": self._modified(bucket, key)}

    def delete_objects(self, *, Bucket: str, Delete: Any) -> Any:  # noqa: N803
        assert 0 < len(Delete["Objects"]) <= 1000
        for item in Delete["Objects"]:
            self._remove(Bucket, item["Key"])
        return {}

    def _remove(self, bucket: str, key: str) -> None:
        self.objects.pop((bucket, key), None)
