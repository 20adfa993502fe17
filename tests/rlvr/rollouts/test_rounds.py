"""Rounds that are drawn together: what is kept is what one round after the other keeps, in any order."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from accelerate import Accelerator
from toys import Batched, toy_algorithm

from rlvr.algorithms.bundle import Draws
from rlvr.config.schema import RewardConfig, RolloutConfig
from rlvr.core.seeds import derive_seed
from rlvr.engines import Completion, Request, Sampling
from rlvr.graders import Status, StringVerifier
from rlvr.rollouts.collect import Collected, Rollouts, to_batch
from rlvr.rollouts.rewards import RewardMix
from rlvr.rollouts.rounds import Kept
from rlvr.tasks import Problem, Task
from rlvr.tasks.streams import ProblemStream

PROBLEMS = [Problem(f"p{i}", "x" * (1 + i % 3), i) for i in range(50)]
CONFIG = RolloutConfig(prompts=16, group_size=4, max_new_tokens=9)
SEED = 3


def answer(request: Request, share: float) -> Completion:
    """What a request gives: a function of it alone."""
    text = "right" if request.seed % 1000 < 1000 * share else "wrong"
    length = 1 + request.seed % 9
    return Completion((request.seed % 50,) * length, (-1.0,) * length, text, "stop")


class Shuffled(Batched):
    """Completes in an order of its own; counts how often it was waited for."""

    name, dtype = "fake", "float32"

    def __init__(self, share: float, order: int):
        self.share, self.chance = share, random.Random(order)
        self.streams: list[int] = []

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Completion]]:
        self.streams.append(len(requests))
        for i in self.chance.sample(range(len(requests)), len(requests)):
            yield i, answer(requests[i], self.share)


class Letters:
    def encode(self, text: str) -> list[int]:
        return [ord(c) for c in text]


def verify(text: str, reference: object) -> tuple[Status, str]:
    return (Status.CORRECT if text == "right" else Status.WRONG), text


TASK = Task("toy", PROBLEMS, [], StringVerifier(verify, "toy-1"), "plain")


def rollouts(engine: Shuffled, draws: Draws) -> Rollouts:
    mix = RewardMix(RewardConfig(), [], 9, Path("unused"))
    return Rollouts(engine, TASK, Letters(), CONFIG, mix, draws, Accelerator(cpu=True), seed=SEED)


def one_after_the_other(stream: ProblemStream, share: float, draws: Draws) -> tuple[list[object], int]:
    """Positions, texts and greedy texts of the groups of a step, by rounds; and how many rounds."""
    used: list[object] = []
    rounds = 0
    while len(used) < CONFIG.prompts and rounds < draws.max_draws:
        rounds += 1
        for position, problem in stream.take(CONFIG.prompts):
            prompt = tuple(Letters().encode(problem.prompt))
            sampling = Sampling(CONFIG.temperature, CONFIG.top_p, CONFIG.max_new_tokens)
            texts = [
                answer(
                    Request(prompt, sampling, derive_seed(SEED, "rollout", position, problem.id, i)), share
                )
                for i in range(CONFIG.group_size)
            ]
            right = [completion.text == "right" for completion in texts]
            if draws.keep is None or draws.keep(right):
                greedy = replace(sampling, temperature=0.0, top_p=1.0)
                first = Request(prompt, greedy, derive_seed(SEED, "rollout", position, problem.id, 0))
                used.append((position, texts, answer(first, share) if draws.greedy else None))
    return used[: CONFIG.prompts], rounds


def kept(collected: Collected) -> list[object]:
    return [
        (g.position, [s.completion for s in g.scored], g.greedy.completion if g.greedy else None)
        for g in collected.used
    ]


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5])
@pytest.mark.parametrize("greedy", [False, True])
def test_what_is_kept_is_what_rounds_one_after_the_other_keep(share: float, greedy: bool) -> None:
    draws = replace(toy_algorithm("dapo", max_draws=40).draws, greedy=greedy)
    engines = [Shuffled(share, order) for order in (0, 1)]
    streams = [ProblemStream(PROBLEMS, seed=0) for _ in range(3)]
    drawing = [rollouts(engine, draws) for engine in engines]
    rounds = unused = 0
    for _ in range(5):
        collected = [one.collect(stream) for one, stream in zip(drawing, streams[:2], strict=True)]
        expected, draws_needed = one_after_the_other(streams[2], share, draws)
        assert [kept(one) for one in collected] == [expected] * 2
        assert [(one.draws, len(one.sampled)) for one in collected] == [(draws_needed, 16 * draws_needed)] * 2
        assert len({stream.position for stream in streams}) == 1
        assert collected[0].samples == collected[1].samples and collected[0].tokens == collected[1].tokens
        batches = [vars(to_batch(one.used)) for one in collected]
        for name, value in batches[0].items():
            assert value is batches[1][name] or value.equal(batches[1][name]) or value.isnan().any()
        rounds += draws_needed
        unused += collected[0].unused
    each = 16 * (4 + greedy)
    assert sum(engines[0].streams) == rounds * each + unused and unused <= 0.1 * rounds * each
    assert len(engines[0].streams) < rounds or share == 0.5  # where a round keeps enough none is drawn ahead


def test_what_a_step_keeps_all_of_is_drawn_in_one_stream() -> None:
    engine = Shuffled(0.5, 0)
    drawing = rollouts(engine, toy_algorithm("remax").draws)
    stream = ProblemStream(PROBLEMS, seed=0)
    assert [drawing.collect(stream).unused for _ in range(3)] == [0] * 3
    assert engine.streams == [16 * 5] * 3  # the greedy completions with the others


@pytest.mark.parametrize(
    ("known", "wanted", "rounds"),
    [
        (Kept(), 64, 1),  # nothing is known
        (Kept(64, 64), 64, 1),  # one keeps enough
        (Kept(32, 64), 64, 2),  # 32 + 2 x 4 are too few, 64 + 2 x 5.7 are not
        (Kept(16, 64), 64, 4),  # 3 x 16.5 + 2 x 6.1 are too few, 4 x 16.5 are not
        (Kept(0, 64), 64, 10),  # as many as are allowed
        (Kept(32, 64), 8, 1),
    ],
)
def test_rounds_that_luck_could_spare_are_not_drawn_ahead(known: Kept, wanted: int, rounds: int) -> None:
    assert known.rounds(wanted, 64, 10) == rounds


def test_a_round_that_was_drawn_ahead_is_rarely_spared() -> None:
    """By simulation, at every rate of keeping, where this rate is known: at most one step in 25."""
    chance = random.Random(0)
    for rate in (0.1, 0.25, 0.4, 0.6):
        known = Kept(round(rate * 10**6), 10**6)
        ahead, spared = known.rounds(64, 64, 40), 0
        for _ in range(400):
            before = sum(chance.random() < rate for _ in range(64 * (ahead - 1)))
            spared += before >= 64
        assert spared <= 16
