"""The servers of a local cloud answer its own processes, and nobody else on this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sluice.local.cloud import LocalCloud
from sluice.local.runner import Request, configuration
from sluice.task.file import load_task

if TYPE_CHECKING:
    from collections.abc import Iterator

STRANGER = """
import json, sys, urllib.error, urllib.request
for call in json.load(sys.stdin):
    body = call["body"].encode() if call["body"] is not None else None
    request = urllib.request.Request(call["url"], body, call["headers"], method=call["method"])
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=20) as answer:
            print(answer.status)
    except urllib.error.HTTPError as error:
        print(error.code)
"""
SIGNED = "AWS4-HMAC-SHA256 Credential={key}/20260101/us-east-1/{service}/aws4_request, SignedHeaders=host, Signature=0"
STRANGE = {
    "nothing at all": {},
    "the keys that everybody tries": {"Authorization": SIGNED.format(key="local", service="s3")},
    "moto's own keys": {"Authorization": SIGNED.format(key="ak", service="states")},
    "no key": {"Authorization": SIGNED.format(key="", service="s3")},
    "an empty token": {"Authorization": "Bearer "},
    "something odd": {"Authorization": "é"},
}


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    """A cloud with one bucket, an object in it, and a stand-in for Bedrock."""
    folder = tmp_path_factory.mktemp("cloud")
    machine = {
        "RoleArn": {"Fn::GetAtt": ["Machine", "Arn"]},
        "DefinitionString": json.dumps({"StartAt": "End", "States": {"End": {"Type": "Succeed"}}}),
    }
    resources = {
        "Work": {"Type": "AWS::S3::Bucket"},
        "Machine": {"Type": "AWS::IAM::Role", "Properties": {}},
        "Workflow": {"Type": "AWS::StepFunctions::StateMachine", "Properties": machine},
    }
    (folder / "template.json").write_text(json.dumps({"Resources": resources}))
    with LocalCloud(folder / "logs", template=folder / "template.json", path=folder) as cloud:
        cloud.s3.put_object(Bucket="work", Key="rows", Body=b"text of a row")
        told = configuration(cloud, Request([], load_task("tickets"), folder), None)
        cloud.answer_with({**told, "template": None})
        yield cloud


def call(
    url: str, method: str = "GET", body: str | None = None, headers: dict[str, str] | None = None
) -> dict[str, Any]:
    return {"url": url, "method": method, "body": body, "headers": headers or {}}


OBJECT = "/{bucket}/{key}".format(bucket="work", key="rows")


def calls_of(cloud: LocalCloud, headers: dict[str, str]) -> list[dict[str, Any]]:
    """Every kind of call that a server of the cloud knows."""
    kinds: list[tuple[str, str, str | None]] = [
        ("/", "GET", None),
        (OBJECT, "GET", None),
        (OBJECT, "PUT", "mine"),
        (OBJECT, "DELETE", None),
        ("/moto-api/", "GET", None),
        ("/moto-api/data.json", "GET", None),
        ("/moto-api/reset", "POST", ""),
        ("/latest/meta-data/iam/security-credentials/", "GET", None),
        ("/_sluice/configure", "POST", '{"logs": "/tmp", "endpoints": {}}'),
        ("/_sluice/configure", "POST", "cposix\nsystem\n(S'true'\ntR."),
        ("/_sluice/invoke/start", "POST", "{}"),
    ]
    asked = [call(cloud.endpoint + path, method, body, headers) for path, method, body in kinds]
    states = {**headers, "X-Amz-Target": "AWSStepFunctions.ListStateMachines"}
    asked.append(call(cloud.endpoint, "POST", "{}", states))
    for path, method, body in [
        ("/model-invocation-jobs", "GET", None),
        ("/model-invocation-job", "POST", "{}"),
        ("/model-invocation-job/x/stop", "POST", "{}"),
        ("/model/m/converse", "POST", "{}"),
    ]:
        asked.append(call(cloud.bedrock + path, method, body, headers))
    return asked


def answers_to_a_stranger(calls: list[dict[str, Any]]) -> list[int]:
    """The status of each call, made by a process of its own with nothing but the standard library."""
    asked = subprocess.run(
        [sys.executable, "-c", STRANGER],
        input=json.dumps(calls).encode(),
        capture_output=True,
        check=True,
        env={"PATH": os.environ["PATH"]},
    )
    return [int(line) for line in asked.stdout.split()]


@pytest.mark.parametrize("headers", STRANGE.values(), ids=STRANGE)
def test_a_stranger_is_refused(cloud: LocalCloud, headers: dict[str, str]) -> None:
    """Whatever it asks for, and nothing changes."""
    calls = calls_of(cloud, headers)
    assert answers_to_a_stranger(calls) == [403] * len(calls)
    assert cloud.read("work", "rows") == b"text of a row"


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://example.com"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1"},
        {"Host": "example.com"},
        {"Host": "rebound.example.com:{port}"},
        {"Host": "127.0.0.1:1"},
        {"Host": "127.0.0.1"},
    ],
)
def test_a_page_in_a_browser_is_refused(cloud: LocalCloud, headers: dict[str, str]) -> None:
    """Even one that came by the secret: pages have an Origin, and a name of theirs that leads here is another Host."""
    told = {name: value.format(port=cloud.port) for name, value in headers.items()}
    calls = calls_of(cloud, {**told, "Authorization": f"Bearer {cloud.secret}"})
    assert answers_to_a_stranger(calls) == [403] * len(calls)
    assert cloud.read("work", "rows") == b"text of a row"


def test_the_clouds_own_processes_are_answered(cloud: LocalCloud) -> None:
    """Under the secret that its clients sign with, or show to the paths of its own."""
    signed = {"Authorization": SIGNED.format(key=cloud.secret, service="s3")}
    calls = [
        call(f"{cloud.endpoint}{OBJECT}", headers=signed),
        call(f"{cloud.endpoint}{OBJECT}".replace("127.0.0.1", "localhost"), headers=signed),
        call(f"{cloud.bedrock}/model-invocation-jobs", headers=signed),
    ]
    assert answers_to_a_stranger(calls) == [200, 200, 200]


@pytest.mark.skipif(sys.platform != "linux", reason="reads the arguments of processes in /proc")
def test_each_cloud_has_a_secret_of_its_own(cloud: LocalCloud) -> None:
    """Two runs on one machine are strangers to each other, and no secret stands where another user can read it."""
    assert LocalCloud(cloud.directory, template=cloud.template_path).secret != cloud.secret
    lines = [Path(f"/proc/{child.process.pid}/cmdline").read_bytes() for child in cloud.children]
    assert not [line for line in lines if cloud.secret.encode() in line]
    assert not [path for path in cloud.directory.rglob("*") if cloud.secret.encode() in path.read_bytes()]
