"""What the viewer answers: runs, problems, samples, rollouts; who may ask; and texts that mean harm."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from viewed import LONG, PROBLEMS, SCRIPT, UNSEEN, N, write_view

pytest.importorskip("duckdb")
testclient = pytest.importorskip("starlette.testclient")

from evals.commands.problems.view import ViewError, listen  # noqa: E402
from evals.records.samples import make_whole, sample_files  # noqa: E402
from evals.view.runs import Library  # noqa: E402
from evals.view.samples import CUT  # noqa: E402
from evals.view.server import View, application  # noqa: E402

PORT = 8421
HOST = f"http://127.0.0.1:{PORT}"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_view(tmp_path_factory.mktemp("viewed"))


@pytest.fixture
def client(runs: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("RLVR_STORE", str(runs.parent / "store"))
    made = testclient.TestClient(application(View(Library([runs])), "secret", PORT), base_url=HOST)
    assert made.get("/?token=secret").status_code == 200
    return made


def good(runs: Path, **query: Any) -> dict[str, Any]:
    return {"run": str(runs / "good"), "task": "countdown-3", "step": 30, **query}


def ask(client: Any, page: str, expected: int = 200, /, **query: Any) -> Any:
    got = client.get(f"/api/{page}", params=query)
    assert got.status_code == expected, got.text[:500]
    return got.json()


def test_an_unreadable_run_stands_beside_the_others_with_its_reason(client: Any, runs: Path) -> None:
    found = {Path(run["name"]).name: run for run in ask(client, "runs")["runs"]}
    assert found.keys() == {"good", "other", "broken"}
    assert "metrics.jsonl, line 2: is not JSON" in found["broken"]["error"]
    assert (found["good"]["error"], found["good"]["step"], found["good"]["steps"]) == (None, 30, 40)
    assert (found["good"]["algorithm"], found["good"]["task"]) == ("grpo", "countdown:3")


def test_a_place_that_is_none_is_said(runs: Path, tmp_path: Path) -> None:
    listed = Library([runs / "other", tmp_path / "absent", tmp_path]).listed()
    assert [bool(run["error"]) for run in listed] == [False, True, True]
    assert "no such directory" in listed[1]["error"] and "holds no run" in listed[2]["error"]


def test_a_run_has_its_table_curves_and_alarms(client: Any, runs: Path) -> None:
    run = ask(client, "run", run=str(runs / "good"))
    assert run["curves"]["rollout/length"] == [[*range(1, 31)], [30 - 0.3 * s for s in range(1, 31)]]
    assert run["curves"]["probe/countdown:3/gap"] == [[0, 30], [0.43, 0.16]]
    base, policy = run["records"]
    assert base["is_base"] and base["change"] is None and policy["change_interval"] == [0.1, 0.4]
    (alarm,) = run["alarms"]
    assert (alarm["name"], alarm["first"], alarm["last"], alarm["steps"]) == ("rollout/truncated", 4, 9, 6)
    assert run["measurements"] == {"countdown-3": [30]} and run["rollouts"] == [30]


def test_a_run_is_read_again_once_it_has_changed(client: Any, runs: Path) -> None:
    before = ask(client, "run", run=str(runs / "other"))["step"]
    with open(runs / "other" / "metrics.jsonl", "a") as file:
        file.write('{"step": 16, "rollout/reward": NaN}\n')
    found = ask(client, "run", run=str(runs / "other"))
    assert (before, found["step"], found["curves"]["rollout/reward"][1][-1]) == (15, 16, None)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("gained", {"3", "10"}), ("lost", {"5", "11"}), ("neither", {"0", "7"}), ("wrong_reason", {"3"})],
)
def test_problems_by_kind(client: Any, runs: Path, kind: str, expected: set[str]) -> None:
    page = ask(client, "problems", **good(runs, kind=kind))
    assert {row["problem"] for row in page["rows"]} == expected
    assert page["total"] == PROBLEMS and page["kinds"][kind] == page["selected"] == len(expected)


def test_problems_are_sorted_searched_and_picked_from_the_scatter(client: Any, runs: Path) -> None:
    rows = ask(client, "problems", **good(runs, order="change", down=1))["rows"]
    changes = [row["policy"][1] - row["base"][1] for row in rows]
    assert changes == sorted(changes, reverse=True) and changes[0] == 6
    assert [r["problem"] for r in ask(client, "problems", **good(runs, search="MAKE 75"))["rows"]] == ["5"]
    cells = ask(client, "problems", **good(runs))["cells"]
    assert sum(cell[2] for cell in cells) == PROBLEMS
    _, _, number, b, p = max(cells, key=lambda cell: cell[2])
    assert ask(client, "problems", **good(runs, cell=f"{b},{p}"))["selected"] == number
    assert "kind is one of" in ask(client, "problems", 422, **good(runs, kind="won"))["error"]


def test_samples_of_a_problem_with_duplicates_folded(client: Any, runs: Path) -> None:
    page = ask(client, "samples", **good(runs, problem="2", side="policy"))
    assert (page["total"], page["distinct"]) == (N, N)
    plain = ask(client, "samples", **good(runs, problem="0", side="base"))
    assert (plain["total"], plain["distinct"]) == (N, 4)
    assert [(row["index"], row["copies"]) for row in plain["rows"]] == [(i, 2) for i in range(4)]


@pytest.mark.parametrize(
    ("query", "expected"),
    [({"status": "correct"}, 49), ({"status": "correct", "sound": "no"}, 25), ({"finish": "length"}, N),
     ({"sound": "open", "status": "correct"}, 0), ({"answer": "13 - 3"}, 49), ({"problem": "none"}, 0)],
)  # fmt: skip
def test_samples_are_selected(client: Any, runs: Path, query: dict[str, str], expected: int) -> None:
    page = ask(client, "samples", **good(runs, side="policy", **query))
    assert page["total"] == expected
    lines = client.get("/export", params=good(runs, side="policy", **query)).text.splitlines()
    assert len(lines) == expected and all(json.loads(line)["text"] is not None for line in lines)


def test_a_wrong_step_is_marked_by_the_checker_that_looked(client: Any, runs: Path) -> None:
    rows = ask(client, "samples", **good(runs, problem="2", side="policy"))["rows"]
    wrong = {row["index"]: [text for text, is_wrong in row.get("parts", []) if is_wrong] for row in rows}
    assert wrong[1] and "10 + 13 = 99" in wrong[1][0] and wrong[0] == []
    for row in rows:
        assert "".join(text for text, _ in row.get("parts", [])) in ("", row["text"])


def test_what_a_model_wrote_comes_as_it_is(client: Any, runs: Path) -> None:
    rows = ask(client, "samples", **good(runs, problem="0", side="policy"))["rows"]
    assert [row["text"] for row in rows] == [SCRIPT, UNSEEN, LONG[:CUT], "plain"]
    assert rows[2]["length"] == len(LONG)
    whole = ask(client, "sample", **good(runs, problem="0", side="policy", index=2))
    assert whole["text"] == LONG
    got = client.get("/api/samples", params=good(runs, problem="0"))
    assert got.headers["content-type"] == "application/json"
    for answer in (got, client.get("/"), client.get("/view.js"), client.get("/none"), client.get("/export")):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "script-src 'self'" in policy and "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_samples_without_their_store_keep_their_verdicts(
    client: Any, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RLVR_STORE", str(runs / "elsewhere"))
    page = ask(client, "samples", **good(runs, problem="1"))
    assert page["total"] == N and page["rows"][0]["status"] == "correct"
    assert page["rows"][0]["text"] is None and "give the store that has it" in page["rows"][0]["gone"]


def test_a_whole_file_says_the_same_as_one_that_refers(
    client: Any, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied = tmp_path / "copied"
    shutil.copytree(runs / "good", copied)
    for _, file in sample_files(copied):
        assert make_whole(file)
    monkeypatch.setenv("RLVR_STORE", str(tmp_path / "none"))
    other = testclient.TestClient(application(View(Library([copied])), "s", PORT), base_url=HOST)
    other.get("/?token=s")
    for problem in ("0", "2"):
        query = good(runs, problem=problem, side="policy") | {"run": str(copied)}
        found, page = ask(other, "samples", **query), None
        monkeypatch.setenv("RLVR_STORE", str(runs.parent / "store"))
        page = ask(client, "samples", **good(runs, problem=problem, side="policy"))
        monkeypatch.setenv("RLVR_STORE", str(tmp_path / "none"))
        assert (found["total"], found["distinct"]) == (page["total"], page["distinct"])
        assert [row["text"] for row in found["rows"]] == [row["text"] for row in page["rows"]]


def test_rollouts_have_rewards_advantages_and_tokens(client: Any, runs: Path) -> None:
    page = ask(client, "rollouts", run=str(runs / "good"))
    assert (page["step"], page["steps"], page["total"], len(page["groups"])) == (30, [30], 9, 6)
    first = page["groups"][0]["rows"][0]
    assert first["components"] == {"outcome": 1.0, "format": 0.1} and first["advantage"] == 0.9
    assert "".join(text for text, _ in first["tokens_shown"]) == first["text"]
    episode = ask(client, "rollouts", run=str(runs / "good"), offset=6)["groups"][-1]["rows"][0]
    assert [turn["observation"] for turn in episode["turns"]] == ["lower", ""]
    assert (
        "are not kept; those of 30 are"
        in ask(client, "rollouts", 422, run=str(runs / "good"), step=3)["error"]
    )
    assert ask(client, "rollouts", run=str(runs / "other"))["steps"] == []


@pytest.mark.parametrize(
    ("query", "status", "said"),
    [
        ({"run": "/etc"}, 404, "no run '/etc' is shown here"),
        ({"task": "../../x"}, 404, "has no samples of ../../x"),
        ({"step": "7"}, 404, "at step 7. It has countdown-3: 30"),
        ({"status": "right"}, 422, "status is one of correct, timed_out, unparsed, wrong"),
        ({"offset": "-1"}, 422, "offset is a whole number"),
        ({"index": "1 OR 1"}, 422, "index is a whole number"),
        ({"order": "index; DROP"}, 422, "order is one of"),
    ],
)
def test_what_is_not_there_is_said(
    client: Any, runs: Path, query: dict[str, str], status: int, said: str
) -> None:
    assert said in ask(client, "samples", status, **(good(runs) | query))["error"]


def test_a_damaged_file_is_said(client: Any, runs: Path, tmp_path: Path) -> None:
    copied = tmp_path / "runs" / "good"
    shutil.copytree(runs / "good", copied)
    for file in copied.rglob("*.samples.parquet"):
        file.write_bytes(file.read_bytes()[:-50])
    other = testclient.TestClient(application(View(Library([copied])), "s", PORT), base_url=HOST)
    other.get("/?token=s")
    assert "cannot be read" in ask(other, "samples", 422, **(good(runs) | {"run": str(copied)}))["error"]
    assert ask(other, "problems", **(good(runs) | {"run": str(copied)}))["total"] == PROBLEMS


def test_only_who_has_the_token_may_look(runs: Path) -> None:
    app = application(View(Library([runs])), "secret", PORT)
    stranger = testclient.TestClient(app, base_url=HOST)
    for path in ("/", "/view.js", "/api/runs", "/export"):
        assert stranger.get(path).status_code == 403
    assert stranger.get("/?token=guess").status_code == 403
    came = stranger.get("/?token=secret", follow_redirects=False)
    assert (came.status_code, came.headers["location"]) == (303, "/")
    assert "HttpOnly" in came.headers["set-cookie"] and "SameSite=strict" in came.headers["set-cookie"]
    assert stranger.get("/api/runs").status_code == 200
    assert stranger.get("/api/runs", headers={"host": "evil.example"}).status_code == 400
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert stranger.request(method, "/api/runs").status_code == 405


def test_a_port_in_use_picks_the_next() -> None:
    with listen(0) as first:
        port = first.getsockname()[1]
        with listen(port) as second:
            assert port < second.getsockname()[1] <= port + 50
            assert second.getsockname()[0] == "127.0.0.1"


def test_no_free_port_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evals.commands.problems.view.TRIED", 0)
    with listen(0) as first, pytest.raises(ViewError, match="all in use: give another port="):
        listen(first.getsockname()[1])
