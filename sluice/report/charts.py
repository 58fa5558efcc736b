"""The report's charts: what each shows of a run, in a picture and with the same figures as a table."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from sluice.figures import NONE, dollars, duration, moment, percent, short_model
from sluice.reasons import MEANING, Reason, about
from sluice.report.drawing import ALL_TIERS, DOUBLE, LINE, Chart, Line, Piece, gantt, stacked, style_of
from sluice.report.flow import count_arriving, find_leaving
from sluice.task.answer import Confidence

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sluice.results.run_document import Run, RunJob

SHORT = 20  # characters of a pair of answers that fit on one line
ARROW = "\N{RIGHTWARDS ARROW}"
PAIRS = 12  # bars of the most frequent pairs of answers
TABLED = 50  # pairs in the table
JOBS = 300  # jobs on the time line
PAIRED = ("changes", "mistakes", "said")  # charts that are tables where all bars are of one length


def draw_charts(run: Run) -> dict[str, Chart]:
    """Draw all charts for which a run has figures."""
    charts = {
        "funnel": funnel(run),
        "labels": labels(run),
        "reasons": reasons(run),
        "escalations": escalations(run),
        "confidence": confidence(run),
        "changes": changes(run),
        "said": said(run),
        "known": known(run),
        "mistakes": mistakes(run),
        "cost": cost(run),
        "timeline": timeline(run),
    }
    return {name: chart for name, chart in charts.items() if chart is not None}


def tier_names(run: Run) -> list[str]:
    """Name the tiers as people do; one model in two tiers gets the tier's number too."""
    names = [short_model(tier.model) for tier in run.tiers]
    return [name if names.count(name) == 1 else f"{name} (tier {n})" for n, name in enumerate(names)]


def funnel(run: Run) -> Chart | None:
    """Rows into records, and records through the tiers: the picture of the flow for a narrow page."""
    if not run.rows.total or not run.tiers:
        return None
    counts = count_arriving(run)
    lines = [Line("rows in", f"{run.rows.total:,}"), *map(Line, tier_names(run), (f"{count:,}" for count in counts))]
    for count, line, following in zip([0, *counts], lines, [*counts, 0], strict=True):
        if following:
            onward = "distinct records" if line is lines[0] else f"of {count:,} records go on to the next tier"
            line.pieces.append(Piece("stream", following, f"{line.name}: {following:,} {onward}"))
    for part in find_leaving(run, counts):
        line = lines[part.column]
        line.pieces.insert(0, Piece(part.style, part.count, f"{part.count:,} {part.name}, {part.detail}"))
    parts = [[f"{part.name}, {part.detail}", f"{part.count:,}"] for part in reversed(find_leaving(run, counts))]
    return Chart("How the rows went through the tiers", stacked(lines), ("What became of them", "Number"), parts)


def labels(run: Run) -> Chart | None:
    """Rows of each label, by the tier that gave it."""
    if not run.labels:
        return None
    names, total = tier_names(run), sum(run.labels.values())
    given: dict[str, dict[int, int]] = {}
    for item in run.findings.labels:
        given.setdefault(item.label, {})[item.tier] = item.rows
    lines, rows = [], []
    for label, count in sorted(run.labels.items(), key=lambda item: (-item[1], item[0])):
        share = percent(count, total)
        by_tier = given.get(label, {ALL_TIERS: count})
        pieces = [
            Piece(style_of(max(tier, 0)), part, f"{label}: {part:,} rows{_by(names, tier)}, {share} in all", tier)
            for tier, part in sorted(by_tier.items())
        ]
        lines.append(Line(label, f"{count:,} \N{MIDDLE DOT} {share}", pieces))
        rows.append([label, f"{count:,}", share, *(f"{by_tier.get(n, 0):,}" for n in range(len(names)))])
    return Chart("Rows of each label", stacked(lines), ("Label", "Rows", "Share", *names), rows)


def _by(names: Sequence[str], tier: int) -> str:
    return f" from {names[tier]}" if 0 <= tier < len(names) else ""


def reasons(run: Run) -> Chart | None:
    """Why rows have no label."""
    ordered = sorted(run.reasons.items(), key=lambda item: (-item[1], item[0]))
    if not ordered:
        return None
    total = sum(run.reasons.values())
    lines = [
        Line(
            code,
            f"{count:,} \N{MIDDLE DOT} {percent(count, total)}",
            [Piece(_blame(code), count, _reason_words(code, count, "rows"))],
        )
        for code, count in ordered
    ]
    rows = [[code, meaning(code), about(code) or NONE, f"{count:,}", percent(count, total)] for code, count in ordered]
    return Chart("Why rows have no label", stacked(lines), ("Reason", "Meaning", "About", "Rows", "Share"), rows)


