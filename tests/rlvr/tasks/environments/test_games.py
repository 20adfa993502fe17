"""The environments of the embedded bases: what they answer, their splits, and what the bases are taught."""

from __future__ import annotations

import random
from itertools import islice
from typing import Any

import pytest

from rlvr.tasks import Task, TaskError, build_task
from rlvr.tasks.countdown import split_of_name
from rlvr.tasks.environments import calculator, guess

NAMES = ("guess", "calculator")


def told(task: Task, reference: Any, *turns: str) -> tuple[list[str | None], str]:
    """What the environment answers to each turn, None after the last, and the answer."""
    environment = task.environment
    assert environment is not None and environment.answer is not None
    state, answers = environment.begin(reference), []
    for text in turns:
        found = environment.act(state, text)
        answers.append(None if found.done else found.observation)
        state = found.state
    return answers, environment.answer(state)


def test_the_calculator_knows_one_operation_at_a_time() -> None:
    task = build_task("calculator")
    reference = {"value": 37 * 84}
    said, answer = told(task, reference, "calc 37*84\n", "calc 3108+56\n", "answer 3108\n")
    assert said == ["3108\n", "3164\n", None] and answer == "3108"
    assert task.verifier(answer, reference).correct and not task.verifier("3164", reference).correct
    said, answer = told(
        task, reference, "calc 37*84+56", "37*84", "calc 1/2", "calc 9999999*1", "answer -1", ""
    )
    assert said == [calculator.NO_CALL] * 6 and answer == ""
    assert task.verifier(answer, reference).status == "unparsed"


def test_a_guess_is_answered_by_what_is_left() -> None:
    task = build_task("guess")
    reference = {"number": 41, "low": 20, "high": 90}
    said, answer = told(task, reference, "50\n", "5\n", "x", "100", "45", "41\n")
    assert said == ["lower 20-49\n", "higher 20-49\n", *["no number 20-49\n"] * 2, "lower 20-44\n", None]
    assert answer == "41" and task.verifier(answer, reference).correct


@pytest.mark.parametrize("name", NAMES)
def test_no_prompt_is_in_two_splits(name: str) -> None:
    task = build_task(name)
    train, test = ({p.prompt for p in split} for split in (task.train, task.test))
    assert len(task.test) == 100 and len(task.train) == 1000 and not train & test
    module = {"guess": guess, "calculator": calculator}[name]
    taught = {prompt for prompt, _ in islice(module.pretraining_texts(0, 0.5), 3000)}
    assert not taught & (train | test)
    assert build_task(name, test_problems=40).test == task.test[:40]
    with pytest.raises(TaskError, match=f"{name} has fewer than train_problems=30000"):
        build_task(name, train_problems=30000)


@pytest.mark.parametrize("name", NAMES)
def test_the_texts_of_a_base_are_episodes_of_its_environment(name: str) -> None:
    """Each line of the environment's is what it answers there; so many end right as the share says."""
    module = {"guess": guess, "calculator": calculator}[name]
    task, right = build_task(name), {}
    for share in (0.0, 1.0):
        texts = list(islice(module.pretraining_texts(1, share), 300))
        solved = 0
        for prompt, text in texts:
            lines = text.splitlines(keepends=True)
            reference = _reference(name, prompt, lines)
            said, answer = told(task, reference, *lines[::2])
            assert [a for a in said if a is not None][: len(lines[1::2])] == lines[1::2]
            solved += task.verifier(answer, reference).correct
        right[share] = solved / len(texts)
    assert right[0.0] > 0.3 and right[0.0] > 2 * right[1.0]


def _reference(name: str, prompt: str, lines: list[str]) -> Any:
    """Of a game, a number that all of its answers fit."""
    if name == "calculator":
        a, b = map(int, prompt.split("*"))
        return {"value": a * b}
    low, high = map(int, prompt.split()[1].split("-"))
    said, guesses = lines[1::2], [int(line) for line in lines[::2]]
    if len(guesses) < guess.TURNS:
        return {"number": guesses[-1], "low": low, "high": high}
    return {"number": int(said[-1].split("-")[1]), "low": low, "high": high}


@pytest.mark.parametrize(
    ("share", "least", "most"), [((0.5, 0.5), 0.75, 0.9), ((0.0, 1.0), 0.4, 0.55), ((0.0, 0.1), 0.2, 0.33)]
)
def test_what_ways_to_guess_find(share: tuple[float, float], least: float, most: float) -> None:
    """As the page says: the middle about 8 of 10, any number half, an edge a quarter."""
    task, rng = build_task("guess"), random.Random(0)
    found = 0
    for problem in task.test:
        for _ in range(20):
            state = guess.begin(problem.reference)
            for _ in range(guess.TURNS):
                number = state["low"] + round(rng.uniform(*share) * (state["high"] - state["low"]))
                step = guess.act(state, str(number))
                state, found = step.state, found + step.done
                if step.done:
                    break
    assert least < found / 2000 < most
    assert split_of_name("guess/1-99") == "pretrain"
