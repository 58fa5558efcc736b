"""Random tasks, inputs, replies and faults of the transport, each drawn from a number; a Bedrock that plays them."""

from __future__ import annotations

import csv
import io
import json
import random
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sluice.aws.bedrock import JobRequest, JobState, RecordError
from sluice.reasons import Reason
from tests.harness.bedrock import MemoryBedrock, model_output, user_text
from tests.reference.reference import Came

if TYPE_CHECKING:
    from collections.abc import Callable

JUDGE = "nova-pro"
MODELS = ("nova-micro", "nova-lite", "claude-haiku-4-5", "claude-sonnet-4-5")
LABELS = ("red", "green", "blue", "0:1", "none")
# Texts that look like places, keys and our own marks; some of them stand in many rows.
WORDS = ("0:1", "0:2", "1:1", "0:0:1", "1", "{}", "null", "<text>", "</text>", "&lt;", "é", "ﬁ", "\u2028", "x" * 90)
BAD = (
    b"{broken",
    b'{"id": "no text"}',
    b'{"text": " "}',
    b'{"text": 7}',
    b"\xe9t\xe9",
    b"[1]",
    b'"text"',
    b'{"text":null}',
)
OF_END = {"Expired": "job_expired", "Failed": "job_failed", "Stopped": "job_stopped"}
EARLY = {"properties": {"row": {"properties": {"n": {"maximum": 6}}}}}
SURE_BLUE = {
    "if": {"properties": {"answer": {"properties": {"label": {"const": "blue"}}}}},
    "then": {"properties": {"answer": {"properties": {"confidence": {"const": "certain"}}}}},
}


@dataclass(frozen=True)
class World:
    """A run before it begins: `task` as the reference reads it, `written` as a task file has it."""

    seed: int
    task: dict[str, Any]
    written: dict[str, Any]
    files: dict[str, bytes]
    settings: dict[str, Any]

    def came(self, tier: int, text: str, attempt: int) -> Came:
        """What a tier gives for a text that is sent to it for the n-th time."""
        batch = self.task["tiers"][tier]["transport"] == "batch"
        rng = random.Random(f"{self.seed} {tier} {attempt}")
        if batch and rng.random() < 0.06:
            return Came(fault=rng.choice(list(OF_END.values())))
        rng = random.Random(f"{self.seed} {tier} {attempt} {text}")
        return self._came(rng, lambda: draw_reply(rng, self.task, text), batch=batch)

    def word(self, text: str, labels: tuple[str, ...], sending: int) -> Came:
        """What the judge gives for a text that it is shown with these labels for the n-th time."""
        rng = random.Random(f"{self.seed} judge {sending} {text} {labels}")
        batch = self.task["gates"]["judge"]["transport"] == "batch"
        return self._came(rng, lambda: draw_word(rng), batch=batch)

    def _came(self, rng: random.Random, reply: Callable[[], tuple[str, str]], *, batch: bool) -> Came:
        tokens = (rng.randint(1, 900), rng.randint(0, 90))
        if rng.random() < self.task["storm"]:
            faults = ("model_error", "record_refused", "throttled", "missing", "reply_unreadable")
            fault = rng.choice(faults if batch else faults[:2])
            return Came(fault=fault, tokens=tokens if fault == "reply_unreadable" else (0, 0))
        return Came(*reply(), tokens)


