"""The Hugging Face engine: the same log-probs as the trainer, samples that depend on their seed alone."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from rlvr.config.schema import OptimConfig, PolicyConfig
from rlvr.core.seeds import derive_seed, uniforms
from rlvr.engines import Completion, Request, Sampling, generate
from rlvr.engines.hf import HFEngine, draw
from rlvr.graders import Status, Verdict
from rlvr.learning.policy import Policy
from rlvr.models.loading import eos_ids, load_model, load_tokenizer
from rlvr.rollouts.collect import Group, Scored, to_batch
from rlvr.tasks import Problem, build_task

# Of different lengths, so that padding matters.
PROMPTS = [
    build_task(name).test[i].prompt
    for name, i in (("countdown:3", 0), ("countdown:4", 1), ("countdown:3", 2))
]


@pytest.fixture
def engine(base: Path) -> HFEngine:
    tokenizer = load_tokenizer(base)
    return HFEngine(load_model(base, "float32"), tokenizer, eos_ids(base, tokenizer), batch_size=16)


def requests(engine: HFEngine, n: int, **sampling: float) -> list[Request]:
    chosen = Sampling(**{"max_new_tokens": 12, **sampling})  # type: ignore[arg-type]
    prompts = [tuple(engine.tokenizer.encode(p)) for p in PROMPTS]
    return [
        Request(ids, chosen, derive_seed("test", p, i)) for p, ids in enumerate(prompts) for i in range(n)
    ]


def completed(engine: HFEngine, asked: list[Request]) -> list[Completion]:
    answers = dict(generate(engine, asked))
    return [answers[i] for i in range(len(asked))]


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_logprobs_equal_the_trainers(engine: HFEngine, base: Path, temperature: float) -> None:
    asked = requests(engine, 5, temperature=temperature, max_new_tokens=60)
    completions = completed(engine, asked)
    scored = [Scored(c, Verdict(Status.WRONG, 0.0), 0.0) for c in completions]
    groups = [
        Group(Problem(str(p), PROMPTS[p], None), p, asked[5 * p].prompt_ids, tuple(scored[5 * p : 5 * p + 5]))
        for p in range(3)
    ]
    batch = to_batch(groups)
    policy = Policy(
        load_model(base, "float32"),
        PolicyConfig(),
        OptimConfig(micro_batch_tokens=200),
        Accelerator(cpu=True),
        temperature,
    )
    difference = (policy.scores(batch).logprobs - batch.engine_logprobs) * batch.mask
    assert len({len(c.token_ids) for c in completions}) > 1
    assert difference.abs().max() < 5e-5  # float32, two orders of summation


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("sampling", [{"top_p": 0.95}, {"temperature": 0.0}])
def test_a_sample_is_the_same_to_the_bit_in_any_company(
    engine: HFEngine, sampling: dict[str, float], threads: int
) -> None:
    """Alone, with a few, in another order, in more or fewer slots, and added while others run."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        asked = requests(engine, 12, max_new_tokens=40, **sampling)
        together = completed(engine, asked)
        rng = random.Random(0)
        for slots, count in ((16, 1), (64, 36), (3, 11), (5, 20), (16, 2)):
            engine.batch_size = slots
            chosen = rng.sample(range(len(asked)), count)
            stream = engine.stream()
            later = chosen[count // 2 :]
            numbers = {stream.add(asked[i]): i for i in chosen[: count // 2]}
            found: dict[int, Completion] = {}
            while len(found) < count:
                if later:
                    i = later.pop()
                    numbers[stream.add(asked[i])] = i
                number, completion = next(stream)
                found[numbers[number]] = completion
            assert next(stream, None) is None
            assert all(completion == together[i] for i, completion in found.items())
    finally:
        torch.set_num_threads(before)


def test_equal_calls_are_equal_to_the_bit_and_seeds_differ(engine: HFEngine) -> None:
    asked = requests(engine, 20)
    first, second = completed(engine, asked), completed(engine, asked)
    assert first == second
    assert len({c.token_ids for c in first[:20]}) > 10


def test_greedy_is_the_argmax(engine: HFEngine) -> None:
    (request,) = requests(engine, 1, temperature=0.0)[:1]
    (completion,) = completed(engine, [request])
    ids = list(request.prompt_ids)
    for token, logprob in zip(completion.token_ids, completion.logprobs, strict=True):
        with torch.no_grad():
            expected = engine.model(input_ids=torch.tensor([ids])).logits[0, -1].log_softmax(-1)
        assert token == int(expected.argmax())
        assert logprob == pytest.approx(float(expected[token]), abs=1e-5)
        ids.append(token)


def test_new_weights_change_the_output_and_stay(engine: HFEngine, untrained: Path) -> None:
    asked = requests(engine, 4)
    before = completed(engine, asked)
    engine.load(load_model(untrained, "float32").named_parameters())
    after = completed(engine, asked)
    assert after != before
    assert completed(engine, asked) == after


def test_every_eos_id_stops(base: Path) -> None:
    tokenizer = load_tokenizer(base)
    every = HFEngine(load_model(base, "float32"), tokenizer, range(tokenizer.vocab_size), batch_size=4)
    for completion in completed(every, requests(every, 2)):
        assert len(completion.token_ids) == 1
        assert completion.finish_reason == "stop"


def test_a_completion_ends_at_its_first_eos_or_at_the_limit(engine: HFEngine) -> None:
    ends = set(engine.eos.tolist())
    for completion in completed(engine, requests(engine, 20, max_new_tokens=40)):
        assert not ends & set(completion.token_ids[:-1])
        assert (completion.token_ids[-1] in ends) == (completion.finish_reason == "stop")
        assert completion.finish_reason == "stop" or len(completion.token_ids) == 40
        assert len(completion.logprobs) == len(completion.token_ids)


def test_draws_follow_the_distribution_and_top_p_cuts_it() -> None:
    probabilities = torch.tensor([0.05, 0.5, 0.15, 0.3])
    n = 20_000
    logits = probabilities.log().expand(n, 4)
    uniform = uniforms(np.arange(n, dtype=np.uint64), 0)
    drawn, logprobs = draw(logits, Sampling(), uniform)
    shares = torch.bincount(drawn, minlength=4) / n
    torch.testing.assert_close(shares, probabilities, atol=4 * 0.5 / n**0.5, rtol=0)
    torch.testing.assert_close(logprobs, probabilities.log()[drawn])
    drawn, logprobs = draw(logits, Sampling(top_p=0.79), uniform)
    kept = torch.tensor([0.0, 0.625, 0.0, 0.375])  # 0.5 + 0.3 reach 0.79, renormalised
    shares = torch.bincount(drawn, minlength=4) / n
    torch.testing.assert_close(shares, kept, atol=4 * 0.5 / n**0.5, rtol=0)
    torch.testing.assert_close(logprobs, kept.log()[drawn])


def test_the_uniform_numbers_look_uniform_and_independent() -> None:
    seeds = np.arange(4096, dtype=np.uint64)
    table = np.array([uniforms(seeds, position) for position in range(16)])
    assert table.min() >= 0 and table.max() < 1
    counts, _ = np.histogram(table, bins=64, range=(0, 1))
    expected = table.size / 64
    assert ((counts - expected) ** 2 / expected).sum() < 120  # chi-square, 63 degrees: p = 1e-5
    assert np.abs(np.corrcoef(table) - np.eye(16)).max() < 0.08
    assert np.abs(np.corrcoef(table[0, :-1], table[0, 1:])[0, 1]) < 0.08
