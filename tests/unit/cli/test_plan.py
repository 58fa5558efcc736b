"""`sluice plan`: what it says of a run is what the workflow's own first steps would do."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from sluice.answers.requests import RequestWriter
from sluice.aws.folder import LOCAL, Folder
from sluice.cli.app import app
from sluice.cli.plan import print_forecast
from sluice.cli.planned import approval_text
from sluice.errors import BadInput, BadSetting, Stop
from sluice.figures import dollars
from sluice.forecast.estimate import Asked, Forecast
from sluice.forecast.forecast import forecast
from sluice.forecast.forecast import planned as estimated
from sluice.models.catalog import Catalog
from sluice.runs.approval import Approval
from sluice.runs.document import read
from sluice.runs.keys import JobKeys, Keys
from sluice.runs.settings import Settings, declared_settings
from sluice.runs.state import JobItem, RoundPlan, Span
from sluice.steps import partition, plan
from sluice.steps.services import Run
from sluice.task.file import parse_task
from tests.harness.drive import Cloud, jsonl
from tests.harness.faults import FaultPlan
from tests.harness.machine import Machine
from tests.harness.s3 import MemoryS3
from tests.harness.stage import SURE
from tests.unit.budget.test_costs import greediest

if TYPE_CHECKING:
    from sluice.aws.s3 import Store
    from sluice.task.task import Task

TASK: dict[str, Any] = {
    "name": "plain",
    "input": {"text": "text"},
    "labels": ["a", "b"],
    "tiers": [{"model": "nova-micro"}, {"model": "claude-haiku-4-5"}],
}
ROWS: list[Any] = [[1], {"x": 1}, *({"text": f"text {n % 500}", "note": "n" * 200} for n in range(600))]


def nowhere(name: str) -> Store:
    raise AssertionError(f"{name} was asked for")


def quiet(_what: str, _number: int, _total: int) -> None:
    pass


def planned(
    *inputs: str, task: dict[str, Any] | None = None, escalate: float = 0.1, **settings: float | None
) -> Forecast:
    return forecast(request(*inputs, task=task, escalate=escalate, **settings), nowhere, quiet)


def request(*inputs: str, task: dict[str, Any] | None = None, escalate: float = 0.1, **settings: float | None) -> Asked:
    return Asked(inputs, made(task), Settings().override(settings), Catalog.load(), "us-east-1", escalate)


def made(task: dict[str, Any] | None = None) -> Task:
    return parse_task({**TASK, **(task or {})}, "the test's task")


@pytest.fixture
def rows(tmp_path: Path) -> str:
    path = tmp_path / "in.jsonl"
    path.write_bytes(jsonl(ROWS))
    return str(path)


def test_the_rows_are_those_of_a_run(rows: str) -> None:
    """Rows, rejected rows by reason and distinct records come from partition itself."""
    said = planned(rows)
    assert (said.rows, said.rejected, said.records) == (602, {"row_not_object": 1, "text_missing": 1}, 500)
    assert said.inputs == [{"uri": rows, "bytes": Path(rows).stat().st_size, "rows": 602, "rejected": 2}]


@pytest.mark.parametrize(("records", "flight"), [(50_000, 20), (120, 3), (100, 2)])
def test_the_jobs_are_those_that_the_run_would_submit(rows: str, records: int, flight: int) -> None:
    """The first round is cut by the step plan, under the same quotas; waves are how often its jobs fill them."""
    cloud = Cloud(lambda _model, _text: "", {"max_records_per_job": records})
    run = cloud.begin(made(), {"in.jsonl": Path(rows).read_bytes()})
    for span in msgspec.json.decode(cloud.work.get(Keys(run).spans), type=list[Span]):
        partition.run(cloud.services, span)
    jobs = msgspec.json.decode(cloud.work.get(plan.run(cloud.services, run, 0).jobs_key), type=list[JobItem])
    first = planned(rows, max_records_per_job=records, max_jobs_in_flight=flight).tiers[0]
    assert first.jobs == len(jobs)
    assert first.waves == -(-len(jobs) // flight)


def test_each_tier_gets_the_assumed_share_of_the_one_before(rows: str) -> None:
    """Few records go on demand, many in balanced jobs."""
    few = planned(rows, escalate=0.1).tiers[1]
    assert (few.records, few.transport) == (50, "on_demand")
    many = planned(rows, escalate=0.5, max_records_per_job=125).tiers[1]
    assert (many.records, many.jobs, many.transport) == (250, 2, "batch")
    assert planned(rows, escalate=0.0).tiers[1].expected_usd == 0


def test_only_the_texts_are_paid_for(tmp_path: Path) -> None:
    """Fields that no model sees, and repeated texts, do not raise the estimate."""
    lean, fat = tmp_path / "lean.jsonl", tmp_path / "fat.jsonl"
    lean.write_bytes(jsonl([{"text": f"text {n:03d}"} for n in range(300)]))
    fat.write_bytes(jsonl([{"text": f"text {n:03d}", "note": "n" * 999} for n in range(300)] * 2))
    assert planned(str(lean)).tiers == planned(str(fat)).tiers


def test_cost_stands_against_the_last_tier_alone(rows: str) -> None:
    """Both are the sums of what their tiers would take; a single tier is its own comparison."""
    said = planned(rows)
    assert said.expected_usd is not None
    assert said.ceiling_usd is not None
    assert said.expected_usd == sum(tier.expected_usd or 0 for tier in said.tiers) < said.strongest["batch_usd"]
    assert said.expected_usd < said.ceiling_usd == sum(tier.ceiling_usd or 0 for tier in said.tiers)
    alone = planned(rows, task={"tiers": [{"model": "claude-haiku-4-5"}]})
    assert alone.expected_usd == alone.strongest["batch_usd"] == said.strongest["batch_usd"]
    assert alone.strongest["on_demand_usd"] == pytest.approx(2 * alone.strongest["batch_usd"])


def test_the_cost_is_told_for_a_range_of_shares(rows: str) -> None:
    """From none of the records going on to all of them; the asked share is among the figures."""
    said = planned(rows, escalate=0.1)
    found = {item["share"]: item["expected_usd"] for item in said.shares}
    assert (min(found.values()), max(found.values())) == (found[0.0], found[1.0])
    assert found[0.0] == said.tiers[0].expected_usd
    assert found[0.1] == pytest.approx(said.expected_usd)


def test_an_unknown_price_is_unknown(rows: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It is never shown as nothing."""
    said = planned(rows, task={"tiers": [{"model": "acme.new-model-v1:0"}]})
    assert (said.expected_usd, said.ceiling_usd) == (None, None)
    print_forecast(said, Settings())
    assert "Expected: unknown, since a price is unknown; models.yaml takes it." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("model", "transport", "cheapest"),
    [
        ("nova-micro", "on_demand", "batch"),
        ("us.anthropic.claude-haiku-5-5", "auto", "on_demand"),
        ("nova-micro", "auto", "batch"),
    ],
)
def test_the_cheapest_transport_is_told(
    rows: str, model: str, transport: str, cheapest: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Batch where the model has it and there are enough records; a tier that is sent otherwise is warned about."""
    said = planned(rows, task={"tiers": [{"model": model, "transport": transport}]})
    assert said.tiers[0].cheapest == cheapest
    dearer = said.tiers[0].transport != cheapest
    assert any("would be cheaper" in line for line in said.warnings) == dearer
    print_forecast(said, Settings())
    page = capsys.readouterr().out
    assert ("Cheapest: batch for nova-micro." if dearer else "Each tier is sent the cheapest way.") in page


def test_the_ways_are_compared_and_a_quota_that_is_unknown_is_asked_for(
    rows: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Long instructions make a cached prefix cheaper than batch; the page says from where on, and what it takes."""
    long = {"labels": {f"label {n}": "what it is for, at some length " * 4 for n in range(77)}}
    tiers = [{"model": "nova-micro", "pack": 5}, {"model": "nova-pro"}]
    said = planned(rows, task={**long, "tiers": [tiers[1]]})
    first = said.tiers[0]
    usd = {each["way"]: each["usd_per_million"] for each in first.ways}
    assert usd["flex"] == usd["batch"] == pytest.approx(usd["on_demand"] / 2)
    assert (first.way, first.cheapest) == ("batch", "on_demand_cached")
    assert usd["on_demand_cached"] < usd["batch"]
    assert 0 < (first.cached_from or 0) < first.instructions
    (needed,) = {each["needs_tokens_per_minute"] for each in first.ways if each["way"] == "on_demand_cached"}
    assert any(f"is taken where the account's quota is known to be {needed:,} tokens" in line for line in said.warnings)
    enough = planned(rows, task={**long, "tiers": [tiers[1]]}, on_demand_tokens_per_minute=needed * 2)
    assert enough.tiers[0].way == "on_demand_cached"
    assert enough.expected_usd == pytest.approx(usd["on_demand_cached"] * said.records / 1e6, rel=0.01)
    print_forecast(planned(rows, task={**long, "tiers": tiers}), Settings())
    page = capsys.readouterr().out
    assert "cached instructions on demand cost less than batch from" in page
    assert "fewer than 100 requests (it takes 496 of nova-micro in packs of 5) go on demand" in " ".join(page.split())


def test_advice_is_given_where_it_is_asked_for(rows: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The page lists ladders with their cost beside that of now, and names what is unmeasured of the cheapest."""
    said = planned(rows, task={"tiers": [{"model": "claude-haiku-4-5"}, {"model": "claude-sonnet-4-6"}]})
    print_forecast(said, Settings())
    assert "Advice" not in capsys.readouterr().out
    print_forecast(said, Settings(), 0.95)
    page = " ".join(capsys.readouterr().out.split())
    assert "nova-micro x5 > claude-sonnet-4-6" in page
    assert "for a target of 95%: how often nova-micro in packs of 5 agrees with claude-sonnet-4-6" in page
    assert [mix["expected_usd"] for mix in said.as_document()["advice"]] == sorted(
        mix.expected_usd for mix in said.advice
    )


def test_the_longest_texts_and_the_instructions_are_priced(tmp_path: Path) -> None:
    """One text of 200 that is as long as all others together is the longest 1%'s half of the text."""
    path = tmp_path / "in.jsonl"
    path.write_bytes(jsonl([*({"text": f"{n:020d}"} for n in range(99)), {"text": "x" * 99 * 20}]))
    said = planned(str(path))
    assert (said.longest["records"], said.longest["from_bytes"]) == (1, 1980)
    assert said.longest["share_of_text"] == pytest.approx(0.5)
    assert 0 < said.longest["expected_usd"] < (said.expected_usd or 0)
    read = said.tiers[0].input_tokens
    assert said.tokens["instructions_share"] == pytest.approx(100 * said.tokens["instructions"] / read)


def test_tokens_follow_the_script_of_the_texts(tmp_path: Path) -> None:
    """As many characters of Japanese are more tokens than of English."""

    def tokens(text: str) -> int:
        path = tmp_path / "in.jsonl"
        path.write_bytes(jsonl([{"text": f"{text * 50}{n}"} for n in range(150)]))
        return planned(str(path), escalate=0).tiers[0].input_tokens

    assert tokens("請求書をください") > 2 * tokens("invoices") - 150 * 200


def test_rejected_rows_are_named_with_their_lines(tmp_path: Path) -> None:
    """The first ten in the order of the inputs, across spans, each with its reason."""
    first, second = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    first.write_bytes(b"\n" + jsonl([{"text": f"text {n}"} for n in range(50)] + [[1]]))
    second.write_bytes(jsonl([{"x": n} for n in range(40)]))
    said = planned(str(first), str(second), span_bytes=300)
    assert said.rejected_rows[0] == {"source": str(first), "line": 52, "reason": "row_not_object"}
    assert [(row["source"], row["line"]) for row in said.rejected_rows[1:]] == [(str(second), n) for n in range(1, 10)]


def test_the_time_is_a_range_and_says_what_it_rests_on(rows: str) -> None:
    """A model whose jobs were timed has a narrower range than one whose were not; more waves take longer."""
    timed = planned(rows, escalate=0)
    assert timed.duration["seconds"] == [19 * 60, 23 * 60]
    assert timed.duration["not_timed"] == []
    other = planned(rows, task={"tiers": [{"model": "claude-haiku-4-5"}]})
    assert other.duration["not_timed"] == [other.tiers[0].model]
    assert other.duration["seconds"][1] > timed.duration["seconds"][1]
    waves = planned(rows, escalate=0, max_records_per_job=125, max_jobs_in_flight=1)
    assert waves.duration["seconds"][0] == waves.tiers[0].waves * 19 * 60
    assert planned(rows, task={"tiers": [{"model": "nova-micro", "transport": "on_demand"}]}).duration["seconds"] == [
        pytest.approx(math.ceil(500 / 8) * 0.5),
        pytest.approx(math.ceil(500 / 8) * 5),
    ]


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ({"budget": {"max_usd": 0.001}}, "budget.max_usd: $0.001 is below the expected"),
        ({}, "texts may leave us-east-1: the profile us of nova-micro, claude-haiku-4-5"),
        ({}, "labels: no label has a description"),
        ({}, "tiers: claude-haiku-4-5 may come to its end"),
        ({"tiers": [{"model": "us.amazon.nova-premier-v1:0"}]}, "nova-premier reached its end of life on 2026-09-14"),
        (
            {"input": {"text": "text", "max_tokens": 127_000}, "tiers": [{"model": "nova-micro"}]},
            "1 text is too long",
        ),
    ],
)
def test_a_plan_warns(rows: str, task: dict[str, Any], said: str) -> None:
    """What a user would rather know before the run is bought."""
    with Path(rows).open("ab") as file:
        file.write(jsonl([{"text": "請求書" * 47_000}]) if "input" in task else b"")
    assert any(said in line for line in planned(rows, task=task).warnings)


