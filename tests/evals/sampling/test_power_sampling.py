"""Power sampling against the exact distribution of every completion there is, and as a command."""

from __future__ import annotations

import itertools
from collections import Counter
from math import exp, log
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from transformers import Qwen2Config, Qwen2ForCausalLM

from evals.commands.controls import power as command
from evals.records.files import read_counts
from evals.sampling.likelihood import Response, token_logprobs
from evals.sampling.power_sampling import Draft, PowerEngine, log_ratio
from rlvr.engines import Completion, Request, Sampling, generate
from rlvr.engines.hf import HFEngine

TOKENS, END, LONGEST, PROMPT = 4, 0, 3, (1, 3, 2)


@pytest.fixture(scope="module")
def model() -> nn.Module:
    """Over four tokens, with opinions."""
    torch.manual_seed(33)
    config = Qwen2Config(
        vocab_size=TOKENS, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=1,
        num_key_value_heads=1, tie_word_embeddings=False,
    )  # fmt: skip
    made = Qwen2ForCausalLM(config).eval()
    with torch.no_grad():
        made.lm_head.weight.mul_(20)
        for parameter in made.model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return made


class Numerals:
    """Writes a token as its number."""

    def __len__(self) -> int:
        return TOKENS

    def decode(self, ids: list[int], **_: object) -> str:
        return " ".join(map(str, ids))

    def batch_decode(self, rows: list[list[int]], **_: object) -> list[str]:
        return [self.decode(row) for row in rows]


def engine_of(model: nn.Module, **options: int) -> PowerEngine:
    return PowerEngine(HFEngine(model, Numerals(), [END], batch_size=4000), **options)


def all_completions() -> list[tuple[int, ...]]:
    """Those that end, and those that are cut."""
    words = [tuple(w) for n in range(LONGEST + 1) for w in itertools.product(range(1, TOKENS), repeat=n)]
    return [(*w, END) for w in words if len(w) < LONGEST] + [w for w in words if len(w) == LONGEST]


def drawn(
    engine: PowerEngine, count: int, temperature: float, stop: tuple[str, ...] = ()
) -> list[Completion]:
    sampling = Sampling(temperature, 1.0, LONGEST, stop)
    done = dict(generate(engine, [Request(PROMPT, sampling, seed) for seed in range(count)]))
    return [done[i] for i in range(count)]


def distance(found: Counter[tuple[int, ...]], expected: dict[tuple[int, ...], float]) -> float:
    """Total variation."""
    total = sum(found.values())
    return sum(abs(found[ids] / total - p) for ids, p in expected.items()) / 2


