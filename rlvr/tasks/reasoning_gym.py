"""Procedural tasks of reasoning-gym, such as reasoning_gym:chain_sum; see its list of data sets.

Problems are drawn by index when they are asked for. The first `test_problems` indices are the evaluation
set; a training problem whose question is also there is replaced by another, so the two never overlap.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Annotated, Any

from pydantic import Field

from rlvr.graders.plain_data import decode
from rlvr.graders.procedural.grader import ProceduralVerifier
from rlvr.graders.procedural.library import load
from rlvr.sandbox import CallFailed
from rlvr.tasks import GeneratedProblems, Problem, Task, TaskError
from rlvr.tasks.confined import confinement_for
from rlvr.tasks.templates import TemplateName, render

# A million problems are as good as endless: a step takes hundreds.
TRAIN_PROBLEMS = 1_000_000
MOST_DRAWS = 100


class TrainingProblems(GeneratedProblems):
    """`TRAIN_PROBLEMS` problems behind the evaluation set, none with a prompt of it."""

    def __init__(self, draws: Draws, held_out: Sequence[Problem], first: int):
        self.draws = draws
        self.held_out = {problem.prompt for problem in held_out}
        self.first = first
        self.identity = json.dumps([draws.identity, first, TRAIN_PROBLEMS])

    def __len__(self) -> int:
        return TRAIN_PROBLEMS

    def __getitem__(self, position: int) -> Problem:  # type: ignore[override]
        if not 0 <= position < TRAIN_PROBLEMS:
            raise IndexError(position)
        for draw in range(MOST_DRAWS):
            problem = self.draws.problem(self.first + position + draw * TRAIN_PROBLEMS, f"train-{position}")
            if problem.prompt not in self.held_out:
                return problem
        raise TaskError(
            f"reasoning_gym:{self.draws.verifier.name}: {MOST_DRAWS} draws in a row are in the evaluation "
            "set: there are too few different problems. Make task.test_problems smaller or "
            "task.parameters wider."
        )


class Draws:
    """The problems of a data set by index, under a template."""

    def __init__(self, verifier: ProceduralVerifier, template: TemplateName):
        self.verifier = verifier
        self.template = template
        self.identity = [verifier.name, verifier.settings, template, version("reasoning-gym")]

    def problem(self, index: int, name: str) -> Problem:
        """The problem at an index, any from 0. Raises TaskError."""
        try:
            entry = self.verifier.draw(index)
        except CallFailed as error:
            raise TaskError(f"reasoning_gym:{self.verifier.name}: no problem at {index}: {error}") from None
        if '{"object": ' in json.dumps(entry):
            raise TaskError(f"reasoning_gym:{self.verifier.name}: its entries hold more than plain data")
        return Problem(name, render(self.template, decode(entry)["question"]), {"entry": entry})


def reasoning_gym(
    variant: str,
    parameters: dict[str, Any] | None = None,
    template: TemplateName = "r1_zero",
    test_problems: Annotated[int, Field(ge=1)] = 200,
    data_seed: int = 0,
    partial_credit: bool = False,
    seconds: Annotated[float, Field(gt=0)] = 2.0,
    allow_unsafe: bool = False,
) -> Task:
    """A data set of reasoning-gym by name, with its configuration in `parameters`.

    Correct is the scorer's full score. partial_credit: a lower score is a wrong answer's reward. Among
    the first `test_problems` equal questions count once.
    """
    settings = _checked_settings(variant, {**(parameters or {}), "seed": data_seed})
    confinement = confinement_for(
        f"reasoning_gym:{variant}", "hands answers to the scorers of a library that runs code", allow_unsafe
    )
    verifier = ProceduralVerifier(
        variant, confinement, settings, template == "plain", partial_credit, seconds
    )
    draws = Draws(verifier, template)
    test: dict[str, Problem] = {}
    for index in range(test_problems):
        problem = draws.problem(index, f"test-{index}")
        test.setdefault(problem.prompt, problem)
    held_out = list(test.values())
    train = TrainingProblems(draws, held_out, test_problems)
    return Task(f"reasoning_gym:{variant}", train, held_out, verifier, template)


def _checked_settings(name: str, settings: Mapping[str, Any]) -> str:
    """The settings as JSON. Raises TaskError for a data set that cannot be made of them."""
    try:
        library = load()
    except ImportError:
        raise TaskError(
            "task reasoning_gym needs the package of that name: pip install 'rlvr[reasoning-gym]'"
        ) from None
    known = library.factory.DATASETS
    if name not in known:
        raise TaskError(f"reasoning_gym:{name}: no such data set; there are {', '.join(sorted(known))}")
    try:
        library.create_dataset(name, **settings)
    except (TypeError, ValueError, AssertionError) as error:
        raise TaskError(f"reasoning_gym:{name}: task.parameters do not fit: {error}") from None
    return json.dumps(settings, sort_keys=True)
