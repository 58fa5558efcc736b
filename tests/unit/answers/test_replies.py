from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.answers.objects import PART
from sluice.answers.replies import MAX_MESSAGE, Manifest, Reply, output_lines, read_line, read_manifest
from sluice.aws.s3 import Store
from sluice.reasons import Reason
from tests.harness.s3 import MemoryS3

GOOD: dict[str, Any] = {
    "modelInput": {"messages": []},
    "modelOutput": {
        "output": {"message": {"role": "assistant", "content": [{"text": '{"label": "a"}\n\nBecause it says so.'}]}},
        "stopReason": "end_turn",
        "usage": {"inputTokens": 457, "outputTokens": 25, "totalTokens": 482},
        "metrics": {"latencyMs": 12},
    },
    "recordId": "r1",
}
TEXT = GOOD["modelOutput"]["output"]["message"]["content"][0]["text"]


def line(value: Any) -> Reply | None:
    return read_line(json.dumps(value).encode())


def output(**changes: Any) -> dict[str, Any]:
    return {**GOOD, "modelOutput": {**GOOD["modelOutput"], **changes}}


def content(*parts: Any) -> dict[str, Any]:
    return output(output={"message": {"role": "assistant", "content": list(parts)}})


def store(**objects: bytes) -> Store:
    s3 = MemoryS3()
    found = Store(s3, "work")  # type: ignore[arg-type]
    for name, data in objects.items():
        found.put(f"out/abc/{name.replace('__', '.')}", data)
    return found


def test_a_success_is_read_with_its_tokens() -> None:
    """Text, stop reason and tokens stand where Converse puts them."""
    assert line(GOOD) == Reply("r1", TEXT, "end_turn", 457, 25)


def test_the_order_of_keys_does_not_matter() -> None:
    """Bedrock writes the keys in any order, and new ones over time."""
    turned = {"new": [1], **dict(reversed(GOOD.items()))}
    assert line(turned) == line(GOOD)


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ([{"text": "a"}, {"text": "b"}], f"a{PART}b"),
        ([{"text": ""}, {"text": "b"}, {"text": None}], "b"),
        ([{"reasoningContent": {"reasoningText": {"text": "hm"}}}, {"text": "b"}], "b"),
        ([{"text": None}], ""),
        ([], ""),
        (["odd", {"text": "b"}], "b"),
        ([{"text": 7}, {"text": "b"}], "b"),
        ([{"text": "cut \ud83d"}], "cut \N{REPLACEMENT CHARACTER}"),
    ],
)
def test_the_parts_of_a_content_are_told_apart(parts: list[Any], text: str) -> None:
    """Parts without a text, such as reasoning, are passed over; half an emoji is replaced."""
    assert line(content(*parts)) == Reply("r1", text, "end_turn", 457, 25)


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({}, (None, None)),
        (None, (None, None)),
        ({"inputTokens": 5}, (5, None)),
        ({"inputTokens": 0, "outputTokens": 0}, (0, 0)),
        ({"inputTokens": -5, "outputTokens": 10**12}, (None, None)),
        ({"inputTokens": 10**30, "outputTokens": 2}, (None, 2)),
        ({"inputTokens": "5", "outputTokens": 2}, (None, 2)),
        ({"inputTokens": True, "outputTokens": 2.5}, (None, None)),
    ],
)
def test_absurd_token_counts_are_unknown(usage: Any, tokens: tuple[int | None, int | None]) -> None:
    """A missing, negative, huge or odd count tells nothing, and the reply is kept."""
    found = line(output(usage=usage))
    assert found == Reply("r1", TEXT, "end_turn", *tokens)


@pytest.mark.parametrize(
    ("told", "read", "cached"),
    [
        ({"cacheReadInputTokens": 100}, 105, (100, 0)),
        ({"cacheReadInputTokenCount": 100}, 105, (100, 0)),
        ({"cacheReadInputTokens": 100, "cacheReadInputTokenCount": 100}, 105, (100, 0)),
        ({"cacheWriteInputTokens": 7}, 12, (0, 7)),
        ({"cacheReadInputTokens": 100, "cacheWriteInputTokenCount": 7}, 112, (100, 7)),
        ({"cacheReadInputTokens": 0, "cacheWriteInputTokens": None}, 5, (0, 0)),
        ({"cacheReadInputTokens": "100"}, 5, (0, 0)),
        ({"cacheReadInputTokens": -100}, 5, (0, 0)),
    ],
)
def test_cached_tokens_are_input(told: dict[str, Any], read: int, cached: tuple[int, int]) -> None:
    """Bedrock counts apart what was read from a cache or written to one, under either name or both; so is it billed."""
    found = line(output(usage={"inputTokens": 5, "outputTokens": 2, **told}))
    assert found == Reply("r1", TEXT, "end_turn", read, 2, cached=cached)


