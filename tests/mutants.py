"""`make mutants`: break the code by chance and in known ways, and see the tests catch it.

    python -m tests.mutants [--count 400] [--seed 0] [--workers 2] [--only WORD] [--again]

Mutants are made by mutmut's operators: a seeded sample over the modules that decide, spread by how many each has.
Behind them come the known mistakes of `tests/mutations.py`. Each is tried in a copy of the tree: the unit tests of its
module first, the quick ones before the slow; what survives them meets the reference and the fault plans. What has been
tried stands in `.build/mutants/`, so that a run that was broken off goes on, and a module that changed is tried again.
`tests/survivors.json` says of mutants that nothing can tell from the code why they may live; these are not tried.
"""

# ruff: noqa: T201 - what a command prints

from __future__ import annotations

import argparse
import json
import queue
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import libcst as cst
from mutmut.mutation.file_mutation import create_mutations

from tests.mutations import MUTATIONS, ROOT, SUITE, copy_tree, mutated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

STEPS = ("tests/unit/steps/test_run_steps.py", "tests/unit/steps/test_check.py", "tests/unit/steps/test_plan.py")
GOING_ON = tuple(f"tests/unit/steps/test_{name}.py" for name in ("refused", "approval", "rejudge", "resume", "sweep"))
FORMS = tuple(
    f"tests/unit/steps/test_{name}.py"
    for name in ("packed_runs", "judged_runs", "routed_runs", "transports", "reuse", "expiry", "patience", "repeats")
)
# The modules, and the unit tests that hold each.
MODULES: dict[str, tuple[str, ...]] = {
    "sluice/rows/containers": (
        "tests/unit/rows",
        "tests/unit/steps/test_partition.py",
        "tests/unit/steps/test_start.py",
    ),
    "sluice/rows/record.py": ("tests/unit/rows", "tests/unit/steps/test_partition.py", *STEPS[:1]),
    "sluice/rows/paths.py": ("tests/unit/rows", "tests/unit/results"),
    "sluice/answers/judge.py": ("tests/unit/answers",),
    "sluice/runs/planning.py": ("tests/unit/runs/test_planning.py", "tests/unit/steps/test_plan.py"),
    "sluice/runs/accounting.py": ("tests/unit/runs", "tests/unit/steps/test_publish.py", *STEPS, GOING_ON[0], *FORMS),
    "sluice/results/merging.py": ("tests/unit/results", "tests/unit/steps/test_rejudge.py", GOING_ON[0], *FORMS),
    "sluice/steps/prepare.py": (*STEPS, "tests/unit/results/test_merging.py", *FORMS),
    "sluice/steps/check.py": (
        *STEPS,
        *GOING_ON,
        "tests/unit/steps/test_publish.py",
        "tests/unit/aws/test_metrics.py",
        *FORMS,
    ),
    "sluice/steps/judging.py": (*STEPS, "tests/unit/steps/test_refused.py", *FORMS),
    "sluice/steps/plan.py": (*STEPS, *GOING_ON, "tests/unit/aws/test_metrics.py", *FORMS),
    "sluice/steps/selection.py": ("tests/unit/steps/test_selection.py", *STEPS, "tests/unit/results/test_merging.py"),
}
FULLER = (
    *(f"tests/unit/steps/test_{name}_runs.py" for name in ("routed", "router", "judged", "certified")),
    "tests/reference",
    "tests/faults/test_plans.py",
    "tests/faults/test_crashes.py",
)
OPTIONS = ("--worlds", "25", "-k", "not no_plan_loses and not before-")  # a crash behind a write has met both
SECONDS = 300  # tests that take so much longer have noticed the mistake
FLOOR = 0.85  # of those that can be told from the code
STATE = ROOT / ".build" / "mutants"
SURVIVORS = ROOT / "tests" / "survivors.json"


@dataclass(frozen=True)
class Mutant:
    """One mistake: its file, its place and change in words, the file with it, and the tests to try in order."""

    file: str
    name: str
    code: str
    suites: tuple[tuple[str, ...], ...]

    @property
    def id(self) -> str:
        return blake2b(f"{self.file}\0{self.code}".encode(), digest_size=8).hexdigest()

    @property
    def place(self) -> str:
        return f"{self.file}: {self.name}"


@dataclass(frozen=True)
class Result:
    """What became of a mutant: which tests caught it, None when it lives."""

    id: str
    file: str
    name: str
    caught: str | None
    seconds: float

    @property
    def place(self) -> str:
        return f"{self.file}: {self.name}"


