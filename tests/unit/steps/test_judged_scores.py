"""Runs in which a judge looks at the answers that get a score, or that drawn rows are compared by."""

from __future__ import annotations

import io
import json
from collections import Counter
from typing import Any

import pytest
from rich.console import Console

from sluice.api.quality import evaluate, verify
from sluice.cli.evaluation import sections
from sluice.errors import BadTask
from sluice.local.faults import draw
from sluice.reasons import Outcome, Reason
from sluice.report.report import render
from sluice.results.folder import Kept
from sluice.results.published import Published
from sluice.results.run_document import read_run
from sluice.runs.drawn import Held
from sluice.runs.keys import Keys
from sluice.steps import learn, publish, rejudge
from sluice.steps.services import Run
from tests.harness.drive import Cloud
from tests.unit.steps.test_scored_runs import (
    CHEAP,
    FILES,
    LADDER,
    LEARNED,
    LEAST,
    MIDDLE,
    ORACLE,
    ROWS,
    SETTINGS,
    TRAIN,
    Ran,
    label_of,
    reply,
    task_of,
    text_of,
)

JUDGE = "nova-pro"
THREE = ({"model": CHEAP}, {"model": MIDDLE}, {"model": ORACLE})
STORED = {"judge_agreed": "right", "judge_refused": "wrong", "judge_unclear": "unclear"}


def word_on(text: str) -> str:
    """What the judge says of an answer to a text: by its tier's label, and now and then by nothing at all."""
    text, _, shown = text.partition("\n<answer>\n")
    if "lost" in text:
        return "no words of JSON"
    right = f'"{label_of(ORACLE, text)}"' in shown
    chance = draw(11, text)
    return "unclear" if chance < 0.1 else "right" if right != (chance > 0.9) else "wrong"


def answer(model: str, text: str) -> str:
    if JUDGE not in model:
        assert "<answer>" not in text
        return reply(model, text)
    said = word_on(text)
    return said if "JSON" in said else json.dumps({"label": said})


def judged(tiers: tuple[dict[str, Any], ...] = LADDER, least: float | None = LEAST, **changes: Any) -> Any:
    gates = {"judge": {"model": JUDGE, "pack": 1}} | ({} if least is None else {"min_score": least})
    return task_of(tiers, **{"gates": gates, **changes})


def ran(task: Any) -> Ran:
    cloud = Cloud(answer, SETTINGS)
    return Ran(cloud, cloud.run(task, FILES))


@pytest.fixture(scope="module")
def scored() -> Ran:
    """Two models, a score and a judge of the first one's answers."""
    return ran(judged())


def holds(run: Ran) -> None:
    """Each row once, the tiers' and the judge's books close, and nothing waits at the end."""
    assert run.summary["rows"]["in"] == ROWS == len({(row["source"], row["line"]) for row in run.rows})
    records = list({row["record"]: row for row in run.good}.values())
    told = Counter({(item["tier"], item["reason"]): item["records"] for item in run.summary["escalations"]})
    steps = [step for row in records for step in row["trail"]]
    assert not {Outcome.SCORED, Outcome.JUDGED} & {step["outcome"] for step in steps}
    went = [step for step in steps if step["outcome"] == Outcome.ESCALATED and JUDGE not in step["model"]]
    if run.summary["certificate"] is None:  # which counts each drawn record among those that were drawn
        assert told == Counter((step["tier"], step["reason"]) for step in went)
    for books in run.summary["tiers"]:
        assert books["accepted"] == sum(r["status"] == "accepted" and r["tier"] == books["tier"] for r in records)
        assert books["accepted"] + books["escalated"] + books["unresolved"] == books["sent"]
    words = [step for step in steps if JUDGE in step["model"]]
    assert run.summary["judge"]["answers"] == len(words)
    assert max(step["tier"] for step in words) < len(run.summary["tiers"]) - 1


