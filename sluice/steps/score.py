"""score: how likely the oracle would give each answer of the first tier, for the records of one shard."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from sluice.quality.score import FirstAnswer, as_stored, tie
from sluice.reasons import Outcome
from sluice.results.answered import answers_in
from sluice.results.merging import attempts_in
from sluice.results.standing import what_failed
from sluice.steps.drawing import facts_of
from sluice.steps.learn import held_of, taught
from sluice.steps.new_kinds import Watch
from sluice.steps.scores import FLOOR, HIGHEST, entry, has_floors, scores_in
from sluice.steps.services import Run
from sluice.steps.texts import first_sights
from sluice.task.answer import Confidence
from sluice.task.judge import WORDS

if TYPE_CHECKING:
    from sluice.quality.learned import Learned
    from sluice.quality.score import Score
    from sluice.runs.drawn import ShardItem
    from sluice.steps.services import Services

NONE = 0  # below every score that is enough: of answers without any
AT_ONCE = 2048  # texts that are scored together


def run(services: Services, item: ShardItem) -> dict[str, int]:
    """Write `scores/<shard>.bin`, one record after the other by key; one that stands is left alone."""
    opened = Run(services.work, item.run)
    if services.work.exists(opened.keys.scores(item.shard)):
        return {}
    firsts = _first_answers(opened, item.shard)
    found, rows = (_scored if opened.start.judges is None else _scored_before)(opened, item.shard, firsts)
    ordered = sorted(found)
    if has_floors(opened):
        numbers = _floor_numbers(opened)
        floors = b"".join(FLOOR.pack(numbers.get(firsts[key].labels, 0)) for key in ordered)
        services.work.put(opened.keys.floors(item.shard), floors)
    written = b"".join(entry(key, found[key], tie(key), rows[key]) for key in ordered)
    services.work.put(opened.keys.scores(item.shard), written)
    return {"records": len(found)}


def _scored(opened: Run, shard: int, firsts: dict[str, FirstAnswer]) -> tuple[dict[str, int], Counter[str]]:
    """The scores of these answers, and how many rows each record has."""
    by, rows = taught(opened), Counter[str]()
    if opened.task.quality is not None:
        held, scored = {}, True
    else:  # what was taught is known by heart; and the words alone are no probabilities
        held, scored = held_of(opened).answers, by is not None
    watch = Watch.of(opened)
    scorer = _Scorer(by, watch)
    for key, text in first_sights(opened, shard, firsts, rows):
        if scored:
            scorer.add(key, text, firsts[key])
    found = scorer.scores()
    found |= {key: held[key].score for key in firsts if key in held}
    if watch is not None:
        opened.store.put(opened.keys.new_kinds(shard), watch.told(rows).write())
    return found if scored else dict.fromkeys(firsts, NONE), rows


def _scored_before(opened: Run, shard: int, firsts: dict[str, FirstAnswer]) -> tuple[dict[str, int], Counter[str]]:
    """The same as the run whose answers are judged again had it, of answers that are valid still."""
    found = {each.key: each for each in scores_in(opened, opened.source, shard) if each.key in firsts}
    scores = {key: each.place.score for key, each in found.items()}
    return scores, Counter({key: each.rows for key, each in found.items()})


def _floor_numbers(opened: Run) -> dict[tuple[str, ...], int]:
    """The numbers of the floors, by the answer that they are about."""
    quality = opened.task.quality
    return {(label,): number for number, label in enumerate(quality.floors if quality else (), 1)}


def _first_answers(opened: Run, shard: int) -> dict[str, FirstAnswer]:
    """The valid answers of the first tier, which wait for the certificate."""
    found = {}
    kept = (attempts_in(opened.store.get(key)) for key, _ in opened.store.keys(opened.keys.answers(shard)))
    facts = {said: facts_of(opened, said) for said in (None, *WORDS)}
    for answer in answers_in(attempts for attempts in kept if not attempts.tier):
        if answer.outcome == Outcome.SCORED and what_failed(answer.reason, scored=True) is None:
            found[answer.key] = FirstAnswer(answer.labels, answer.confidence, facts.get(answer.said, facts[None]))
    pa.default_memory_pool().release_unused()
    return found


class _Scorer:
    """Scores answers, some at a time; without a model by the word alone that says how sure the first tier was."""

    def __init__(self, by: tuple[Learned, Score | None] | None, watch: Watch | None = None) -> None:
        self.by, self.watch = by, watch
        self._found: dict[str, int] = {}
        self._waiting: list[tuple[str, str, FirstAnswer]] = []

    def add(self, key: str, text: str, answer: FirstAnswer) -> None:
        self._waiting.append((key, text, answer))
        if len(self._waiting) == AT_ONCE:
            self._score()

    def scores(self) -> dict[str, int]:
        """All scores, as they are stored, by key."""
        self._score()
        return self._found

    def _score(self) -> None:
        if not self._waiting:
            return
        keys, texts, answers = zip(*self._waiting, strict=True)
        if self.by is None:
            stored = [by_word(answer.word) for answer in answers]
        else:
            model, score = self.by
            counts = model.count(texts)
            if score is None:  # the model's own answers, of which it knows how sure it is
                sure = np.array([sure for _, sure in model.answer_of(counts)])
            else:
                sure = score.of_counted(model, counts, answers)
            stored = as_stored(sure).tolist()
            if self.watch is not None:
                self.watch.look(keys, texts, counts)
        self._found.update(zip(keys, stored, strict=True))
        self._waiting.clear()


def by_word(word: str | None) -> int:
    """The stored score of an answer by the word alone: in the order of the words, which is all that they tell."""
    ranks = [level.value for level in sorted(Confidence, key=lambda level: level.rank)]
    rank = ranks.index(word) if word in ranks else 0
    return HIGHEST * (rank + 1) // (len(ranks) + 1)