def draw_world(seed: int) -> World:
    """The world of a seed."""
    rng = random.Random(f"world {seed}")
    many = rng.random() < 0.3
    least, most = rng.choice(((1, 5), (0, 2), (1, 2))) if many else (1, 1)
    fields = rng.sample(FIELDS, rng.choice((0, 0, 1, 2)))
    answer = {"confidence": rng.random() < 0.8, "evidence": rng.random() < 0.2, "fields": dict(fields)}
    rules = [] if many else rng.sample([("early", EARLY), ("blue", SURE_BLUE)], rng.choice((0, 0, 1, 2)))
    gates = {"rules": [{"name": name, "schema": schema} for name, schema in rules]}
    low = rng.choice(("unsure", "likely", "certain", None)) if answer["confidence"] else None
    models = sorted(rng.sample(MODELS, rng.randint(1, 4)), key=MODELS.index)
    tiers = [
        {"model": model, "transport": rng.choice(("batch", "batch", "on_demand")), "attempts": rng.randint(1, 3)}
        for model in models
    ]
    labels = list(LABELS[: rng.randint(2, 5)])
    read = {"text": "text", "id": "id", "max_tokens": 30}
    task: dict[str, Any] = {"labels": labels, "answer": answer, "tiers": tiers, "input": read}
    written = {**task, "name": "world", "gates": {**gates, **({"min_confidence": low} if low else {})}}
    written["choose"] = {"min": least, "max": min(most, len(labels))} if many else "one"
    known = {**task, "gates": {**gates, "min_confidence": low}, "choose": (least, min(most, len(labels)), many)}
    if judge := draw_judge(seed):
        written["gates"]["judge"] = known["gates"]["judge"] = judge
    known["storm"] = rng.choice((0.0, 0.1, 0.4))
    per_job = rng.choice((1, 3, 10, 10**5))
    settings = {
        "min_records_per_job": 1,
        "max_records_per_job": per_job,
        "max_file_bytes": rng.choice((10**4, 10**9)),
        "on_demand_concurrency": 1,
        "span_bytes": rng.choice((1, *[60] * 5, *[300] * 5, *[10**6] * 5)),
        "part_bytes": rng.choice((1, 100, 10**6)),
    }
    by_row = any(name == "early" for name, _ in rules)
    return World(seed, known, written, draw_files(rng, by_row=by_row), settings)


def draw_judge(seed: int) -> dict[str, Any] | None:
    """The judge of every third world; drawn by itself, so that the others stay what they are."""
    rng = random.Random(f"judge {seed}")
    if rng.random() > 1 / 3:
        return None
    return {"model": JUDGE, "pack": 1, "transport": rng.choice(("batch", "on_demand")), "attempts": rng.randint(1, 3)}


def draw_word(rng: random.Random) -> tuple[str, str]:
    """What a judge writes, and why it stopped: mostly a word, sometimes none that can be read."""
    said = rng.choice(("right", "right", "right", "wrong", "unclear"))
    whole = json.dumps({"label": said})
    odd = (
        ("", "end_turn"),
        ("It is right.", "end_turn"),
        ('{"label": "ri', "max_tokens"),
        (whole, "content_filtered"),
        ('{"label": "perhaps"}', "end_turn"),
        (f'{whole} No: {{"label": "{"wrong" if said == "right" else "right"}"}}', "end_turn"),
    )
    plain = ((whole, "end_turn"), (f"```json\n{whole}\n```", "end_turn"))
    return rng.choice(odd if rng.random() < 0.2 else plain)


def shown_in(text: str) -> tuple[str, tuple[str, ...]]:
    """A text that a judge is shown, and the labels behind it, each as JSON in a line of its own."""
    text, _, answer = text.partition("\n<answer>\n")
    lines = answer.removesuffix("\n</answer>").split("\n")
    return text, tuple(json.loads(line) for line in lines if line.startswith('"'))


FIELDS: list[tuple[str, dict[str, Any]]] = [
    ("season", {"type": ["string", "null"], "enum": ["spring", "autumn"], "description": "When"}),
    ("amount", {"type": "integer", "description": "How much"}),
    ("open", {"type": ["boolean", "null"], "description": "Whether"}),
    ("ratio", {"type": "number", "description": "What share"}),
]
VALUES = ("spring", "winter", 3, 3.0, 2.5, -1, True, False, None, "3")


