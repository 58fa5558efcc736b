"""Commands for how good a run is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sluice.cli.calls import here, in_cloud
from sluice.cli.help import examples
from sluice.cli.options import EnvOption, JsonOption, ProfileOption, RunOrFolder, StackRegionOption

commands = typer.Typer()


@commands.command(
    epilog=examples(
        "sluice evaluate out/demo --by language",
        "sluice evaluate tickets-20261120t101500-0123456789 --gold checked.csv --json",
    )
)
def evaluate(
    run: RunOrFolder,
    gold: Annotated[
        Path | None,
        typer.Option("--gold", metavar="FILE", help="Known answers by id, or by source and line; else the input's."),
    ] = None,
    by: Annotated[
        list[str] | None, typer.Option("--by", metavar="COLUMN", help="Tell the values of a column apart; repeat it.")
    ] = None,
    json: JsonOption = False,
    env: EnvOption = "prod",
    region: StackRegionOption = None,
    profile: ProfileOption = None,
) -> None:
    """Compare a run's answers with known ones.

    How often it was right, by tier, label, stated confidence and column; the most frequent mistakes; what going on to a
    stronger tier changed. Known answers are those of the task's input.gold, or a CSV, JSON Lines or Parquet file with
    the columns id, or source and line, and label. They speak for the rows that have one, and no others.

    Exit codes: 0 printed, 1 AWS or a file could not be reached, 2 wrong usage, or nothing is known of any row.
    """
    from sluice.cli.evaluation import print_evaluation  # noqa: PLC0415
    from sluice.cli.fetch import folder_of  # noqa: PLC0415
    from sluice.results.folder import all_in_folder, read_document  # noqa: PLC0415

    folder = folder_of(run)
    if folder is not None:
        raise here(lambda: print_evaluation(all_in_folder(folder), read_document(folder), gold, by or (), as_json=json))
    raise in_cloud(
        (env, region, profile),
        lambda deployment: print_evaluation(
            deployment.run(run).published(), deployment.run(run).summary, gold, by or (), as_json=json
        ),
    )


@commands.command(
    epilog=examples("sluice verify out/reviews", "sluice verify tickets-20261120t101500-0123456789 --json")
)
def verify(
    run: RunOrFolder,
    json: JsonOption = False,
    env: EnvOption = "prod",
    region: StackRegionOption = None,
    profile: ProfileOption = None,
) -> None:
    """Find a run's certificate again from what it has published.

    That the drawn rows are those of the seed, the sampled answers those of the rows, the figures those of the rule, and
    each label that of who stands for it. Scores are read as they are stored.

    Exit codes: 0 the certificate stands, 1 it does not, or AWS or a file could not be reached, 2 wrong usage, or there
    is none.
    """
    from sluice.cli.evaluation import print_verification  # noqa: PLC0415
    from sluice.cli.fetch import folder_of  # noqa: PLC0415
    from sluice.results.folder import in_folder, read_certificate, read_document  # noqa: PLC0415

    folder = folder_of(run)
    if folder is not None:
        raise here(
            lambda: print_verification(in_folder(folder), read_document(folder), read_certificate(folder), as_json=json)
        )
    raise in_cloud(
        (env, region, profile),
        lambda deployment: print_verification(
            deployment.run(run).published(),
            deployment.run(run).summary,
            deployment.run(run).certificate(),
            as_json=json,
        ),
    )
