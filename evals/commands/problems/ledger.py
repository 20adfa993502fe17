"""python -m evals ledger DIR [task=NAME] [step=N] [out=DIR]

Which problems did training gain, and which did it lose? DIR is a run directory, of which the last probe is
taken or that of step N, or the directory that `evals probe` wrote. Prints how many problems each side solved,
McNemar's exact p-value, and the problems that one side alone solved, each with an upper bound on the success
probability of the side that did not, and that side's chance to solve it in as many draws again.

out gets ledger.jsonl, one object a problem, and transcripts/: for each problem that one side alone solved its
prompt, its reference and what both sides wrote.

Where a checker looked at the reasoning (`python -m evals sound`), the same is said of sound answers, and a
problem that the policy solved and never soundly is a class of its own: right, for a wrong reason.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from rich.table import Table

from evals.commands.frame import command
from evals.estimators.counts import Counts
from evals.estimators.empirical_bayes import fit_beta
from evals.estimators.solvability import (
    Outcome,
    chance_to_solve,
    equal_draws,
    expected_ledger,
    ledger,
    mcnemar,
    outcomes,
    rate_bound,
)
from evals.records.files import BASE_FOLDER, FileError, counts_file, plain_name
from evals.records.judge_checks import remark
from evals.records.probe_dir import ProbeDir
from evals.records.reading import MeasurementFile, both_sound, read_comparable, read_texts
from evals.records.samples import SAMPLES_SUFFIX
from evals.reports.tables import points, table
from evals.reports.transcripts import transcript_name, write_transcript
from rlvr.config.errors import ArgumentsError, Mistake
from rlvr.config.schema import Choice, Section
from rlvr.core.progress import plain_console
from rlvr.core.run_dir import write_text

ONE_SIDE = (Outcome.GAINED, Outcome.LOST)


class LedgerOf(Section):
    """Whose ledger one command prints."""

    directory: Path
    task: Choice | None = None
    step: int | None = None
    out: Path | None = None


@dataclass(frozen=True)
class Entry:
    """One problem. bound: upper 95 % posterior bound of the success probability of the side that never
    solved it, under the prior that its counts fit; chance: that it solves the problem in as many draws
    again; both None where no side or both sides solved it. transcript: relative to the ledger.

    base_sound, sound: right answers without a wrong step; sound_outcome: who solved it by these;
    wrong_reason: whether the policy solved it, and never soundly. None where nobody looked."""

    problem: str
    outcome: Outcome
    base_correct: int
    base_n: int
    correct: int
    n: int
    bound: float | None
    chance: float | None
    transcript: str | None
    base_sound: int | None = None
    sound: int | None = None
    sound_outcome: Outcome | None = None
    wrong_reason: bool | None = None


@command(LedgerOf, positional="directory")
def main(settings: LedgerOf) -> None:
    """Raises ArgumentsError, FileError, or ConditionsError for files that cannot be compared."""
    base_file, policy_file = find_files(settings)
    base, policy = read_comparable(base_file, policy_file)
    entries = make_entries(base, policy, settings.out is not None)
    if settings.out is not None:
        write_ledger(settings.out, entries, base, base_file, policy_file)
    console = plain_console()
    console.print(_summary(base, policy))
    if entries:
        console.print(_problems(entries))
    if settings.out is not None:
        console.print(f"written to {settings.out}", soft_wrap=True)


def find_files(settings: LedgerOf, command: str = "ledger") -> tuple[Path, Path]:
    """The counts of base and policy. command: for messages. Raises ArgumentsError with every mistake."""
    here = ProbeDir(settings.directory)
    steps = here.probed()
    # A probe measures one task after the other, so the newest may not have got to this one.
    file = counts_file(Path(), settings.task.name).name if settings.task else "*.parquet"
    complete = [step for step, path in steps.items() if any(path.glob(file))]
    step = settings.step if settings.step in steps else max(complete or steps, default=None)
    directory = settings.directory if step is None else steps[step]
    base = settings.directory / BASE_FOLDER if step is None else here.base
    mistakes = []
    if settings.step is not None and settings.step not in steps:
        known = ", ".join(map(str, sorted(steps))) or "none, this is no run directory with probes"
        mistakes.append(Mistake("step", settings.step, f"there is no probe of it; steps: {known}"))
    tasks = sorted(
        path.stem for path in directory.glob("*.parquet") if not path.name.endswith(SAMPLES_SUFFIX)
    )
    name = plain_name(settings.task.name) if settings.task else (tasks[0] if len(tasks) == 1 else None)
    if not tasks:
        mistakes.append(Mistake("directory", str(directory), "holds no measurement (<task>.parquet)"))
    elif name not in tasks:
        given = settings.task.name if settings.task else None
        mistakes.append(Mistake("task", given, f"give one of those measured: {', '.join(tasks)}"))
    elif not (base / f"{name}.parquet").is_file():
        mistakes.append(Mistake("directory", str(base), f"holds no measurement of the base ({name}.parquet)"))
    if settings.task and settings.task.options:
        mistakes.append(Mistake("task", settings.task.options, "its keys are not needed, the name is enough"))
    if settings.out is not None and settings.out.exists():
        mistakes.append(Mistake("out", str(settings.out), "is there already; give another directory"))
    if mistakes:
        raise ArgumentsError(command, mistakes)
    return base / f"{name}.parquet", directory / f"{name}.parquet"


def make_entries(base: MeasurementFile, policy: MeasurementFile, transcripts: bool) -> list[Entry]:
    """One a problem; none where the two sides had unequally many draws, which would favour one of them.

    transcripts: whether entries name theirs. The prior of a success probability is the Beta that the
    side's own counts fit best.
    """
    one, other = base.counts, policy.counts
    if not equal_draws(one, other):
        return []
    entries = []
    priors = {Outcome.GAINED: fit_beta(one), Outcome.LOST: fit_beta(other)}
    found = zip(
        policy.problems,
        outcomes(one.correct, other.correct),
        one.correct,
        one.n,
        other.correct,
        other.n,
        strict=True,
    )
    for problem, outcome, base_correct, base_n, correct, n in found:
        one_side = outcome in ONE_SIDE
        tried = int(base_n if outcome is Outcome.GAINED else n)
        prior = priors.get(outcome)
        entries.append(
            Entry(
                problem,
                outcome,
                int(base_correct),
                int(base_n),
                int(correct),
                int(n),
                bound=rate_bound(tried, a=prior.a, b=prior.b) if prior else None,
                chance=chance_to_solve(tried, tried, a=prior.a, b=prior.b) if prior else None,
                transcript=f"transcripts/{transcript_name(problem)}" if one_side and transcripts else None,
            )
        )
    return _with_soundness(entries, base, policy, transcripts)


def _with_soundness(
    entries: Sequence[Entry], base: MeasurementFile, policy: MeasurementFile, transcripts: bool
) -> list[Entry]:
    """With what the checker said, where it looked at both sides."""
    sides = both_sound(base, policy)
    if sides is None:
        return [*entries]
    ours = [side.sound.correct for side in sides]
    found = zip(entries, *ours, outcomes(*ours), sides[1].only_unsound, strict=True)
    return [
        replace(
            entry,
            base_sound=int(base_sound),
            sound=int(sound),
            sound_outcome=outcome,
            wrong_reason=bool(wrong),
            transcript=f"transcripts/{transcript_name(entry.problem)}"
            if transcripts and wrong
            else entry.transcript,
        )
        for entry, base_sound, sound, outcome, wrong in found
    ]


def write_ledger(
    out: Path, entries: Sequence[Entry], base: MeasurementFile, base_file: Path, policy_file: Path
) -> None:
    """ledger.jsonl and the transcripts. Raises FileError, before anything is written, for missing samples."""
    if not entries:
        raise FileError(
            f"out={out}: base and policy had unequally many draws, so that no problem is gained or lost; "
            "measure both with the same n"
        )
    one_side = [entry for entry in entries if entry.transcript is not None]
    problems = [entry.problem for entry in one_side]
    texts = [
        read_texts(file.with_name(f"{file.stem}{SAMPLES_SUFFIX}"), problems)
        for file in (base_file, policy_file)
    ]
    (out / "transcripts").mkdir(parents=True)
    for entry in one_side:
        sides = [("Base", texts[0][entry.problem]), ("Policy", texts[1][entry.problem])]
        by_policy = entry.outcome in (Outcome.GAINED, Outcome.BOTH)
        other, solver = sides if by_policy else sides[::-1]
        write_transcript(out / str(entry.transcript), entry.problem, base.measured, solver, other)
    write_text(out / "ledger.jsonl", "".join(json.dumps(asdict(entry)) + "\n" for entry in entries))


def _summary(base: MeasurementFile, policy: MeasurementFile) -> Table:
    b, p = base.counts, policy.counts
    conditions = policy.measured.conditions
    title = f"{conditions.task if conditions else policy.name}: problems solved"
    if equal_draws(b, p):
        found = ledger(b.correct, p.correct)
        looked = both_sound(base, policy)
        heads = ["problems"] if looked is None else ["problems", "soundly"]
        shown = table(f"{title} in {sizes(p)}", "", *heads)
        ledgers = [found]
        if looked is not None:
            ledgers.append(ledger(*(side.sound.correct for side in looked)))
        for name in found._fields:
            shown.add_row(name, *(str(getattr(own, name)) for own in ledgers))
        shown.add_row("McNemar's p", *(f"{mcnemar(own.gained, own.lost):.3g}" for own in ledgers))
        if looked is not None:
            wrong = [int(side.only_unsound.sum()) for side in looked]
            shown.add_row("right, for a wrong reason", f"{wrong[1]}")
            shown.caption = (
                f"soundly: by a right answer without a wrong step ({policy.measured.soundness}).\n"
                f"right, for a wrong reason: the policy solved them, and never soundly; the base {wrong[0]}."
                + remark([policy.measured.soundness])
            )
        return shown
    k = min(b.largest_k, p.largest_k)
    shown = table(f"{title} in {k}, expected", "", "problems")
    for name, expected in expected_ledger(b, p, k)._asdict().items():
        shown.add_row(name, f"{expected:.1f}")
    shown.caption = (
        f"The base was drawn up to {b.n_max} times, the policy {p.n_max} times: "
        "no single problem is gained or lost."
    )
    return shown


def sizes(counts: Counts) -> str:
    """How many samples per problem has: 256, or 4 to 9."""
    least, most = int(counts.n.min()), int(counts.n.max())
    return str(most) if least == most else f"{least} to {most}"


def _problems(entries: Sequence[Entry]) -> Table:
    """The problems that one side alone solved."""
    heads = ["base", "policy", "other side\nat most", "in as many\nmore"]
    linked = any(entry.transcript for entry in entries)
    shown = table("Solved by one side alone", "problem", "", *heads, *(["transcripts/"] if linked else []))
    shown.caption = (
        "at most: 95 % posterior bound of that side's success probability; its prior is the Beta "
        "that fits all its counts best."
    )
    for entry in sorted(entries, key=lambda e: (e.outcome, e.problem)):
        if entry.outcome in ONE_SIDE:
            link = [Path(entry.transcript).name] if entry.transcript else []
            shown.add_row(
                entry.problem,
                entry.outcome,
                f"{entry.base_correct}/{entry.base_n}",
                f"{entry.correct}/{entry.n}",
                f"{points(entry.bound)} %",
                f"{points(entry.chance)} %",
                *link,
            )
    return shown
