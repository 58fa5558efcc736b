"""When models come to their ends, as far as it has been announced: data with a date, of the catalogue."""

from __future__ import annotations

import datetime as dt  # noqa: TC003  pydantic reads it
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, model_validator

if TYPE_CHECKING:
    from typing import Self

NEWER = "a newer model"


class Lifecycle(BaseModel):
    """The announced end of a model's life, or the day before which it will not be; and what to use instead."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ends: dt.date | None = None
    ends_not_before: dt.date | None = None
    instead: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _says_when(self) -> Self:
        if (self.ends is None) == (self.ends_not_before is None):
            raise ValueError("should say either ends or ends_not_before")
        return self

    @property
    def follower(self) -> str:
        """What to use instead, in words."""
        return " or ".join(self.instead) or NEWER

    def ended(self, today: dt.date) -> bool:
        """Whether the model can be called no longer."""
        return self.ends is not None and self.ends <= today

    def said(self, model: str, today: dt.date) -> str | None:
        """What to know of the end of a model that a task names so; None where it has time."""
        if self.ends is not None:
            verb = "reached its end of life" if self.ended(today) else "reaches its end of life"
            return f"{model} {verb} on {self.ends}; instead: {self.follower}"
        if self.ends_not_before is None or self.ends_not_before > today:
            return None
        return (
            f"{model} may come to its end: it was announced for no sooner than {self.ends_not_before}, which has "
            f"passed; instead: {self.follower}"
        )
