"""The Python tool: what lives on between calls, limits, and attacks that are carried from call to call."""

from __future__ import annotations

import json
import os
import re
import select
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chats import BEGUN, TURNS, tokenizer
from playing import Player

from rlvr.engines import Request, Sampling
from rlvr.graders.math.grader import MathVerifier
from rlvr.rollouts.playing.episodes import play
from rlvr.sandbox import Confinement, ConfinementError, choose
from rlvr.tasks import Task, TaskError, build_task
from rlvr.tasks.environments import python
from rlvr.tasks.environments.python import NOTHING, Interpreter, begin, program_of, shortened
from rlvr.tasks.templates.chat import posed, prompt_ids

CORPORA = Path(__file__).parents[2] / "graders" / "corpora"
SECONDS = 1.0
# Not a measure of speed: it tells a hang from a slow machine.
IN_TIME = 2 * SECONDS + 8.0


@pytest.fixture(scope="module")
def tool() -> Iterator[Interpreter]:
    try:
        made = Interpreter(choose(), workers=1)
    except ConfinementError as error:
        pytest.skip(str(error))
    yield made
    made.pool.close()


def calls(tool: Interpreter, *programs: str) -> tuple[list[str], dict[str, Any]]:
    """What an episode of these programs is told, and its state at the end."""
    state, said = begin(None), []
    for program in programs:
        found = tool.act(state, f"Let me see.\n```python\n{program}\n```")
        assert not found.done and found.observation is not None
        state = json.loads(json.dumps(found.state))
        said.append(found.observation)
    return said, state


def test_what_a_program_defines_is_there_for_the_next(tool: Interpreter) -> None:
    said, state = calls(
        tool, "import math\nx = 3\nprint('begins')\nx * 2", "def area(r): return math.pi * r ** 2",
        "from sys import stdout\nx += 1",
        "stdout.write('kept\\n')\nround(area(x), 2)", "class A: pass\nA.x = 1",
    )  # fmt: skip
    assert said == ["begins\n6", NOTHING, NOTHING, "kept\n50.27", NOTHING]  # each program's own, and once
    assert len(state["programs"]) == 5
    again, _ = calls(tool, "x")
    assert "NameError: name 'x' is not defined" in again[0]  # another episode


def test_errors_are_told_and_what_was_done_before_them_stays(tool: Interpreter) -> None:
    said, _ = calls(tool, "y = 1\nprint('so far')\n1 / 0\ny = 2", "y", "1 +")
    assert said[0].startswith("so far\nTraceback") and said[0].endswith("ZeroDivisionError: division by zero")
    assert '  File "<1>", line 3, in <module>\n    1 / 0' in said[0] and "interpreter.py" not in said[0]
    assert said[1] == "1" and said[2].endswith("SyntaxError: invalid syntax")


def test_what_is_stopped_or_ends_the_interpreter_leaves_nothing(tool: Interpreter) -> None:
    quick = Interpreter(tool.pool.confinement, 0.5, workers=1)
    said, state = calls(
        quick, "x = 1", "x = 2\nwhile True: pass", "x = 3\nimport os\nos._exit(3)", "x",
        "print('y' * 10 ** 7)",
        "kept = bytearray(10 ** 9)", "open('/tmp/file', 'w')",
    )  # fmt: skip
    assert said[1] == "TimeoutError: stopped after 0.5 s" and said[2] == "the interpreter ended with status 3"
    assert said[3] == "1" and state["programs"][1] == "x\n"
    assert said[4] == shortened("y" * python.PRINTED_BYTES) and len(said[4]) < 2100
    assert said[5].endswith("MemoryError") and "Operation not permitted: '/tmp/file'" in said[6]
    quick.pool.close()


def test_a_program_that_ends_its_process_well_does_not_end_the_later_ones(tool: Interpreter) -> None:
    said, state = calls(tool, "x = 1", "x = 2\nimport os\nos._exit(0)", "x")
    assert said[1:] == ["the interpreter ended with status 0", "1"]
    assert state["programs"] == ["x = 1\n", "x\n"]


def test_numbers_drawn_at_random_are_the_same_in_every_call(tool: Interpreter) -> None:
    draw = "import random\nx = random.random()"
    said, _ = calls(tool, draw, "x", "x")
    assert said[1] == said[2]


def test_which_text_is_a_call() -> None:
    assert program_of("So it is \\boxed{4}") is None and program_of("``python\nx\n```") is None
    assert program_of("a\n```python\nx = 1\n```\nb\n```py\nx\n```\n") == "x = 1\nx\n"
    assert program_of("```\nno\n```") is None and program_of("```python\nunfinished") is None


@pytest.fixture
def sums(tmp_path: Path) -> Task:
    rows = [{"problem": f"{i} * 7?", "answer": str(7 * i)} for i in range(1, 4)]
    file = tmp_path / "math500.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    try:
        return build_task("python:math500", source=str(file), turns=3)
    except TaskError as error:
        if "confine" in str(error):
            pytest.skip(str(error))
        raise


