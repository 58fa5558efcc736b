"""What the catalogue's file says of a model."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, model_validator

from sluice.models.lifecycle import Lifecycle
from sluice.models.prices import Cache, Part, Price, Prices
from sluice.models.servers import Server
from sluice.task.problems import ProblemsError

# What may follow the beginning of an id that `recognise` gives: a date, a version. Keeps opus-4 from meaning opus-4-5.
ID_ENDING = re.compile(r"(?:-\d{8})?(?:-v\d+)?(?::\d+)*(?::\d+k)?")


def month(value: object) -> object:
    """A date as text, whether YAML read it as a date or not."""
    return value.isoformat() if isinstance(value, dt.date) else value


# What an entry of a server has no use for.
OF_BEDROCK = frozenset(
    [
        "id",
        "recognise",
        "profiles",
        "regions",
        "plain_only",
        "batch",
        "profile_prices",
        "region_prices",
        "lifecycle",
        "cache",
    ]
)


class Entry(Part):
    """One model of the file; see the comment at its top."""

    id: str | None = None
    recognise: str | None = None
    profiles: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    plain_only: tuple[str, ...] = ()
    batch: bool = True
    context_tokens: Annotated[int, Field(ge=1)] | None = None
    max_output_tokens: Annotated[int, Field(ge=1)] | None = None
    price: Prices | None = None
    profile_prices: dict[str, Prices] = Field({})
    region_prices: dict[str, Prices] = Field({})
    refuses: tuple[str, ...] = ()
    request: dict[str, Any] = Field({})
    token_factor: Annotated[float, Field(strict=True, gt=0, le=10)] = 1.0
    priced_to_tokens: Annotated[int, Field(ge=1)] | None = None
    lifecycle: Lifecycle | None = None
    cache: Cache | None = None
    openai: Server | None = None

    @model_validator(mode="before")
    @classmethod
    def _of_a_server(cls, data: Any) -> Any:
        """A model of one's own has a server in place of ids and Regions, and one price however it is asked."""
        if not isinstance(data, Mapping) or data.get("openai") is None:
            return data
        if wrong := [name for name in data if name in OF_BEDROCK]:
            # Without the values, which may be secret.
            raise ProblemsError(
                [f"models: {wrong[0]} is for models of Bedrock, and one has it beside a server (openai)"]
            )
        price = data.get("price")
        if isinstance(price, list | tuple):
            price = {"on_demand": price, "batch": price}
        elif isinstance(price, Mapping):
            price = {"batch": price.get("on_demand"), "on_demand": price.get("batch"), **price}
        return {**data, "price": price}

    def is_model(self, base: str) -> bool:
        """Whether an id without its profile's prefix belongs to this entry."""
        if self.id is not None and base == self.id:
            return True
        start = self.recognise
        return start is not None and base.startswith(start) and bool(ID_ENDING.fullmatch(base[len(start) :]))

    def price_of(self, profile: str | None, region: str | None = None) -> Price | None:
        """The price under a profile, or (None) of the plain id in a Region; unknown where the table says nothing."""
        if profile is None and region in self.region_prices:
            return self.region_prices[region].as_price(self.cache)
        if profile in self.profile_prices:
            return self.profile_prices[profile].as_price(self.cache)
        known = self.price is not None and (profile is None or profile in self.profiles)
        return self.price.as_price(self.cache) if self.price and known else None

    def id_in(self, region: str, geography: str | None) -> str | None:
        """The plain id where a Region has only that, else the profile of its geography, else the plain id, else none.

        Never the global profile, which takes texts out of the geography.
        """
        if self.id is None:
            return None
        if region in self.plain_only:
            return self.id
        if geography is not None and geography in {*self.profiles, *self.profile_prices}:
            return f"{geography}.{self.id}"
        return self.id if region in self.regions else None
