"""What a model's tokens cost, by the way in which a request is sent."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core.core_schema import CoreSchema, no_info_plain_validator_function

from sluice.decoding import convert
from sluice.task.tiers import LEARNED, Transport

PER = 1_000_000


class ReadByMsgspec:
    """A dataclass among the fields of pydantic, which would load its own dataclasses for it into every function."""

    def __get_pydantic_core_schema__(self, source: Any, _handler: object) -> CoreSchema:
        return no_info_plain_validator_function(lambda value: convert(value, source, from_attributes=True))


@dataclass(frozen=True, slots=True)
class Price:
    """USD per 1M tokens; None where it is unknown.

    `cache_read`, `cache_write`: an input token on demand that came out of a prompt's cache, or went into it.
    """

    batch_input: float | None
    batch_output: float | None
    on_demand_input: float | None
    on_demand_output: float | None
    flex_input: float | None = None
    flex_output: float | None = None
    cache_read: float | None = None
    cache_write: float | None = None


def cost(
    price: Price | None,
    transport: str,
    input_tokens: int,
    output_tokens: int,
    cache_read: int = 0,
    cache_write: int = 0,
) -> float | None:
    """USD for so many tokens, sent as `batch`, `on_demand` or `flex`; None when a price is unknown.

    `cache_read` and `cache_write` are those of the input tokens that came out of a cache or went into one: on demand
    they have prices of their own. Where those are unknown, and in other transports, they cost what input does. What a
    run has `learned` costs nothing.

    Raises:
        ValueError: any other transport; `auto` has been decided before anything costs.

    """
    if transport == LEARNED:
        return 0.0
    if transport not in (Transport.BATCH, Transport.ON_DEMAND, Transport.FLEX):
        raise ValueError(f"transport {transport!r} has no price; there are: batch, on_demand, flex")
    if price is None:
        return None
    rate_in, rate_out = {
        Transport.BATCH: (price.batch_input, price.batch_output),
        Transport.ON_DEMAND: (price.on_demand_input, price.on_demand_output),
        Transport.FLEX: (price.flex_input, price.flex_output),
    }[Transport(transport)]
    if rate_in is None or rate_out is None:
        return None
    usd = rate_in * input_tokens + rate_out * output_tokens
    if transport == Transport.ON_DEMAND:
        for tokens, rate in ((cache_read, price.cache_read), (cache_write, price.cache_write)):
            usd += tokens * (rate - rate_in) if rate is not None else 0.0
    return usd / PER


USD = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
Rates = tuple[USD, USD]


class Part(BaseModel):
    """A part of the catalogue's file: what it does not know is a mistake."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Cache(Part):
    """What a cached prefix costs, as shares of input on demand, and from how many tokens on one is cached."""

    from_tokens: Annotated[int, Field(ge=1)] | None = None
    read: Annotated[float, Field(strict=True, ge=0, le=1)]
    write: Annotated[float, Field(strict=True, ge=1, le=10)] = 1.0


class Prices(Part):
    """USD per 1M tokens, [input, output], by transport."""

    on_demand: Rates | None = None
    batch: Rates | None = None
    flex: Rates | None = None

    def as_price(self, cache: Cache | None) -> Price:
        """The price, with that of a prefix that is cached."""
        none = (None, None)
        price = Price(*(self.batch or none), *(self.on_demand or none), *(self.flex or none))
        if cache is None or self.on_demand is None:
            return price
        # Without what binary fractions add: 1.1 * 0.1 is written 0.11 on a bill.
        read, write = (round(self.on_demand[0] * share, 9) for share in (cache.read, cache.write))
        return replace(price, cache_read=read, cache_write=write)
