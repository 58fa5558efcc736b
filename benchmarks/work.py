"""One piece of work in a process of its own, and what it took: `python -m benchmarks.work DIRECTORY WHAT [NUMBER …]`.

A step is loaded through its Lambda handler's module, with an S3 client as in a Lambda, so that the memory of the
imports is a Lambda's; what comes after the imports is measured.
"""

from __future__ import annotations

import json
import sys
import time
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.services import peak_mb, services_of

if TYPE_CHECKING:
    from collections.abc import Callable

STEPS = ("partition", "plan", "prepare", "check", "merge")
RUNS = ("rows", "run", "judge again")  # whole runs, one after the other


class WithoutPandas(MetaPathFinder):
    """pyarrow loads pandas where it finds it; a Lambda has none."""

    def find_spec(self, name: str, *_where: object) -> None:
        if name == "pandas":
            raise ModuleNotFoundError(name)


def prepare_work(directory: Path, what: str, numbers: list[int]) -> Callable[[], object]:
    """Load what a piece of work needs; the call that is returned is what is measured."""
    if what == "nothing":
        return lambda: None
    if what in STEPS:
        return _step(directory, what, numbers)
    if what == "join":
        from benchmarks import vectorised  # noqa: PLC0415

        return lambda: vectorised.join(directory, *numbers)
    if what in RUNS:
        from benchmarks import reusing  # noqa: PLC0415

        return reusing.ready(directory, what, *numbers)
    from benchmarks import setting  # noqa: PLC0415

    return lambda: setting.WORK[what](directory, *numbers)


def _step(directory: Path, what: str, numbers: list[int]) -> Callable[[], object]:
    import boto3  # noqa: PLC0415

    __import__(f"lambdas.{what}")
    boto3.client("s3", region_name="us-east-1", aws_access_key_id="none", aws_secret_access_key="none")
    from benchmarks import steps  # noqa: PLC0415

    return steps.ready(services_of(directory), directory, what, numbers)


def main() -> None:
    """Print the rows or keys that the work returned, seconds, processor seconds, peak memory, memory of the imports."""
    directory, what, *numbers = sys.argv[1:]
    sys.meta_path.insert(0, WithoutPandas())
    call = prepare_work(Path(directory), what, [int(number) for number in numbers])
    imports, loaded = peak_mb(), time.process_time()
    begin = time.perf_counter()
    result = call()
    measure = {
        "result": result,
        "wall": time.perf_counter() - begin,
        "cpu": time.process_time() - loaded,
        "peak": peak_mb(),
        "imports": imports,
        "loading": loaded,
    }
    print(json.dumps(measure))


if __name__ == "__main__":
    main()
