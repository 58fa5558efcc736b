"""How a job ended, and with which words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from sluice.answers.refusals import REFUSED_JOB
from sluice.answers.replies import MAX_MESSAGE
from sluice.aws.bedrock import TERMINAL
from sluice.errors import Refused
from sluice.runs.document import read
from sluice.runs.job import Ended, Failed, Submitted

if TYPE_CHECKING:
    from sluice.runs.keys import JobKeys
    from sluice.steps.services import Run, Services


def how_it_ended(services: Services, opened: Run, keys: JobKeys, error: dict[str, str] | None) -> Ended | None:
    """How the job ended: as poll or infer noted it, else as Bedrock says now; None when it is still out, or never was.

    A job that still runs is paid for and will bring answers, so it is not settled behind its back. One that Bedrock
    would not create has ended before it began.
    """
    written = opened.store.find(keys.ended)
    if written is not None:
        return read(Ended, written, keys.ended)
    sent = opened.store.find(keys.submitted)
    if sent is None:
        if error is None or error.get("Error") != Refused.__name__:
            return None
        ended = Ended(status=REFUSED_JOB, message=cause_of(error)[:MAX_MESSAGE], submitted=None, ended=None)
        services.work.put(keys.ended, ended.write())
        return ended
    state = services.bedrock.job(read(Submitted, sent, keys.submitted).job_arn)
    if state.status not in TERMINAL:
        return None
    ended = Ended(status=state.status, message=state.message, submitted=state.submitted, ended=state.ended)
    services.work.put(keys.ended, ended.write())  # Bedrock forgets its jobs; a run that judges again must not ask it
    return ended


def keep_cause(services: Services, keys: JobKeys, error: dict[str, str] | None) -> None:
    """Note why a job has not been settled, for plan to stop the run with."""
    found = error or {"Error": "Unfinished", "Cause": "check was reached before the job was sent"}
    services.work.put(keys.failed, Failed(error=found.get("Error", ""), cause=cause_of(found)).write())


def cause_of(error: dict[str, str]) -> str:
    """The message inside a Lambda error, which Step Functions hands over as a JSON text."""
    cause = error.get("Cause", "")
    try:
        return str(msgspec.json.decode(cause)["errorMessage"])
    except (msgspec.MsgspecError, KeyError, TypeError):
        return cause
