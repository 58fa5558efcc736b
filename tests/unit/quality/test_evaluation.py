from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from sluice.quality.evaluation import Answer, Evaluation, Given, Row
from sluice.quality.intervals import clustered_share


def single(known: str | None, given: str | None, tier: int = 0, **more: Any) -> Row:
    return Row(
        more.pop("record", "r"),
        None if known is None else frozenset({known}),
        None if given is None else frozenset({given}),
        tier,
        **more,
    )


def told(rows: list[Row], tiers: int = 2) -> dict[str, Any]:
    evaluation = Evaluation(tiers)
    for row in rows:
        evaluation.add(row)
    return evaluation.document([0.001, 0.01])


def made_up(seed: int, labels: int) -> list[tuple[str, str]]:
    """Known and given labels of a few hundred rows, some labels never known and some never given."""
    dice = random.Random(seed)
    names = [f"L{n}" for n in range(labels)]
    known = [dice.choice(names[: labels - 1]) for _ in range(300)]
    return [(each, each if dice.random() < 0.7 else dice.choice(names[1:])) for each in known]


@pytest.mark.parametrize(("seed", "labels"), [(1, 3), (2, 9), (3, 40)])
def test_figures_are_those_of_scikit_learn(seed: int, labels: int) -> None:
    """Accuracy, precision, recall and F1 by label and macro, and the confusion matrix, of three made-up sets."""
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is the reference where it is installed")
    pairs = made_up(seed, labels)
    known, given = zip(*pairs, strict=True)
    found = told([single(*pair) for pair in pairs])
    names = [each["label"] for each in found["labels"]]
    assert found["share"] == pytest.approx(metrics.accuracy_score(known, given))
    by_label = metrics.precision_recall_fscore_support(known, given, labels=names, zero_division=0)
    for name, values in zip(("precision", "recall", "f1", "known"), by_label, strict=True):
        assert [each[name] for each in found["labels"]] == pytest.approx(list(values))
    macro = metrics.precision_recall_fscore_support(known, given, average="macro", zero_division=0)
    assert [found["macro"][name] for name in ("precision", "recall", "f1")] == pytest.approx(list(macro[:3]))
    matrix = metrics.confusion_matrix(known, given, labels=names)
    cells = {(pair["known"], pair["given"]): pair["rows"] for pair in found["confusion"]}
    assert all(cells.get((a, b), 0) == matrix[i][j] for i, a in enumerate(names) for j, b in enumerate(names))


@pytest.mark.parametrize(("seed", "labels"), [(1, 3), (2, 9), (3, 40)])
def test_figures_by_label_are_those_of_counting_again(seed: int, labels: int) -> None:
    """The same, counted row by row without the code's counters."""
    pairs = made_up(seed, labels)
    found = told([single(*pair) for pair in pairs])
    assert (found["right"], found["of"]) == (sum(a == b for a, b in pairs), 300)
    for each in found["labels"]:
        name = each["label"]
        right = sum(a == b == name for a, b in pairs)
        given, known = sum(b == name for _, b in pairs), sum(a == name for a, _ in pairs)
        assert each["precision"] == pytest.approx(right / given if given else 0)
        assert each["recall"] == pytest.approx(right / known if known else 0)
        assert each["f1"] == pytest.approx(2 * right / (given + known))
    for name in ("precision", "recall", "f1"):
        mean = sum(each[name] for each in found["labels"]) / len(found["labels"])
        assert found["macro"][name] == pytest.approx(mean)
    assert {(c["known"], c["given"]): c["rows"] for c in found["confusion"]} == Counter(pairs)


def test_rows_of_several_labels_are_right_as_sets() -> None:
    """All labels have to be there and no other; by label each is counted by itself."""
    rows = [Row("r", frozenset("ab"), frozenset("ab"), 0), Row("s", frozenset("ab"), frozenset("a"), 0)]
    found = told(rows)
    assert (found["right"], found["of"]) == (1, 2)
    assert [(each["label"], each["precision"], each["recall"]) for each in found["labels"]] == [
        ("a", 1, 1),
        ("b", 1, 0.5),
    ]
    assert found["confusion"][-1]["known"] == "a, b"


def test_rows_without_a_known_answer_or_a_label_are_counted_apart() -> None:
    """They are neither right nor wrong."""
    found = told([single(None, "a"), single("a", None), single("a", "a")])
    assert [found[name] for name in ("rows", "known", "unanswered", "right", "of")] == [3, 2, 1, 1, 1]


