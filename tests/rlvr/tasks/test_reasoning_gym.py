"""reasoning-gym tasks: right answers are right, hostile ones touch nothing, training never meets the test."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from rlvr.graders import Status
from rlvr.graders.plain_data import decode
from rlvr.graders.procedural.grader import ProceduralVerifier
from rlvr.sandbox import UNSAFE, Confinement, ConfinementError, WorkerPool, choose
from rlvr.tasks import Problem, Task, TaskError, build_task

pytestmark = [
    pytest.mark.skipif(find_spec("reasoning_gym") is None, reason="needs reasoning-gym (make install-test)"),
    pytest.mark.usefixtures("kept_pools"),
]

NAMES = ["chain_sum", "countdown", "simple_integration", "polynomial_multiplication"]
SECONDS = 0.5
IN_TIME = SECONDS + 0.5 + 1.0
EITHER = ["bubblewrap", pytest.param("landlock", marks=pytest.mark.slow)]


@pytest.fixture(scope="module")
def kept_pools() -> Iterator[None]:
    """Verifiers that would start equal workers share them: each imports the library, for seconds."""
    made: dict[str, WorkerPool] = {}

    def pool(*arguments: Any, **options: Any) -> WorkerPool:
        key = repr((arguments, options))
        if key not in made:
            made[key] = WorkerPool(*arguments, **options)
        return made[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rlvr.graders.procedural.grader.WorkerPool", pool)
        yield
    for each in made.values():
        each.close()


def task_of(name: str, **options: Any) -> Task:
    return build_task(f"reasoning_gym:{name}", **({"test_problems": 5} | options))


def own_answer(problem: Problem) -> str:
    return decode(problem.reference["entry"])["answer"]


@pytest.mark.parametrize(
    "name", [*NAMES[:2], *(pytest.param(name, marks=pytest.mark.slow) for name in NAMES[2:])]
)
def test_own_answers_are_right_and_those_of_others_wrong(name: str) -> None:
    task = task_of(name)
    problems = [*task.test, task.train[0], task.train[999_999]]
    answers = [own_answer(p) for p in problems]
    right = task.verifier.grade(
        [(f"<answer>{a}</answer>", p.reference) for a, p in zip(answers, problems, strict=True)]
    )
    assert [v.status for v in right] == [Status.CORRECT] * len(problems)
    assert task.verifier(f"<answer>{answers[0]} or not</answer>", problems[0].reference).score == 0
    assert task.verifier("no tag", problems[0].reference).status is Status.UNPARSED


def test_partial_credit_is_off_unless_asked_for() -> None:
    task = task_of("countdown")
    assert task.verifier("<answer>1+1</answer>", task.test[0].reference).score == 0
    generous = task_of("countdown", partial_credit=True)
    verdict = generous.verifier("<answer>1+1</answer>", generous.test[0].reference)
    assert (verdict.status, verdict.correct) == (Status.WRONG, False) and 0 < verdict.score < 1


def test_training_never_meets_the_evaluation_set(monkeypatch: pytest.MonkeyPatch) -> None:
    few = {"min_terms": 2, "max_terms": 2, "min_digits": 1, "max_digits": 1}
    task = task_of("chain_sum", parameters=few, test_problems=60)
    held_out = {p.prompt for p in task.test}
    assert len(held_out) == len(task.test)
    drawn = [task.train[i] for i in random.Random(0).sample(range(len(task.train)), 100)]
    # It was needed: with so few problems many training indices hold a question of the test.
    first = [task.train.draws.problem(60 + i, "").prompt for i in range(60)]  # type: ignore[attr-defined]
    assert held_out & set(first) and not held_out & {p.prompt for p in drawn}
    monkeypatch.setattr("rlvr.tasks.reasoning_gym.MOST_DRAWS", 2)
    with pytest.raises(TaskError, match="too few different problems"):
        [task.train[i] for i in range(200)]


@pytest.mark.slow
def test_the_same_problems_in_every_process() -> None:
    """Some generators go through sets, whose order is random from one interpreter to the next."""
    code = (
        "from rlvr.tasks import build_task\n"
        "task = build_task('reasoning_gym:ransom_note', test_problems=5)\n"
        "print(task.data_hash(), task.train[7])"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, text=True,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(said) == 1
    hashes = [task_of("ransom_note", data_seed=seed).data_hash() for seed in (0, 0, 1)]
    assert hashes[0] == hashes[1] != hashes[2]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("no_such_thing", {}, "no such data set; there are .*chain_sum"),
        ("chain_sum", {"parameters": {"terms": 3}}, r"task\.parameters do not fit.*terms"),
        ("chain_sum", {"parameters": {"min_terms": 5, "max_terms": 2}}, r"task\.parameters do not fit"),
    ],
)
def test_what_cannot_be_made_is_named(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(TaskError, match=message):
        task_of(name, **options)


def test_without_the_package_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "reasoning_gym", None)
    with pytest.raises(TaskError, match=r"pip install 'rlvr\[reasoning-gym\]'"):
        task_of("chain_sum")


WITHOUT_PYCOSAT = """
import sys
sys.modules["pycosat"] = None  # importing it fails
from rlvr.graders.procedural.library import load
from sympy import satisfiable
from sympy.abc import x
library = load()
print(len(library.create_dataset("chain_sum", seed=0)[0]["answer"]) > 0, satisfiable(x))
try:
    library.create_dataset("zebra_puzzles", seed=0)[0]
