"""What promises about single labels take: how many sampled rows each, and how many are to be expected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sluice.task.task import Task

NAMED = 10  # labels that warnings name


def floors_of(task: Task, known: Mapping[str, int]) -> list[dict[str, Any]]:
    """The floors of a task with how many sampled rows each takes, and how many are expected.

    `known` counts the known answers of the input by label; without any, all labels are taken for as frequent.
    """
    if task.quality is None:
        return []
    total, sample = sum(known.values()), task.quality.sample
    return [
        {
            "label": label,
            "keep": str(task.quality.floors[label]),
            "needs": needs,
            "expected": round(sample * known.get(label, 0) / total if total else sample / len(task.labels)),
            "basis": "by known answers" if total else "if all labels are as frequent",
        }
        for label, needs in task.quality.floor_samples().items()
    ]


def floors_in_words(floors: Sequence[Mapping[str, Any]]) -> str:
    """Say what they take."""
    least, most = (f"{find(floor['needs'] for floor in floors):,}" for find in (min, max))
    each = least if least == most else f"{least} to {most}"
    count = "the floor of one label takes" if len(floors) == 1 else f"the floors of {len(floors):,} labels each take"
    return f"Floors: {count} {each} sampled rows that the first tier calls so."


def too_small(floors: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Warn of the floors for which the sample is likely to be too small; of many the first ones are named."""
    short = [floor for floor in floors if floor["expected"] < floor["needs"]]
    for floor in short[:NAMED]:
        expected = f"about {floor['expected']:,} are expected ({floor['basis']})"
        yield (
            f"quality.floors.{floor['label']}: takes {floor['needs']:,} sampled rows that the first tier calls so, and "
            f"{expected}: with fewer all such rows go to the last tier; a larger quality.sample helps"
        )
    if len(short) > NAMED:
        yield f"quality.floors: the same is likely of {len(short) - NAMED:,} more labels"
