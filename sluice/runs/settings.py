"""The deployment's settings: set under `sluice` in cdk.json, overridden for one run by `--set KEY=VALUE`.

Limits of Bedrock batch inference and where they stand:
https://docs.aws.amazon.com/bedrock/latest/userguide/quotas.html (read 2026-11-20). Accounts can have less or more,
so each is a setting.
"""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from sluice.errors import BadSetting
from sluice.task.problems import words_of
from sluice.task.tiers import Transport

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from sluice.task.tiers import Answerer

MiB = 1024 * 1024
# The environment whose names carry no suffix: for whoever has one deployment, and the untouched cdk.json.
PLAIN_ENVIRONMENT = "prod"
ENVIRONMENT = re.compile(r"[a-z][a-z0-9-]{0,19}")
# An object that cannot be read by range is read by one worker, in a Lambda function of at most 900 seconds. Partition
# reads 56 MB of text a second as quoted CSV, its slowest kind, and 95 as gzip (rows of 300 bytes, one x86 core,
# 2026-11-20). 720 seconds, so that a fifth is in reserve, at half that rate, for a slower core and the network:
# 720 s * 56 MB/s / 2 = 20 GB. Text compresses by 3 to 10; at 5 that is an object of 4 GB.
MAX_TEXT_BYTES = 20_000_000_000
USUAL_RATIO = 5
# Bounds that no account reaches: beyond them a number is a slip, and a Distributed Map runs at most 10,000 children.
Positive = Annotated[int, Field(ge=1, le=10**15)]
Children = Annotated[int, Field(ge=1, le=10_000)]
Waiting = Annotated[float, Field(ge=0, le=3600)]  # a Wait state takes whole seconds: waits are rounded up
SPARE_HOURS = 24  # from the end of the longest job to the day on which its output is deleted
LONGEST_SWEEP = 240  # the function sweep has 300 seconds, in which it also stops jobs before and after the pause

# The settings that Service Quotas can tell; sluice/models/quotas.py knows by which quotas.
READ = frozenset({"min_records_per_job", "max_records_per_job", "max_file_bytes", "max_jobs_in_flight"})


# Below these a setting is a slip that loses rows or lets none pass. They hold for what is set from now on, and not for
# documents of runs. A job's file holds one request of any length, its longest text in JSON's longest escapes.
FLOORS = {
    "max_file_bytes": 32 * MiB,
    "max_row_bytes": 1024,
    "max_text_bytes": MiB,
    "max_compressed_bytes": 64 * 1024,
}


