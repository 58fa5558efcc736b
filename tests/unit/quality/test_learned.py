from __future__ import annotations

import json
import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from sluice.errors import BadRequest
from sluice.quality.learned import (
    FEWEST_DRAWN,
    MAGIC,
    MOST_LABELS,
    Learned,
    chances,
    learn,
    own_answers,
    read,
    write,
)
from sluice.quality.lessons import Lesson, Source, Teacher
from tests.harness.lessons import COLOURS, HOSTILE, hard, key_of, lesson, lessons, teacher

if TYPE_CHECKING:
    from collections.abc import Callable

LESSONS = lessons(160)
TEACHER = teacher()
MANY = teacher(most=3, fewest=0)


def several(count: int, seed: int = 5) -> list[Lesson]:
    """Texts that name up to two colours, all of which are their labels."""
    dice = random.Random(seed)
    found = []
    for n in range(count):
        named = sorted(dice.sample(COLOURS, dice.randrange(3)))
        found.append(lesson(f"thing {seed}-{n}: {' and '.join(named) or 'none'}", *named))
    return found


@pytest.fixture(scope="module")
def model() -> Learned:
    return learn(LESSONS, TEACHER)[0]


@pytest.fixture(scope="module")
def of_several() -> Learned:
    return learn(several(160), MANY)[0]


def test_new_texts_get_the_label_that_was_taught(model: Learned) -> None:
    """Each with how likely the teacher says the same, which is about as often as it did."""
    found = model.answer([f"one {colour} bird" for colour in COLOURS])
    assert [labels for labels, _ in found] == [(colour,) for colour in COLOURS]
    assert all(0.8 < sure < 1 for _, sure in found)


def test_the_same_lessons_in_any_order_are_the_same_file(model: Learned) -> None:
    """Byte for byte."""
    again = learn(random.Random(3).sample(LESSONS, len(LESSONS)), TEACHER)[0]
    assert write(again) == write(model)


def test_a_label_that_nobody_taught_is_never_given() -> None:
    """It stands in the task alone; answers keep to the task's order of labels."""
    told = teacher(labels=("grey", *COLOURS, "white"))
    model = learn(LESSONS, told)[0]
    assert model.labels == COLOURS
    texts = [*HOSTILE, "grey", "white white grey", *(each.text for each in lessons(50, seed=9))]
    assert {label for labels, _ in model.answer(texts) for label in labels} <= set(COLOURS)


@pytest.mark.parametrize("which", ["model", "of_several"])
def test_any_text_is_answered(which: str, request: pytest.FixtureRequest) -> None:
    """Empty, endless, of no letters or of a script that was never seen: with a probability, not an error."""
    model: Learned = request.getfixturevalue(which)
    found = model.answer(HOSTILE)
    assert len(found) == len(HOSTILE)
    assert all(0 < sure < 1 for _, sure in found)
    assert model.answer([]) == []


def test_hostile_texts_can_teach() -> None:
    """They stand among the lessons as they stand among the rows."""
    model, drawn = learn([*LESSONS, *(lesson(text, "red") for text in HOSTILE)], TEACHER)
    assert len(drawn.keys) == len(LESSONS) + len(HOSTILE)
    assert model.answer(["some blue bird"])[0][0] == ("blue",)


def test_a_text_is_answered_alike_alone_and_among_others(model: Learned) -> None:
    """Whatever is answered at once."""
    texts = [each.text for each in lessons(300, seed=4)]
    together = model.answer(texts)
    for at in (0, 150, 299):
        (labels, sure), (alone, also) = together[at], model.answer([texts[at]])[0]
        assert labels == alone
        assert sure == pytest.approx(also, abs=1e-5)


def test_several_labels_none_among_them(of_several: Learned) -> None:
    """Each named colour, in the task's order; none where none is named, since the task allows it."""
    texts = {"a green and red bird": ("red", "green"), "a blue bird": ("blue",), "none": ()}
    assert [labels for labels, _ in of_several.answer(list(texts))] == list(texts.values())


def test_as_many_labels_as_the_task_wants() -> None:
    """The likeliest ones, where more or fewer are likelier than not."""
    told = np.array([[0.9, 0.8, 0.7, 0.1], [0.2, 0.1, 0.3, 0.4]], np.float32)
    given = [
        [set(np.flatnonzero(row).tolist()) for row in own_answers(told, teacher(most=most, fewest=fewest))]
        for most, fewest in ((3, 0), (2, 1), (4, 2), (1, 1))
    ]
    assert given == [[{0, 1, 2}, set()], [{0, 1}, {3}], [{0, 1, 2}, {2, 3}], [{0}, {3}]]


