"""The form of a task's answers as a JSON schema, for servers that hold a model to one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sluice.task.answer import Confidence

if TYPE_CHECKING:
    from sluice.task.task import Task


def answer_schema(task: Task) -> dict[str, Any]:
    """An object with every member of the answer, in the order in which the instructions name them."""
    members: dict[str, Any] = {}
    if task.labels:
        one = {"type": "string", "enum": list(task.labels)}
        members |= {"labels": {"type": "array", "items": one}} if task.many else {"label": one}
    if task.answer.confidence:
        members["confidence"] = {"type": "string", "enum": [word.value for word in reversed(Confidence)]}
    if task.answer.evidence:
        members["evidence"] = {"type": "string"}
    members |= {name: field.schema_property() for name, field in task.answer.fields.items()}
    return {"type": "object", "properties": members, "required": list(members), "additionalProperties": False}


def response_format(task: Task, kind: str | None) -> dict[str, Any] | None:
    """What a request says of the form of its answer: nothing, any object, or the schema."""
    if kind is None:
        return None
    if kind == "json_object":
        return {"type": kind}
    return {"type": kind, "json_schema": {"name": "answer", "strict": True, "schema": answer_schema(task)}}