def solver(text: str, honest: bool = True) -> str:
    """Asks the tool, and then says what it said, or another number."""
    turns = text.split("<assistant>")
    asked = re.findall(r"<user>(\d) \* 7\?", text)[-1]
    if len(turns) == 2:
        return f"I compute it.\n```python\nprint({asked} * 7)\n```\n<eos>"
    told = turns[-2].split("<user>")[-1].removesuffix("<eos>")
    return f"It is \\boxed{{{told if honest else 99}}}<eos>"


@pytest.mark.parametrize("honest", [True, False])
def test_an_episode_with_a_chat_template(sums: Task, honest: bool) -> None:
    """Calls overlap in threads, and the verdict is on the last turn."""
    made = tokenizer(TURNS + BEGUN)
    task = posed(sums, made)
    assert task.environment and task.environment.around == ("<eos><user>", "<eos><assistant>")
    sampling = Sampling(1.0, 1.0, 400)
    asked = [(Request(prompt_ids(made, p), sampling, seed), p) for p in task.test for seed in (0, 1)]
    engine: Any = Player(lambda text, seed: solver(text, honest), made)
    done = dict(play(engine, task, made, asked))
    for i, (_, problem) in enumerate(asked):
        assert [turn.observation for turn in done[i].turns] == [problem.reference, ""]
        assert done[i].finish_reason == "stop"
    verdicts = task.grade([(done[i].graded, p.reference) for i, (_, p) in enumerate(asked)])
    assert [v.correct for v in verdicts] == [honest] * 6


def parts(text: str) -> dict[str, str]:
    found = re.split(r"^# --- (.*)\n", text, flags=re.MULTILINE)[1:]
    return dict(zip(found[::2], found[1::2], strict=True))


def hostile() -> dict[str, list[str]]:
    """By title the programs of the calls: those that carry, and all that attack the grader, called later."""
    found = {
        title: code.split("# ===\n")
        for title, code in parts((CORPORA / "hostile_turns" / "carried.py").read_text()).items()
    }
    for file in sorted((CORPORA / "hostile_code").glob("*.py")):
        for title, code in parts(file.read_text()).items():
            found[f"{file.stem}: {title}"] = [code, "print([target(i) for i in range(1, 5)])"]
    return found


BOTH = pytest.mark.parametrize(
    "confinement",
    [pytest.param("bubblewrap", marks=pytest.mark.slow), pytest.param("landlock", marks=pytest.mark.slow)],
    indirect=True,
)


def test_there_are_many_that_carry() -> None:
    assert len(hostile()) >= 165 and sum(len(c) > 1 for c in hostile().values()) == len(hostile())


@BOTH
@pytest.mark.parametrize("share", range(8))
def test_none_escapes_or_forges(
    confinement: Confinement, share: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held_against([*hostile().items()][share::8], confinement, tmp_path, monkeypatch)


def test_some_that_carry_neither_escape_nor_forge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        confinement = choose()
    except ConfinementError as error:
        pytest.skip(str(error))
    held_against([*hostile().items()][:20:4], confinement, tmp_path, monkeypatch)


def held_against(
    samples: list[tuple[str, list[str]]], confinement: Confinement, tmp_path: Path, monkeypatch: Any
) -> None:
    """Nothing outside changes, the next episode is untouched, no process stays, a wrong answer is wrong."""
    monkeypatch.setenv("RLVR_DATA", str(tmp_path))
    canary = tmp_path / "canary"
    canary.write_text("SECRET")
    mode = canary.stat().st_mode
    tool = Interpreter(confinement, SECONDS, workers=1)
    assert calls(tool, "1 + 1")[0] == ["2"]
    workers = {w for w in tool.pool._started if w is not None}
    own_code = Path("rlvr/sandbox/interpreter.py").resolve().read_bytes()
    verifier = MathVerifier("qwen_boxed", "strict")
    with socket.create_server(("127.0.0.1", 0)) as server:
        names = {"CANARY": str(canary), "OUTSIDE": str(tmp_path), "PORT": server.getsockname()[1],
                 "PID": os.getpid(), "DATA": str(tmp_path)}  # fmt: skip
        for title, programs in samples:
            state = begin(None)
            for program in programs:
                for name, value in names.items():
                    program = program.replace(f"{{{name}}}", str(value)).replace(f"{{{name}!r}}", repr(value))
                start = time.monotonic()
                found = tool.act(state, f"```python\n{program}\n```")
                assert time.monotonic() - start < IN_TIME, title
                assert not found.done and isinstance(found.observation, str), title
                assert len(found.observation) < 2200 and "SECRET" not in found.observation, title
                state = json.loads(json.dumps(found.state))
            last = tool.act(state, "So it is \\boxed{41}")
            assert last.done and not verifier(python.answer(last.state), "42").correct, title
            assert (os.listdir(tmp_path), canary.read_text()) == (["canary"], "SECRET"), title
            assert canary.stat().st_mode == mode, title
            assert calls(tool, "1 + 1")[0] == ["2"], title
        assert not select.select([server], [], [], 0)[0], "a connection came through"
    assert Path("rlvr/sandbox/interpreter.py").resolve().read_bytes() == own_code
    assert {w for w in tool.pool._started if w is not None} == workers, "a worker was lost whole"
    tool.pool.close()
    deadline = time.monotonic() + 5
    while (left := [p for w in workers for p in w.processes()]) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert left == []
