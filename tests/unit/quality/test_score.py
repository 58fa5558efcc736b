from __future__ import annotations

import json
import random
from hashlib import blake2b

import numpy as np
import pytest

from sluice.errors import BadRequest
from sluice.quality.learned import Drawn, Learned, learn
from sluice.quality.score import FirstAnswer, Score, as_stored, fit_score, tie
from tests.harness.lessons import COLOURS, HOSTILE, hard, key_of, lesson, lessons, teacher

AGREE = {"certain": 0.97, "likely": 0.6}
KNOWN = lessons(1_000)
LESSONS, FRESH = KNOWN[:240], KNOWN[240:]


def first_answers(seed: int = 3) -> dict[str, FirstAnswer]:
    """A cheap model's answers: nearly always the teacher's where it is certain; else it takes one for another."""
    dice = random.Random(seed)
    found = {}
    for each in KNOWN:
        word = dice.choice(list(AGREE))
        other = COLOURS[COLOURS.index(each.labels[0]) - 1]
        label = each.labels[0] if dice.random() < AGREE[word] else other
        found[each.key] = FirstAnswer((label,), word, frozenset({"fenced"} if dice.random() < 0.3 else ()))
    return found


ANSWERS = first_answers()
Fitted = tuple[Learned, Drawn, Score]


@pytest.fixture(scope="module")
def fitted() -> Fitted:
    model, drawn = learn(LESSONS, teacher())
    return model, drawn, fit_score(model, drawn, ANSWERS)


def scored(fitted: Fitted, texts: list[str], answers: list[FirstAnswer]) -> list[float]:
    model, _, score = fitted
    found: list[float] = score.of(model, texts, answers).tolist()
    return found


def test_a_score_says_how_often_the_teacher_agrees(fitted: Fitted) -> None:
    """Of new rows: as often in the mean, and in the upper and the lower half; agreeing ones score higher."""
    said = np.array(scored(fitted, [each.text for each in FRESH], [ANSWERS[each.key] for each in FRESH]))
    right = np.array([ANSWERS[each.key].labels == each.labels for each in FRESH])
    upper = said > np.median(said)
    for some in (upper, ~upper, np.ones(len(said), np.bool_)):
        assert said[some].mean() == pytest.approx(right[some].mean(), abs=0.05)
    assert said[right].mean() > said[~right].mean() + 0.3


def test_a_word_counts_for_what_it_was_worth(fitted: Fitted) -> None:
    """The same answer to the same text scores higher where the model was certain; a word never heard is passed over."""
    words = ["certain", "likely", None, "perhaps"]
    certain, likely, none, unheard = scored(fitted, ["a bird"] * 4, [FirstAnswer(("red",), word) for word in words])
    assert certain > likely
    assert none == unheard


def test_any_text_and_any_answer_has_a_score(fitted: Fitted) -> None:
    """Between 0 and 1: hostile texts, a label that was never taught, none at all, and several."""
    for labels in (("red",), ("grey",), (), ("red", "blue")):
        said = scored(fitted, list(HOSTILE), [FirstAnswer(labels)] * len(HOSTILE))
        assert all(0 <= score <= 1 for score in said)
    assert scored(fitted, [], []) == []


def test_a_label_that_was_never_taught_scores_low(fitted: Fitted) -> None:
    """The teacher has never said it."""
    taught, untaught = scored(fitted, ["a red bird"] * 2, [FirstAnswer(("red",)), FirstAnswer(("grey",))])
    assert untaught < 0.5 < taught


def test_answers_to_rows_that_were_not_drawn_change_nothing(fitted: Fitted) -> None:
    """Escalated rows are the hard ones: their texts teach weights, and their first answers nothing."""
    more = hard(80)
    model, drawn = learn([*LESSONS, *more], teacher())
    wrong = {each.key: FirstAnswer((COLOURS[COLOURS.index(each.labels[0]) - 1],), "certain") for each in more}
    alone, beside = (fit_score(model, drawn, answers) for answers in (ANSWERS, ANSWERS | wrong))
    assert alone.document() == beside.document()
    assert fitted[2].document()["records"] == alone.document()["records"]


def test_the_record_of_a_label_is_kept_apart(fitted: Fitted) -> None:
    """How often each stood, and how often the teacher said the same, by hand."""
    mine = [(ANSWERS[each.key].labels[0], each.labels[0]) for each in LESSONS]
    records = fitted[2].records
    assert records.rows == {name: sum(given == name for given, _ in mine) for name in sorted(COLOURS)}
    assert records.agreed == {name: sum(given == name == truth for given, truth in mine) for name in sorted(COLOURS)}