def test_a_model_in_its_own_region_keeps_the_texts_there(rows: str) -> None:
    """A plain id is no profile, so nothing is said of other Regions."""
    said = planned(rows, task={"tiers": [{"model": "amazon.nova-micro-v1:0"}]})
    assert not any("leave" in line for line in said.warnings)


@pytest.mark.parametrize(("dollars", "fits", "stops"), [(5.0, True, None), (0.000_01, False, 0), (0.005, False, 1)])
def test_the_budget_is_checked_round_by_round(rows: str, dollars: float, fits: bool, stops: int | None) -> None:
    """A budget that is too small stops the run before a tier, and every row is planned all the same."""
    said = planned(rows, task={"budget": {"max_usd": dollars}}, escalate=0.5)
    assert said.budget == {"max_usd": dollars, "fits": fits, "stops_before_tier": stops}
    assert said.tiers[0].records == 500


def test_a_cheaper_second_tier_is_offered_with_what_is_not_known_of_it(
    rows: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody has measured how well it answers, and it needs quota that batch jobs do not."""
    said = planned(rows, escalate=0.5)
    assert said.offer is not None
    assert (said.offer["model"], said.offer["transport"]) == ("us.anthropic.claude-haiku-5-5", "on_demand")
    other = planned(rows, task={"tiers": [{"model": "nova-micro"}, {"model": "claude-haiku-5-5"}]}, escalate=0.5)
    assert said.offer["expected_usd"] == pytest.approx(other.tiers[1].expected_usd)
    assert said.offer["in_place_of"]["expected_usd"] == said.tiers[1].expected_usd
    print_forecast(said, Settings())
    shown = " ".join(capsys.readouterr().out.split())
    assert "claude-haiku-5-5 on demand as second tier: $" in shown
    assert "How well it answers is unmeasured" in shown
    assert "it needs on-demand quota" in shown


@pytest.mark.parametrize(
    "task",
    [
        {"tiers": [{"model": "claude-haiku-4-5"}]},
        {"tiers": [{"model": "nova-micro"}, {"model": "claude-haiku-5-5"}]},
        {"tiers": [{"model": "nova-micro"}, {"model": "nova-lite"}]},
        {"tiers": [{"model": "nova-micro"}, {"model": "some.other-model-v1:0"}]},
        {"input": {"text": "text", "max_tokens": 120_000}},
    ],
    ids=["one tier", "it already", "cheaper than it", "no price", "texts above its price"],
)
def test_no_other_second_tier_is_offered_where_none_is_known_to_cost_less(rows: str, task: dict[str, Any]) -> None:
    """Nor where its price does not hold."""
    assert planned(rows, task=task).offer is None


def test_what_texts_may_not_travel_to_is_not_offered(rows: str) -> None:
    """A deployment's geographies hold for offers too."""
    asked = request(rows, task={"tiers": [{"model": "nova-micro"}, {"model": "nova-lite"}]})
    wide = replace(
        asked, task=made({"tiers": [{"model": "amazon.nova-micro-v1:0"}, {"model": "amazon.nova-pro-v1:0"}]})
    )
    assert forecast(wide, nowhere, quiet).offer is not None
    narrow = replace(wide, catalog=replace(wide.catalog, geographies=("eu",)))
    assert forecast(narrow, nowhere, quiet).offer is None


def test_a_budget_leaves_the_margin_that_a_round_has_to_leave(tmp_path: Path) -> None:
    """What is just enough for the expected cost is not enough: token counts are estimates."""
    path = tmp_path / "in.jsonl"
    path.write_bytes(jsonl([{"text": f"text {n}"} for n in range(200)]))
    task: dict[str, Any] = {"tiers": [{"model": "nova-micro"}]}
    expected = planned(str(path), task=task).expected_usd or 0
    for factor, fits in ((0.9, False), (1.1, False), (2.0, True)):
        budget = planned(str(path), task={**task, "budget": {"max_usd": expected * factor}}).budget
        assert budget is not None
        assert budget["fits"] is fits, factor


def test_jobs_below_the_minimum_go_on_demand(rows: str) -> None:
    """150 records under a limit of 100 are two jobs of 75, and a batch job begins at 100."""
    second = planned(rows, escalate=0.3, max_records_per_job=100).tiers[1]
    assert (second.records, second.jobs, second.transport) == (150, 2, "on_demand")


def test_no_job_takes_longer_than_its_time_out(tmp_path: Path) -> None:
    """Bedrock ends it there, whatever the range of known times says."""
    path = tmp_path / "in.jsonl"
    path.write_bytes(jsonl([{"text": f"text {n}"} for n in range(20_000)]))
    said = planned(str(path), task={"tiers": [{"model": "claude-haiku-4-5", "timeout_hours": 30}]})
    assert said.duration["seconds"][1] == 30 * 3600


def test_without_a_budget_there_is_nothing_to_check(rows: str) -> None:
    """The document says null, and the page leaves the section out."""
    assert planned(rows).budget is None


def test_the_request_is_that_of_the_first_good_row(rows: str) -> None:
    """Rejected rows before it are passed over, and it is escaped as a model will see it."""
    path = Path(rows)
    path.write_bytes(jsonl([[1], {"text": 'a <b> & "c"'}, {"text": "second"}]))
    shown = planned(rows).request
    assert shown is not None
    assert shown["user"] == '<text>\na &lt;b> &amp; "c"\n</text>'
    assert shown["system"].startswith("You classify texts.")


def test_a_text_that_is_cut_is_shown_cut(rows: str) -> None:
    """The request is the one that would be sent, not the row."""
    Path(rows).write_bytes(jsonl([{"text": "word " * 1000}]))
    shown = planned(rows, task={"input": {"text": "text", "max_tokens": 50, "when_longer": "cut"}}).request
    assert shown is not None
    assert "[…]" in shown["user"]
    assert len(shown["user"]) < 250


def test_an_input_without_a_good_row_has_no_request(rows: str) -> None:
    """Nothing would be sent, and nothing would be paid."""
    Path(rows).write_bytes(jsonl([[1], [2]]))
    said = planned(rows)
    assert (said.request, said.records, said.expected_usd) == (None, 0, 0)


def test_all_kinds_of_files_are_read(tmp_path: Path) -> None:
    """The readers are the library's own: CSV and gzip beside lines, each row of its own source."""
    import gzip

    (tmp_path / "a.csv").write_text("text\none\ntwo\n")
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(b'{"text": "three"}\n'))
    said = planned(str(tmp_path / "a.csv"), str(tmp_path / "b.jsonl.gz"))
    assert (said.rows, said.records, len(said.inputs)) == (3, 3, 2)