def draw_files(rng: random.Random, *, by_row: bool) -> dict[str, bytes]:
    """One to three files, one of them sometimes CSV and one sometimes without a good row; texts repeat everywhere.

    `by_row`: a text stands in rows that are written alike alone, since Bedrock here knows a record by its text.
    """
    texts = [" ".join(rng.sample(WORDS, rng.randint(1, 2))) for _ in range(rng.randint(1, 12))]
    files: dict[str, bytes] = {}
    drawn = [draw_line(rng, f"{rng.choice(texts)} {n}" if by_row else rng.choice(texts)) for n in range(20)]
    for name in rng.sample(("a.jsonl", "b.jsonl", "c.csv", "d.ndjson"), rng.randint(1, 3)):
        count = rng.choice((1, 3, 8, 12))
        if name == "c.csv":
            files[name] = draw_csv(rng, [f"{text} in csv" for text in texts] if by_row else texts, count)
            continue
        spoilt = rng.choice((0.0, 0.2, 0.2, 1.0))
        lines = [rng.choice((*BAD, b"")) if rng.random() < spoilt else rng.choice(drawn) for _ in range(count)]
        files[name] = rng.choice((b"\n", b"\r\n")).join(lines) + rng.choice((b"", b"\n", b"\n\n"))
    return files


def draw_line(rng: random.Random, text: str) -> bytes:
    row: dict[str, Any] = {"text": text, "id": rng.randint(0, 9)}
    if rng.random() < 0.7:
        row["n"] = rng.randint(0, 9)
    if rng.random() < 0.05:
        row["text"] = "too long " * 90
    return json.dumps(row, ensure_ascii=rng.random() < 0.5).encode()


def draw_csv(rng: random.Random, texts: list[str], count: int) -> bytes:
    out = io.StringIO()
    write = csv.writer(out, lineterminator=rng.choice(("\n", "\r\n"))).writerow
    write(["id", "text"])
    for _ in range(count):
        cells = ["7", rng.choice(texts)]
        write(rng.choice(([*cells], [*cells], [*cells], [*cells, "more"], ["8"], ["8", ""])))
    return out.getvalue().encode()


def draw_reply(rng: random.Random, task: dict[str, Any], text: str) -> tuple[str, str]:
    """What a model writes, and why it stopped: mostly an answer, sometimes one with a fault, sometimes none."""
    kind = rng.random()
    if kind < 0.12:
        return rng.choice(
            (
                ("", "end_turn"),
                (" \n", "max_tokens"),
                ("I'm sorry, I cannot say.", "end_turn"),
                ("It is red.", "end_turn"),
                ("It is red", "max_tokens"),
                ('{"label": "re', "max_tokens"),
                ('{"label": "red", "confidence": "certain"}', "content_filtered"),
            )
        )
    least, most, many = task["choose"]
    words = [*task["labels"], *(["purple", "Red"] if kind < 0.25 else [])]
    answer: dict[str, Any] = {}
    if many:
        answer["labels"] = (
            rng.choices(words, k=rng.randint(0, most + 1))
            if kind < 0.4
            else rng.sample(words, rng.randint(least, min(most, len(words))))
        )
    else:
        answer["label"] = rng.choice(words)
    if kind < 0.17:
        answer.pop("labels" if many else "label")
    answer["confidence"] = rng.choice(("certain", "certain", "likely", "unsure", *(["maybe", 1] if kind < 0.3 else [])))
    answer["evidence"] = rng.choice((text, text[:3].strip() or text, "what nobody wrote"))
    for name in task["answer"]["fields"]:
        answer[name] = rng.choice(VALUES) if kind < 0.5 else GOOD[name]
    whole = json.dumps(answer)
    if not many and answer.get("label") in task["labels"] and kind > 0.9:
        draft = {**answer, "confidence": rng.choice(("certain", "likely", "unsure"))}
        draft["label"] = rng.choice((answer["label"], *task["labels"]))
        think = f"<thinking>{json.dumps({**draft, 'label': 'purple'})}</thinking>"
        return rng.choice(
            (f"{think}{whole}", f"{json.dumps(draft)} No: {whole}", f"{whole}<thinking>{think}")
        ), "end_turn"
    return rng.choice((whole, whole, f"```json\n{whole}\n```", f"Well: {whole} I think [so].")), "end_turn"


GOOD: dict[str, Any] = {"season": "spring", "amount": 3, "open": True, "ratio": 0.5}


