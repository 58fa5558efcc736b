from __future__ import annotations

import json
import random
import re
from html import unescape
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.answers.packs import (
    Packs,
    PackWriter,
    draw_names,
    next_pack,
    packed_sendings,
    share,
    split_reply,
    text_room,
)
from sluice.answers.requests import ID_MEMBER, RequestWriter, escape, system_prompt
from sluice.errors import BadTask
from sluice.local.requests import BYTES_PER_TOKEN
from sluice.models.catalog import Catalog
from sluice.models.prices import cost
from sluice.reasons import Reason
from sluice.runs.state import FrozenTier
from sluice.task.file import parse_task
from sluice.task.task import Task

TIER = FrozenTier(model="nova-micro", model_id="us.amazon.nova-micro-v1:0", batch=True, price=None, pack=20)
IDS = ["bcdf", "ghjk", "mnpq"]
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")) | st.text(
    '<>&;/textid="bcdfghjk\\\n ', max_size=60
)


def make(**changes: Any) -> Task:
    return parse_task({"name": "t", "input": {"text": "t"}, "labels": ["red", "blue"], **changes}, "t")


def keys(count: int) -> list[bytes]:
    return [b"%032x" % (n * 7919) for n in range(count)]


def said(name: str, label: str = "red") -> str:
    return json.dumps({"id": name, "label": label})


def split(reply: str) -> list[str | Reason]:
    return split_reply(reply, IDS).answers


RED = '{"label": "red"}'
BLUE = '{"label": "blue"}'


@given(st.lists(texts, min_size=2, max_size=20))
def test_each_text_of_a_pack_stands_between_its_own_tags(some: list[str]) -> None:
    """Whatever the texts hold, closing tags and tags with ids among it, they are read back under their ids in order."""
    line = json.loads(PackWriter(make(), TIER, b"s").line(keys(len(some)), [escape(text) for text in some]))
    names = draw_names(b"s", keys(len(some)))
    assert line["recordId"] == names.request.decode()
    shown = line["modelInput"]["messages"][0]["content"][0]["text"]
    found = re.findall(r"<text id=([a-z]{4})>\n(.*?)\n</text>", shown, re.DOTALL)
    assert found == [
        (name, text.replace("&", "&amp;").replace("<", "&lt;")) for name, text in zip(names.ids, some, strict=True)
    ]
    assert shown.count("<") == 2 * len(some)
    assert unescape(found[0][1]) == unescape(some[0].replace("&", "&amp;").replace("<", "&lt;"))


def test_a_pack_has_room_for_the_answers_of_its_records() -> None:
    """`maxTokens` is the tier's, as often as the request holds records."""
    for size in (2, 7, 20):
        line = json.loads(PackWriter(make(), TIER, b"s").line(keys(size), [b"x"] * size))
        assert line["modelInput"]["inferenceConfig"]["maxTokens"] == size * TIER.max_tokens


def test_ids_are_new_for_each_request_and_the_same_for_the_same() -> None:
    """One record more, another order, or another salt gives other ids; a step that is repeated gives the same."""
    first = draw_names(b"0 1 20", keys(20))
    assert first == draw_names(b"0 1 20", keys(20))
    assert len(set(first.ids)) == 20
    others = [draw_names(b"0 1 20", keys(19)), draw_names(b"1 1 20", keys(20)), draw_names(b"0 1 20", keys(20)[::-1])]
    for other in others:
        assert other.request != first.request
        assert len(set(other.ids) & set(first.ids)) < 2


@given(st.lists(st.integers(0, 2), min_size=20, max_size=20))
def test_no_two_records_of_a_request_have_one_id(picked: list[int]) -> None:
    """Even where the same is drawn for several, each has its own."""
    assert len(set(draw_names(b"s", [b"%032d" % n for n in picked]).ids)) == 20


def test_which_request_holds_what_is_told_by_what_was_noted() -> None:
    """The note gives back each request with its records, and the keys of those that stand alone."""
    noted = Packs(b"0 1 3", bytes([3, 1, 2]))
    sent = [key.decode() for key in keys(6)]
    found = list(Packs.read(noted.write()).requests(sent))
    assert [held for _, held in found] == [range(3), range(3, 4), range(4, 6)]
    assert found[0][0] == draw_names(b"0 1 3", keys(3)).request.decode()
    assert found[1][0] == sent[3]
    assert Packs.read(Packs(b"0 1 10", bytes([10, 10])).write()).sizes == bytes([10, 10])


