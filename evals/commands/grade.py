"""python -m evals grade task=NAME samples=IN.jsonl out=OUT.jsonl [split=test] [task.KEY=VALUE ...]
    [tokenizer=DIR] [strict=true]

Grades stored completions again, without a model. A line of samples is {"id": ..., "completion": ...}; it
is written to `out` with its verdict (correct, wrong, unparsed, timed_out), the extracted answer, the
seconds that the verdict took and, where the task has a checker of reasoning, `sound` (true, false, or null
where it could not decide). Other keys of a line are kept. Task keys are those of recipes, such as
task.grader=lenient; split says which of the task's problems the ids name, test or train. With
task.template=chat, tokenizer says whose chat template posed them: where that opens a thought, the answer
stands behind the thought's end.

Where most samples have no verdict, that is said first, with the cause where a verifier proves one: the same
completions are read again under every other template. strict=true makes it an error, exit status 3.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from evals.commands.frame import InDirectory, OutFile, command
from evals.records.judge_checks import remark
from rlvr.config.errors import Mistake
from rlvr.config.schema import Choice, Section
from rlvr.core.errors import UserError
from rlvr.core.progress import progress
from rlvr.core.run_dir import write_text
from rlvr.graders import Status, Verdict
from rlvr.tasks import Problem, Task, build_task
from rlvr.tasks.templates.chat import NAME as CHAT
from rlvr.tasks.templates.chat import posed
from rlvr.tasks.unread import Graded, UnreadError, warning

# Samples that are handed to the verifier together, between two marks of progress.
TOGETHER = 256


class SamplesError(UserError):
    """A line of the samples cannot be graded; the message names file and line."""

    status = 2


class Grading(Section):
    """What one command grades."""

    task: Choice
    samples: Path
    out: OutFile
    split: Literal["test", "train"] = "test"
    tokenizer: InDirectory | None = None
    strict: bool = False


def _check(settings: Grading) -> Sequence[Mistake]:
    if settings.tokenizer is None and settings.task.options.get("template") == CHAT:
        advice = (
            "task.template=chat needs it: the directory of the model that was sampled, or of its tokenizer"
        )
        return [Mistake("tokenizer", None, advice)]
    return []


@command(Grading, _check, builds_task=True)
def main(settings: Grading) -> int:
    """3 where most samples have no verdict, if strict. Raises TaskError, SamplesError or StartError, and then
    has graded nothing."""
    task = build_task(settings.task.name, **settings.task.options).in_one_turn("grade")
    if task.chat is not None and settings.tokenizer is not None:
        from rlvr.models.loading import load_tokenizer

        task = posed(task, load_tokenizer(settings.tokenizer))
    for note in task.notes:
        print(f"{task.name}: {note}", file=sys.stderr)
    rows = read_samples(settings.samples, task.test if settings.split == "test" else task.train)
    graded = grade(task, rows)
    write_text(settings.out, "".join(json.dumps(row) + "\n" for row in graded))
    counts = Counter(row["verdict"] for row in graded)
    some = [
        Graded(row["completion"], problem.reference, row["verdict"])
        for row, (_, problem) in zip(graded, rows, strict=True)
    ]
    lost = counts[Status.UNPARSED], counts[Status.TIMED_OUT]
    if unread := warning(task, len(graded), *lost, some):
        print(unread, file=sys.stderr, flush=True)
    shown = ", ".join(f"{counts[status]} {status}" for status in Status)
    print(f"{task.name}, {task.grader}: {len(graded)} samples: {shown}")
    if task.checker is not None:
        right = [row for row in graded if row["verdict"] == Status.CORRECT]
        unsound = sum(row["sound"] is False for row in right)
        undecided = sum(row["sound"] is None for row in right)
        print(
            f"reasoning, {task.soundness}: of {len(right)} right answers {unsound} have a wrong step, "
            f"{undecided} are undecided{remark([task.soundness])}"
        )
    return UnreadError.status if unread and settings.strict else 0


def read_samples(
    path: Path, problems: Sequence[Problem], skip_others: bool = False
) -> list[tuple[dict[str, Any], Problem]]:
    """Every line with the problem that its id names. Raises SamplesError.

    skip_others: leaves out lines of other problems, unless all are.
    """
    by_id = {problem.id: problem for problem in problems}
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise SamplesError(f"samples {path} cannot be read: {error.strerror}") from None
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            row = _sample(line)
            if str(row["id"]) not in by_id:
                if skip_others:
                    continue
                raise SamplesError(f"the task has no problem {row['id']!r} in this split")
        except SamplesError as error:
            raise SamplesError(f"{path}, line {number}: {error}") from None
        rows.append((row, by_id[str(row["id"])]))
    if not rows:
        raise SamplesError(f"{path} names none of the problems" if lines else f"{path} is empty")
    return rows


def _sample(line: bytes) -> dict[str, Any]:
    try:
        row = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise SamplesError(f"not a JSON object in UTF-8: {error}") from None
    if not isinstance(row, Mapping) or not {"id", "completion"} <= row.keys():
        raise SamplesError('not an object with "id" and "completion"')
    if not isinstance(row["completion"], str):
        raise SamplesError(f'"completion" is {row["completion"]!r:.60}, not a text')
    return dict(row)


def grade(task: Task, rows: Sequence[tuple[dict[str, Any], Problem]]) -> list[dict[str, Any]]:
    """The rows with verdict, extracted and seconds, in their order."""
    verdicts: list[Verdict] = []
    with progress(f"grading {task.name}", len(rows)) as display:
        for start in range(0, len(rows), TOGETHER):
            chunk = rows[start : start + TOGETHER]
            items = [(row["completion"], problem.reference) for row, problem in chunk]
            verdicts += task.grade(items, [problem.prompt for _, problem in chunk])
            display.advance(len(chunk))
    return [
        {**row, "verdict": v.status, "extracted": v.extracted, "seconds": v.seconds}
        | ({} if task.checker is None else {"sound": v.sound})
        for (row, _), v in zip(rows, verdicts, strict=True)
    ]
