"""Answers for a task with a router or a judge, which ask other things, too: each by a source of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from sluice.answers.requests import system_prompt

if TYPE_CHECKING:
    from sluice.local.requests import Request
    from sluice.local.sources.source import Reply, Source
    from sluice.task.task import Task


class WithQuestions:
    """Hands each question that is not the task itself to a source of its own, and all else to another."""

    def __init__(self, source: Source, others: list[tuple[Task, Source]]) -> None:
        self.source = source
        self.name, self.concurrency = source.name, source.concurrency
        self.others = [
            (msgspec.json.encode(system_prompt(question, packed=packed))[1:-1], other)
            for question, other in others
            for packed in (False, True)
        ]

    def answer(self, request: Request, run: str | None) -> Reply:
        """The reply of whoever is asked.

        Raises:
            NoAnswer: there is none.
        """
        source = next((other for question, other in self.others if question in request.raw), self.source)
        return source.answer(request, run)
