"""Chain: its problems, its verifier, and the checker of its steps, by hand and against what is taught."""

from __future__ import annotations

import random
from itertools import islice

import pytest

from rlvr.graders import Status
from rlvr.graders.chain import chain_verifier
from rlvr.graders.soundness.chain import decide
from rlvr.planning.recipe import load_config
from rlvr.tasks import Task, TaskError
from rlvr.tasks.chain import VARIANTS, chain, pretraining_texts, prompt_of, text_of, values_of
from rlvr.tasks.countdown import split_of_name

# 7 +5 = 12 = 1, 1 *3 = 3, 3 -8 = -5 = 6 modulo 11
REFERENCE = {"start": 7, "operations": [["+", 5], ["*", 3], ["-", 8]], "modulus": 11, "answer": 6}
RIGHT = "7+5=1\n1*3=3\n3-8=6\nanswer: 6"


@pytest.fixture(scope="module", params=VARIANTS)
def task(request: pytest.FixtureRequest) -> Task:
    return chain(request.param, train_problems=300, test_problems=50)


@pytest.mark.parametrize(
    ("completion", "status"),
    [
        (RIGHT, Status.CORRECT),
        ("answer: 6", Status.CORRECT),
        ("answer: 06\nmore", Status.CORRECT),
        ("answer: 5\nAnswer: 6", Status.CORRECT),
        ("answer: 6\nanswer: 5", Status.WRONG),  # the last answer counts
        ("answer: 17", Status.WRONG),  # the same modulo 11, and no value modulo 11
        ("answer: -5", Status.UNPARSED),
        ("answer: 3+3", Status.UNPARSED),
        ("answer: \u0666", Status.UNPARSED),  # Arabic-Indic
        ("answer: " + "6" * 300, Status.UNPARSED),
        ("answer:\n6", Status.UNPARSED),
        ("6", Status.UNPARSED),
        ("", Status.UNPARSED),
    ],
)
def test_verdicts(completion: str, status: Status) -> None:
    verdict = chain_verifier(completion, REFERENCE)
    assert verdict.status is status
    assert len(verdict.extracted or "") <= 256


@pytest.mark.parametrize(
    ("completion", "sound"),
    [
        (RIGHT, True),
        ("7 + 5 = 1\n\n1 * 3 = 3\n3 - 8 = 6\n\nanswer: 6\n9-9=1", True),
        ("7+5=1\n1*3=3\n3-8=6\nanswer: 5", False),  # ends elsewhere than its answer
        ("7+5=1\n1*3=3\n3-8=6\nanswer: six", True),
        ("7+5=1\n1*3=3\n3-8=6", True),
        ("answer: 6", False),  # nothing was done
        ("", False),
        ("7+5=1\n1*3=3\nanswer: 6", False),  # a step is missing
        ("7+5=1\n1*3=3\n3-8=6\n6+0=6\nanswer: 6", False),  # one too many
        ("7+5=12\n1*3=3\n3-8=6\nanswer: 6", False),  # not modulo 11
        ("7+5=2\n2*3=6\n6-8=9\nanswer: 9", False),
        ("7+5=2\n1*3=3\n3-8=6\nanswer: 6", False),  # a wrong step that the next one does not go on from
        ("7+5=1\n1*4=4\n4-9=6\nanswer: 6", False),  # other operations
        ("1*3=3\n7+5=1\n3-8=6\nanswer: 6", False),  # another order
        ("first 7+5=1\n1*3=3\n3-8=6\nanswer: 6", None),
        ("7+5=1=1\n1*3=3\n3-8=6\nanswer: 6", False),
        ("7+5=1\n" * 10_000, False),
    ],
)
def test_soundness(completion: str, sound: bool | None) -> None:
    assert decide(completion, REFERENCE) is sound


def test_problems_are_those_of_their_split_and_solvable(task: Task) -> None:
    splits = {"train": task.train, "test": task.test}
    for name, problems in splits.items():
        assert len({problem.id for problem in problems}) == len(problems)
        for problem in problems:
            assert split_of_name(f"chain/{problem.prompt}") == name
            start, operations = problem.reference["start"], tuple(map(tuple, problem.reference["operations"]))
            assert problem.prompt == prompt_of(start, operations)
            values = values_of(start, operations)
            # Python's own arithmetic, worked off all at once
            whole = start
            for sign, operand in operations:
                whole = eval(f"({whole}){sign}{operand}")
            assert values[-1] == whole % 11 == problem.reference["answer"]
            verdict = task.grade([(text_of(start, operations, values), problem.reference)])[0]
            assert verdict.correct and verdict.sound


def test_one_wrong_step_ends_in_a_wrong_answer(task: Task) -> None:
    """Every operation is one-to-one."""
    rng = random.Random(0)
    for problem in task.test:
        start, operations = problem.reference["start"], tuple(map(tuple, problem.reference["operations"]))
        values = values_of(start, operations)
        at = rng.randrange(len(operations))
        wrong = (values[at] + rng.randrange(1, 11)) % 11
        values[at:] = [wrong, *values_of(wrong, operations[at + 1 :])]
        verdict = task.grade([(text_of(start, operations, values), problem.reference)])[0]
        assert verdict.status is Status.WRONG and verdict.sound is False


def test_answers_are_spread_and_no_operation_is_idle(task: Task) -> None:
    answers = [problem.reference["answer"] for problem in task.train]
    assert all(10 <= answers.count(value) <= 60 for value in range(11))  # 27 each
    operations = {tuple(step) for problem in task.train for step in problem.reference["operations"]}
    assert not operations & {("+", 0), ("-", 0), ("*", 0), ("*", 1)}


def test_pretraining_texts_are_of_no_other_split_and_fail_as_often_as_told() -> None:
    right = 0
    for prompt, completion in islice(pretraining_texts(seed=0, failed_share=0.5), 600):
        assert split_of_name(f"chain/{prompt}") == "pretrain"
        start, *rest = prompt.split(" mod")[0].split()
        operations = [[step[0], int(step[1:])] for step in rest]
        reference = {"start": int(start), "operations": operations, "modulus": 11}
        right += decide(completion, reference) is True
    assert 255 <= right <= 345  # 300, and 3.7 standard deviations


def test_too_many_problems_and_unknown_variants_are_errors() -> None:
    with pytest.raises(TaskError, match=r"chain:5 has fewer than test_problems=30000"):
        chain("5", test_problems=30_000)
    with pytest.raises(TaskError, match="allowed are 5, 8"):
        chain("6")  # type: ignore[arg-type]


def test_the_recipe_probes_both_lengths() -> None:
    config = load_config(["recipe=grpo_chain_tiny"])
    assert (config.model, config.task.name) == ("embedded:chain", "chain:5")
    longest = max(len(text_of(10, (("*", 10),) * 8, [10] * 8)), 0) + 1  # and the end
    assert config.rollouts.max_new_tokens >= longest