def test_what_the_judge_calls_wrong_goes_on_and_the_score_weighs_the_rest(scored: Ran) -> None:
    """Whatever else it says of an answer, its score decides; the last tier's answers are shown to nobody."""
    holds(scored)
    found = Counter[tuple[str, bool]]()
    for row in scored.good:
        first, *words = (step for step in row["trail"] if step["tier"] == 0)
        if first["reason"] == Reason.LABEL_UNKNOWN:
            assert (words, row["score"]) == ([], None)
            continue
        said = word_on(f'{text_of(row["line"] - 1)}\n<answer>\n"{first["label"]}"')
        reasons = {"right": Reason.JUDGE_AGREED, "wrong": Reason.JUDGE_REFUSED}
        assert [word["reason"] for word in words] == [reasons.get(said, Reason.JUDGE_UNCLEAR)]
        assert words[0]["outcome"] == first["outcome"]
        if said == "wrong":
            assert (first["outcome"], first["reason"]) == (Outcome.ESCALATED, Reason.JUDGE_REFUSED)
            assert (row["score"], row["tier"]) == (None, 1)
        elif row["record"] not in scored.draws.keys:
            assert (row["tier"] == 0) == (row["score"] >= LEAST)
            assert first["reason"] == (None if row["tier"] == 0 else Reason.LOW_SCORE)
            found[said, row["tier"] == 0] += 1
    assert found["right", True] > 100
    assert found["unclear", False] > 5


def test_the_word_is_a_feature_of_the_score_of_drawn_rows(scored: Ran) -> None:
    """What it called right has a higher one than without the word, what it called wrong a much lower one."""
    held = scored.kept(Keys(scored.id).held, Held).answers
    by_word: dict[str, list[float]] = {}
    for row in scored.good:
        words = [step for step in row["trail"] if JUDGE in step["model"]]
        if row["record"] in held and words:
            answer = held[row["record"]]
            assert answer.alone is not None
            by_word.setdefault(STORED[words[0]["reason"]], []).append((answer.score - answer.alone) / 2**32)
    means = {word: sum(shifts) / len(shifts) for word, shifts in by_word.items()}
    assert means["right"] > 0 > -0.1 > means["wrong"]
    by = learn.taught(Run(scored.cloud.work, scored.id))
    assert by is not None
    assert by[1] is not None
    assert {"fact judge right", "fact judge wrong", "fact judge unclear"} <= set(by[1].said)


def test_judge_and_score_are_measured_on_the_same_drawn_rows(scored: Ran) -> None:
    """What each holds back of what the last tier would and would not have said, and both together."""
    held, told = scored.kept(Keys(scored.id).held, Held).answers, scored.summary["judge"]["beside_score"]
    rows = {(row["source"], row["line"]): row for row in scored.good}
    uri, counts = next(iter(rows))[0], Counter[tuple[str, bool]]()
    least = round(LEAST * (2**32 - 1))
    for drawn in scored.draws.train:
        row, text = rows[uri, drawn.line], text_of(drawn.line - 1)
        if drawn.key not in held or "lost" in text:
            continue
        wrong = row["trail"][0]["label"] != label_of(ORACLE, text)
        called = row["trail"][0]["reason"] == Reason.JUDGE_REFUSED
        alone, both = ((held[drawn.key].alone or 0) < least, held[drawn.key].score < least)
        counts.update({("rows", wrong): 1, ("judge", wrong): called, ("score", wrong): alone})
        counts["both", wrong] += called or both
    assert told == {
        "rows": counts["rows", True] + counts["rows", False],
        "wrong": counts["rows", True],
        "judge_caught": counts["judge", True],
        "judge_refused": counts["judge", False],
        "score_caught": counts["score", True],
        "score_refused": counts["score", False],
        "caught": counts["both", True],
        "refused": counts["both", False],
    }
    assert told["judge_caught"] > told["judge_refused"] > 0
    said = read_run(scored.summary).judge
    assert said is not None
    assert f"caught {told['judge_caught']} wrong ones and refused {told['judge_refused']} right ones" in said.sentence
    assert said.sentence in render(scored.summary)