def _blame(code: str) -> str:
    return {"row": "rejected", "run": "stream"}.get(about(code), "rest")


def _reason_words(code: str, count: int, of: str) -> str:
    told = meaning(code)
    return f"{code}: {count:,} {of}" + (f"; {told}" if told else "")


def meaning(code: str) -> str:
    """Say a reason in words; nothing for a code of another version."""
    return MEANING[Reason(code)] if code in set(Reason) else ""


def escalations(run: Run) -> Chart | None:
    """Why answers were not accepted, by the tier that gave them."""
    if not run.escalations:
        return None
    names = tier_names(run)
    by_reason: dict[str, dict[int, int]] = {}
    for item in run.escalations:
        by_reason.setdefault(item.reason, {})[item.tier] = item.records
    ordered = sorted(by_reason.items(), key=lambda item: (-sum(item[1].values()), item[0]))
    total = sum(item.records for item in run.escalations)
    lines, rows = [], []
    for code, by_tier in ordered:
        count = sum(by_tier.values())
        pieces = [
            Piece(style_of(tier), part, _reason_words(code, part, f"records{_by(names, tier)} went on"), tier)
            for tier, part in sorted(by_tier.items())
        ]
        lines.append(Line(code, f"{count:,} \N{MIDDLE DOT} {percent(count, total)}", pieces))
        rows.append([code, meaning(code), f"{count:,}", percent(count, total)])
    return Chart(
        "Why records went on to the next tier", stacked(lines), ("Reason", "Meaning", "Records", "Share"), rows
    )


def confidence(run: Run) -> Chart | None:
    """How sure each tier said it was, and whether that was enough."""
    found = run.findings.confidence
    if not found:
        return None
    lines, rows = [], []
    for tier, name in enumerate(tier_names(run)):
        parts = sorted(
            (part for part in found if part.tier == tier), key=lambda part: (not part.accepted, -_rank(part.confidence))
        )
        total = sum(part.rows for part in parts)
        if not total:
            continue
        pieces = []
        for part in parts:
            verdict = "accepted" if part.accepted else "not accepted"
            style = _sureness(part.confidence) if part.accepted else f"{_sureness(part.confidence)}-out"
            share = percent(part.rows, total)
            pieces.append(
                Piece(
                    style, part.rows / total, f"{name}, {part.confidence}: {part.rows:,} rows {verdict}, {share}", tier
                )
            )
            rows.append([name, part.confidence, verdict, f"{part.rows:,}", share])
        lines.append(Line(name, f"{total:,} rows", pieces))
    return Chart(
        "How sure the tiers were", stacked(lines, line=34), ("Tier", "It said", "The answer was", "Rows", "Share"), rows
    )


def _sureness(word: str) -> str:
    """Name the colour of a confidence; a word of another version gets the palest."""
    return word if word in set(Confidence) else Confidence.UNSURE.value


def _rank(word: str) -> int:
    return Confidence(word).rank if word in set(Confidence) else ALL_TIERS


def changes(run: Run) -> Chart | None:
    """Which answers a stronger tier changed into which."""
    found = run.findings
    return _pairs(
        "Which answers a stronger tier changed",
        [(change.first, change.final, change.rows) for change in found.changes],
        found.changed,
        ("First answer", "Accepted answer"),
        "tier-1",
    )


def mistakes(run: Run) -> Chart | None:
    """Which known answers were missed, and what was given in their place."""
    found = run.findings.mistakes
    return _pairs(
        "Which known answers were missed",
        [(mistake.known, mistake.given, mistake.rows) for mistake in found],
        run.gold.accepted - run.gold.right if run.gold else 0,
        ("Known answer", "Given answer"),
        "rest",
    )


def said(run: Run) -> Chart | None:
    """What models said in place of a label of the task, and which fields they gave that do not fit."""
    found, names = run.findings.said, tier_names(run)
    words = {Reason.FIELDS_INVALID.value: "field {}"}
    return _pairs(
        "What models said in place of an answer",
        [(names[item.tier], words.get(item.reason, "{}").format(item.detail), item.rows) for item in found],
        sum(item.rows for item in found),
        ("Tier", "What it said"),
        "rest",
    )


def _pairs(
    words: str, pairs: Sequence[tuple[str, str, int]], total: int, head: tuple[str, str], style: str
) -> Chart | None:
    if not pairs:
        return None
    listed = [(_named(first), _named(second), count) for first, second, count in pairs]
    shown = listed[:PAIRS]
    short = max(len(first) + len(second) for first, second, _ in shown) <= SHORT
    lines = []
    for first, second, count in shown:
        parts = (first, f"{ARROW} {second}")
        piece = Piece(style, count, f"{first} {ARROW} {second}: {count:,} rows")
        figures = f"{count:,} \N{MIDDLE DOT} {percent(count, total)}"
        lines.append(Line(" ".join(parts), figures, [piece], () if short else parts))
    rows = [[first, second, f"{count:,}", percent(count, total)] for first, second, count in listed[:TABLED]]
    return Chart(words, stacked(lines, line=LINE if short else DOUBLE), (*head, "Rows", "Share"), rows)


