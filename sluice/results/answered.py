"""Answers of tiers out of their stored attempts, each with what became of it by the judge's last word on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sluice.reasons import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sluice.results.merging import Attempts

COLUMNS = ("key", "outcome", "reason", "labels", "confidence")


class Answered(NamedTuple):
    """An answer of a tier to a record; `said` is the judge's word, None where it has given none."""

    key: str
    tier: int
    outcome: str
    reason: str | None
    labels: tuple[str, ...]
    confidence: str | None
    said: str | None = None


class _Word(NamedTuple):
    """What a judge said of an answer, in which round, and what that comes to."""

    round: int
    outcome: str
    reason: str | None
    said: str | None


def answers_in(found: Iterable[Attempts]) -> Iterator[Answered]:
    """The answers in these attempts, those that a judge was to be shown last. One without a word stays `judged`."""
    waiting: dict[tuple[str, int], Answered] = {}
    words: dict[tuple[str, int], _Word] = {}
    for attempts in found:
        columns = (*COLUMNS, "detail") if attempts.judge else COLUMNS
        for row in attempts.table.select(list(columns)).to_pylist():
            at = row["key"], attempts.tier
            if attempts.judge:
                word = _Word(attempts.round, row["outcome"], row["reason"], row["detail"])
                words[at] = max(words.get(at, word), word, key=_round)
                continue
            labels = tuple(row["labels"] or ())
            answer = Answered(*at, row["outcome"], row["reason"], labels, row["confidence"])
            if answer.outcome == Outcome.JUDGED:
                waiting[at] = answer
            else:
                yield answer
    for at, answer in waiting.items():
        last = words.get(at)
        yield answer if last is None else answer._replace(outcome=last.outcome, reason=last.reason, said=last.said)


def _round(word: _Word) -> int:
    return word.round