def test_objects_in_s3_are_read_where_they_lie() -> None:
    """A prefix stands for all under it, as in a run."""
    cloud = Cloud(lambda _model, _text: "", s3=MemoryS3())
    for name in "ab":
        cloud.incoming.put(f"t/{name}.jsonl", jsonl([{"text": name}]))
    before = list(cloud.s3.writes)
    said = forecast(request("s3://incoming/t/"), cloud.store, quiet)
    assert [item["uri"] for item in said.inputs] == ["s3://incoming/t/a.jsonl", "s3://incoming/t/b.jsonl"]
    assert cloud.s3.writes == before


def test_a_damaged_file_is_named_by_its_path(tmp_path: Path) -> None:
    """How the file is called inside the steps is not the user's business."""
    (tmp_path / "x.jsonl.gz").write_bytes(b"\x1f\x8bjunk")
    with pytest.raises(BadInput, match=f"^{tmp_path}/x.jsonl.gz"):
        planned(str(tmp_path / "x.jsonl.gz"))


def test_many_spans_are_told_one_by_one(rows: str) -> None:
    """A large input is read by spans, then by shards, and whoever waits can be told how far it is."""
    told: list[tuple[str, int, int]] = []
    said = forecast(request(rows, span_bytes=20_000, max_records_per_job=100), nowhere, lambda *args: told.append(args))
    for what in ("span", "shard"):
        numbers = [(number, total) for name, number, total in told if name == what]
        assert numbers == [(number, len(numbers)) for number in range(len(numbers))]
        assert len(numbers) > 1
    assert said.rows == 602


