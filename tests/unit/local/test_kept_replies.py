"""Replies are kept as they come, and found again; a server gets as many calls at once as it can use."""

from __future__ import annotations

import errno
import json
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from sluice.answers.requests import escape
from sluice.answers.shown import Showing
from sluice.local.requests import Request
from sluice.local.sources.completions import read_completion
from sluice.local.sources.kept import KeptReplies, ReplyFile, count_kept, hashes_of
from sluice.local.sources.openai import Endpoint, OpenAISource, seconds_of
from sluice.local.sources.pace import FIRST, MOST, Pace
from sluice.local.sources.several import Opener
from sluice.local.sources.source import Call, NoAnswer, Reply, Tiers
from sluice.local.sources.tally import Counted
from sluice.local.standin.records import Turn, as_they_come
from sluice.task.file import parse_task

if TYPE_CHECKING:
    from pathlib import Path

SERVER, NOBODY = "http://x/v1", "http://127.0.0.1:1/v1"


def request(text: str) -> Request:
    return Request("r", "m", text, text.encode(), 10)


class Model:
    """Answers with the number of the call, and counts how often it was asked for each text."""

    name, concurrency = "model", 4

    def __init__(self, url: str = "http://x") -> None:
        self.url = url
        self.calls: list[str] = []
        self.made = 0
        self.fails = False

    def answer(self, request: Request, run: str | None = None) -> Reply:
        return self.send(self.call(request), run)

    def call(self, request: Request) -> Call:
        self.made += 1
        return Call(request, self.url.encode(), request.raw)

    def send(self, call: Call, run: str | None = None) -> Reply:  # noqa: ARG002
        self.calls.append(call.request.text)
        if self.fails:
            raise NoAnswer("busy", 503)
        return Reply(f"{call.request.text} \n {len(self.calls)} é", "end_turn", 3, None)


def test_what_was_answered_is_not_asked_again(tmp_path: Path) -> None:
    """A second process over the same file sends what is missing, and each reply is as it was."""
    first = KeptReplies(model := Model(), ReplyFile(tmp_path / "o" / "replies.jsonl"))
    came = {text: first.answer(request(text), None) for text in ("a", "b")}
    assert count_kept(tmp_path / "o") == 2
    again = KeptReplies(other := Model(), ReplyFile(tmp_path / "o" / "replies.jsonl"))
    assert {text: again.answer(request(text), None) for text in ("a", "b")} == came
    again.answer(request("c"), None)
    assert (model.calls, other.calls) == (["a", "b"], ["c"])
    assert (model.made, other.made) == (2, 3)  # a call is made up once, to be looked for and to be sent


def test_another_attempt_is_another_reply(tmp_path: Path) -> None:
    """What is asked twice within a run is asked twice, and a second run finds both in their order."""
    run = KeptReplies(Model(), ReplyFile(tmp_path / "replies.jsonl"))
    first = [run.answer(request("a"), None) for _ in range(2)]
    again = KeptReplies(model := Model(), ReplyFile(tmp_path / "replies.jsonl"))
    assert [again.answer(request("a"), None) for _ in range(2)] == first
    assert (first[0] == first[1], model.calls) == (False, [])


def test_another_server_model_or_prompt_is_another_question(tmp_path: Path) -> None:
    """The fingerprint covers all that an answer depends on, and no key."""
    path = tmp_path / "replies.jsonl"
    for url in ("http://x", "http://y"):
        KeptReplies(model := Model(url), ReplyFile(path)).answer(request("a"), None)
        assert model.calls == ["a"]
    body = b'{"messages":[{"role":"user","content":[{"text":"a"}]}],"inferenceConfig":{}}'
    asked = {
        OpenAISource(Endpoint(url=url, model=name)).call(Request("r", "m", "a", raw, most)).digest()
        for url in ("http://x/v1", "http://y/v1")
        for name in ("q", "r")
        for raw in (body, body.replace(b'"a"', b'"b"'))
        for most in (1, 2)
    }
    assert len(asked) == 16
    assert OpenAISource(Endpoint(url=SERVER, model="q")).call(Request("s", "n", "a", body, 1)).digest() in asked


