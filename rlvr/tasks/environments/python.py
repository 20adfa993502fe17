"""Python: a mathematics benchmark with an interpreter as a tool, for chat models.

A turn with blocks of Python is a call: they are run, and what they print, or the error, is the answer. A turn
without one is the last, and its text is what the verifier reads. What a call defined is there for the next;
one that was stopped or ended its interpreter leaves nothing behind. The programs run confined
(`rlvr.sandbox`), and the reference never enters their process.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import Field

from rlvr.sandbox import CallFailed, Confinement, Limits, TimedOut, WorkerDied, WorkerPool
from rlvr.sandbox.interpreter import RAN, STOPPED
from rlvr.tasks import Task, TaskError
from rlvr.tasks import math as benchmarks
from rlvr.tasks.confined import confinement_for
from rlvr.tasks.environments import Environment, Transition
from rlvr.tasks.sources import BadRows
from rlvr.tasks.templates.chat import Thinking, chat_of

TURNS = 6
SECONDS, MEMORY_MB = 5.0, 256
# What programs may import besides the standard library.
PACKAGES = ("numpy", "sympy", "mpmath")
# What is imported once, before any call; some of it the packages themselves would import in every call.
WARM = (*PACKAGES, "numpy.random", "numpy.linalg", "fractions", "itertools", "collections")
# Of an observation; from the middle of a longer one the rest is left out.
SHOWN = 2000
PRINTED_BYTES = 1 << 20
NOTHING, STOPPED_SAID = "(no output)", "TimeoutError: stopped after"
SYSTEM = (
    "Please reason step by step. You may use Python: write a block that begins with ```python and ends with "
    "```, end your turn, and you will be told what it printed. What it defined stays for your next block. "
    "When you are done, write no block and put your final answer within \\boxed{}."
)
_BLOCK = re.compile(
    r"^```[ \t]*(?:python|py|python3)[ \t]*\n(.*?)^```", re.DOTALL | re.MULTILINE | re.IGNORECASE
)
_Benchmark = Literal["gsm8k", "omni_math_rule", "math500", "minerva_math", "olympiadbench", "aime24", "amc23"]


class Interpreter:
    """The environment's functions, with the confined processes that they use.

    seconds, memory_mb: of one call. turns: the most of an episode.
    """

    def __init__(
        self,
        confinement: Confinement,
        seconds: float = SECONDS,
        memory_mb: int = MEMORY_MB,
        turns: int = TURNS,
        workers: int | None = None,
    ):
        self.seconds = seconds
        limits = Limits(
            seconds, cpu_seconds=int(seconds * turns) + 1, memory_mb=memory_mb,
            printed_bytes=PRINTED_BYTES,
        )  # fmt: skip
        self.pool = WorkerPool(
            "rlvr.sandbox.interpreter:run", workers, limits, PACKAGES, ("import_packages", WARM),
            confinement,
        )  # fmt: skip

    def act(self, state: dict[str, Any], text: str) -> Transition:
        """What the blocks printed; done at a turn without one."""
        program = program_of(text)
        if program is None:
            return Transition({**state, "said": text}, done=True)
        earlier = state["programs"]
        shown, lives = self.run(earlier, program)
        programs = [*earlier, program] if lives else earlier
        return Transition({"programs": programs, "said": text}, shortened(shown) or NOTHING)

    def run(self, earlier: Sequence[str], program: str) -> tuple[str, bool]:
        """What the program prints after the earlier ones, and whether what it did lives on."""
        allowed = self.seconds * (1 + len(earlier))  # each of them may have taken all of its own
        try:
            ended = self.pool.call(
                "interpret", earlier, program, self.seconds, seconds=allowed, output_bytes=PRINTED_BYTES,
                printed=True,
            )  # fmt: skip
        except TimedOut:
            return f"{STOPPED_SAID} {self.seconds:g} s", False
        except WorkerDied:
            return "the interpreter ended: out of memory, or of room for what it printed", False
        except CallFailed as failure:
            return f"the interpreter ended: {failure}", False
        status, printed = ended["status"], str(ended["printed"])
        if status in (RAN, STOPPED):
            return printed, status == RAN
        what = f"by signal {-status}" if status < 0 else f"with status {status}"
        return f"{printed}\nthe interpreter ended {what}".strip(), False


def begin(reference: Any) -> dict[str, Any]:
    """The state: the programs that live on, and the last turn."""
    return {"programs": [], "said": ""}


def answer(state: dict[str, Any]) -> str:
    """The last turn."""
    return str(state["said"])


def program_of(text: str) -> str | None:
    """The blocks of Python in a turn, as one program; None without one."""
    blocks = [block.strip("\n") for block in _BLOCK.findall(text)]
    return "\n".join(blocks) + "\n" if blocks else None


def shortened(text: str) -> str:
    """Without blanks at the end; of a long text the beginning and the end."""
    text = text.rstrip()
    if len(text) <= SHOWN:
        return text
    left = len(text) - SHOWN
    return f"{text[: SHOWN // 2]}\n... {left} characters left out ...\n{text[-SHOWN // 2 :]}"


def python(
    variant: _Benchmark = "gsm8k",
    source: str | None = None,
    system: str = SYSTEM,
    thinking: Thinking | bool | None = None,
    bad_rows: BadRows = "stop",
    turns: Annotated[int, Field(ge=1)] = TURNS,
    seconds: Annotated[float, Field(gt=0)] = SECONDS,
    memory_mb: Annotated[int, Field(ge=64)] = MEMORY_MB,
    allow_unsafe: bool = False,
) -> Task:
    """A benchmark of `rlvr.tasks.math`, posed by the tokenizer's chat template, with Python as a tool.

    seconds, memory_mb: of each call. Raises TaskError where nothing confines, as for the benchmark's data.
    """
    name = f"python:{variant}"
    confinement = confinement_for(name, "runs programs that a model wrote", allow_unsafe)
    same: Task = getattr(benchmarks, variant)(source=source, template="chat", bad_rows=bad_rows)
    tool = Interpreter(confinement, seconds, memory_mb, turns)
    if not same.test:
        raise TaskError(f"task {name}: no problems")
    return replace(
        same,
        name=name,
        chat=chat_of(name, "chat", system, thinking),
        checker=None,
        environment=Environment(
            begin=begin, act=tool.act, turns=turns, answer=answer, seconds=seconds * (turns + 1),
            at_once=tool.pool.workers, version=f"python-1, {seconds:g} s, {memory_mb} MB",
        ),
    )  # fmt: skip
