"""Countdown: the verifier against right, wrong, malformed and hostile answers; the splits."""

from __future__ import annotations

import subprocess
import sys
import time
from fractions import Fraction
from itertools import combinations, islice

import pytest

from rlvr.graders import Status
from rlvr.graders.countdown import (
    MAX_DEPTH,
    MalformedExpression,
    countdown_verifier,
    extract_answer,
    parse_expression,
)
from rlvr.tasks import TaskError
from rlvr.tasks.countdown import (
    VARIANTS,
    countdown,
    pretraining_texts,
    problem_id,
    prompt_of,
    split_of,
)

REFERENCE = {"numbers": [7, 14, 25], "target": 46}

CORRECT = [
    "answer: 7+14+25",
    "14+7=21\n25+21=46\nanswer: (14+7)+25",
    "ANSWER:25 + ( 7 + 14 )",
    "answer: 1\nanswer: 25+7+14\n",
    "answer: ((((25))))+7+14 \r\nand more text",
    "\u0130\u0130\u0130 answer: 25+7+14",
]
WRONG = [
    "answer: 7+14",  # a number is missing
    "answer: 7+14+25+0",  # a number that was not given
    "answer: 7+7+14+25-7",  # a number used twice
    "answer: 46",
    "answer: 25-14+7",  # misses the target
    "answer: 7+14+25\nanswer: 25-14+7",  # the last answer counts
    "answer: 25/(14-7-7)",  # divides by zero
    "answer: 7/14+25",
    "answer: 999999999*999999999*999999999",
]
UNPARSED = [
    "",
    "25+7+14",  # no marker
    "answer:",
    "answer: \n25+7+14",
    "answer: 25+7+14=46",
    "answer: 25+7+",
    "answer: (25+7+14",
    "answer: 25+7+14)",
    "answer: ()",
    "answer: 25 7 14",
    "answer: -7+14+25",
    "answer: 25+7+14.0",
    "answer: 25+7+14.",
    "answer: 2_5+7+14",
    "answer: 25++7+14",
    "answer: x",
    "answer: \u0662\u0665+7+14",  # Arabic-Indic digits
    "answer: \u00b2+7+14",  # superscript two: str.isdigit() says yes
    "answer: \uff12\uff15+7+14",  # full-width digits
    "answer: 25\u22127+14",  # minus sign
    "answer: 25\u00a0+7+14",  # no-break space
]
HOSTILE = [
    "answer: 9**9**9",
    "answer: 9^9^9",
    "answer: " + "(" * 10**6,
    "answer: " + "(" * 10**6 + "1" + ")" * 10**6,
    "answer: " + "9" * 10**6,
    "answer: " + "9*" * 10**6 + "9",
    "answer: " + "1/(" * 60 + "1" + ")" * 60,
    "answer: " + "\u0662" * 10**6,
    "answer:" * 10**5,
    "\u0130" * 10**6 + "answer:",
    "answer: __import__('os').system('true')",
    "answer: open('x','w').write('x')",
]


@pytest.mark.parametrize("completion", CORRECT)
def test_correct(completion: str) -> None:
    verdict = countdown_verifier(completion, REFERENCE)
    assert (verdict.status, verdict.score) == (Status.CORRECT, 1.0)
    assert verdict.correct and verdict.extracted is not None


@pytest.mark.parametrize("completion", WRONG)
def test_wrong(completion: str) -> None:
    verdict = countdown_verifier(completion, REFERENCE)
    assert (verdict.status, verdict.score) == (Status.WRONG, 0.0)


@pytest.mark.parametrize("completion", UNPARSED)
def test_unparsed(completion: str) -> None:
    verdict = countdown_verifier(completion, REFERENCE)
    assert (verdict.status, verdict.score) == (Status.UNPARSED, 0.0)


@pytest.mark.parametrize("completion", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_answers_are_unparsed_at_once(completion: str) -> None:
    start = time.perf_counter()
    verdict = countdown_verifier(completion, REFERENCE)
    assert verdict.status is Status.UNPARSED
    assert len(verdict.extracted or "") <= 256
    assert time.perf_counter() - start < 1.0


def test_repeated_numbers_are_counted() -> None:
    reference = {"numbers": [5, 5, 2], "target": 20}
    assert countdown_verifier("answer: (5+5)*2", reference).correct
    assert not countdown_verifier("answer: 5*(2+2)", reference).correct


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2+3*4", Fraction(14)),
        ("(2+3)*4", Fraction(20)),
        ("10-3-2", Fraction(5)),
        ("8/4/2", Fraction(1)),
        ("1/3*3", Fraction(1)),
        ("8/(3-8/3)", Fraction(24)),
        ("3-5", Fraction(-2)),
        ("1/0", None),
        ("0*(1/0)", None),
        ("007", Fraction(7)),
    ],
)
def test_arithmetic_is_exact(text: str, value: Fraction | None) -> None:
    assert parse_expression(text).value == value


