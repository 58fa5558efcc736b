from __future__ import annotations

import pytest

from tests.mutants import FULLER, MODULES
from tests.mutations import MUTATIONS, ROOT, SUITE, Mutation, mutated


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_each_mutation_finds_the_text_that_it_replaces(mutation: Mutation) -> None:
    """A mutation whose text has moved breaks nothing, and tells that only after an hour."""
    assert mutated(ROOT, mutation) != (ROOT / mutation.file).read_text(encoding="utf-8")


def test_the_tests_that_mutations_are_held_against_are_there() -> None:
    """A test file that has moved would stop the whole run."""
    assert [name for name in SUITE if not (ROOT / name).is_file()] == []
    of_modules = {*MODULES, *FULLER, *(name for names in MODULES.values() for name in names)}
    assert [name for name in sorted(of_modules) if not (ROOT / name).exists()] == []
