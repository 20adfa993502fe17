"""What base and policy wrote to one problem, as a Markdown file."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from evals.records.files import CountsFile
from evals.records.reading import Text
from rlvr.core.run_dir import write_text
from rlvr.graders import Status

LONGEST_NAME = 80


def transcript_name(problem: str) -> str:
    """A file name for a problem id, whatever it holds: equal ids alone give equal names.

    An id that is no plain name is cleaned and gets 8 hex digits of its hash. Case does not tell names apart
    on every file system, so only lower-case ids are plain.
    """
    if re.fullmatch(rf"[a-z0-9][a-z0-9=_-]{{0,{LONGEST_NAME - 1}}}", problem):
        return f"{problem}.md"
    cleaned = re.sub(r"[^a-z0-9=_-]+", "_", problem.lower())[:LONGEST_NAME].strip("_")
    return f"{cleaned}.{hashlib.sha256(problem.encode()).hexdigest()[:8]}.md"


def write_transcript(
    file: Path,
    problem: str,
    about: CountsFile,
    solver: tuple[str, Sequence[Text]],
    other: tuple[str, Sequence[Text]],
) -> None:
    """Prompt, reference, the first correct sample of the side that solved the problem and the first sample of
    the other. solver, other: a side's name with its samples in the order of their indices."""
    solved = next(text for text in solver[1] if text.status == Status.CORRECT)
    parts = [
        f"# Problem {_inline(problem)}",
        "## Prompt",
        _fenced(about.prompts.get(problem, "not in the file")),
        "## Reference",
        _fenced(about.references.get(problem, "not in the file")),
        *_sample(solver[0], solved, len(solver[1])),
        *_sample(other[0], other[1][0], len(other[1])),
    ]
    write_text(file, "\n\n".join(parts) + "\n")


def turn_lines(text: Text) -> list[str]:
    """An episode turn by turn: whose words, how many tokens, whether they are trained on, and what they
    earned. Line breaks and blanks at the ends are shown as they are in Python."""
    lines = []
    for number, turn in enumerate(text.turns, start=1):
        size = turn.end - turn.start
        earned = f", reward {turn.reward:g}" if turn.reward else ""
        lines.append(f"{number:>3}  policy, {size} tokens, trained on{earned}: {turn.text!r}")
        if number < len(text.turns):
            between = text.turns[number].start - turn.end
            lines.append(f"     environment, {between} tokens: {turn.observation!r}")
    return lines


def _sample(side: str, text: Text, of: int) -> list[str]:
    answer = "no answer found" if text.extracted is None else f"answer {_inline(repr(text.extracted))}"
    cut = ", cut at the token limit" if text.finish_reason == "length" else ""
    step = ", with a wrong step" if text.sound is False else ""
    return [
        f"## {side}, sample {text.index} of {of}: {text.status}{step}",
        f"{answer}{cut}",
        _fenced(text.text),
    ]


def _inline(text: str) -> str:
    """Within a line: as it is where it has nothing that Markdown or a browser reads, else as code."""
    if re.fullmatch(r"[\w .,:;+=/'-]*", text):
        return text
    text = " ".join(text.split())
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence} {text} {fence}"


def _fenced(text: str) -> str:
    """As a code block whose fence the text cannot close."""
    fence = "`" * max(3, *(len(run) + 1 for run in re.findall("`+", text)), 3)
    return f"{fence}text\n{text}\n{fence}"
