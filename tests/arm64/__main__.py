"""The bundles as they are deployed, imported and used by a Python of Lambda's version for arm64, under emulation.

`make arm`. Needs Debian's qemu-user-static and mmdebstrap; the interpreter is Debian's, unpacked once into .build. The
wheels in a bundle are for another processor than most machines that build it, so nothing else ever loads them here.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from infra.bundle import PYTHON, Bundle, Packages
from infra.functions import ROOMS

ROOT = Path(__file__).parents[2]
SYSTEM = ROOT / ".build/arm64"
TOOLS = ("qemu-aarch64-static", "mmdebstrap")
INCLUDED = (f"python{PYTHON}-minimal", f"libpython{PYTHON}-stdlib", "libssl3t64", "libstdc++6", "ca-certificates")
# As Lambda has it: the bundle is found first, and nothing else but the standard library.
IMPORT = """
import importlib, platform, sys
bundle, arrow, numpy, *steps = sys.argv[1:]
sys.path.insert(0, bundle)
assert platform.machine() == "aarch64", platform.machine()
for step in steps:
    assert callable(importlib.import_module(f"lambdas.{step}").handler)
import jsonschema_rs, markupsafe._speedups, msgspec, pydantic_core, yaml
assert msgspec.json.decode(b'{"a": [1, 2.5, "x"]}') == {"a": [1, 2.5, "x"]}
assert jsonschema_rs.is_valid({"type": "integer"}, 3) and yaml.safe_load("a: 1") == {"a": 1}
if arrow == "True":
    import io
    import pyarrow as pa, pyarrow.compute as pc, pyarrow.parquet as pq
    table, out = pa.table({"n": list(range(1000)), "t": ["text"] * 1000}), io.BytesIO()
    pq.write_table(table, out, compression="zstd")
    assert pq.ParquetFile(io.BytesIO(out.getvalue())).read().equals(table)
    assert pc.sum(table["n"]).as_py() == 499500
if numpy == "True":
    import numpy
    assert numpy.dot(numpy.arange(100.0), numpy.ones(100)) == 4950
"""


def interpreter() -> list[str]:
    """The command of an arm64 Python; its system is unpacked at the first call."""
    if not SYSTEM.exists():
        with tempfile.TemporaryDirectory(dir=SYSTEM.parent, prefix="arm64-") as scratch:
            made = Path(scratch) / "system"
            words = ["--quiet", "--arch=arm64", "--variant=extract", f"--include={','.join(INCLUDED)}"]
            subprocess.run(["mmdebstrap", *words, "stable", str(made), archive()], check=True)
            for folder in ("lib", "bin"):  # which a package would link when it is configured, and none is here
                if not (made / folder).exists():
                    (made / folder).symlink_to(f"usr/{folder}")
            made.rename(SYSTEM)
    return [TOOLS[0], "-L", str(SYSTEM), str(SYSTEM / "usr/bin" / f"python{PYTHON}"), "-I", "-B"]


def archive() -> str:
    """The archive of Debian that this machine installs from."""
    asked = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Component: main"]
    found = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()
    return next(address for address in found if "security" not in address)


def load(packages: Packages, python: list[str]) -> str:
    """Build a bundle, load the handlers of the functions that have it, and use what is compiled in it."""
    steps = [step for step, room in ROOMS.items() if room.packages is packages]
    arrow, numpy = packages is not Packages.WITHOUT_ARROW, packages is Packages.ALL
    given = {"AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1", "POWERTOOLS_SERVICE_NAME": "sluice"}
    with tempfile.TemporaryDirectory(prefix="sluice-arm64-") as scratch:
        Bundle(packages=packages, tasks=None).try_bundle(scratch)
        command = [*python, "-c", IMPORT, scratch, str(arrow), str(numpy), *steps]
        subprocess.run(command, env={"PATH": os.environ["PATH"], **given}, check=True)
    return ", ".join(steps)


def main() -> None:
    """Go through all bundles."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        print(f"skipped: there is no {' and no '.join(missing)}; apt-get install qemu-user-static mmdebstrap")
        return
    SYSTEM.parent.mkdir(exist_ok=True)
    python = interpreter()
    for packages in (Packages.WITHOUT_ARROW, Packages.ARROW, Packages.ALL):
        begun = time.monotonic()
        print(f"packages {packages}: {load(packages, python)}: {time.monotonic() - begun:.0f} s", flush=True)


if __name__ == "__main__":
    main()
