"""Guess: a number of a range, to be found in a few turns by being told higher or lower, and what is left.

The prompt names the range, so that what helps with one helps with all: to take up the middle of what is left.
That finds 8 of 10 numbers in six turns, any number that is left 5 of them, and the first or last that are
left 2 or 3. Numbers of one range have one prompt; the environment alone holds what tells them apart. No range
is asked in training and in a test, nor in the base's pretraining.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Annotated, Any

from pydantic import Field

from rlvr.graders import Status, StringVerifier
from rlvr.tasks import Problem, Task
from rlvr.tasks.countdown import Split, distinct_problems, split_of_name
from rlvr.tasks.environments import Environment, Transition

TEMPLATE = "guess-plain-2"
SMALLEST, LARGEST = 1, 99
# Numbers of a range, at the least.
NARROWEST = 60
TURNS = 6
# Digits, the newline, and one to spare.
TURN_TOKENS = 4
TRAIN_PROBLEMS = 1000
TEST_PROBLEMS = 100
_NUMBER = re.compile(r"\s*([0-9]{1,3})\s*")


def read(text: str) -> int | None:
    """The number of a turn; None where it is none from `SMALLEST` to `LARGEST`."""
    found = _NUMBER.fullmatch(text)
    number = int(found[1]) if found else 0
    return number if SMALLEST <= number <= LARGEST else None


def begin(reference: dict[str, Any]) -> dict[str, Any]:
    """The state: the number, what the answers leave, and the last guess."""
    return {**reference, "guess": None}


def act(state: dict[str, Any], text: str) -> Transition:
    """Done at the number; else whether it is higher or lower. A turn without a number is lost."""
    guess, number, low, high = read(text), state["number"], state["low"], state["high"]
    if guess is None:
        return Transition({**state, "guess": None}, f"no number {low}-{high}\n")
    if guess == number:
        return Transition({**state, "guess": guess}, done=True, reward=1.0)
    said = "higher" if guess < number else "lower"
    low, high = (max(low, guess + 1), high) if guess < number else (low, min(high, guess - 1))
    return Transition({"number": number, "low": low, "high": high, "guess": guess}, f"{said} {low}-{high}\n")


def answer(state: dict[str, Any]) -> str:
    """The last guess."""
    return "" if state["guess"] is None else str(state["guess"])


def decide(guess: str, reference: dict[str, Any]) -> tuple[Status, str | None]:
    """Whether the last guess is the number."""
    if not guess:
        return Status.UNPARSED, None
    return (Status.CORRECT if int(guess) == reference["number"] else Status.WRONG), guess


def problem_of(number: int, low: int, high: int) -> Problem:
    """To find the number in the range, both ends included."""
    reference = {"number": number, "low": low, "high": high}
    prompt = prompt_of(low, high)
    return Problem(f"{number}-of-{low}-{high}", prompt, reference, question=f"{prompt.strip()}: {number}")


def prompt_of(low: int, high: int) -> str:
    """The text that the model continues."""
    return f"guess {low}-{high}\n"


def drawn_range(rng: random.Random, split: Split) -> tuple[int, int]:
    """A range of the split."""
    while True:
        width = rng.randint(NARROWEST, LARGEST)
        low = rng.randint(SMALLEST, LARGEST - width + 1)
        high = low + width - 1
        if split_of_name(f"guess/{low}-{high}") == split:
            return low, high


@lru_cache(maxsize=4)
def _problems(split: Split, count: int) -> tuple[Problem, ...]:
    """The first `count` of the split's stream; TaskError where it has fewer."""
    rng = random.Random(f"guess/{split}")

    def draw() -> Problem:
        low, high = drawn_range(rng, split)
        return problem_of(rng.randint(low, high), low, high)

    return distinct_problems(draw, "guess", split, count)


def guess(
    turns: Annotated[int, Field(ge=1)] = TURNS,
    train_problems: Annotated[int, Field(ge=1)] = TRAIN_PROBLEMS,
    test_problems: Annotated[int, Field(ge=1)] = TEST_PROBLEMS,
) -> Task:
    """Numbers of ranges within 1 to 99, each to be found in `turns` guesses. Raises TaskError for more
    problems than there are."""
    return Task(
        name="guess",
        train=_problems("train", train_problems),
        test=_problems("test", test_problems),
        verifier=StringVerifier(decide, version="guess-1"),
        template=TEMPLATE,
        environment=Environment(
            begin=begin, act=act, turns=turns, stop=("\n",), turn_tokens=TURN_TOKENS, answer=answer,
            version="guess-2",
        ),
    )  # fmt: skip


def pretraining_texts(seed: int, failed_share: float) -> Iterator[tuple[str, str]]:
    """Endless (prompt, game) pairs of `TURNS` guesses at most over ranges of the pretrain split, seeded.

    failed_share: share of games that waste turns: each guess is one of the first or last few numbers that are
    left. In the others it is one about the middle.
    """
    rng = random.Random(f"guess/texts/{seed}")
    while True:
        low, high = drawn_range(rng, "pretrain")
        wastes = rng.random() < failed_share
        yield prompt_of(low, high), _game(rng, problem_of(rng.randint(low, high), low, high), wastes)


def _game(rng: random.Random, problem: Problem, wastes: bool) -> str:
    state, written = begin(problem.reference), ""
    for turn in range(1, TURNS + 1):
        low, left = state["low"], state["high"] - state["low"]
        share = rng.uniform(0, 0.1) + 0.9 * (rng.random() < 0.5) if wastes else rng.uniform(0.4, 0.6)
        written += f"{low + round(share * left)}\n"
        found = act(state, written.splitlines()[-1])
        if found.done or turn == TURNS:
            break
        state, written = found.state, written + str(found.observation)
    return written