@pytest.mark.parametrize("block", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_completions_come_from_the_power_of_the_models_own_distribution(model: nn.Module, block: int) -> None:
    known = all_completions()
    own = token_logprobs(model, [Response("", PROMPT, ids) for ids in known], 1000)
    p = np.array([exp(values.sum()) for values in own])
    assert p.sum() == pytest.approx(1)
    power = dict(zip(known, p**2 / (p**2).sum(), strict=True))
    engine = engine_of(model, block=block, moves=30)
    completions = drawn(engine, 1000, temperature=0.5)
    found = Counter(c.token_ids for c in completions)
    assert found.keys() <= power.keys()
    assert distance(found, power) < 0.07
    # Without moves each token is sharpened by itself, which is another distribution.
    alone = engine_of(model, block=LONGEST, moves=0)
    assert distance(Counter(c.token_ids for c in drawn(alone, 400, 0.5)), power) > 0.3
    ends = {c.token_ids: c.finish_reason for c in completions}
    assert all((ids[-1] == END) == (reason == "stop") for ids, reason in ends.items())


def test_a_stop_string_over_two_blocks_ends_a_completion(model: nn.Module) -> None:
    """The completions that there are then, and p^2 of them."""
    known = {ids[: place + 2] if (place := " ".join(map(str, ids)).find("1 2") // 2) >= 0 else ids
             for ids in all_completions()}  # fmt: skip
    listed = sorted(known)
    own = token_logprobs(model, [Response("", PROMPT, ids) for ids in listed], 1000)
    p = np.array([exp(values.sum()) for values in own])
    assert p.sum() == pytest.approx(1) and any(ids[-2:] == (1, 2) for ids in listed)
    power = dict(zip(listed, p**2 / (p**2).sum(), strict=True))
    completions = drawn(engine_of(model, block=2, moves=20), 600, 0.5, ("1 2",))
    assert distance(Counter(c.token_ids for c in completions), power) < 0.08
    for completion in completions:
        ends = completion.token_ids[-1] == END or completion.token_ids[-2:] == (1, 2)
        assert (completion.finish_reason == "stop") == ends
        assert len(completion.logprobs) == len(completion.token_ids)


def test_log_probs_are_the_models_own(model: nn.Module) -> None:
    for completion in drawn(engine_of(model, block=2, moves=2), 20, 0.5):
        ids = torch.tensor([[*PROMPT, *completion.token_ids]])
        logits = model(ids).logits[0].log_softmax(-1)
        expected = [logits[len(PROMPT) - 1 + t, token].item() for t, token in enumerate(completion.token_ids)]
        assert completion.logprobs == pytest.approx(expected, abs=1e-5)


def test_equal_requests_give_equal_completions(model: nn.Module) -> None:
    engine = engine_of(model, block=1, moves=3)
    assert drawn(engine, 12, 0.5) == drawn(engine, 12, 0.5)
    assert len({c.token_ids for c in drawn(engine, 40, 0.5)}) > 1


def test_the_ratio_by_hand() -> None:
    """p(x') / p(x) = .4 / .2, squared; q(x) / q(x') = .3 / .6; one token in three against one in two."""
    old = Draft((5, 6, 7), (log(0.9), log(0.3), 0.0), (log(0.8), log(0.2), 0.0))
    new = Draft((5, 8), (log(0.9), log(0.6)), (log(0.8), log(0.4)))
    assert log_ratio(old, new, 1, temperature=0.5) == pytest.approx(log(4 * 0.5 * 3 / 2))
    assert log_ratio(new, old, 1, temperature=0.5) == pytest.approx(-log(4 * 0.5 * 3 / 2))


@pytest.mark.parametrize("sampling", [Sampling(0.0, 1.0, 2), Sampling(0.5, 0.9, 2)])
def test_what_has_no_power_is_refused(model: nn.Module, sampling: Sampling) -> None:
    with pytest.raises(ValueError, match="needs a temperature above 0, and top_p=1"):
        list(generate(engine_of(model, block=1, moves=1), [Request(PROMPT, sampling, 0)]))


def test_the_command_measures_and_goes_on_from_the_store(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = [f"model={base}", "task=countdown:3", f"out={tmp_path}/out", "max_problems=3", "moves=1",
             "max_new_tokens=32"]  # fmt: skip
    assert command.main([*asked, "n=2"]) == 0
    measured = read_counts(tmp_path / "out" / "countdown-3.parquet")
    assert measured.origin is not None and measured.origin.engine == "power-hf-block2-moves1"
    assert measured.conditions is not None and measured.conditions.temperature == 0.25
    assert measured.counts.n.tolist() == [2, 2, 2]
    assert "0 of 6 samples were stored" in capsys.readouterr().out
    assert command.main([*asked, "n=4"]) == 0
    assert "6 of 12 samples were stored" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["temperature=0"], "temperature"),
        (["top_p=0.9"], "unknown key"),
        (["moves=-1"], "moves"),
        (["task=countdwn"], "did you mean countdown?"),
    ],
)
def test_wrong_arguments(arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    status = command.main(["model=embedded:countdown", "task=countdown:3", "out=out", *arguments])
    assert status == 2 and complaint in capsys.readouterr().err