@pytest.mark.parametrize("between", ["\n", "\n\n", " ", ",\n"])
def test_answers_are_told_apart_by_their_ids_and_not_by_their_order(between: str) -> None:
    """Swapped objects stay with the rows whose ids they name."""
    reply = between.join([said("mnpq", "blue"), said("bcdf"), said("ghjk", "blue")])
    assert split(reply) == [RED, BLUE, BLUE]


@pytest.mark.parametrize(
    "reply",
    [
        "```json\n" + "\n".join(map(said, IDS)) + "\n```",
        "[" + ", ".join(map(said, IDS)) + "]",
        "<thinking>" + said("bcdf", "blue") + "</thinking>" + "".join(map(said, IDS)),
        "\n".join(f'{{"label": "red", "id": "{name}"}}' for name in IDS),
        "\n".join(f'{{ "id" : "{name}" ,\n "label": "red" }}' for name in IDS),
    ],
)
def test_answers_are_found_in_whatever_models_put_around_them(reply: str) -> None:
    """Fences, lists, thinking, blanks and another order of members change no answer."""
    assert [json.loads(str(answer)) for answer in split(reply)] == [{"label": "red"}] * 3


def test_a_missing_a_doubled_and_an_unknown_id_touch_no_other_row() -> None:
    """The rest of the reply counts; of a row with two answers none does, even where both say the same."""
    assert split("\n".join([said("bcdf"), said("mnpq")])) == [RED, Reason.ANSWER_MISSING, RED]
    assert split("\n".join([*map(said, IDS), said("ghjk", "blue")])) == [RED, Reason.ANSWER_DOUBLED, RED]
    assert split("\n".join([*map(said, IDS), said("ghjk")])) == [RED, Reason.ANSWER_DOUBLED, RED]
    parts = split_reply("\n".join([*map(said, IDS), said("zzzz")]), IDS)
    assert parts.answers == [RED] * 3
    assert parts.strangers == 1
    assert split("\n".join([*map(said, IDS), RED])) == [RED] * 3  # an object without an id is nobody's


@pytest.mark.parametrize("at", range(1, 93))
def test_a_reply_that_is_cut_anywhere_answers_the_rows_before_the_cut(at: int) -> None:
    """Whole objects count, and no row gets what was meant for another."""
    reply = "\n".join(map(said, IDS, ["red", "blue", "red"]))
    found = split(reply[:at])
    for answer, label in zip(found, ["red", "blue", "red"], strict=True):
        assert isinstance(answer, Reason) or json.loads(answer) == {"label": label}
    whole = [n for n, name in enumerate(IDS) if reply[:at].find(name) >= 0 and reply[:at].count("}") > n]
    assert [n for n, answer in enumerate(found) if not isinstance(answer, Reason)] == whole


def test_an_answer_that_names_two_ids_is_nobodys() -> None:
    """An object under two ids, and a second answer that breaks off, leave their rows without one."""
    both = '{"id": "bcdf", "label": "red", "id": "ghjk"}'
    assert split(both + "\n" + said("mnpq")) == [Reason.ANSWER_DOUBLED, Reason.ANSWER_DOUBLED, RED]
    found = split("\n".join([*map(said, IDS), '{"id": "bcdf", "label": "blu']))
    assert found == [Reason.ANSWER_DOUBLED, RED, RED]


def test_what_a_text_makes_a_model_quote_is_no_answer() -> None:
    """An object inside of a string, as a quoted row may hold one, answers for no id."""
    quoting = json.dumps({"id": "bcdf", "label": "red", "evidence": said("ghjk", "blue")})
    assert split("\n".join([quoting, said("ghjk"), said("mnpq")]))[1] == RED


def test_a_reply_without_any_object_says_so_for_all() -> None:
    """Nothing, prose, and an error of the form have their reason."""
    assert split("") == [Reason.REPLY_EMPTY] * 3
    assert split("I cannot say.") == [Reason.ANSWER_MISSING] * 3


