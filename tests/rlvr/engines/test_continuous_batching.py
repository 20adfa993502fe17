"""The HF engine's slots, cache, attention and draws, held against computations without any of them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import cache

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from toys import VOCABULARY, toy_model
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from rlvr.core.seeds import uniforms
from rlvr.engines import Completion, Request, Sampling, generate
from rlvr.engines.attention import grouped_attention
from rlvr.engines.bands import ROWS, UNIT, bands, moves, widths
from rlvr.engines.draw import draw
from rlvr.engines.hf import HFEngine

EOS = (3, 17, 30)


class Words:
    """A tokenizer for what the engine asks of one."""

    def decode(self, ids: Sequence[int], **_: object) -> str:
        return " ".join(f"w{i}" for i in ids)


def engine(batch_size: int, eos: Sequence[int] = EOS) -> HFEngine:
    return HFEngine(toy_model(dtype=torch.float32), Words(), eos, batch_size)


def requests(prompts: int, samples: int, seed: int = 0, **sampling: float) -> list[Request]:
    """Prompts of 1 to 12 tokens, each asked for so often in a row, with limits of 1 to 30 tokens."""
    rng = random.Random(seed)
    asked = []
    for _ in range(prompts):
        prompt = tuple(rng.randrange(VOCABULARY) for _ in range(rng.randint(1, 12)))
        for _ in range(samples):
            chosen = Sampling(**{"max_new_tokens": rng.randint(1, 30), **sampling})  # type: ignore[arg-type]
            asked.append(Request(prompt, chosen, rng.getrandbits(63)))
    return asked


@cache
def alone() -> nn.Module:
    return toy_model(dtype=torch.float32)


@cache
def by_hand(request: Request) -> Completion:
    """One request alone, every token by a forward pass over all tokens before it."""
    model = alone()
    ids, logprobs = list(request.prompt_ids), []
    for position in range(request.sampling.max_new_tokens):
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([ids]), use_cache=False).logits[:, -1]
        uniform = uniforms(np.array([request.seed], dtype=np.uint64), position)
        drawn, logprob = draw(logits, request.sampling, uniform)
        ids.append(int(drawn))
        logprobs.append(float(logprob))
        if ids[-1] in EOS:
            break
    drawn_ids = tuple(ids[len(request.prompt_ids) :])
    reason = "stop" if ids[-1] in EOS else "length"
    return Completion(drawn_ids, tuple(logprobs), Words().decode(drawn_ids), reason)  # type: ignore[arg-type]


@pytest.mark.parametrize("batch_size", [1, 5, 64])
@pytest.mark.parametrize("sampling", [{}, {"temperature": 0.6, "top_p": 0.9}, {"temperature": 0.0}])
def test_every_completion_is_the_one_drawn_by_hand(batch_size: int, sampling: dict[str, float]) -> None:
    asked = requests(prompts=9, samples=4, **sampling)
    found = dict(generate(engine(batch_size), asked))
    assert sorted(found) == list(range(len(asked)))
    for index, request in enumerate(asked):
        expected = by_hand(request)
        assert found[index].token_ids == expected.token_ids
        assert (found[index].text, found[index].finish_reason) == (expected.text, expected.finish_reason)
        np.testing.assert_allclose(found[index].logprobs, expected.logprobs, atol=1e-5)
    assert len({len(c.token_ids) for c in found.values()}) > 5


def test_nothing_is_computed_but_prompts_once_and_each_token_once() -> None:
    own, computed = engine(batch_size=5), []
    hook = own.model.get_input_embeddings().register_forward_hook(lambda _, ids, __: computed.append(ids[0]))
    asked = requests(prompts=6, samples=5)
    found = dict(generate(own, asked))
    hook.remove()
    prompts = {r.prompt_ids for r in asked}
    prefilled = [ids for ids in computed if ids.shape[1] > 1]
    assert sum(len(ids) for ids in prefilled) == len(prompts) and {ids.shape[1] for ids in prefilled} == {
        UNIT
    }
    steps = [ids for ids in computed if ids.shape[1] == 1]
    assert {len(ids) for ids in steps} == {ROWS}  # five slots, and what is added for their company's sake
    assert sum(len(c.token_ids) for c in found.values()) <= 5 * len(steps)


def test_little_is_attended_to_that_is_masked() -> None:
    """Log-normal lengths in one stream: the columns that are read over those that are needed."""
    own = engine(64, eos=())
    own.model.config.max_position_embeddings = 1024
    rng = np.random.default_rng(0)
    lengths = np.clip(rng.lognormal(3.5, 0.8, 300), 2, 300).astype(int).tolist()
    asked = [Request((5,) * 20, Sampling(max_new_tokens=n), seed) for seed, n in enumerate(lengths)]
    read, needed = [], []
    stream = own.stream()
    forward = stream._forward

    def counted(slots: NDArray[np.void]) -> Tensor:
        width = np.zeros(-(-len(slots) // ROWS) * ROWS, np.int64)
        width[: len(slots)] = slots["cached"] + 1
        read.append(sum((last - first) * columns for first, last, columns in bands(widths(width))))
        needed.append(int(width.sum()))
        return forward(slots)

    stream._forward = counted  # type: ignore[method-assign]
    for request in asked:
        stream.add(request)
    assert len([*stream]) == len(asked)
    assert sum(read) <= 1.2 * sum(needed)


@pytest.mark.parametrize("seed", range(20))
def test_moves_put_the_kept_rows_first_by_width(seed: int) -> None:
    rng = np.random.default_rng(seed)
    width = widths(rng.integers(1, 400, 30))
    kept = rng.random(30) < 0.7
    rows = np.arange(30)
    sources, targets = moves(width, kept)
    rows[targets] = rows[sources]
    first = rows[: kept.sum()]
    assert sorted(first.tolist()) == kept.nonzero()[0].tolist()
    assert (np.diff(width[first]) <= 0).all()
    found = bands(width[first])
    assert [found[0][0], *(last for _, last, _ in found)] == [first for first, _, _ in found] + [kept.sum()]
    assert all((columns == width[first[start:last]]).all() for start, last, columns in found)


def test_widths_hold_their_lengths_and_little_more() -> None:
    lengths = np.arange(1, 5000)
    width = widths(lengths)
    assert (width >= lengths).all() and (width % UNIT == 0).all() and (np.diff(width) >= 0).all()
    assert ((width - lengths)[lengths > 128] <= lengths[lengths > 128] / 4).all()
    assert (width / lengths)[lengths > 64].mean() < 1.1


@pytest.mark.parametrize("batch_size", [7, 64])
def test_equal_calls_are_equal_to_the_bit(batch_size: int) -> None:
    own, asked = engine(batch_size), requests(prompts=8, samples=6)
    assert list(generate(own, asked)) == list(generate(own, asked))


def test_completions_come_as_they_finish() -> None:
    """One long request does not hold up those that the other slot completes."""
    limits = [30, 2, 2, 2, 2]
    asked = [Request((5, 6), Sampling(max_new_tokens=n), seed) for seed, n in enumerate(limits)]
    order = [index for index, _ in generate(engine(2, eos=()), asked)]
    assert order == [1, 2, 3, 4, 0]


def test_no_requests_are_no_completions() -> None:
    assert list(generate(engine(4), [])) == []


def test_each_request_has_its_own_temperature() -> None:
    mixed = [*requests(3, 3, temperature=0.5), *requests(3, 3, 1, temperature=0.0), *requests(3, 3, 2)]
    random.Random(0).shuffle(mixed)
    found = dict(generate(engine(4), mixed))
    for index, request in enumerate(mixed):
        assert [found[index]] == [c for _, c in generate(engine(4), [request])]


def test_models_that_forget_are_refused() -> None:
    own = engine(4)
    own.model.config.sliding_window = 20
    fits = [Request((5,) * 10, Sampling(max_new_tokens=10), 0)]
    assert len(list(generate(own, fits))) == 1
    with pytest.raises(ValueError, match=r"21 tokens.*a window of 20 tokens"):
        list(generate(own, [Request((5,) * 11, Sampling(max_new_tokens=10), 0)]))
    own.model.config.layer_types = ["full_attention", "linear_attention"]
    with pytest.raises(ValueError, match="linear_attention"):
        list(generate(own, fits))


@pytest.mark.parametrize(("heads", "shared"), [(4, 4), (6, 3), (8, 1)])
@pytest.mark.parametrize("length", [1, 5])
def test_grouped_attention_is_attention(heads: int, shared: int, length: int) -> None:
    generator = torch.Generator().manual_seed(heads + length)
    query = torch.randn(3, heads, length, 8, generator=generator)
    key, value = torch.randn(2, 3, shared, 9, 8, generator=generator)
    hidden = torch.rand(3, 1, length, 9, generator=generator) < 0.4
    hidden[..., 0] = False
    mask = torch.zeros(hidden.shape).masked_fill(hidden, torch.finfo(torch.float32).min)
    module = nn.Module()
    module.num_key_value_groups = heads // shared
    ours, _ = grouped_attention(module, query, key, value, mask, scaling=0.3)
    theirs, _ = sdpa_attention_forward(module, query, key, value, mask, scaling=0.3)
    torch.testing.assert_close(ours, theirs)


def large_logits(rows: int, vocabulary: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(rows, vocabulary, generator=generator) * 3


@pytest.mark.parametrize("vocabulary", [1, 511, 512, 513, 5000])
def test_draws_invert_the_distribution_function_of_any_vocabulary(vocabulary: int) -> None:
    logits = large_logits(300, vocabulary)
    uniform = uniforms(np.arange(300, dtype=np.uint64), 0)
    uniform[:2] = 0.0, 1 - 2.0**-52
    drawn, logprobs = draw(logits, Sampling(), uniform)
    upto = logits.double().softmax(-1).cumsum(-1)
    before = upto - logits.double().softmax(-1)
    share = torch.from_numpy(uniform)[:, None] * upto[:, -1:]
    rows = drawn[:, None]
    assert (before.gather(1, rows) <= share + 1e-6).all() and (share <= upto.gather(1, rows) + 1e-6).all()
    torch.testing.assert_close(logprobs, logits.log_softmax(-1).gather(1, rows)[:, 0], atol=1e-5, rtol=0)


def test_impossible_tokens_are_never_drawn() -> None:
    """At either end of the unit interval, in any block, next to the padding of the last one."""
    logits = torch.full((2, 1100), -torch.inf)
    logits[:, [700, 1050]] = torch.tensor([0.0, 2.0])
    drawn, logprobs = draw(logits, Sampling(), np.array([0.0, 1 - 2.0**-52]))
    assert drawn.tolist() == [700, 1050]
    torch.testing.assert_close(logprobs, torch.tensor([0.0, 2.0]).log_softmax(-1))


@pytest.mark.parametrize("top_p", [0.5, 0.95, 0.9999])
def test_top_p_keeps_the_smallest_set_of_any_vocabulary(top_p: float) -> None:
    """The last row is nearly uniform, so that its set is most of the vocabulary."""
    logits = large_logits(6, 5000)
    logits[-1] *= 0.001
    ordered, order = logits.sort(-1, descending=True)
    probabilities = ordered.softmax(-1)
    inside = probabilities.cumsum(-1) - probabilities < top_p
    for place in (0.0, 0.3, 0.999999):
        drawn, logprobs = draw(logits, Sampling(top_p=top_p), np.full(6, place))
        for row in range(6):
            kept = order[row, inside[row]]
            assert drawn[row] in kept
            expected = logits[row, drawn[row]] - logits[row, kept].logsumexp(0)
            assert float(logprobs[row]) == pytest.approx(float(expected), abs=2e-5)


def test_top_p_keeps_equals_of_the_last_token() -> None:
    logits = torch.tensor([[0.4, 0.2, 0.2, 0.2]]).log().expand(4, 4)
    drawn, logprobs = draw(logits, Sampling(top_p=0.5), np.array([0.1, 0.5, 0.7, 0.9]))
    assert drawn.tolist() == [0, 1, 2, 3]
    torch.testing.assert_close(logprobs, torch.tensor([0.4, 0.2, 0.2, 0.2]).log())
