"""Local files that stand for the objects which a run makes of them."""

from __future__ import annotations

import os
from hashlib import md5
from typing import TYPE_CHECKING

import pytest
from boto3.s3.transfer import TransferConfig

from sluice.errors import BadInput
from sluice.local import sampled
from sluice.local.sampled import Uploaded, etag_of
from sluice.quality.draws import seed_of
from sluice.runs.settings import Settings
from sluice.steps.start import freeze

if TYPE_CHECKING:
    from pathlib import Path


def test_a_file_has_the_entity_tag_that_s3_gives_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The digest of its bytes; of one that goes up by parts that of the parts' digests, with their number."""
    monkeypatch.setattr(sampled, "TRANSFER", TransferConfig(multipart_threshold=10, multipart_chunksize=4))
    file = tmp_path / "a"
    for data in (b"", b"123456789", b"1234567890", b"123456789012"):
        file.write_bytes(data)
        parts = [md5(data[at : at + 4], usedforsecurity=False).digest() for at in range(0, len(data), 4)]
        whole = f'"{md5(data, usedforsecurity=False).hexdigest()}"'
        by_parts = f'"{md5(b"".join(parts), usedforsecurity=False).hexdigest()}-{len(parts)}"'
        assert etag_of(file) == (whole if len(data) < 10 else by_parts)


def test_files_stand_for_the_objects_of_a_run(tmp_path: Path) -> None:
    """Under the task's folder, told apart by theirs; a file that changes while it is read is named."""
    files = [tmp_path / name / "in.jsonl" for name in ("a", "b")]
    for file in files:
        file.parent.mkdir()
        file.write_bytes(b'{"t": "x"}\n')
    bucket = Uploaded("incoming", files, "t")
    assert bucket.uris == ["s3://incoming/t/a/in.jsonl", "s3://incoming/t/b/in.jsonl"]
    frozen, _ = freeze(bucket, "t/a/in.jsonl", Settings())
    assert (frozen.uri, frozen.bytes, frozen.etag) == (bucket.uris[0], 11, etag_of(files[0]))
    assert b"".join(bucket.blocks("t/a/in.jsonl", 1, 4, etag=frozen.etag)) == b'"t"'
    seed = seed_of("v", [frozen])
    files[0].write_bytes(b'{"t": "y"}\n')
    os.utime(files[0], ns=(1, 1))
    assert seed_of("v", [freeze(bucket, "t/a/in.jsonl", Settings())[0]]) != seed
    with pytest.raises(BadInput, match="was changed while it was read"):
        next(iter(bucket.blocks("t/a/in.jsonl", etag=frozen.etag)))
    assert bucket.head("t/c") is None
