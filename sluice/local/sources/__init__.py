"""Where the stand-in's answers come from: a module for each source, and the one that opens what `--answers` names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sluice.errors import BadRequest, BadSetting

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

    from sluice.local.sources.source import Source, Tiers
    from sluice.task.task import Task

ROUTER, JUDGE = "router", "judge"  # how a recording names the answers to their questions
SOURCES = "standin, replay:FILE, openai:URL#MODEL or bedrock"


def check_answers(source: str) -> None:
    """Refuse a source of answers that does not exist.

    Raises:
        BadRequest: it is none, or its file is not there.
        BadSetting: the file holds no recording.
    """
    kind, _, rest = source.partition(":")
    match kind:
        case "standin" | "bedrock" if not rest:
            return
        case "replay" if Path(rest).is_file():
            _check_recording(Path(rest))
            return
        case "replay":
            raise BadRequest(f"{source}: there is no file {rest or 'named'}", "answers")
        case "openai":
            _check_server(source, *rest.rpartition("#")[::2])
            return
    raise BadRequest(f"{source} is not known; there are: {SOURCES}", "answers")


def _check_server(source: str, url: str, model: str) -> None:
    from pydantic import ValidationError  # noqa: PLC0415  the other sources do without

    from sluice.models.servers import Server  # noqa: PLC0415
    from sluice.task.problems import problems_of  # noqa: PLC0415

    form = "write openai:URL#MODEL, as openai:http://localhost:11434/v1#qwen3"
    if not url or not model:
        raise BadRequest(f"{source}: {form}", "answers")
    try:
        Server(url=url, model=model)
    except ValidationError as error:
        raise BadRequest(f"openai: {problems_of(error, {})[0]}; {form}", "answers") from None


def _check_recording(path: Path) -> None:
    from sluice.local.sources.replay import read_recording  # noqa: PLC0415 (the other sources do without)

    for _ in read_recording(path):
        pass


def open_source(spec: str, task: Task, tiers: Tiers, region: str, s3: S3Client) -> Source:
    """The source that `--answers` names, where it is no server of one's own.

    Raises:
        BadSetting: no such source, or one without what it needs.
    """
    kind, _, rest = spec.partition(":")
    match kind:
        case "standin" if not rest:
            from sluice.local.sources.lexical import LexicalSource  # noqa: PLC0415  one source is loaded, not all

            others: list[tuple[Task, Source]] = []
            if task.router is not None:
                others.append((task.routing, LexicalSource(task.routing, tiers)))
            if task.gates.judge is not None:
                from sluice.local.sources.judging import JudgingSource  # noqa: PLC0415

                others.append((task.judging, _one_by_one(JudgingSource(LexicalSource(task, tiers)), task, s3)))
            return _with_questions(_one_by_one(LexicalSource(task, tiers), task, s3), others)
        case "replay" if rest:
            from sluice.local.sources.replay import ReplaySource  # noqa: PLC0415

            asked = [(ROUTER, task.routing)] if task.router is not None else []
            asked += [(JUDGE, task.judging)] if task.gates.judge is not None else []
            return _with_questions(
                _one_by_one(ReplaySource(rest, task, tiers, s3), task, s3),
                [
                    (question, _one_by_one(ReplaySource(rest, task, tiers, s3, name=name), task, s3))
                    for name, question in asked
                ],
            )
        case "bedrock" if not rest:
            from sluice.local.sources.bedrock import BedrockSource  # noqa: PLC0415

            return BedrockSource(region)
    raise BadSetting(f"--answers {spec}: there are {SOURCES}")


def _with_questions(source: Source, others: list[tuple[Task, Source]]) -> Source:
    if not others:
        return source
    from sluice.local.sources.routing import WithQuestions  # noqa: PLC0415  few tasks have a router or a judge

    return WithQuestions(source, others)


def _one_by_one(source: Source, task: Task, s3: S3Client) -> Source:
    """The source, which answers one text at a time, for a task whose requests may hold several."""
    if all(tier.pack == 1 for tier in task.answerers):
        return source
    from sluice.local.sources.packed import OneByOne  # noqa: PLC0415  few tasks have packs

    return OneByOne(source, s3)
