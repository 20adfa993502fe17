"""Grids: what painting does, what is told of a canvas, and puzzles of the library."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from rlvr.tasks import TaskError, build_task
from rlvr.tasks.environments.grid import NOTHING, act, answer, begin, decide, mismatch, painted_by

PUZZLE = {"input": [[0, 0, 0], [1, 0, 0]], "output": [[0, 0, 2], [1, 0, 2]]}


def test_a_canvas_is_painted_until_it_is_right() -> None:
    state = begin(PUZZLE)
    first = act(state, "I paint.\n1 3 2\n2 2 5\n9 9 1\n")
    assert first.observation == "0 0 2\n1 5 0\n2 wrong: 2 2, 2 3\n\n" and not first.done
    lost = act(first.state, "2 3\n0 1 1\n1 1 12\nsize 0 4\nsize 31 1\n")
    assert lost.observation == f"0 0 2\n1 5 0\n{NOTHING}\n\n" and lost.state == first.state
    last = act(lost.state, "  2 2 0\n2 3 2")
    assert last.done and last.reward == 1 and answer(last.state) == "0 0 2\n1 0 2"
    assert decide(answer(last.state), PUZZLE)[0] == "correct" and decide(answer(state), PUZZLE)[0] == "wrong"
    assert state == begin(PUZZLE)  # act changes nothing that it is given


def test_another_size_is_an_empty_canvas() -> None:
    canvas, painted = painted_by("size 1 2\n1 2 3", PUZZLE["input"])
    assert painted and canvas == [[0, 3]] and mismatch(canvas, PUZZLE["output"]) == "the size 1 2 is wrong"


def test_few_of_many_wrong_cells_are_told() -> None:
    told = mismatch([[0] * 30], [[1] * 30])
    assert told.startswith("30 wrong: 1 1, 1 2,") and told.endswith("1 10, ...")


@pytest.mark.skipif(find_spec("reasoning_gym") is None, reason="needs reasoning-gym (make install-test)")
@pytest.mark.slow
@pytest.mark.parametrize("variant", ["arc_1d", "rearc", "arc_agi"])
def test_puzzles_of_the_library_can_be_painted(variant: str) -> None:
    try:
        task = build_task(f"grid:{variant}", train_problems=5, test_problems=5)
    except TaskError as error:
        if "confine" in str(error):
            pytest.skip(str(error))
        raise
    assert not {p.prompt for p in task.train} & {p.prompt for p in task.test} and len(task.train) == 5
    for problem in (*task.train, *task.test):
        output = problem.reference["output"]
        cells = [f"{r + 1} {c + 1} {n}" for r, row in enumerate(output) for c, n in enumerate(row)]
        found = act(begin(problem.reference), "\n".join([f"size {len(output)} {len(output[0])}", *cells]))
        assert found.done and task.verifier(answer(found.state), problem.reference).correct