# The command.


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: str) -> Path:
    """A folder with a task and rows, in which no other project's settings lie."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plain.yaml").write_text(json.dumps(TASK))
    return Path(rows)


def test_the_document_is_json_and_nothing_else(project: Path) -> None:
    """Rows add up, and the assumption is stated beside the figures that rest on it."""
    result = CliRunner().invoke(app, ["plan", project.name, "--task", "plain.yaml", "--json", "--escalate", "0.2"])
    document = json.loads(result.stdout)
    assert result.exit_code == 0
    assert document["rows"] == {"in": 602, "good": 600, "rejected": 2}
    assert document["records"] == {"distinct": 500}
    assert document["escalate"] == 0.2
    assert 0 < document["expected_usd"] < document["ceiling_usd"]
    assert [tier["records"] for tier in document["tiers"]] == [500, 100]
    assert set(document["request"]) == {"system", "user"}


def test_a_terminal_obeys_no_row_that_the_page_shows(project: Path) -> None:
    """Escape sequences and bells of a text stand there as what they are not."""
    project.write_bytes(jsonl([{"text": "be\x1b[31m red\x07"}]))
    result = CliRunner().invoke(app, ["plan", project.name, "--task", "plain.yaml"])
    assert result.exit_code == 0
    assert "be\ufffd[31m red\ufffd" in result.stdout
    assert not set(result.stdout) & {"\x1b", "\x07"}


def test_the_page_shows_figures_assumption_and_request(project: Path) -> None:
    """Everything that a user has to know before paying stands on one page."""
    result = CliRunner().invoke(app, ["plan", project.name, "--task", "plain.yaml"])
    assert result.exit_code == 0
    for said in (
        "nothing has been sent",
        "602 rows",
        "500 distinct",
        "Assumed: 10%",
        "At most",
        "in.jsonl, line 1 ",
        "text 0\n",
    ):
        assert said in result.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere.jsonl", "--task", "plain.yaml"], "nowhere.jsonl does not exist"),
        (["in.jsonl", "--task", "bad.yaml"], "bad.yaml cannot be run"),
        (["in.jsonl", "--task", "plain.yaml", "--set", "x=1"], "x is not a setting"),
        (["in.jsonl", "--task", "plain.yaml", "--escalate", "2"], "--escalate"),
    ],
)
def test_wrong_usage_is_exit_code_2(project: Path, arguments: list[str], said: str) -> None:
    """A task, an input or a setting that is wrong is told before anything is read."""
    (project.parent / "bad.yaml").write_text("name: bad\n")
    result = CliRunner().invoke(app, ["plan", *arguments])
    assert result.exit_code == 2
    assert said in result.stderr


def test_the_settings_are_those_that_the_project_deploys(tmp_path: Path) -> None:
    """What stands under `sluice` in cdk.json counts, and without the file the settings' own values."""
    file = tmp_path / "cdk.json"
    assert declared_settings(file) == Settings()
    file.write_text('{"context": {"sluice": {"max_jobs_in_flight": 7}}}')
    assert declared_settings(file).max_jobs_in_flight == 7
    file.write_text('{"context": {"sluice": {"max_jobs": 7}}}')
    with pytest.raises(BadSetting, match="max_jobs is not a setting"):
        declared_settings(file)


