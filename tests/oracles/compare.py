"""The package's step held against `equations` on random ragged batches: loss and gradients to 1e-7."""

from __future__ import annotations

import random
import time
import warnings
from typing import Any

import torch
from oracles import options
from oracles.credit import Row
from oracles.equations import Result, step
from torch import Tensor
from toys import toy_algorithm

from rlvr.algorithms import ALGORITHMS
from rlvr.algorithms.batch import ReadyBatch
from rlvr.config.schema import Correction, OptimConfig, RolloutConfig
from rlvr.learning.actor_critic import Scores
from rlvr.learning.learner import Learner
from rlvr.learning.policy import Update

TOLERANCE = 1e-7
LENGTH = 9


class OneProcess:
    """What a learner asks of Accelerate, for one process."""

    device = torch.device("cpu")

    def reduce(self, value: Tensor, reduction: str) -> Tensor:
        return value


class Given:
    """A policy whose log-probs and values are tensors, so that the loss has a gradient by each of them."""

    def __init__(self, rows: list[Row]):
        self.now = padded([row.now for row in rows]).requires_grad_()
        self.values = padded([row.values for row in rows]).requires_grad_()
        self.old = padded([row.before(t) for t in range(len(row.mask))] for row in rows)
        self.ref = padded([row.ref for row in rows])
        self.teacher = padded([row.teacher for row in rows])
        self.teacher_kl = padded([row.teacher_kl for row in rows]).requires_grad_()
        self.old_values = padded([row.old_values for row in rows])
        self.loss = 0.0

    def scores(self, batch: Any) -> Scores:
        return Scores(self.old, torch.zeros_like(self.old), self.old_values)

    def ref_logprobs(self, batch: Any) -> Tensor:
        return self.ref

    def teacher_logprobs(self, batch: Any) -> Tensor:
        return self.teacher

    def update(self, batch: Any, objective: Any, critic_only: bool = False, taught: bool = False) -> Update:
        """Two micro-batches, which are cut to their longest completions."""
        self.now.grad = self.values.grad = self.teacher_kl.grad = None
        self.loss, sums = 0.0, {}
        for rows in torch.arange(len(batch)).chunk(2):
            piece = batch.select(rows)
            width = piece.mask.shape[1]
            scores = Scores(
                self.now[rows, :width],
                torch.zeros_like(piece.mask),
                self.values[rows, :width],
                self.teacher_kl[rows, :width] if taught else None,
            )
            share = objective(scores, piece)
            share.loss.backward()
            self.loss += float(share.loss.detach())
            sums = {name: sums.get(name, 0.0) + float(value.detach()) for name, value in share.sums.items()}
        return Update({**sums, "mismatch/max": 0.0}, skipped=False)


def compare_all(batches: int) -> float | None:
    """Prints the largest differences of each algorithm; None where one is above the tolerance."""
    largest = 0.0
    for name in ALGORITHMS:
        started, worst = time.monotonic(), max(difference(name, seed) for seed in range(batches))
        print(
            f"{name:18} {batches} batches, largest difference {worst:.1e}, {time.monotonic() - started:.0f} s"
        )
        largest = max(largest, worst)
    return largest if largest < TOLERANCE else None


def difference(name: str, seed: int) -> float:
    """The largest difference of loss or gradient on one random batch. Seed 0 has the defaults."""
    rng = random.Random(f"{name} {seed}")
    given = options.departures(name, rng) if seed else {}
    correction = options.correction(rng)
    o = options.whole(name, given)
    several = rng.random() < 0.6
    rows = random_rows(rng, several, smallest=o.get("k", 1))
    expected = step(rows, o, correction, LENGTH)
    return apart(expected, by_package(name, given, correction, rows, several))


