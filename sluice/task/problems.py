"""What is wrong with a task file, in YAML's words: one sentence for each mistake."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

if TYPE_CHECKING:
    from collections.abc import Mapping

# Unquoted in YAML, these are no text; the advice is the same wherever a label stands.
QUOTE_IT = "write it in quotes: YAML reads a plain yes, no, on, off, null, number or date as something else than text"


class ProblemsError(ValueError):
    """Several mistakes found by one check, each a whole sentence that begins with its field."""

    def __init__(self, sentences: list[str]) -> None:
        self.sentences = sentences
        super().__init__("; ".join(sentences))


# What pydantic says in Python's words.
_IN_YAML = {
    "bool_type": "should be a boolean, true or false",
    "dict_type": "should be a mapping",
    "float_type": "should be a number",
    "model_type": "should be a mapping",
    "string_type": "should be text",
    "too_short": "should hold at least 1",
    "tuple_type": "should be a list",
}


def problems_of(error: ValidationError, places: Mapping[str, type[BaseModel]], at: str = "") -> list[str]:
    """One sentence per mistake: the field's dotted path, its value, what is allowed."""
    found: list[str] = []
    for item in error.errors(include_url=False):
        cause = item.get("ctx", {}).get("error")
        parts = [at, *map(str, item["loc"])] if at else [str(part) for part in item["loc"]]
        path = ".".join(parts)
        if item["type"] == "too_short" and len(item["input"]) >= item["ctx"]["min_length"]:
            continue  # what is missing there was refused above, with its own reason
        if isinstance(cause, ProblemsError):
            found += cause.sentences
        elif isinstance(cause, ValidationError):
            found += problems_of(cause, places, path)
        elif item["type"] == "missing":
            found.append(f"{path}: is required")
        elif item["type"] == "extra_forbidden":
            holder = places.get(".".join(part for part in parts[:-1] if not part.isdigit()), BaseModel)
            names = [field.alias or name for name, field in holder.model_fields.items()]
            found.append(f"{path}: no such field{nearest(parts[-1], names)}")
        else:
            allowed = words_of(item)
            found.append(f"{path}: {shown(item['input'])}: {allowed}")
    return found


def words_of(mistake: Mapping[str, Any]) -> str:
    """What is allowed in place of a mistake that pydantic has found, without the library's own words."""
    if cause := mistake.get("ctx", {}).get("error"):
        return str(cause)
    said: str = mistake["msg"]
    return _IN_YAML.get(mistake["type"], said.replace("Input should", "should"))


def nearest(name: str, names: Any) -> str:
    """A clause with the nearest of `names`, or a few of them."""
    known = [str(item) for item in names]
    near = get_close_matches(name, known, n=1)
    listed = ", ".join(known[:20]) + (", …" if len(known) > 20 else "")
    return (f"; did you mean {near[0]}?" if near else ".") + (f" There are: {listed}" if listed else "")


def shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:60]}… ({len(text)} characters)"
