"""Mathematics benchmarks: what their rows hold, and the tasks made of them.

All but GSM8K and Omni-MATH-Rule have no training problems: they can only be probed.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from rlvr.graders.math.grader import MathVerifier
from rlvr.graders.math.study.grader import StudyVerifier
from rlvr.graders.soundness import SoundnessName, build_checker
from rlvr.tasks import Problem, Task, TaskError
from rlvr.tasks.data.references import (
    Answered,
    Reference,
    after_mark,
    answer_column,
    boxed_in_solution,
    check,
    final_answers,
)
from rlvr.tasks.overlap import text_key
from rlvr.tasks.sources import BadRows, Hub, Loaded, Row, load_problems
from rlvr.tasks.templates import MathTemplate, read_as, render
from rlvr.tasks.templates.chat import Thinking, chat_of

AnyGrader: TypeAlias = Literal["strict", "lenient", "study"]


class KeysError(TaskError):
    """Two keys of a task that do not go together."""

    status = 2


def _known(grader: Any) -> Any:
    if grader == "paper":
        raise PydanticCustomError(
            "renamed",
            "that grader is called lenient (strict's rules and more); study decides as the study's code does",
        )
    return grader


Grader: TypeAlias = Annotated[AnyGrader, BeforeValidator(_known)]
# Whether an answer may be rounded to the significant digits of a reference that is itself rounded.
Rounding: TypeAlias = Literal["none", "reference"]
# What is kept on one side of a split: questions of the same letters, digits and operators, or of equal text.
SplitBy: TypeAlias = Literal["letters", "text"]


@dataclass(frozen=True, slots=True)
class Benchmark:
    """Where one data set keeps questions and answers. problems: as published, for a recipe's cost."""

    question: str
    reference: Callable[[Row], Reference]
    problems: int
    hub: Hub | None = None


_GSM8K_REVISION = "cc7b047b6e5bb11b4f1af84efc572db110a51b3c"
BENCHMARKS = {
    "gsm8k_train": Benchmark(
        "question", after_mark, 7473, Hub("openai/gsm8k", "train", _GSM8K_REVISION, "main")
    ),
    "gsm8k": Benchmark("question", after_mark, 1319, Hub("openai/gsm8k", "test", _GSM8K_REVISION, "main")),
    "math500": Benchmark(
        "problem",
        answer_column,
        500,
        Hub("HuggingFaceH4/MATH-500", "test", "6e4ed1a2a79af7d8630a6b768ec859cb5af4d3be"),
    ),
    "minerva_math": Benchmark("problem", boxed_in_solution, 272),
    "olympiadbench": Benchmark("question", final_answers, 675),
    "aime24": Benchmark(
        "problem",
        answer_column,
        30,
        Hub("HuggingFaceH4/aime_2024", "train", "2fe88a2f1091d5048c0f36abc874fb997b3dd99a"),
    ),
    "amc23": Benchmark("problem", answer_column, 40),
    "omni_math_rule": Benchmark("problem", answer_column, 2821),
}
# Of those, 2000 are for training by default.
OMNI_TRAIN = 2000
# By what a probe calls them: the test problems of a task, or its train problems.
PUBLISHED_PROBLEMS = {name: b.problems for name, b in BENCHMARKS.items()} | {
    "omni_math_rule": BENCHMARKS["omni_math_rule"].problems - OMNI_TRAIN,
    "omni_math_rule/train": OMNI_TRAIN,
    "gsm8k/train": BENCHMARKS["gsm8k_train"].problems,
}


def gsm8k(
    source: str | None = None,
    train_source: str | None = None,
    template: MathTemplate = "r1_zero",
    grader: Grader = "strict",
    bad_rows: BadRows = "stop",
    system: str | None = None,
    thinking: Thinking | bool | None = None,
    soundness: SoundnessName = "arithmetic",
) -> Task:
    """GSM8K: 7,473 problems to train on (gsm8k_train), 1,319 to test (gsm8k).

    train_source: the training file, where `source` is the test file and not their directory.
    """
    test = _load("gsm8k", source, template, bad_rows)
    is_file = source is not None and source.endswith((".jsonl", ".gz", ".parquet"))
    train = _load("gsm8k_train", train_source or (None if is_file else source), template, bad_rows)
    if shared := {p.prompt for p in train.problems} & {p.prompt for p in test.problems}:
        raise TaskError(f"task gsm8k: {len(shared)} questions are in the training and in the test file")
    skipped = train.skipped + test.skipped
    task = _task("gsm8k", train.problems, test.problems, template, grader, skipped, soundness)
    return replace(task, chat=chat_of("gsm8k", template, system, thinking))