def test_no_answer_is_not_kept(tmp_path: Path) -> None:
    """What failed is asked again by the next run."""
    path = tmp_path / "replies.jsonl"
    model = Model()
    model.fails = True
    kept = KeptReplies(model, ReplyFile(path))
    with pytest.raises(NoAnswer):
        kept.answer(request("a"), None)
    assert count_kept(tmp_path) == 0
    model.fails = False
    KeptReplies(model, ReplyFile(path)).answer(request("a"), None)
    assert model.calls == ["a", "a"]


@pytest.mark.parametrize("cut", [1, 10, 40])
def test_a_last_line_that_was_cut_is_dropped(tmp_path: Path, cut: int) -> None:
    """As a killed process or a full disk leaves it; so is a line that is nobody's, and those behind it stand."""
    path = tmp_path / "replies.jsonl"
    kept = KeptReplies(Model(), ReplyFile(path))
    came = {text: kept.answer(request(text), None) for text in "abc"}
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    path.write_bytes(lines[0] + b'{"nobody": "knows"}\n\xff\n' + lines[1] + lines[2][:-cut])
    again = KeptReplies(model := Model(), ReplyFile(path))
    for text in "abc":
        again.answer(request(text), None)
    assert model.calls == ["c"]
    assert KeptReplies(Model(), ReplyFile(path)).answer(request("b"), None) == came["b"]


def test_a_reply_that_cannot_be_kept_ends_the_asking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk: no half line stays, and the refusal says where there is no room."""
    path = tmp_path / "replies.jsonl"
    kept = KeptReplies(Model(), ReplyFile(path))
    kept.answer(request("a"), None)
    size, write = path.stat().st_size, os.pwrite

    def full(file: int, data: bytes, at: int) -> int:
        if len(data) > 5:
            return write(file, data[:5], at)
        raise OSError(errno.ENOSPC, "No space left on device")

    def short(file: int, data: bytes, at: int) -> int:
        if at > size:
            raise OSError(errno.ENOSPC, "No space left on device")
        return full(file, data, at)

    monkeypatch.setattr(os, "pwrite", short)
    with pytest.raises(NoAnswer, match=r"no reply can be kept in .*replies\.jsonl: No space left") as refused:
        kept.answer(request("b"), None)
    assert refused.value.code == 400
    assert path.stat().st_size == size


def test_a_call_that_failed_is_no_attempt(tmp_path: Path) -> None:
    """What a throttle was followed by is the first answer, and the next run finds it as that."""
    path = tmp_path / "replies.jsonl"
    model = Model()
    kept = KeptReplies(model, ReplyFile(path))
    model.fails = True
    with pytest.raises(NoAnswer):
        kept.answer(request("a"), None)
    model.fails = False
    came = kept.answer(request("a"), None)
    again = KeptReplies(other := Model(), ReplyFile(path))
    assert again.answer(request("a"), None) == came
    assert other.calls == []


def test_nothing_is_asked_once_a_reply_could_not_be_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each further reply would be paid for and lost; what is kept is still found."""
    kept = KeptReplies(model := Model(), ReplyFile(tmp_path / "replies.jsonl"))
    came = kept.answer(request("a"), None)

    def full(_file: int, _data: bytes, _at: int) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    for text in ("b", "c", "d"):
        with pytest.raises(NoAnswer, match="No space left"):
            kept.answer(request(text), None)
    assert model.calls == ["a", "b"]
    monkeypatch.undo()
    assert KeptReplies(Model(), ReplyFile(tmp_path / "replies.jsonl")).answer(request("a"), None) == came


