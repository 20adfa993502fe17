"""Which column of a data set holds what: as the user says, else guessed from common names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rlvr.config.errors import nearest
from rlvr.config.schema import Section
from rlvr.tasks import TaskError

# Tried in this order, whatever their case.
COMMON: dict[str, tuple[str, ...]] = {
    "problem": ("problem", "question", "prompt", "query", "instruction", "input", "text"),
    "answer": (
        "answer", "final_answer", "expected_answer", "reference_answer", "ground_truth", "gold", "target",
        "label", "reference", "output",
    ),
    "id": ("id", "unique_id", "uid", "problem_id", "question_id", "task_id", "idx"),
    "tests": ("tests", "test_cases", "test_list", "private_test_cases", "public_test_cases", "test"),
    "choices": ("choices", "options"),
    "solution": ("solution", "rationale", "explanation", "worked_solution", "canonical_solution", "cot"),
    "entry_point": ("entry_point", "function_name", "fn_name"),
    "split": ("split",),
}  # fmt: skip


class DataError(TaskError):
    """Data of the user's own cannot be used; the message names file, row and column."""

    status = 2


class Columns(Section):
    """The column of each part of a row; null: guessed, and the guess is printed.

    choices: one column with a list, or one column for each choice. solution: a worked solution, for
    examples. entry_point: of code, the function that the tests call. split: train or test. image: reserved.
    """

    problem: str | None = None
    answer: str | None = None
    id: str | None = None
    tests: str | None = None
    choices: str | tuple[str, ...] | None = None
    solution: str | None = None
    entry_point: str | None = None
    split: str | None = None
    image: str | None = None


def found_columns(
    given: Columns, needed: Sequence[str], there: Iterable[str], place: str
) -> tuple[Columns, list[str]]:
    """The columns with guesses filled in, and the guesses in words.

    needed: parts that every row must have. there: the columns of the data. Raises DataError for a named
    column that is not there, and a needed part that cannot be guessed.
    """
    there = list(dict.fromkeys(there))
    if given.image is not None:
        raise DataError("task.columns.image is reserved: images are not read yet, leave it out")
    for part, named in given.model_dump().items():
        for column in [named] if isinstance(named, str) else named or ():
            if column not in there:
                raise DataError(
                    f"{place} has no column {column!r} (task.columns.{part}); "
                    f"{nearest(column, there, 'it has')}"
                )
    spelled = {column.casefold(): column for column in reversed(there)}
    taken = {getattr(given, part) for part in COMMON}
    guesses: dict[str, str] = {}
    for part, names in COMMON.items():
        if getattr(given, part) is None:
            known = [spelled[name] for name in names if name in spelled and spelled[name] not in taken]
            if known:
                guesses[part] = known[0]
                taken.add(known[0])
    columns = given.model_copy(update=guesses)
    if missing := [part for part in needed if getattr(columns, part) is None]:
        raise DataError(
            f"{place} has no column named like {' or '.join(f'the {part}' for part in missing)}; it has "
            f"{', '.join(there) or 'none'}: give {' '.join(f'task.columns.{part}=NAME' for part in missing)}"
        )
    return columns, [f"{part} = {column}" for part, column in guesses.items()]


def present(values: Mapping[str, object], column: str | None) -> bool:
    """Whether a row has something in a column that it may lack."""
    return column is not None and values.get(column) is not None