def test_depth_bound_is_exact() -> None:
    assert parse_expression("(" * MAX_DEPTH + "1" + ")" * MAX_DEPTH).value == 1
    with pytest.raises(MalformedExpression, match="nested"):
        parse_expression("(" * (MAX_DEPTH + 1) + "1" + ")" * (MAX_DEPTH + 1))


def test_extract_answer_takes_the_rest_of_the_last_line_with_the_marker() -> None:
    assert extract_answer("answer: 1+2 \nanswer:  3 \nlater") == "3"
    assert extract_answer("nothing") is None


def _reachable(numbers: list[Fraction]) -> set[Fraction]:
    """All values of expressions over all the numbers: an independent brute force."""
    if len(numbers) == 1:
        return {numbers[0]}
    values: set[Fraction] = set()
    for i, j in combinations(range(len(numbers)), 2):
        a, b = numbers[i], numbers[j]
        rest = [x for k, x in enumerate(numbers) if k not in (i, j)]
        results = {a + b, a - b, b - a, a * b}
        results |= {x / y for x, y in ((a, b), (b, a)) if y}
        for result in results:
            values |= _reachable([*rest, result])
    return values


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_problem_is_solvable(variant: str) -> None:
    task = countdown(variant)
    for problem in (*task.test[:60], *task.train[:60]):
        numbers = [Fraction(number) for number in problem.reference["numbers"]]
        assert len(numbers) == int(variant)
        assert problem.reference["target"] in _reachable(numbers), problem.id


def test_splits_variants_and_pretraining_share_no_problem() -> None:
    tasks = [countdown(variant) for variant in VARIANTS]
    splits = [{p.id for p in split} for task in tasks for split in (task.train, task.test)]
    sizes = [len(split) for task in tasks for split in (task.train, task.test)]
    assert [len(split) for split in splits] == sizes
    assert len(set().union(*splits)) == sum(sizes)
    prompts = {p.prompt for task in tasks for split in (task.train, task.test) for p in split}
    assert len(prompts) == sum(sizes)
    assert not prompts & {prompt for prompt, _ in islice(pretraining_texts(0, 0.5, 0.3), 5000)}


def test_a_problem_belongs_to_one_split_in_whatever_order_its_numbers_stand() -> None:
    assert problem_id((25, 7, 14), 46) == "7-14-25=46"
    assert split_of((25, 7, 14), 46) == split_of((7, 14, 25), 46)
    assert prompt_of((25, 7, 14), 46) == prompt_of((7, 14, 25), 46)


def test_split_of_the_default_splits_is_by_hash() -> None:
    for variant in VARIANTS:
        task = countdown(variant)
        for name, split in (("train", task.train), ("test", task.test)):
            rows = [p.reference for p in split]
            assert {split_of(tuple(r["numbers"]), r["target"]) for r in rows} == {name}


@pytest.mark.parametrize("variant", VARIANTS)
def test_smaller_splits_are_prefixes(variant: str) -> None:
    small = countdown(variant, train_problems=10, test_problems=5)
    full = countdown(variant)
    assert (small.train, small.test) == (full.train[:10], full.test[:5])


def test_problems_are_the_same_on_every_machine() -> None:
    hashes = {variant: countdown(variant).data_hash() for variant in VARIANTS}
    assert hashes == {"3": "9b82e911b8d3f59f", "4": "71d71e6df19e8f50"}


def test_unknown_variants_and_exhausted_splits_are_refused() -> None:
    with pytest.raises(TaskError, match="'5'"):
        countdown("5")
    with pytest.raises(TaskError, match="test_problems"):
        countdown("3", test_problems=10**6)


def test_pretraining_texts_are_seeded_and_right_but_for_the_failed_share() -> None:
    texts = list(islice(pretraining_texts(1, 0.5, 0.3), 2000))
    assert texts == list(islice(pretraining_texts(1, 0.5, 0.3), 2000))
    assert texts != list(islice(pretraining_texts(2, 0.5, 0.3), 2000))
    right = four = 0
    for prompt, completion in texts:
        numbers, target = prompt.strip().split(" make ")
        reference = {"numbers": [int(n) for n in numbers.split()], "target": int(target)}
        verdict = countdown_verifier(completion, reference)
        assert verdict.status in (Status.CORRECT, Status.WRONG)
        assert sorted(parse_expression(verdict.extracted).literals) == reference["numbers"]
        for line in completion.split("\n")[:-1]:
            left, result = line.split("=")
            assert parse_expression(left).value == int(result)
        right += verdict.correct
        four += len(reference["numbers"]) == 4
    assert right / len(texts) == pytest.approx(0.5, abs=0.05)
    assert four / len(texts) == pytest.approx(0.3, abs=0.05)


def test_importing_the_task_pulls_in_no_torch() -> None:
    code = "import sys, rlvr.tasks.countdown, rlvr.models.tiny_base; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
