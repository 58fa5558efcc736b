"""Where answers come from: the classifier by words, recordings, and an OpenAI-compatible server."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError, ReadTimeoutError

from sluice.answers.requests import system_prompt
from sluice.errors import BadSetting, Stop
from sluice.local.faults import read_plan
from sluice.local.requests import Request
from sluice.local.sources import open_source
from sluice.local.sources.bedrock import ONCE, TRIES, BedrockSource
from sluice.local.sources.completions import read_completion
from sluice.local.sources.keys import FirstRow, id_of
from sluice.local.sources.lexical import LexicalSource
from sluice.local.sources.openai import Endpoint, OpenAISource
from sluice.local.sources.reach import reach
from sluice.local.sources.replay import ReplaySource
from sluice.local.sources.routing import WithQuestions
from sluice.local.sources.source import NoAnswer, Reply, Tiers
from sluice.local.standin.api import NO_ANSWER
from sluice.local.standin.shuffle import BLOCK_BYTES, Shuffle
from sluice.task.file import parse_task

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sluice.task.task import Task

MICRO, HAIKU = "us.amazon.nova-micro-v1:0", "us.anthropic.claude-haiku-4-5-20251001-v1:0"
TIERS = Tiers((("nova-micro", MICRO), ("claude-haiku-4-5", HAIKU)))


def task(**changes: Any) -> Task:
    document = {
        "name": "tickets",
        "input": {"text": "body"},
        "labels": {"billing": "charges, invoices and refunds", "technical": "errors and outages", "other": "the rest"},
        "none": "other",
        "tiers": [{"model": "nova-micro"}, {"model": "claude-haiku-4-5"}],
    }
    return parse_task(document | changes, "test")


def asked(text: str, model: str = MICRO, max_tokens: int = 200) -> Request:
    message = f"<text>\n{text}\n</text>"
    raw = json.dumps({"messages": [{"role": "user", "content": [{"text": message}]}]}).encode()
    return Request("0" * 32, model, message, raw, max_tokens)


def shares(source: LexicalSource, model: str) -> tuple[float, float]:
    """The shares of well-formed answers and of right ones among 2,000 texts about money."""
    replies = [source.answer(asked(f"a refund of my invoice {n}", model)).text for n in range(2000)]
    right = [reply for reply in replies if '"billing"' in reply and '"unsure"' not in reply]
    formed = 0
    for reply in replies:
        try:
            formed += json.loads(reply)["label"] in source.labels
        except (ValueError, KeyError, TypeError):
            continue
    return formed / 2000, len(right) / 2000


def test_words_decide() -> None:
    """Most texts get the label whose words they use, and one that uses none gets the label for nothing."""
    source = LexicalSource(task(), TIERS)
    assert source.score(b"two errors since the outage")
    assert max(source.score(b"my invoices!").items(), key=lambda item: item[1])[0] == 0
    assert source.score(b"good morning") == {}


def test_a_stronger_tier_is_better() -> None:
    """The first is malformed, unsure or wrong now and then, the second less often."""
    source = LexicalSource(task(), TIERS)
    weak, strong = shares(source, MICRO), shares(source, HAIKU)
    assert 0.94 < weak[0] < 0.99 < strong[0] <= 1
    assert 0.75 < weak[1] < 0.93 < strong[1] < 1


def test_the_same_text_gets_the_same_answer() -> None:
    """In every run; another model may say something else."""
    source, again = LexicalSource(task(), TIERS), LexicalSource(task(), TIERS)
    for n in range(200):
        assert source.answer(asked(f"x {n}")) == again.answer(asked(f"x {n}"))


def test_several_labels_fields_and_evidence() -> None:
    """Whatever the task asks for is there, in its type, and the evidence stands in the text."""
    fields = {
        "amount": {"type": ["number", "null"]},
        "mood": {"type": "string", "enum": ["calm", "angry"]},
        "urgent": {"type": "boolean"},
        "words": {"type": "array", "items": {"type": "string"}},
    }
    wide = task(choose="many", answer={"fields": fields, "evidence": True})
    text = "angry: the refund of 12.50 & the <error> are late"
    reply = LexicalSource(wide, TIERS).answer(asked(text.replace("&", "&amp;").replace("<", "&lt;"), HAIKU)).text
    answer = json.loads(reply)
    assert set(answer["labels"]) <= set(wide.labels)
    assert answer["evidence"] in text
    assert (answer["amount"], answer["mood"]) == (12.5, "angry")
    assert isinstance(answer["urgent"], bool)
    assert isinstance(answer["words"], list)


def test_a_long_reply_is_cut_at_the_limit() -> None:
    """With the stop reason that says so."""
    request = asked("x", max_tokens=2)
    assert Reply("a" * 100).cut(request) == Reply("a" * 8, "max_tokens", None, 2)
    assert Reply("a" * 8).cut(request) == Reply("a" * 8)


def test_a_recording_is_found_by_id_or_place(tmp_path: Path) -> None:
    """The first line for a row counts; a reply may say why it stopped."""
    file = tmp_path / "answers.jsonl"
    lines = [
        {"id": 7, "answers": {"nova-micro": "first"}},
        {"id": "7", "answers": {"nova-micro": "second"}},
        {"source": "in/a.jsonl", "line": 3, "answers": {HAIKU: {"text": "cut", "stop_reason": "max_tokens"}}},
    ]
    file.write_text("\n".join(map(json.dumps, lines)) + "\n\n")
    source = ReplaySource(str(file), task(), TIERS, None)  # type: ignore[arg-type]
    source.runs["work", "r"] = {"a": source.by_id["7"], "b": source.by_place["a.jsonl", 3]["in/a.jsonl"]}

    def ask(record: str, model: str) -> Reply:
        return source.answer(Request(record, model, "", b"", 100), "work/r")

    assert ask("a", MICRO) == Reply("first")
    assert ask("b", HAIKU) == Reply("cut", "max_tokens")
    with pytest.raises(NoAnswer, match="no answer of us"):
        ask("a", HAIKU)
    with pytest.raises(NoAnswer, match="no answers for record c"):
        ask("c", MICRO)


def test_a_routers_question_is_answered_by_its_own_words(tmp_path: Path) -> None:
    """Those that a recording has under router, whichever model is asked; all else has the model's."""
    file = tmp_path / "answers.jsonl"
    file.write_text(json.dumps({"id": "7", "answers": {"nova-micro": "a label", "router": "complex"}}))
    routed = task(router={})
    sources = [ReplaySource(str(file), routed, TIERS, None, name) for name in (None, "router")]  # type: ignore[arg-type]
    for source in sources:
        source.runs["work", "r"] = {"a": source.by_id["7"]}
    both = WithQuestions(sources[0], [(routed.routing, sources[1])])
    for asks, said in ((routed, "a label"), (routed.routing, "complex")):
        raw = json.dumps({"system": [{"text": system_prompt(asks)}]}, ensure_ascii=False).encode()
        assert both.answer(Request("a", MICRO, "", raw, 100), "work/r") == Reply(said)


