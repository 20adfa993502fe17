"""Rollouts ahead of the update: which weights draw a step, and what a resume finds."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from accelerate import Accelerator
from toys import Batched, toy_algorithm

from rlvr.algorithms.bundle import Draws
from rlvr.config.schema import RewardConfig, RolloutConfig
from rlvr.engines import Completion, EngineError, Request
from rlvr.graders import Status, StringVerifier
from rlvr.rollouts.collect import DrawingStopped, Group, Rollouts
from rlvr.rollouts.pipeline import Dated, Pipeline
from rlvr.rollouts.rewards import RewardMix
from rlvr.tasks import Problem, Task
from rlvr.tasks.streams import ProblemStream

STEPS = 7
PROBLEMS = [Problem(f"p{i}", "x" * (1 + i % 3), {"at": i}, columns={"at": i}) for i in range(50)]


class Letters:
    def encode(self, text: str) -> list[int]:
        return [ord(c) for c in text]


def verify(text: str, reference: object) -> tuple[Status, str]:
    return (Status.CORRECT if text == "right" else Status.WRONG), text


TASK = Task("toy", PROBLEMS, [], StringVerifier(verify, "toy-1"), "plain")


class Dating(Batched):
    """The first token of each completion is the step whose weights drew it. It takes no weights while it
    draws, and draws one stream at a time."""

    name, dtype = "fake", "float32"

    def __init__(self) -> None:
        self.weights = 0
        self.busy = threading.Lock()
        self.threads: list[str] = []
        self.hold = threading.Event()
        self.hold.set()

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Completion]]:
        assert self.busy.acquire(blocking=False)
        self.threads.append(threading.current_thread().name)
        try:
            for i, request in enumerate(requests):
                self.hold.wait(10)
                text = "right" if request.seed % 10 < 2 else "wrong"
                yield i, Completion((self.weights, request.seed % 50), (-1.0, -0.1), text, "stop")
        finally:  # whoever has all completions asks no further
            self.busy.release()

    def load(self, weights: Iterable[tuple[str, Any]]) -> None:
        assert not self.busy.locked()
        self.weights = dict(weights)["step"]


def pipeline(ahead: int, draws: Draws, engine: Batched | None = None, steps: int = STEPS) -> Pipeline:
    config = RolloutConfig(prompts=8, group_size=4, max_new_tokens=9, ahead=ahead)
    mix = RewardMix(RewardConfig(), [], 9, Path("unused"))
    parts: Any = (engine or Dating(), TASK, Letters(), config, mix, draws, Accelerator(cpu=True), 3)
    return Pipeline(Rollouts(*parts), ProblemStream(PROBLEMS, seed=0), steps)


def trained(made: Pipeline, steps: Iterable[int]) -> list[Dated]:
    """The rollouts of these steps, with an update after each."""
    found = []
    for step in steps:
        found.append(made.collect(step))
        made.load([("step", step)], step)  # type: ignore[list-item]
    return found


def drawn_by(group: Group) -> set[int]:
    return {scored.completion.token_ids[0] for scored in group.scored}


def contents(dated: Dated, weights: bool = True) -> Any:
    """Without what a checkpoint leaves out, and without who drew it if `weights` is False."""

    def told(group: Group) -> Any:
        every = (*group.scored, *((group.greedy,) if group.greedy else ()))
        own = [
            (s.completion.token_ids[0 if weights else 1 :], s.completion.logprobs, s.completion.text,
             replace(s.verdict, seconds=0), s.reward, s.components)
            for s in every
        ]  # fmt: skip
        return group.position, group.prompt_ids, group.problem.id, own

    r = dated.rollouts
    counts = r.samples, r.tokens, r.draws, r.unused
    dates = (dated.step, dated.weights) if weights else dated.step
    return dates, counts, [told(g) for g in r.sampled], [told(g) for g in r.used]


ALGORITHMS = ("grpo", "remax", "dapo")


@pytest.mark.parametrize("name", ALGORITHMS)
@pytest.mark.parametrize("ahead", [0, 1, 2, 3])
def test_a_step_is_drawn_by_the_weights_of_so_many_steps_before(name: str, ahead: int) -> None:
    engine = Dating()
    found = trained(pipeline(ahead, toy_algorithm(name).draws, engine), range(1, STEPS + 1))
    for step, dated in enumerate(found, start=1):
        weights = max(0, step - 1 - ahead)
        assert (dated.step, dated.weights, dated.staleness) == (step, weights, min(step - 1, ahead))
        assert all(drawn_by(group) == {weights} for group in dated.rollouts.sampled)
    # Here the weights decide nothing, so all else is as without.
    plain = trained(pipeline(0, toy_algorithm(name).draws), range(1, STEPS + 1))
    assert [contents(d, weights=False) for d in found] == [contents(d, weights=False) for d in plain]
    assert {*engine.threads} == (
        {"background", "MainThread"} if name == "dapo" else {"background"}
    ) or not ahead


@pytest.mark.parametrize("name", ALGORITHMS)
def test_nothing_ahead_is_what_collecting_gives(name: str) -> None:
    draws, engine = toy_algorithm(name).draws, Dating()
    alone = pipeline(0, draws)
    for step, dated in enumerate(trained(pipeline(0, draws, engine), range(1, STEPS + 1)), start=1):
        alone.stream.step = step
        expected = Dated(step, step - 1, alone.rollouts.collect(alone.stream))
        assert contents(dated, weights=False) == contents(expected, weights=False)
    assert {*engine.threads} == {"MainThread"}


@pytest.mark.parametrize("name", ALGORITHMS)
@pytest.mark.parametrize("ahead", [1, 2])
@pytest.mark.parametrize("after", [1, 4, STEPS - 1, STEPS])
def test_a_resume_finds_what_was_drawn_ahead(name: str, ahead: int, after: int, tmp_path: Path) -> None:
    draws = toy_algorithm(name).draws
    whole = trained(pipeline(ahead, draws), range(1, STEPS + 1))
    first = pipeline(ahead, draws)
    trained(first, range(1, after + 1))
    first.grade()
    first.save(tmp_path, 0)
    engine = Dating()
    second = pipeline(ahead, draws, engine)
    second.restore(tmp_path, 0, after)
    second.stream.restore(first.stream.state())
    second.rollouts.kept = first.rollouts.kept
    second.load([("step", after)], after)  # type: ignore[list-item]
    rest = trained(second, range(after + 1, STEPS + 1))
    assert [contents(dated) for dated in rest] == [contents(dated) for dated in whole[after:]]
    assert [len(dated.rollouts.used) for dated in rest] == [8] * (STEPS - after)


def test_the_engine_draws_while_the_trainer_works() -> None:
    engine = Dating()
    made = pipeline(1, Draws(), engine)
    made.collect(1)
    made.load([("step", 1)], 1)  # type: ignore[list-item]
    engine.hold.clear()
    made.collect(2)  # returns although the draw for step 3 cannot go on
    assert engine.busy.locked()
    engine.hold.set()
    made.load([("step", 2)], 2)  # type: ignore[list-item]
    assert drawn_by(made.collect(3).rollouts.used[0]) == {1}


def test_no_step_beyond_the_last_is_drawn() -> None:
    engine = Dating()
    trained(pipeline(2, Draws(), engine, steps=3), range(1, 4))
    assert len(engine.threads) == 3


class Failing(Dating):
    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Completion]]:
        if len(self.threads) == 1:
            raise EngineError("gone")
        yield from super().generate(requests)


def test_what_fails_in_the_other_thread_is_raised_where_it_is_waited_for() -> None:
    made = pipeline(1, Draws(), Failing())
    made.collect(1)
    with pytest.raises(EngineError, match="gone"):
        made.finish()


def test_an_end_of_the_run_ends_what_is_being_drawn() -> None:
    engine = Dating()
    made = pipeline(1, Draws(), engine)
    made.collect(1)
    made.load([("step", 1)], 1)  # type: ignore[list-item]
    engine.hold.clear()
    made.collect(2)
    threading.Timer(0.05, engine.hold.set).start()
    made.close()
    with pytest.raises(DrawingStopped):
        made.finish()
