from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sluice.local.cloud import LocalCloud
from tests.flow.local import TICKETS, Flow, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def flow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flow]:
    """The synthesized app, up on this machine, for all tests of the session."""
    with LocalCloud(tmp_path_factory.mktemp("cloud") / "logs") as cloud:
        yield Flow(cloud, lambda: tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="session")
def tickets(flow: Flow) -> Outcome:
    """A run of the sample tickets with the stand-in's answers."""
    return flow.classify([TICKETS], "tickets")
