"""Versions of the objects of a bucket: all of them listed, and single ones deleted for good."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from botocore.exceptions import ClientError

from sluice.errors import Stop

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sluice.aws.s3 import Store


class Version(NamedTuple):
    """A version of an object; `newest`: it is the one that the bucket shows."""

    key: str
    version: str
    size: int
    etag: str
    newest: bool


def versions(store: Store, prefix: str) -> Iterator[Version]:
    """List all versions under a prefix, but for the marks of what was deleted.

    Raises:
        Stop: S3 refuses.

    """
    try:
        for page in store.client.get_paginator("list_object_versions").paginate(Bucket=store.bucket, Prefix=prefix):
            for item in page.get("Versions", []):
                yield Version(item["Key"], item["VersionId"], item["Size"], item["ETag"], item["IsLatest"])
    except ClientError as error:
        raise Stop(f"{store.uri(prefix)}: {error}") from error


def delete_version(store: Store, key: str, version: str) -> None:
    """Delete a version for good; one that is gone already is as good as deleted.

    Raises:
        Stop: S3 refuses, as where the caller has no right to.

    """
    try:
        store.client.delete_object(Bucket=store.bucket, Key=key, VersionId=version)
    except ClientError as error:
        raise Stop(f"{store.uri(key)}: {error}") from error
