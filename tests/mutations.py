"""Known mistakes: the code broken in the ways in which its peers are broken; the tests of the steps have to see each.

Each mutation replaces one text, which has to stand in its file exactly once. `tests/mutants.py` tries them.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
COPIED = (
    "tests/conftest.py",
    "tests/forking.py",
    "tests/formats",
    "sluice",
    "lambdas",
    "tasks",
    "tests/harness",
    "tests/faults",
    "tests/unit",
    "tests/reference",
    "pyproject.toml",
)
SUITE = (
    "tests/unit/steps/test_approval.py",
    "tests/unit/steps/test_check.py",
    "tests/unit/steps/test_infer.py",
    "tests/unit/steps/test_judged_runs.py",
    "tests/unit/steps/test_plan.py",
    "tests/unit/steps/test_refused.py",
    "tests/unit/steps/test_poll.py",
    "tests/unit/steps/test_rejudge.py",
    "tests/unit/steps/test_resume.py",
    "tests/unit/steps/test_submit.py",
    "tests/unit/steps/test_sweep.py",
    "tests/unit/steps/test_intake.py",
    "tests/unit/aws/test_s3_conditions.py",
    "tests/faults/test_plans.py",
    "tests/faults/test_crashes.py",
)


class Mutation(NamedTuple):
    """One mistake: what it is called, and the text that makes it."""

    name: str
    file: str
    old: str
    new: str


MUTATIONS = (
    Mutation(
        "approval by the expected cost: the run may cost more than the limit",
        "sluice/steps/approval.py",
        "ceiling_passed = beyond(noted.ceiling_usd, noted.approve_above_usd)",
        "ceiling_passed = beyond(noted.expected_usd, noted.approve_above_usd)",
    ),
    Mutation(
        "an unknown price needs no approval",
        "sluice/runs/approval.py",
        "return limit is not None and (usd is None or usd > limit)",
        "return limit is not None and usd is not None and usd > limit",
    ),
    Mutation(
        "resuming a run approves its cost",
        "sluice/steps/resume.py",
        "opened, max_usd=max_usd, escalate_refused=escalate_refused)",
        "opened, max_usd=max_usd, escalate_refused=escalate_refused, approved=True)",
    ),
    Mutation(
        "an approval forgotten by the next execution",
        "sluice/steps/services.py",
        "return any(item.approved for item in self.resumptions)",
        "return bool(self.resumptions) and self.resumptions[-1].approved",
    ),
    Mutation(
        "inner join: rows without an answer are dropped",
        "sluice/results/merging.py",
        "lines = [line for place in places for line in place.lines]",
        "lines = [line for place in places for line in place.lines if line[:KEY] in self.places]",
    ),
    Mutation(
        "join by order: the n-th line answers the n-th record",
        "sluice/steps/judging.py",
        "                yield n, reply\n        yield from failed.items()\n",
        "                yield sum(answered) - 1, reply\n        yield from failed.items()\n",
    ),
    Mutation(
        "manifest trusted: what it calls a success is not looked for",
        "sluice/steps/check.py",
        "        self.missing = Verdict(self._why_missing())\n",
        "        self.missing = Verdict(self._why_missing())\n"
        "        said = (read_manifest(run.store, self.keys.output_prefix) or Manifest()).successRecordCount\n"
        "        self.missing = Verdict(None) if said == len(self.sent) else self.missing\n",
    ),
    Mutation(
        "error counted as done",
        "sluice/steps/judging.py",
        "self.verdicts[n] = self.failures.setdefault((reason, about), Verdict(reason))",
        "self.verdicts[n] = Verdict(None)",
    ),
    Mutation(
        "Expired ignored: such a job is waited for for ever",
        "sluice/aws/bedrock.py",
        '"Failed", "Expired", "Stopped"})',
        '"Failed", "Stopped"})',
    ),
    Mutation(
        "output of a Stopped job thrown away",
        "sluice/steps/check.py",
        "Judged(run, self.keys, self.sent,",
        'Judged(run, run.source.job(99, 99) if self.ended.status == "Stopped" else self.keys, self.sent,',
    ),
    Mutation(
        "output read of Completed jobs alone",
        "sluice/steps/check.py",
        "Judged(run, self.keys, self.sent,",
        'Judged(run, run.source.job(99, 99) if self.ended.status != "Completed" else self.keys, self.sent,',
    ),
    Mutation(
        "client token not reused: a new one at each try",
        "sluice/aws/bedrock.py",
        "return hashlib.blake2b(name.encode(), digest_size=20).hexdigest()",
        'return __import__("uuid").uuid4().hex',
    ),
    Mutation(
        "an existing job is not looked for",
        "sluice/steps/submit.py",
        "existing = services.bedrock.find_job(name)",
        "existing = None",
    ),
    Mutation(
        "a job is adopted whose name only contains the name",
        "sluice/aws/bedrock.py",
        "if job.name == name",
        "if name in job.name",
    ),
    Mutation(
        "splitlines: a line separator inside a reply ends the line",
        "sluice/answers/replies.py",
        "yield from split_lines(store.blocks(key), MAX_LINE)",
        "yield [line.encode() for line in store.get(key).decode(errors='replace').splitlines()]",
    ),
    Mutation(
        "splitlines: a line separator inside a text ends the row",
        "sluice/rows/containers/lines.py",
        "lines = lines_of(block)",
        'lines = __import__("re").split(rb"\\n|\\xe2\\x80\\xa8|\\xc2\\x85", block)',
    ),
    Mutation(
        "retries without end",
        "sluice/steps/check.py",
        " and self.job.attempt < self.tier.attempts:",
        ":",
    ),
    Mutation(
        "no retry: what is missing escalates at once",
        "sluice/steps/check.py",
        " and self.job.attempt < self.tier.attempts:",
        " and self.job.attempt < 1:",
    ),
    Mutation(
        "cost of twins counted twice",
        "sluice/results/merging.py",
        "pc.fill_null(at_place, False)",
        "pc.is_valid(columns['first_line'])",
    ),
    Mutation(
        "place of a shared record as one span counts it",
        "sluice/steps/selection.py",
        "number + (segment.line_base if source == segment.first_source else 0)",
        "number",
    ),
    Mutation(
        "cancel marker not read behind Create",
        "sluice/steps/submit.py",
        "        if opened.cancelled:  # the marker may have come",
        "        if False:  # the marker may have come",
    ),
    Mutation(
        "cancel marker not read before Create",
        "sluice/steps/submit.py",
        "    if opened.cancelled:\n        return None\n",
        "",
    ),
    Mutation(
        "records that prepare held back are forgotten",
        "sluice/steps/check.py",
        "return [*([] if held is None else [held]), *self.prepared.moved]",
        "return []",
    ),
    Mutation(
        "held back without the books' notice",
        "sluice/steps/prepare.py",
        "held=self.moves.close_held(),",
        "held=None,",
    ),
    Mutation(
        "a record that came twice counts twice",
        "sluice/steps/judging.py",
        "                answered[n] = 1\n",
        "",
    ),
    Mutation(
        "calls that a crash may have lost are made again",
        "sluice/steps/infer.py",
        "self.settled = set(self._records([*self.came, *lost]))",
        "self.settled = set(self._records(self.came))",
    ),
    Mutation(
        "a call whose answer was lost is made again",
        "sluice/aws/bedrock.py",
        "wait=isinstance(error, UNREACHED)",
        "wait=True",
    ),
    Mutation(
        "a throttled record uses up an attempt",
        "sluice/steps/infer.py",
        "if error.reason is Reason.THROTTLED:",
        "if not error.reason:",
    ),
    Mutation(
        "a full quota is an error",
        "sluice/steps/submit.py",
        "    except RetryLater:\n        wait = ",
        "    except ZeroDivisionError:\n        wait = ",
    ),
    Mutation(
        "what the budget keeps out of a round is forgotten",
        "sluice/steps/plan.py",
        "kept_out=jobs[len(affordable) :]",
        "kept_out=[]",
    ),
    Mutation(
        "the budget is no limit",
        "sluice/steps/plan.py",
        "        if spent > limit:\n",
        "        if spent > limit * 1000:\n",
    ),
    Mutation(
        "a job that was refused as a whole stops nothing",
        "sluice/steps/refused.py",
        "        elif not accepted and refused:\n",
        "        elif False:\n",
    ),
    Mutation(
        "a job without books is passed over",
        "sluice/steps/plan.py",
        "        if data is None and forgiving:\n",
        "        if data is None:\n",
    ),
    Mutation(
        "an answer stands that the judge has not been shown",
        "sluice/steps/check.py",
        "        if ending.outcome is Outcome.ACCEPTED and self.judges and not self.job.judge:\n",
        "        if False:\n",
    ),
    Mutation(
        "an answer stands by the judge's silence",
        "sluice/steps/judge_gate.py",
        "    if verdict.labels == (RIGHT,):\n",
        "    if verdict.labels == (RIGHT,) or verdict.reason is not None:\n",
    ),
    Mutation(
        "books are not checked before they are published",
        "sluice/steps/publish.py",
        "    accounting.check_run(opened.plan, parts, jobs, sends=opened.start.judges is None)\n",
        "",
    ),
    Mutation(
        "a late report stops the jobs of the run's next execution",
        "sluice/steps/sweep.py",
        '    if detail is not None and detail["name"] != opened.execution:\n',
        "    if False:\n",
    ),
    Mutation(
        "judged again, the last answer counts instead of the first that passes",
        "sluice/results/merging.py",
        "    if not by_first:\n",
        "    if True:\n",
    ),
    Mutation(
        "a claim is not looked at: overlapping sweeps both take an object",
        "sluice/steps/intake.py",
        "return self.work.put_new(key, run.encode()) or self.work.get(key).decode() == run",
        "return self.work.put_new(key, run.encode()) or True",
    ),
    Mutation(
        "a claim of one's own counts once: a sweep that is gone on with loses what was claimed",
        "sluice/steps/intake.py",
        "return self.work.put_new(key, run.encode()) or self.work.get(key).decode() == run",
        "return self.work.put_new(key, run.encode())",
    ),
    Mutation(
        "a bucket that may not be read counts as bad objects: they are claimed, and in no run",
        "sluice/steps/intake.py",
        "        except BadInput as error:\n",
        "        except SluiceError as error:\n",
    ),
    Mutation(
        "an intent is removed before its run begins: a crash between the two forgets it",
        "sluice/steps/intake.py",
        "        begun = self.work.exists(keys.start)\n",
        "        begun = self.work.exists(keys.start)\n        self.work.delete([intent_key(task, intent.run)])\n",
    ),
    Mutation(
        "a doubled event marks an object that a run has",
        "sluice/steps/arrivals.py",
        "    if not services.work.exists(claim_key(item.id)):\n        services.work.put_new(marker_key",
        "    if item:\n        services.work.put_new(marker_key",
    ),
    Mutation(
        "a run that was written, but not started, is not started",
        "sluice/steps/intake.py",
        "        if begun or inputs:\n",
        "        if inputs:\n",
    ),
    Mutation(
        "a run's id is its moment's alone: another sweep's objects go into a run that has begun",
        "sluice/steps/intake.py",
        "run=start.run_id(task, moment, task, ids, taken, *more)",
        "run=start.run_id(task, moment, task)",
    ),
    Mutation(
        "409 counts as written: the other write fails, and nobody has an object",
        "sluice/aws/s3.py",
        'TAKEN = frozenset({"412", "PreconditionFailed"})',
        'TAKEN = frozenset({"412", "PreconditionFailed", "409", "ConditionalRequestConflict"})',
    ),
)


def copy_tree(target: Path) -> None:
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target / name)


def mutated(target: Path, mutation: Mutation) -> str:
    """The file with the mistake; a text that is not there exactly once is an error of this list."""
    text = (target / mutation.file).read_text(encoding="utf-8")
    count = text.count(mutation.old)
    if count != 1:
        raise SystemExit(f"{mutation.name}: {mutation.old!r} stands {count} times in {mutation.file}")
    return text.replace(mutation.old, mutation.new)
