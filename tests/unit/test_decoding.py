"""JSON into types, by several threads at once."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from sluice.decoding import convert, decode, decoder

ROOT = Path(__file__).parents[2]

# Each of these types is met first by eight threads at once.
MEETING = """
import sys, threading, msgspec
from sluice.decoding import decode
sys.setswitchinterval(1e-6)
for n in range(30):
    inner = [msgspec.defstruct(f"Inner{m}", [(f"f{k}", int, 0) for k in range(10)]) for m in range(20)]
    kind = msgspec.defstruct("Outer", [(f"a{m}", type_ | None, None) for m, type_ in enumerate(inner)])
    start = threading.Barrier(8)
    def meet():
        start.wait()
        assert decode(b'{"a0": null, "a19": {"f1": 2}}', kind).a19.f1 == 2
    threads = [threading.Thread(target=meet) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
"""


class Point(msgspec.Struct):
    """A type of this file's own."""

    x: int


def test_threads_that_meet_a_type_together_read_it() -> None:
    """With msgspec alone the process dies of it."""
    assert subprocess.run([sys.executable, "-c", MEETING], check=False).returncode == 0


def test_what_is_read_is_of_the_type() -> None:
    """From JSON, from values, and from what a hook makes of parts."""
    assert decode(b'{"x": 1}', Point) == convert({"x": "1"}, Point, strict=False) == Point(1)
    assert decoder(Point) is decoder(Point)
    assert decode(b'["1"]', list[complex], dec_hook=lambda kind, value: kind(value)) == [1 + 0j]
    for wrong in (b'{"x": "1"}', b"{"):
        with pytest.raises(msgspec.MsgspecError):
            decode(wrong, Point)


def into_types(path: Path) -> list[str]:
    """Where a module has msgspec read a type that other threads may meet as well."""
    found: list[str] = []
    text = path.read_text()
    if "msgspec.convert" not in text and ("msgspec" not in text or "type=" not in text):
        return found
    for call in (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)):
        name = ast.unparse(call.func)
        typed = name.endswith(".decode") and any(keyword.arg == "type" for keyword in call.keywords)
        if name == "msgspec.convert" or (name.startswith("msgspec.") and typed):
            found.append(f"{path.relative_to(ROOT)}:{call.lineno}")
    return found


def test_nothing_else_reads_types() -> None:
    """A type that is met elsewhere, by one of several threads, would not be held back."""
    paths = [path for name in ("sluice", "lambdas") for path in (ROOT / name).rglob("*.py")]
    assert [place for path in paths for place in into_types(path) if path.name != "decoding.py"] == []
