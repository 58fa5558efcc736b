"""The settings under an account's quotas."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sluice.models.quotas import KINDS, find_quotas

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sluice.models.quotas import Listed, Quota
    from sluice.runs.settings import Settings


class Fitted(NamedTuple):
    """Settings that keep to an account's quotas."""

    settings: Settings
    quotas: dict[str, Quota]


def to_read(settings: Settings) -> list[str]:
    """The settings that nobody has set, and that Service Quotas can tell."""
    return [name for name in KINDS if name not in settings.model_fields_set]


def fit(settings: Settings, models: Sequence[str], listed: Iterable[Listed], otherwise: str) -> Fitted:
    """The settings under the quotas of all `models`; a number that somebody has set stays.

    Raises:
        BadSetting: a quota is 0, or leaves no job between the least and the most records.

    """
    unset = to_read(settings)
    quotas = find_quotas({name: getattr(settings, name) for name in KINDS}, unset, models, listed, otherwise)
    return Fitted(settings.override({name: quotas[name].value for name in unset}), quotas)
