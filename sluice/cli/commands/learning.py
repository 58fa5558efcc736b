"""The commands about the learned model: teach it by earlier runs, and bring it word vectors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sluice.cli.calls import here, in_cloud
from sluice.cli.help import examples
from sluice.cli.options import EnvOption, JsonOption, ProfileOption, StackRegionOption

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sluice.api.deployment import Deployment
    from sluice.cli.exits import ExitCode
    from sluice.quality.teaching import Earlier

commands = typer.Typer()


@commands.command(
    epilog=examples(
        "sluice learn tasks/reviews.yaml --from out/monday --from out/tuesday",
        "sluice learn tickets --from tickets-20261120t101500-0123456789 --json",
    )
)
def learn(
    task: Annotated[str, typer.Argument(metavar="TASK", help="A task's name or file, as it is now.")],
    runs: Annotated[
        list[str], typer.Option("--from", metavar="RUN", help="A run's id, or the folder of local runs; repeat it.")
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FOLDER", help="Where learned models lie, by task.")
    ] = Path("learned"),
    upload: Annotated[
        bool, typer.Option("--upload", help="Let the next runs of the deployment be taught by it, too.")
    ] = False,
    json: JsonOption = False,
    env: EnvOption = "prod",
    region: StackRegionOption = None,
    profile: ProfileOption = None,
) -> None:
    """Teach a small model of a task's labels by earlier runs.

    It is taught by what the last tier has answered, by corrections (`sluice review`), and by known answers of the input
    (input.gold). How often it gives the last tier's label is measured on rows that were drawn uniformly (`audit`,
    `quality`), each answered by a model that had not seen its text; so at least 50 texts have to be drawn. The file is
    FOLDER/TASK/VERSION.bin, and beside it VERSION.json says what it was taught by. Below lies what taught it: runs of
    the task on this machine that have a learned tier or a score take that up out of `learned`, those of a deployment
    with --upload. Word vectors (`sluice vectors`) are looked for beside FOLDER. Runs that had another teacher, prompt
    or labels than the task has now are refused. Nothing is bought.

    Exit codes: 0 written, 1 AWS or a file could not be reached, 2 wrong usage, another teacher, too little drawn.
    """
    from sluice.cli.fetch import folder_of  # noqa: PLC0415
    from sluice.cli.learning import print_learned  # noqa: PLC0415
    from sluice.quality.teaching import Earlier  # noqa: PLC0415
    from sluice.results.folder import runs_in  # noqa: PLC0415

    def opened(deployment: Deployment | None) -> Iterator[Earlier]:
        for name in runs:
            folder = folder_of(name)
            if folder is not None or deployment is None:
                yield from (Earlier(*run) for run in runs_in(folder or Path(name)))
            else:
                run = deployment.run(name)
                yield Earlier(run.published(), run.summary, run.kept())

    if all(folder_of(name) is not None for name in runs) and not upload:
        raise here(lambda: print_learned(task, list(opened(None)), out, as_json=json))

    def taught(deployment: Deployment) -> ExitCode:
        store = deployment.stack.work if upload else None
        return print_learned(task, list(opened(deployment)), out, store, as_json=json)

    raise in_cloud((env, region, profile), taught)


@commands.command(
    epilog=examples("sluice vectors tickets glove.6B.100d.txt", "sluice vectors tickets --remove --upload"),
)
def vectors(
    task: Annotated[str, typer.Argument(metavar="TASK", help="A task's name or file.")],
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="Word vectors as text, also packed by gzip.")
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Take them away again.")] = False,
    upload: Annotated[bool, typer.Option("--upload", help="In the deployment as well.")] = False,
    json: JsonOption = False,
    env: EnvOption = "prod",
    region: StackRegionOption = None,
    profile: ProfileOption = None,
) -> None:
    """Bring word vectors of your own for a task's learned model.

    A learned tier or a score then knows words by what they mean, beside how they are spelt, which helps most where few
    rows teach. FILE is the text form of word2vec, GloVe and fastText: a line for each word, the commonest first, with
    its numbers behind it. As many of its words as 30 MB have room for are written to vectors/TASK.bin, where runs of
    the task on this machine take them up; those of a deployment with --upload. A model that was taught keeps its own
    copy.

    Exit codes: 0 written or removed, 1 AWS could not be reached, 2 wrong usage, or no file of word vectors.
    """
    from sluice.cli.learning import print_vectors  # noqa: PLC0415
    from sluice.errors import BadRequest  # noqa: PLC0415

    def brought(deployment: Deployment | None = None) -> ExitCode:
        if (file is None) is not remove:
            raise BadRequest("give a FILE of word vectors, or --remove")
        return print_vectors(task, file, deployment.stack.work if deployment else None, as_json=json)

    raise in_cloud((env, region, profile), brought) if upload else here(brought)