@pytest.mark.parametrize(
    ("message", "text", "stop"),
    [
        ({"content": [{"type": "text", "text": "a"}, {"type": "image"}]}, "a", "end_turn"),
        ({"content": "a", "reasoning_content": "I think b"}, "a", "end_turn"),
        ({"content": None, "refusal": "I cannot"}, "I cannot", "content_filtered"),
        ({"content": ""}, "", "end_turn"),
        ({}, "", "end_turn"),
    ],
)
def test_what_servers_say_in_other_forms_is_read(message: dict[str, Any], text: str, stop: str) -> None:
    """Parts, thoughts beside the answer, and a refusal, which is no empty answer."""
    data = json.dumps({"choices": [{"message": message, "finish_reason": "stop"}]}).encode()
    assert read_completion(data) == Reply(text, stop, None, None)


def test_many_at_once_keep_whole_lines(tmp_path: Path) -> None:
    """Lines of several threads do not run into each other."""
    path = tmp_path / "replies.jsonl"
    kept = KeptReplies(Model(), ReplyFile(path))
    with ThreadPoolExecutor(16) as pool:
        came = list(pool.map(lambda n: kept.answer(request(f"text {n}"), None), range(400)))
    again = KeptReplies(model := Model(), ReplyFile(path))
    assert [again.answer(request(f"text {n}"), None) for n in range(400)] == came
    assert model.calls == []


def test_a_source_that_only_computes_keeps_nothing(tmp_path: Path) -> None:
    """The stand-in's labels cost nothing, and a replay is a file already."""
    task = parse_task({"name": "t", "input": {"text": "t"}, "labels": ["a", "b"]}, "t")
    s3: Any = None
    opener = Opener(task, Tiers(()), "us-east-1", s3, ReplyFile(tmp_path / "replies.jsonl"))
    server = Endpoint(url=NOBODY, model="q")
    sources = opener.open({"": "standin"}, {"own.q": server}, 0)
    found = {model: sources.of(model) for model in ("own.q", "any")}
    assert all(isinstance(source, Counted) for source in found.values())
    assert [isinstance(getattr(found[model], "source", None), KeptReplies) for model in found] == [True, False]


def test_nobody_waits_for_the_slowest_of_a_batch() -> None:
    """The others are through before it is, and nothing is lost or doubled."""
    slow = threading.Event()

    def work(item: bytes) -> bytes:
        if item == b"0":
            slow.wait(10)
        return item

    found = as_they_come(work, iter([b"%d" % n for n in range(500)]), 4)
    first = [next(found) for _ in range(400)]
    slow.set()
    rest = list(found)
    assert b"0" not in first
    assert sorted(first + rest, key=int) == [b"%d" % n for n in range(500)]