class Settings(BaseModel):
    """How much goes into a job, how many run at once, how long to wait. Frozen into each run at its start.

    What `READ` names is read from Service Quotas by the start of a run where nobody has set it; null stands for that.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_records_per_job: Positive = Field(
        100, description="Fewer records than this go on demand (Bedrock's minimum). Read unless set."
    )
    max_records_per_job: Positive = Field(
        50_000, description="Bedrock's quota for a file and a job: 100,000, in older accounts 50,000. Read unless set."
    )
    max_file_bytes: Positive = Field(
        1_000_000_000, description="Bedrock's limit for one input file, which is a job here. Read unless set."
    )
    max_jobs_in_flight: Children = Field(
        20, description="Batch jobs at once: per model 100, in older accounts 10 to 20. Read unless set."
    )
    span_bytes: Positive = Field(48 * MiB, description="How much input one partition worker reads.")
    part_bytes: Positive = Field(64 * MiB, description="How many bytes of rows one merge worker joins.")
    max_row_bytes: Positive = Field(16 * MiB, description="A longer line is rejected without being kept.")
    max_text_bytes: Positive = Field(
        MAX_TEXT_BYTES, description="Text in one object that a single worker has to read: CSV, Parquet, gzip, zstd."
    )
    max_compressed_bytes: Positive = Field(
        MAX_TEXT_BYTES // USUAL_RATIO, description="Size of one Parquet, gzip or zstd object."
    )
    max_workers: Children = Field(20, description="Partition and merge workers at once.")
    poll_seconds: Waiting = Field(
        60,
        description="Shortest wait between two looks at a job, otherwise 5% of its age. For one run: until the first "
        "look; those behind it are the state machine's, and go by what was deployed.",
    )
    poll_seconds_max: Waiting = Field(
        600, description="Longest wait between two looks, 330 at least (as deployed), and for a quota."
    )
    quota_seconds: Waiting = Field(
        60, description="First wait after a refused quota; doubles, with jitter, up to poll_seconds_max."
    )
    sweep_seconds: Annotated[float, Field(ge=0, le=LONGEST_SWEEP)] = Field(
        130, description="Pause between the two sweeps behind a cancelled run; longer than submit takes, 240 at most."
    )
    approve_above_usd: Annotated[float, Field(ge=0)] | None = Field(
        None, description="A run that can cost more than this waits for `sluice approve` before anything is sent."
    )
    approve_above_expected_usd: Annotated[float, Field(ge=0)] | None = Field(
        100.0,
        description="The same where it is expected to cost more if every record goes through every tier.",
    )
    settle_seconds: Waiting = Field(
        60, description="What was dropped is run when nothing more has come for so long; ten times that at the latest."
    )
    max_runs: Positive | None = Field(
        None, description="Runs at once that the inbox adds to; what else is due waits in it. Commands start at once."
    )
    max_versions_per_hour: Positive | None = Field(
        20, description="Runs that the inbox begins of one key within an hour; later versions wait. null: any number."
    )
    max_usd_per_day: Annotated[float, Field(gt=0)] | None = Field(
        None, description="The inbox starts no more runs today (UTC) when those of today come to so much."
    )
    on_demand_concurrency: Annotated[int, Field(ge=1, le=1_000)] = Field(
        8, description="Converse calls at once in one on-demand worker."
    )

    on_demand_tokens_per_minute: Annotated[int, Field(ge=0, le=10**15)] | None = Field(
        None,
        description="What the account's quotas let each model be called for on demand, by which `transport: auto` "
        "leaves batch where that is cheaper and no slower. Read from Service Quotas unless set; unknown: it stays.",
    )
    patience_seconds: Waiting = Field(
        900,
        description="When all calls on demand of a job have been throttled for so long, what is left becomes a batch "
        "job, filled up to Bedrock's minimum, where model and task allow one; an alarm tells in any case.",
    )
    throttled_hours: Annotated[float, Field(ge=0, le=168)] = Field(
        24, description="Where no batch job is possible, its calls are tried for so long, and then end as throttled."
    )
    keep_requests_days: Annotated[int, Field(ge=2, le=365)] = Field(
        3,
        description="Requests and raw output, which are most of what a run stores, are deleted after this; a day more "
        "than the tasks' timeout_hours at least. Rows and replies stay as long as the run.",
    )

    @model_validator(mode="before")
    @classmethod
    def _leave_to_be_read(cls, given: Any) -> Any:
        """Take null for a setting that is to be read as not setting it."""
        if not isinstance(given, dict):
            return given
        return {name: value for name, value in given.items() if value is not None or name not in READ}

    def override(self, changes: Mapping[str, Any]) -> Settings:
        """These settings with `changes` laid over them.

        Raises:
            BadSetting: a name that is no setting, or a value that is not allowed.

        """
        unknown = sorted(set(changes) - set(type(self).model_fields))
        if unknown:
            allowed = ", ".join(type(self).model_fields)
            raise BadSetting(f"{unknown[0]} is not a setting; there are: {allowed}")
        try:
            merged = Settings.model_validate({**self.model_dump(exclude_unset=True), **changes})
        except ValidationError as error:
            first = error.errors()[0]
            name = first["loc"][0]
            raise BadSetting(f"{name} = {first['input']!r} is not allowed: {words_of(first)}") from None
        for name in sorted(FLOORS.keys() & changes.keys()):
            if getattr(merged, name) < FLOORS[name]:
                raise BadSetting(
                    f"{name} = {changes[name]!r} is not allowed: it is a number of bytes, {FLOORS[name]:,} or more"
                )
        if merged.min_records_per_job > merged.max_records_per_job:
            raise BadSetting(
                f"min_records_per_job = {merged.min_records_per_job} is above "
                f"max_records_per_job = {merged.max_records_per_job}"
            )
        return merged


def check_kept(settings: Settings, task: str, tiers: Iterable[Answerer]) -> None:
    """See that what a job is about outlives the job, with a day to spare in which it is read.

    Raises:
        BadSetting: `keep_requests_days` is too short for the time-out of a tier.

    """
    batch = [float(tier.timeout_hours) for tier in tiers if tier.transport != Transport.ON_DEMAND]
    longest = max([*batch, settings.throttled_hours])
    least = math.ceil((longest + SPARE_HOURS) / 24)
    if settings.keep_requests_days < least:
        raise BadSetting(
            f"keep_requests_days = {settings.keep_requests_days} is not allowed: a job of the task {task} may take "
            f"{longest:g} hours (timeout_hours of its tiers, throttled_hours), and its requests and replies have to "
            "last a day longer; "
            f"set it to {least} or more in cdk.json"
        )


def declared_settings(file: Path) -> Settings:
    """The settings that a project deploys by its cdk.json; where there is none, those of an untouched project.

    Raises:
        BadSetting: the file cannot be read, or declares a setting that is not allowed.
    """
    try:
        context = json.loads(file.read_text(encoding="utf-8")).get("context", {})
    except FileNotFoundError:
        return Settings()
    except (OSError, ValueError) as error:
        raise BadSetting(f"{file} cannot be read: {error}") from None
    return Settings().override(context.get("sluice", {}))


def stack_name(environment: str) -> str:
    """The CloudFormation stack of an environment: `Sluice` for prod, `Sluice-<environment>` for any other.

    Raises:
        BadSetting: an environment may not be called so.
    """
    if not ENVIRONMENT.fullmatch(environment):
        raise BadSetting(
            f"environment = {environment!r} is not allowed: a lower-case letter, then at most 19 lower-case letters, "
            "digits and hyphens, as in dev or team-a"
        )
    return "Sluice" if environment == PLAIN_ENVIRONMENT else f"Sluice-{environment}"


def database_name(environment: str) -> str:
    """The Glue database and the Athena workgroup of an environment; in SQL a hyphen would need quotes.

    Raises:
        BadSetting: an environment may not be called so.
    """
    return stack_name(environment).lower().replace("-", "_")
