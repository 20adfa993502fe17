"""The math verifier: where the answer is looked for, what is equal to what, and that nothing hangs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from rlvr.graders import Status, Verdict
from rlvr.graders.math import grader
from rlvr.graders.math.equality.compare import Rules, compare
from rlvr.graders.math.extract import TemplateName, extract
from rlvr.graders.math.grader import MathVerifier
from rlvr.graders.math.reading.notation import canonical, compact
from rlvr.graders.math.reading.parsing import shape_of
from rlvr.graders.math.reading.shapes import Relation, Tuple
from rlvr.sandbox import Limits, WorkerPool

CORPORA = Path(__file__).parent / "corpora"
STRICT, LENIENT = MathVerifier("r1_zero", "strict"), MathVerifier("r1_zero", "lenient")


def corpus(name: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in (CORPORA / f"{name}.jsonl").read_text().splitlines()]


def verdicts(verifier: MathVerifier, rows: list[dict[str, str]]) -> list[Verdict]:
    """What is said of each row, given against wanted; two at a time."""

    def one(row: dict[str, str]) -> Verdict:
        return verifier(f"<answer>{row['given']}</answer>", row["wanted"])

    with ThreadPoolExecutor(2) as threads:
        return list(threads.map(one, rows))


@pytest.mark.parametrize(
    ("completion", "template", "strict", "lenient"),
    [
        ("<answer>7</answer> or <answer>8</answer>", "r1_zero", "8", "8"),
        (r"<answer>\boxed{7} cm</answer> and \boxed{8}", "r1_zero", "7", "7"),
        ("<answer>7</answer> then <answer>8", "r1_zero", "7", "7"),
        ("<answer>7", "r1_zero", None, "7"),
        ("<answer> </answer>", "r1_zero", None, None),
        (r"\boxed{7}", "r1_zero", None, "7"),
        ("The answer is 7.", "r1_zero", None, "7"),
        ("first 6, then 7 apples", "r1_zero", None, "7"),
        ("", "r1_zero", None, None),
        (r"\boxed{1}, so \boxed{\frac{a}{b^{2}}}", "qwen_boxed", r"\frac{a}{b^{2}}", r"\frac{a}{b^{2}}"),
        (r"\boxed{7", "qwen_boxed", None, "7"),
        ("<answer>7</answer>", "qwen_boxed", None, "7"),
        ("Answer: 1,234", "plain", "1,234", "1,234"),
        ("**Final answer:** 7\nHope it helps, 2 u", "plain", "7", "7"),
        ("the answer is 3.5. That is 4 less", "plain", "3.5", "3.5"),
        (r"the answer is $\frac{1}{2}$.", "plain", r"$\frac{1}{2}$", r"$\frac{1}{2}$"),
        ("so 5\n#### 1,000", "plain", "1,000", "1,000"),
        ("it costs 1,250.50 dollars", "plain", None, "1250.50"),
        ("my answer isolates x", "plain", None, None),
    ],
)  # fmt: skip
def test_where_the_answer_is_looked_for(
    completion: str, template: TemplateName, strict: str | None, lenient: str | None
) -> None:
    assert extract(completion, template, lenient=False) == strict
    assert extract(completion, template, lenient=True) == lenient


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("2.00009", "2"),  # within 1e-4 of the reference
        (r"1.41421", r"\sqrt{2}"),
        ("0.33333", r"\frac{1}{3}"),
        ("50", "0.5"),  # a proportion as per cent, either way
        ("0.08", "8"),
        ("[1,2]", "(1,2)"),  # brackets
        ("1, 2", "(1,2)"),
        ("5 m", "5 \\text{ cm}"),
    ],
)
def test_what_lenient_takes_for_equal_and_strict_does_not(given: str, wanted: str) -> None:
    given = given.replace(" m", r"\text{ m}")
    assert STRICT(f"<answer>{given}</answer>", wanted).status is Status.WRONG
    assert LENIENT(f"<answer>{given}</answer>", wanted).status is Status.CORRECT


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("2.001", "2"),
        ("7", "8"),
        (r"\sqrt{3}", r"\sqrt{2}"),
        ("A", "B"),
        ("9999", "10000"),
        ("400", "4"),
        ("1", "100"),
    ],
)
def test_what_is_wrong_for_both(given: str, wanted: str) -> None:
    assert STRICT(f"<answer>{given}</answer>", wanted).status is Status.WRONG
    assert LENIENT(f"<answer>{given}</answer>", wanted).status is Status.WRONG


def test_a_verdict_carries_its_evidence() -> None:
    verdict = STRICT(r"<think>x</think><answer> \frac12 </answer>", "0.5")
    assert (verdict.status, verdict.score, verdict.extracted) == (Status.CORRECT, 1.0, r"\frac12")
    assert 0 < verdict.seconds < 60
    long = STRICT(f"<answer>{'9' * 3000}</answer>", "7")
    assert long.status is Status.UNPARSED and len(long.extracted or "") == 1000
    assert (STRICT.version, LENIENT.version) == ("math-strict-3", "math-lenient-3")


@pytest.mark.parametrize("verifier", [STRICT, LENIENT], ids=["strict", "lenient"])
def test_a_batch_is_graded_as_its_items_are(verifier: MathVerifier) -> None:
    rows = [*corpus("math_equal")[::20], *corpus("math_different")[::20]]
    items = [(f"<answer>{row['given']}</answer>", row["wanted"]) for row in rows]
    items += [("7", "7"), ("", "7"), *items[:5]]
    alone = [replace(verifier(*item), seconds=0.0) for item in items]
    assert [replace(verdict, seconds=0.0) for verdict in verifier.grade(items)] == alone
    assert {verdict.status for verdict in alone} == {Status.CORRECT, Status.WRONG, Status.UNPARSED}
    assert verifier.grade([]) == []


def test_a_question_that_comes_again_is_decided_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, ...]] = []

    class Counting:
        workers = 2

        def call(self, *question: str) -> bool:
            asked.append(question)
            return True

    monkeypatch.setattr(grader, "algebra", Counting)
    item = (r"<answer>\sqrt{8}</answer>", r"2\sqrt{2}")
    assert [v.correct for v in STRICT.grade([item] * 3)] == [True] * 3
    assert asked == [(r"\sqrt{8}", r"2\sqrt{2}", False, False)]


def test_only_a_lenient_grader_takes_an_answer_from_elsewhere() -> None:
    for completion, formed in (("<answer>7</answer>", True), ("it is 7", False)):
        verdict = LENIENT(completion, "7")
        assert verdict.correct and verdict.well_formed is formed
    assert not STRICT("it is 7", "7").well_formed and STRICT("<answer>8</answer>", "7").well_formed


def test_the_first_stage_starts_no_worker() -> None:
    for row in corpus("math_different"):
        assert compare(row["given"], row["wanted"], Rules()) is not True
    assert compare("1,2,3", "3, 2, 1", Rules()) is True
    assert compare(r"\sqrt{8}", r"2\sqrt{2}", Rules()) is None


# Equality has no direction; the fast tests take one.
@pytest.mark.parametrize("forward", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_precision_and_recall_on_the_labelled_corpus(forward: bool) -> None:
    equal, different = corpus("math_equal"), corpus("math_different")
    assert len(equal) >= 300 and len(different) >= 300
    if not forward:
        equal, different = (
            [{"given": r["wanted"], "wanted": r["given"]} for r in rows] for rows in (equal, different)
        )
    right = sum(v.correct for v in verdicts(STRICT, equal))
    falsely = sum(v.correct for v in verdicts(STRICT, different))
    assert right / (right + falsely) >= 0.995
    assert right / len(equal) >= 0.95


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Workers that give an answer half a second, so that the hostile ones cost little time."""
    pool = WorkerPool("rlvr.graders.math.equality.symbolic:equal", workers=2, limits=Limits(seconds=0.5))
    monkeypatch.setattr(grader, "algebra", lambda: pool)
    yield
    pool.close()


