"""Refusals: what a message of Bedrock's says, whether it is about one text, and whether trying again can mend it."""

from __future__ import annotations

import re

# Of a job, or of a tier's jobs in a round: where more records than this were refused and none was answered, it is no
# matter of theirs, whatever the words.
FEW = 20
REFUSED_JOB = "Refused"  # the status of a job of which no request was taken; Bedrock's own statuses are about its jobs
# What trying again cannot mend, in the words of Bedrock's messages; for the jobs that are too small for that rule.
PERMANENT = (
    "accessdenied",
    "access denied",
    "not authorized",
    "have access",  # "You don't have access to the model with the specified model ID."
    "permission",
    "not supported",
    "extra inputs",
    "is invalid",
    "does not exist",
    "resourcenotfound",
    "not found",  # of an OpenAI-compatible server: model "x" not found
    "no such model",
    "unauthorized",
)
# So Bedrock calls what is wrong with a request of every record, and what is wrong with the text of one.
GENERIC = "validationexception"
# What is about the text that was sent: its length, or what it says. Another text, or another model, may well pass.
OF_TEXT = re.compile(
    r"too long|too large|too many input tokens|maxlength|reduce the (length|size|prompt|input)"
    r"|(context|input|prompt)[ _-](length|window|size)|(input|prompt) (tokens|exceeds|is longer)"
    r"|content[ _-]?(filter|polic|management|moderation)|moderation|guardrail|responsible ai|safety"
    r"|inappropriate|harmful|offensive|flagged|(violate|against)\w* .{0,40}polic",
    re.IGNORECASE,
)
# What differs between two messages that say the same: ids of requests and records, and numbers.
VARIES = re.compile(r"\b(?=[\w-]*\d)[\w-]+\b")


def of_text(message: str) -> bool:
    """Whether a refusal is about the length or the content of the text, and so about no other record."""
    return OF_TEXT.search(message) is not None


def bare(message: str) -> str:
    """A message without what differs from record to record: whatever holds a digit."""
    return VARIES.sub("#", message)


def lasts(message: str, *, alike: bool) -> bool:
    """Whether trying again cannot mend what a message tells: by its words, or since all say the same (`alike`)."""
    lowered = message.lower()
    return any(word in lowered for word in PERMANENT) or (GENERIC in lowered and alike)
