"""Tasks: a name -> problems and the verifier that decides them, for training and evaluation alike.

A task is built by the function named in `TASKS`; that function's keyword arguments are the task's
configuration keys. A name may carry a variant after a colon (`countdown:4`), which is passed on as
the keyword argument `variant`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rlvr import builders
from rlvr.verifiers import Verifier

# name -> module:function that builds it
TASKS = {
    "countdown": "rlvr.tasks.countdown:countdown",
    "gsm8k": "rlvr.tasks.math:gsm8k",
    "math500": "rlvr.tasks.math:math500",
    "minerva_math": "rlvr.tasks.math:minerva_math",
    "olympiadbench": "rlvr.tasks.math:olympiadbench",
    "aime24": "rlvr.tasks.math:aime24",
    "amc23": "rlvr.tasks.math:amc23",
    "omni_math_rule": "rlvr.tasks.math:omni_math_rule",
    "humaneval_plus": "rlvr.tasks.code:humaneval_plus",
    "mbpp_plus": "rlvr.tasks.code:mbpp_plus",
    "livecodebench": "rlvr.tasks.livecodebench:livecodebench",
    "reasoning_gym": "rlvr.tasks.reasoning_gym:reasoning_gym",
}


class TaskError(ValueError):
    """A task's data cannot be used; the message names file, row and column."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem: `prompt` is the text the model continues, `reference` what the verifier needs."""

    id: str
    prompt: str
    reference: Any


class GeneratedProblems(Sequence[Problem]):
    """Problems that are made when asked for, too many to list. identity: all that they depend on."""

    identity: str


@dataclass(frozen=True)
class Task:
    """Problems and the one verifier that decides them.

    train, test: disjoint problem sets; training draws from the first, the probe from the second.
    template, grader: names stamped on every result, since numbers compare only within one of each.
    skipped: bad rows of the data that were left out, where the configuration allows it.
    """

    name: str
    train: Sequence[Problem]
    test: Sequence[Problem]
    verify: Verifier
    template: str
    grader: str
    skipped: int = 0

    def data_hash(self) -> str:
        """Hash of both splits, in order: 16 hex digits."""
        rows: list[Any] = []
        for split in (self.train, self.test):
            generated = isinstance(split, GeneratedProblems)
            rows += [split.identity] if generated else [[p.id, p.prompt, p.reference] for p in split]
        return hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()[:16]


def build_task(name: str, **options: Any) -> Task:
    """The named task; options are its builder's keyword arguments. Raises TaskError if its data is unfit."""
    return builders.build(TASKS, name, options)