# A folder as a bucket.


def test_a_folder_reads_and_writes_like_a_bucket(tmp_path: Path) -> None:
    """Whole objects, stretches, what is not there, and what exists already."""
    folder = Folder(LOCAL, tmp_path)
    folder.put("a/b.txt", b"0123456789")
    assert (folder.get("a/b.txt"), folder.read_range("a/b.txt", 2, 3), folder.find("no")) == (
        b"0123456789",
        b"234",
        None,
    )
    assert b"".join(folder.blocks("a/b.txt", 7)) == b"789"
    assert (folder.put_new("a/b.txt", b"x"), folder.put_new("a/c.txt", b"x")) == (False, True)
    assert list(folder.keys("a/")) == [("a/b.txt", 10), ("a/c.txt", 1)]
    assert not folder.exists("a")
    with pytest.raises(Stop, match="does not exist"):
        list(folder.blocks("no"))


def test_an_object_of_a_folder_appears_when_it_is_whole(tmp_path: Path) -> None:
    """A writer that breaks leaves nothing behind."""
    folder = Folder(LOCAL, tmp_path)
    with folder.writer("a/whole") as out:
        out.write(b"x" * 10)
        assert list(folder.keys("a/whole")) == []
    assert list(folder.keys("a/")) == [("a/whole", 10)]
    with pytest.raises(RuntimeError), folder.writer("a/broken") as out:
        raise RuntimeError
    assert list(folder.keys("a/")) == [("a/whole", 10)]


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    """What is planned is one state of the file."""
    folder = Folder(LOCAL, tmp_path)
    folder.put("x", b"before")
    head = folder.head("x")
    assert head is not None
    folder.put("x", b"afterwards")
    with pytest.raises(BadInput, match="was changed"):
        list(folder.blocks("x", etag=head.etag))


