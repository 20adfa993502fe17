"""Countdown: combine the given numbers, each exactly once, into an expression equal to the target.

The variant is the number of operands: "3" is in-domain for RL, "4" out-of-domain. A problem is a
multiset of numbers and a target; the hash of that pair assigns it to exactly one split (pretrain,
train or test), so the splits of all variants and the embedded base's pretraining share no problem.
Problems are drawn by evaluating a random expression, so every one is solvable, and targets with
many solutions are the more frequent. Generated solutions use + - * and positive integers only; the
verifier accepts / and any intermediate value as well.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Literal

from pydantic import Field

from rlvr.graders.countdown import countdown_verifier
from rlvr.graders.soundness import SoundnessName, build_checker
from rlvr.tasks import Problem, Task, TaskError

Split = Literal["pretrain", "train", "test"]

TEMPLATE = "countdown-plain-1"
VARIANTS = ("3", "4")
LARGEST_NUMBER = 15
LARGEST_TARGET = 99
LARGEST_VALUE = 400
# Of 100 hash buckets, ten are for test, the next thirty for train, the rest for pretraining.
TEST_BUCKETS = 10
TRAIN_BUCKETS = 30
TRAIN_PROBLEMS = 1800
TEST_PROBLEMS = 200
# Bounds on the search for distinct problems, where a split holds fewer than were asked for.
DRAWS_PER_PROBLEM = 50
MOST_PROBLEMS = 20_000


@dataclass(frozen=True, slots=True)
class Solution:
    """An expression with its value and `steps` such as "14+7=21", one per operator."""

    steps: tuple[str, ...]
    expression: str
    value: int

    def text(self) -> str:
        """The completion that a model is meant to write: one step a line, then the answer."""
        return "\n".join((*self.steps, f"answer: {self.expression}"))


def problem_id(numbers: tuple[int, ...], target: int) -> str:
    """Canonical name of a problem, such as "7-14-25=46"; `numbers` in any order."""
    return "-".join(map(str, sorted(numbers))) + f"={target}"


def split_of(numbers: tuple[int, ...], target: int) -> Split:
    """The one split that may hold this problem."""
    return split_of_name(f"countdown/{problem_id(numbers, target)}")


def split_of_name(name: str) -> Split:
    """The split that the name of a generated problem belongs to, by its hash."""
    digest = hashlib.sha256(name.encode()).digest()
    bucket = int.from_bytes(digest[:8], "big") % 100
    if bucket < TEST_BUCKETS:
        return "test"
    return "train" if bucket < TEST_BUCKETS + TRAIN_BUCKETS else "pretrain"


def prompt_of(numbers: tuple[int, ...], target: int) -> str:
    """The text that the model continues, numbers in ascending order."""
    return f"{' '.join(map(str, sorted(numbers)))} make {target}\n"


def random_solution(rng: random.Random, numbers: tuple[int, ...]) -> Solution:
    """A random expression over all the numbers, each once, through positive values up to 400."""
    while True:
        solution = _combine(rng, numbers)
        if solution is not None:
            return solution


def _combine(rng: random.Random, numbers: tuple[int, ...]) -> Solution | None:
    """Join two random terms until one is left; None when a value leaves the allowed range."""
    terms = [(number, str(number)) for number in numbers]
    steps: list[str] = []
    while len(terms) > 1:
        left, right = (terms.pop(rng.randrange(len(terms))) for _ in range(2))
        # Larger operand first: one spelling for each sum and product, and no negative difference.
        if (left[0], len(left[1])) < (right[0], len(right[1])):
            left, right = right, left
        operator = rng.choice("+-*")
        a, b = left[0], right[0]
        value = a + b if operator == "+" else a - b if operator == "-" else a * b
        if not 0 < value <= LARGEST_VALUE:
            return None
        steps.append(f"{a}{operator}{b}={value}")
        text = f"{_bracket(left[1])}{operator}{_bracket(right[1])}"
        terms.append((value, text))
    return Solution(tuple(steps), terms[0][1], terms[0][0])


def _bracket(text: str) -> str:
    return text if text.isdigit() else f"({text})"


def drawn_problem(rng: random.Random, operands: int, split: Split) -> tuple[tuple[int, ...], Solution]:
    """A random problem of the split with the solution that it was made from."""
    while True:
        numbers = tuple(sorted(rng.randint(1, LARGEST_NUMBER) for _ in range(operands)))
        solution = _combine(rng, numbers)
        if solution is None or solution.value > LARGEST_TARGET:
            continue
        if split_of(numbers, solution.value) == split:
            return numbers, solution


@lru_cache(maxsize=16)  # one run asks for them as what it trains on, what it probes, and what overlaps
def _problems(operands: int, split: Split, count: int) -> tuple[Problem, ...]:
    """The first `count` distinct problems of the split's stream; TaskError where it has fewer."""
    rng = random.Random(f"countdown/{operands}/{split}")

    def draw() -> Problem:
        numbers, solution = drawn_problem(rng, operands, split)
        reference = {"numbers": list(numbers), "target": solution.value}
        name = problem_id(numbers, solution.value)
        return Problem(name, prompt_of(numbers, solution.value), reference)

    return distinct_problems(draw, f"countdown:{operands}", split, count)


def distinct_problems(
    draw: Callable[[], Problem], task: str, split: Split, count: int
) -> tuple[Problem, ...]:
    """The first `count` problems of other ids that are drawn. task, split: for the message of the TaskError
    that is raised where there are fewer."""
    problems: dict[str, Problem] = {}
    draws = 0
    while len(problems) < count:
        draws += 1
        if draws > DRAWS_PER_PROBLEM * count + DRAWS_PER_PROBLEM or count > MOST_PROBLEMS:
            raise TaskError(f"{task} has fewer than {split}_problems={count}, {len(problems)} were found")
        problem = draw()
        problems.setdefault(problem.id, problem)
    return tuple(problems.values())


def countdown(
    variant: Literal["3", "4"] = "3",
    train_problems: Annotated[int, Field(ge=1)] = TRAIN_PROBLEMS,
    test_problems: Annotated[int, Field(ge=1)] = TEST_PROBLEMS,
    soundness: SoundnessName = "steps",
) -> Task:
    """The countdown task with `variant` operands; the same problems on every machine.

    A smaller split is a prefix of a larger one. Raises TaskError for an unknown variant and for
    more problems than there are (three operands: about 2000 to train on and 600 to test).
    """
    if variant not in VARIANTS:
        raise TaskError(f"countdown variant {variant!r}: allowed are {', '.join(VARIANTS)}")
    return Task(
        name=f"countdown:{variant}",
        train=_problems(int(variant), "train", train_problems),
        test=_problems(int(variant), "test", test_problems),
        verifier=countdown_verifier,
        template=TEMPLATE,
        checker=build_checker(soundness),
    )


def pretraining_texts(seed: int, failed_share: float, four_share: float) -> Iterator[tuple[str, str]]:
    """Endless (prompt, completion) pairs over problems of the pretrain split, seeded.

    failed_share: share of attempts that miss the target, alike in form and with right arithmetic.
    four_share: share of problems with four operands, the others have three.
    """
    rng = random.Random(f"countdown/texts/{seed}")
    while True:
        operands = 4 if rng.random() < four_share else 3
        numbers, solution = drawn_problem(rng, operands, "pretrain")
        target = solution.value
        if rng.random() < failed_share:
            while solution.value == target:
                solution = random_solution(rng, numbers)
        yield prompt_of(numbers, target), solution.text()
