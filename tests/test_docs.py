"""The documents: links lead somewhere, commands exist, the files of users that they show train."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from forked import finished
from pages import FENCE, ROOT, blocks, python_files
from playing import Player
from toys import toy_algorithm

from evals.__main__ import COMMANDS
from launch import cli
from rlvr.config.schema import RewardConfig
from rlvr.engines import Completion, Request, Sampling
from rlvr.graders import Status, Verdict
from rlvr.models.tiny_base import byte_tokenizer
from rlvr.planning.recipe import load_config
from rlvr.rollouts.collect import Group, Scored, to_batch
from rlvr.rollouts.playing.episodes import play
from rlvr.rollouts.reward_functions import Row
from rlvr.rollouts.rewards import RewardMix
from rlvr.rollouts.token_rewards import token_rewards
from rlvr.tasks import Problem, build_task

PAGES = sorted(
    page for folder in (".", "docs", "launch", "benchmarks") for page in (ROOT / folder).glob("*.md")
)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def ids(page: Path) -> str:
    return str(page.relative_to(ROOT))


def prose(page: Path) -> str:
    return FENCE.sub("", page.read_text())


def anchors(page: Path) -> set[str]:
    """What a heading can be linked to by."""
    heads = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def commands(page: Path) -> Iterator[list[str]]:
    """The words of each line of the unnamed code blocks, without comments."""
    for block in blocks(page):
        for line in block.splitlines():
            try:
                yield shlex.split(line, comments=True)
            except ValueError:  # not a command: a table, or a message
                continue


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(prose(page)):
        if link.startswith(("http://", "https://")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link}: no such file"
        assert not anchor or anchor in anchors(target), f"{link}: no such heading"


def test_every_page_can_be_reached_from_the_readme() -> None:
    seen, ahead = set(), [ROOT / "README.md"]
    while ahead:
        page = ahead.pop()
        if page in seen or page.suffix != ".md":
            continue
        seen.add(page)
        links = (link.partition("#")[0] for link in LINK.findall(prose(page)) if "://" not in link)
        ahead += [(page.parent / link).resolve() for link in links if link]
    assert set(PAGES) <= seen


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_commands_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for words in commands(page):
        if words[:1] == ["make"]:
            named = [word for word in words[1:] if "=" not in word]
            assert set(named) <= targets, f"{words}: no such target"
        if words[:3] == ["python", "-m", "evals"]:
            assert words[3] in (*COMMANDS, "NAME", "COMMAND"), f"{words}: no such command"
        if words[:1] == ["rlvr"]:
            assert words[1] in cli.COMMANDS, f"{words}: no such command"
            assert words[1] != "eval" or words[2] in COMMANDS, f"{words}: no such command"
        own = {"recipe=mine.yaml", "recipe=own.yaml"} & {*words}  # made in the page
        trainers = [i for i, word in enumerate(words) if word in ("rlvr/train.py", "rlvr.train")]
        trainers += [1] if words[:2] == ["rlvr", "train"] else []
        if trainers and not own:
            given = words[trainers[0] + 1 :]
            load_config([word for word in given if not word.startswith("--")])


def trained(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A run in a directory that holds the user's own files."""
    return finished([str(ROOT / "rlvr" / "train.py"), *arguments], directory)


def test_the_quickstarts_algorithm_trains(tmp_path: Path) -> None:
    page = ROOT / "docs" / "quickstart.md"
    (algorithm,), (recipe,) = blocks(page, "python"), blocks(page, "yaml")
    (tmp_path / "raft.py").write_text(algorithm)
    (tmp_path / "mine.yaml").write_text(recipe)
    small = (
        "steps=2", "save_every=2", "rollouts.prompts=8", "probe.max_problems=4", "probe.n=4",
        "probe.base_n=4", "probe.final_n=4", "probe.k=4",
    )  # fmt: skip
    done = trained(tmp_path, "recipe=mine.yaml", "algorithm=raft:raft", *small)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs" / "mine-s0" / "probe.jsonl").exists()