def _named(answer: str) -> str:
    return answer or "(no label)"


def known(run: Run) -> Chart | None:
    """How often accepted rows agree with the known answers: by tier, and by how sure it was."""
    if run.gold is None or not run.gold.accepted:
        return None
    lines, rows = [], []
    for tier, name in enumerate(tier_names(run)):
        for word, right, accepted in _agreement(run, tier):
            whole = f"{name}, {word}" if word else name
            share, style = percent(right, accepted), f"{style_of(tier)}-pale" if word else style_of(tier)
            words = f"{whole}: {share} right, {right:,} of {accepted:,} rows"
            lines.append(Line(whole, f"{share} of {accepted:,}", [Piece(style, right / accepted, words, tier)]))
            rows.append([name, word or "all", f"{right:,}", f"{accepted:,}", share])
    head = ("Tier", "It said", "Right", "Rows", "Share")
    return Chart("How often the known answer was given", stacked(lines, longest=1), head, rows)


def _agreement(run: Run, tier: int) -> list[tuple[str, int, int]]:
    """Right and accepted rows of a tier: in all, then by how sure it was."""
    in_all = [("", gold.right, gold.accepted) for gold in run.gold.tiers if gold.tier == tier] if run.gold else []
    parts = [part for part in run.findings.known if part.tier == tier]
    words = sorted({part.confidence for part in parts if part.confidence}, key=_rank, reverse=True)
    by_word = []
    for word in words:
        of_word = [part for part in parts if part.confidence == word]
        right = sum(part.rows for part in of_word if part.right)
        by_word.append((word, right, sum(part.rows for part in of_word)))
    return [item for item in (*in_all, *by_word) if item[2]]


def cost(run: Run) -> Chart | None:
    """What each tier cost, beside the last tier alone; None when the run is not complete or a price is unknown."""
    costs = [tier.cost_usd for tier in run.tiers if tier.cost_usd is not None]
    if not run.complete or len(costs) < len(run.tiers) or run.baseline_usd is None:
        return None
    if not max(sum(costs), run.baseline_usd):
        return None
    names = tier_names(run)
    pieces = [
        Piece(style_of(n), usd, f"{names[n]}: {dollars(usd)} of this run", n) for n, usd in enumerate(costs) if usd
    ]
    alone = f"{names[-1]} alone"
    estimate = Piece("alone", run.baseline_usd, f"{alone}, every record: {dollars(run.baseline_usd)}, an estimate")
    lines = [Line("this run", dollars(run.cost_usd), pieces), Line(alone, dollars(run.baseline_usd), [estimate])]
    rows = [[name, dollars(usd)] for name, usd in zip(names, costs, strict=True)]
    rows += [["this run", dollars(run.cost_usd)], [alone, dollars(run.baseline_usd)]]
    return Chart("Cost of this run beside the last tier alone", stacked(lines, line=34), ("What", "Cost"), rows)


def timeline(run: Run) -> Chart | None:
    """When each job was submitted and ended; of very many the longest ones."""
    jobs = [(job, times) for job in run.jobs if (times := _times(job)) is not None]
    if not jobs:
        return None
    longest = sorted(jobs, key=lambda item: item[1][0] - item[1][1])[:JOBS]
    shown = sorted(longest, key=lambda item: (item[0].round, item[1], str(item[0].job)))
    names = tier_names(run)
    values = [
        {
            "name": f"round {job.round}, job {job.job}",
            "begin": times[0],
            "end": times[1],
            "style": style_of(job.tier) if job.completed else "bad",
            "tier": job.tier,
            "words": f"round {job.round}, job {job.job}{_by(names, job.tier)}: {job.records:,} records, {job.status}, "
            f"{moment(job.submitted)} to {moment(job.ended)} UTC, {duration((times[1] - times[0]) / 1000)}",
        }
        for job, times in shown
    ]
    return Chart("When the jobs ran", gantt(values))


def _times(job: RunJob) -> tuple[int, int] | None:
    """Return begin and end of a job in milliseconds; None when one is missing or they stand the wrong way round."""
    try:
        begin, end = (datetime.fromisoformat(stamp or "").timestamp() * 1000 for stamp in (job.submitted, job.ended))
    except (ValueError, OverflowError):
        return None
    return (round(begin), round(end)) if begin <= end else None
