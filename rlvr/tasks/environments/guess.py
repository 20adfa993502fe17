"""Guess: a number from 1 to 99, to be found in a few turns by being told higher or lower, and what is left.

All problems have one prompt; what tells them apart is the number that the environment holds. A policy that
takes up the middle of what is left finds 63 of the 99 numbers in six turns, one that takes up any number
finds 6.
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
from rlvr.tasks.environments import Environment, Transition

TEMPLATE = "guess-plain-1"
PROMPT = "guess 1-99\n"
SMALLEST, LARGEST = 1, 99
TURNS = 6
# Digits, the newline, and one to spare.
TURN_TOKENS = 4
TEST_NUMBERS = 49
_NUMBER = re.compile(r"\s*([0-9]{1,3})\s*")


def read(text: str) -> int | None:
    """The number of a turn; None where it is none from 1 to 99."""
    found = _NUMBER.fullmatch(text)
    number = int(found[1]) if found else 0
    return number if SMALLEST <= number <= LARGEST else None


def begin(reference: dict[str, Any]) -> dict[str, Any]:
    """The state: the number, what the answers leave, and the last guess."""
    return {"number": reference["number"], "low": SMALLEST, "high": LARGEST, "guess": None}


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


@lru_cache(maxsize=1)
def _problems() -> tuple[tuple[Problem, ...], tuple[Problem, ...]]:
    """To train on and to test. Which number is where follows from nothing that a policy could see."""
    numbers = list(range(SMALLEST, LARGEST + 1))
    random.Random("guess/numbers").shuffle(numbers)
    made = [Problem(str(n), PROMPT, {"number": n}, question=f"guess {n}") for n in numbers]
    return tuple(made[TEST_NUMBERS:]), tuple(made[:TEST_NUMBERS])


def guess(turns: Annotated[int, Field(ge=1)] = TURNS) -> Task:
    """The 99 numbers, 50 to train on and 49 to test, each to be found in `turns` guesses."""
    train, test = _problems()
    return Task(
        name="guess",
        train=train,
        test=test,
        verifier=StringVerifier(decide, version="guess-1"),
        template=TEMPLATE,
        environment=Environment(
            begin=begin, act=act, turns=turns, stop=("\n",), turn_tokens=TURN_TOKENS, answer=answer,
            version="guess-1",
        ),
    )  # fmt: skip


def pretraining_texts(seed: int, failed_share: float) -> Iterator[tuple[str, str]]:
    """Endless (prompt, game) pairs of `TURNS` guesses at most, seeded.

    failed_share: share of games whose guesses do not heed the answers; in the others each is any number that
    they leave.
    """
    rng = random.Random(f"guess/texts/{seed}")
    while True:
        number, heeds = rng.randint(SMALLEST, LARGEST), rng.random() >= failed_share
        yield PROMPT, _game(rng, number, heeds)


def _game(rng: random.Random, number: int, heeds: bool) -> str:
    state, written = begin({"number": number}), ""
    for turn in range(1, TURNS + 1):
        low, high = (state["low"], state["high"]) if heeds else (SMALLEST, LARGEST)
        written += f"{rng.randint(low, high)}\n"
        found = act(state, written.splitlines()[-1])
        if found.done or turn == TURNS:
            break
        state, written = found.state, written + str(found.observation)
    return written
