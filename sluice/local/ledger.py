"""What became of the calls of each role, kept as files, so that a role can be held against all that it was used for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# A right of the role let a call pass; a call had no right; a call that the service's own model does not admit.
USED, REFUSED, INVALID = "used", "refused", "invalid"
FOLDER = "roles"  # in the folder of a run's logs

Rights = set[tuple[str, str]]  # of actions and resources


class Ledger:
    """Notes each thing once, as a line of kind, action and resource, in the file that is called like the role.

    The folder is asked for at each note, since a process may serve one run after the other.
    """

    def __init__(self, folder: Callable[[], Path], role: str) -> None:
        self.folder = folder
        self.role = role
        self.noted: set[tuple[Path, str, str, str]] = set()

    def note(self, kind: str, action: str, resource: str) -> None:
        """Append a line; those of several processes never mix, since each is one short write."""
        folder = self.folder()
        line = (folder, kind, action, resource)
        if line not in self.noted:
            self.noted.add(line)
            folder.mkdir(parents=True, exist_ok=True)
            with (folder / self.role).open("a", encoding="utf-8") as file:
                file.write(f"{kind}\t{action}\t{resource}\n")


def read_ledgers(folder: Path) -> dict[str, dict[str, Rights]]:
    """What the ledgers in a folder hold: by role, then by kind."""
    found: dict[str, dict[str, Rights]] = {}
    for path in sorted(folder.glob("*")):
        kinds = found.setdefault(path.name, {USED: set(), REFUSED: set(), INVALID: set()})
        for line in path.read_text(encoding="utf-8").splitlines():
            kind, action, resource = line.split("\t")
            kinds[kind].add((action, resource))
    return found
