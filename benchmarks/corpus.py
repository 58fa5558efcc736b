"""What is measured on: a task of six labels, rows of about 300 bytes, and the outputs of Bedrock jobs over them."""

from __future__ import annotations

import random
import re
from typing import TYPE_CHECKING, Any

from sluice.answers.requests import RECORD
from sluice.rows.record import KEY
from sluice.task.file import parse_task
from sluice.task.task import Task

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

LABELS = {
    "billing": "Charges, invoices, prices, refunds, receipts, discounts, taxes, payment by card or bank transfer.",
    "technical": "Crashes, errors, outages, updates, connection, wifi, battery, sensors, video, notifications.",
    "account": "Log in, password, two-factor code, email address, users, profile, locked account, personal data.",
    "delivery": "Orders, shipping, parcel, courier, tracking, damaged or wrong item, delivery address.",
    "cancellation": "Cancel, terminate or withdraw from a subscription, contract, plan or trial; notice period.",
    "other": "Anything else: thanks, praise, ideas, jobs, press, automatic replies, no request at all.",
}
VOCABULARY = (
    "please the my order invoice charged twice refund account password cannot log in parcel arrived late broken "
    "box update crashed camera offline battery since yesterday evening subscription cancel contract month thank "
    "you help again support number waiting answer week address changed wrong item delivery courier error message "
    "screen app"
)
WORDS = VOCABULARY.split()
UNSURE, PROSE = 20, 33  # one reply in so many is unsure, or wrapped in fences and prose
TEXT_WORDS = 31
PACKED_ID = re.compile(rb"<text id=(\w+)>")  # before each text of a request that holds several
BATCH = 10_000


def bench_task(labels: int = len(LABELS), pack: int = 1, **changed: Any) -> Task:
    """Labels with descriptions, stated confidence, an id, two kept columns, the whole row kept.

    Beyond six they are the six again, each time with another number behind their names. `pack`: records of a request.
    `changed`: parts of the task in place of these, or beside them.
    """
    several = [f"{name}_{n}" if n else name for n in range(-(-labels // len(LABELS))) for name in LABELS][:labels]
    return parse_task(
        {
            "name": "bench",
            "description": "Route the messages of customers to the team that answers them.",
            "input": {
                "id": "id",
                "text": "text",
                "keep": {"customer": "string", "amount": "double"},
                "keep_input": True,
            },
            "labels": {name: LABELS[name.partition("_")[0]] for name in several},
            "instructions": "Decide by what the customer wants done. A message about money is billing.",
            "answer": {"confidence": True},
            "gates": {"min_confidence": "likely"},
            "tiers": [
                {"model": "nova-micro", "max_tokens": 100, "pack": pack},
                {"model": "claude-haiku-4-5", "max_tokens": 200, "pack": pack},
            ],
            **changed,
        },
        "the bench's task",
    )


def write_rows(path: Path, rows: int) -> int:
    """`rows` distinct rows as JSON Lines; one in ten is not all ASCII. Returns the bytes."""
    draw = random.Random(rows)
    stock = [" ".join(draw.choices(WORDS, k=TEXT_WORDS)) for _ in range(1000)]
    with path.open("wb") as file:
        for first in range(0, rows, BATCH):
            some = range(first, min(first + BATCH, rows))
            file.write("".join([_row(n, draw.choice(stock)) for n in some]).encode())
        return file.tell()


def _row(n: int, text: str) -> str:
    greeting = "Guten Tag, Grüße" if n % 10 == 0 else "Hello"
    return (
        f'{{"id":"t-{n:09d}","text":"{greeting}, number {n} here: {text}.",'
        f'"customer":"customer {n % 9973}","amount":{n % 997}.5}}\n'
    )


def output_lines(lines: Sequence[bytes]) -> Iterator[bytes]:
    """What Bedrock writes for the lines of a job's input: the input echoed, the answer, out of order."""
    places = list(range(len(lines)))
    random.Random(len(lines)).shuffle(places)
    names = list(LABELS)
    first, at = [], 0  # of each request the number of its first record
    for line in lines:
        first.append(at)
        at += max(1, len(PACKED_ID.findall(line)))
    for n in places:
        line = lines[n]
        ids = [name.decode() for name in PACKED_ID.findall(line)]
        output = _packed_output(first[n], ids, names) if ids else _model_output(first[n], names)
        key, begin = line[len(RECORD) : len(RECORD) + KEY], len(RECORD) + KEY + len(b'","modelInput":')
        yield b'{"modelInput":%b,"modelOutput":%b,"recordId":"%b"}\n' % (line[begin:-1], output, key)


def _model_output(n: int, names: Sequence[str]) -> bytes:
    reply = _object(n, names)
    if n % PROSE == 0:
        reply = f"```json\\n{reply}\\n```\\nThe customer says so in message {n}."
    return _converse(n, reply, 400 + n % 97, 17)


def _packed_output(first: int, ids: Sequence[str], names: Sequence[str]) -> bytes:
    """The answers to records that share a request, each as the record would have had it alone."""
    said = [_object(n, names, name) for n, name in enumerate(ids, first)]
    return _converse(first, "\\n".join(said), 400 + 75 * len(ids), 24 * len(ids))


def _object(n: int, names: Sequence[str], name: str | None = None) -> str:
    level = "unsure" if n % UNSURE == 0 else "likely" if n % 3 == 0 else "certain"
    of = "" if name is None else f'\\"id\\": \\"{name}\\", '
    return f'{{{of}\\"label\\": \\"{names[n * 7 % len(names)]}\\", \\"confidence\\": \\"{level}\\"}}'


def _converse(n: int, reply: str, tokens: int, written: int) -> bytes:
    return (
        f'{{"output":{{"message":{{"role":"assistant","content":[{{"text":"{reply}"}}]}}}},"stopReason":"end_turn",'
        f'"usage":{{"inputTokens":{tokens},"outputTokens":{written},"totalTokens":{tokens + written}}},'
        f'"metrics":{{"latencyMs":{300 + n % 411}}}}}'
    ).encode()
