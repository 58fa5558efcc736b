"""Texts with their right answers, which the model is shown."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import Field, model_serializer

from sluice.task.answer import Answer
from sluice.task.base import Strict
from sluice.task.labels import LabelCount
from sluice.task.problems import QUOTE_IT, nearest, shown

MAX_EXAMPLES = 100


class Example(Strict):
    """A text with its right answer: text by field (`text` when it was given as a whole), labels, further fields."""

    text: dict[str, str]
    labels: tuple[str, ...] = ()
    fields: dict[str, Any] = Field({})

    @model_serializer
    def as_written(self) -> dict[str, Any]:
        """The flat shape of the task file."""
        return {"text": self.text, **({"labels": list(self.labels)} if self.labels else {}), **self.fields}


class ExampleReader:
    """Sorts the flat keys of an example into text, labels and fields, and collects what is wrong."""

    def __init__(
        self,
        text: tuple[str, ...],
        labels: dict[str, str],
        choose: str | LabelCount,
        answer: Answer,
        none: str | None = None,
    ) -> None:
        self._text = text
        self._none = none
        self._labels = labels
        self._choose = choose
        self._fields = answer.fields
        self.problems: list[str] = []

    def read(self, place: str, example: object) -> dict[str, Any]:
        """One example in the shape of `Example`; nonsense if `problems` were found."""
        if isinstance(example, Example):
            example = example.as_written()
        if not isinstance(example, Mapping):
            self.problems.append(f"{place}: {shown(example)} should be a mapping of text, label and fields")
            return {}
        rest = {str(key): value for key, value in example.items()}
        return {
            "text": self._read_text(place, rest),
            "labels": self._read_labels(place, rest),
            "fields": self._read_fields(place, rest),
        }

    def _read_text(self, place: str, rest: dict[str, Any]) -> dict[str, str]:
        whole = rest.pop("text", None)
        given = {path: rest.pop(path) for path in self._text if path in rest}
        if isinstance(whole, Mapping):
            given |= {str(key): value for key, value in whole.items()}
        elif whole is not None:
            if given and "text" not in self._text:
                self.problems.append(f"{place}.text: stands beside {', '.join(given)}; give one or the other")
            single = len(self._text) == 1 and not given
            given[self._text[0] if single else "text"] = whole
        if not given:
            self.problems.append(f"{place}.text: missing; give text, or {' and '.join(self._text)}")
        for path, value in given.items():
            if not isinstance(value, str) or not value:
                self.problems.append(f"{place}.{path}: {shown(value)} should be a text")
            if path not in (*self._text, "text"):
                self.problems.append(f"{place}.text.{path}: is not in input.text ({', '.join(self._text)})")
        return given

    def _read_labels(self, place: str, rest: dict[str, Any]) -> list[str]:
        one, several = rest.pop("label", None), rest.pop("labels", None)
        if one is not None and several is not None:
            self.problems.append(f"{place}.label: stands beside labels; give one of them")
        given = several if isinstance(several, list | tuple) else [] if one is None else [one]
        if several is not None and not isinstance(several, list | tuple):
            self.problems.append(f"{place}.labels: {shown(several)} should be a list of labels")
        for label in given:
            if not isinstance(label, str):
                self.problems.append(f"{place}.label: {label!r} is not text; {QUOTE_IT}")
            elif label not in self._labels:
                self.problems.append(f"{place}.label: {label!r} is none of the labels{nearest(label, self._labels)}")
        self._check_count(place, list(given))
        return list(given)

    def _check_count(self, place: str, given: list[Any]) -> None:
        if not self._labels:
            return
        low, high = 1, 1 if self._choose == "one" else len(self._labels)
        if isinstance(self._choose, LabelCount):
            low, high = self._choose.min, self._choose.max
        if not low <= len(given) <= high or len(set(map(str, given))) < len(given):
            wanted = str(low) if low == high else f"{low} to {high}"
            self.problems.append(f"{place}.label: {shown(given)} should be {wanted} different label(s)")
        elif self._none in given and len(given) > 1:
            self.problems.append(f"{place}.label: {self._none!r} says that nothing fits, so it should stand alone")

    def _read_fields(self, place: str, rest: dict[str, Any]) -> dict[str, Any]:
        known = [*self._text, "text", "label", "labels", *self._fields]
        for name in set(rest) - set(self._fields):
            self.problems.append(f"{place}.{name}: no such field{nearest(name, known)}")
        for name, field in self._fields.items():
            if not field.admits(rest.get(name)):
                given = shown(rest[name]) if name in rest else "missing"
                schema = json.dumps(field.schema_property(), ensure_ascii=False)
                self.problems.append(f"{place}.{name}: {given} does not fit answer.fields.{name} {schema}")
        return {name: rest.get(name) for name in self._fields}