def by_package(
    name: str, given: options.Options, correction: options.Options, rows: list[Row], several: bool
) -> Result:
    """The same step by the package's learner. several: updates follow, so that old log-probs are kept."""
    policy = Given(rows)
    learner = Learner(
        toy_algorithm(name, **given),
        policy,  # type: ignore[arg-type]
        OneProcess(),  # type: ignore[arg-type]
        OptimConfig(epochs=2 if several else 1),
        RolloutConfig(max_new_tokens=LENGTH, correction=Correction(**correction)),
        seed=0,
    )
    with warnings.catch_warnings():  # small random batches may have no advantages at all
        warnings.simplefilter("ignore", UserWarning)
        learner.update(learner.credit(learner.score(ready(rows))), step=1)
    gradients = (policy.now.grad, policy.values.grad, policy.teacher_kl.grad)
    by_logprob, by_value, by_teacher_kl = (
        [[] for _ in rows]
        if gradient is None
        else [gradient[i, : len(row.mask)].tolist() for i, row in enumerate(rows)]
        for gradient in gradients
    )
    return Result(policy.loss, by_logprob, by_value, by_teacher_kl)


def apart(one: Result, other: Result) -> float:
    """The largest difference of a number. A gradient that the package has not is one of zeros."""
    found = [abs(one.loss - other.loss)]
    for name in ("by_logprob", "by_value", "by_teacher_kl"):
        ours, theirs = getattr(one, name), getattr(other, name)
        for mine, his in zip(ours, theirs, strict=True):
            found += [abs(x - y) for x, y in zip(mine, his or [0.0] * len(mine), strict=True)]
    return max(found)


def random_rows(rng: random.Random, several: bool, smallest: int) -> list[Row]:
    """Groups of several sizes in mixed order; completions of 1 to LENGTH tokens, some untrained in part or
    in whole; some groups whose rewards are all equal."""
    rows = []
    for group in range(rng.randint(1, 4)):
        alike = rng.random() < 0.2
        greedy = rng.choice([0.0, 1.0])
        for _ in range(rng.randint(max(smallest, 1), max(smallest, 1) + 3)):
            size = rng.randint(1, LENGTH)
            spoilt = rng.random() < 0.1
            mask = [0 if spoilt else int(rng.random() < 0.85) for _ in range(size)]

            def numbers(low: float, high: float, size: int = size) -> list[float]:
                return [rng.uniform(low, high) for _ in range(size)]

            now = numbers(-4, -0.1)
            old = [x + rng.gauss(0, 0.4) for x in now]
            given = [rng.choice([0.0, 0.0, -0.25, 0.5]) for _ in range(size)]
            right = alike or rng.random() < 0.5
            rows.append(
                Row(
                    group=group,
                    mask=mask,
                    reward=1.0 if right else rng.choice([0.0, -1.0, 0.1]),
                    greedy=greedy,
                    correct=right,
                    token_rewards=given,
                    engine=[x + rng.gauss(0, 0.3) for x in (old if several else now)],
                    now=now,
                    old=old if several else None,
                    ref=[x + rng.gauss(0, 0.5) for x in now],
                    values=numbers(-1, 1),
                    old_values=numbers(-1, 1),
                    teacher=numbers(-4, -0.1),
                    teacher_kl=numbers(0, 2),
                )
            )
    rng.shuffle(rows)
    return rows


def ready(rows: list[Row]) -> ReadyBatch:
    """The batch of these rows, in float64. What stands beyond a row's end is not to matter."""
    lengths = [len(row.mask) for row in rows]
    double = torch.float64
    return ReadyBatch(
        tokens=torch.zeros(len(rows), 2 + max(lengths), dtype=torch.int64),
        prompt_len=torch.full((len(rows),), 2),
        completion_len=torch.tensor(lengths),
        mask=padded([[float(m) for m in row.mask] for row in rows], 0.0),
        group=torch.tensor([row.group for row in rows]),
        truncated=torch.zeros(len(rows), dtype=torch.bool),
        correct=torch.tensor([row.correct for row in rows]),
        rewards=torch.tensor([row.reward for row in rows], dtype=double),
        greedy_rewards=torch.tensor([row.greedy for row in rows], dtype=double),
        token_rewards=padded([row.token_rewards for row in rows], 0.0),
        engine_logprobs=padded([row.engine for row in rows]),
    )


def padded(rows: Any, fill: float = -7.0) -> Tensor:
    lists = [list(row) for row in rows]
    width = max(map(len, lists))
    return torch.tensor([row + [fill] * (width - len(row)) for row in lists], dtype=torch.float64)