# The fast tests take every eighth answer, the slow ones all.
@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("every", [8, pytest.param(1, marks=pytest.mark.slow)], ids=["some", "all"])
@pytest.mark.parametrize("verifier", [STRICT, LENIENT], ids=["strict", "lenient"])
def test_hostile_answers_are_decided_in_time_and_never_correct(verifier: MathVerifier, every: int) -> None:
    rows = corpus("math_hostile")
    assert len(rows) >= 60
    rows = rows[::every]
    verdicts(verifier, [{"given": r"\sqrt{8}", "wanted": r"2\sqrt{2}"}] * 2)  # starts the workers
    for row, verdict in zip(rows, verdicts(verifier, rows), strict=True):
        assert verdict.status is not Status.CORRECT, row
        assert verdict.seconds < 0.5 + 0.5 + 1, row  # a second for a busy machine
    assert not Path("owned").exists()


def test_the_training_processes_of_a_machine_divide_its_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: range(9), raising=False)
    monkeypatch.delenv("PYTEST_XDIST_WORKER_COUNT", raising=False)  # see conftest.py
    workers = {}
    for processes in ("1", "4", "100"):
        monkeypatch.setenv("LOCAL_WORLD_SIZE", processes)
        workers[processes] = WorkerPool("rlvr.graders.math.equality.symbolic:equal").workers
    assert workers == {"1": 9, "4": 2, "100": 1}


def test_an_answer_that_never_ends_is_timed_out_and_the_next_is_decided() -> None:
    never, root = ("<answer>2^{2^{40}}</answer>", "7"), (r"<answer>\sqrt{8}</answer>", r"2\sqrt{2}")
    expected = [Status.TIMED_OUT, Status.CORRECT]
    assert [STRICT(*item).status for item in (never, root)] == expected
    assert [verdict.status for verdict in STRICT.grade([never, root, never])] == [*expected, expected[0]]


def test_a_worker_warms_up_on_every_formula() -> None:
    """One that is read as something else leaves each call what its process should have had from the start."""
    formulas = grader._listed("0+")
    read = shape_of(formulas)
    assert isinstance(read, Tuple)
    texts = ["=".join(item.sides) if isinstance(item, Relation) else item.text for item in read.items]
    assert texts == [compact(canonical(text)) for text in formulas[1:-1].split(", ")]


@pytest.mark.parametrize(
    ("given", "wanted", "equal"),
    [
        (r"\sqrt[3]{2}, \sqrt[3]{5}", r"\sqrt[3]{5}, \sqrt[3]{2}", True),
        (r"(\sqrt[3]{2}, \sqrt[3]{5})", r"(2^{1/3}, 5^{1/3})", True),
        (r"(\sqrt[3]{2}, \sqrt[3]{5})", r"(5^{1/3}, 2^{1/3})", False),
        (r"[\sqrt[3]{2}, \sqrt[3]{5}]", r"(\sqrt[3]{2}, \sqrt[3]{5})", False),
        (r"[0, \sqrt[3]{5}[", r"[0, \sqrt[3]{5})", True),
        (r"]0, 5[", r"(0, 5)", True),
    ],
)
def test_the_index_of_a_root_is_no_bracket_of_an_interval(given: str, wanted: str, equal: bool) -> None:
    assert STRICT(f"<answer>{given}</answer>", wanted).correct == equal