def test_what_fails_in_a_worker_is_raised_and_a_reader_that_leaves_holds_nobody() -> None:
    """The threads end with the reading."""
    before = threading.active_count()
    with pytest.raises(ZeroDivisionError):
        list(as_they_come(lambda item: b"%d" % (1 // int(item)), iter([b"1", b"0", b"2"]), 2))
    leaving = as_they_come(bytes, (b"%d" % n for n in range(10**9)), 8)
    next(leaving)
    leaving.close()  # type: ignore[attr-defined]
    deadline = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= before


def test_the_next_job_asks_as_soon_as_the_records_of_the_one_before_are_out() -> None:
    """Not while they are being handed out, but before the last is answered; a job that is left gives up its turn."""
    shared, slow, asked = threading.Lock(), threading.Event(), list[bytes]()

    def work(item: bytes) -> bytes:
        asked.append(item)
        if item == b"a3":
            slow.wait(10)
        return item

    def job(name: str) -> list[bytes]:
        lines = iter([b"%b%d" % (name.encode(), n) for n in range(4)])
        return list(as_they_come(work, Turn(shared).over(lines), 2))

    (left := Turn(shared)).take()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(job, "a")
        time.sleep(0.02)
        assert asked == []
        left.leave()
        left.leave()
        while len(asked) < 4:
            time.sleep(0.001)
        second = pool.submit(job, "b")
        assert sorted(second.result(10)) == [b"b0", b"b1", b"b2", b"b3"]
        assert not first.done()
        slow.set()
        assert len(first.result(10)) == 4
    assert {item[:1] for item in asked[:4]} == {b"a"}
    abandoned = Turn(shared).over(iter([b"1", b"2"]))
    next(abandoned)
    del abandoned
    assert not shared.locked()


class Server:
    """Answers in a time that depends on how many calls are under way, by a clock of its own."""

    def __init__(self, at_once: int) -> None:
        self.now, self.at_once = 0.0, at_once
        self.pace = Pace(clock=lambda: self.now)

    def second(self) -> int:
        """One window: the answers per second are those of the calls that the server works on."""
        rate = min(self.pace.limit, self.at_once) * 20
        self.pace._full = True
        for _ in range(rate):
            self.now += 1.02 / rate
            self.pace.answered()
        return self.pace.limit


@pytest.mark.parametrize(("at_once", "least", "most"), [(1, 1, 14), (30, 30, 60), (10_000, MOST, MOST)])
def test_calls_at_once_grow_while_answers_do(at_once: int, least: int, most: int) -> None:
    """Up to what the server can use, and not much beyond it."""
    server = Server(at_once)
    limits = [server.second() for _ in range(40)]
    assert least <= limits[-1] <= most
    assert limits[0] >= FIRST


def test_a_server_that_throttles_gets_fewer_calls_and_more_again() -> None:
    """A third less at once, not once more for each call of the same moment, and then it climbs."""
    server = Server(10_000)
    for _ in range(6):
        server.second()
    before = server.pace.limit
    for _ in range(50):
        server.pace.refused()
    assert server.pace.limit == int(before * 0.7)
    limits = [server.second() for _ in range(10)]
    assert all(one <= other for one, other in pairwise(limits))
    assert limits[-1] > before


def test_a_limit_is_kept() -> None:
    """No more calls are under way than it says, whatever is waiting."""
    pace, under_way, most = Pace(3), [], []

    def call(_n: int) -> None:
        with pace.call():
            under_way.append(1)
            most.append(len(under_way))
            time.sleep(0.002)
            under_way.pop()
        pace.answered()
        pace.refused()

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(call, range(60)))
    assert max(most) == pace.limit == 3


@pytest.mark.parametrize(
    ("header", "seconds"), [("7", 7), ("", 0), ("Wed, 21 Oct 2026 07:28:00 GMT", 0), ("9999", 120)]
)
def test_the_server_says_when_to_come_back(header: str, seconds: float) -> None:
    """In seconds, within reason."""
    assert seconds_of(header) == seconds


def test_what_is_judged_again_asks_nobody(tmp_path: Path) -> None:
    """What is kept is found, and what is not stays without an answer."""
    KeptReplies(Model(), ReplyFile(tmp_path / "replies.jsonl")).answer(request("a"), None)
    judged = KeptReplies(model := Model(), ReplyFile(tmp_path / "replies.jsonl"), asks=False)
    assert judged.answer(request("a"), None).text.startswith("a")
    with pytest.raises(NoAnswer, match="no reply to this is kept"):
        judged.answer(request("b"), None)
    assert model.calls == []


@pytest.mark.parametrize(
    "text", ["a red thing", "a < b & c\n<answer>\nd", "", "a\0red\0thing", "a red\N{REPLACEMENT CHARACTER}"]
)
def test_a_reply_is_known_by_the_records_that_it_is_about(text: str) -> None:
    """Also what a judge says, who is shown an answer behind the text; and of several texts in one request."""
    shown = Showing({"red": "what is <red>"}).with_answer(escape(text), ("red",))
    record = blake2b(text.encode(), digest_size=16).hexdigest()
    other = blake2b(b"other", digest_size=16).hexdigest()
    for escaped in (escape(text), shown):
        message = json.loads(b'"' + escaped + b'"')
        assert record in hashes_of(f"<text>\n{message}\n</text>")
        several = f'<text id="a1">\n{message}\n</text>\n<text id="b2">\nother\n</text>'
        assert {record, other} <= set(hashes_of(several.replace('"', "")))
