"""Where the app of the deployment lies, and where goes what can be made again."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from sluice.errors import Stop

PACKAGE = Path(__file__).resolve().parent
# The wheel carries the app inside of the package, where its modules are no names of the whole environment.
_PACKED = PACKAGE / "_project"
# The folder with app.py, infra, lambdas and cdk.json: a checkout's root, or that folder of the installed package. It is
# the first on the path of whatever process imports them.
PROJECT = _PACKED if _PACKED.is_dir() else PACKAGE.parent


def user_cache() -> Path:
    """The user's cache folder of Sluice, which may not be there yet; nothing is written beside the package.

    Raises:
        Stop: this user has no home.
    """
    if named := os.environ.get("XDG_CACHE_HOME"):
        return Path(named) / "sluice"
    if sys.platform == "win32" and (local := os.environ.get("LOCALAPPDATA")):
        return Path(local) / "sluice" / "cache"
    try:
        return Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "sluice"
    except RuntimeError:
        raise Stop("there is no home folder to keep a cache in; set XDG_CACHE_HOME to a folder") from None


def made(folder: Path) -> Path:
    """A folder of the cache, which is there afterwards.

    Raises:
        Stop: it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK | os.X_OK)
    except OSError:
        writable = False
    if not writable:
        raise Stop(f"the cache folder {folder} cannot be written; set XDG_CACHE_HOME to another one")
    return folder
