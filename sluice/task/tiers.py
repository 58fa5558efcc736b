"""The models of the cascade and how they are called; what a run may cost and leave open."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field, model_validator

from sluice.task.base import Share, Strict, Whole, Yes

MAX_TIERS = 10
MAX_PACK = 20
LEARNED = "learned"  # the name of the answerer that a run teaches itself
MAX_REUSE_DAYS = 365


class Transport(StrEnum):
    """How a tier's records reach its model."""

    AUTO = "auto"
    BATCH = "batch"
    ON_DEMAND = "on_demand"
    FLEX = "flex"


class Way(StrEnum):
    """How the requests of one job are sent, each of which has a price of its own.

    CACHED is on demand too, with a mark behind the instructions up to which the model may keep them in its cache.
    """

    BATCH = "batch"
    ON_DEMAND = "on_demand"
    CACHED = "on_demand_cached"
    FLEX = "flex"

    @property
    def transport(self) -> Transport:
        """The transport that it is."""
        return Transport.ON_DEMAND if self is Way.CACHED else Transport(self.value)

    @property
    def words(self) -> str:
        """It, for people."""
        return "on demand, cached" if self is Way.CACHED else self.value.replace("_", " ")


class Answerer(Strict):
    """A model and how it is called."""

    model: Annotated[str, Field(min_length=1, max_length=2048)] = Field(
        description="A short name of the catalogue (nova-micro), or a full model or inference profile id."
    )
    transport: Transport = Field(
        Transport.AUTO,
        description="auto: the cheapest of batch, on demand (with cached instructions, too) and flex that there are "
        "records and quota for; batch: too few records are filled up; on_demand; flex: on demand at half the price "
        "where the model has it, and behind others' calls.",
    )
    max_tokens: Annotated[Whole, Field(ge=1, le=64_000)] = Field(
        200, description="The longest answer, in tokens; an answer that is cut off is not accepted."
    )
    temperature: Annotated[float, Field(strict=True, ge=0, le=1)] | None = Field(
        0.0,
        description="0 for the likeliest answer, up to 1; null leaves it out, as it is for models that refuse it.",
    )
    request: dict[str, Any] = Field(
        {}, description="Fields of the model's own that every request takes beside (additionalModelRequestFields)."
    )
    attempts: Annotated[Whole, Field(ge=1, le=10)] = Field(
        2, description="How often a record is sent to this model when sending, not the answer, fails."
    )
    pack: Annotated[Whole, Field(ge=1, le=MAX_PACK)] = Field(
        1,
        description="How many records a request may hold, which share its instructions; 1: each goes alone.",
    )
    # Bounds of CreateModelInvocationJob's timeoutDurationInHours.
    timeout_hours: Annotated[Whole, Field(ge=24, le=168)] = Field(
        24, description="After how many hours Bedrock ends a batch job."
    )

    @property
    def is_learned(self) -> bool:
        """Whether no model on Bedrock answers, but what the run has taught itself."""
        return self.model == LEARNED


class Tier(Answerer):
    """One model of the cascade and how it is called."""

    model: Annotated[str, Field(min_length=1, max_length=2048)] = Field(
        description="A short name of the catalogue (nova-micro), a full model or inference profile id, or learned: a "
        "small classifier that the run teaches by the last tier's answers, in a task with train, audit or quality."
    )
    min_score: Annotated[float, Field(strict=True, gt=0, le=1)] | None = Field(
        None,
        description="Of learned, outside of quality: how likely the last tier has to give the same label, so that an "
        "answer is accepted. All others go on to the next tier.",
    )

    @model_validator(mode="before")
    @classmethod
    def _learned_by_its_kind(cls, value: object) -> object:
        """`{kind: learned}` is the same as `{model: learned}`."""
        if isinstance(value, dict) and value.get("kind") == LEARNED and value.get("model", LEARNED) == LEARNED:
            return {"model": LEARNED, **{name: item for name, item in value.items() if name != "kind"}}
        return value


class Budget(Strict):
    """What a run may cost."""

    max_usd: Annotated[float, Field(strict=True, gt=0)] | None = Field(
        None, description="Nothing is sent that would take the run above this; none: no limit."
    )


class Reuse(Strict):
    """Whether replies outlast their run, so that none is bought again."""

    days: Annotated[Whole, Field(ge=1, le=MAX_REUSE_DAYS)] = Field(
        description="For how many days a reply is used instead of asking the same again."
    )


class Corrections(Strict):
    """What later runs make of what people have said of rows."""

    settle: Yes = Field(
        True, description="Whether a text keeps in later runs what people have settled, and no model is asked about it."
    )


class Limits(Strict):
    """Shares of the rows, and of the inputs, above which a run ends as over_limit."""

    unresolved: Share | None = Field(None, description="Rows that no tier could answer; none: no limit.")
    rejected: Share | None = Field(None, description="Rows that could not be read; none: no limit.")
    refused_inputs: Share | None = Field(
        None, description="Files or objects that could not be read at all; none: the run only warns of them."
    )


class Report(Strict):
    """What a run's report and run.json may hold of the rows."""

    examples: Yes = Field(
        True,
        description="Whether some rows of each kind stand there with the beginning of their text, and values of "
        "kept columns; without it, of these only dates and truth values.",
    )


DEFAULT_TIERS = (Tier(model="nova-micro"), Tier(model="claude-haiku-4-5"))
