"""How runs begin."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from sluice.deployment.submission import command_of, uris_of
from sluice.task.file import parse_task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.harness.deployed import Deployed


def test_a_task_is_sent_along() -> None:
    """As it stands here, with every default filled in; a name is the deployed task's."""
    task = parse_task({"name": "tickets", "input": {"text": "body"}, "labels": ["a"]}, "the test's task")
    assert command_of(task, {}, again=False) == {"task": task.model_dump(mode="json"), "settings": {}}
    assert command_of("tickets", {"max_workers": 3}, again=False) == {"task": "tickets", "settings": {"max_workers": 3}}


def test_again_makes_another_run_each_time() -> None:
    """Without it, the same command is the same run, however often it is given."""
    assert command_of("tickets", {}, again=False) == command_of("tickets", {}, again=False)
    nonces = {command_of("tickets", {}, again=True)["nonce"] for _ in range(3)}
    assert len(nonces) == 3


def test_files_are_uploaded_once_to_where_nothing_is_triggered(deployed: Deployed, tmp_path: Path) -> None:
    """Those of one name stay apart; the same bytes again are the same object, so that the same command is one run."""
    for name in ("a.jsonl", "sub/a.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}\n")
    files = [str(tmp_path / "a.jsonl"), "s3://b/x", str(tmp_path / "sub" / "a.jsonl")]
    uploaded: list[Path] = []

    @contextmanager
    def noted(file: Path, _uri: str) -> Iterator[Callable[[int], None]]:
        uploaded.append(file)
        yield lambda _size: None

    uris = uris_of(deployed.stack, files, noted)
    assert uris[0] == "s3://b/x"
    keys = [uri.removeprefix(deployed.stack.incoming.uri("")) for uri in uris[1:]]
    assert all(key.startswith("_submitted/") for key in keys)
    assert keys[1].endswith("sub/a.jsonl")
    assert uploaded == [tmp_path / "a.jsonl", tmp_path / "sub" / "a.jsonl"]
    assert uris_of(deployed.stack, files, noted) == uris
    assert len(uploaded) == 2
    assert sorted(key for key, _ in deployed.stack.incoming.keys("")) == sorted(keys)
    (tmp_path / "a.jsonl").write_text("{} \n")
    assert uris_of(deployed.stack, files, noted)[1] != uris[1]
