"""The stand-in's process: it hears its configuration on standard input, and serves until that is closed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import boto3
import msgspec
from botocore.config import Config

from sluice.decoding import decode
from sluice.local.callers import own_secret
from sluice.local.children import die_with_parent, hear, say_ready
from sluice.local.faults import Faults, read_plan
from sluice.local.ledger import FOLDER, Ledger
from sluice.local.sources.kept import ReplyFile
from sluice.local.sources.openai import Endpoint
from sluice.local.sources.several import Opener
from sluice.local.sources.source import Tiers
from sluice.local.standin.access import Access
from sluice.local.standin.api import Api, Server
from sluice.local.standin.jobs import JOBS_PER_MODEL, JobTable
from sluice.local.standin.journal import Journal
from sluice.local.standin.quotas import QuotaList
from sluice.local.standin.work import Factory
from sluice.local.template import Template
from sluice.models.catalog import Catalog
from sluice.runs.settings import Settings
from sluice.task.task import Task


class Configuration(msgspec.Struct, frozen=True, kw_only=True):
    """What the runner tells the stand-in.

    `answers` and `servers` say who answers, by the ids of models, "" for all others; `patience` is in seconds. `models`
    is the file of one's own models. `only_kept`: nobody is asked.
    """

    task: dict[str, Any]
    answers: dict[str, str]
    settings: dict[str, Any]
    faults: str | None
    s3: str
    region: str
    scale: float
    template: str | None = None
    journal: str | None = None
    replies: str | None = None
    servers: dict[str, Endpoint] = {}
    patience: float = 0.0
    only_kept: bool = False
    models: str | None = None

    @property
    def asks(self) -> bool:
        """Whether somebody is asked whose replies are to be kept."""
        return bool(self.servers) or "bedrock" in self.answers.values()


def build(configuration: Configuration) -> Server:
    """The server, ready to serve.

    Raises:
        BadSetting: the answers' source or the fault plan cannot be read.
    """
    region = configuration.region
    task = Task.model_validate(configuration.task)
    config = Config(max_pool_connections=16, proxies={}, s3={"payload_signing_enabled": False})
    s3 = boto3.client("s3", endpoint_url=configuration.s3, region_name=region, config=config)
    faults = Faults(read_plan(Path(configuration.faults)) if configuration.faults else None)
    template = None
    if configuration.template:
        template = Template(msgspec.json.decode(Path(configuration.template).read_bytes()), region)
    tiers = Tiers.of(task, region, Catalog.load(Path(configuration.models) if configuration.models else None))
    replies = ReplyFile(Path(configuration.replies)) if configuration.replies and configuration.asks else None
    opener = Opener(task, tiers, region, s3, replies, only_kept=configuration.only_kept)
    sources = opener.open(configuration.answers, configuration.servers, configuration.patience)
    account = msgspec.to_builtins(faults.plan.account)
    settings = Settings().override({**configuration.settings, **account})
    most = faults.plan.quota or account.get("max_jobs_in_flight", JOBS_PER_MODEL)
    jobs = JobTable(region, most, tiers.find)
    journal = Path(configuration.journal) if configuration.journal else None
    ledger = Ledger(lambda: journal.parent / FOLDER, "bedrock") if journal else None
    factory = Factory(s3, sources, settings, faults, Access(template, region, ledger), configuration.scale)
    quotas = QuotaList(settings, settings.max_jobs_in_flight)
    return Server(Api(jobs, factory, faults, Journal(journal), quotas), own_secret())


def main() -> None:
    """Serve until standard input closes."""
    configuration = decode(hear(), Configuration)
    die_with_parent()
    server = build(configuration)
    say_ready(port=server.server_port)
    server.serve_forever()


if __name__ == "__main__":
    main()
