"""Service Quotas as start uses it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from sluice.errors import Stop
from sluice.models.quotas import Listed

if TYPE_CHECKING:
    from mypy_boto3_service_quotas.client import ServiceQuotasClient


class ServiceQuotas:
    """The quotas of this account and Region, as they are now."""

    def __init__(self, client: ServiceQuotasClient) -> None:
        self.client = client

    def of_bedrock(self) -> list[Listed]:
        """All quotas of Bedrock that have a value.

        Raises:
            Stop: no access, or throttled for longer than boto3 waits.

        """
        pages = self.client.get_paginator("list_service_quotas").paginate(ServiceCode="bedrock")
        try:
            return [
                Listed(quota["QuotaCode"], quota["QuotaName"], quota["Value"])
                for page in pages
                for quota in page["Quotas"]
                if "Value" in quota
            ]
        except (ClientError, BotoCoreError) as error:
            raise Stop(f"ListServiceQuotas: {error}") from error
