"""Chain: operations on one number, one after the other; the answer is the last value.

The variant is the number of operations: "5" is in-domain for RL, "8" out-of-domain. A prompt such as
"4 a+5 b*3 c-4 d-6 e*2" is worked off from left to right, one line an operation: "4 a+5=9". All values lie
in 1..99. What a small model cannot do in one look at the prompt: the answer depends on every operation, and
each takes the result of the one before it. Every operation is one-to-one, so a single wrong step always ends
in a wrong answer: a right answer after wrong steps needs two errors that cancel, or a guess. (The embedded
base makes such pairs: docs/soundness.md.) Letters name the
operations, so that a model can find the next one by what it just wrote.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import lru_cache
from typing import Annotated, Literal

from pydantic import Field

from rlvr.graders.chain import Operation, applied, chain_verifier, label
from rlvr.graders.soundness import SoundnessName, build_checker
from rlvr.tasks import Problem, Task, TaskError
from rlvr.tasks.countdown import Split, distinct_problems, split_of_name

TEMPLATE = "chain-plain-1"
VARIANTS = ("5", "8")
LARGEST_VALUE = 99
LARGEST_OPERAND = 9
TRAIN_PROBLEMS = 1800
TEST_PROBLEMS = 200
# Of the problems of the pretraining.
LONG_SHARE = 0.3


def values_of(start: int, operations: tuple[Operation, ...]) -> list[int]:
    """The value after each operation."""
    values = []
    for sign, operand in operations:
        start = applied(start, sign, operand)
        values.append(start)
    return values


def prompt_of(start: int, operations: tuple[Operation, ...]) -> str:
    """The text that the model continues."""
    named = (f"{label(i)}{sign}{operand}" for i, (sign, operand) in enumerate(operations))
    return f"{start} {' '.join(named)}\n"


def text_of(start: int, operations: tuple[Operation, ...], values: list[int]) -> str:
    """The completion that a model is meant to write, with these values: one step a line, then the answer."""
    befores = [start, *values]
    steps = [
        f"{before} {label(i)}{sign}{operand}={after}"
        for i, (before, (sign, operand), after) in enumerate(zip(befores, operations, values, strict=False))
    ]
    return "\n".join((*steps, f"answer: {values[-1]}"))


def _draw(rng: random.Random, length: int, split: Split) -> tuple[int, tuple[Operation, ...]]:
    """A random problem of the split: its first value and its operations."""
    while True:
        start = value = rng.randint(1, LARGEST_OPERAND)
        operations = []
        for _ in range(length):
            sign, operand = _operation(rng, value)
            operations.append((sign, operand))
            value = applied(value, sign, operand)
        if split_of_name(f"chain/{prompt_of(start, tuple(operations))}") == split:
            return start, tuple(operations)


def _operation(rng: random.Random, value: int) -> Operation:
    """A random one that leads from the value to another in 1..99."""
    while True:
        sign, operand = rng.choice("+-*"), rng.randint(1, LARGEST_OPERAND)
        after = applied(value, sign, operand)
        if after != value and 1 <= after <= LARGEST_VALUE:
            return sign, operand


@lru_cache(maxsize=16)  # one run asks for them as what it trains on, what it probes, and what overlaps
def _problems(length: int, split: Split, count: int) -> tuple[Problem, ...]:
    """The first `count` distinct problems of the split's stream; TaskError where that is too many."""
    rng = random.Random(f"chain/{length}/{split}")

    def draw() -> Problem:
        start, operations = _draw(rng, length, split)
        prompt = prompt_of(start, operations)
        reference = {
            "start": start,
            "operations": [list(operation) for operation in operations],
            "answer": values_of(start, operations)[-1],
        }
        return Problem(prompt.strip().replace(" ", ""), prompt, reference)

    return distinct_problems(draw, f"chain:{length}", split, count)


def chain(
    variant: Literal["5", "8"] = "5",
    train_problems: Annotated[int, Field(ge=1)] = TRAIN_PROBLEMS,
    test_problems: Annotated[int, Field(ge=1)] = TEST_PROBLEMS,
    soundness: SoundnessName = "chain",
) -> Task:
    """Chains of `variant` operations; the same problems on every machine.

    A smaller split is a prefix of a larger one. Raises TaskError for an unknown variant and for more than
    20,000 problems.
    """
    if variant not in VARIANTS:
        raise TaskError(f"chain variant {variant!r}: allowed are {', '.join(VARIANTS)}")
    return Task(
        name=f"chain:{variant}",
        train=_problems(int(variant), "train", train_problems),
        test=_problems(int(variant), "test", test_problems),
        verifier=chain_verifier,
        template=TEMPLATE,
        checker=build_checker(soundness),
    )


def pretraining_texts(seed: int, failed_share: float) -> Iterator[tuple[str, str]]:
    """Endless (prompt, completion) pairs over problems of the pretrain split, seeded.

    failed_share: share of attempts with one wrong result, from which the rest follows rightly.
    """
    rng = random.Random(f"chain/texts/{seed}")
    shorter, longer = map(int, VARIANTS)
    while True:
        length = longer if rng.random() < LONG_SHARE else shorter
        start, operations = _draw(rng, length, "pretrain")
        values = values_of(start, operations)
        if rng.random() < failed_share:
            values = _with_an_error(rng, operations, values)
        yield prompt_of(start, operations), text_of(start, operations, values)


def _with_an_error(rng: random.Random, operations: tuple[Operation, ...], values: list[int]) -> list[int]:
    """The values with one wrong result, from which the rest follows rightly and within 1..99."""
    while True:
        at = rng.randrange(len(values))
        wrong = rng.randint(1, LARGEST_VALUE)
        rest = values_of(wrong, operations[at + 1 :])
        if wrong != values[at] and all(1 <= value <= LARGEST_VALUE for value in rest):
            return [*values[:at], wrong, *rest]
