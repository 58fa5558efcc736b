"""What the pages list of the code: reason codes, settings, options, alarms, metrics, commands."""

# ruff: noqa: INP001 - beside the pages, not a package
from __future__ import annotations

from typing import Any

import typer.main
from pydantic import BaseModel

from docs.markdown import fenced, table
from infra.options import Options, Thresholds
from sluice.aws.metrics import Measure, Unit
from sluice.cli.app import app
from sluice.cli.exits import MEANINGS, ExitCode
from sluice.cli.help import examples_in
from sluice.reasons import REJECTIONS, TRANSPORT, Reason
from sluice.runs.settings import Settings

MEANING = {
    "row": "the row; rejected before anything is sent",
    "answer": "the answer; the next tier is asked",
    "transport": "the transport; the same tier is asked again, up to its `attempts`, then the next one",
    "run": "the run, which ended before the record was asked again",
}


def reasons(_: object) -> str:
    """List the reason codes by what they are about."""
    ended = (Reason.BUDGET, Reason.CANCELLED)
    about: dict[str, list[Reason]] = {
        "row": list(REJECTIONS),
        "answer": [reason for reason in Reason if reason not in {*REJECTIONS, *TRANSPORT, *ended}],
        "transport": [reason for reason in Reason if reason in TRANSPORT],
        "run": list(ended),
    }
    rows = [[MEANING[name], ", ".join(f"`{code.value}`" for code in codes)] for name, codes in about.items()]
    return table(["about", "codes"], rows)


def settings(_: object) -> str:
    """List the settings of a run."""
    return _options(Settings)


def options(_: object) -> str:
    """List what cdk.json may say."""
    return _options(Options)


def _options(model: type[BaseModel]) -> str:
    rows = []
    for name, field in model.model_fields.items():
        value = field.get_default(call_default_factory=True, validated_data={})
        shown = "none" if value in ((), {}, None) else value
        shown = "its defaults" if isinstance(value, BaseModel) else f"{shown:,}" if type(shown) is int else shown
        rows.append([f"`{name}`", str(shown).lower(), field.description])
    return table(["name", "default", "what it is"], rows)


def alarms(_: object) -> str:
    """List the alarms, each with its section of the runbook."""
    from infra.alarms import ALARMS  # noqa: PLC0415 - starts CDK's Node, which only this page needs

    usual = Thresholds()
    rows = [[f"[{alarm.id}](#{alarm.anchor})", alarm.reason(usual), alarm.act] for alarm in ALARMS]
    return table(["alarm", "goes off when", "first of all"], rows)


def rooms(_: object) -> str:
    """List the functions with the room that each is deployed with."""
    from infra.functions import ROOMS  # noqa: PLC0415 - as above

    rows = [
        [step, f"{room.memory:,}", f"{room.tmp:,}", f"{room.seconds:,}", "yes" if room.arrow else ""]
        for step, room in ROOMS.items()
    ]
    return table(["function", "memory, MB", "disk, MB", "time-out, s", "Arrow"], rows)


def metrics(_: object) -> str:
    """List the metrics."""
    rows = []
    for measure in Measure:
        kind = measure.kind
        unit = "" if kind.unit is Unit.NONE else f" ({kind.unit.lower()})"
        sets = "; ".join(", ".join(names) for names in kind.dimension_sets)
        rows.append([f"`{measure}`", f"{kind.about}{unit}", sets])
    return table(["metric", "what", "kept by"], rows)


def commands(_: object) -> str:
    """List the commands with the first sentence of their help."""
    group: Any = typer.main.get_command(app)
    rows = [[f"`sluice {name}`", (command.help or "").split("\n\n")[0]] for name, command in group.commands.items()]
    return table(["command", "what it does"], rows)


def exit_codes(_: object) -> str:
    """List the exit codes."""
    return table(["code", "meaning"], [[code.value, MEANINGS[code]] for code in ExitCode])


def reference(_: object) -> str:
    """Describe every command: its help, what it takes, how it is called."""
    group: Any = typer.main.get_command(app)
    return "\n".join(_command(name, command) for name, command in group.commands.items())


def _command(name: str, command: Any) -> str:
    """Describe one command as its `--help` does."""
    context = typer.Context(command, info_name=name)
    usage = " ".join(command.collect_usage_pieces(context)).replace("{", "").replace("}", "")
    rows = [_option(parameter, context) for parameter in command.params]
    parts = [f"### `sluice {name}`\n", fenced(f"sluice {name} {usage}"), command.help.replace("<", "\\<") + "\n"]
    parts += [table(["option", "what it is"], rows)] if rows else []
    parts += [fenced("\n".join(examples_in(command.epilog)), "sh")] if command.epilog else []
    return "\n".join(parts)


def _option(parameter: Any, context: Any) -> tuple[str, str]:
    """Describe an argument or an option in the words of its help."""
    names, text = parameter.get_help_record(context)
    names = parameter.metavar if parameter.param_type_name == "argument" else names
    return f"`{names}`", text.replace("  [", " [")