def told_of(answer: set[int], told: list[float]) -> float:
    """The probability of an answer of several labels, label by label."""
    return float(np.prod([p if at in answer else 1 - p for at, p in enumerate(told)]))


def test_the_chance_of_an_answer_and_of_the_best_other() -> None:
    """By trying every set of labels; of a single label, every label."""
    told = [0.9, 0.6, 0.2]
    sets = [{at for at in range(3) if n >> at & 1} for n in range(8)]
    for answer in sets:
        given = np.array([[at in answer for at in range(3)]])
        found = chances(np.array([told], np.float32), given, several=True)
        assert found.given[0] == pytest.approx(told_of(answer, told), abs=1e-6)
        assert found.other[0] == pytest.approx(max(told_of(each, told) for each in sets if each != answer), abs=1e-6)
    one = chances(np.array([[0.2, 0.7, 0.1]], np.float32), np.array([[True, False, False]]), several=False)
    assert (one.given[0], one.other[0]) == pytest.approx((0.2, 0.7))


@pytest.mark.parametrize("which", ["model", "of_several"])
def test_a_file_is_read_as_it_was_written(which: str, request: pytest.FixtureRequest) -> None:
    """Model, calibration, what it was taught by and the score; the same answers to the last bit."""
    model: Learned = request.getfixturevalue(which)
    kept = write(replace(model, score={"a": [1, 2.5]}))
    again = read(kept, model.teacher)
    texts = [*HOSTILE, *(each.text for each in LESSONS[:20])]
    assert again.answer(texts) == model.answer(texts)
    assert again.score == {"a": [1, 2.5]}
    assert again.taught_by == json.loads(json.dumps(model.taught_by))
    assert write(replace(again, score=None)) == write(model)


def test_a_file_that_is_damaged_anywhere_is_refused(model: Learned) -> None:
    """Whichever byte changed: a figure of the calibration as much as a weight."""
    kept = write(model)
    dice, arrays = random.Random(1), kept.index(b'"features"')
    for at in [0, *dice.sample(range(len(MAGIC), arrays), 60), *dice.sample(range(arrays, len(kept)), 20)]:
        broken = bytearray(kept)
        broken[at] ^= 1
        with pytest.raises(BadRequest, match="teach it again"):
            read(bytes(broken), TEACHER)


@pytest.mark.parametrize("change", [lambda kept: kept[:-1], lambda kept: kept + b"\0", lambda kept: kept + kept])
def test_a_file_of_another_length_is_refused(change: Callable[[bytes], bytes], model: Learned) -> None:
    """Cut at its end, or with something behind it."""
    with pytest.raises(BadRequest, match="not whole; teach it again"):
        read(change(write(model)), TEACHER)


def test_a_file_that_is_cut_anywhere_is_refused(model: Learned) -> None:
    """In its first line, its second, between its arrays: with what to do."""
    kept = write(model)
    for end in [*range(0, 120, 7), *range(120, len(kept), len(kept) // 40)]:
        with pytest.raises(BadRequest, match="teach it again"):
            read(kept[:end], TEACHER)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (teacher(model="amazon.nova-lite-v1:0"), "model was amazon.nova-pro-v1:0, is amazon.nova-lite-v1:0"),
        (teacher(prompt="1f" * 16), "its prompt changed"),
        (teacher(pack=10), "pack was 1, is 10"),
        (teacher(labels=(*COLOURS[:3], "grey")), "1 labels are new and 1 gone"),
        (teacher(labels=COLOURS[::-1]), "the labels stand in another order"),
        (teacher(most=2), "several was False, is True"),
    ],
)
def test_a_file_of_another_teacher_is_refused(changed: Teacher, said: str, model: Learned) -> None:
    """With what changed, and what to do."""
    with pytest.raises(BadRequest, match="taught by another teacher") as refused:
        read(write(model), changed)
    assert said in str(refused.value)
    assert str(refused.value).endswith("teach it again")


@pytest.mark.parametrize(
    ("known", "told", "said"),
    [
        (LESSONS[: FEWEST_DRAWN - 1] + hard(100), TEACHER, "49 drawn records have an answer; .* takes 50 or more"),
        ([], TEACHER, "0 drawn records have an answer"),
        ([lesson(f"n {n}", "red") for n in range(90)], TEACHER, "1 labels stand in the answers; .* takes two or more"),
        ([lesson(f"n {n}") for n in range(90)], MANY, "0 labels stand in the answers"),
        (
            LESSONS,
            teacher(labels=(*COLOURS, *map(str, range(MOST_LABELS)))),
            "1,004 labels are too many.*at most 1,000",
        ),
    ],
)
def test_lessons_that_teach_nothing_are_refused(known: list[Lesson], told: Teacher, said: str) -> None:
    """With how many there are, and how many it takes."""
    with pytest.raises(BadRequest, match=said):
        learn(known, told)


