"""How the answers of a run on this machine are told while it goes on."""

from __future__ import annotations

import io

from rich.console import Console

from sluice.cli.answering import Rate
from sluice.cli.display import Lines, picture
from sluice.runs.calls import Calls, Waiting
from sluice.runs.progress import JobProgress, JobState, RoundProgress, Snapshot, Stage


def at(answered: int, **calls: object) -> Snapshot:
    jobs = (JobProgress(0, 0, 400, JobState.SETTLED, accepted=390), JobProgress(1, 0, 600, JobState.RUNNING))
    told = Calls(answered=answered, input_tokens=10 * answered, output_tokens=answered, **calls)  # type: ignore[arg-type]
    known = {"models": ("qwen3:8b",), "rows": 1000, "records": 1000}
    return Snapshot("r1", Stage.CLASSIFY, rounds=(RoundProgress(0, jobs),), calls=told, **known)  # type: ignore[arg-type]


def told(*looks: tuple[float, Snapshot]) -> list[str]:
    """The lines of a log, looked at these seconds."""
    stream, clock = io.StringIO(), iter([0.0, *(moment for moment, _ in looks)])
    lines = Lines(stream, "t", clock=lambda: next(clock))
    for _, snapshot in looks:
        lines.show(snapshot)
    return stream.getvalue().splitlines()


def test_a_log_gets_a_line_every_ten_seconds() -> None:
    """With the rate, what was accepted, errors by kind, tokens and the time left of the round."""
    looks = [(float(n), at(n * 40)) for n in range(1, 24)]
    lines = [line for line in told(*looks) if "answered" in line]
    assert lines == [
        "400 of 1,000 records answered; 40 a second; 390 accepted; tokens 4,000 in, 400 out; 0:15 left in this round",
        "800 of 1,000 records answered; 40 a second; 390 accepted; tokens 8,000 in, 800 out; 0:05 left in this round",
    ]
    troubled = at(400, kept=300, repeated=7, refused=1, failed={"throttled": 5, "status 500": 2}, estimated=3)
    (line,) = [line for line in told((0.0, at(300, kept=300)), (10.0, troubled)) if "answered" in line]
    assert "400 of 1,000 records answered, 300 of them kept; 10 a second" in line
    assert (
        "7 calls repeated; 1 without an answer; errors: 2 status 500, 5 throttled; tokens ≈4,000 in, ≈400 out" in line
    )


def test_a_server_that_is_waited_for_is_named_at_once() -> None:
    """And counted down every ten seconds."""
    away = [at(10, waiting=Waiting("http://x/v1 cannot be reached", 900.0 - n)) for n in (0, 5, 12)]
    lines = [line for line in told((1.0, at(10)), (2.0, away[0]), (7.0, away[1]), (14.0, away[2])) if "waiting" in line]
    assert lines == [
        "http://x/v1 cannot be reached: waiting for it, 15:00 more",
        "http://x/v1 cannot be reached: waiting for it, 14:48 more",
    ]


def test_a_terminal_shows_the_same() -> None:
    """Under the tiers; a model without a price costs nothing that could be shown."""
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(picture(at(400, waiting=Waiting("http://x/v1 answers 503", 61)), "t", 3.0, rate=40.0))
    shown = console.export_text()
    for said in ("400 of 1,000 records answered", "40 a second", "0:15 left", "waiting for it, 1:01 more"):
        assert said in shown
    assert "$" in shown or "unknown" not in shown


def test_a_rate_rests_on_the_last_half_minute() -> None:
    """And on no reply that was found."""
    rate = Rate()
    assert rate.per_second is None
    for second in range(61):
        rate.see(second, Calls(answered=1000 + (10 if second < 30 else 20) * second, kept=1000))
    assert rate.per_second is not None
    assert 19 < rate.per_second < 31
