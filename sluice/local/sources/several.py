"""The sources of a whole run: one for each model, with their replies kept and counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sluice.local.sources import open_source
from sluice.local.sources.kept import AsksSomebody, KeptReplies, ReplyFile
from sluice.local.sources.openai import Endpoint, OpenAISource
from sluice.local.sources.outage import Outage
from sluice.local.sources.tally import Counted, Tally
from sluice.runs.calls import Calls, Waiting

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_s3.client import S3Client

    from sluice.local.sources.source import Source, Tiers
    from sluice.task.task import Task


class Sources:
    """Who answers requests, by the id of the model that they are for."""

    def __init__(self, by_model: Mapping[str, Source], tally: Tally, outages: tuple[Outage, ...] = ()) -> None:
        self._by_model = by_model
        self._tally = tally
        self._outages = outages

    @classmethod
    def only(cls, source: Source) -> Sources:
        """One source for all models."""
        tally = Tally()
        return cls({"": Counted(source, tally)}, tally)

    def of(self, model: str) -> Source:
        """The source for a model's requests."""
        return self._by_model.get(model) or self._by_model[""]

    def calls(self) -> Calls:
        """How the calls stand, and the server that is waited for, if one is."""
        away = [outage for outage in self._outages if outage.left is not None or outage.given_up]
        waiting = [Waiting(outage.why, outage.left or 0.0, outage.given_up) for outage in away]
        return self._tally.calls(next(iter(sorted(waiting, key=lambda each: not each.given_up)), None))

    def end(self) -> None:
        """Wait for no server any longer."""
        for outage in self._outages:
            outage.end()


class Opener:
    """Opens sources of one run, each of them once."""

    def __init__(
        self,
        task: Task,
        tiers: Tiers,
        region: str,
        s3: S3Client,
        file: ReplyFile | None,
        *,
        only_kept: bool = False,
    ) -> None:
        self.task, self.tiers, self.region, self.s3, self.file = task, tiers, region, s3, file
        self.only_kept = only_kept
        self.tally = Tally()
        self._opened: dict[str, Source] = {}

    def open(self, others: Mapping[str, str], servers: Mapping[str, Endpoint], patience: float) -> Sources:
        """The sources of `others` and of `servers`, by the ids of models; `patience` is in seconds.

        Raises:
            BadSetting: a source that does not exist, or one without what it needs.
        """
        outages = {endpoint.url: Outage(patience) for endpoint in servers.values()}
        found = {model: self._other(spec) for model, spec in others.items()}
        for model, endpoint in servers.items():
            found[model] = self._kept(OpenAISource(endpoint, self.tally, outages[endpoint.url]))
        found.setdefault("", next(iter(found.values())))
        return Sources(found, self.tally, tuple(outages.values()))

    def _other(self, spec: str) -> Source:
        if spec not in self._opened:
            self._opened[spec] = self._kept(open_source(spec, self.task, self.tiers, self.region, self.s3))
        return self._opened[spec]

    def _kept(self, source: Source) -> Source:
        if self.file is not None and isinstance(source, AsksSomebody):
            source = KeptReplies(source, self.file, self.tally, asks=not self.only_kept)
        return Counted(source, self.tally)
