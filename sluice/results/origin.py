"""Who gave the answers of a run, in words: what a stand-in or a recording says is marked as such."""

from __future__ import annotations

import re

from sluice.runs.state import JUDGED_AGAIN, OF

OF_TIERS = re.compile(r"(\d+)=(.+?)(?= \d+=|$)", re.DOTALL)


def stand_in(answers: str) -> tuple[str, str] | None:
    """Say in a headline and a sentence where the answers came from, or None when Bedrock gave them."""
    of_tiers = OF_TIERS.findall(answers) if OF_TIERS.match(answers) else []
    if len(of_tiers) > 1:
        return _of_several([(tier, source) for tier, source in of_tiers])
    kind, _, rest = answers.partition(":")
    match kind:
        case "bedrock":
            return None
        case "standin":
            return (
                "Stand-in answers",
                "A small program answered in place of the models: labels are its guesses, costs an estimate.",
            )
        case "replay":
            return "Recorded answers", f"The answers were replayed from {rest}; no model was asked."
        case "rejudge":
            return _judged_again(*rest.partition(OF)[::2])
        case "openai":
            return "Answers of your own server", f"{_who(answers)} answered; Bedrock was not asked."
        case _:
            return "Answers of unknown origin", f"run.json names {answers} as the source of the answers."


def made_up(answers: str) -> bool:
    """Whether some answers are a stand-in's or a recording's."""
    answers = answers.partition(OF)[2] if answers.startswith(JUDGED_AGAIN) else answers
    sources = [source for _, source in OF_TIERS.findall(answers)] if OF_TIERS.match(answers) else [answers]
    return any(source.partition(":")[0] in {"standin", "replay"} for source in sources)


def _judged_again(run: str, answers: str) -> tuple[str, str]:
    judged = f"The stored answers of {run} were judged anew; nothing was bought."
    before = stand_in(answers) if answers else None
    return ("Judged again", judged) if before is None else (f"{before[0]}, judged again", f"{judged} {before[1]}")


def _of_several(of_tiers: list[tuple[str, str]]) -> tuple[str, str]:
    headline = "Stand-in answers in part" if any(source == "standin" for _, source in of_tiers) else "Answers by tier"
    return headline, "; ".join(f"tier {tier}: {_who(source)}" for tier, source in of_tiers) + "."


def _who(source: str) -> str:
    kind, _, rest = source.partition(":")
    server, _, model = rest.rpartition("#")
    names = {"openai": f"{model} at {server}", "bedrock": "Bedrock", "replay": f"replayed from {rest}"}
    return names.get(kind, "a small program, whose labels are guesses")
