"""Who may call a server of the local cloud: its own processes alone.

Any process of this machine can reach a port on 127.0.0.1, and so can a page in a browser. The processes of a cloud
share a secret that is drawn for it, and pass it in their environment, which no other user can read. It is the access
key that their AWS clients sign with, so that each request shows it without anybody's doing.
"""

from __future__ import annotations

import os
import re
import secrets
from hmac import compare_digest
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

ACCESS_KEY = "AWS_ACCESS_KEY_ID"
SHOWN = re.compile(r"AWS4-HMAC-SHA256 Credential=([^/,]+)/|Bearer (\S+)$")
NAMES = ("127.0.0.1", "localhost")


def draw_secret() -> str:
    """A secret for one cloud."""
    return secrets.token_hex(16)


def own_secret() -> str:
    """The secret of the cloud that this process belongs to."""
    return os.environ[ACCESS_KEY]


def credentials(secret: str) -> dict[str, str]:
    """The variables under which an AWS client signs with the secret."""
    return {ACCESS_KEY: secret, "AWS_SECRET_ACCESS_KEY": secret}


def refusal(header: Callable[[str], str | None], secret: str, port: int) -> str | None:
    """Why a request is refused, by its headers; None: it comes from a process of this cloud.

    A page in a browser sends an Origin, and one that had its own name lead here (DNS rebinding) a Host of its own.
    """
    if header("Origin") is not None:
        return "no web page may call this server"
    if header("Host") not in {f"{name}:{port}" for name in NAMES}:
        return "this server answers under its own address alone"
    shown = SHOWN.match(header("Authorization") or "")
    if shown is None or not compare_digest((shown[1] or shown[2]).encode(), secret.encode()):
        return "this server answers the processes of its own run alone"
    return None