def files_of(place: str) -> list[str]:
    path = ROOT / place
    found = [path] if path.is_file() else sorted(path.glob("*.py"))
    return [file.relative_to(ROOT).as_posix() for file in found if file.name != "__init__.py"]


def mutants_of(file: str, unit: tuple[str, ...]) -> list[Callable[[], Mutant]]:
    """Every mutant of a file's functions, made when called; words for people (strings with a blank) are left alone."""
    module, mutations, *_ = create_mutations(file, (ROOT / file).read_text(encoding="utf-8"))

    def named(mutation: Any) -> str:
        code = (module.code_for_node(node) for node in (mutation.original_node, mutation.mutated_node))
        before, after = differing(*code)
        return f"{mutation.contained_by_top_level_function.name.value}: {before} -> {after}"

    def made(mutation: Any, name: str) -> Mutant:
        replaced: Any = module.deep_replace(mutation.original_node, mutation.mutated_node)
        return Mutant(file, name, replaced.code, (unit, FULLER))

    def is_meant(mutation: Any) -> bool:
        old = mutation.original_node
        words = isinstance(old, cst.SimpleString) and " " in old.value
        return isinstance(mutation.contained_by_top_level_function, cst.FunctionDef) and not words

    meant = [mutation for mutation in mutations if is_meant(mutation)]
    names = numbered(map(named, meant))
    return [partial(made, mutation, name) for mutation, name in zip(meant, names, strict=True)]


def numbered(names: Iterable[str]) -> Iterator[str]:
    """The names, with a number behind those that came before: each stands for one mutant of its file."""
    seen: Counter[str] = Counter()
    for name in names:
        seen[name] += 1
        yield name if seen[name] == 1 else f"{name} ({seen[name]})"


def differing(before: str, after: str) -> tuple[str, str]:
    """Two pieces of code on one line each, from a little before they differ on."""
    one, other = " ".join(before.split()), " ".join(after.split())
    apart = next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    begin = max(0, apart - 40)
    return one[begin : begin + 100], other[begin : begin + 100]


def drawn(seed: int, count: int) -> list[Mutant]:
    """A sample over all modules, each by its share, in an order that begins with some of each."""
    of = {file: mutants_of(file, unit) for place, unit in MODULES.items() for file in files_of(place)}
    whole = sum(map(len, of.values()))
    print(f"  {whole:,} mutants in {len(of)} modules, {min(count, whole):,} are drawn", flush=True)
    rng = random.Random(seed)
    placed: list[tuple[float, Mutant]] = []
    for mutants in of.values():
        share = min(len(mutants), max(1, round(count * len(mutants) / whole)))
        chosen = [make() for make in rng.sample(mutants, share)]
        placed += [((n + rng.random()) / share, mutant) for n, mutant in enumerate(chosen)]
    return [mutant for _, mutant in sorted(placed, key=lambda pair: pair[0])]


def known() -> Iterator[Mutant]:
    """The mistakes of the list, each with the tests of the steps."""
    for mutation in MUTATIONS:
        yield Mutant(mutation.file, mutation.name, mutated(ROOT, mutation), (SUITE,))


class Bench:
    """A copy of the tree in which mutants are tried, by a process that forks with everything heavy imported."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        copy_tree(folder)
        command = [sys.executable, "-m", "tests.forking"]
        self.process = subprocess.Popen(command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, tests: Sequence[str], last: Sequence[str] = ()) -> tuple[str | None, list[str]]:
        """The first test that fails over the copy as it is, None when all pass, and those that took long."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        order = {"arguments": [*OPTIONS, *tests], "last": last, "seconds": SECONDS}
        self.process.stdin.write(json.dumps(order).encode() + b"\n")
        self.process.stdin.flush()
        failed, slow = json.loads(self.process.stdout.readline())
        return failed, slow

    def run(self, mutant: Mutant, last: Sequence[str]) -> Result:
        began, path = time.monotonic(), self.folder / mutant.file
        whole = path.read_text(encoding="utf-8")
        path.write_text(mutant.code, encoding="utf-8")
        try:
            caught = next(filter(None, (self.ask(suite, last)[0] for suite in mutant.suites)), None)
        finally:
            path.write_text(whole, encoding="utf-8")
        return Result(mutant.id, mutant.file, mutant.name, caught, round(time.monotonic() - began, 1))

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


