"""The library that draws the report's charts: Vega-Lite with all that it needs, as one script.

The package vl-convert-python carries it. The functions have no such package: their code gets the script as a file when
it is bundled (`infra/bundle.py`), so that a deployment without it fails before anything is deployed.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from functools import cache
from importlib import metadata
from pathlib import Path

from sluice.errors import NotInstalled, Stop
from sluice.extras import Extra, installing
from sluice.places import user_cache

BUNDLED = Path(__file__).with_name("vega.js")
PACKAGE = "vl-convert-python"
# All that the page uses: it compiles a chart's specification, and draws it without evaluating any text as code.
EXPOSED = "window.vegaEmbed=vegaEmbed;"
# What would end the script, or keep it from ending, in the middle of the page that holds it.
BREAKS_HTML = ("</script", "<!--", "\r")


@cache
def charts_library(bundled: Path = BUNDLED) -> str:
    """The script, of a function's code or else made by the installed package and kept in the user's cache.

    Raises:
        NotInstalled: neither is there; the message says what to install.
        Stop: the package's script cannot stand in a page.

    """
    if bundled.is_file():
        return bundled.read_text(encoding="utf-8")
    kept = _kept()
    if kept is not None and kept.is_file():
        return kept.read_text(encoding="utf-8")
    made = _make()
    if kept is not None:
        _keep(kept, made)
    return made


def _make() -> str:
    try:
        from vl_convert import javascript_bundle  # noqa: PLC0415 - no function has it, and it is large
    except ImportError:
        raise NotInstalled(f"the report's charts need the package {PACKAGE}: {installing(Extra.LOCAL)}") from None
    script: str = javascript_bundle(EXPOSED)
    found = [text for text in BREAKS_HTML if text in script.lower()]
    if found:
        raise Stop(
            f"the chart library of {PACKAGE} {metadata.version(PACKAGE)} holds {found[0]!r}; use another version"
        )
    return script


def _kept() -> Path | None:
    """Where the script of this version is kept; None where there is no package to make it, or no home."""
    with suppress(metadata.PackageNotFoundError, Stop):
        made_of = f"{metadata.version(PACKAGE)} {EXPOSED}"
        return user_cache() / f"vega-{hashlib.sha256(made_of.encode()).hexdigest()[:16]}.js"
    return None


def _keep(place: Path, script: str) -> None:
    """Keep the script for the next run; without a place to write to, the next run makes it again in a second."""
    with suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True)
        partial = place.with_suffix(f".{os.getpid()}")
        partial.write_text(script, encoding="utf-8", newline="")
        partial.replace(place)
