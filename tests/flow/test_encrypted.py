"""A deployment with a customer key: the same run, where nothing is read or written without a right to the key."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from infra.app import synthesize
from sluice.local.cloud import LocalCloud
from sluice.runs.document import read
from sluice.runs.keys import Keys
from sluice.runs.state import Start
from tests.flow.local import FIRST, SECOND, Flow, numbered, reply

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flow]:
    """The app with a key of its own, under another environment's names."""
    folder = tmp_path_factory.mktemp("encrypted")
    template = folder / "template.json"
    template.write_text(json.dumps(synthesize(encryption="kms", environment="dev")), encoding="utf-8")
    with LocalCloud(folder / "logs", template=template) as cloud:
        yield Flow(cloud, lambda: tmp_path_factory.mktemp("run"))


def test_a_run_under_a_customer_key_reads_and_writes_by_its_rights(encrypted: Flow) -> None:
    """Functions, maps and Bedrock may use the key through S3, and the run has it for its jobs' answers."""
    answers = {
        f"n{number}": {FIRST: reply("other", "unsure" if number < 9 else "likely"), SECOND: reply("technical")}
        for number in range(120)
    }
    outcome = encrypted.classify(numbered(120), answers=answers)
    assert outcome.run["rows"]["accepted"] == 120
    assert [tier["transport"] for tier in outcome.run["tiers"]] == ["batch", "on_demand"]
    [key] = {bucket.key_arn for bucket in encrypted.cloud.buckets.values()} - {None}
    frozen = Keys(outcome.run["run_id"]).start
    start = encrypted.cloud.read(encrypted.cloud.bucket("SLUICE_WORK_BUCKET"), frozen)
    assert read(Start, start or b"", frozen).kms_key == key
