"""The desk's server: for one browser of this machine, and each decision kept before it is answered."""

from __future__ import annotations

import http.client
import json
import threading
from typing import TYPE_CHECKING, Any

import pytest

from sluice.desk.page import render
from sluice.desk.queues import Desk
from sluice.desk.server import Decisions, DeskServer
from sluice.results.corrections import Corrections
from sluice.task.file import parse_task
from tests.harness.drive import Cloud, jsonl
from tests.harness.reviewed import opened

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sluice.results.published import Published

TASK: dict[str, Any] = {
    "name": "t",
    "input": {"id": "id", "text": "text", "gold": "known"},
    "labels": ["a", "b", "c"],
    "answer": {"fields": {"amount": {"type": "integer"}}},
    "tiers": [
        {"model": "nova-micro", "transport": "on_demand"},
        {"model": "claude-haiku-4-5", "transport": "on_demand"},
    ],
}
# The text says what each tier answers, and how sure it is.
TEXTS = ["a certain b certain", "a unsure b certain", "a unsure b unsure", "c certain c certain", ""]
ROWS = [{"id": str(n), "text": text, "known": "b" if n == 0 else None, "n": n} for n, text in enumerate(TEXTS)]


def answer(model: str, text: str) -> str:
    label, word = text.split()[0:2] if "nova" in model else text.split()[2:4]
    return json.dumps({"label": label, "confidence": word, "amount": 1})


@pytest.fixture
def run() -> Published:
    cloud = Cloud(answer)
    return opened(cloud, cloud.run(parse_task(TASK, "t"), {"a.jsonl": jsonl(ROWS)}))


@pytest.fixture
def server(run: Published) -> Iterator[DeskServer]:
    desk = Desk(run, sample=2)
    document = desk.document()
    with DeskServer(document, Decisions(run, desk.task, document, "ann", {})) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def ask(server: DeskServer, method: str, path: str, body: object = None, **headers: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=5)
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    data = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else None
    connection.request(method, path, data, sent)
    got = connection.getresponse()
    said = got.read()
    connection.close()
    return got.status, json.loads(said) if said[:1] == b"{" else said


def decide(server: DeskServer, body: object) -> tuple[int, Any]:
    return ask(server, "POST", f"/{server.token}/decisions", body, Content_Type="application/json")


def test_only_the_browser_that_knows_the_token_is_answered(server: DeskServer) -> None:
    """Not without it, not by another name of the host, not from another page; nothing is kept then."""
    page, good = f"/{server.token}/", {"Content_Type": "application/json"}
    assert server.server_address[0] == "127.0.0.1"
    assert ask(server, "GET", page)[0] == 200
    refused = [
        ask(server, "GET", "/"),
        ask(server, "GET", f"/{server.token[:-1]}x/"),
        ask(server, "GET", f"/{server.token}"),
        ask(server, "GET", "/%C3%A9/"),
        ask(server, "GET", page, Host="localhost:1"),
        ask(server, "GET", page, Host="evil.example"),
        ask(server, "GET", page, Origin="https://evil.example"),
        ask(server, "GET", page, Origin="null"),
        ask(server, "GET", page, Sec_Fetch_Site="cross-site"),
        ask(server, "POST", "/decisions", {"row": 0, "labels": ["a"]}, **good),
        ask(server, "POST", f"{page}decisions", {"row": 0, "labels": ["a"]}, Origin="http://127.0.0.1:1", **good),
    ]
    assert {status for status, _ in refused} == {403}
    assert ask(server, "POST", f"{page}decisions", {"row": 0, "labels": ["a"]}, Content_Type="text/plain")[0] == 404
    assert server.decisions.taken == 0


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b"{", "no JSON"),
        ([], "no decision"),
        ({"row": 99, "labels": ["a"]}, "not on this desk"),
        ({"row": True, "labels": ["a", "b"]}, "has 2 labels"),
        ({"row": 0, "labels": ["z"]}, "does not have"),
        ({"row": 0}, "no label"),
        ({"row": 0, "labels": ["a"], "fields": {"amount": "many"}}, "it takes integer"),
        ({"row": 0, "withdraws": "x"}, "no correction"),
    ],
)
def test_what_no_row_could_have_is_not_kept(server: DeskServer, said: object, why: str) -> None:
    """It is told what is wrong, and the log stays as it was."""
    status, told = decide(server, said)
    assert status == 400
    assert why in (told["wrong"] if isinstance(told, dict) else told.decode())
    assert not server.decisions.corrections.rows


