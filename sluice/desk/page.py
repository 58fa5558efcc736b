"""The desk as one page of HTML that needs nothing from outside; served and as a file it is the same."""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from functools import cache
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def policy(*, served: bool) -> str:
    """Forbid all but the page's own script, by its hash, its own style, and its own server where it has one."""
    digest = b64encode(hashlib.sha256(_resource("desk.js").encode()).digest()).decode()
    connect = "; connect-src 'self'" if served else ""
    allowed = f"script-src 'sha256-{digest}'; style-src 'unsafe-inline'{connect}"
    return f"default-src 'none'; {allowed}; base-uri 'none'; form-action 'none'"


def render(document: Mapping[str, Any], *, token: str | None = None) -> str:
    """Make the page of a desk's document; with a token it delivers to the server that has it, else into a file."""
    data = {**document, "token": token}
    page = _resource("desk.html")
    for name, value in (
        ("policy", escape(policy(served=token is not None))),
        ("title", escape(f"{document['task']}: review")),
        ("style", _resource("desk.css")),
        ("script", _resource("desk.js")),
        ("data", _in_script(data)),  # last, so that nothing is looked for in it
    ):
        page = page.replace(f"[[{name}]]", value, 1)
    return page


def _in_script(document: object) -> str:
    """A JSON document as it may stand in a script tag: no character that HTML or a script would take for its own."""
    text = json.dumps(document, separators=(",", ":"), default=str)  # pure ASCII
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


@cache
def _resource(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")
