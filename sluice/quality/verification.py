"""Finding a certificate again from what was published: the rows, run.json and certificate.json.

Scores are read as they stand and never computed anew, since floating point differs between machines. What is found
again is all that a reader has to believe: that the drawn rows are those of the smallest ranks under the seed, that the
sampled answers are those of the rows, the rule's figures, and that each row's label is that of who stands for it.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections import Counter, defaultdict
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from sluice.quality.certificate import (
    STEPS,
    Promise,
    SampledRow,
    Threshold,
    by_gold,
    certify,
    certify_labels,
    furthest_step,
    last_safe_step,
    wrong_at,
)
from sluice.quality.draws import Ranks
from sluice.reasons import Status
from sluice.results.settled import PEOPLE
from sluice.results.wanted import Wanted
from sluice.runs.drawn import ForgottenDraws
from sluice.runs.state import HIGHEST as HIGHEST_PLACE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sluice.quality.certificate import KnownRow
    from sluice.results.published import Published
    from sluice.runs.drawn import Accuracy, Certificate, SampledAnswer
    from sluice.runs.state import Place

HIGHEST = 2**32 - 1  # of a stored score
COLUMNS = ("source", "line", "record", "status", "label", "labels", "score", "tier", "model", "trail")
GOLD = "gold"  # of `against`
NAMED = 5  # rows that a problem names


class Verification:
    """What is wrong with a certificate: `problems` in words, none where it stands. `checked` counts the rows."""

    def __init__(self, certificate: Certificate, summary: Mapping[str, Any]) -> None:
        self.certificate = certificate
        self.problems: list[str] = []
        self.checked = 0
        self._uris = [item["uri"] for item in summary["inputs"]]
        self._inputs = {uri: number for number, uri in enumerate(self._uris)}
        self._summary = summary
        self._called: Counter[str] = Counter()  # rows by the label that the first tier gave them, where it has a floor
        self._floors = {floor.label: floor for floor in certificate.floors}
        self._forgotten = certificate.forgotten or ForgottenDraws()

    def run(self, published: Published) -> Verification:
        """Read all rows twice: for the draws, and to hold each label against them."""
        drawn = self._draws(published)
        self._check_rule(drawn)
        self._check_rows(published, {row.record for row in drawn} | {*self._forgotten.sampled, *self._forgotten.taught})
        return self

    def drawn(self, published: Published) -> tuple[set[tuple[str, int]], set[tuple[str, int]]]:
        """The places, source and line, of the sampled and of the train rows that the results still have."""
        found = [(self._uris[row.source], row.line) for row in self._draws(published)]
        return set(found[: self._sampled]), set(found[self._sampled :])

    @property
    def _sampled(self) -> int:
        """How many sampled rows the results still have."""
        return sum(not _is_forgotten(row) for row in self.certificate.sampled)

    def _rows(self, published: Published) -> Iterator[dict[str, Any]]:
        for batch in published.batches(Wanted(), COLUMNS):
            yield from batch.to_pylist()

    def _draws(self, published: Published) -> list[_Drawn]:
        """The rows of the smallest ranks; counts by the way what has a floor."""
        certificate, good = self.certificate, 0

        def ranked() -> Iterator[_Drawn]:
            nonlocal good
            rank = self._rank()
            for row in self._rows(published):
                if row["status"] == Status.REJECTED or row["model"] == PEOPLE:
                    continue
                good += 1
                first = first_label(row)
                if first in self._floors:
                    self._called[first] += 1
                source = self._inputs[row["source"]]
                yield _Drawn(rank(row["source"], row["line"]), source, row["line"], row["record"], first or "")

        drawn = heapq.nsmallest(self._sampled + certificate.train - self._forgotten.train, ranked())
        good += self._forgotten.good
        if good - certificate.train != certificate.population:
            said = f"the results have {good - certificate.train:,} that could be drawn"
            self.problems.append(f"the certificate is about {certificate.population:,} rows, and {said}")
        return drawn

    def _rank(self) -> Callable[[str, int], int]:
        """The rank of a row by its input and its line there."""
        ranks = Ranks(self.certificate.seed)
        of: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
        for piece in self.certificate.pieces:
            of[piece.source].append((piece.lines, piece.begin))
        lines = {source: sorted(pieces) for source, pieces in of.items()}

        def rank(uri: str, line: int) -> int:
            pieces = lines[self._inputs[uri]]
            before, begin = pieces[bisect_right(pieces, (line - 1, HIGHEST * HIGHEST)) - 1]
            return ranks.of(uri, line - before, begin)

        return rank

    def _check_rule(self, drawn: Sequence[_Drawn]) -> None:
        certificate, sampled = self.certificate, self.certificate.sampled
        places = [(row.source, row.line, row.key) for row in sampled if not _is_forgotten(row)]
        if places != [row[1:4] for row in drawn[: len(places)]]:
            self.problems.append("the sampled rows are not those of the smallest ranks under the seed")
        teaching = drawn[len(places) :]
        taught = {row.record for row in teaching} | {*self._forgotten.taught}
        known = [_known(row, taught) for row in sampled]
        rows = (
            [row for row, _ in known]
            if certificate.against == GOLD
            else [
                SampledRow(
                    _pair(row.place),
                    bad=_is_bad(row, taught),
                    label=None if row.place is None or not row.first else row.first[0],
                )
                for row in sampled
            ]
        )
        promise = Promise(Decimal(certificate.agree), Decimal(certificate.delta))
        found = certify(promise, certificate.population, rows)
        if (found.at_most, found.disagreements) != (certificate.at_most, certificate.disagreements):
            said = f"A = {certificate.at_most} and x = {certificate.disagreements}"
            self.problems.append(f"the rule gives A = {found.at_most} and x = {found.disagreements}, it says {said}")
        above = None if found.threshold is None else found.threshold.above
        if found.threshold is not None and certificate.accuracy is not None:
            above = self._check_accuracy(certificate.accuracy, [row for _, row in known], found.threshold)
        if found.threshold is None or above != _pair(certificate.threshold):
            self.problems.append("the rule gives another threshold than it says")
        if certificate.open != (sum(row.gold is None for row in sampled) if certificate.against == GOLD else 0):
            self.problems.append("another number of sampled rows is open than it says")
        repeats, twice = certificate.repeats, [row for row in sampled if row.compares]
        says = (0, 0, 0) if repeats is None else (repeats.asked, repeats.answered, repeats.agreeing)
        if says != (sum(row.repeated for row in sampled), len(twice), sum(row.agrees for row in twice)):
            self.problems.append("the oracle's answers to what it was asked twice give other figures than it says")
        self._check_floors(rows, Counter(row.first for row in teaching))

    def _check_accuracy(
        self, accuracy: Accuracy, known: Sequence[KnownRow], worse: Threshold
    ) -> tuple[int, int] | None:
        """Walk the fixed steps again; the place above which the step that is to be taken accepts."""
        certificate = self.certificate
        places = [_pair(place) for place in accuracy.thresholds]
        steps = [None, *map(Threshold, places)]
        wrong = [wrong_at(known, step) for step in steps]
        promise = Promise(Decimal(accuracy.promised), Decimal(certificate.delta))
        safe = last_safe_step(wrong, promise, certificate.population, len(known))
        taken = None if safe is None else furthest_step(steps, safe, worse)
        at_most = promise.most(certificate.population, len(known))
        if (wrong, safe, taken, at_most) != (accuracy.wrong, accuracy.safe, accuracy.taken, accuracy.at_most):
            self.problems.append("the fixed steps give other figures of the accuracy than it says")
        if len(steps) != STEPS + 1 or any(
            above is None or (below is not None and below > above)
            for above, below in pairwise(places)
            if below != above
        ):
            self.problems.append(f"the thresholds of the accuracy are no {STEPS} steps, each below the one before")
        if taken is None:
            return worse.above
        return _pair(HIGHEST_PLACE) if taken == 0 else places[taken - 1]

    def _check_floors(self, sampled: Sequence[SampledRow], taught: Counter[str]) -> None:
        """The same of each label's floor, within the rows that the first tier calls so."""
        certificate = self.certificate
        gone = self._forgotten.called
        populations = {label: self._called[label] + gone.get(label, 0) - taught[label] for label in self._floors}
        floors = {floor.label: Decimal(floor.keep) for floor in certificate.floors}
        found = certify_labels(floors, Decimal(certificate.delta), populations, sampled)
        for floor in certificate.floors:
            right = found[floor.label]
            above = None if right.threshold is None else right.threshold.above
            gives = (right.population, right.drawn, right.at_most, right.disagreements, above)
            says = None if floor.threshold is None else (floor.threshold.score, floor.threshold.tie)
            if gives != (floor.population, floor.sample, floor.at_most, floor.disagreements, says):
                self.problems.append(f"the floor of {floor.label}: N, n, A, x or threshold are not those of the rule")

    def _check_rows(self, published: Published, drawn: set[str]) -> None:
        """Hold the label of each row against who stands for it, and the sampled answers against their rows."""
        oracle = len(self.certificate.models) - 1
        sampled = {(row.source, row.line): row for row in self.certificate.sampled}
        wrong: defaultdict[str, list[str]] = defaultdict(list)
        accepted: Counter[str | None] = Counter()
        for row in self._rows(published):
            self.checked += 1
            place = f"{row['source'].rpartition('/')[2]} line {row['line']}"
            by_first = row["status"] == Status.ACCEPTED and row["tier"] == 0
            accepted[first_label(row)] += by_first
            if by_first and row["record"] in drawn:
                wrong["were drawn, and have the first tier's label"].append(place)
            if row["score"] is not None and row["record"] not in drawn and self._stands(row) == (not by_first):
                wrong["have the label of the wrong side of the threshold"].append(place)
            answer = sampled.get((self._inputs[row["source"]], row["line"]))
            if answer is not None and not _is_of(answer, row, oracle):
                wrong["are sampled, and the certificate has other answers to them"].append(place)
        for label, said in [(None, self.certificate.accepted_rows), *_by_floor(self.certificate)]:
            gone = self._forgotten.kept if label is None else self._forgotten.kept_as.get(label, 0)
            kept = gone + (accepted.total() if label is None else accepted[label])
            if kept != said:
                of = "" if label is None else f" {label}"
                what = f"{said:,} rows keep the first tier's label{of}, and {kept:,} do"
                self.problems.append(f"the certificate says that {what}")
        self.problems += [
            f"{len(places):,} rows {what}: {', '.join(places[:NAMED])}{', …' * (len(places) > NAMED)}"
            for what, places in wrong.items()
        ]

    def _stands(self, row: Mapping[str, Any]) -> bool | None:
        """Whether a row's first answer stands by its score; None where it is at a threshold, and a hash decides."""
        score, floor = round(row["score"] * HIGHEST), self._floors.get(first_label(row) or "")
        if floor is not None and floor.refused:
            return False
        bars = [each.threshold.score for each in (self.certificate, floor) if each is not None and each.threshold]
        if any(score < bar for bar in bars):
            return False
        return None if score in bars else True


