from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sluice.local import cloud as clouds
from sluice.local.cloud import LocalCloud
from tests.flow.deployed import as_deployment
from tests.flow.local import TICKETS, Flow, Outcome
from tests.harness.warm import Warm

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sluice.api.deployment import Deployment


@pytest.fixture(scope="session", autouse=True)
def _warm() -> Iterator[None]:
    """Have every cloud of this process fork its stand-ins, where one is not started by a command."""
    warm = Warm()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clouds, "Child", warm.child)
        yield
    warm.close()


@pytest.fixture(scope="session")
def flow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flow]:
    """The synthesized app, up on this machine, for all tests of the session."""
    with LocalCloud(tmp_path_factory.mktemp("cloud") / "logs") as cloud:
        yield Flow(cloud, lambda: tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="session")
def tickets(flow: Flow) -> Outcome:
    """A run of the sample tickets with the stand-in's answers."""
    return flow.classify([TICKETS], "tickets")


@pytest.fixture(scope="session")
def deployment(flow: Flow) -> Iterator[Deployment]:
    """The same cloud, reached as a deployment is."""
    with as_deployment(flow.cloud) as made:
        yield made
