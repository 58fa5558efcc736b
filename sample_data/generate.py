"""Write the sample data anew: `python sample_data/generate.py`. The same bytes each time.

The messages are put together from sample_data/phrases. Only `random()` of the generator is used, since its numbers
are the same in every Python version; what `choice` and `shuffle` make of them is not promised to be.
"""

# ruff: noqa: INP001 - a script beside its data, not a package
from __future__ import annotations

import datetime as dt
import json
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import yaml

if TYPE_CHECKING:
    from collections.abc import Sequence

HERE = Path(__file__).parent
TICKETS = 2_400  # lines of messages; the broken ones come on top
REVIEWS = 400
SEED = 20_260_417
FIRST_DAY = dt.datetime(2026, 1, 5, 6, 0, tzinfo=dt.UTC)
DAYS = 280
LABEL_SHARES = {"billing": 26, "technical": 26, "account": 16, "delivery": 16, "cancellation": 9, "other": 7}
SPECIAL_SHARES = {"plain": 880, "repeated": 65, "ambiguous": 45, "orders": 10}
CHANNELS = {"email": 5, "web": 3, "app": 2, "chat": 1}

T = TypeVar("T")
Row = dict[str, Any]


class Dice:
    """Seeded draws, from `random()` alone."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed).random  # noqa: S311 - sample data, no secret

    def below(self, limit: int) -> int:
        return int(self._random() * limit)

    def pick(self, items: Sequence[T]) -> T:
        return items[self.below(len(items))]

    def weighted(self, shares: dict[str, int]) -> str:
        left = self.below(sum(shares.values()))
        for name, share in shares.items():
            left -= share
            if left < 0:
                return name
        raise AssertionError("shares cannot run out before their sum")

    def happens(self, percent: int) -> bool:
        return self.below(100) < percent

    def several(self, items: Sequence[T], count: int) -> list[T]:
        left = list(items)
        return [left.pop(self.below(len(left))) for _ in range(count)]


def _amount(dice: Dice, language: str) -> str:
    whole, cents = 4 + dice.below(240), dice.pick(["00", "49", "90", "99", "95"])
    match language:
        case "en":
            return f"{dice.pick(['$', '£'])}{whole}.{cents}"
        case "ja":
            return f"{whole}00円"
        case _:
            return f"{whole},{cents} €"


def _date(dice: Dice, language: str) -> str:
    day = FIRST_DAY + dt.timedelta(days=dice.below(DAYS))
    match language:
        case "en":
            return day.strftime(dice.pick(["%B %d", "%d %B", "%m/%d"]))
        case "de":
            return day.strftime("%d.%m.%Y")
        case "ja":
            return f"{day.month}月{day.day}日"
        case _:
            return day.strftime("%d/%m/%Y")


def _slots(dice: Dice, phrases: Row, language: str) -> Row:
    """What stands for the names in braces, the same for a subject and its body."""
    name = dice.pick(phrases["names"])
    return {
        "product": dice.pick(phrases["products"]),
        "city": dice.pick(phrases["cities"]),
        "name": name,
        "mail": f"{name.lower()}{dice.below(90) + 10}@mail.example",
        "amount": _amount(dice, language),
        "date": _date(dice, language),
        "invoice": f"R-{26_000 + dice.below(9_000)}",
        "order": f"K{100_000 + dice.below(900_000)}",
        "version": f"{3 + dice.below(3)}.{dice.below(10)}.{dice.below(6)}",
        "code": f"E{100 + dice.below(40)}",
        "n": 4 + dice.below(6),
    }


def _written(dice: Dice, phrases: Row, language: str, label: str) -> tuple[str, str]:
    """A subject and a body of one topic in one language, tidy or hasty."""
    words = phrases["languages"][language]
    topic = words["labels"][label]
    parts = [dice.pick(words["open"])] if dice.happens(55) else []
    parts += dice.several(topic["bodies"], 2 if dice.happens(25) else 1)
    parts += [dice.pick(words["detail"])] if dice.happens(45) else []
    parts += [dice.pick(words["close"])] if dice.happens(55) else []
    body = ("\n\n" if dice.happens(20) else " ").join(parts)
    if dice.happens(8):
        body = f"{body} {dice.pick(phrases['emoji'])}"
    if dice.happens(1):
        body = body.replace(" ", "\u2028", 1)  # a line separator, as some phones send it
    slots = _slots(dice, phrases, language)
    body = body.format(**slots)
    subject = "" if dice.happens(6) else dice.pick(topic["subjects"]).format(**slots)
    return (subject.lower(), body.lower()) if dice.happens(10) else (subject, body)


def _message(dice: Dice, phrases: Row) -> Row:
    kind = dice.weighted(SPECIAL_SHARES)
    if kind == "plain":
        language = dice.weighted({name: words["share"] for name, words in phrases["languages"].items()})
        team = dice.weighted(LABEL_SHARES)
        subject, body = _written(dice, phrases, language, team)
        return {"subject": subject, "body": body, "language": language, "team": team}
    message: Row = dict(dice.pick(phrases[kind]))
    slots = _slots(dice, phrases, message["language"])
    return message | {part: message[part].format(**slots) for part in ("subject", "body")}


def ticket(number: int, dice: Dice, phrases: Row) -> Row:
    """One line of tickets.jsonl before it is written."""
    message = _message(dice, phrases)
    sent = FIRST_DAY + dt.timedelta(minutes=number * DAYS * 24 * 60 // TICKETS + dice.below(90))
    zone = dt.timezone(dt.timedelta(hours=dice.pick([0, 0, 1, 2, -5, 9])))
    return {
        "ticket_id": f"T-{10_000 + number}",
        "subject": message["subject"],
        "body": message["body"],
        "customer": f"C-{1_000 + dice.below(900)}",
        "channel": dice.weighted(CHANNELS),
        "language": message["language"],
        "created_at": sent.astimezone(zone).isoformat().replace("+00:00", "Z"),
        "team": message["team"],
    }


def _line(row: object) -> bytes:
    return json.dumps(row, ensure_ascii=False).encode()


def broken_lines(whole: Row) -> list[bytes]:
    """Lines as real exports have them: cut, of another shape, without text, not UTF-8, odd but fine."""
    cut = _line({**whole, "ticket_id": "T-90001"})
    return [
        cut[: len(cut) // 2],
        _line(["T-90002", "Invoice", "A list instead of an object"]),
        _line({name: value for name, value in whole.items() if name not in ("body", "subject")}),
        _line({name: value for name, value in whole.items() if name != "body"}),
        _line({**whole, "ticket_id": "T-90004", "subject": "", "body": ""}),
        _line({**whole, "ticket_id": "T-90005", "subject": None, "body": None}),
        _line({**whole, "ticket_id": "T-90006", "body": ["not", "a", "text"]}),
        '{"ticket_id": "T-90007", "subject": "Caf", "body": "Where is my café order?"}'.encode("latin-1"),
        b"",
        b"   ",
        b"null",
        _line({**whole, "ticket_id": "T-90011", "created_at": "yesterday evening"}),
        _line({name: value for name, value in whole.items() if name != "ticket_id"}),
        _line({**whole, "ticket_id": 90013, "body": whole["body"] + " " + "Again: " + "very " * 400 + "slow."}),
        _line({**whole, "body": "The same id once more, another text about a refund."}),
    ]


def tickets(phrases: Row) -> bytes:
    """The whole of tickets.jsonl."""
    dice = Dice(SEED)
    rows = [ticket(number, dice, phrases) for number in range(TICKETS)]
    lines = [_line(row) for row in rows]
    for number in range(700, 720):
        lines[number] += b"\r"  # a stretch that came from another system
    # From the back, so that the places of the others stay.
    for number, line in reversed(list(enumerate(broken_lines(rows[50])))):
        lines.insert(90 + 150 * number, line)
    return b"\n".join(lines) + b"\n"


def review(number: int, dice: Dice, phrases: Row) -> Row:
    """One line of reviews.jsonl before it is written."""
    if dice.happens(12):
        told = dice.pick(phrases["whole"])
        topics, season, recommends, text = told["topics"], told["season"], told["recommends"], told["text"]
    else:
        topics = dice.several(list(phrases["topics"]), 1 + dice.below(3))
        mood = dice.pick(["good", "bad"])
        season = dice.pick(list(phrases["seasons"])) if dice.happens(60) else None
        verdict = dice.pick(["recommend", "neither"] if mood == "good" else ["discourage", "neither"])
        recommends = {"recommend": True, "discourage": False, "neither": None}[verdict]
        parts = [dice.pick(phrases["topics"][topic][mood]) for topic in topics]
        parts = [dice.pick(phrases["seasons"][season]), *parts] if season else parts
        text = " ".join([*parts, dice.pick(phrases[verdict])]).format(n=2 + dice.below(5)).strip()
    day = FIRST_DAY + dt.timedelta(days=dice.below(DAYS))
    trail = {"name": dice.pick(phrases["trails"]), "km": round(3 + dice.below(160) / 10, 1)}
    expected = {"topics": sorted(topics), "season": season, "recommends": recommends}
    return {"id": number, "trail": trail, "date": day.date().isoformat(), "review": {"text": text}, **expected}


def reviews(phrases: Row) -> bytes:
    """The whole of reviews.jsonl."""
    dice = Dice(SEED + 1)
    return b"".join(_line(review(number + 1, dice, phrases)) + b"\n" for number in range(REVIEWS))


def phrases_of(name: str) -> Row:
    """The phrases of one file."""
    loaded: Row = yaml.safe_load((HERE / "phrases" / f"{name}.yaml").read_text(encoding="utf-8"))
    return loaded


def main() -> None:
    """Write both files beside this one."""
    (HERE / "tickets.jsonl").write_bytes(tickets(phrases_of("tickets")))
    (HERE / "reviews.jsonl").write_bytes(reviews(phrases_of("reviews")))


if __name__ == "__main__":
    main()