@contextmanager
def judge() -> Iterator[str]:
    """A server that answers with the length of what it is sent, in hundreds of characters."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            answer = str(int(self.headers["Content-Length"]) / 100).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()


def test_the_steps_of_the_docs_are_paid_and_credited(tmp_path: Path) -> None:
    page = ROOT / "docs" / "algorithms.md"
    ((name, source),) = python_files(page).items()
    (recipe,) = blocks(page, "yaml")
    (tmp_path / name).write_text(source)
    (tmp_path / "steps.yaml").write_text(recipe)
    small = ("steps=1", "save_every=1", "rollouts.prompts=8", "probe.tasks=[]")
    done = trained(tmp_path, "recipe=steps.yaml", *small)
    assert done.returncode == 0, done.stderr
    (row,) = map(json.loads, (tmp_path / "runs" / "steps-s0" / "metrics.jsonl").read_text().splitlines())
    parts = [row[f"reward/{part}"] for part in ("outcome", "steps", "zeros", "repeated")]
    assert row["rollout/reward"] == pytest.approx(sum(parts)) and parts[1] < 0 and parts[2] < 0


def test_the_worked_example_of_credit_by_step_is_what_is_computed() -> None:
    """The table's completions, through checker, rewards, tokens, batch and algorithm."""
    page = (ROOT / "docs" / "algorithms.md").read_text()
    table = page.partition("**Example.**")[2].partition("With `credit=outcome`")[0]
    chains = [
        "\n".join(re.findall(r"`([^`]*)`", row.split(" | ")[0]))
        for row in re.findall(r"^\| `.*", table, re.M)
    ]
    assert len(chains) == 3
    by_step, outcome = (advantages_of(chains, credit) for credit in ("steps", "outcome"))
    second, answer = (chains[1].index(part) for part in ("9+4", "answer"))
    told = [[float(x) for x in re.findall(r"-?\d+(?:\.\d+)?", part)] for part in (
        table.partition("so the advantages are ")[2].partition(";")[0],
        table.partition("0, -1 and 0: ")[2],
    )]  # fmt: skip
    for place, expected in zip((second, answer), told, strict=True):
        assert [row[place] for row in by_step] == pytest.approx(expected)
    assert [row[0] for row in outcome] == pytest.approx([1.5, -1.5, 0.0])
    assert all(set(row[: len(chain)]) == {row[0]} for row, chain in zip(outcome, chains, strict=True))


def advantages_of(chains: list[str], credit: str) -> list[list[float]]:
    """RLOO's, of completions of one problem with one token a character."""
    task = build_task("countdown:3", train_problems=1, test_problems=1)
    reference = {"numbers": [3, 4, 6], "target": 13}
    verdicts = task.grade([(chain, reference) for chain in chains], by_step=True)
    tokenizer = byte_tokenizer()
    rows = [
        Row(
            "p", "", chain, len(chain), False, reference, verdict, 0, token_ids=tuple(tokenizer.encode(chain))
        )
        for chain, verdict in zip(chains, verdicts, strict=True)
    ]
    given = RewardMix(RewardConfig(wrong_step=-1.0), [], 64, Path("unused"))(rows)
    scored = tuple(
        Scored(
            Completion(row.token_ids, (0.0,) * row.tokens, row.completion, "stop"),
            reward.verdict,
            reward.total,
            token_rewards=token_rewards(reward, tokenizer, row.token_ids, row.completion),
        )
        for row, reward in zip(rows, given, strict=True)
    )
    batch = to_batch([Group(Problem("p", "", reference), 0, (1,), scored)])
    zeros = torch.zeros_like(batch.mask)
    ready = batch.with_scores(old_logprobs=None, ref_logprobs=None, kl_rewards=zeros, values=None)
    return toy_algorithm("rloo", credit=credit).credit(ready).advantages.tolist()


def test_the_plugins_of_the_docs_are_short_and_train(tmp_path: Path) -> None:
    page = ROOT / "docs" / "plugins.md"
    files = python_files(page)
    own = {"my_task.py", "my_environment.py", "my_algorithm.py", "my_reward.py", "my_group.py", "my_hook.py"}
    assert files.keys() == own
    for name, source in files.items():
        assert len(source.splitlines()) < 40
        (tmp_path / name).write_text(source)
    (recipe,) = blocks(page, "yaml")
    (tmp_path / "own.yaml").write_text(recipe)
    planned = trained(tmp_path, "recipe=own.yaml", "--dry-run")
    assert planned.returncode == 0 and "my_task:sums: 4 problems" in planned.stdout, planned.stderr
    for name in ("shortest", "brief", "diverse", "unlikely"):
        assert f"{name}: 0.0, 0.0 for two made-up completions" in planned.stdout
    assert not (tmp_path / "runs").exists()
    with judge() as url:
        judged = f"{{reward: 'my_reward:judged', takes: row, options: {{url: '{url}'}}, timeout: 30}}"
        extra = f"rewards.extra=[{{reward: 'my_reward:short'}}, {judged}]"
        done = trained(tmp_path, "recipe=own.yaml", "task.largest=8", extra)
    assert done.returncode == 0, done.stderr
    assert "step 4: '" in done.stderr  # the hook
    run = tmp_path / "runs" / "own-s0"
    metrics = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert len(metrics) == 4 and "reward/short" in metrics[0]
    assert all(m["reward/judged"] == pytest.approx(m["rollout/length"] / 100, abs=0.2) for m in metrics)
    card = json.loads((run / "card.json").read_text())
    task = card["tasks"]["training"]["sums"]
    assert task["template"].startswith("my_task-") and task["grader"] == task["template"]
    assert (run / "probes" / "step_000004" / "sums.parquet").exists()