@pytest.mark.parametrize(
    ("line", "message"),
    [("{", "line 1"), ('{"answers": {}}', "neither id nor source"), ('{"id": 1, "answers": {"m": 1}}', "line 1")],
)
def test_a_recording_that_is_none_is_refused(tmp_path: Path, line: str, message: str) -> None:
    """With its line."""
    file = tmp_path / "answers.jsonl"
    file.write_text(line)
    with pytest.raises(BadSetting, match=message):
        ReplaySource(str(file), task(), TIERS, None)  # type: ignore[arg-type]


def test_a_recording_tells_long_ids_null_replies_and_files_of_one_name_apart(tmp_path: Path) -> None:
    """A number is kept to its last digit, null is no reply, and of equal places the likest source counts."""
    long_id = "123456789012345678901234567890"
    file = tmp_path / "answers.jsonl"
    file.write_text(
        f'{{"id": {long_id}, "answers": {{"nova-micro": "long", "claude-haiku-4-5": null}}}}\n'
        '{"source": "x/a.jsonl", "line": 1, "answers": {"nova-micro": "x"}}\n'
        '{"source": "/in/y/a.jsonl", "line": 1, "answers": {"nova-micro": "y"}}\n'
    )
    source = ReplaySource(str(file), task(), TIERS, None)  # type: ignore[arg-type]
    assert id_of(f'{{"id": {long_id}}}'.encode(), "id") == long_id
    source.runs["work", "r"] = {"a": source.by_id[long_id]}
    with pytest.raises(NoAnswer, match="no answer of us"):
        source.answer(Request("a", HAIKU, "", b"", 100), "work/r")
    for folder in "xy":
        row = FirstRow("k", None, f"s3://incoming/tickets/{folder}/a.jsonl", 1)
        assert source._of_place(row) == {"nova-micro": folder}