def test_an_interval_comes_from_drawn_rows_alone() -> None:
    """Rows that somebody happened to know have none; drawn ones have that of their records."""
    chosen = [single("a", "a", record=str(n)) for n in range(50)]
    assert told(chosen)["interval"] is None
    drawn = [single("a", "ab"[n % 7 == 0], n % 2, record=str(n // 2), drawn=True) for n in range(80)]
    found = told([*chosen, *drawn])
    share = clustered_share([(row.record, row.right) for row in drawn])
    assert (found["interval"]["right"], found["interval"]["of"]) == (share.count, 80)
    assert (found["interval"]["low"], found["interval"]["high"]) == (share.low, share.high)
    assert sum(tier["interval"]["of"] for tier in found["tiers"]) == 80


def test_tells_what_each_tier_would_have_given() -> None:
    """From every answer in the trail, also of rows that another tier settled; the last of a tier counts."""
    rows = [
        single("a", "a", 1, answers=[Answer(0, "b"), Answer(0, "a"), Answer(1, "a")]),
        single("b", "a", 1, answers=[Answer(0, "b"), Answer(1, "a")]),
        single("b", None, answers=[Answer(0, "a")]),
    ]
    found = told(rows)
    assert [(each["right"], each["of"]) for each in found["alone"]] == [(2, 3), (1, 2)]
    assert [(each["right"], each["of"]) for each in found["tiers"]] == [(0, 0), (1, 2)]


def test_tells_what_going_on_came_to_and_cost() -> None:
    """The same answer again is money for nothing; another is a mistake mended, made, or made again."""
    rows = [
        single("a", "a", 1, answers=[Answer(0, "a"), Answer(1, "a"), Answer(1, "a")]),
        single("a", "a", 1, answers=[Answer(0, "b"), Answer(1, "a")]),
        single("b", "a", 1, answers=[Answer(0, "b"), Answer(1, "a")]),
        single("c", "a", 1, answers=[Answer(0, "b"), Answer(1, "a")]),
        single(None, "a", 1, answers=[Answer(0, "a"), Answer(1, "a")]),
        single("a", "a", 0, answers=[Answer(0, "b"), Answer(0, "a")]),
        single("a", "a", 1, answers=[Answer(1, "a")]),
    ]
    found = told(rows)["escalations"]
    assert found == {
        "rows": 5,
        "unchanged": 2,
        "mended": 1,
        "spoiled": 1,
        "still_wrong": 1,
        "unchanged_usd": pytest.approx(0.03),
    }


def test_several_labels_are_the_same_answer_in_any_order() -> None:
    """A trail has them in the order of the reply."""
    row = Row("r", frozenset("ab"), frozenset("ab"), 1, answers=[Answer(0, "b, a"), Answer(1, "a, b")])
    found = told([row])
    assert found["escalations"]["unchanged"] == 1
    assert [each["right"] for each in found["alone"]] == [1, 1]


def test_accepted_answers_that_should_have_gone_on_are_counted() -> None:
    """Wrong ones that a tier before the last had accepted."""
    rows = [single("a", "b", 0), single("a", "a", 0), single("a", "b", 1)]
    assert told(rows)["accepted_too_early"] == {"wrong": 1, "of": 2}


def test_tells_how_right_each_word_and_score_was() -> None:
    """Words of each tier's last answer, accepted or not; scores, in tenths with 1 in the last, of the answer scored."""
    first = [Answer(0, "a", "unsure"), Answer(1, "b", "likely")]
    rows = [
        single("a", "a", 0, answers=[Answer(0, "a", "likely")], score=0.95, slices={"lang": "de"}),
        single("a", "b", 0, answers=[Answer(0, "b", "likely")], score=1.0, slices={"lang": "en"}),
        single("a", "b", 1, answers=first, score=0.05, slices={"lang": "en"}),
        single("a", None, answers=[Answer(0, "b", "unsure")]),
    ]
    found = told(rows)
    words = [(each["tier"], each["confidence"], each["right"], each["of"]) for each in found["confidence"]]
    assert words == [(0, "likely", 1, 2), (0, "unsure", 1, 2), (1, "likely", 0, 1)]
    assert [(each["low"], each["right"], each["of"]) for each in found["scores"]] == [(0, 1, 1), (0.9, 1, 2)]
    assert [(each["value"], each["right"], each["of"]) for each in found["slices"]["lang"]] == [
        ("en", 0, 2),
        ("de", 1, 1),
    ]


def drawn_and_others() -> list[Row]:
    """A classifier that calls too much `b`, which only the drawn rows can tell; they carry what is right."""
    dice = random.Random(3)
    rows = []
    for n in range(2_000):
        known = "b" if dice.random() < 0.2 else "a"
        said = "b" if known == "b" or dice.random() < 0.1 else "a"
        if n < 400:
            stood = Given(frozenset({said}), 0)
            answers = [Answer(0, said), Answer(1, known)]
            rows.append(single(known, known, 1, record=str(n), drawn=True, undrawn=stood, answers=answers))
        else:
            rows.append(single(None, said, record=str(n)))
    return rows


def test_shares_of_labels_are_corrected_by_what_drawn_rows_would_have_been_given() -> None:
    """Not by the last tier's labels, which they have: those agree with themselves."""
    found = told(drawn_and_others())
    shares = {each["label"]: each for each in found["label_shares"]["labels"]}
    assert shares["b"]["given_share"] == pytest.approx(0.28, abs=0.02)
    assert shares["b"]["low"] < 0.2 < shares["b"]["high"] < 0.27
    assert not shares["b"]["plain"]
    assert (found["label_shares"]["of"], found["label_shares"]["drawn"]) == (2_000, 400)
    assert found["interval"]["high"] < 0.96 < found["share"] == 1


def test_the_last_tier_is_not_a_step_that_a_drawn_row_had_to_take() -> None:
    """It was asked since the row was drawn: neither money for nothing nor a mistake mended."""
    assert told(drawn_and_others())["escalations"]["rows"] == 0


def test_drawn_rows_that_somebody_left_open_speak_for_nobody() -> None:
    """One that is not known takes interval and shares; what an oracle cannot answer has no label, and is counted."""
    rows = [*drawn_and_others(), single(None, "b", record="open", drawn=True)]
    found = told(rows)
    assert (found["interval"], found["label_shares"]) == (None, None)
    evaluation = Evaluation(2, by_oracle=True)
    for row in rows:
        evaluation.add(row)
    found = evaluation.document()
    assert (found["interval"]["of"], found["label_shares"]["drawn"]) == (400, 401)


def test_a_cost_without_a_price_is_unknown() -> None:
    """Never nothing."""
    evaluation = Evaluation(2)
    evaluation.add(single(None, "a", 1, answers=[Answer(0, "a"), Answer(1, "a")]))
    assert evaluation.document([0.001, None])["escalations"]["unchanged_usd"] is None