def test_the_environment_of_the_docs_plays() -> None:
    space: dict[str, Any] = {"__name__": "my_environment"}
    exec(python_files(ROOT / "docs" / "plugins.md")["my_environment.py"], space)
    task = space["digits"](turns=3)
    engine = Player(lambda text, seed: "9\n" if seed % 2 or len(text) > 3 else "a1\n")
    problems = [p for p in task.train for _ in range(4)]
    asked = [(Request(tuple(p.prompt.encode()), Sampling(1.0, 1.0, 60, task.ends), i), p)
             for i, p in enumerate(problems)]  # fmt: skip
    episodes = [episode for _, episode in sorted(play(engine, task, byte_tokenizer(), asked))]
    verdicts = task.grade([(e.graded, p.reference) for e, p in zip(episodes, problems, strict=True)])
    for episode, problem, verdict in zip(episodes, problems, verdicts, strict=True):
        totals = [sum(int(c) for c in turn.text if c.isdigit()) for turn in episode.turns]
        assert verdict.correct == (sum(totals) == problem.reference) and len(totals) <= 3
        assert [turn.reward for turn in episode.turns] == [0.1] * len(totals)
    assert {v.correct for v in verdicts} == {True, False}


@pytest.mark.slow
def test_the_environment_of_the_docs_trains(tmp_path: Path) -> None:
    page = ROOT / "docs" / "plugins.md"
    for name, source in python_files(page).items():
        (tmp_path / name).write_text(source)
    (tmp_path / "own.yaml").write_text(*blocks(page, "yaml"))
    (command,) = [words for words in commands(page) if "task=my_environment:digits" in words]
    done = trained(tmp_path, *command[2:], "rollouts.max_new_tokens=60")
    assert done.returncode == 0, done.stderr
    metrics = [json.loads(line) for line in (tmp_path / "runs/digits/metrics.jsonl").read_text().splitlines()]
    assert len(metrics) == 4 and all(m["rollout/turns"] > 1 and m["mismatch/max"] < 1e-4 for m in metrics)
    assert any(m["reward/turns"] > 0 for m in metrics)
    (record, *_) = [
        json.loads(line) for line in (tmp_path / "runs/digits/probe.jsonl").read_text().splitlines()
    ]
    assert record["environment"].startswith("my_environment-") and len(record["turns"]["pass_at_1"]) == 5


def test_the_group_rewards_of_the_docs() -> None:
    space: dict[str, Any] = {}
    exec(python_files(ROOT / "docs" / "plugins.md")["my_group.py"], space)
    drawn = [("a" * 4, True, -1.0), ("a" * 4, True, -1.5), ("b" * 8, True, -9.0), ("c", False, -0.5)]
    verdicts = {True: Verdict(Status.CORRECT, 1.0), False: Verdict(Status.WRONG, 0.0)}
    rows = [
        Row("p", "", text, len(text), False, 0, verdicts[right], 0, logprob=logprob)
        for text, right, logprob in drawn
    ]
    assert space["brief"](rows) == [1.0, 1.0, 0.0, 0.0]
    assert space["diverse"](rows) == [0.5, 0.5, 0.75, 0.0]
    assert space["unlikely"](rows) == [-0.75, -0.5, -0.25, 0.0]


def test_an_edited_plugin_has_another_version(tmp_path: Path) -> None:
    source = python_files(ROOT / "docs" / "plugins.md")["my_task.py"]
    versions = set()
    for edited in (source, source + "\n# edited\n"):
        (tmp_path / "my_task.py").write_text(edited)
        code = (
            "from rlvr.tasks import build_task; t = build_task('my_task:sums'); print(t.template, t.grader)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        versions.add(done.stdout)
    assert len(versions) == 2
