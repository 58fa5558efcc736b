"""A pilot: what a sample that was answered by the first and by the strongest tier says of all records."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from sluice.models.prices import cost
from sluice.quality.intervals import Share, share
from sluice.reasons import Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sluice.runs.state import FrozenTier


class Answered(NamedTuple):
    """One record of the sample: the tiers that it reached, and the labels that two models gave it.

    `first` holds what the first tier's answer said if it was accepted, `strongest` likewise; None where it was not.
    """

    reached: int
    first: tuple[str, ...] | None
    strongest: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Findings:
    """What a pilot found: shares that go on from each tier but the last, and how far two models agree."""

    records: int
    escalated: list[Share]
    agreement: Share
    differences: list[tuple[str, str, int]]
    unanswered: int


def answered(
    cascade: Iterable[Mapping[str, object]], strongest: Iterable[Mapping[str, object]] | None
) -> list[Answered]:
    """Join the rows of the cascade's run and of the strongest tier's, both in the order of the sample.

    Without the second, as for a task of one tier, both are the same answers. Rejected rows are no records.
    """
    first = list(cascade)
    second = first if strongest is None else list(strongest)
    return [
        Answered(
            reached=max((int(tried["tier"]) for tried in _trail(row)), default=-1),
            first=_labels(row) if row["tier"] == 0 else None,
            strongest=_labels(other),
        )
        for row, other in zip(first, second, strict=True)
        if row["status"] != Status.REJECTED
    ]


def _trail(row: Mapping[str, object]) -> list[dict[str, str]]:
    trail = row["trail"]
    return trail if isinstance(trail, list) else []


def _labels(row: Mapping[str, object]) -> tuple[str, ...] | None:
    labels = row["labels"]
    return tuple(sorted(labels)) if row["status"] == Status.ACCEPTED and isinstance(labels, list) else None


def find(records: Sequence[Answered], tiers: int, *, all_of_them: bool) -> Findings:
    """What the answers say; `all_of_them`: the sample is all records that there are."""
    reached = [sum(record.reached >= tier for record in records) for tier in range(tiers)]
    pairs = [(record.first, record.strongest) for record in records if record.first is not None]
    both = [(first, second) for first, second in pairs if first is not None and second is not None]
    differences = Counter((_words(first), _words(second)) for first, second in both if first != second)
    return Findings(
        records=len(records),
        escalated=[share(went, came, all_of_them=all_of_them) for came, went in pairwise(reached)],
        agreement=share(sum(first == second for first, second in both), len(both), all_of_them=all_of_them),
        differences=[(first, second, count) for (first, second), count in differences.most_common()],
        unanswered=sum(record.strongest is None for record in records),
    )


def _words(labels: tuple[str, ...]) -> str:
    return ", ".join(labels) or "(no label)"


class Tokens(NamedTuple):
    """Mean tokens that a record's answer takes from a tier, in and out."""

    read: float
    written: float


def tokens_of(tiers: Sequence[Mapping[str, float]], strongest: Mapping[str, float] | None) -> list[Tokens | None]:
    """Mean tokens by tier, from the books of the cascade's run; of the last tier with those of its own run.

    None where a tier has answered nothing, so that nothing is known.
    """
    books = [[tier] for tier in tiers]
    if strongest is not None:
        books[-1].append(strongest)
    return [_mean(own) for own in books]


def _mean(books: Sequence[Mapping[str, float]]) -> Tokens | None:
    answers = sum(book["answered"] for book in books)
    if not answers:
        return None
    return Tokens(*(sum(book[name] for book in books) / answers for name in ("input_tokens", "output_tokens")))


def bill(
    tiers: Sequence[FrozenTier], tokens: Sequence[Tokens], counts: Sequence[float], transports: Sequence[str]
) -> list[float | None]:
    """What so many records cost at each tier, at the tokens that were measured; None where a price is unknown.

    What may come out of a cache is taken for plain input: how much of it does, a pilot cannot know.
    """
    return [
        cost(tier.price, transport, round(count * mean.read), round(count * mean.written))
        for tier, mean, count, transport in zip(tiers, tokens, counts, transports, strict=True)
    ]