def test_a_decision_is_in_the_log_when_it_is_answered(server: DeskServer, run: Published) -> None:
    """With who, of which row of which run; taken back it leaves nothing standing."""
    status, told = decide(server, {"row": 2, "labels": ["b"], "fields": {"amount": 7}, "note": "n"})
    log = Corrections(run.store, "t")
    log.refresh()
    (row,) = log.rows.values()
    said = row.heads[0].what
    assert (status, said.by, said.id, said.run, said.labels, said.fields, said.note, said.given) == (
        200, "ann", "2", run.run, ["b"], {"amount": 7}, "n", None,
    )  # fmt: skip
    assert decide(server, {"row": 2, "withdraws": told["mark"], "seen": told["seen"]})[1]["said"] == []
    assert server.decisions.taken == 0


def test_a_store_that_fails_is_told(server: DeskServer, run: Published, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page learns that nothing was kept, and the server goes on."""
    with monkeypatch.context() as patched:
        patched.setattr(run.store, "put_new", lambda *_: (_ for _ in ()).throw(OSError("no room")))
        assert decide(server, {"row": 0, "labels": ["a"]}) == (503, {"wrong": "it could not be kept: no room"})
    assert decide(server, {"row": 0, "labels": ["a"]})[0] == 200


def test_queues_hold_what_is_worth_a_look(run: Published) -> None:
    """Unresolved, against gold, changed, and a uniform sample of all rows but rejected ones; each with its attempts."""
    found = Desk(run, sample=2).document()
    ids = {each["name"]: [found["rows"][n]["id"] for n in each["rows"]] for each in found["queues"]}
    assert {name: ids[name] for name in ids if name != "uniform"} == {
        "gold": ["0"],
        "unresolved": ["2"],
        "changed": ["1"],
    }
    assert len(ids["uniform"]) == 2
    assert [each["of"] for each in found["queues"] if each["name"] == "uniform"] == [4]
    assert {row["id"] for row in found["rows"] if row["drawn"]} == set(ids["uniform"])
    (row,) = [row for row in found["rows"] if row["id"] == "1"]
    assert [(each["label"], each["confidence"]) for each in row["trail"]] == [("a", "unsure"), ("b", "certain")]
    assert (row["text"], row["place"]) == (TEXTS[1], "a.jsonl, line 2")
    assert row["own"] == [["id", "1"], ["known", ""], ["n", "1"]]


def test_a_settled_row_leaves_its_queue_and_stays_in_the_sample(run: Published) -> None:
    """Only what is said of the sample measures, so that it is asked about its rows whoever has looked at them."""
    desk = Desk(run, sample=4)
    Decisions(run, desk.task, desk.document(), "ann", {}).take({"row": 2, "labels": ["b"]})
    Decisions(run, desk.task, desk.document(), "ann", {}).take({"row": 0, "labels": ["a"]})
    names = {each["name"]: each["rows"] for each in Desk(run, sample=4).document()["queues"]}
    assert ("unresolved" in names, "gold" in names, len(names["uniform"])) == (False, False, 4)
    document = Desk(run, sample=1).document()
    assert {document["rows"][n]["id"] for n in document["settled"]} == {"0", "2"}, "for rows that are like them"


def test_hostile_rows_stay_data_in_the_page(run: Published) -> None:
    """Nothing of a row ends the script tag that holds it, nor takes the place of the page's own script."""
    hostile = "</script><!--[[script]] & [[data]]"
    document = Desk(run).document()
    document["rows"][0]["text"] = hostile
    page = render(document)
    held = page.split('<script type="application/json" id="desk">')[1].split("</script>")[0]
    assert json.loads(held)["rows"][0]["text"] == hostile
    assert page.count("</script>") == 2