def omni_math_rule(
    source: str | None = None,
    template: MathTemplate = "r1_zero",
    grader: Grader = "strict",
    bad_rows: BadRows = "stop",
    train_problems: Annotated[int, Field(ge=1)] = OMNI_TRAIN,
    split_seed: int = 0,
    split_by: SplitBy = "letters",
    system: str | None = None,
    thinking: Thinking | bool | None = None,
    soundness: SoundnessName = "none",
) -> Task:
    """Omni-MATH-Rule: 2,821 rows, by default 2,000 to train on and 821 to test.

    The study's own split is unpublished; this one is drawn by seed. split_by: which questions stay
    together, those of the same letters, digits and operators, or of equal text alone.
    """
    loaded = _load("omni_math_rule", source, template, bad_rows)
    key = text_key if split_by == "letters" else str
    train, test = split(loaded.problems, train_problems, split_seed, key)
    task = _task("omni_math_rule", train, test, template, grader, loaded.skipped, soundness)
    return replace(task, chat=chat_of("omni_math_rule", template, system, thinking))


def minerva_math(
    source: str | None = None,
    template: MathTemplate = "r1_zero",
    grader: Grader = "strict",
    bad_rows: BadRows = "stop",
    rounding: Rounding = "none",
    system: str | None = None,
    thinking: Thinking | bool | None = None,
    soundness: SoundnessName = "none",
) -> Task:
    """Minerva: 272 problems, of whose references 130 are rounded or scientific numbers.

    rounding: "reference" takes an answer for right that rounds to the reference's significant digits.
    """
    if rounding != "none" and grader == "study":
        raise KeysError(
            "task minerva_math: rounding=reference goes with grader=strict or lenient; study has the "
            "tolerance of the study's code. Leave out rounding, or choose another grader"
        )
    loaded = _load("minerva_math", source, template, bad_rows)
    verifier = _verifier(template, grader, rounding == "reference", units=False)
    return Task(
        "minerva_math", [], loaded.problems, verifier, template, loaded.skipped,
        chat=chat_of("minerva_math", template, system, thinking), checker=build_checker(soundness),
    )  # fmt: skip


def _test_only(name: str) -> Callable[..., Task]:
    """The builder of a benchmark that has no training problems."""

    def build(
        source: str | None = None,
        template: MathTemplate = "r1_zero",
        grader: Grader = "strict",
        bad_rows: BadRows = "stop",
        soundness: SoundnessName = "none",
        system: str | None = None,
        thinking: Thinking | bool | None = None,
    ) -> Task:
        loaded = _load(name, source, template, bad_rows)
        task = _task(name, [], loaded.problems, template, grader, loaded.skipped, soundness)
        return replace(task, chat=chat_of(name, template, system, thinking))

    build.__name__ = name
    return build


math500 = _test_only("math500")
olympiadbench = _test_only("olympiadbench")
aime24 = _test_only("aime24")
amc23 = _test_only("amc23")


def split(
    problems: list[Problem], train: int, seed: int, key: Callable[[str], str]
) -> tuple[list[Problem], list[Problem]]:
    """A seeded split with `train` problems on the first side; prompts of one key are never parted.

    Keys that join more prompts move these alone, and as many at the border between the sides.
    """
    same: dict[str, list[Problem]] = {}
    for problem in problems:
        same.setdefault(problem.prompt, []).append(problem)
    shuffled = list(same.values())
    random.Random(f"split/{seed}").shuffle(shuffled)
    alike: dict[str, list[Problem]] = {}
    for cluster in shuffled:
        alike.setdefault(key(cluster[0].prompt), []).extend(cluster)
    sides: tuple[list[Problem], list[Problem]] = ([], [])
    for cluster in alike.values():
        sides[len(sides[0]) + len(cluster) > train].extend(cluster)
    return sides


def _load(name: str, source: str | None, template: MathTemplate, bad_rows: BadRows) -> Loaded:
    benchmark = BENCHMARKS[name]
    answered = Answered()

    def make(row: Row) -> Problem:
        reference, question = benchmark.reference(row), row.text(benchmark.question)
        check(reference)
        answered.add(row.number, question, reference)
        return Problem(row.id, render(template, question), reference, question)

    return load_problems(name, source, benchmark.hub, make, bad_rows)


def _task(
    name: str,
    train: Any,
    test: Any,
    template: MathTemplate,
    grader: AnyGrader,
    skipped: int,
    soundness: SoundnessName,
) -> Task:
    verifier, checker = _verifier(template, grader), build_checker(soundness)
    return Task(name, train, test, verifier, template, skipped, checker=checker)


def _verifier(
    template: MathTemplate, grader: AnyGrader, rounding: bool = False, units: bool = True
) -> MathVerifier | StudyVerifier:
    """units: whether the study's evaluator leaves units out."""
    if grader == "study":
        return StudyVerifier(read_as(template), units)
    return MathVerifier(read_as(template), grader, rounding)
