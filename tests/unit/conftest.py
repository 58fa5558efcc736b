"""A deployed stack in memory, for tests of whatever looks at one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from moto import mock_aws

from tests.harness.deployed import Deployed, Session

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def session() -> Session:
    return Session("AKIA", "secret", region_name="us-east-1")


@pytest.fixture
def deployed(session: Session, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployed]:
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    session.stubbed.clear()
    with mock_aws():
        yield Deployed(session)