def test_a_judge_beside_an_audit_refuses_what_it_does_not_call_right() -> None:
    """Where no score weighs them; the audit compares what it has let pass of each tier below the last."""
    run = ran(judged(THREE, None, train=None, audit={"rows": 150}))
    holds(run)
    for row in run.good:
        for tier in (0, 1):
            answers = [step for step in row["trail"] if step["tier"] == tier and step["label"]]
            words = [step for step in row["trail"] if step["tier"] == tier and JUDGE in step["model"]]
            passed = [word["reason"] == Reason.JUDGE_AGREED for word in words]
            assert [step["reason"] not in STORED for step in answers] == passed
    audit, drawn = run.summary["audit"], {(row.line, row.key) for row in run.draws.sample}
    rows = [row for row in run.good if (row["line"], row["record"]) in drawn]
    stood = [next((s for s in row["trail"] if s["reason"] == Reason.DRAWN), None) for row in rows]
    agreeing = [s["label"] == row["label"] for s, row in zip(stood, rows, strict=True) if s is not None]
    assert audit["compared"] == len(agreeing) > 50
    assert audit["agreeing"] == sum(agreeing) > 0.9 * len(agreeing)


def test_middle_tiers_are_judged_and_not_scored() -> None:
    """What the judge cannot tell of theirs goes on; behind a learned tier, whose answers it is not shown, too."""
    for tiers, first in ((THREE, 0), (LEARNED, 1)):
        run = ran(judged(tiers, LEAST if first == 0 else None))
        holds(run)
        shown = {step["tier"] for row in run.good for step in row["trail"] if JUDGE in step["model"]}
        assert shown == {first, 1}
        for row in run.good:
            if row["tier"] == 1 and row["status"] == "accepted":
                assert [s["reason"] for s in row["trail"] if s["tier"] == 1 and JUDGE in s["model"]] == ["judge_agreed"]


def test_a_certificate_holds_beside_a_judge() -> None:
    """Words are bought whatever was drawn, before the sample is looked at; the certificate is found again."""
    quality = {"agree": 0.8, "sample": 150, "train": TRAIN}
    run = ran(judged(least=None, train=None, quality=quality))
    holds(run)
    kept = run.cloud.results.get(f"reports/{run.id}/certificate.json")
    published = Published(run.cloud.results, run.id, "results/t/", origins=list)
    assert verify(published, run.summary, kept)["problems"] == []
    assert run.summary["certificate"]["accepted_rows"] > 100
    told = run.summary["judge"]["beside_score"]
    assert told["rows"] > 100
    assert told["wrong"] >= told["caught"] >= told["judge_caught"] > 0
    assert json.loads(kept)["judged"] == told
    draws = run.cloud.results.get(f"reports/{run.id}/draws.json")
    found = evaluate(published, run.summary, kept=Kept(draws, kept))
    assert found["judge"]["beside_score"] == told
    assert found["judge"]["shown"] > 50
    console = Console(record=True, width=100, file=io.StringIO())
    console.print(*sections(found))
    assert f"{told['judge_caught']} of {told['wrong']}" in console.export_text().partition("the judge ")[2]


def test_a_judged_score_that_is_judged_again_keeps_to_words_and_scores(scored: Ran) -> None:
    """The rows come out as they were; without the judge its words are left out, and what it refused has no score."""
    columns = ("status", "label", "tier", "score")
    before = {row["line"]: tuple(row[name] for name in columns) for row in scored.rows}
    for task in (judged(), task_of()):
        new = rejudge.run(scored.cloud.services, scored.id, task)
        scored.cloud.drive(new)
        run = Ran(scored.cloud, publish.run(scored.cloud.services, new))
        assert {row["line"]: tuple(row[name] for name in columns) for row in run.rows} == before
        for books in run.summary["tiers"]:
            assert books["accepted"] + books["escalated"] + books["unresolved"] == books["sent"]
    with pytest.raises(BadTask, match="were not shown to a judge"):
        rejudge.run(scored.cloud.services, scored.id, judged(least=None, train=None))


def test_a_judge_that_nobody_would_be_shown_to_is_refused() -> None:
    """Between a learned tier and the last one, whose answers it is held against."""
    with pytest.raises(BadTask, match="nobody's answers would be shown to it"):
        judged((LEARNED[0], LEARNED[2]), None)
