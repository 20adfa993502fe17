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

REFERENCE = {"start": 4, "operations": [["+", 5], ["*", 3], ["-", 7]], "answer": 20}
RIGHT = "4 a+5=9\n9 b*3=27\n27 c-7=20\nanswer: 20"


@pytest.fixture(scope="module", params=VARIANTS)
def task(request: pytest.FixtureRequest) -> Task:
    return chain(request.param, train_problems=300, test_problems=50)


@pytest.mark.parametrize(
    ("completion", "status"),
    [
        (RIGHT, Status.CORRECT),
        ("answer: 20", Status.CORRECT),
        ("answer: 020\nmore", Status.CORRECT),
        ("answer: 5\nAnswer: 20", Status.CORRECT),
        ("answer: 20\nanswer: 5", Status.WRONG),  # the last answer counts
        ("answer: 21", Status.WRONG),
        ("answer: -20", Status.WRONG),
        ("answer: 19+1", Status.UNPARSED),
        ("answer: \u0662\u0660", Status.UNPARSED),  # Arabic-Indic
        ("answer: " + "6" * 300, Status.UNPARSED),
        ("answer:\n20", Status.UNPARSED),
        ("20", Status.UNPARSED),
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
        ("4 a + 5 = 9\n\n9 b * 3 = 27\n27 c - 7 = 20\n\nanswer: 20\n9 a-9=1", True),
        ("4 a+5=9\n9 b*3=27\n27 c-7=20\nanswer: 21", False),  # ends elsewhere than its answer
        ("4 a+5=9\n9 b*3=27\n27 c-7=20\nanswer: twenty", True),
        ("4 a+5=9\n9 b*3=27\n27 c-7=20", True),
        ("answer: 20", False),  # nothing was done
        ("", False),
        ("4 a+5=9\n9 b*3=27\nanswer: 20", False),  # a step is missing
        ("4 a+5=9\n9 b*3=27\n27 c-7=20\n20 d+0=20\nanswer: 20", False),  # one too many
        ("4 a+5=8\n8 b*3=24\n24 c-7=17\nanswer: 17", False),
        ("4 a+5=8\n9 b*3=27\n27 c-7=20\nanswer: 20", False),  # wrong, and the next does not go on from it
        ("4 a+5=8\n8 b*3=27\n27 c-7=20\nanswer: 20", False),  # two errors that cancel
        ("4 a+5=9\n9 b*2=18\n18 c+2=20\nanswer: 20", False),  # other operations
        ("9 b*3=27\n4 a+5=9\n27 c-7=20\nanswer: 20", False),  # another order
        ("4+5=9\n9*3=27\n27-7=20\nanswer: 20", False),  # operations without their names
        ("4 b+5=9\n9 b*3=27\n27 c-7=20\nanswer: 20", False),
        ("first 4 a+5=9\n9 b*3=27\n27 c-7=20\nanswer: 20", None),
        ("4 a+5=9=9\n9 b*3=27\n27 c-7=20\nanswer: 20", False),
        ("4 a+5=9\n" * 10_000, False),
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
            assert all(1 <= value <= 99 for value in values)
            # Python's own arithmetic, worked off all at once
            whole = start
            for sign, operand in operations:
                whole = eval(f"({whole}){sign}{operand}")
            assert values[-1] == whole == problem.reference["answer"]
            verdict = task.grade([(text_of(start, operations, values), problem.reference)])[0]
            assert verdict.correct and verdict.sound


def test_one_wrong_step_ends_in_a_wrong_answer(task: Task) -> None:
    """Every operation is one-to-one."""
    rng = random.Random(0)
    for problem in task.test:
        start, operations = problem.reference["start"], tuple(map(tuple, problem.reference["operations"]))
        values = values_of(start, operations)
        at = rng.randrange(len(operations))
        wrong = values[at] + rng.choice([-3, -2, -1, 1, 2, 3])
        values[at:] = [wrong, *values_of(wrong, operations[at + 1 :])]
        verdict = task.grade([(text_of(start, operations, values), problem.reference)])[0]
        assert verdict.status is Status.WRONG and verdict.sound is False


def test_answers_are_spread_and_no_operation_is_idle(task: Task) -> None:
    answers = [problem.reference["answer"] for problem in task.train]
    assert max(map(answers.count, answers)) <= len(answers) / 12  # what guessing one number would reach
    operations = {tuple(step) for problem in task.train for step in problem.reference["operations"]}
    assert not operations & {("+", 0), ("-", 0), ("*", 0), ("*", 1)}


def test_pretraining_texts_are_of_no_other_split_and_fail_as_often_as_told() -> None:
    right = 0
    for prompt, completion in islice(pretraining_texts(seed=0, failed_share=0.5), 600):
        assert split_of_name(f"chain/{prompt}") == "pretrain"
        start, *rest = prompt.split()
        operations = [[step[1], int(step[2:])] for step in rest]
        reference = {"start": int(start), "operations": operations}
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
    longest = len(text_of(99, (("*", 9),) * 8, [99] * 8)) + 1  # and the end
    assert config.rollouts.max_new_tokens >= longest
