"""`make prices`: take the extract of a public price table anew, beside which the catalogue of models is tested.

The table is that of the PyPI package litellm (MIT): facts, whose entries name AWS's price list as their source. The
package is downloaded into a temporary folder and read as an archive; it is never installed, and stands in no lock file.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from sluice.models.catalog import BUILT_IN, Catalog

TABLE = "litellm/model_prices_and_context_window_backup.json"
PLACE = BUILT_IN.with_name("price_table.yaml")
PER_MILLION = 1_000_000
# A profile in front of an id, or the Region whose own price an entry has.
REGIONAL = re.compile(r"bedrock/([a-z]{2}(?:-gov)?-[a-z]+-\d)/(.+)")


def downloaded(folder: Path, version: str | None = None) -> Path:
    """The wheel in `folder`, of a version or the newest.

    Raises:
        CalledProcessError: no package index can be reached.

    """
    package = f"litellm=={version}" if version else "litellm"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), package]
    subprocess.run(command, check=True)
    return next(folder.glob("litellm-*.whl"))


def rates(entry: dict[str, Any], kind: str = "") -> list[float] | None:
    """USD per 1M tokens in and out, on demand or as `_batches`; None where the table says nothing."""
    pair = [entry.get(f"{way}_cost_per_token{kind}") for way in ("input", "output")]
    known = [each for each in pair if each is not None]
    return [round(each * PER_MILLION, 4) for each in known] if len(known) == len(pair) else None


def cached(entry: dict[str, Any]) -> list[float] | None:
    """USD per 1M tokens that are read from a cache and written to one; what costs nothing more is input like any."""
    read, plain = entry.get("cache_read_input_token_cost"), entry.get("input_cost_per_token")
    if read is None or plain is None:
        return None
    return [round(each * PER_MILLION, 5) for each in (read, entry.get("cache_creation_input_token_cost") or plain)]


def extract(table: dict[str, Any], catalog: Catalog) -> dict[str, dict[str, list[float]]]:
    """The prices of the catalogue's models by id, with a profile or a Region in front."""
    found = {}
    for name, entry in table.items():
        regional = REGIONAL.fullmatch(name)
        id_ = regional[2] if regional else re.sub(r"^(us-gov|us|eu|apac|jp|au|in|ca|global)\.", "", name)
        known = any(each.id == id_ for each in catalog.entries.values())
        if not known or not str(entry.get("litellm_provider", "")).startswith("bedrock"):
            continue
        prices = {"on_demand": rates(entry), "batch": rates(entry, "_batches"), "flex": rates(entry, "_flex")}
        prices["cache"] = cached(entry)
        key = f"{regional[1]}/{id_}" if regional else name
        found[key] = {kind: pair for kind, pair in prices.items() if pair is not None}
    return dict(sorted(found.items()))


def written(prices: dict[str, dict[str, list[float]]], version: str, day: dt.date) -> str:
    """The extract as the file beside the catalogue."""
    head = (
        "# Prices by id in the price table of the PyPI package litellm (MIT): USD per 1M tokens, [input, output],\n"
        "# of `cache` [read, written].\n"
        "# Made by `make prices`; a test holds models.yaml against it. A Region in front of an id: its own price.\n"
        f"version: {version}\ndate: {day.isoformat()}\nprices:\n"
    )
    lines = [
        f"  {json.dumps(id_)}: {{{', '.join(f'{kind}: [{pair[0]:g}, {pair[1]:g}]' for kind, pair in pairs.items())}}}\n"
        for id_, pairs in prices.items()
    ]
    return head + "".join(lines)


def main() -> None:
    """Download, extract and write."""
    with tempfile.TemporaryDirectory() as folder:
        wheel = downloaded(Path(folder))
        table = json.loads(zipfile.ZipFile(wheel).read(TABLE))
        version = wheel.name.split("-")[1]
    PLACE.write_text(written(extract(table, Catalog.load()), version, dt.datetime.now(dt.UTC).date()), encoding="utf-8")
    print(f"{PLACE.name}: litellm {version}; now hold models.yaml against it: pytest tests/unit/models")


if __name__ == "__main__":
    main()