def test_a_record_of_many_rows_counts_as_many(fitted: Fitted) -> None:
    """In the label's record as in the calibration."""
    heavy = [each._replace(drawn=5) if n < 10 else each for n, each in enumerate(LESSONS)]
    model, drawn = learn(heavy, teacher())
    assert sum(fit_score(model, drawn, ANSWERS).records.rows.values()) == 240 + 10 * 4


def test_rows_that_the_model_has_seen_teach_no_trust_in_it() -> None:
    """Where texts say nothing of the label, the model knows its own lessons by heart; a score does not believe it."""
    dice = random.Random(7)
    texts = [" ".join(dice.choices("abcdefghijklmnop", k=9)) for _ in range(320)]
    known = [lesson(text, dice.choice(COLOURS[:2])) for text in texts]
    answers = {each.key: FirstAnswer((dice.choice(COLOURS[:2]),)) for each in known}
    model, drawn = learn(known[:200], teacher())
    score = fit_score(model, drawn, answers)
    said = score.of(model, texts[200:], [answers[each.key] for each in known[200:]])
    assert said == pytest.approx(np.full(120, 0.5), abs=0.35)
    assert np.abs(said - 0.5).mean() < 0.12


def test_too_few_first_answers_are_refused(fitted: Fitted) -> None:
    """With how many there are, and how many it takes."""
    model, drawn, _ = fitted
    some = {each.key: ANSWERS[each.key] for each in LESSONS[:49]}
    with pytest.raises(BadRequest, match="49 drawn records have a first answer; a score takes 50 or more"):
        fit_score(model, drawn, some)
    with pytest.raises(BadRequest, match="0 drawn records"):
        fit_score(model, drawn, {})


def test_several_labels_are_scored_as_one_set() -> None:
    """The set that the text names scores higher than one with a label more, or fewer, or none."""
    dice = random.Random(2)
    known, answers = [], {}
    for n in range(240):
        named = tuple(sorted(dice.sample(COLOURS, dice.randrange(3))))
        known.append(lesson(f"no. {n}: {' and '.join(named) or 'none'}", *named))
        wrong = tuple(sorted(set(named) ^ {dice.choice(COLOURS)}))
        answers[known[-1].key] = FirstAnswer(named if dice.random() < 0.8 else wrong)
    model, drawn = learn(known, teacher(most=3, fewest=0))
    score = fit_score(model, drawn, answers)
    sets = [("blue", "red"), ("blue",), ("blue", "green", "red"), ()]
    right, *others = score.of(model, ["no. 900: blue and red"] * 4, [FirstAnswer(each) for each in sets]).tolist()
    assert right > 0.8
    assert max(others) < right


def test_a_kept_score_says_the_same_to_the_last_bit(fitted: Fitted) -> None:
    """As JSON in the file of the model."""
    model, _, score = fitted
    again = Score.read(json.loads(json.dumps(score.document())))
    texts, answers = [each.text for each in FRESH[:50]], [ANSWERS[each.key] for each in FRESH[:50]]
    assert again.of(model, texts, answers).tobytes() == score.of(model, texts, answers).tobytes()


def test_scores_are_stored_in_their_order() -> None:
    """From 0 to the highest of 32 bits; never a lower number for a higher score."""
    scores = np.sort(np.concatenate([np.random.default_rng(1).random(500), [0.0, 1.0], 1 - np.logspace(-12, -1, 50)]))
    stored = as_stored(scores).astype(np.int64)
    assert (np.diff(stored) >= 0).all()
    assert (stored[0], stored[-1]) == (0, 2**32 - 1)
    assert as_stored(np.array([-1e-9, 1 + 1e-9])).tolist() == [0, 2**32 - 1]
    assert stored[1:-1] / (2**32 - 1) == pytest.approx(scores[1:-1], abs=2**-32)


def test_ties_are_broken_by_the_hash_of_the_key() -> None:
    """64 bits that are the same on every machine, in no order that the keys have."""
    keys = [key_of(str(n)) for n in range(2_000)]
    ties = [tie(key) for key in keys]
    expected = blake2b(keys[0].encode(), digest_size=8, person=b"sluice-tie").digest()
    assert ties[0] == int.from_bytes(expected, "big")
    assert len(set(ties)) == len(keys)
    assert np.mean(np.array(ties) / 2**64) == pytest.approx(0.5, abs=0.03)
    assert abs(np.corrcoef(np.argsort(np.argsort(keys)), np.array(ties, np.float64))[0, 1]) < 0.1
