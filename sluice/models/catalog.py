"""The catalogue of models: ids, limits and prices, as dated data that users can lay their own over.

A model of a task is a short name (`nova-micro`), resolved to the id or inference profile of the Region, or a full id,
which stays as it is. A full id that the catalogue does not know is allowed; its price is unknown, never 0.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field, ValidationError, field_validator

from sluice.errors import BadSetting
from sluice.models.entries import Entry, month
from sluice.models.lifecycle import Lifecycle
from sluice.models.prices import Part, Price
from sluice.models.servers import Server, own_id
from sluice.task.file import read_yaml
from sluice.task.problems import problems_of
from sluice.task.tiers import LEARNED

BUILT_IN = Path(__file__).with_name("models.yaml")

PROFILE_ID = re.compile(r"(?:(us-gov|us|eu|apac|jp|au|in|ca|global)\.)?(.+)")
# Models of the user's own making: they are called on demand alone.
OF_ONES_OWN_MAKING = re.compile(r":(?:custom-model|custom-model-deployment|provisioned-model|imported-model)/")
FULL_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]*[.:/][A-Za-z0-9._:/-]+")


@dataclass(frozen=True, slots=True)
class Model:
    """A model as one Region calls it.

    `name` is the short name, or the id of a model that the catalogue does not know. `batch`: whether it is listed for
    batch inference; a model that is not in the catalogue is taken to be, and the tier's transport can say otherwise.
    `refuses`: parameters of inferenceConfig that it answers with an error; `request`: fields that every request to it
    takes beside. `token_factor`: how many tokens it counts where the catalogue's figures are one. The price holds for
    requests of up to `priced_to_tokens` input tokens. `server`: where a model of one's own answers. A prefix of
    `cache_from_tokens` or more is cached on demand where a request asks for it; None: never, or nobody has said it.
    """

    name: str
    id: str
    batch: bool = True
    context_tokens: int | None = None
    max_output_tokens: int | None = None
    price: Price | None = None
    refuses: frozenset[str] = frozenset()
    request: Mapping[str, Any] = field(default_factory=dict)
    token_factor: float = 1.0
    priced_to_tokens: int | None = None
    lifecycle: Lifecycle | None = None
    server: Server | None = None
    cache_from_tokens: int | None = None


Above0 = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]
Range = tuple[Above0, Above0]


class Tokens(Part):
    """How many characters make a token, by script."""

    date: Annotated[str, BeforeValidator(month)]
    source: str
    characters: dict[str, Above0]
    range: dict[str, Range] = Field({})

    @field_validator("characters")
    @classmethod
    def _names_scripts(cls, value: dict[str, float]) -> dict[str, float]:
        if "other" not in value:
            raise ValueError("should say other, which stands for every script without a figure")
        return value


class Durations(Part):
    """How long jobs and calls have been known to take."""

    date: Annotated[str, BeforeValidator(month)]
    source: str
    records: Annotated[int, Field(ge=1)]
    minutes: Annotated[dict[str, Range], Field(min_length=1)]
    calls: Range

    def job_minutes(self, model: str, records: int) -> tuple[float, float]:
        """The shortest and the longest that a batch job may take; the times of all models for one without any.

        Nobody has published how the time grows: the longest is taken to grow with the records, the shortest not at all.
        """
        known = self.minutes.get(model)
        low, high = known or (
            min(low for low, _ in self.minutes.values()),
            max(high for _, high in self.minutes.values()),
        )
        return low, high * max(1.0, records / self.records)

    def knows(self, model: str) -> bool:
        """Whether a job of this model has been timed."""
        return model in self.minutes


class _File(Part):
    date: Annotated[str, BeforeValidator(month)] | None = None
    source: str | None = None
    models: dict[str, Entry] = Field({})
    geographies: dict[str, tuple[str, ...]]
    tokens: Tokens
    durations: Durations


_PLACES: dict[str, type[BaseModel]] = {"": _File, "tokens": Tokens, "durations": Durations}


RESERVED = {LEARNED: "the learned tier", "people": "rows that people had settled"}


@dataclass(frozen=True)
class Catalog:
    """What is known about models, with the date and the source of the prices."""

    date: str
    source: str
    entries: Mapping[str, Entry]
    tokens: Tokens
    durations: Durations
    regions: Mapping[str, tuple[str, ...]]  # of each geography, as patterns
    geographies: tuple[str, ...] = ()  # of the profiles that may be used; without any, all

    def __post_init__(self) -> None:
        """Refuse names by which results call what is no model of the catalogue.

        Raises:
            BadSetting: there is one.

        """
        for name in sorted(RESERVED.keys() & self.entries.keys()):
            raise BadSetting(f"models.{name}: results call {RESERVED[name]} so; choose another name")

    @classmethod
    def load(cls, extra: Path | None = None) -> Catalog:
        """The built-in catalogue, with the models of `extra` laid over it key by key.

        Raises:
            BadSetting: `extra` cannot be read, or holds something else than models.

        """
        data = _content(BUILT_IN)
        if extra is None:
            return cls._of(data, BUILT_IN.name)
        own = _content(extra)
        models = dict(data["models"])
        for name, entry in own.get("models", {}).items():
            before = {} if isinstance(entry, Mapping) and "openai" in entry else models.get(name, {})
            models[name] = _entry_over(before, entry) if isinstance(entry, Mapping) else entry
        source = f"{own.get('source') or extra.name}, over: {data['source']}"
        kept = ("geographies", "tokens", "durations")
        sections = {name: _laid_over(data[name], own.get(name, {})) for name in kept}
        return cls._of({**data, **own, **sections, "models": models, "source": source}, str(extra))

    @classmethod
    def of_project(cls, directory: Path, environ: Mapping[str, str]) -> Catalog:
        """The catalogue with the file that SLUICE_MODELS names laid over it, else `models.yaml` of the folder.

        SLUICE_GEOGRAPHIES names the profiles that may be used, with commas between.
        """
        own = Path(environ.get("SLUICE_MODELS") or directory / "models.yaml")
        catalog = cls.load(own if environ.get("SLUICE_MODELS") or own.is_file() else None)
        return replace(catalog, geographies=tuple(filter(None, environ.get("SLUICE_GEOGRAPHIES", "").split(","))))

    @classmethod
    def _of(cls, data: Mapping[str, Any], name: str) -> Catalog:
        try:
            file = _File.model_validate(dict(data))
        except ValidationError as error:
            places: dict[str, type[BaseModel]] = {**_PLACES, **{f"models.{model}": Entry for model in data["models"]}}
            places |= {f"models.{model}.openai": Server for model in data["models"]}
            raise BadSetting("\n".join(f"{name}: {problem}" for problem in problems_of(error, places))) from None
        return cls(
            file.date or "unknown", file.source or name, file.models, file.tokens, file.durations, file.geographies
        )

    def geography_of(self, region: str) -> str | None:
        """The profile to which a Region's texts may go by a short name; None where there is none."""
        fitting = (name for name, regions in self.regions.items() if any(fnmatchcase(region, one) for one in regions))
        return next(fitting, None)

    def id_in(self, name: str, region: str) -> str | None:
        """The id by which a Region calls the model of a short name; None where it is not known to have it."""
        return self.entries[name].id_in(region, self.geography_of(region))

    def resolve(self, model: str, region: str) -> Model:
        """The model that a task calls `model`, as `region` calls it.

        Raises:
            BadSetting: a short name that is unknown, or known without an id for this Region; or texts would travel
                where they may not.

        """
        if model == LEARNED:
            return Model(LEARNED, LEARNED, batch=False, price=Price(0.0, 0.0, 0.0, 0.0))
        if model in self.entries:
            if (server := self.entries[model].openai) is not None:
                return self._own(model, server)
            found = self.id_in(model, region)
            if found is None:
                raise BadSetting(f"{model!r} has no known id in {region}{self._elsewhere(model)}")
            return self._full(self._within(found), region)
        if FULL_ID.fullmatch(model):
            return self._full(self._within(model), region)
        near = get_close_matches(model, self.entries, n=1)
        hint = f"; did you mean {near[0]}?" if near else "."
        raise BadSetting(f"{model!r} is no known model{hint} There are: {', '.join(self.entries)}, and full ids")

    def with_servers(self, servers: Mapping[str, Server]) -> Catalog:
        """The catalogue with further models of one's own, by name."""
        known = {name: self.entries.get(name) for name in servers}
        new = {name: Entry(openai=servers[name]) for name, entry in known.items() if entry is None or not entry.openai}
        return replace(self, entries={**self.entries, **new})

    def _own(self, name: str, server: Server) -> Model:
        entry = self.entries[name]
        return Model(
            name,
            own_id(name),
            context_tokens=entry.context_tokens,
            max_output_tokens=entry.max_output_tokens,
            price=entry.price_of(None),
            refuses=frozenset(entry.refuses),
            request=entry.request,
            token_factor=entry.token_factor,
            priced_to_tokens=entry.priced_to_tokens,
            server=server,
        )

    def _within(self, id_: str) -> str:
        profile = profile_of(id_)
        if self.geographies and profile is not None and profile not in self.geographies:
            allowed = ", ".join(self.geographies)
            raise BadSetting(
                f"{id_} lets texts travel to {profile}; this deployment's option geographies allows: {allowed}. "
                "Write a full id that stays there"
            )
        return id_

    def _elsewhere(self, model: str) -> str:
        """What to do about a model that the Region is not known to have."""
        entry = self.entries[model]
        if (life := entry.lifecycle) and life.ends:
            return f"; its end of life is {life.ends}: write {life.follower}"
        if entry.id is not None and "global" in entry.profile_prices:
            return (
                f"; write global.{entry.id} if its texts may be answered anywhere in the world, the full id of a model "
                "that stays there, or give it in models.yaml"
            )
        return "; write its full id, or give it in models.yaml"

    def _full(self, id_: str, region: str) -> Model:
        profile, base = _profile_and_base(id_)
        for name, entry in self.entries.items():
            if entry.is_model(base):
                return Model(
                    name,
                    id_,
                    entry.batch,
                    entry.context_tokens,
                    entry.max_output_tokens,
                    entry.price_of(profile, region),
                    frozenset(entry.refuses),
                    entry.request,
                    entry.token_factor,
                    entry.priced_to_tokens,
                    entry.lifecycle,
                    cache_from_tokens=entry.cache.from_tokens if entry.cache else None,
                )
        return Model(id_, id_, batch=not OF_ONES_OWN_MAKING.search(id_))


