"""A real vLLM server: as a judge of reasoning, as a reward, and as the model that is measured."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep

import httpx
import pytest

from evals.commands import probe
from evals.records.files import SAMPLES
from evals.records.samples import read_samples
from rlvr.config.schema import ExtraReward, RewardConfig
from rlvr.graders import Status, Verdict
from rlvr.graders.soundness import Chain
from rlvr.graders.soundness.judge import Judge, JudgeSettings
from rlvr.rollouts.reward_functions import Row, load_functions

pytestmark = [pytest.mark.slow, pytest.mark.vllm]
CHAT = "{% for m in messages %}{{ m['content'] }}\n{% endfor %}"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Of a small random model with a chat template: its URL, and its directory, which is its name."""
    pytest.importorskip("vllm", reason="needs vLLM (make install-test)")
    from served import saved_model, served

    directory = saved_model(tmp_path_factory.mktemp("served"))
    (directory / "chat_template.jinja").write_text(CHAT)
    with served(directory) as url:
        until = monotonic() + 400
        while True:
            try:
                if httpx.get(f"{url}/health", timeout=5).is_success:
                    break
            except httpx.HTTPError:
                pass
            assert monotonic() < until, (directory / "server.log").read_text()[-3000:]
            sleep(1)
        yield url, str(directory)


def test_it_judges_and_random_words_decide_nothing(server: tuple[str, str], tmp_path: Path) -> None:
    url, model = server
    (tmp_path / "prompt.txt").write_text("{completion} verdict:")
    judge = Judge(
        JudgeSettings(
            url=url, model=model, prompt=str(tmp_path / "prompt.txt"), votes=2, temperature=1.0, max_tokens=8
        )
    )
    chains = [Chain(f"{i}+1={i + 1}", None) for i in range(20)] + [Chain("7" * 300, None)]
    assert judge.check_chains(chains) == [None] * 21  # the last is longer than the context
    replies = judge.asking.replies([{"prompt": "", "completion": "0+1=1", "reference": ""}])
    assert len(set(replies[0])) == 2  # seeds of their own


def test_it_gives_no_reward_for_words_without_a_score(server: tuple[str, str], tmp_path: Path) -> None:
    url, model = server
    (tmp_path / "prompt.txt").write_text("{completion}")
    prompt = str(tmp_path / "prompt.txt")
    options = {"url": url, "model": model, "prompt": prompt, "max_tokens": 8, "undecided": 0.5}
    (reward,) = load_functions(RewardConfig(extra=[ExtraReward(reward="judge", options=options)]))
    rows = [Row("p", "", f"{i}", 1, False, 0, Verdict(Status.WRONG, 0.0), 0) for i in range(5)]
    assert reward.values(rows) == [0.5] * 5


def test_it_is_measured_like_the_model_that_it_serves(server: tuple[str, str], tmp_path: Path) -> None:
    """The same weights by transformers and by a server: token ids and log-probs come along."""
    url, model = server
    small = ("n=4", "k=4", "max_problems=3", "max_new_tokens=16", "temperature=0")
    models = (f"base={model}", f"model={url}#{model}")
    assert probe.main([*models, "task=countdown:3", f"out={tmp_path / 'out'}", *small]) == 0
    tables = [
        read_samples(tmp_path / folder / "countdown-3.samples.parquet", SAMPLES.names).to_pylist()
        for folder in ("out", "out/base")
    ]
    assert len(tables[0]) == len(tables[1]) == 12
    same = sum(a["token_ids"] == b["token_ids"] for a, b in zip(*tables, strict=True))
    assert same >= 10  # greedy; a near tie may fall otherwise
    for ours, theirs in zip(*tables, strict=True):
        if ours["token_ids"] == theirs["token_ids"]:
            assert math.isclose(ours["logprob"], theirs["logprob"], abs_tol=0.02)
