"""A short way for large objects through moto's S3: the same objects, without a copy of the whole for each request.

moto reads an object whole to answer a range of it, keeps every part of an upload in memory for good, and joins the
parts by copying them several times. A job's input and output are hundreds of megabytes, so here

- GetObject answers from the object's buffer or file, by blocks, and a range reads that range alone;
- UploadPart and large PutObjects store their body without Flask in between;
- CompleteMultipartUpload joins the parts in a file, and lets go of them; the whole object then has no checksum;
- ListObjectsV2 writes its answer itself, since `sluice run` lists often to show its progress.

A request with anything else in it (conditions, metadata, tags, encryption, copies) is left to moto.
"""

from __future__ import annotations

import importlib
import os
import tempfile
from dataclasses import dataclass
from hashlib import md5
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote
from xml.sax.saxutils import escape

from sluice.local.template import ACCOUNT, PARTITION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    StartResponse = Callable[..., Any]

BLOCK_BYTES = 1 << 20
LARGE_BYTES = 1 << 20
CONDITIONS = ("HTTP_IF_MATCH", "HTTP_IF_NONE_MATCH", "HTTP_IF_MODIFIED_SINCE", "HTTP_IF_UNMODIFIED_SINCE")
# Headers of every signed request, and checksums; any other of S3's own makes a request one for moto.
PLAIN = ("HTTP_X_AMZ_CONTENT_SHA256", "HTTP_X_AMZ_DATE", "HTTP_X_AMZ_CHECKSUM", "HTTP_X_AMZ_SDK_CHECKSUM")
LISTING = {"list-type", "prefix", "encoding-type", "max-keys", "continuation-token", "start-after"}


@dataclass(frozen=True)
class Joined:
    """The joined parts of an upload, as a file."""

    file: IO[bytes]
    size: int