def test_no_field_hides_the_texts_id() -> None:
    """A task cannot ask for a field of the name that the ids have."""
    with pytest.raises(BadTask, match="'id' is taken"):
        make(answer={"fields": {ID_MEMBER: {"type": "string"}}})
    assert f'{{"{ID_MEMBER}": "<id>", "label": "<label>"' in system_prompt(make(), packed=True)


@given(st.integers(0, 10**9), st.integers(1, 20))
def test_tokens_are_shared_out_to_the_token(total: int, among: int) -> None:
    """The shares add up, and no record of a request pays more than one token above another."""
    shares = share(total, among)
    assert sum(shares) == total
    assert max(shares) - min(shares) <= 1


def test_records_that_go_again_go_in_fewer_and_then_alone() -> None:
    """After at most two packs, each smaller than the one before, a record goes alone."""
    for pack in range(1, 21):
        sizes, now = [pack], None
        while sizes[-1] > 1:
            now = next_pack(pack, now)
            sizes.append(now)
        assert sizes == sorted(set(sizes), reverse=True)
        assert len(sizes) - 1 == packed_sendings(pack) <= 2


def test_the_room_of_a_pack_is_what_the_context_leaves() -> None:
    """Instructions and all answers go off first, and there is never less than nothing."""
    tier = TIER.model_copy(update={"context_tokens": 10_000, "pack": 10})
    assert 0 < text_room(make(), tier) < (10_000 - 10 * tier.max_tokens) * BYTES_PER_TOKEN / 2
    assert text_room(make(), tier.model_copy(update={"context_tokens": 100})) == 0


# --- what it saves -------------------------------------------------------------------------------------------------

DESCRIBED = {f"label_{n:02d}_about_a_thing": ("what customers say of this one thing, " * 3)[:90] for n in range(77)}


def tokens(pack: int, texts_: list[str], task: Task, tier: FrozenTier) -> tuple[int, int]:
    """Tokens in and out of requests for these texts, as the stand-in counts them: bytes by four."""
    read = written = 0
    packed, single = PackWriter(task, tier, b"s"), RequestWriter(task, tier)
    for at in range(0, len(texts_), pack):
        some = [escape(text) for text in texts_[at : at + pack]]
        names = draw_names(b"s", keys(len(some)))
        line = packed.line(keys(len(some)), some) if len(some) > 1 else single.line(keys(1)[0], some[0])
        read += len(json.dumps(json.loads(line)["modelInput"], separators=(",", ":")).encode()) // BYTES_PER_TOKEN
        named = [{"id": name} for name in names.ids] if pack > 1 else [{}]
        answer = {"label": "label_33_about_a_thing", "confidence": "certain"}
        reply = "\n".join(json.dumps(name | answer) for name in named)
        written += len(json.dumps(reply)) // BYTES_PER_TOKEN
    return read, written


@pytest.mark.parametrize(("pack", "bill", "count"), [(5, 0.27, 0.24), (10, 0.18, 0.14), (20, 0.13, 0.09)])
@pytest.mark.parametrize("name", ["nova-micro", "claude-haiku-4-5"])
def test_packs_take_the_bill_of_short_texts_down(name: str, pack: int, bill: float, count: float) -> None:
    """77 labels described in 90 characters, texts of 54: what is left of single requests' tokens and dollars.

    What goes again is in it at the second figure: 0.2% of the ids dropped and 0.1% of the replies cut, row by row.
    """
    task = make(labels=DESCRIBED)
    model = Catalog.load().resolve(name, "us-east-1")
    tier = FrozenTier.of(TIER, model)
    some = [f"text {n:06d} ".ljust(54, "x") for n in range(400)]
    alone, packed = tokens(1, some, task, tier), tokens(pack, some, task, tier)
    dollars = [cost(model.price, "batch", *figures) or 0.0 for figures in (alone, packed)]
    assert sum(packed) / sum(alone) <= count
    assert dollars[1] / dollars[0] <= bill

    rng, again = random.Random(1), 0
    rows = 100_000
    for _ in range(rows // pack):
        lost = {n for n in range(pack) if rng.random() < 0.002}
        cuts = [n for n in range(pack) if rng.random() < 0.001]
        again += len(lost | set(range(min(cuts, default=pack), pack)))
    half = tokens(next_pack(pack, None), some, task, tier)
    of_half = cost(model.price, "batch", *half) or 0.0
    assert again / rows * of_half / dollars[1] <= 0.02