class _Drawn(NamedTuple):
    """A drawn row; `first` is what the first tier called it."""

    rank: int
    source: int
    line: int
    record: str
    first: str


def _by_floor(certificate: Certificate) -> Iterator[tuple[str, int]]:
    for floor in certificate.floors:
        yield floor.label, floor.accepted_rows


def first_label(row: Mapping[str, Any]) -> str | None:
    """What the first tier called a row whose answer has a score; None for any other."""
    if row["score"] is None:
        return None
    firsts = [step["label"] for step in row["trail"] if step["tier"] == 0 and step["label"] is not None]
    return firsts[-1] if firsts else None


def _pair(place: Place | None) -> tuple[int, int] | None:
    return None if place is None else (place.score, place.tie)


def _known(row: SampledAnswer, taught: set[str]) -> tuple[SampledRow, KnownRow]:
    return by_gold(_pair(row.place), row.first, row.oracle, row.gold, taught=row.key in taught)


def _is_forgotten(row: SampledAnswer) -> bool:
    return not row.key


def _is_bad(row: SampledAnswer, taught: set[str]) -> bool:
    if _is_forgotten(row):
        return row.bad
    agrees = row.first is not None and row.oracle is not None and set(row.first) == set(row.oracle)
    return row.key not in taught and not agrees


def _is_of(answer: SampledAnswer, row: Mapping[str, Any], oracle: int) -> bool:
    """Whether a sampled answer is what the row shows: its score, the oracle's labels, and the first tier's."""
    score = None if answer.place is None else answer.place.score
    shown = None if row["score"] is None else round(row["score"] * HIGHEST)
    by_oracle = row["status"] == Status.ACCEPTED and row["tier"] == oracle
    # What a resumed run was answered behind its certificate stays a disagreement of it, which is on the safe side.
    late = by_oracle and answer.oracle is None
    if score != shown or ((answer.oracle is None) == by_oracle and not late):
        return False
    if by_oracle and not late and set(answer.oracle or ()) != set(row["labels"]):
        return False
    first = first_label(row)
    return answer.first is None or first is None or ", ".join(answer.first) == first
