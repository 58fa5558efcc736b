"""The local cloud: functions, the strict engine and S3, on small handlers and state machines of this file's own."""

from __future__ import annotations

import datetime as dt
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from sluice.local.cloud import FunctionFailed, LocalCloud
from sluice.local.faults import Crash
from sluice.local.functions import Surroundings
from sluice.local.ledger import FOLDER, INVALID, REFUSED, USED, read_ledgers

if TYPE_CHECKING:
    from collections.abc import Iterator

MiB = 1024 * 1024
MORNING = dt.datetime(2026, 11, 20, 5, tzinfo=dt.UTC)
HANDLERS = {
    "echo": "def handler(event, context):\n    return event\n",
    "nothing": "def handler(event, context):\n    return {}\n",
    "boom": "def handler(event, context):\n    raise ValueError('no')\n",
    "sleepy": "import time\ndef handler(event, context):\n    time.sleep(event['seconds'])\n    return {}\n",
    "dying": "import os\ndef handler(event, context):\n    os._exit(3)\n",
    "big": "def handler(event, context):\n    return 'x' * 7_000_000\n",
    "weak": (
        "import os\ndef handler(event, context):\n"
        "    with open(event['file'], 'ab') as file:\n        file.write(b'.')\n        tries = file.tell()\n"
        "    if tries <= event['fails']:\n        os._exit(3)\n    return tries\n"
    ),
    "broken": "import there_is_no_such_module\n",
    "surroundings": "import os\ndef handler(event, context):\n    return dict(os.environ)\n",
    "reader": (
        "import boto3\nfrom botocore.exceptions import ClientError\n"
        "def handler(event, context):\n"
        "    try:\n        boto3.client('s3').get_object(**event)\n"
        "    except ClientError as error:\n        return error.response['Error']['Code']\n"
    ),
    "writer": (
        "import boto3\ndef handler(event, context):\n    for key in event['keys']:\n"
        "        boto3.client('s3').put_object(Bucket='work', Key=key, Body=b'x')\n    return {}\n"
    ),
}
ALL_OF = {"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject"], "Resource": "*"}
LISTING = {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": {"Fn::GetAtt": ["Work", "Arn"]}}
INVOKING = {
    "Effect": "Allow",
    "Action": "lambda:InvokeFunction",
    "Resource": [{"Fn::GetAtt": [name.capitalize(), "Arn"]} for name in HANDLERS if name != "big"],
}

RUNNING_CHILDREN = {
    "Effect": "Allow",
    "Action": ["states:StartExecution", "states:DescribeExecution", "states:StopExecution"],
    "Resource": "*",
}


def role(*statements: dict[str, Any]) -> dict[str, Any]:
    policy = {"PolicyDocument": {"Statement": list(statements)}}
    return {"Type": "AWS::IAM::Role", "Properties": {"Policies": [policy]}}


def resources(folder: Path) -> dict[str, Any]:
    functions = {
        name.capitalize(): {
            "Type": "AWS::Lambda::Function",
            "Properties": {
                "Handler": f"small.{name}.handler",
                "Runtime": "python3.13",
                "Timeout": 1,
                "Role": {"Fn::GetAtt": ["Worker", "Arn"]},
                "Environment": {"Variables": {"WORK": {"Ref": "Work"}}},
            },
        }
        for name in HANDLERS
    }
    clocks = {
        f"Clock{fails}": {
            "Type": "AWS::Scheduler::Schedule",
            "Properties": {
                "Target": {
                    "Arn": {"Fn::GetAtt": ["Weak", "Arn"]},
                    "Input": json.dumps({"file": str(folder / f"tick-{fails}"), "fails": fails}),
                }
            },
        }
        for fails in (2, 3)
    }
    machine = {
        "RoleArn": {"Fn::GetAtt": ["Machine", "Arn"]},
        "DefinitionString": json.dumps({"StartAt": "End", "States": {"End": {"Type": "Succeed"}}}),
    }
    return {
        "Work": {"Type": "AWS::S3::Bucket"},
        "Other": {"Type": "AWS::S3::Bucket", "Properties": {"VersioningConfiguration": {"Status": "Enabled"}}},
        "Worker": role(ALL_OF, LISTING),
        "Machine": role(ALL_OF, INVOKING, RUNNING_CHILDREN),
        "Workflow": {"Type": "AWS::StepFunctions::StateMachine", "Properties": machine},
        "Rule": {
            "Type": "AWS::Events::Rule",
            "Properties": {
                "EventPattern": {"source": ["here"]},
                "Targets": [{"Id": "1", "Arn": {"Fn::GetAtt": ["Weak", "Arn"]}}],
            },
        },
        **clocks,
        **functions,
    }


def write_project(folder: Path) -> Path:
    package = folder / "small"
    package.mkdir()
    for name, source in HANDLERS.items():
        (package / f"{name}.py").write_text(source)
    template = folder / "template.json"
    template.write_text(json.dumps({"Resources": resources(folder)}))
    return template


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    write_project(folder)
    return folder


@pytest.fixture(scope="module")
def cloud(project: Path) -> Iterator[LocalCloud]:
    with LocalCloud(project / "logs", template=project / "template.json", path=project) as cloud:
        surround(cloud)
        yield cloud


def surround(cloud: LocalCloud, *crashes: Crash) -> None:
    cloud.configure(Surroundings(str(cloud.directory), cloud.endpoints("http://127.0.0.1:9"), crashes))


def run(cloud: LocalCloud, states: dict[str, Any], given: Any = None) -> dict[str, Any]:
    """Run a state machine of these states, from the first one, to its end."""
    name = f"m{uuid.uuid4().hex}"
    definition = json.dumps({"StartAt": next(iter(states)), "States": states})
    machine = cloud.states.create_state_machine(name=name, definition=definition, roleArn=cloud.workflow.role_arn)
    started = cloud.states.start_execution(
        stateMachineArn=machine["stateMachineArn"], name=name, input=json.dumps(given or {})
    )
    while (found := cloud.states.describe_execution(executionArn=started["executionArn"]))["status"] == "RUNNING":
        time.sleep(0.02)
    return dict(found)


def task(name: str, **more: Any) -> dict[str, Any]:
    arn = f"arn:aws:lambda:us-east-1:123456789012:function:{name.capitalize()}"
    return {"Type": "Task", "Resource": arn, "End": True, **more}


def over(cloud: LocalCloud, items: list[Any], child: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Run a Distributed Map of one state over items in S3."""
    cloud.s3.put_object(Bucket="work", Key="items.json", Body=json.dumps(items).encode())
    state = {
        "Type": "Map",
        "ItemReader": {
            "Resource": "arn:aws:states:::s3:getObject",
            "ReaderConfig": {"InputType": "JSON"},
            "Parameters": {"Bucket": "work", "Key": "items.json"},
        },
        "ItemProcessor": {
            "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
            "StartAt": "Child",
            "States": {"Child": child},
        },
        "ResultPath": None,
        "End": True,
        **more,
    }
    return run(cloud, {"Map": state})


def test_a_function_gives_its_result(cloud: LocalCloud) -> None:
    """The event reaches the handler, the result comes back."""
    assert cloud.invoke("echo", {"a": ["é", 1]}) == {"a": ["é", 1]}


@pytest.mark.parametrize(
    ("step", "event", "kind"),
    [
        ("boom", {}, "ValueError"),
        ("sleepy", {"seconds": 30}, "Sandbox.Timedout"),
        ("dying", {}, "Runtime.ExitError"),
        ("big", {}, "Function.ResponseSizeTooLarge"),
        ("broken", {}, "Runtime.ImportModuleError"),
        ("echo", {"x": "x" * 7_000_000}, "Lambda.RequestTooLargeException"),
    ],
)
def test_a_failure_has_its_name(cloud: LocalCloud, step: str, event: dict[str, Any], kind: str) -> None:
    """Lambda's own for what happens around a handler, the exception's for what happens in it."""
    with pytest.raises(FunctionFailed) as failed:
        cloud.invoke(step, event)
    assert failed.value.kind == kind


def test_a_killed_worker_is_replaced(cloud: LocalCloud) -> None:
    """The next call finds a new one."""
    with pytest.raises(FunctionFailed, match=r"timed out after 1\.00 seconds"):
        cloud.invoke("sleepy", {"seconds": 30})
    assert cloud.invoke("sleepy", {"seconds": 0}) == {}


def test_an_event_is_tried_three_times(cloud: LocalCloud, tmp_path: Path) -> None:
    """By a rule and by a schedule alike, as Lambda does where nobody waits for the answer; then the failure is one."""
    event = {"source": "here", "file": str(tmp_path / "event")}
    assert cloud.deliver({**event, "fails": 2}) == [3]
    with pytest.raises(FunctionFailed, match="Runtime exited"):
        cloud.deliver({**event, "fails": 6})
    assert Path(event["file"]).stat().st_size == 6
    assert cloud.tick("Clock2", MORNING) == 3
    with pytest.raises(FunctionFailed, match="Runtime exited"):
        cloud.tick("Clock3", MORNING)


def test_a_call_is_tried_once(cloud: LocalCloud, tmp_path: Path) -> None:
    """Whoever waits for the answer gets the failure."""
    with pytest.raises(FunctionFailed, match="Runtime exited"):
        cloud.invoke("weak", {"file": str(tmp_path / "call"), "fails": 1})


def test_a_stopped_process_is_ended_once(cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some time later its id, and so its group's, may be that of a stranger."""
    child = cloud.spawn("http.server", ["0"])
    child.stop()
    cloud.children.remove(child)
    assert child.process.returncode is not None
    monkeypatch.setattr("os.killpg", lambda *_: pytest.fail("a stranger would be ended"))
    child.stop()


def test_a_handler_finds_lambdas_environment_and_no_other(cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the caller's environment reaches it."""
    monkeypatch.setenv("SLUICE_STRAY", "x")
    found = cloud.invoke("surroundings", {})
    assert found["WORK"] == "work"
    assert found["AWS_ENDPOINT_URL"] == cloud.endpoint
    assert found["AWS_LAMBDA_FUNCTION_NAME"] == "Surroundings"
    assert not {"SLUICE_STRAY", "HOME", "AWS_PROFILE", "PYTHONPATH"} & set(found)


def test_a_missing_object_is_404_only_for_a_role_that_may_list(cloud: LocalCloud) -> None:
    """Without s3:ListBucket S3 hides what is not there."""
    assert cloud.invoke("reader", {"Bucket": "work", "Key": "none"}) == "NoSuchKey"
    assert cloud.invoke("reader", {"Bucket": "other", "Key": "none"}) == "AccessDenied"


def test_a_version_takes_its_own_permission(cloud: LocalCloud) -> None:
    """GetObject with a version is not GetObject."""
    assert cloud.invoke("reader", {"Bucket": "work", "Key": "none", "VersionId": "1"}) == "AccessDenied"


def test_a_planned_crash_ends_the_worker_once(cloud: LocalCloud, tmp_path: Path) -> None:
    """Before its second write the first is there, and the next worker goes on counting."""
    surround(cloud, Crash("writer", 2, "before", str(tmp_path / "count")))
    try:
        with pytest.raises(FunctionFailed, match="Runtime exited"):
            cloud.invoke("writer", {"keys": ["crash/1", "crash/2"]})
        assert list(cloud.keys("work", "crash/")) == ["crash/1"]
        assert cloud.invoke("writer", {"keys": ["crash/1", "crash/2"]}) == {}
    finally:
        surround(cloud)


def test_catch_sees_the_exceptions_name(cloud: LocalCloud) -> None:
    """So that a state machine can tell errors apart."""
    caught = [{"ErrorEquals": ["ValueError"], "ResultPath": "$.error", "Next": "Caught"}]
    ended = run(cloud, {"Boom": task("boom", Catch=caught), "Caught": {"Type": "Pass", "End": True}})
    error = json.loads(ended["output"])["error"]
    assert error["Error"] == "ValueError"
    assert json.loads(error["Cause"])["errorMessage"] == "no"


def test_the_machines_role_has_to_allow_an_invocation(cloud: LocalCloud) -> None:
    """A grant that is missing in the template is missing here."""
    ended = run(cloud, {"Big": task("big")})
    assert (ended["status"], ended["error"]) == ("FAILED", "Lambda.AWSLambdaException")
    assert "lambda:InvokeFunction" in ended["cause"]


def test_a_map_over_items_in_s3_succeeds(cloud: LocalCloud) -> None:
    """Every child ends with an empty object."""
    ended = over(cloud, [{"n": n} for n in range(30)], task("echo", OutputPath=None), MaxConcurrency=4)
    assert ended["status"] == "SUCCEEDED"


def test_what_became_of_the_calls_is_noted(cloud: LocalCloud) -> None:
    """By role: each right that was used, each call that had none, and each call that its service does not admit."""
    cloud.s3.put_object(Bucket="work", Key="there", Body=b"x")
    for event in (
        {"Bucket": "work", "Key": "there"},
        {"Bucket": "other", "Key": "none"},
        {"Bucket": "work", "Key": ""},
    ):
        cloud.invoke("reader", event)
    over(cloud, [1], task("nothing"))
    noted = read_ledgers(cloud.directory / FOLDER)
    assert noted["reader"][USED] >= {("s3:GetObject", "*")}
    assert noted["reader"][REFUSED] >= {("s3:ListBucket", "arn:aws:s3:::other")}
    assert noted["reader"][INVALID] == {("s3:GetObject", "*")}
    assert noted["workflow"][USED] >= {("states:StartExecution", "*"), ("s3:GetObject", "*")}


def test_a_failed_child_fails_its_map(cloud: LocalCloud) -> None:
    """As on AWS, and with the child's error in the cause."""
    ended = over(cloud, [1, 2, 3], task("boom"))
    assert (ended["status"], ended["error"]) == ("FAILED", "States.ExceedToleratedFailureThreshold")
    assert "ValueError" in ended["cause"]


def test_a_child_has_to_end_with_an_empty_object(cloud: LocalCloud) -> None:
    """The outputs of many children together have a limit."""
    ended = over(cloud, [{"a": 1}], task("echo"))
    assert ended["status"] == "FAILED"
    assert "instead of {}" in ended["cause"]


def test_a_large_item_is_refused(cloud: LocalCloud) -> None:
    """An item is a child's input: at most 256 KiB."""
    ended = over(cloud, [{"a": "x" * 300_000}], task("nothing"))
    assert (ended["status"], ended["error"]) == ("FAILED", "States.DataLimitExceeded")


def test_a_large_payload_is_refused(cloud: LocalCloud) -> None:
    """A state's output is at most 256 KiB."""
    states: dict[str, Any] = {"Big": {"Type": "Pass", "Result": "x" * 100_000, "ResultPath": "$.a", "Next": "More"}}
    states["More"] = {"Type": "Pass", "Result": "x" * 200_000, "ResultPath": "$.b", "End": True}
    assert run(cloud, states)["error"] == "States.DataLimitExceeded"


def test_one_worker_takes_any_number_of_children(cloud: LocalCloud) -> None:
    """More than Python recurses."""
    child = {"Type": "Pass", "Result": {}, "End": True}
    assert over(cloud, list(range(1200)), child, MaxConcurrency=1)["status"] == "SUCCEEDED"


def test_waits_and_retries_are_short_and_nothing_else_is(cloud: LocalCloud) -> None:
    """Ten minutes of waiting take a second; a state's time-out stays real."""
    wait = {"Wait": {"Type": "Wait", "SecondsPath": "$.seconds", "End": True}}
    began = time.monotonic()
    assert run(cloud, wait, {"seconds": 300})["status"] == "SUCCEEDED"
    assert 0.5 <= time.monotonic() - began < 5
    retry = [{"ErrorEquals": ["ValueError"], "IntervalSeconds": 300, "MaxAttempts": 1}]
    began = time.monotonic()
    assert run(cloud, {"Boom": task("boom", Retry=retry)})["error"] == "ValueError"
    assert 0.5 <= time.monotonic() - began < 5
    sleepy = task("sleepy", TimeoutSeconds=1)
    assert run(cloud, {"Sleepy": sleepy}, {"seconds": 0.5})["status"] == "SUCCEEDED"


def test_the_definition_is_executed_as_the_template_has_it(cloud: LocalCloud) -> None:
    """Byte for byte: only the engine's clock is another one."""
    found = cloud.states.describe_state_machine(stateMachineArn=cloud.workflow.arn)
    assert found["definition"] == cloud.workflow.definition


def test_a_fraction_of_a_second_is_no_wait(cloud: LocalCloud) -> None:
    """Step Functions takes whole numbers."""
    wait = {"Wait": {"Type": "Wait", "SecondsPath": "$.seconds", "End": True}}
    assert run(cloud, wait, {"seconds": 1.5})["status"] == "FAILED"


def test_ranges_of_an_object_in_parts(cloud: LocalCloud) -> None:
    """What was written by parts is read back, whole and by any range."""
    data = os.urandom(6 * MiB)
    upload = cloud.s3.create_multipart_upload(Bucket="other", Key="parts")["UploadId"]
    parts = [
        {
            "PartNumber": n,
            "ETag": cloud.s3.upload_part(
                Bucket="other", Key="parts", UploadId=upload, PartNumber=n, Body=data[(n - 1) * 5 * MiB : n * 5 * MiB]
            )["ETag"],
        }
        for n in (1, 2)
    ]
    done = cloud.s3.complete_multipart_upload(
        Bucket="other",
        Key="parts",
        UploadId=upload,
        MultipartUpload={"Parts": parts},  # type: ignore[typeddict-item]
    )
    assert done["ETag"].endswith('-2"')
    for asked, begin, end in (
        ("bytes=0-9", 0, 10),
        ("bytes=5242870-5242889", 5242870, 5242890),
        ("bytes=6291450-", -6, None),
    ):
        found = cloud.s3.get_object(Bucket="other", Key="parts", Range=asked, VersionId=done["VersionId"])
        assert found["Body"].read() == data[begin:end]
    assert cloud.s3.get_object(Bucket="other", Key="parts")["Body"].read() == data
    assert cloud.s3.head_object(Bucket="other", Key="parts")["ContentLength"] == len(data)


def test_a_part_that_is_too_small_is_refused(cloud: LocalCloud) -> None:
    """Every part but the last has 5 MiB, as on AWS."""
    upload = cloud.s3.create_multipart_upload(Bucket="work", Key="small")["UploadId"]
    made = {
        n: cloud.s3.upload_part(Bucket="work", Key="small", UploadId=upload, PartNumber=n, Body=b"x") for n in (1, 2)
    }
    whole: Any = {"Parts": [{"PartNumber": n, "ETag": part["ETag"]} for n, part in made.items()]}
    with pytest.raises(ClientError, match="EntityTooSmall"):
        cloud.s3.complete_multipart_upload(Bucket="work", Key="small", UploadId=upload, MultipartUpload=whole)


def test_an_overwritten_version_stays_readable(cloud: LocalCloud) -> None:
    """The frozen version counts, also for large objects."""
    first, second = b"a" * 2 * MiB, b"b" * 2 * MiB
    version = cloud.s3.put_object(Bucket="other", Key="twice", Body=first)["VersionId"]
    cloud.s3.put_object(Bucket="other", Key="twice", Body=second)
    assert cloud.s3.get_object(Bucket="other", Key="twice", VersionId=version)["Body"].read() == first
    assert cloud.s3.get_object(Bucket="other", Key="twice")["Body"].read() == second


def test_a_conditional_write_is_refused(cloud: LocalCloud) -> None:
    """Conditions are moto's, whatever the size."""
    body = b"x" * 2 * MiB
    cloud.s3.put_object(Bucket="work", Key="once", Body=body, IfNoneMatch="*")
    with pytest.raises(ClientError, match="PreconditionFailed"):
        cloud.s3.put_object(Bucket="work", Key="once", Body=body, IfNoneMatch="*")


def test_a_listing_in_pages(cloud: LocalCloud) -> None:
    """Every key once, in order, odd characters included, without what was deleted."""
    names = sorted(f"list/{n} é&+=.txt" for n in range(7))
    for name in [*names, "list/gone", "lisu"]:
        cloud.s3.put_object(Bucket="other", Key=name, Body=b"x")
    cloud.s3.delete_object(Bucket="other", Key="list/gone")
    pages = cloud.s3.get_paginator("list_objects_v2").paginate(
        Bucket="other", Prefix="list/", PaginationConfig={"PageSize": 3}
    )
    found = [[item["Key"] for item in page["Contents"]] for page in pages]
    assert [len(page) for page in found] == [3, 3, 1]
    assert [name for page in found for name in page] == names


def test_an_event_of_s3_has_awss_documented_shape(cloud: LocalCloud, tmp_path: Path) -> None:
    """`etag` without quotes, the version where there is one, the key as it is."""
    file = tmp_path / "a b.jsonl"
    file.write_text("{}\n")
    event = cloud.drop(file, "other", "tickets/a b+é.jsonl")
    assert (event["source"], event["detail-type"]) == ("aws.s3", "Object Created")
    assert event["detail"]["object"]["key"] == "tickets/a b+é.jsonl"
    assert set(event["detail"]["object"]) == {"key", "size", "etag", "sequencer", "version-id"}
    assert '"' not in event["detail"]["object"]["etag"]
    assert "version-id" not in cloud.drop(file, "work", "x")["detail"]["object"]


def alive(group: int) -> bool:
    """Whether a process of a group is still there, other than as a zombie."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] != "Z":
            return True
    return False


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_nothing_outlives_the_runner(project: Path) -> None:
    """However it dies: here without a chance to clean up."""
    program = (
        "import sys, time; from pathlib import Path; from sluice.local.cloud import LocalCloud\n"
        "folder = Path(sys.argv[1])\n"
        "with LocalCloud(folder / 'killed', template=folder / 'template.json', path=folder) as cloud:\n"
        "    print(*(child.process.pid for child in cloud.children), flush=True)\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(project)], stdout=subprocess.PIPE, text=True) as runner:
        assert runner.stdout is not None
        groups = [int(pid) for pid in runner.stdout.readline().split()]
        assert len(groups) == 2
        assert all(alive(group) for group in groups)
        runner.send_signal(signal.SIGKILL)
        runner.wait()
    deadline = time.monotonic() + 10
    while any(alive(group) for group in groups) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(alive(group) for group in groups)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux alone tells a process's memory in /proc")
def test_large_objects_do_not_stand_in_memory(cloud: LocalCloud) -> None:
    """They lie in files, also those that come in parts or are read again, so that a run's rows do not add up."""
    server = next(child for child in cloud.children if child.module == "sluice.local.server").process.pid

    def held() -> int:
        status = Path(f"/proc/{server}/status").read_text(encoding="ascii")
        return 1024 * int(status.partition("VmRSS:")[2].split()[0])

    bodies = [bytes([number]) * MiB for number in range(48)]
    for body in bodies[:8]:  # what the first ones take is taken once
        cloud.s3.put_object(Bucket="other", Key="warm", Body=body)
    before = held()
    for number, body in enumerate(bodies):
        cloud.s3.put_object(Bucket="other", Key=f"large/{number}", Body=body)
    assert all(
        cloud.s3.get_object(Bucket="other", Key=f"large/{number}")["Body"].read() == body
        for number, body in enumerate(bodies)
    )
    assert held() - before < 16 * MiB
