"""Quotas: found by name, the strictest of all models counts, what somebody has set stays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.stub import Stubber

from sluice.aws.service_quotas import ServiceQuotas
from sluice.errors import BadSetting, Stop
from sluice.models.quotas import Listed, on_demand_quotas
from sluice.runs.fitted import fit, to_read
from sluice.runs.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

MICRO, HAIKU = "us.amazon.nova-micro-v1:0", "us.anthropic.claude-haiku-4-5-20251001-v1:0"
JOBS = "Sum of in-progress and submitted batch inference jobs using a base model for"
# As a public listing spells them.
NAMES = {
    "Records per batch inference job for Nova Micro V1": 80_000,
    "Records per input file per batch inference job for Nova Micro V1": 70_000,
    "Minimum number of records per batch inference job for Nova Micro V1": 100,
    "Batch inference input file size (in GB) for Nova Micro V1": 1,
    "Batch inference job size (in GB) for Nova Micro V1": 5,
    f"{JOBS} Nova Micro V1": 100,
    "Records per batch inference job for Claude Haiku 4.5": 100_000,
    "Batch inference input file size for Claude Haiku 4.5 (in GB)": 0.5,
    "On-demand model inference requests per minute for Anthropic Claude Haiku 4.5": 1,
    "Records per batch inference job for Claude 3.5 Haiku": 1,
}


def listed(changes: Mapping[str, float] | None = None) -> list[Listed]:
    named = {**NAMES, **(changes or {})}
    return [Listed(f"L-{n}", name, value) for n, (name, value) in enumerate(named.items())]


def told(
    models: list[str], settings: Settings | None = None, changes: Mapping[str, float] | None = None
) -> dict[str, Any]:
    """The settings that come out, of those that quotas can tell."""
    fitted = fit(settings or Settings(), models, listed(changes), "nobody knows")
    return {name: getattr(fitted.settings, name) for name in to_read(Settings())}


def test_the_quotas_of_a_model_are_found_by_its_id() -> None:
    """Of a file's and a job's records and bytes the lower one counts, since a job is one file."""
    assert told([MICRO]) == {
        "min_records_per_job": 100,
        "max_records_per_job": 70_000,
        "max_file_bytes": 1_000_000_000,
        "max_jobs_in_flight": 100,
    }


@pytest.mark.parametrize(
    "model",
    [
        "amazon.nova-micro-v1:0",
        "eu.amazon.nova-micro-v1:0",
        "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-micro-v1:0",
        "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-micro-v1:0",
    ],
)
def test_profiles_and_arns_have_the_quotas_of_their_model(model: str) -> None:
    """The quotas are those of the base model, whichever way it is called."""
    assert told([model])["max_records_per_job"] == 70_000


def test_the_strictest_of_all_tiers_counts() -> None:
    """Also where "(in GB)" stands behind the model; what one of them does not tell has its default there."""
    found = told([MICRO, HAIKU])
    assert (found["max_records_per_job"], found["max_file_bytes"]) == (70_000, 500_000_000)
    assert found["max_jobs_in_flight"] == 20
    assert told([HAIKU])["max_records_per_job"] == 100_000


def test_what_somebody_has_set_stays() -> None:
    """Above the quota too: it is an override, and Bedrock has the last word."""
    settings = Settings().override({"max_records_per_job": 200_000, "max_jobs_in_flight": None})
    assert to_read(settings) == ["min_records_per_job", "max_file_bytes", "max_jobs_in_flight"]
    found = told([MICRO], settings)
    assert (found["max_records_per_job"], found["max_jobs_in_flight"]) == (200_000, 100)


def test_each_number_has_its_source() -> None:
    """The quota with its code, the default and why, or that it was set."""
    quotas = fit(
        Settings().override({"max_file_bytes": 10**9}), [MICRO, "own.model-v1:0"], listed(), "nobody knows"
    ).quotas
    assert quotas["max_file_bytes"].source == "set"
    assert quotas["max_jobs_in_flight"].source == "the default, since nobody knows for own.model-v1:0"
    alone = fit(Settings(), [MICRO], listed(), "nobody knows").quotas
    assert alone["max_records_per_job"].source == (
        "Service Quotas: Records per input file per batch inference job for Nova Micro V1 (L-1)"
    )


def test_without_any_list_the_defaults_hold() -> None:
    """And without any batch tier there is nothing to keep to."""
    plain = {name: getattr(Settings(), name) for name in to_read(Settings())}
    for models in ([MICRO], []):
        fitted = fit(Settings(), models, (), "nobody knows")
        assert {name: getattr(fitted.settings, name) for name in plain} == plain


@pytest.mark.parametrize("kind", [JOBS, "Records per batch inference job for"])
def test_a_quota_of_nothing_is_refused(kind: str) -> None:
    """A job would wait for ever; the message names the quota and what to do."""
    with pytest.raises(BadSetting, match=r"is 0, so this account may run no such job: .* `transport: on_demand`"):
        told([MICRO], changes={f"{kind} Nova Micro V1": 0})


def test_a_least_number_above_the_most_is_refused() -> None:
    """There is no job between them."""
    with pytest.raises(BadSetting, match="min_records_per_job = 100 is above"):
        told([MICRO], changes={"Records per batch inference job for Nova Micro V1": 50})


def test_an_enormous_quota_stays_within_a_map() -> None:
    """A Distributed Map runs so many children at once and no more."""
    assert told([MICRO], changes={f"{JOBS} Nova Micro V1": 1e6})["max_jobs_in_flight"] == 10_000


def client() -> Any:
    return boto3.client(
        "service-quotas", region_name="us-east-1", aws_access_key_id="local", aws_secret_access_key="local"
    )


def test_service_quotas_are_read_page_by_page() -> None:
    """Quotas without a value are left out."""
    quotas, first = client(), {"QuotaCode": "L-1", "QuotaName": "a", "Value": 3.0}
    with Stubber(quotas) as stub:
        stub.add_response("list_service_quotas", {"Quotas": [first], "NextToken": "x"}, {"ServiceCode": "bedrock"})
        rest = [{"QuotaCode": "L-2", "QuotaName": "b"}, {"QuotaCode": "L-3", "QuotaName": "c", "Value": 1.0}]
        stub.add_response("list_service_quotas", {"Quotas": rest}, {"ServiceCode": "bedrock", "NextToken": "x"})
        assert ServiceQuotas(quotas).of_bedrock() == [Listed("L-1", "a", 3.0), Listed("L-3", "c", 1.0)]


@pytest.mark.parametrize("code", ["AccessDeniedException", "TooManyRequestsException"])
def test_what_cannot_be_read_is_an_error(code: str) -> None:
    """Start decides what to do about it."""
    quotas = client()
    with Stubber(quotas) as stub:
        stub.add_client_error("list_service_quotas", code)
        with pytest.raises(Stop, match=code):
            ServiceQuotas(quotas).of_bedrock()


CALLS = "model inference tokens per minute for"


@pytest.mark.parametrize(
    ("model", "names"),
    [
        ("amazon.nova-micro-v1:0", [f"On-demand {CALLS} Amazon Nova Micro"]),
        (MICRO, [f"Cross-region {CALLS} Amazon Nova Micro"]),
        ("eu.amazon.nova-micro-v1:0", [f"Cross-region {CALLS} Amazon Nova Micro"]),
        (f"arn:aws:bedrock:us-east-1:1:inference-profile/{MICRO}", [f"Cross-region {CALLS} Amazon Nova Micro"]),
        (
            f"global.{HAIKU[3:]}",
            [f"Global cross-region {CALLS} Anthropic Claude Haiku 4.5"],
        ),
        ("global.anthropic.claude-haiku-4-5", [f"Global cross-region {CALLS} Anthropic Claude Haiku 4.5"]),
        ("us.anthropic.claude-3-5-haiku-20241022-v1:0", []),
    ],
)
def test_quotas_of_calls_are_those_of_the_id_s_own_way(model: str, names: list[str]) -> None:
    """The plain id, a profile and the global one have numbers of their own; a day's stands for all of them."""
    ways = ("On-demand", "Cross-region", "Global cross-region")
    named = [f"{way} {CALLS} {of}" for way in ways for of in ("Amazon Nova Micro", "Anthropic Claude Haiku 4.5")]
    day = "Model invocation max tokens per day for Amazon Nova Micro (doubled for cross-region calls)"
    other = f"Cross-region {CALLS} Anthropic Claude Haiku 4.5 1M Context Length"
    found = on_demand_quotas(model, [Listed("L-1", name, 0) for name in [*named, day, other]])
    assert [quota.name for quota in found] == names + ([day] if "nova" in model else [])