@pytest.mark.parametrize(
    "data",
    [
        *(b"\xff", b"[]", b"{}", b'{"choices": []}', b'{"choices": [{"message": {"content": ["a"]}}]}'),
        *(b'{"choices": [{"message": {"content": 5}}]}', b'{"choices": [{"message": {}, "finish_reason": ["stop"]}]}'),
        *(b'{"choices": [{"message": {}}], "usage": {"prompt_tokens": "x"}}', b"[" * 100_000),
    ],
)
def test_what_is_no_completion_costs_only_its_record(data: bytes) -> None:
    """Whatever a server answers ends as an error of the record, never of the job."""
    with pytest.raises(NoAnswer, match="no chat completion"):
        read_completion(data)


@pytest.mark.parametrize("spec", ["standin:x", "replay:", "openai:http://x", "bedrock:x", "magic"])
def test_an_unknown_source_is_refused(spec: str) -> None:
    """With the ones that there are."""
    with pytest.raises(BadSetting, match="openai:URL#MODEL"):
        open_source(spec, task(), TIERS, "us-east-1", None)  # type: ignore[arg-type]


class Completions(BaseHTTPRequestHandler):
    """Busy once, then answers with what it was asked."""

    asked: list[dict[str, Any]]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.asked.append(body)
        status = 503 if len(self.asked) == 1 else 400 if body["model"] == "none" else 200
        choice = {"message": {"content": "yes"}, "finish_reason": "length"}
        answer = json.dumps({"choices": [choice], "usage": {"prompt_tokens": 5, "completion_tokens": 2}}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: Any) -> None:
        pass


def test_an_openai_compatible_server_is_asked() -> None:
    """System prompt, text and settings reach it; its usage and its stop reason come back; busy is tried again."""
    Completions.asked = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Completions)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_port}/v1/chat/completions"
        body = {
            "messages": [{"role": "user", "content": [{"text": "hello"}]}],
            "system": [{"text": "be brief"}],
            "inferenceConfig": {"maxTokens": 50, "temperature": 0.5, "topP": 0.9},
        }
        request = Request("r", MICRO, "hello", json.dumps(body).encode(), 50)
        source = OpenAISource(Endpoint(url=url, model="qwen3"))
        assert source.answer(request) == Reply("yes", "max_tokens", 5, 2)
        source.pool.close()
        assert Completions.asked[1] == {
            "model": "qwen3",
            "max_tokens": 50,
            "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hello"}],
            "temperature": 0.5,
            "top_p": 0.9,
        }
        refusing = OpenAISource(Endpoint(url=url, model="none"))
        with pytest.raises(NoAnswer, match="answered 400"):
            refusing.answer(request)
        refusing.pool.close()
    finally:
        server.shutdown()
        server.server_close()