class PlayedBedrock(MemoryBedrock):
    """Plays a world: batch jobs and calls bring what the world says, in lines that are in no order."""

    def play(self, world: World, tiers: dict[str, int]) -> None:
        """Take the world, and the tier of each model id; the judge's number is the one behind the last."""
        self.world, self.tiers = world, tiers
        self.sendings: Counter[tuple[int, str]] = Counter()
        self.throttled: Counter[tuple[int, str]] = Counter()

    def _next(self, model_id: str, body: dict[str, Any]) -> tuple[str, Came]:
        tier, text = self.tiers[model_id], user_text(body)
        self.sendings[tier, text] += 1
        if tier == len(self.world.task["tiers"]):
            return text, self.world.word(*shown_in(text), self.sendings[tier, text])
        return text, self.world.came(tier, text, self.sendings[tier, text])

    def _run(self, request: JobRequest) -> None:
        lines = [json.loads(line) for line in self._input(request)]
        rng = random.Random(f"{self.world.seed} {request.name[-9:]}")
        made: list[bytes] = []
        status = "Completed"
        for line in lines:
            self.bought.append((request.name, line["recordId"]))
            text, came = self._next(request.model_id, line["modelInput"])
            end = next((end for end, fault in OF_END.items() if fault == came.fault), None)
            status = end or status
            if end is None:
                made += played(line["recordId"], text, came, rng)
        rng.shuffle(made)
        folder = f"{request.output_uri.removeprefix(f's3://{self.store.bucket}/')}{request.name}/"
        self.store.put(f"{folder}part-0.jsonl.out", b"\n".join(made))
        arn = self._arn(request.name)
        at = "2026-11-20T12:00:00+00:00"
        self.ended[arn] = JobState(arn, request.name, status, None, at, at)

    def _input(self, request: JobRequest) -> list[bytes]:
        prefix = request.input_uri.removeprefix(f"s3://{self.store.bucket}/")
        return [line for key, _ in self.store.keys(prefix) for line in self.store.get(key).split(b"\n") if line]

    def job(self, arn: str) -> JobState:
        if arn not in self.ended:
            self._run(self.created[arn.rsplit("/", 1)[1]])
        return self.ended[arn]

    def converse(self, model_id: str, body: dict[str, Any]) -> dict[str, Any]:
        place = self.tiers[model_id], user_text(body)
        often = random.Random(f"{self.world.seed} {place} {self.sendings[place]}").choice((0, 0, 0, 1, 5))
        if self.world.task["storm"] and self.throttled[place] < often:
            self.throttled[place] += 1
            raise RecordError(Reason.THROTTLED, "slow down", wait=True)
        self.throttled[place] = 0
        text, came = self._next(model_id, body)
        if came.fault is not None:
            raise RecordError(Reason(came.fault), f"it went wrong for {len(text)}", wait=False)
        return output_of(text, came)


def output_of(text: str, came: Came) -> dict[str, Any]:
    made = model_output(came.text or "", text, came.tokens)
    made["stopReason"] = came.stop
    return made


def played(record: str, text: str, came: Came, rng: random.Random) -> list[bytes]:
    """The lines that a batch job writes for a record: what came, sometimes twice, or beside an error that is void."""
    codes = {"model_error": 500, "record_refused": 400, "throttled": 429}
    if came.fault == "missing":
        return rng.choice(([], [b"{" + record.encode()], [line(record + "0", error={"errorCode": 500})]))
    if came.fault in codes:
        return [line(record, error={"errorCode": codes[came.fault], "errorMessage": f"it went wrong for {len(text)}"})]
    output = output_of(text, came)
    if came.fault == "reply_unreadable":
        output["output"]["message"]["content"] = None
        return [line(record, modelOutput=output)]
    good, void = line(record, modelOutput=output), line(record, error={"errorCode": 500, "errorMessage": "once more"})
    return rng.choice(([good], [good], [good], [good, good], [void, good]))


def line(record: str, **came: Any) -> bytes:
    return json.dumps({**came, "recordId": record}, ensure_ascii=False).encode()
