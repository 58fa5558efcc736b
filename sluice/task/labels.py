"""The labels of a task: a mapping, a list or a CSV file, and how many of them a row may get."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from sluice.task.base import Strict, Whole
from sluice.task.label_file import label_text, labels_of_table
from sluice.task.problems import QUOTE_IT, ProblemsError, shown
from sluice.task.spelling import plain_form, printable_name

if TYPE_CHECKING:
    from pathlib import Path

MAX_LABELS = 1_000  # the list stands in every request: a thousand described labels are about 30,000 tokens
MAX_LABEL_CHARACTERS = 200
PLACEHOLDER = "describe this label"  # what a drafted task says of a label, until somebody does


class LabelCount(Strict):
    """How many labels a row may get."""

    min: Annotated[Whole, Field(ge=0)] = Field(1, description="The fewest labels of a row; 0: a row may get none.")
    max: Annotated[Whole, Field(ge=1)] = Field(description="The most labels of a row.")


def read_labels(value: object, base: Path | None) -> dict[str, str]:
    """Labels of any of the three shapes as name -> description.

    Raises:
        ProblemsError: all that is wrong with them.

    """
    if isinstance(value, str):
        pairs = _label_file(value, base)
    elif isinstance(value, Mapping):
        pairs = list(value.items())
    elif isinstance(value, list | tuple):
        pairs = [(name, None) for name in value]
    else:
        raise ValueError("should be a mapping of name to description, a list of names, or the path of a CSV file")  # noqa: TRY004
    found = [problem for name, description in pairs for problem in _label_problems(name, description)]
    counts = Counter(unicodedata.normalize("NFC", name) for name, _ in pairs if isinstance(name, str))
    found += [f"labels: {name!r} stands there {count} times" for name, count in counts.items() if count > 1]
    if len(pairs) > MAX_LABELS:
        found.append(f"labels: {len(pairs):,} are too many; at most {MAX_LABELS:,} are allowed")
    if found:
        raise ProblemsError(found)
    return {name: description or "" for name, description in pairs}


def _label_problems(name: object, description: object) -> list[str]:
    if not isinstance(name, str):
        return [f"labels: {name!r} is not text; {QUOTE_IT}"]
    found = []
    if not plain_form(name) or name != name.strip():
        found.append(f"labels: {name!r} is empty, or begins or ends with a space")
    elif not printable_name(name):
        found.append(f"labels: {name!r} holds a line break or another character that cannot be printed")
    if len(name) > MAX_LABEL_CHARACTERS:
        found.append(f"labels: {shown(name)} is longer than {MAX_LABEL_CHARACTERS} characters")
    if description is not None and not isinstance(description, str):
        found.append(f"labels.{name}: the description {description!r} is not text; {QUOTE_IT}")
    return found


def _label_file(name: str, base: Path | None) -> list[tuple[Any, Any]]:
    if base is None:
        raise ValueError("should hold the labels themselves: a path is read relative to a task file")
    path = base / name
    try:
        text = label_text(path)
    except OSError:
        raise ValueError(f"is read as the path of a CSV file, and there is no file {path}") from None
    pairs = labels_of_table(text, path)
    if pairs is None:
        raise ValueError(f"names {path}, whose first line should hold the columns name and, optionally, description")
    return list(pairs)


def described(description: str) -> str:
    """A label's description, empty while it is the placeholder of a drafted task."""
    return "" if PLACEHOLDER in description.casefold() else description.strip()


def check_choose(choose: object, labels: int) -> None:
    if choose != "one" and not labels:
        raise ValueError("needs labels to choose from")
    if isinstance(choose, LabelCount):
        if choose.min > choose.max:
            raise ValueError(f"min {choose.min} is above max {choose.max}")
        if choose.max > labels:
            raise ValueError(f"max {choose.max} is above the number of labels, {labels}")


def check_none(choose: object) -> None:
    """Refuse a label that says that nothing fits where it can never stand alone."""
    if isinstance(choose, LabelCount) and choose.min > 1:
        problem = f"says that nothing fits, so it stands alone, and choose.min is {choose.min}"
        raise ValueError(f"{problem}; set choose.min to 1, or leave none out")
