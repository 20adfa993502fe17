"""python -m evals transcript DIR problem=ID [task=NAME] [step=N] [sample=I] [of=base]

Prints what was written to one problem, from its stored samples: prompt, reference, and one sample with its
verdict. An episode is shown turn by turn: what the policy wrote, which is what training counts, what the
environment answered, which it does not, and what was given for each turn.

DIR is a run directory, of which the last probe is taken or that of step N, or the directory that
`evals probe` wrote. sample is its index, by default that of the first right one, else the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from evals.commands.frame import command
from evals.commands.problems.ledger import LedgerOf, find_files
from evals.records.files import read_counts
from evals.records.reading import SAMPLES_SUFFIX, Text, read_texts
from evals.reports.transcripts import turn_lines
from rlvr.config.errors import ArgumentsError, Mistake
from rlvr.core.progress import plain_console
from rlvr.graders import Status


class TranscriptOf(LedgerOf):
    """What one command shows."""

    problem: str
    sample: Annotated[int, Field(ge=0)] | None = None
    of: Literal["policy", "base"] = "policy"


@command(TranscriptOf, positional="directory")
def main(settings: TranscriptOf) -> None:
    """Raises ArgumentsError or FileError."""
    base, policy = find_files(settings, "transcript")
    counts = base if settings.of == "base" else policy
    about = read_counts(counts)
    if settings.problem not in about.problems:
        some = ", ".join(about.problems[:5])
        raise _mistake("problem", settings.problem, f"none of those measured, such as {some}")
    texts = read_texts(counts.with_name(f"{counts.stem}{SAMPLES_SUFFIX}"), [settings.problem])
    text = _chosen(texts[settings.problem], settings.sample)
    lines = [
        f"problem {settings.problem}, {settings.of}, sample {text.index} of {len(texts[settings.problem])}: "
        f"{text.status}, {_ended(text)}",
        f"prompt: {about.prompts.get(settings.problem, 'not in the file')!r}",
        f"reference: {about.references.get(settings.problem, 'not in the file')}",
        *(turn_lines(text) or [text.text]),
        "no answer was found" if text.extracted is None else f"answer: {text.extracted!r}",
    ]
    plain_console().print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)


def _chosen(texts: Sequence[Text], index: int | None) -> Text:
    if index is None:
        return next((text for text in texts if text.status == Status.CORRECT), texts[0])
    if index >= len(texts):
        raise _mistake("sample", str(index), f"the problem has samples 0 to {len(texts) - 1}")
    return texts[index]


def _ended(text: Text) -> str:
    how = {"stop": "ended by itself", "length": "cut at the token limit", "failed": "its environment failed"}
    turns = f"{len(text.turns)} turns, " if text.turns else ""
    return f"{turns}{how[text.finish_reason]}"


def _mistake(key: str, given: str, advice: str) -> ArgumentsError:
    return ArgumentsError("transcript", [Mistake(key, given, advice)])