class Objects:
    """Answers the requests that it knows, and leaves the others to `moto`."""

    def __init__(self, moto: Callable[..., Iterable[bytes]]) -> None:
        models: Any = importlib.import_module("moto.s3.models")
        self.moto = moto
        self.backend: Any = models.s3_backends[ACCOUNT][PARTITION]
        keep_joined_files(models)

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        if "/s3/aws4_request" in environ.get("HTTP_AUTHORIZATION", "") and not any(map(environ.get, CONDITIONS)):
            answer = self._answer(environ, start_response)
            if answer is not None:
                return answer
        return self.moto(environ, start_response)

    def _answer(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes] | None:
        bucket, _, key = environ["PATH_INFO"].encode("latin-1").decode().lstrip("/").partition("/")
        query = dict(parse_qsl(environ["QUERY_STRING"], keep_blank_values=True))
        query.pop("x-id", None)
        names = set(query)
        if bucket not in self.backend.buckets:
            return None
        match environ["REQUEST_METHOD"]:
            case "GET" if key and names <= {"versionId"}:
                return self._get(bucket, key, query.get("versionId"), environ.get("HTTP_RANGE"), start_response)
            case "GET" if not key and query.get("list-type") == "2" and names <= LISTING:
                return self._list(bucket, query, start_response)
            case "PUT" if key and is_plain(environ):
                if names == {"partNumber", "uploadId"}:
                    return self._put_part(bucket, query, environ, start_response)
                if not names and int(environ["CONTENT_LENGTH"]) >= LARGE_BYTES:
                    value = self.backend.put_object(bucket, key, body_of(environ))
                    return stored(value, start_response)
        return None

    def _get(
        self, bucket: str, key: str, version: str | None, asked: str | None, start_response: StartResponse
    ) -> Iterable[bytes] | None:
        item = self.backend.get_object(bucket, key, version_id=version)
        if item is None or item.disposed:
            return None
        begin, end = 0, item.contentsize
        if asked is not None:
            found = wanted(asked, item.contentsize)
            if found is None:
                return None
            begin, end = found
        headers = {**item.response_dict, **item.metadata, "Accept-Ranges": "bytes", "content-length": str(end - begin)}
        if asked is not None:
            headers["Content-Range"] = f"bytes {begin}-{end - 1}/{item.contentsize}"
        start_response("200 OK" if asked is None else "206 Partial Content", list(headers.items()))
        return blocks(item, begin, end)

    def _put_part(
        self, bucket: str, query: dict[str, str], environ: dict[str, Any], start_response: StartResponse
    ) -> Iterable[bytes] | None:
        if query["uploadId"] not in self.backend.buckets[bucket].multiparts:
            return None
        part = self.backend.upload_part(bucket, query["uploadId"], int(query["partNumber"]), body_of(environ))
        return stored(part, start_response)

    def _list(self, bucket: str, query: dict[str, str], start_response: StartResponse) -> Iterable[bytes]:
        prefix, most = query.get("prefix", ""), int(query.get("max-keys", 1000))
        after = unquote(query.get("continuation-token", query.get("start-after", "")))
        found = self.backend.buckets[bucket].keys.items()
        items = [item for name, item in list(found) if name.startswith(prefix) and name > after]
        items = sorted((item for item in items if hasattr(item, "contentsize")), key=lambda item: item.name)
        page, more = items[:most], len(items) > most
        body = listing(bucket, query, page, more=more).encode()
        start_response("200 OK", [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
        return [body]


def is_plain(environ: dict[str, Any]) -> bool:
    """Whether a PUT carries nothing but its body, whole."""
    own = (name for name in environ if name.startswith("HTTP_X_AMZ_"))
    return "HTTP_CONTENT_ENCODING" not in environ and all(name.startswith(PLAIN) for name in own)


def body_of(environ: dict[str, Any]) -> bytes:
    """A request's body."""
    data: bytes = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    return data


def stored(item: Any, start_response: StartResponse) -> Iterable[bytes]:
    """The answer to a write."""
    headers = [("ETag", item.etag), ("Content-Length", "0")]
    if item.version_id != "null":
        headers.append(("x-amz-version-id", item.version_id))
    start_response("200 OK", headers)
    return []


def wanted(asked: str, size: int) -> tuple[int, int] | None:
    """Begin and end of a `bytes=…` range, or None for one that is better left to moto."""
    first, dash, last = asked.removeprefix("bytes=").partition("-")
    if not (dash and first.isdigit() and (last.isdigit() or not last)):
        return None
    begin, end = int(first), min(int(last or size), size - 1) + 1
    return (begin, end) if begin < end else None


def blocks(item: Any, begin: int, end: int) -> Iterator[bytes]:
    """Bytes of an object, a block at a time. A file is read by position, which needs no lock."""
    buffer = item._value_buffer  # noqa: SLF001  moto's
    spooled = isinstance(buffer, tempfile.SpooledTemporaryFile)
    if spooled and not buffer._rolled:  # noqa: SLF001
        with buffer._file.getbuffer() as view:  # noqa: SLF001
            data = bytes(view[begin:end])
        yield data
        return
    descriptor = buffer.fileno()
    buffer.flush()
    while begin < end:
        block = os.pread(descriptor, min(BLOCK_BYTES, end - begin), begin)
        if not block:
            return
        begin += len(block)
        yield block


def listing(bucket: str, query: dict[str, str], page: list[Any], *, more: bool) -> str:
    """The XML of ListObjectsV2."""
    encoding = query.get("encoding-type")
    contents = "".join(
        f"<Contents><Key>{escape(item.safe_name(encoding))}</Key><LastModified>{item.last_modified_ISO8601}"
        f"</LastModified><ETag>{escape(item.etag)}</ETag><Size>{item.size}</Size>"
        f"<StorageClass>{item.storage_class}</StorageClass></Contents>"
        for item in page
    )
    token = f"<NextContinuationToken>{escape(page[-1].name)}</NextContinuationToken>" if more else ""
    kind = f"<EncodingType>{encoding}</EncodingType>" if encoding else ""
    return (
        '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<Name>{bucket}</Name><Prefix>{escape(query.get('prefix', ''))}</Prefix><KeyCount>{len(page)}</KeyCount>"
        f"<IsTruncated>{str(more).lower()}</IsTruncated>{kind}{token}{contents}</ListBucketResult>"
    )


def keep_joined_files(models: Any) -> None:
    """Have moto take a joined upload as the file that it is."""
    value = models.FakeKey.value

    def take(self: Any, new: Any) -> None:
        if isinstance(new, Joined):
            self._value_buffer, self.contentsize = new.file, new.size
        else:
            value.fset(self, new)

    models.FakeKey.value = property(value.fget, take)
    models.FakeMultipart.complete = join


def join(self: Any, body: Iterable[tuple[int, str]]) -> tuple[Joined, str, None]:
    """Check the parts as moto does, and join them in a file."""
    exceptions: Any = importlib.import_module("moto.s3.exceptions")
    file, size, digests = tempfile.TemporaryFile(), 0, b""  # noqa: SIM115  the object's, as long as it lives
    listed = list(body)
    least = importlib.import_module("moto.s3.models").S3_UPLOAD_PART_MIN_SIZE
    for n, (number, etag) in enumerate(listed, 1):
        part = self.parts.get(number)
        if part is None or part.etag.strip('"') != etag.strip('"'):
            raise exceptions.InvalidPart
        if n < len(listed) and part.contentsize < least:
            raise exceptions.EntityTooSmall
        size += sum(file.write(block) for block in blocks(part, 0, part.contentsize))
        digests += bytes.fromhex(part.etag.strip('"'))
    if not listed:
        raise exceptions.MalformedXML
    file.flush()
    self.dispose()
    return Joined(file, size), f"{md5(digests).hexdigest()}-{len(listed)}", None