except ImportError as error:
    print(error)
"""


def test_without_pycosat_zebra_puzzles_alone_are_missing() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_PYCOSAT], capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert done.stdout.splitlines()[0] == "True {x: True}"
    assert "pip install pycosat" in done.stdout.splitlines()[1]


@pytest.mark.skipif(find_spec("pycosat") is not None, reason="about environments without pycosat")
def test_a_task_of_zebra_puzzles_says_what_it_needs() -> None:
    with pytest.raises(TaskError, match="zebra_puzzles needs pycosat"):
        task_of("zebra_puzzles")


def test_without_a_sandbox_the_task_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(allow_unsafe: bool) -> Confinement:
        if allow_unsafe:
            return UNSAFE
        raise ConfinementError("nothing here can confine a process.")

    monkeypatch.setattr("rlvr.tasks.confined.choose", none)
    with pytest.raises(TaskError, match=r"nothing here can confine.*task\.allow_unsafe=true"):
        task_of("chain_sum")
    assert task_of("chain_sum", allow_unsafe=True).verifier.confinement == "unsafe"


NO_ANSWER = {"boxnet", "graph_color", "propositional_logic", "rubiks_cube", "rush_hour"}


@pytest.mark.slow
def test_own_answers_of_every_data_set_are_right() -> None:
    """One worker for all of the 105 that need no parameters, as many verdicts as entries."""
    from reasoning_gym.factory import DATASETS

    pool = None
    wrong = []
    for name in sorted(set(DATASETS) - {"composite"}):
        verifier = ProceduralVerifier(name, choose(), '{"seed": 0, "size": 3}', seconds=20.0, workers=1)
        pool = verifier.pool = pool or verifier.pool
        for index in range(3):
            entry = verifier.draw(index)
            answer = decode(entry)["answer"]
            verdict = verifier(f"<answer>{answer}</answer>", {"entry": entry})
            if not verdict.correct and name not in NO_ANSWER:
                wrong.append((name, answer))
    assert wrong == []
    assert pool is not None
    pool.close()


HOSTILE = [
    "open({file!r}, 'w').write('x')",
    "__import__('pathlib').Path({file!r}).write_text('x')",
    "__import__('socket').create_connection(('127.0.0.1', {port}), 1)",
    "__import__('os').system('touch ' + {file!r})",
    "__import__('subprocess').run(['touch', {file!r}])",
    "9**9**9",
    "factorial(10**8)",
    "2**2**2**2**2**2",
    "'x' * 10**11",
    "[0] * 10**11",
    "[x for x in iter(int, 1)]",
    "(lambda f: f(f))(lambda f: f(f))",
    "__import__('os')._exit(0)",
    "__import__('os').write(3, b'+1.0') or __import__('os')._exit(0)",
    "__import__('time').sleep(1000)",
    "(" * 5000 + "1" + ")" * 5000,
    "1" * 10_000,
    "\0\ud800",
]


# The fast tests take some of the answers to two data sets: one's scorer runs them as code, one's does not.
@pytest.mark.parametrize(
    "confinement", ["bubblewrap", pytest.param("landlock", marks=pytest.mark.slow)], indirect=True
)
@pytest.mark.parametrize(
    ("name", "every"),
    [
        ("chain_sum", 6),
        ("countdown", 4),
        *(pytest.param(name, 1, marks=pytest.mark.slow) for name in NAMES),
    ],
)
def test_hostile_answers(confinement: Confinement, name: str, every: int, tmp_path: Path) -> None:
    problem = task_of(name).test[0]
    verifier = ProceduralVerifier(name, confinement, seconds=SECONDS, workers=1)
    right = f"<answer>{own_answer(problem)}</answer>"
    assert verifier(right, problem.reference).correct
    with socket.create_server(("127.0.0.1", 0)) as server:
        for hostile in HOSTILE[::every]:
            answer = hostile.replace("{file!r}", repr(str(tmp_path / "file")))
            answer = answer.replace("{port}", str(server.getsockname()[1]))
            start = time.monotonic()
            verdict = verifier(f"<answer>{answer}</answer>", problem.reference)
            assert time.monotonic() - start < IN_TIME, hostile
            assert not verdict.correct, hostile
            assert not list(tmp_path.iterdir()), hostile
        server.settimeout(0.05)
        with pytest.raises(TimeoutError):
            server.accept()
    assert verifier(right, problem.reference).correct
    assert len(verifier.pool._started) == 1
