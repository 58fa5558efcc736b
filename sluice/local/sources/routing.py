"""Answers for a task with a router, which asks the first tier's model two things: each by a source of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from sluice.answers.requests import system_prompt

if TYPE_CHECKING:
    from sluice.local.requests import Request
    from sluice.local.sources.source import Reply, Source
    from sluice.task.task import Task


class WithRouter:
    """Hands the router's question to one source, and all else to another."""

    def __init__(self, task: Task, source: Source, router: Source) -> None:
        self.source, self.router = source, router
        self.name, self.concurrency = source.name, source.concurrency
        self.question = msgspec.json.encode(system_prompt(task.routing))[1:-1]

    def answer(self, request: Request, run: str | None) -> Reply:
        """The reply of whoever is asked.

        Raises:
            NoAnswer: there is none.
        """
        return (self.router if self.question in request.raw else self.source).answer(request, run)
