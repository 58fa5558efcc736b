"""What is wrong with a task that asks for scores, for rows that teach, or for a tier that the run teaches itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sluice.task.tiers import Tier

TEACH = "add `train: 2000`: so many rows drawn at random, about which the last tier is asked"


def score_problems(task: Mapping[str, Any], tiers: Sequence[Tier], *, gives_more: bool) -> list[str]:
    """What a task cannot ask of its tiers; `task`: its other fields as far as they are right, by name.

    `gives_more`: an answer holds more than labels.
    """
    return [
        *_of_audit(task, tiers),
        *_of_train(task, tiers),
        *_of_gate(task, tiers),
        *_of_learned(task, tiers, gives_more=gives_more),
    ]


def _of_audit(task: Mapping[str, Any], tiers: Sequence[Tier]) -> Iterator[str]:
    if not task.get("audit"):
        return
    if task.get("quality"):
        yield "audit: leave it out beside quality, whose sample measures the same"
    elif not task.get("labels", True):
        yield "audit: a task without labels has nothing that could agree; leave it out"
    elif len(tiers) == 1:
        only = "one tier answers every row: there is none that it could be compared with"
        yield f"audit: {only}; leave it out or add a tier"


def _of_train(task: Mapping[str, Any], tiers: Sequence[Tier]) -> Iterator[str]:
    if not task.get("train"):
        return
    if task.get("quality"):
        yield "train: leave it out beside quality, which has a train of its own"
    elif not task.get("labels", True):
        yield "train: a task without labels has nothing that could be taught; leave it out"
    elif len(tiers) == 1:
        yield "train: one tier answers every row: there is none that it could teach; leave it out or add a tier"
    elif "gates" in task and task["gates"].min_score is None and not tiers[0].is_learned:
        yield (
            "train: teaches nothing in this task: add gates.min_score, for example 0.8, or {kind: learned, "
            "min_score: 0.9} as the first tier; or leave it out"
        )


def _of_gate(task: Mapping[str, Any], tiers: Sequence[Tier]) -> Iterator[str]:
    if "gates" not in task or task["gates"].min_score is None:
        return
    if task.get("quality"):
        yield "gates.min_score: leave it out beside quality, where the certificate decides which score is enough"
    elif tiers[0].is_learned:
        yield "gates.min_score: leave it out beside a learned tier, whose own min_score decides"
    elif not task.get("labels", True):
        yield "gates.min_score: a task without labels has no answers that could be scored; leave it out"
    elif len(tiers) == 1:
        yield "gates.min_score: there is no tier to which a lower score could send an answer; leave it out or add one"
    elif not _teaches(task):
        yield f"gates.min_score: nothing teaches the score; {TEACH}"


def _of_learned(task: Mapping[str, Any], tiers: Sequence[Tier], *, gives_more: bool) -> Iterator[str]:
    for number, tier in enumerate(tiers):
        if tier.min_score is not None and not tier.is_learned:
            yield f"tiers.{number}.min_score: is for a learned tier; gates.min_score is for the answers of models"
        if tier.is_learned and number:
            yield f"tiers.{number}: learned answers first: what it passes on, the models behind it answer"
        if tier.is_learned and tier.pack > 1:
            yield f"tiers.{number}.pack: learned answers each record alone; leave it out"
    if tiers[0].is_learned:
        yield from _of_learned_first(task, tiers, gives_more=gives_more)


def _of_learned_first(task: Mapping[str, Any], tiers: Sequence[Tier], *, gives_more: bool) -> Iterator[str]:
    first = tiers[0]
    if len(tiers) == 1:
        yield "tiers: learned is taught by the last tier's answers: add a model behind it"
    if gives_more:
        yield "tiers: learned gives labels alone: leave answer.evidence and answer.fields out"
    elif not task.get("labels", True):
        yield "tiers: learned gives labels alone, and the task has none"
    if task.get("quality"):
        if first.min_score is not None:
            yield "tiers.0.min_score: leave it out beside quality, where the certificate decides which score is enough"
    elif not _teaches(task):
        yield f"tiers: nobody would teach learned, or ask the last tier about what it accepts; {TEACH}"
    elif first.min_score is None:
        yield "tiers.0.min_score: missing; how likely the last tier has to give the same label, for example 0.9"


def _teaches(task: Mapping[str, Any]) -> bool:
    """Whether rows are drawn; where what says so is wrong, that mistake comes first."""
    return any(name not in task or task[name] for name in ("train", "audit", "quality"))