def _profile_and_base(id_: str) -> tuple[str | None, str]:
    # An ARN of a foundation model or a system's profile ends in its id; other ARNs are of the user's own making.
    match = PROFILE_ID.fullmatch(re.sub(r"^arn:.*:(foundation-model|inference-profile)/", "", id_))
    return (match[1], match[2]) if match else (None, id_)


def profile_of(model_id: str) -> str | None:
    """The geography of an inference profile, `us` or `global`, of which any Region may answer; None of a plain id."""
    return _profile_and_base(model_id)[0]


def base_of(model_id: str) -> str | None:
    """The id of the foundation model behind an id or a profile; None of an ARN of the user's own making."""
    base = _profile_and_base(model_id)[1]
    return None if base.startswith("arn:") else base


def _entry_over(before: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """A model's entry with the user's laid over it: a price of theirs holds for every profile that they do not name."""
    entry = {**before, **own}
    if "price" in own and "openai" not in own:
        entry["profiles"] = [*own.get("profiles", before.get("profiles", ())), *before.get("profile_prices", ())]
        entry["profile_prices"] = own.get("profile_prices", {})
        entry["region_prices"] = own.get("region_prices", {})
    return entry


def _laid_over(data: Mapping[str, Any], own: object) -> object:
    """A section with the user's laid over it, key by key, and so the tables in it."""
    if not isinstance(own, Mapping):
        return own
    tables = {
        key: {**data[key], **value}
        for key, value in own.items()
        if isinstance(value, Mapping) and isinstance(data.get(key), Mapping)
    }
    return {**data, **own, **tables}


def _content(path: Path) -> dict[str, Any]:
    try:
        data = read_yaml(path)
    except OSError as error:
        raise BadSetting(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise BadSetting(f"{path}: {error}") from None
    if not isinstance(data, dict) or not isinstance(data.get("models", {}), dict):
        raise BadSetting(f"{path}: should be a mapping with `models`, each a mapping of its own")
    return data