class Denials(BaseHTTPRequestHandler):
    """A server that answers every request with one status."""

    status: int
    said = b'{"error": {"message": "model \\"qwen3\\" not found, try pulling it first"}}'

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        said = self.said if self.status in {403, 422} else b""
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "a key that it knows, in the variable MY_KEY"),
        (403, 'MY_KEY may not use qwen3.* The server says: model "qwen3" not found, try pulling it first'),
        (404, "no model qwen3"),
        (422, "no model qwen3"),
        (400, None),
        (500, None),
        (200, None),
    ],
)
def test_a_server_that_takes_no_requests_is_found_out_before_a_run(
    status: int, words: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what to do about it; what may be the matter of one request is left to the run."""
    monkeypatch.setattr(Denials, "status", status, raising=False)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Denials)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    server_of = Endpoint(url=f"http://127.0.0.1:{server.server_port}/v1/chat/completions", model="qwen3")
    try:
        if words is None:
            reach([(server_of, "MY_KEY")])
        else:
            with pytest.raises(Stop, match=words):
                reach([(server_of, "MY_KEY")])
    finally:
        server.shutdown()
        server.server_close()
    with pytest.raises(Stop, match="cannot be reached: it refuses connections"):
        reach([(server_of, "MY_KEY")])


@pytest.mark.parametrize("lines", [0, 1, 1000])
def test_a_shuffle_loses_nothing(lines: int) -> None:
    """Also when the lines fill several files."""
    pad = b"x" * (3 * BLOCK_BYTES // 1000)
    given = [b"%d %s\n" % (n, pad) for n in range(lines)]
    with Shuffle("seed", sum(map(len, given))) as shuffle:
        for begin in range(0, lines, 300):
            shuffle.add(given[begin : begin + 300])
        blocks = list(shuffle.blocks())
    found = b"".join(blocks).splitlines(keepends=True)
    assert sorted(found) == sorted(given)
    assert lines < 2 or found != given
    assert all(len(block) < 2 * BLOCK_BYTES for block in blocks)


def test_a_fault_plan_is_read_strictly(tmp_path: Path) -> None:
    """A misspelt field or an unknown end is refused with its place."""
    file = tmp_path / "faults.yaml"
    file.write_text("jobs: [{end: Expired, tier: 1}]\nfunctions: [{step: check, write: 2, crash: after}]\n")
    plan = read_plan(file)
    assert (plan.jobs[0].end, plan.functions[0].crash) == ("Expired", "after")
    for text, message in (
        ("jobs: [{end: Vanished}]", "jobs"),
        ("[[", "line 1"),
        ("jobs: [{end: Failed, share: 5}]", "share"),
        ("jobs: [{end: Failed, times: 0}]", "times"),
        ("calls: [{operation: Convrse, error: ThrottlingException}]", "Convrse is none of"),
        ("functions: [{step: chek, write: 1}]", "step"),
        ("job: []", "job"),
        ("functions: [{step: check}]", "write or invocation"),
        ("functions: [{step: check, invocation: 1}]", "needs the error"),
        ("functions: [{step: check, invocation: 1, error: E, timeout: 2}]", "timeout with write alone"),
    ):
        file.write_text(text)
        with pytest.raises(BadSetting, match=message):
            read_plan(file)


class Refusals(BaseHTTPRequestHandler):
    """Bedrock that answers every call with one error, and counts the calls."""

    code: str
    status: int
    calls: int

    def do_POST(self) -> None:
        type(self).calls += 1
        self.rfile.read(int(self.headers["Content-Length"]))
        answer = json.dumps({"message": "no"}).encode()
        self.send_response(self.status)
        self.send_header("x-amzn-ErrorType", self.code)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def refusing() -> Iterator[tuple[BedrockSource, list[float]]]:
    """The source in front of such a Bedrock, and what it has waited."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusals)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Refusals.calls, waits = 0, list[float]()
    session = boto3.Session(aws_access_key_id="x", aws_secret_access_key="x", region_name="us-east-1")
    url = f"http://127.0.0.1:{server.server_port}"
    yield BedrockSource("", session.client("bedrock-runtime", endpoint_url=url, config=ONCE), waits.append), waits
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("code", "status", "told"),
    [
        ("ThrottlingException", 429, "ThrottlingException"),
        ("ServiceQuotaExceededException", 400, "ThrottlingException"),
        ("ModelTimeoutException", 408, "ModelTimeoutException"),
        ("ModelErrorException", 424, "ModelErrorException"),
        ("AccessDeniedException", 403, "AccessDeniedException"),
        ("InternalServerException", 500, None),
    ],
)
def test_bedrock_is_asked_once_and_its_step_is_told_why(
    refusing: tuple[BedrockSource, list[float]], code: str, status: int, told: str | None
) -> None:
    """No client asks again unseen, for each answer is billed; a throttle reaches the step as a throttle."""
    Refusals.code, Refusals.status = code, status
    with pytest.raises(NoAnswer) as caught:
        refusing[0].answer(asked("x"))
    assert Refusals.calls == 1
    assert NO_ANSWER.get(caught.value.code) == told


@pytest.mark.parametrize(
    ("code", "status", "calls"), [("ThrottlingException", 429, TRIES), ("ModelTimeoutException", 408, 1)]
)
def test_in_a_batch_job_only_a_throttled_record_is_asked_again(
    refusing: tuple[BedrockSource, list[float]], code: str, status: int, calls: int
) -> None:
    """Nothing was billed for it, and no step waits behind a job's record."""
    Refusals.code, Refusals.status = code, status
    with pytest.raises(NoAnswer):
        refusing[0].answer(asked("x"), "run")
    assert (Refusals.calls, len(refusing[1])) == (calls, calls - 1)


def test_a_call_without_an_answer_is_not_told_as_one_that_can_be_repeated() -> None:
    """What was sent may have been answered and billed; what never reached Bedrock was not."""

    class Broken:
        error: Exception = ReadTimeoutError(endpoint_url="x")

        def converse(self, **_: Any) -> None:
            raise self.error

    broken = Broken()
    source = BedrockSource("", broken)
    with pytest.raises(NoAnswer) as caught:
        source.answer(asked("x"))
    assert NO_ANSWER[caught.value.code] == "ModelTimeoutException"
    broken.error = EndpointConnectionError(endpoint_url="x")
    with pytest.raises(NoAnswer) as caught:
        source.answer(asked("x"))
    assert caught.value.code == 503
