"""Output entropy against the exact one of whole distributions; the search for a temperature."""

from __future__ import annotations

import itertools
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from toys import VOCABULARY, toy_model

from evals.sampling.temperature import BracketError, match_temperature, output_entropy
from rlvr.engines import Request, Sampling, generate
from rlvr.engines.hf import HFEngine

PROMPT = (3, 1, 4)
EOS = 7


def exact_entropy(temperature: float, top_p: float, limit: int) -> float:
    """E[sum of H_t] / E[T] over every completion of up to `limit` tokens, each with its probability."""
    model, total, length = toy_model(dtype=torch.float32), 0.0, 0.0
    ahead = {(): 1.0}  # unfinished completion -> probability
    for _ in range(limit):
        rows = torch.tensor([[*PROMPT, *ids] for ids in ahead])
        with torch.no_grad():
            p = (model(input_ids=rows).logits[:, -1].double() / temperature).softmax(-1)
        top, order = p.sort(-1, descending=True)
        kept = torch.where(top.cumsum(-1) - top < top_p, top, 0.0)
        kept = torch.zeros_like(p).scatter(-1, order, kept)
        p = kept / kept.sum(-1, keepdim=True)
        reached = torch.tensor(list(ahead.values()), dtype=torch.float64)
        total += float(reached @ torch.special.entr(p).sum(-1))
        length += float(reached.sum())
        joint = (reached[:, None] * p).tolist()
        ahead = {
            (*ids, token): joint[row][token]
            for (row, ids), token in itertools.product(enumerate(ahead), range(VOCABULARY))
            if token != EOS and joint[row][token] > 0
        }
    return total / length


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.3, 0.9)])
def test_output_entropy_is_that_of_whole_distributions(temperature: float, top_p: float) -> None:
    """Within 4 standard errors of a ratio of means, over 4000 completions of up to 3 tokens."""
    engine = HFEngine(toy_model(dtype=torch.float32), SimpleNamespace(decode=lambda ids, **_: ""), [EOS])
    requests = [Request(PROMPT, Sampling(temperature, top_p, 3), seed) for seed in range(4000)]
    done = [completion for _, completion in generate(engine, requests)]
    sums, lengths = np.array([sum(c.logprobs) for c in done]), np.array([len(c.token_ids) for c in done])
    found, exact = output_entropy(sums, lengths), exact_entropy(temperature, top_p, 3)
    error = np.std(sums + found * lengths) / lengths.mean() / math.sqrt(len(done))
    assert lengths.min() < 3 == lengths.max()
    assert abs(found - exact) < 4 * error < 0.1 * exact


def test_output_entropy_by_hand() -> None:
    """Two fair coins each in two completions, and one coin in a third: log 2 a token."""
    assert output_entropy([2 * math.log(0.5), 2 * math.log(0.5), math.log(0.5)], [2, 2, 1]) == math.log(2)


@pytest.mark.parametrize(("sums", "lengths"), [([], []), ([0.0], [0]), ([-1.0], [1, 1])])
def test_output_entropy_needs_completions(sums: list[float], lengths: list[int]) -> None:
    with pytest.raises(ValueError, match="at least one completion"):
        output_entropy(sums, lengths)


def softmax_entropy(temperature: float) -> float:
    p = torch.tensor([2.0, 1.0, 0.5, -1.0], dtype=torch.float64).div(temperature).softmax(-1)
    return float(torch.special.entr(p).sum())


@pytest.mark.parametrize("temperature", [0.7, 1.0, 1.234, 1.9])
def test_the_temperature_is_found_again(temperature: float) -> None:
    match = match_temperature(softmax_entropy, softmax_entropy(temperature), 0.6, 2.0, 1e-9, 1e-9)
    assert match.temperature == pytest.approx(temperature, abs=1e-7)
    assert match.entropy == softmax_entropy(match.temperature)
    assert match.tried[:2] == ((0.6, softmax_entropy(0.6)), (2.0, softmax_entropy(2.0)))
    assert len(match.tried) < 15


def test_the_search_ends_when_it_is_close_enough() -> None:
    target = softmax_entropy(1.2)
    loose, close = (match_temperature(softmax_entropy, target, 0.6, 2.0, t) for t in (0.05, 1e-4))
    assert 1e-4 < abs(loose.entropy - target) <= 0.05 and abs(close.entropy - target) <= 1e-4
    assert len(loose.tried) < len(close.tried)
    at_the_end = match_temperature(softmax_entropy, softmax_entropy(0.6), 0.6, 2.0, tolerance=1e-6)
    assert at_the_end.temperature == 0.6


def test_noise_that_the_search_cannot_resolve_does_not_keep_it_going() -> None:
    """An estimate jumps over the target between neighbouring temperatures, and never meets it."""

    def stepped(temperature: float) -> float:
        return 0.2 if temperature < 1.25 else 0.4

    match = match_temperature(stepped, 0.3, 0.6, 2.0, tolerance=1e-3)
    assert match.temperature == pytest.approx(1.25, abs=2e-3)
    assert len({t for t, _ in match.tried}) == len(match.tried)


@pytest.mark.parametrize(("low", "high"), [(0.6, 0.9), (1.3, 2.0)])
def test_a_bracket_without_the_target_is_refused(low: float, high: float) -> None:
    with pytest.raises(BracketError, match=rf"at temperature {low:g} .*at {high:g}; .*give another bracket"):
        match_temperature(softmax_entropy, softmax_entropy(1.0), low, high, 1e-6)
