"""Which rows start at a stronger tier than the first, and which end before the last: by what stands in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from pydantic import Field, field_validator

from sluice.task.base import Strict, Whole
from sluice.task.problems import ProblemsError
from sluice.task.schema import check_schema, unknown_words

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MAX_ROUTES = 20  # each has two flags of one byte in stored rows


class Course(NamedTuple):
    """The tiers that a record may be sent to: from `tier` up to and with `last`."""

    tier: int
    last: int


class Route(Strict):
    """Rows of one kind, with the tiers that they may be sent to."""

    when: dict[str, Any] = Field(description="JSON Schema over the row: which rows the route takes.")
    tier: Annotated[Whole, Field(ge=0)] = Field(
        0, description="The tier at which they start, counted from 0 as in the results."
    )
    last: Annotated[Whole, Field(ge=0)] | None = Field(
        None, description="The last tier that they may be sent to; none: that of all rows."
    )

    @field_validator("when")
    @classmethod
    def _is_a_schema(cls, value: dict[str, Any]) -> dict[str, Any]:
        check_schema(value)
        return value

    def course(self, tiers: int) -> Course:
        """The tiers that its rows may be sent to, of so many."""
        return Course(self.tier, tiers - 1 if self.last is None else self.last)


def check_routes(routes: Sequence[Route], tiers: int) -> None:
    """Make sure that each route can take rows, and leads somewhere.

    Raises:
        ProblemsError: with a sentence for each that does not.

    """
    if found := [problem for n, route in enumerate(routes) for problem in _problems(routes, n, route, tiers)]:
        raise ProblemsError(found)


def _problems(routes: Sequence[Route], number: int, route: Route, tiers: int) -> Iterator[str]:
    at = f"routes.{number}"
    yield from unknown_words(route.when, f"{at}.when")
    allowed = f"the task's {tiers} tiers are counted from 0 to {tiers - 1}" if tiers > 1 else "the task has one tier, 0"
    if route.tier >= tiers:
        yield f"{at}.tier: {route.tier} is no tier; {allowed}"
    elif route.last is not None and route.last >= tiers:
        yield f"{at}.last: {route.last} is no tier; {allowed}"
    elif route.last is not None and route.last < route.tier:
        yield f"{at}.last: {route.last} comes before tier {route.tier}, at which its rows start"
    catch_all = next((n for n, before in enumerate(routes[:number]) if not before.when), None)
    if catch_all is not None:
        yield f"{at}: never takes a row, since routes.{catch_all} before it takes all: move that one to the end"
