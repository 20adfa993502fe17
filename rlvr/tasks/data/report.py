"""What a task would train and probe on, as text: counts, lengths, repeats, prompts, references graded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rlvr.graders import Verdict
from rlvr.graders.answers.reading import PLACE_OF
from rlvr.graders.math.grader import MathVerifier
from rlvr.tasks import GeneratedProblems, Problem, Task
from rlvr.tasks.data.posing import Posing
from rlvr.tasks.data.reading import Item
from rlvr.tasks.data.task import Made
from rlvr.tasks.overlap import question

SHOWN = 5
WIDTH = 600
# Of a split too long to list.
LOOKED_AT = 1000


@dataclass(frozen=True)
class Lengths:
    """How prompts are measured. unit: tokens or characters. room: units that a prompt may have, if known."""

    of: Callable[[Sequence[Problem]], Sequence[int]]
    unit: str
    room: int | None = None


@dataclass(frozen=True)
class Report:
    """Lines to print, and why the data cannot be used, empty where it can."""

    lines: list[str]
    faults: list[str]


def report(task: Task, lengths: Lengths, made: Made | None = None) -> Report:
    """Of a task as it would be posed. made: what is behind it, where it is data of the user's own."""
    faults: list[str] = []
    lines = [f"{task.name}: {len(task.train):,} to train on, {len(task.test):,} to test"]
    lines += [f"  template {task.template}, graded by {task.grader}, ends at {_quoted(task.ends)}"]
    lines += _rows(made) if made else [f"  {task.skipped:,} bad rows left out"]
    splits = {"train": _listed(task.train), "test": _listed(task.test)}
    for name, problems in splits.items():
        lines += _lengths(name, problems, lengths, faults)
    lines += _repeats(task, splits)
    if not any(splits.values()):
        faults.append("there is no problem")
    lines += ["", "prompts:"]
    for problem in spread([*splits["train"], *splits["test"]]):
        lines += [f"- {problem.id}: {_cut(problem.prompt)!r}"]
    lines += ["", "references against themselves:", *_references(task, made, faults)]
    lines += [""] + [f"cannot be used: {fault}" for fault in faults] if faults else []
    return Report(lines, faults)


def _rows(made: Made) -> Iterator[str]:
    rows = made.read
    yield f"  {rows.rows:,} rows in {', '.join(str(file.path) for file in made.files)}"
    named = {part: column for part, column in rows.columns.model_dump().items() if column is not None}
    yield f"  columns: {', '.join(f'{part} = {column}' for part, column in named.items())}"
    yield from (f"  {note}" for note in made.task.notes if "bad rows" not in note)
    for kind, count in rows.complaints.kinds.most_common():
        yield f"  left out: {count:,} x {kind}"
    yield from (f"    {line}" for line in rows.complaints.first)
    if (rest := rows.complaints.count - len(rows.complaints.first)) > 0:
        yield f"    and {rest:,} more"


def _listed(split: Sequence[Problem]) -> list[Problem]:
    if isinstance(split, GeneratedProblems):
        return [split[i] for i in range(min(LOOKED_AT, len(split)))]
    return list(split)


def _lengths(name: str, problems: Sequence[Problem], lengths: Lengths, faults: list[str]) -> Iterator[str]:
    if not problems:
        return
    sizes = sorted(zip(lengths.of(problems), (problem.id for problem in problems), strict=True))
    at = [sizes[min(len(sizes) - 1, int(share * len(sizes)))] for share in (0, 0.5, 0.95, 1)]
    words = ("least", "median", "95 %", "most")
    shown = ", ".join(f"{word} {size:,}" for word, (size, _) in zip(words, at, strict=True))
    yield f"  {name} prompts in {lengths.unit}: {shown} (problem {at[-1][1]})"
    if lengths.room is not None and (long := [i for size, i in sizes if size > lengths.room]):
        faults.append(
            f"{len(long):,} {name} prompts leave no room for a completion in a context of "
            f"{lengths.room + 1:,} tokens, such as problem {long[-1]}"
        )


def _repeats(task: Task, splits: Mapping[str, Sequence[Problem]]) -> Iterator[str]:
    """Questions that stand several times in a split, and in both."""
    counts = {name: Counter(question(task, p) for p in problems) for name, problems in splits.items()}
    for name, found in counts.items():
        again = sum(count - 1 for count in found.values())
        first = next((p.id for p in splits[name] if found[question(task, p)] > 1), "")
        yield f"  {name}: {again:,} rows repeat a question" + (f", such as problem {first}" if again else "")
    both = counts["train"].keys() & counts["test"].keys()
    yield f"  {len(both):,} questions are in both splits"


def spread(problems: Sequence[Any]) -> list[Any]:
    """Five of them from the first to the last."""
    count = min(SHOWN, len(problems))
    return [problems[i * (len(problems) - 1) // max(1, count - 1)] for i in range(count)]


def _references(task: Task, made: Made | None, faults: list[str]) -> Iterator[str]:
    pairs = _of_data(made) if made else _of_math(task)
    if not pairs:
        yield "  not graded: nothing says how a right completion is written"
        return
    verifier = made.task.verifier if made else task.verifier
    verdicts = verifier.grade([(text, reference) for _, text, reference in pairs])
    for (name, text, _), verdict in zip(pairs, verdicts, strict=True):
        yield f"- {name}: {verdict.status}, read {_read(verdict)} in {_cut(text)!r}"
    if not any(verdict.correct for verdict in verdicts):
        faults.append(
            "the verifier takes none of the references above for right, as a completion would give them"
        )


def _of_data(made: Made) -> list[tuple[str, str, Any]]:
    """(id, completion, reference) of rows that say how a right completion is written."""
    known = [item for item in (*made.train, *made.test) if item.parts.answer]
    return [(item.id, _said(made.posing, item, made), item.parts.reference) for item in spread(known)]


def _said(posing: Posing, item: Item, made: Made) -> str:
    text = posing.right(item.parts, worked=False)
    return f"</think>{text}" if made.task.grader.endswith("+thought") else text


def _of_math(task: Task) -> list[tuple[str, str, Any]]:
    if not isinstance(task.verifier, MathVerifier):
        return []
    place = PLACE_OF[task.verifier.template]
    forms = {"tags": "<answer> {} </answer>", "boxed": "\\boxed{{{}}}", "stated": "Answer: {}"}
    chosen = spread([*task.train, *task.test])
    return [(p.id, forms[place].format(p.reference), p.reference) for p in chosen]


def _read(verdict: Verdict) -> str:
    return "nothing" if verdict.extracted is None else repr(_cut(verdict.extracted))


def _quoted(strings: Sequence[str]) -> str:
    return ", ".join(map(repr, strings)) or "an end-of-sequence token alone"


def _cut(text: str) -> str:
    half = WIDTH // 2
    return text if len(text) <= WIDTH else f"{text[:half]} ... {text[-half:]}"
