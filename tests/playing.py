"""Engines that play by rule, and environments that do what none may."""

from __future__ import annotations

import os
import random
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from toys import Batched

from rlvr.engines import Completion, Request
from rlvr.models.tiny_base import byte_tokenizer
from rlvr.tasks import Task, build_task
from rlvr.tasks.environments import Transition
from rlvr.tasks.environments.guess import TURNS, problem_of

BYTES = byte_tokenizer()


class Player(Batched):
    """An engine of bytes: what it writes next is a function of all text so far and the request's seed.

    It stops where its text does, or at the request's limit.
    """

    name, dtype = "player", "float32"

    def __init__(self, writes: Callable[[str, int], str], tokenizer: Any = BYTES):
        self.writes, self.tokenizer = writes, tokenizer
        self.asked: list[Request] = []

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Completion]]:
        self.asked += requests
        for i, request in reversed(list(enumerate(requests))):
            text = self.writes(self.tokenizer.decode(request.prompt_ids), request.seed)
            written = self.tokenizer.encode(text, add_special_tokens=False)
            ids = tuple(written[: request.sampling.max_new_tokens])
            cut = len(ids) < len(written)
            shown = self.tokenizer.decode(ids, skip_special_tokens=True)
            yield i, Completion(ids, (-0.5,) * len(ids), shown, "length" if cut else "stop")


def halving(text: str, seed: int) -> str:
    """The middle of what is left of 1..99 in a game of `guess`."""
    low, high = 1, 99
    lines = text.splitlines()[1:]
    for guess, said in zip(lines[::2], lines[1::2], strict=True):
        low, high = (int(guess) + 1, high) if said.startswith("higher") else (low, int(guess) - 1)
    return f"{(low + high) // 2}\n"


def one_range(turns: int = TURNS) -> Task:
    """`guess` with the numbers from 1 to 99: one prompt, 50 of them to train on."""
    numbers = list(range(1, 100))
    random.Random(0).shuffle(numbers)
    made = [replace(problem_of(n, 1, 99), id=str(n)) for n in numbers]
    return replace(build_task("guess", turns=turns), train=made[49:], test=made[:49])


def begin(reference: Any) -> dict[str, Any]:
    return {"turn": 0}


def after(state: dict[str, Any]) -> dict[str, Any]:
    return {"turn": state["turn"] + 1}


def counts(state: dict[str, Any], text: str) -> Transition:
    """Says which turn it was; the third is the last."""
    turn = state["turn"] + 1
    return Transition({"turn": turn}, f"<{turn}>", turn == 3, reward=turn / 4)


def raises(state: dict[str, Any], text: str) -> Transition:
    raise KeyError("no such room")


def hangs(state: dict[str, Any], text: str) -> Transition:
    time.sleep(60)
    return Transition(state)


def computes(state: dict[str, Any], text: str) -> Transition:
    while True:
        pass


def no_text(state: dict[str, Any], text: str) -> Transition:
    return Transition(state, 5)  # type: ignore[arg-type]


def no_transition(state: dict[str, Any], text: str) -> Transition:
    return state, "go on\n", False, 0.0  # type: ignore[return-value]


def no_number(state: dict[str, Any], text: str) -> Transition:
    return Transition(state, "go on\n", reward=float("nan"))


def grows(state: dict[str, Any], text: str) -> Transition:
    return Transition(after(state), "x" * 10 ** (3 + state["turn"]))


def exits(state: dict[str, Any], text: str) -> Transition:
    raise SystemExit(3)


def ends_the_process(state: dict[str, Any], text: str) -> Transition:
    os._exit(3)


def forks(state: dict[str, Any], text: str) -> Transition:
    """Its child would come back as a second trainer."""
    os.fork()
    return Transition(after(state), "go on\n")


def forks_and_waits(state: dict[str, Any], text: str) -> Transition:
    """Its child would play on for a while; the parent swallows what that raises."""
    from multiprocessing import get_context

    child = get_context("fork").Process(target=time.sleep, args=(60,))
    child.start()
    child.join()
    return Transition(after(state), "go on\n")


def starts_a_program(state: dict[str, Any], text: str) -> Transition:
    """Which is no fork."""
    shown = subprocess.run(["echo", "go on"], capture_output=True, text=True, check=True).stdout
    return Transition(after(state), shown)


def changes(state: dict[str, Any], text: str) -> Transition:
    import random

    import torch

    random.seed(0)
    torch.set_default_dtype(torch.float64)
    state["turn"] = 99
    return Transition({"turn": 1}, "go on\n")


# Each ends the episode at its first turn, with these words.
BAD = {
    raises: "act raised KeyError: 'no such room'",
    hangs: "act: no answer in 0.2 s (Environment.seconds)",
    computes: "act: no answer in 0.2 s (Environment.seconds)",
    no_text: "act returned an observation of type int, not a text",
    no_transition: "act returned tuple, not a rlvr.tasks.environments.Transition",
    no_number: "act returned the reward nan, not a finite number",
    exits: "act raised SystemExit: 3",
    ends_the_process: "act raised SystemExit: 3",
    forks: "act: it forked the training process; the child was ended",
    forks_and_waits: "act: it forked the training process; the child was ended",
}
