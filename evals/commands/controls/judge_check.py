"""python -m evals judge-check RUN... judge.url=http://HOST:PORT judge.model=NAME [against=steps|arithmetic]
    [task=NAME] [max_samples=400] [seed=0] [out=FILE.json] [judge.prompt=FILE] [judge.votes=3] ...

How good is a judge of reasoning? Puts right answers of stored samples to it and holds its decisions against
those of an exact checker. RUN is a run directory, a directory of `evals probe`, or one
<task>.samples.parquet.

  judge.*        as soundness.* of `evals sound`: url, model, prompt, votes, temperature, max_tokens, key, ...
  against=       the exact checker; by default that of the task: steps for countdown, arithmetic for gsm8k
  task=          only the samples of this task
  max_samples=   right answers that are put to it, of each task, drawn with `seed`
  out=           the numbers as JSON

agreement: of the answers that both decided. precision: of those that the judge calls unsound, the share that
is. recall: of the unsound ones, the share that it calls so; open ones are not found. With 95 % intervals over
problems. What was found is kept in $RLVR_STORE, and stands beside the judge's numbers from then on.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from evals.commands.frame import OutFile, command
from evals.estimators.agreement import agreement
from evals.records.judge_checks import JudgeCheck, described, keep
from evals.records.samples import SAMPLES_SUFFIX, sample_files
from evals.records.soundness import RightAnswer, right_answers
from rlvr.config.errors import Mistake
from rlvr.config.schema import Positive, Section
from rlvr.core.errors import UserError
from rlvr.core.progress import plain_console, progress
from rlvr.core.run_dir import write_json
from rlvr.core.seeds import derive_seed
from rlvr.graders.soundness import NONE, SoundnessName, build_checker
from rlvr.graders.soundness.judge import Judge, JudgeSettings

# Answers that are put to the judge between two marks of progress, in units of requests at once.
TOGETHER = 8


class CheckError(UserError):
    """There is nothing to hold the judge against; the message says why."""


class Checking(Section):
    """What one command checks."""

    runs: tuple[Path, ...]
    judge: JudgeSettings
    against: SoundnessName | None = None
    task: str | None = None
    max_samples: Positive = 400
    seed: int = 0
    out: OutFile | None = None


def mistakes(settings: Checking) -> list[Mistake]:
    """What is wrong with the directories and the checker."""
    found = []
    if not settings.runs:
        found.append(Mistake("RUN", None, "give a run directory, or a file of samples"))
    if isinstance(settings.against, JudgeSettings) or settings.against == NONE:
        found.append(Mistake("against", None, "give an exact checker: steps or arithmetic"))
    for run in settings.runs:
        if not run.exists():
            found.append(Mistake(str(run), None, "there is no such directory or file"))
        elif not sample_files(run, settings.task):
            found.append(Mistake(str(run), None, f"holds no samples (<task>{SAMPLES_SUFFIX})"))
    return found


@command(Checking, mistakes, positional="runs")
def main(settings: Checking) -> None:
    """Raises JudgeError, EndpointError, CheckError, FileError."""
    console, judge = plain_console(), Judge(settings.judge)
    against = build_checker(settings.against) if settings.against is not None else None
    by_task: dict[tuple[str, str], list[RightAnswer]] = {}
    for run in settings.runs:
        for _, file in sample_files(run, settings.task):
            task, version, answers = right_answers(file, against)
            by_task.setdefault((task, version), []).extend(answers)
    checks = []
    for (task, version), answers in by_task.items():
        chosen = drawn(answers, settings.max_samples, settings.seed)
        if not chosen:
            raise CheckError(f"{task}: there is no right answer that {version} can decide on")
        decided = _decisions(judge, chosen, task)
        found = agreement([a.problem for a in chosen], decided, [a.sound for a in chosen])
        checks.append(JudgeCheck.of(judge.version, version, task, found))
        keep(checks[-1])
        console.print(described(checks[-1]), highlight=False, markup=False, soft_wrap=True)
    if settings.out is not None:
        write_json(settings.out, {"checks": [vars(check) for check in checks]})


def drawn(answers: Sequence[RightAnswer], most: int, seed: int) -> list[RightAnswer]:
    """`most` of them at most, in their order; each is as likely as any other."""
    rng = random.Random(derive_seed(seed, "judge-check", len(answers)))
    chosen = sorted(rng.sample(range(len(answers)), min(most, len(answers))))
    return [answers[i] for i in chosen]


def _decisions(judge: Judge, answers: Sequence[RightAnswer], task: str) -> list[bool | None]:
    size = TOGETHER * judge.settings.concurrency
    decided: list[bool | None] = []
    with progress(f"judging {task}", len(answers)) as display:
        for start in range(0, len(answers), size):
            part = answers[start : start + size]
            decided += judge.check_chains([a.chain for a in part])
            display.advance(len(part))
    return decided