# The texts that a plan reads are those that a run sends.

ODD = st.text(st.sampled_from('ab &<>"\\\n\0é請Ж\N{LARGE RED CIRCLE}'), max_size=40)
LINES = st.lists(st.one_of(ODD.map(lambda text: {"text": text, "n": len(text)}), st.just([1])), min_size=1, max_size=30)
PLANNED = settings(max_examples=25, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


@PLANNED
@given(
    rows=LINES,
    most=st.integers(1, 9),
    span=st.sampled_from([80, 10**6]),
    cuts=st.booleans(),
    transport=st.sampled_from(["auto", "on_demand"]),
    attempts=st.integers(1, 2),
)
def test_a_plan_knows_what_is_sent_and_what_it_costs_at_most(
    rows: list[Any], most: int, span: int, cuts: bool, transport: str, attempts: int
) -> None:
    """Records and bytes are those of the requests to the byte, and no run costs more than it was told."""
    limits = {"max_tokens": 3, "when_longer": "cut"} if cuts else {}
    tiers = [{"model": model, "transport": transport, "attempts": attempts} for model in ("nova-micro", "nova-lite")]
    task = made({"input": {"text": "text", **limits}, "tiers": tiers})
    sizes = {"max_records_per_job": most, "min_records_per_job": 1, "span_bytes": span, "on_demand_concurrency": 1}
    machine = Machine(FaultPlan(seed=most, records=0.3), lambda _model, text: "no idea" if "a" in text else SURE, sizes)
    machine.faulty.tokens = greediest
    run = machine.begin(task, {"in.jsonl": jsonl(rows)})
    summary = machine.finish(run)
    asked = Asked(["s3://incoming/plain/"], task, Settings().override(sizes), Catalog.load(), "us-east-1", 0.1)
    with estimated(asked, machine.store, quiet) as estimate:
        said = estimate.forecast()
        texts = estimate.texts
    first = [keys.input for keys in first_jobs(machine, run)]
    lines = [line for key in first for line in machine.work.get(key).splitlines(keepends=True)]
    constant = RequestWriter(task, Run(machine.work, run).tier(0)).constant_bytes
    assert (texts.records, texts.bytes) == (len(lines), sum(map(len, lines)) - len(lines) * constant)
    assert said.ceiling_usd is not None
    assert summary["cost_usd"] <= said.ceiling_usd * (1 + 1e-9)


def first_jobs(machine: Machine, run: str) -> list[JobKeys]:
    """The jobs that sent records for the first time, in whatever round."""
    keys, found = Keys(run), list[JobKeys]()
    number = 0
    while data := machine.work.find(keys.round_plan(number)):
        jobs = read(RoundPlan, data, "plan").jobs
        found += [keys.job(number, job.job) for job in jobs if job.purpose == "classify"]
        number += 1
    return [job for job in found if machine.work.exists(job.input)]


def test_a_run_that_would_wait_for_an_approval_is_planned_all_the_same(rows: str) -> None:
    """What an approval goes by is told: the ceiling of the run's own plan, which is above that of this one."""
    said = planned(rows, approve_above_usd=0)
    assert said.tiers == planned(rows).tiers
    assert said.approval is not None
    assert said.approval["waits"] is True
    assert said.ceiling_usd is not None
    assert said.ceiling_usd < said.approval["ceiling_usd"]
    assert planned(rows, approve_above_usd=10**6).approval == {**said.approval, "above_usd": 10**6, "waits": False}
    by_default = planned(rows).approval
    assert by_default is not None
    assert (by_default["above_usd"], by_default["above_expected_usd"], by_default["waits"]) == (None, 100, False)
    assert planned(rows, approve_above_expected_usd=None).approval is None


def test_a_run_that_waits_by_default_says_by_which_figure(rows: str) -> None:
    """The cost with every record through every tier, and the setting that it is held against."""
    said = planned(rows, approve_above_expected_usd=0.00001).approval
    assert said is not None
    assert said["waits"]
    text = approval_text(said).plain
    assert f"{dollars(said['all_tiers_usd'])} if every record goes through every tier" in text
    assert "(approve_above_expected_usd), so it will wait" in text


def test_the_ceiling_of_an_approval_is_the_runs_own(rows: str) -> None:
    """A run that is planned to wait does wait, and names the same figure."""
    said = planned(rows, approve_above_usd=0.01).approval
    cloud = Cloud(lambda _model, _text: "", {"approve_above_usd": 0.01})
    run = cloud.begin(made(), {"in.jsonl": Path(rows).read_bytes()})
    for span in msgspec.json.decode(cloud.work.get(Keys(run).spans), type=list[Span]):
        partition.run(cloud.services, span)
    plan.run(cloud.services, run, 0)
    noted = read(Approval, cloud.work.get(Keys(run).approval), "approval")
    assert said is not None
    assert noted.ceiling_usd == pytest.approx(said["ceiling_usd"])


def test_a_first_tier_that_settles_nothing_is_warned_of(rows: str) -> None:
    """It costs more than the last tier alone; the share from which on that is so is told too."""
    warned = [line for line in planned(rows, escalate=1.0).warnings if "settles next to nothing" in line]
    assert len(warned) == 1
    cheap = planned(rows, escalate=0.1)
    assert not any("settles next to nothing" in line for line in cheap.warnings)
    assert 0.1 < cheap.strongest["pays_below_share"] < 1


def test_texts_that_tokenizers_disagree_on_are_warned_of(tmp_path: Path) -> None:
    """The scripts are named, and the range of the tokens is told."""
    path = tmp_path / "in.jsonl"
    path.write_bytes(jsonl([{"text": f"ஒரு அட்டை வரவில்லை {n}"} for n in range(150)]))
    said = planned(str(path))
    assert any(line.startswith("tokens: the estimate is poor") and "tamil" in line for line in said.warnings)
    low, high = said.tokens["range"]
    assert low * 2 < said.tokens["text"] <= high


def test_the_cost_is_told_in_three_sentences(rows: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What is expected, what everything going on would cost, and what nothing can pass; in this order."""
    print_forecast(planned(rows), Settings())
    said = " ".join(capsys.readouterr().out.split())
    places = [said.find(words) for words in ("Expected: $", "If everything escalates: $", "At most, whatever")]
    assert places == sorted(places)
    assert -1 not in places


def test_a_plan_for_ones_own_server_says_nothing_of_bedrock(
    rows: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No prices, hours and quotas of AWS, which has nothing to do with it; its own price counts."""
    models = {"my": {"openai": {"url": "http://localhost:1/v1", "model": "q"}, "price": [1, 2]}}
    (tmp_path / "own.yaml").write_text(json.dumps({"models": models}))
    asked = replace(request(rows, task={"tiers": [{"model": "my"}]}), catalog=Catalog.load(tmp_path / "own.yaml"))
    made = forecast(asked, nowhere, quiet)
    assert made.expected_usd is not None
    print_forecast(made, Settings())
    said = capsys.readouterr().out
    for word in ("litellm", "AWS", "Quotas", "Basis:", "hours", "Region"):
        assert word not in said
    assert "as long as your server takes" in said
