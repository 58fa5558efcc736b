"""Service Quotas' list of Bedrock's quotas, in the names and with the oddities of the real one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sluice.local.rules import Refused, check_request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sluice.runs.settings import Settings

PAGE = 20  # the real one has 100, and more quotas
# Models as quotas name them, and the codes of one, from a public listing of all quotas (read 2026-11-20).
MODELS = (
    *("Nova Micro V1", "Nova Lite V1", "Nova Pro V1", "Nova 2 Lite", "Claude 3.5 Sonnet v2"),
    *("Claude Haiku 4.5", "Claude Sonnet 4.5", "Claude Opus 4.5", "Claude Opus 4.6", "Claude Sonnet 4"),
)
CODES = {
    "Minimum number of records per batch inference job for Nova Micro V1": "L-534E6885",
    "Records per batch inference job for Nova Micro V1": "L-57DC56A1",
    "Records per input file per batch inference job for Nova Micro V1": "L-D56DF585",
    "Batch inference input file size (in GB) for Nova Micro V1": "L-F36E54E0",
    "Batch inference job size (in GB) for Nova Micro V1": "L-C79C2150",
}
JOB_GB = 5


def names(model: str, settings: Settings, jobs: int) -> Iterator[tuple[str, float]]:
    """The quotas of a model. Where "(in GB)" stands differs between models."""
    sizes = "{} for {} (in GB)" if model.startswith("Claude Sonnet") else "{} (in GB) for {}"
    yield f"On-demand model inference requests per minute for Anthropic {model}", 10
    yield f"Minimum number of records per batch inference job for {model}", settings.min_records_per_job
    yield f"Records per batch inference job for {model}", settings.max_records_per_job
    yield f"Records per input file per batch inference job for {model}", settings.max_records_per_job
    yield sizes.format("Batch inference input file size", model), settings.max_file_bytes / 1e9
    yield sizes.format("Batch inference job size", model), max(JOB_GB, settings.max_file_bytes / 1e9)
    yield f"Sum of in-progress and submitted batch inference jobs using a base model for {model}", jobs


class QuotaList:
    """Answers ListServiceQuotas, page by page."""

    def __init__(self, settings: Settings, jobs: int) -> None:
        named = (pair for model in MODELS for pair in names(model, settings, jobs))
        self.quotas = [
            {
                "ServiceCode": "bedrock",
                "QuotaCode": CODES.get(name, f"L-{number:08X}"),
                "QuotaName": name,
                "Value": float(value),
                "Unit": "None",
            }
            for number, (name, value) in enumerate(named, 1)
        ]

    def page(self, request: dict[str, Any]) -> dict[str, Any]:
        """One page.

        Raises:
            Refused: the request is none, or another service's.
        """
        check_request("service-quotas", "ListServiceQuotas", request)
        if request["ServiceCode"] != "bedrock":
            raise Refused("NoSuchResourceException", f"There is no service {request['ServiceCode']} here.")
        first = int(request.get("NextToken", 0))
        answer: dict[str, Any] = {"Quotas": self.quotas[first : first + PAGE]}
        if first + PAGE < len(self.quotas):
            answer["NextToken"] = str(first + PAGE)
        return answer