def test_as_many_labels_as_are_allowed_can_be_taught() -> None:
    """Within the room: features are left out where labels are many."""
    labels = [f"label{n}" for n in range(MOST_LABELS)]
    model = learn([lesson(f"{label} {n}", label) for label in labels[:60] for n in (1, 2)], teacher(labels=labels))[0]
    assert len(model.labels) == 60


def test_answers_that_no_task_could_want_teach_nothing(model: Learned) -> None:
    """Labels that the task has not, and more or fewer than it allows."""
    odd = [lesson("odd a", "grey"), lesson("odd b"), lesson("odd c", "red", "blue"), lesson("odd d", "red", "grey")]
    assert write(learn([*LESSONS, *odd], TEACHER)[0]) == write(model)


def test_a_correction_is_believed_before_gold_and_gold_before_the_oracle() -> None:
    """Of a record of which two of them speak; what the oracle said stays what is predicted."""
    said = {Source.ORACLE: "red", Source.GOLD: "green", Source.CORRECTION: "blue"}
    texts = [f"a mossy stone {n}" for n in range(40)]
    for known in (list(said), list(said)[:2], list(said)[:1]):
        more = [lesson(text, said[who], source=who, drawn=who == Source.ORACLE) for text in texts for who in known]
        model, drawn = learn([*LESSONS[:60], *more], TEACHER)
        assert model.taught_by["sources"]["drawn" if known[-1] is Source.ORACLE else known[-1]] == (
            100 if len(known) == 1 else 40
        )
        assert model.answer(["the mossy stone"])[0][0] == (said[known[-1]],)
        truths = dict(zip(drawn.keys, drawn.truths, strict=True))
        assert {truths[key_of(text)] for text in texts} == {frozenset({"red"})}


def agreement_with(model: Learned, fresh: list[Lesson]) -> float:
    answers = model.answer([each.text for each in fresh])
    return sum(labels == each.labels for (labels, _), each in zip(answers, fresh, strict=True)) / len(fresh)


@pytest.mark.parametrize("seed", range(2))
def test_hard_rows_among_the_lessons_change_weights_and_no_statement(seed: int) -> None:
    """The teacher agrees with 0.88 of drawn rows: that is stated, with half as many escalated rows as drawn ones."""
    known = lessons(1_200, seed=20 + seed, says_so=0.88)
    drawn, fresh = known[:200], known[200:]
    model = learn([*drawn, *hard(100, seed=seed)], TEACHER)[0]
    stated = model.taught_by["agreement"]
    assert (model.taught_by["records"], stated["of"]) == (300, 200)
    assert stated["low"] <= agreement_with(model, fresh) <= stated["high"]
    assert stated["low"] <= 0.88 <= stated["high"]
    said = np.mean([sure for _, sure in model.answer([each.text for each in fresh])])
    assert said == pytest.approx(agreement_with(model, fresh), abs=0.05)


def test_what_was_learned_by_heart_is_not_stated() -> None:
    """Labels by chance, each text a word of its own: agreement out of fold is chance's, not that of what was seen."""
    dice = random.Random(7)
    known = [lesson(" ".join(dice.choices("abcdefghijklmnop", k=9)), dice.choice(COLOURS)) for _ in range(160)]
    model, drawn = learn(known, TEACHER)
    stated = model.taught_by["agreement"]
    assert stated["count"] / stated["of"] < 0.4 < agreement_with(model, known)
    assert sorted(set(drawn.folds.tolist())) == [0, 1, 2, 3, 4]


def test_agreement_is_stated_by_record(model: Learned) -> None:
    """Rows of one text are one fold, and one cluster: the interval is as wide as so many texts allow."""
    heavy = learn([each._replace(drawn=20) if n < 20 else each for n, each in enumerate(LESSONS)], TEACHER)[0].taught_by
    assert heavy["drawn"] == {"records": 160, "rows": 160 + 20 * 19}
    assert heavy["agreement"]["of"] == 540

    def width(told: dict[str, Any]) -> float:
        return float(told["agreement"]["high"] - told["agreement"]["low"])

    assert width(heavy) > width(model.taught_by)
