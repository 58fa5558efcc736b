"""Finding a certificate again from what was published: the rows, run.json and certificate.json.

Scores are read as they stand and never computed anew, since floating point differs between machines. What is found
again is all that a reader has to believe: that the drawn rows are those of the smallest ranks under the seed, that the
sampled answers are those of the rows, the rule's figures, and that each row's label is that of who stands for it.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections import defaultdict
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from sluice.quality.certificate import Promise, SampledRow, certify
from sluice.quality.draws import Ranks
from sluice.reasons import Status
from sluice.results.wanted import Wanted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sluice.results.published import Published
    from sluice.runs.drawn import Certificate, SampledAnswer

HIGHEST = 2**32 - 1  # of a stored score
COLUMNS = ("source", "line", "record", "status", "label", "labels", "score", "tier", "trail")
NAMED = 5  # rows that a problem names


class Verification:
    """What is wrong with a certificate: `problems` in words, none where it stands. `checked` counts the rows."""

    def __init__(self, certificate: Certificate, summary: Mapping[str, Any]) -> None:
        self.certificate = certificate
        self.problems: list[str] = []
        self.checked = 0
        self._inputs = {item["uri"]: number for number, item in enumerate(summary["inputs"])}
        self._summary = summary

    def run(self, published: Published) -> Verification:
        """Read all rows twice: for the draws, and to hold each label against them."""
        drawn = self._draws(published)
        self._check_rule(drawn)
        self._check_rows(published, {record for _, _, _, record in drawn})
        return self

    def _rows(self, published: Published) -> Iterator[dict[str, Any]]:
        for batch in published.batches(Wanted(), COLUMNS):
            yield from batch.to_pylist()

    def _draws(self, published: Published) -> list[tuple[int, int, int, str]]:
        """The rows of the smallest ranks, as (rank, input, line, record)."""
        certificate, good = self.certificate, 0

        def ranked() -> Iterator[tuple[int, int, int, str]]:
            nonlocal good
            rank = self._rank()
            for row in self._rows(published):
                if row["status"] == Status.REJECTED:
                    continue
                good += 1
                source = self._inputs[row["source"]]
                yield rank(row["source"], row["line"]), source, row["line"], row["record"]

        drawn = heapq.nsmallest(certificate.sample + certificate.train, ranked())
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

    def _check_rule(self, drawn: Sequence[tuple[int, int, int, str]]) -> None:
        certificate, sampled = self.certificate, self.certificate.sampled
        places = [(row.source, row.line, row.key) for row in sampled]
        if places != [row[1:] for row in drawn[: certificate.sample]]:
            self.problems.append("the sampled rows are not those of the smallest ranks under the seed")
        taught = {record for _, _, _, record in drawn[certificate.sample :]}
        rows = [
            SampledRow(None if row.place is None else (row.place.score, row.place.tie), bad=_is_bad(row, taught))
            for row in sampled
        ]
        promise = Promise(Decimal(certificate.agree), Decimal(certificate.delta))
        found = certify(promise, certificate.population, rows)
        if (found.at_most, found.disagreements) != (certificate.at_most, certificate.disagreements):
            said = f"A = {certificate.at_most} and x = {certificate.disagreements}"
            self.problems.append(f"the rule gives A = {found.at_most} and x = {found.disagreements}, it says {said}")
        above = None if certificate.threshold is None else (certificate.threshold.score, certificate.threshold.tie)
        if found.threshold is None or found.threshold.above != above:
            self.problems.append("the rule gives another threshold than it says")

    def _check_rows(self, published: Published, drawn: set[str]) -> None:
        """Hold the label of each row against who stands for it, and the sampled answers against their rows."""
        threshold, oracle = self.certificate.threshold, len(self.certificate.models) - 1
        sampled = {(row.source, row.line): row for row in self.certificate.sampled}
        wrong: defaultdict[str, list[str]] = defaultdict(list)
        accepted = 0
        for row in self._rows(published):
            self.checked += 1
            place = f"{row['source'].rpartition('/')[2]} line {row['line']}"
            by_first = row["status"] == Status.ACCEPTED and row["tier"] == 0
            accepted += by_first
            if by_first and row["record"] in drawn:
                wrong["were drawn, and have the first tier's label"].append(place)
            if threshold is not None and row["score"] is not None and row["record"] not in drawn:
                score = round(row["score"] * HIGHEST)
                if score != threshold.score and by_first != (score > threshold.score):
                    wrong["have the label of the wrong side of the threshold"].append(place)
            answer = sampled.get((self._inputs[row["source"]], row["line"]))
            if answer is not None and not _is_of(answer, row, oracle):
                wrong["are sampled, and the certificate has other answers to them"].append(place)
        if accepted != self.certificate.accepted_rows:
            said = f"{self.certificate.accepted_rows:,} rows keep the first tier's label, and {accepted:,} do"
            self.problems.append(f"the certificate says that {said}")
        self.problems += [
            f"{len(places):,} rows {what}: {', '.join(places[:NAMED])}{', …' * (len(places) > NAMED)}"
            for what, places in wrong.items()
        ]


def _is_bad(row: SampledAnswer, taught: set[str]) -> bool:
    agrees = row.first is not None and row.oracle is not None and set(row.first) == set(row.oracle)
    return row.key not in taught and not agrees


def _is_of(answer: SampledAnswer, row: Mapping[str, Any], oracle: int) -> bool:
    """Whether a sampled answer is what the row shows: its score, the oracle's labels, and the first tier's."""
    score = None if answer.place is None else answer.place.score
    shown = None if row["score"] is None else round(row["score"] * HIGHEST)
    by_oracle = row["status"] == Status.ACCEPTED and row["tier"] == oracle
    if score != shown or (answer.oracle is None) == by_oracle:
        return False
    if by_oracle and set(answer.oracle or ()) != set(row["labels"]):
        return False
    firsts = [step["label"] for step in row["trail"] if step["tier"] == 0 and step["label"] is not None]
    return answer.first is None or not firsts or answer.first == firsts[-1:]
