"""Countdown with feedback: each wrong attempt is answered by its value, or by the rule that it broke.

The problems are those of `countdown:3`. A turn is one line, an expression; the last attempt counts.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import count
from typing import Annotated, Any

from pydantic import Field

from rlvr.graders import StringVerifier
from rlvr.graders.countdown import MAX_CHARACTERS, MalformedExpression, decide_expression, parse_expression
from rlvr.tasks import Task
from rlvr.tasks.countdown import (
    TEST_PROBLEMS,
    TRAIN_PROBLEMS,
    countdown,
    drawn_problem,
    prompt_of,
    random_solution,
)
from rlvr.tasks.environments import Environment, Transition

TEMPLATE = "countdown-feedback-1"
OPERANDS = 3
TURNS = 4
TURN_TOKENS = 20
# Of an attempt that was not tried before.
DRAWS = 20
NO_EXPRESSION, NOT_THE_NUMBERS, NO_VALUE = "no expression\n", "not these numbers\n", "no value\n"


def begin(reference: dict[str, Any]) -> dict[str, Any]:
    """The state: the problem, and the last attempt."""
    return {"numbers": reference["numbers"], "target": reference["target"], "attempt": ""}


def act(state: dict[str, Any], text: str) -> Transition:
    """Done at a right attempt; else what it comes to, or what is wrong with it."""
    attempt = text.strip()[: MAX_CHARACTERS + 1]
    after = {**state, "attempt": attempt}
    try:
        expression = parse_expression(attempt)
    except MalformedExpression:
        return Transition(after, NO_EXPRESSION)
    if sorted(expression.literals) != sorted(state["numbers"]):
        return Transition(after, NOT_THE_NUMBERS)
    if expression.value is None:
        return Transition(after, NO_VALUE)
    if expression.value == state["target"]:
        return Transition(after, done=True, reward=1.0)
    return Transition(after, f"{expression.value}\n")


def answer(state: dict[str, Any]) -> str:
    """The last attempt."""
    return str(state["attempt"])


def countdown_feedback(
    turns: Annotated[int, Field(ge=1)] = TURNS,
    train_problems: Annotated[int, Field(ge=1)] = TRAIN_PROBLEMS,
    test_problems: Annotated[int, Field(ge=1)] = TEST_PROBLEMS,
) -> Task:
    """Countdown with three operands and `turns` attempts. Raises TaskError as `countdown`."""
    same = countdown("3", train_problems, test_problems, "none")
    return Task(
        name="countdown_feedback",
        train=same.train,
        test=same.test,
        verifier=StringVerifier(decide_expression, version="countdown-feedback-1"),
        template=TEMPLATE,
        environment=Environment(
            begin=begin, act=act, turns=turns, stop=("\n",), turn_tokens=TURN_TOKENS, answer=answer,
            version="countdown-feedback-1",
        ),
    )  # fmt: skip


def pretraining_texts(seed: int, failed_share: float) -> Iterator[tuple[str, str]]:
    """Endless (prompt, attempts) pairs over problems of countdown's pretrain split, seeded.

    failed_share: share of attempts that miss the target, alike in form to the others, with their value after
    them. Hardly any attempt comes twice.
    """
    rng = random.Random(f"countdown_feedback/texts/{seed}")
    while True:
        numbers, solution = drawn_problem(rng, OPERANDS, "pretrain")
        written: list[str] = []
        tried: set[str] = set()
        for _ in range(TURNS):
            if rng.random() >= failed_share:
                written.append(f"{solution.expression}\n")
                break
            attempt = random_solution(rng, numbers)
            for draw in count():  # few numbers have few expressions
                if attempt.value != solution.value and (attempt.expression not in tried or draw > DRAWS):
                    break
                attempt = random_solution(rng, numbers)
            tried.add(attempt.expression)
            written += [f"{attempt.expression}\n", f"{attempt.value}\n"]
        else:
            written.pop()
        yield prompt_of(numbers, solution.value), "".join(written)
