"""Grids: ARC's puzzles of reasoning-gym, painted cell by cell and told where they are wrong.

The canvas begins as the test input. Each line of a turn paints a cell, `row column colour`, counted from 1,
or makes an empty canvas, `size rows columns`; after the turn the environment shows the canvas and says which
of its cells are wrong, not what they should be. The last canvas is the answer.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import Field

from rlvr.graders import Status, StringVerifier
from rlvr.graders.plain_data import decode
from rlvr.tasks import Problem, Task
from rlvr.tasks.environments import Environment, Transition
from rlvr.tasks.reasoning_gym import reasoning_gym
from rlvr.tasks.templates.chat import Thinking, chat_of

TEMPLATE = "grid-plain-1"
TURNS = 4
LARGEST = 30
SHOWN_CELLS = 10
ASKED = (
    "\n\nYour canvas is the test input. Paint it: one line for each cell that changes, with its row, its "
    "column (from 1) and its new number, such as `1 4 7`. `size 2 5` makes an empty canvas of 2 rows and 5 "
    "columns. You will be told which cells are still wrong{ends}.\n"
)
NOTHING = "no line was a cell of the canvas or a size"
_CELL = re.compile(r"(\d{1,2}) (\d{1,2}) (\d)")
_SIZE = re.compile(r"size (\d{1,2}) (\d{1,2})")
Grid = list[list[int]]


def begin(reference: dict[str, Any]) -> dict[str, Any]:
    """The state: the canvas, and what it should become."""
    return {"canvas": reference["input"], "output": reference["output"]}


def act(state: dict[str, Any], text: str) -> Transition:
    """Done at the right canvas; else it and what is wrong with it."""
    canvas, painted = painted_by(text, state["canvas"])
    after, wrong = {**state, "canvas": canvas}, mismatch(canvas, state["output"])
    if not wrong:
        return Transition(after, done=True, reward=1.0)
    said = wrong if painted else NOTHING
    return Transition(after, f"{shown(canvas)}\n{said}\n\n")


def answer(state: dict[str, Any]) -> str:
    """The canvas."""
    return shown(state["canvas"])


def decide(canvas: str, reference: dict[str, Any]) -> tuple[Status, str | None]:
    """Whether it is the output."""
    return (Status.CORRECT if canvas == shown(reference["output"]) else Status.WRONG), canvas


def shown(grid: Grid) -> str:
    """Rows of numbers."""
    return "\n".join(" ".join(map(str, row)) for row in grid)


def painted_by(text: str, canvas: Grid) -> tuple[Grid, bool]:
    """The canvas after the lines of a turn, and whether any of them did something."""
    made, did = [list(row) for row in canvas], False
    for line in text.splitlines():
        if size := _SIZE.fullmatch(line.strip()):
            rows, columns = int(size[1]), int(size[2])
            if 1 <= rows <= LARGEST and 1 <= columns <= LARGEST:
                made, did = [[0] * columns for _ in range(rows)], True
        elif cell := _CELL.fullmatch(line.strip()):
            row, column = int(cell[1]) - 1, int(cell[2]) - 1
            if 0 <= row < len(made) and 0 <= column < len(made[0]):
                made[row][column], did = int(cell[3]), True
    return made, did


def mismatch(canvas: Grid, output: Grid) -> str:
    """What is wrong with a canvas; empty where nothing is."""
    if (len(canvas), len(canvas[0])) != (len(output), len(output[0])):
        return f"the size {len(canvas)} {len(canvas[0])} is wrong"
    wrong = [
        f"{r + 1} {c + 1}"
        for r, row in enumerate(output)
        for c, number in enumerate(row)
        if canvas[r][c] != number
    ]
    if not wrong:
        return ""
    more = ", ..." if len(wrong) > SHOWN_CELLS else ""
    return f"{len(wrong)} wrong: {', '.join(wrong[:SHOWN_CELLS])}{more}"


def grid(
    variant: Literal["arc_1d", "rearc", "arc_agi"] = "arc_1d",
    parameters: dict[str, Any] | None = None,
    template: Literal["plain", "chat"] = "plain",
    system: str | None = None,
    thinking: Thinking | bool | None = None,
    turns: Annotated[int, Field(ge=1)] = TURNS,
    train_problems: Annotated[int, Field(ge=1)] = 1000,
    test_problems: Annotated[int, Field(ge=1)] = 100,
    data_seed: int = 0,
    allow_unsafe: bool = False,
) -> Task:
    """A data set of ARC's kind of reasoning-gym, with its configuration in `parameters`. Raises TaskError."""
    same = reasoning_gym(variant, parameters, "plain", test_problems, data_seed, allow_unsafe=allow_unsafe)
    ends = "" if template == "chat" else ". An empty line ends your turn"
    return Task(
        name=f"grid:{variant}",
        train=[_posed(same.train[i], ends) for i in range(train_problems)],
        test=[_posed(problem, ends) for problem in same.test],
        verifier=StringVerifier(decide, version="grid-1"),
        template="chat" if template == "chat" else TEMPLATE,
        chat=chat_of(f"grid:{variant}", template, system, thinking),
        environment=Environment(
            begin=begin, act=act, turns=turns, stop=() if template == "chat" else ("\n\n",), answer=answer,
            version="grid-1",
        ),
    )  # fmt: skip


def _posed(problem: Problem, ends: str) -> Problem:
    metadata = decode(problem.reference["entry"])["metadata"]
    pair = metadata.get("test_example", metadata)
    reference = {"input": _rows(pair["input"]), "output": _rows(pair["output"])}
    question = problem.prompt.rstrip() + ASKED.format(ends=ends)
    return replace(problem, prompt=question, reference=reference, question=problem.prompt)


def _rows(grid: Any) -> Grid:
    """Of a grid or a single row of it."""
    rows = grid if isinstance(grid[0], list | tuple) else [grid]
    return [[int(number) for number in row] for row in rows]
