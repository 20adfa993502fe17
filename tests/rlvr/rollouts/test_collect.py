"""Collecting rollouts: seeds, greedy completions, dynamic sampling with its bound, tensors, rewards."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from toys import Batched, toy_algorithm

from rlvr.algorithms.batch import ReadyBatch
from rlvr.algorithms.bundle import Draws
from rlvr.config.schema import ExtraReward, RewardConfig, RolloutConfig
from rlvr.core.run_dir import read_jsonl
from rlvr.engines import Completion, Request
from rlvr.graders import Mark, Status, StringVerifier, Verdict
from rlvr.graders.soundness import StringMarker
from rlvr.models.tiny_base import byte_tokenizer
from rlvr.rollouts.collect import DrawsError, Rollouts, to_batch
from rlvr.rollouts.metrics import rollout_metrics
from rlvr.rollouts.reward_functions import RewardFunction, Row
from rlvr.rollouts.rewards import RewardError, RewardMix
from rlvr.tasks import Problem, Share, Stage, Task, TaskError
from rlvr.tasks.streams import ProblemStream, problem_stream

PROBLEMS = [Problem(f"p{i}", "x" * (1 + i % 3), i) for i in range(7)]


class Letters:
    def encode(self, text: str) -> list[int]:
        return [ord(c) for c in text]


class Fake(Batched):
    """Answers 'right' to a share of requests that depends on the seed; greedy ones say 'greedy'."""

    name, dtype = "fake", "float32"

    def __init__(self, share: float):
        self.share = share
        self.asked: list[Request] = []

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Completion]]:
        self.asked += requests
        for i, r in reversed(list(enumerate(requests))):
            text = "right" if r.seed % 1000 < 1000 * self.share else "wrong"
            text = "greedy" if r.sampling.temperature == 0 else text
            length = length_of(r)
            yield i, Completion((7,) * length, (-1.0,) * length, text, "length" if length == 5 else "stop")


def length_of(request: Request) -> int:
    """1 to 5 tokens."""
    return 1 + request.seed % 5


def verify(text: str, reference: object) -> tuple[Status, str]:
    return (Status.CORRECT if text in ("right", "greedy") else Status.WRONG), text


TASK = Task("toy", PROBLEMS, [], StringVerifier(verify, "toy-1"), "plain")


def rollouts(engine: Fake, draws: Draws, **config: float) -> Rollouts:
    settings = RolloutConfig(**{"prompts": 4, "group_size": 4, "max_new_tokens": 5, **config})
    rewards = RewardMix(RewardConfig(), [], 5, Path("unused"))
    return Rollouts(engine, TASK, Letters(), settings, rewards, draws, Accelerator(cpu=True), seed=3)


def test_every_sample_has_its_own_seed_even_when_problems_come_again() -> None:
    engine, stream = Fake(0.5), ProblemStream(PROBLEMS, seed=0)
    collecting = rollouts(engine, Draws())
    first, second = collecting.collect(stream), collecting.collect(stream)
    assert stream.position == 8
    assert len({r.seed for r in engine.asked}) == len(engine.asked) == 32
    assert [g.position for g in first.used + second.used] == list(range(8))
    assert (first.samples, first.draws) == (16, 1)


def test_the_stream_passes_over_every_problem_once_an_epoch_in_a_seeded_order() -> None:
    taken = [p.id for _, p in ProblemStream(PROBLEMS, seed=1).take(14)]
    assert sorted(taken[:7]) == sorted(taken[7:]) == [p.id for p in PROBLEMS]
    assert taken[:7] != taken[7:]
    again = ProblemStream(PROBLEMS, seed=1)
    again.restore({"position": 5})
    assert [p.id for _, p in again.take(9)] == taken[5:]
    assert [p.id for _, p in ProblemStream(PROBLEMS, seed=2).take(14)] != taken


@pytest.mark.parametrize(("configured", "of_task", "asked"), [
    (None, None, ()), (None, ("a", "b"), ("a", "b")), ((), ("a",), ()), (("c",), ("a",), ("c",)),
])  # fmt: skip
def test_completions_end_at_the_strings_of_the_run_or_the_task(
    configured: tuple[str, ...] | None, of_task: tuple[str, ...] | None, asked: tuple[str, ...]
) -> None:
    engine = Fake(0.5)
    collecting = rollouts(engine, toy_algorithm("remax").draws, stop=configured)  # type: ignore[arg-type]
    collecting.task = replace(TASK, stop=of_task)
    collecting.collect(ProblemStream(PROBLEMS, seed=0))
    assert {r.sampling.stop for r in engine.asked} == {asked}


def test_each_task_of_a_mixture_brings_its_own_strings() -> None:
    parts = [replace(TASK, name=name, stop=(name,)) for name in ("one", "two")]
    mixture = Task("mixture", [], [], TASK.verifier, stages=(Stage(None, tuple(Share(p, 1) for p in parts)),))
    asked = {p.reference["task"]: mixture.ends_of(p) for _, p in problem_stream(mixture, 0).take(8)}
    assert asked == {"one": ("one",), "two": ("two",)}


def test_greedy_completions_are_drawn_and_counted() -> None:
    engine = Fake(0.5)
    collected = rollouts(engine, toy_algorithm("remax").draws).collect(ProblemStream(PROBLEMS, 0))
    assert (collected.samples, collected.tokens) == (20, sum(map(length_of, engine.asked)))
    assert [r.sampling.temperature for r in engine.asked].count(0) == 4
    batch = to_batch(collected.used)
    torch.testing.assert_close(batch.greedy_rewards, torch.ones(16))


def test_dynamic_sampling_refills_and_drops_what_is_too_much() -> None:
    engine, stream = Fake(0.2), ProblemStream(PROBLEMS, seed=0)
    collected = rollouts(engine, toy_algorithm("dapo").draws).collect(stream)
    assert collected.draws > 1
    assert len(collected.used) == 4
    assert len(collected.sampled) == 4 * collected.draws == stream.position
    assert collected.samples == 16 * collected.draws + collected.unused == len(engine.asked)
    assert collected.tokens == sum(map(length_of, engine.asked))
    for group in collected.used:
        assert 0 < sum(s.verdict.correct for s in group.scored) < 4
    assert rollout_metrics(collected)["rollout/used_share"] == 1 / collected.draws


def test_the_bound_stops_with_an_explanation_or_trains_on_what_there_is() -> None:
    stream = ProblemStream(PROBLEMS, seed=0)
    with pytest.raises(DrawsError, match=r"after 3 draws of 4 problems .* algorithm\.max_draws"):
        rollouts(Fake(0.0), toy_algorithm("dapo", max_draws=3, at_bound="train").draws).collect(stream)
    with pytest.raises(DrawsError, match="of the 4 groups"):
        rollouts(Fake(0.03), toy_algorithm("dapo", max_draws=2).draws).collect(stream)
    train = toy_algorithm("dapo", max_draws=2, at_bound="train").draws
    collected = rollouts(Fake(0.06), train, prompts=8).collect(stream)
    assert 0 < len(collected.used) < 8
    with pytest.raises(TaskError, match="no training problems"):
        ProblemStream([], 0)


def test_an_engine_that_loses_a_completion_is_an_error() -> None:
    class Losing(Fake):
        def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Completion]]:
            yield from list(super().generate(requests))[1:]

    with pytest.raises(RuntimeError, match="returned 15 of 16"):
        rollouts(Losing(0.5), Draws()).collect(ProblemStream(PROBLEMS, 0))


def test_tensors_stand_where_the_batch_says() -> None:
    collected = rollouts(Fake(0.5), Draws()).collect(ProblemStream(PROBLEMS, 0))
    batch = to_batch(collected.used)
    rows = [(g, s) for g in collected.used for s in g.scored]
    for i, (group, scored) in enumerate(rows):
        p, c = len(group.prompt_ids), len(scored.completion.token_ids)
        start = batch.prompt_width - p
        assert batch.tokens[i, start : start + p].tolist() == list(group.prompt_ids)
        assert batch.tokens[i, batch.prompt_width : batch.prompt_width + c].tolist() == [7] * c
        assert batch.mask[i].sum() == c == batch.completion_len[i]
    assert batch.truncated.tolist() == [s.completion.finish_reason == "length" for _, s in rows]


def test_spans_say_what_is_trained_on_whatever_the_token_ids() -> None:
    collected = rollouts(Fake(0.5), Draws()).collect(ProblemStream(PROBLEMS, 0))
    from dataclasses import replace

    group = collected.used[0]
    completion = Completion((7, 0, 7, 7), (-1.0,) * 4, "", "stop", spans=((0, 1), (3, 4)))
    scored = replace(group.scored[0], completion=completion)
    batch = to_batch([replace(group, scored=(scored,))])
    assert batch.mask.tolist() == [[1, 0, 0, 1]]


def test_token_rewards_stand_at_their_tokens(tmp_path: Path) -> None:
    """Of groups that are kept, too; each is in the reward and in its component."""

    def places(row: Row) -> list[float]:
        assert len(row.token_ids) == row.tokens
        return [0.5 * place for place in range(row.tokens)]

    settings = ExtraReward(reward="mine:places", takes="row", weight=-1.0)
    mixed = Draws(keep=lambda correct: any(correct) and not all(correct), max_draws=9)
    made = rollouts(Fake(0.5), mixed)
    made.rewards = RewardMix(RewardConfig(), [RewardFunction("places", places, settings)], 5, tmp_path / "r")
    collected = made.collect(ProblemStream(PROBLEMS, 0))
    batch = to_batch(collected.used)
    assert len(batch.token_rewards) == 16 < sum(len(g.scored) for g in collected.sampled) + 1
    width = torch.arange(batch.token_rewards.shape[1])
    expected = torch.where(width < batch.completion_len[:, None], -0.5 * width, 0.0)
    torch.testing.assert_close(batch.token_rewards, expected)
    torch.testing.assert_close(batch.rewards, batch.correct.float() + expected.sum(1))
    some = torch.tensor([9, 2, 4])
    torch.testing.assert_close(
        batch.select(some).token_rewards, expected[some][:, : int(batch.completion_len[some].max())]
    )
    given = [s.components["places"] for g in collected.sampled for s in g.scored]
    assert rollout_metrics(collected)["reward/places"] == pytest.approx(sum(given) / len(given))


def test_marked_steps_are_paid_at_the_tokens_that_end_them(tmp_path: Path) -> None:
    """One token a byte; the checker is asked where steps are paid, and where a function may look."""
    text = "é = 1\n2 = 3"
    ids = tuple(byte_tokenizer().encode(text))
    asked: list[str] = []

    def mark(completion: str, reference: object) -> list[Mark]:
        asked.append(completion)
        return [Mark(0, 5, 1.0), Mark(6, 11, 0.0)]

    class Saying(Fake):
        def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Completion]]:
            for i, _ in enumerate(requests):
                yield i, Completion(ids, (-1.0,) * len(ids), text, "stop")

    def seen(completion: str, reference: object, verdict: Verdict) -> float:
        return len(verdict.marks)

    checker = StringMarker(lambda *_: False, "own-1", mark=mark)
    made = rollouts(Saying(0.5), Draws(), prompts=1, group_size=1)
    made.task, made.tokenizer = replace(TASK, checker=checker), byte_tokenizer()

    def batch(functions: list[RewardFunction], **config: float) -> ReadyBatch:
        made.rewards = RewardMix(RewardConfig(**config), functions, 5, tmp_path / "r")
        return to_batch(made.collect(ProblemStream(PROBLEMS, 0)).used)

    assert batch([]).token_rewards.tolist() == [[0.0] * len(ids)] and not asked
    paid = batch([], right_step=0.25, wrong_step=-1.0)
    assert {i: v for i, v in enumerate(paid.token_rewards[0].tolist()) if v} == {5: 0.25, 11: -1.0}
    assert paid.rewards.tolist() == [-0.75] and asked == [text]
    looking = batch([RewardFunction("seen", seen, ExtraReward(reward="mine:seen"))])
    assert looking.rewards.tolist() == [2.0] and not looking.token_rewards.any()


def test_a_reward_that_is_no_number_never_reaches_a_batch(tmp_path: Path) -> None:
    def sometimes(completion: str, reference: int, verdict: Verdict) -> float:
        return math.nan if verdict.correct and reference % 2 else 0.25

    def collecting(bad: str) -> Rollouts:
        function = RewardFunction("sometimes", sometimes, ExtraReward(reward="mine:sometimes"))
        made = rollouts(Fake(0.5), Draws(), prompts=7)
        made.rewards = RewardMix(RewardConfig(bad=bad), [function], 5, tmp_path / "rewards.jsonl")
        return made

    with pytest.raises(RewardError, match="sometimes"):
        collecting("stop").collect(ProblemStream(PROBLEMS, 0))
    collected = collecting("wrong").collect(ProblemStream(PROBLEMS, 0))
    scored = [(g.problem.reference, s) for g in collected.used for s in g.scored]
    bad = [s.completion.text == "right" and reference % 2 == 1 for reference, s in scored]
    assert [s.bad for _, s in scored] == bad and 0 < sum(bad) < len(bad)
    batch = to_batch(collected.used)
    assert set(batch.rewards.tolist()) == {0.0, 0.25, 1.25}
    assert batch.correct.tolist() == (batch.rewards > 1).tolist()
    metrics = rollout_metrics(collected)
    assert metrics["reward/bad"] == sum(bad) / len(bad)
    assert metrics["reward/outcome"] + metrics["reward/sometimes"] == pytest.approx(metrics["rollout/reward"])
    assert len(read_jsonl(tmp_path / "rewards.jsonl")) == 1 + sum(bad)
