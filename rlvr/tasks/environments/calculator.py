"""Calculator: products of numbers of two digits that nobody has in the head, with a tool that has.

A turn is one line. `calc 37*84` asks the tool, which answers `3108`; `answer 3108` is the last.
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

TEMPLATE = "calculator-plain-1"
SMALLEST, LARGEST = 12, 99
TURNS = 3
TURN_TOKENS = 20
TRAIN_PROBLEMS = 1000
TEST_PROBLEMS = 100
NO_CALL = "no calculation\n"
# An answer in the head lies within this share of the product.
ASTRAY = 0.2
_CALL = re.compile(r"calc ([0-9]{1,6})([+*])([0-9]{1,6})")
_ANSWER = re.compile(r"answer ([0-9]{1,12})")


def begin(reference: dict[str, Any]) -> dict[str, Any]:
    """The state: the answer, once there is one."""
    return {"answer": ""}


def act(state: dict[str, Any], text: str) -> Transition:
    """What a call comes to; done at an answer. A turn that is neither is lost."""
    line = text.strip()
    if answered := _ANSWER.fullmatch(line):
        return Transition({"answer": answered[1]}, done=True)
    called = _CALL.fullmatch(line)
    if called is None:
        return Transition(state, NO_CALL)
    left, right = int(called[1]), int(called[3])
    return Transition(state, f"{left * right if called[2] == '*' else left + right}\n")


def answer(state: dict[str, Any]) -> str:
    """The number that was given as the answer, empty without one."""
    return str(state["answer"])


def decide(given: str, reference: dict[str, Any]) -> tuple[Status, str | None]:
    """Whether it is the product."""
    if not given:
        return Status.UNPARSED, None
    return (Status.CORRECT if int(given) == reference["value"] else Status.WRONG), given


def drawn_problem(rng: random.Random, split: Split) -> tuple[int, int]:
    """The factors of a problem of the split."""
    while True:
        a, b = rng.randint(SMALLEST, LARGEST), rng.randint(SMALLEST, LARGEST)
        if split_of_name(f"calculator/{a}*{b}") == split:
            return a, b


@lru_cache(maxsize=4)
def _problems(split: Split, count: int) -> tuple[Problem, ...]:
    """The first `count` of the split's stream; TaskError where there are fewer."""
    rng = random.Random(f"calculator/{split}")

    def draw() -> Problem:
        a, b = drawn_problem(rng, split)
        return Problem(f"{a}*{b}", f"{a}*{b}\n", {"value": a * b})

    return distinct_problems(draw, "calculator", split, count)


def calculator(
    turns: Annotated[int, Field(ge=1)] = TURNS,
    train_problems: Annotated[int, Field(ge=1)] = TRAIN_PROBLEMS,
    test_problems: Annotated[int, Field(ge=1)] = TEST_PROBLEMS,
) -> Task:
    """Products of two numbers of two digits, in `turns` turns. Raises TaskError for more problems than
    there are (about 2,300 to train on and 700 to test)."""
    return Task(
        name="calculator",
        train=_problems("train", train_problems),
        test=_problems("test", test_problems),
        verifier=StringVerifier(decide, version="calculator-1"),
        template=TEMPLATE,
        environment=Environment(
            begin=begin, act=act, turns=turns, stop=("\n",), turn_tokens=TURN_TOKENS, answer=answer,
            version="calculator-1",
        ),
    )  # fmt: skip


def pretraining_texts(seed: int, failed_share: float) -> Iterator[tuple[str, str]]:
    """Endless (problem, turns) pairs over problems of the pretrain split, seeded.

    failed_share: share of texts that answer in the head, in tens somewhere about the product. The others
    call, half of them twice.
    """
    rng = random.Random(f"calculator/texts/{seed}")
    while True:
        a, b = drawn_problem(rng, "pretrain")
        if rng.random() < failed_share:
            written = f"answer {round(a * b * rng.uniform(1 - ASTRAY, 1 + ASTRAY), -1):.0f}\n"
        else:
            written = f"calc {a}*{b}\n{a * b}\n" * rng.choice((1, 2)) + f"answer {a * b}\n"
        yield f"{a}*{b}\n", written
