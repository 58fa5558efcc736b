"""Bedrock in memory behind the steps' Protocol: jobs end when they are first looked at, as `ending` says."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sluice.aws.bedrock import JobRequest, JobState
from sluice.aws.s3 import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PACKED = re.compile(r"<text id=(\w+)>\n(.*?)\n</text>", re.DOTALL)
Answer = "Callable[[str, str], str]"


def user_text(body: dict[str, Any]) -> str:
    """The row's text inside a request body, unescaped."""
    text: str = body["messages"][0]["content"][0]["text"]
    inner = text.removeprefix("<text>\n").removesuffix("\n</text>")
    return inner.replace("&lt;", "<").replace("&amp;", "&")


def texts_of(body: dict[str, Any]) -> list[tuple[str | None, str]]:
    """The rows' texts inside a request body, unescaped, each with the id that it stands under if there are several."""
    text: str = body["messages"][0]["content"][0]["text"]
    found = PACKED.findall(text)
    return [(name, inner.replace("&lt;", "<").replace("&amp;", "&")) for name, inner in found] or [
        (None, user_text(body))
    ]


def model_output(reply: str, text: str, tokens: tuple[int, int] | None = None) -> dict[str, Any]:
    """`modelOutput` as Converse gives it; `tokens` are those that it says to have read and written."""
    read, written = tokens or (100 + len(text) // 4, 1 + len(reply) // 4)
    usage = {"inputTokens": read, "outputTokens": written}
    usage["totalTokens"] = sum(usage.values())
    content = [{"text": reply}]
    return {
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": "end_turn",
        "usage": usage,
        "metrics": {"latencyMs": 1},
    }


@dataclass
class MemoryBedrock:
    """Answers come from `answer(model id, text)`, each under its id where a request holds several texts.

    Every purchase is written down in `bought`.
    """

    store: Store
    answer: Callable[[str, str], str]
    created: dict[str, JobRequest] = field(default_factory=dict)
    ended: dict[str, JobState] = field(default_factory=dict)
    bought: list[tuple[str, str]] = field(default_factory=list)

    def find_job(self, name: str) -> JobState | None:
        return self.job(self._arn(name)) if name in self.created else None

    def jobs(self, name_contains: str) -> Iterator[JobState]:
        yield from (self.job(self._arn(name)) for name in self.created if name_contains in name)

    @staticmethod
    def _arn(name: str) -> str:
        return f"arn:aws:bedrock:us-east-1:123456789012:model-invocation-job/{name}"

    def create_job(self, request: JobRequest) -> str:
        self.created.setdefault(request.name, request)
        return self._arn(request.name)

    def stop_job(self, arn: str) -> None:
        self.ended.setdefault(arn, self._state(arn, "Stopped"))

    def _state(self, arn: str, status: str) -> JobState:
        at = "2026-11-20T12:00:00+00:00"
        return JobState(arn, arn.rsplit("/", 1)[1], status, None, at, at)

    def job(self, arn: str) -> JobState:
        if arn not in self.ended:
            self._run(self.created[arn.rsplit("/", 1)[1]])
            self.ended[arn] = self._state(arn, "Completed")
        return self.ended[arn]

    def _run(self, request: JobRequest) -> None:
        prefix = request.input_uri.removeprefix(f"s3://{self.store.bucket}/")
        out = request.output_uri.removeprefix(f"s3://{self.store.bucket}/")
        lines = [line for key, _ in self.store.keys(prefix) for line in self.store.get(key).splitlines()]
        made = []
        for line in lines:
            record = json.loads(line)
            assert set(record) == {"recordId", "modelInput"}
            self.bought.append((request.name, record["recordId"]))
            output = self.converse(request.model_id, record["modelInput"])
            made.append(json.dumps({**record, "modelOutput": output}))
        made.reverse()
        folder = f"{out}{request.name}/"
        self.store.put(f"{folder}part-0.jsonl.out", "\n".join(made).encode() + b"\n")
        manifest = {"totalRecordCount": len(made), "successRecordCount": len(made), "errorRecordCount": 0}
        self.store.put(f"{folder}manifest.json.out", json.dumps(manifest).encode())

    def converse(self, model_id: str, body: dict[str, Any]) -> dict[str, Any]:
        said = [(name, self.answer(model_id, text)) for name, text in texts_of(body)]
        reply = "\n".join(one if name is None else one.replace("{", f'{{"id": "{name}", ', 1) for name, one in said)
        return model_output(reply, user_text(body))