def test_the_cached_tokens_of_a_manifest_are_input() -> None:
    """Its counts say what the job took in all; what it does not say stays unknown."""
    assert Manifest(inputTokenCount=5, cacheReadInputTokenCount=100, cacheWriteInputTokenCount=7).tokens == (112, None)
    assert Manifest(outputTokenCount=3, cacheReadInputTokenCount=100).tokens == (None, 3)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (429, Reason.THROTTLED),
        ("429", Reason.THROTTLED),
        ("ThrottlingException", Reason.THROTTLED),
        ("TooManyRequestsException", Reason.THROTTLED),
        ("ServiceQuotaExceededException", Reason.THROTTLED),
        (400, Reason.RECORD_REFUSED),
        ("403", Reason.RECORD_REFUSED),
        ("ValidationException", Reason.RECORD_REFUSED),
        ("AccessDeniedException", Reason.RECORD_REFUSED),
        ("ResourceNotFoundException", Reason.RECORD_REFUSED),
        (408, Reason.MODEL_ERROR),
        (500, Reason.MODEL_ERROR),
        ("InternalServerException", Reason.MODEL_ERROR),
        (None, Reason.MODEL_ERROR),
        ({"code": 1}, Reason.MODEL_ERROR),
    ],
)
def test_an_error_has_the_reason_of_its_code(code: Any, reason: Reason) -> None:
    """An error code is an int, a string or none: what can pass is tried again, what cannot is not."""
    error = {"errorCode": code, "errorMessage": "no"}
    found = line({"modelInput": {}, "error": error, "recordId": "r1"})
    assert found == Reply("r1", None, None, 0, 0, reason, f"{code}: no")


@pytest.mark.parametrize("error", [{}, {"errorCode": 500}, "broken", [1]])
def test_an_error_of_another_shape_is_an_error(error: Any) -> None:
    """Whatever stands in place of an answer is tried again."""
    found = line({"recordId": "r1", "error": error})
    assert found is not None
    assert found.reason is Reason.MODEL_ERROR


def test_a_long_error_is_cut() -> None:
    """Messages are counted, so none may be as large as a text."""
    found = line({"recordId": "r1", "error": {"errorCode": 500, "errorMessage": "x" * 10_000}})
    assert found is not None
    assert len(found.message or "") == MAX_MESSAGE


@pytest.mark.parametrize(
    "model",
    [
        None,
        {},
        {"output": None},
        {"content": [{"text": "InvokeModel's own shape"}]},
        "text",
        {"output": {"message": {}}},
    ],
)
def test_an_output_of_an_unknown_shape_is_unreadable(model: Any) -> None:
    """A record whose answer cannot be found is asked again, not lost."""
    found = line({"recordId": "r1", "modelOutput": model})
    assert found is not None
    assert (found.record, found.text, found.reason) == ("r1", None, Reason.REPLY_UNREADABLE)


def test_the_tokens_of_an_unreadable_output_are_counted() -> None:
    """They are billed all the same."""
    found = line(output(output={"message": "?"}))
    assert found is not None
    assert (found.input_tokens, found.output_tokens) == (457, 25)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"null",
        b"[1, 2]",
        b'"r1"',
        b"\xff\xfe\x00",
        b'{"modelOutput": {}}',
        b'{"recordId": 7}',
        json.dumps(GOOD).encode()[:-20],
        b"[" * 100_000,
        b'{"recordId": "r1", "modelOutput": ' + b'{"a":' * 50_000,
    ],
)
def test_a_line_that_names_no_record_is_none(data: bytes) -> None:
    """A broken line is counted by whoever reads it, and raises nothing."""
    assert read_line(data) is None


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["recordId", "modelOutput", "error", "output", "message", "content", "text", "usage", "inputTokens"]
                ),
                inner,
            )
        ),
    )
)
def test_any_line_is_a_reply_or_none(value: Any) -> None:
    """No JSON value raises."""
    found = line(value)
    assert found is None or (found.text is None) == (found.reason is not None)


def test_lines_are_read_whatever_the_folder_is_called() -> None:
    """Output files are found under the job's prefix; the manifest is none of them."""
    work = store(**{"part-0__jsonl__out": b"a\nb\n", "part-1__jsonl__out": b"c", "manifest__json__out": b"{}"})
    assert [line for lines in output_lines(work, "out/") for line in lines] == [b"a", b"b", b"c"]


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b'{"successRecordCount": 3, "new": 1}', Manifest(successRecordCount=3)),
        (b"{}", Manifest()),
        (b'{"totalRecordCount": "many"}', None),
        (b"{", None),
        (b"\xff", None),
    ],
)
def test_a_manifest_may_lack_or_misstate_anything(data: bytes, found: Manifest | None) -> None:
    """A manifest that cannot be read is as good as none."""
    assert read_manifest(store(manifest__json__out=data), "out/") == found


def test_a_job_may_have_no_manifest() -> None:
    """A job that failed early wrote nothing."""
    assert read_manifest(store(), "out/") is None
