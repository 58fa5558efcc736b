"""Reading a task file, and the JSON Schema of one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from sluice.errors import BadTask
from sluice.task.answer import Answer
from sluice.task.gates import Gates, Rule
from sluice.task.input import Input
from sluice.task.labels import LabelCount
from sluice.task.problems import nearest, problems_of, shown
from sluice.task.task import Task
from sluice.task.tiers import Budget, Limits, Report, Tier
from sluice.task.triggers import Schedule

# Which model holds the fields of a place, for the names that a misspelt one could have meant.
_PLACES: dict[str, type[BaseModel]] = {
    "": Task,
    "input": Input,
    "choose": LabelCount,
    "answer": Answer,
    "gates": Gates,
    "gates.rules": Rule,
    "tiers": Tier,
    "budget": Budget,
    "limits": Limits,
    "report": Report,
    "trigger": Schedule,
}


MAX_NODES = 100_000  # far above the task with the most labels
MAX_DEPTH = 200


class _Loader(yaml.SafeLoader):
    """YAML without silent overwriting: a key that stands twice in one mapping is an error."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: dict[tuple[str, str], int] = {}
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode):
            if (key.tag, key.value) in seen:
                first = seen[key.tag, key.value]
                problem = f"{key.value!r} stands there twice, first in line {first}"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            seen[key.tag, key.value] = key.start_mark.line + 1
    loader.flatten_mapping(node)
    return yaml.SafeLoader.construct_mapping(loader, node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def _hold_aliases(root: yaml.Node) -> None:
    """Refuse aliases that stand for more than `MAX_NODES` values together, as in a bomb, or for themselves.

    Raises:
        yaml.YAMLError: they do.
        RecursionError: written out, it is nested deeper than `MAX_DEPTH`.
    """
    measured: dict[int, tuple[int, int]] = {}  # of a node written out, size and depth; nothing yet while in its midst

    def measure(node: yaml.Node) -> tuple[int, int]:
        found = measured.setdefault(id(node), (0, 0))
        if found == (0, 0):
            size, depth = 1, 1
            for part in parts_of(node):
                if measured.get(id(part)) == (0, 0):
                    raise wrong(part, "an alias stands within what it stands for")
                of_part = measure(part)
                size, depth = size + of_part[0], max(depth, 1 + of_part[1])
            if depth > MAX_DEPTH:
                raise RecursionError
            if size > MAX_NODES:
                raise wrong(node, f"written out without its aliases this holds more than {MAX_NODES:,} values")
            found = measured[id(node)] = size, depth
        return found

    def parts_of(node: yaml.Node) -> Iterable[yaml.Node]:
        if isinstance(node, yaml.MappingNode):
            return [part for pair in node.value for part in pair]
        return node.value if isinstance(node, yaml.SequenceNode) else []

    def wrong(node: yaml.Node, problem: str) -> yaml.YAMLError:
        return yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)

    measure(root)


def read_yaml(path: Path) -> object:
    """The content of a YAML file.

    Raises:
        ValueError: not UTF-8, not YAML, or a key that stands twice; the message names the line.
        OSError: it cannot be read.

    """
    try:
        loader = _Loader(path.read_bytes().decode("utf-8-sig"))
        root = loader.get_single_node()
        if root is None:
            return None
        _hold_aliases(root)
        content: object = loader.construct_document(root)
        return content  # noqa: TRY300
    except UnicodeDecodeError as error:
        raise ValueError(f"is not UTF-8 (byte {error.start})") from None
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise ValueError(f"{line}{error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None


def parse_task(data: object, source: str, base: Path | None = None, *, frozen: bool = False) -> Task:
    """The task that `data` (a decoded task file) describes.

    Args:
        data: what the YAML file holds, or `Task.model_dump(mode="json")`.
        source: what errors call the file.
        base: the folder in which a CSV file of labels is looked for.
        frozen: whether it is the task of a run that has begun, which checks that came later do not stop.

    Raises:
        BadTask: one sentence per mistake, all at once.

    """
    if not isinstance(data, Mapping):
        raise BadTask(source, [f"{shown(data)}: should be a mapping that begins with name: …"])
    try:
        return Task.model_validate(dict(data), context={"base": base, "frozen": frozen})
    except ValidationError as error:
        raise BadTask(source, problems_of(error, _PLACES)) from None


def load_task(name_or_path: str, directory: Path = Path("tasks")) -> Task:
    """The task called so in `directory`, or in the file at that path.

    Raises:
        BadTask: there is none, or it has mistakes.

    """
    path, by_name = _find(name_or_path, directory)
    try:
        data = read_yaml(path)
    except OSError as error:
        raise BadTask(str(path), [f"cannot be read: {error.strerror}"]) from None
    except ValueError as error:
        raise BadTask(str(path), [str(error)]) from None
    task = parse_task(data, str(path), path.parent)
    if by_name and task.name != path.stem:
        raise BadTask(str(path), [f"name: {task.name!r}: should be {path.stem!r}, like the file"])
    return task


def task_names(directory: Path = Path("tasks")) -> list[str]:
    """The names of the tasks in a folder."""
    return sorted({path.stem for suffix in ("yaml", "yml") for path in directory.glob(f"*.{suffix}")})


def _find(name_or_path: str, directory: Path) -> tuple[Path, bool]:
    """The file, and whether it was asked for by name."""
    if re.fullmatch(r"[\w-]+", name_or_path):
        for suffix in ("yaml", "yml"):
            path = directory / f"{name_or_path}.{suffix}"
            if path.is_file():
                return path, True
    path = Path(name_or_path)
    if path.is_file():
        return path, False
    raise BadTask(name_or_path, [f"no such task in {directory}/{nearest(name_or_path, task_names(directory))}"])


def json_schema() -> dict[str, Any]:
    """The JSON Schema of the task file, with descriptions and defaults, for editors."""
    schema = Task.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Sluice task"}
