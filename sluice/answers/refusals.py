"""Refusals: what a message of Bedrock's says, whether it is about one text, and whether trying again can mend it."""

from __future__ import annotations

import re

NULL = "set temperature to null"
OUT = "take {key} out of request; where the task does not give it, the model's entry in models.yaml does"
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
# What is about the right to call the model, and so about no text; the numbers that Bedrock's records have for it.
OF_ACCESS = re.compile(
    r"access ?denied|not authorized|unauthorized|have access|not allowed to (access|invoke)"
    r"|no permission|lacks? (the )?permission|subscription|marketplace|use case details"
    r"|^(401|403)\b",
    re.IGNORECASE,
)
# What a message asks to have changed in the tier, by the task file's names.
REMEDIES = tuple(
    (re.compile(pattern, re.IGNORECASE), do)
    for pattern, do in (
        (r"(?<![\w.])temperature\W{1,3}.{0,20}(deprecated|not supported|unsupported|not permitted|extra inputs)", NULL),
        (r"extraneous key \[temperature\]", NULL),
        (r"maximum tokens you requested exceeds the model limit of (?P<most>\d+)", "set max_tokens to {most} or less"),
        (r"max_?tokens\b.{0,40}(exceed|between|maximum|less than|at most|too (large|high))", "set max_tokens lower"),
        (r"extraneous key \[(?P<key>[^\]]{1,60})\]", OUT),
        (r"(?:additionalModelRequestFields\.)?(?P<key>[\w.-]{1,60})\W{1,3}extra inputs are not permitted", OUT),
        (r"`(?P<key>[\w.-]{1,60})` is (deprecated|not supported)", OUT),
        (r"(?P<key>thinking)\b.{0,60}(not supported|invalid|must|expected|requires?)", OUT),
        (r"on-demand throughput", "set model to the id of an inference profile, such as us.<its id>"),
        (r"(model identifier is invalid|no such model|end of its life|end of life)", "set model to another one"),
    )
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


def of_access(message: str) -> bool:
    """Whether a refusal is about the right to call the model: then no text can pass, whatever was answered before."""
    return not of_text(message) and OF_ACCESS.search(message) is not None


def to_change(message: str, model: str) -> str:
    """A sentence on what to change in a task of which a model refuses all; nothing where the message names no field."""
    do = remedy(message, f"the tier of {model}")  # a pilot numbers tiers otherwise
    return f" Change it {do}." if do else ""


def remedy(message: str, tier: str) -> str | None:
    """What to change in a task, at the tier that is refused so; None where the message names no field."""
    for pattern, do in REMEDIES:
        if found := pattern.search(message):
            return f"in the task, at {tier}: {do.format(**found.groupdict())}"
    return None