def run_all(mutants: Sequence[Mutant], last: Sequence[str], workers: int, state: Path) -> list[Result]:
    """What becomes of each; those that the state has are not tried again, and each is written down at once.

    The tests of `last` run behind all others.
    """
    done = read_state(state)
    waiting: queue.SimpleQueue[Mutant] = queue.SimpleQueue()
    for mutant in mutants:
        if mutant.id not in done:
            waiting.put(mutant)
    state.parent.mkdir(parents=True, exist_ok=True)
    lock = threading.Lock()

    def work() -> None:
        with tempfile.TemporaryDirectory(prefix="sluice-mutants-") as folder:
            bench = Bench(Path(folder))
            try:
                while True:
                    result = bench.run(waiting.get_nowait(), last)
                    with lock, state.open("a", encoding="utf-8") as file:
                        done[result.id] = result
                        file.write(json.dumps(asdict(result)) + "\n")
                        print(
                            f"  {'caught' if result.caught else 'LIVES':<7}{result.seconds:>6.1f} s  "
                            f"{result.file}: {result.name}",
                            flush=True,
                        )
            except queue.Empty:
                pass
            finally:
                bench.close()

    threads = [threading.Thread(target=work) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [done[mutant.id] for mutant in mutants if mutant.id in done]


def read_state(state: Path) -> dict[str, Result]:
    lines = state.read_text(encoding="utf-8").splitlines() if state.exists() else []
    return {result.id: result for result in (Result(**json.loads(line)) for line in lines)}


def check_unbroken(workers: int) -> list[str]:
    """The copy without a mistake passes, from the copy's own code; returns the tests that took long."""

    def ask(tests: Sequence[str]) -> tuple[str | None, list[str]]:
        with tempfile.TemporaryDirectory(prefix="sluice-mutants-") as folder:
            bench = Bench(Path(folder))
            try:
                return bench.ask(tests)
            finally:
                bench.close()

    tests = sorted({test for unit in MODULES.values() for test in unit} | set(FULLER) | set(SUITE))
    slow = list[str]()
    with ThreadPoolExecutor(workers) as threads:
        for failed, took_long in threads.map(ask, [tests[n::workers] for n in range(workers)]):
            if failed is not None:
                raise SystemExit(f"without any mutation this fails: {failed}")
            slow += took_long
    return slow


def report(results: Sequence[Result], listed: Mapping[str, str]) -> bool:
    """The table, the survivors and why they may live; whether enough were caught, and all of the known ones."""
    names = {mutation.name for mutation in MUTATIONS}
    alive = [result for result in results if result.caught is None]
    of = Counter(result.file for result in results)
    caught = Counter(result.file for result in results if result.caught)
    print()
    for file, count in sorted(of.items()):
        print(f"  {file:<40}{caught[file]:>5} of {count}")
    for place, why in listed.items():
        print(f"  equal  {place}\n         {why}")
    for result in alive:
        print(f"  LIVES  {result.place}")
    chance = [result for result in results if result.name not in names]
    share = sum(result.caught is not None for result in chance) / max(1, len(chance))
    print(f"\n  {len(chance) + len(listed)} mutants, {len(listed)} equal to the code, {share:.1%} of the others caught")
    missed = [result.name for result in alive if result.name in names]
    print(f"  {len(results) - len(chance)} known mistakes, {len(missed)} missed")
    return share >= FLOOR and not missed


def main() -> int:
    parser = argparse.ArgumentParser(description="Break the code by chance and in known ways, and see it caught.")
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", default="", help="mutants whose file or name holds this")
    parser.add_argument("--again", action="store_true", help="forget what was tried before")
    given = parser.parse_args()
    state = STATE / f"{given.seed}.jsonl"
    if given.again:
        state.unlink(missing_ok=True)
    slow = check_unbroken(given.workers)
    mutants = [*drawn(given.seed, given.count), *known()]
    chosen = [mutant for mutant in mutants if given.only in mutant.name or given.only in mutant.file]
    reasons: dict[str, str] = json.loads(SURVIVORS.read_text(encoding="utf-8"))
    listed = {place: reasons[place] for mutant in chosen if (place := mutant.place) in reasons}
    tried = [mutant for mutant in chosen if mutant.place not in listed]
    return 0 if report(run_all(tried, slow, given.workers, state), listed) else 1


if __name__ == "__main__":
    sys.exit(main())
