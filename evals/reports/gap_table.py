"""What a probe says, as tables for the console."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.measure import Measurement
from rich.table import Table

from evals.estimators.passk import ks_up_to
from evals.records.gap_record import GapRecord
from evals.records.judge_checks import remark
from evals.reports.tables import interval, points, rough, table

# Added to the caption where problems were not sampled equally often.
STOPPED = (
    "\n<={r.n}: sampled to success {r.stop_r}, {r.samples:,} samples in all.\nThat serves the large k: "
    "pass@1 is less certain than with as many spread evenly."
)


def probe_table(records: Sequence[GapRecord], step: int) -> Group:
    """One column a task, at one step."""
    rows = [r for r in records if r.step == step]
    title = "Before training" if step == 0 else f"Probe after step {step}"
    return _table(title, rows, [r.task for r in rows])


def gap_table(records: Sequence[GapRecord]) -> Group:
    """Before training and at the last probe, two columns a task."""
    last = max(r.step for r in records)
    tasks = dict.fromkeys(r.task for r in records)
    rows = [r for task in tasks for r in records if r.task == task and r.step in (0, last)]
    heads = [f"{r.task}\n{'before' if r.step == 0 else f'step {r.step}'}" for r in rows]
    return _table("The gap before and after", rows, heads, together=2)


def pair_table(record: GapRecord) -> Group:
    """Of two models that were measured without a training run."""
    return _table("The model against the base", [record], [record.task])


def _table(title: str, records: Sequence[GapRecord], heads: Sequence[str], together: int = 1) -> Group:
    return Group("", _Fitting(title, records, heads, together), _caption(records), "")


@dataclass(frozen=True)
class _Fitting:
    """A column a record, in as many tables as the console's width asks for; `together` columns stay so."""

    title: str
    records: Sequence[GapRecord]
    heads: Sequence[str]
    together: int

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        left, title = len(self.records), self.title
        while left:
            taken = left
            made = self._columns(title, left, taken)
            while taken > self.together and _width(console, made) > options.max_width:
                taken -= self.together
                made = self._columns(title, left, taken)
            yield made
            left, title = left - taken, ""

    def _columns(self, title: str, left: int, taken: int) -> Table:
        at = len(self.records) - left
        k = self.records[0].gap_k
        made = table(title, "points of 100", *self.heads[at : at + taken])
        names = (
            "samples", "pass@1", "  change", "", f"pass@{k}", f"base @{k}", "gap", "",
            "closed", "gained / lost", "both / neither",
            *(f"@1 / @{k}, {t} turn{'s' * (t > 1)}" for t in _turns(self.records)),
            "sound pass@1", "  change", "", f"sound @{k}", "sound gap", "", "  gained / lost",
            "wrong step", "undecided", "truncated", "unparsed", "timed out", "duplicates",
        )  # fmt: skip
        cells = [_cells(r, k, _turns(self.records)) for r in self.records[at : at + taken]]
        for i, name in enumerate(names):
            row = [column[i] for column in cells]
            if any(row):
                made.add_row(
                    name, *row, style="bold" if name.startswith(("pass@1", "gap", "sound pass@1")) else None
                )
        return made


def _width(console: Console, made: Table) -> int:
    """Of a table that is not squeezed."""
    return Measurement.get(console, console.options.update(max_width=10_000), made).maximum


def _turns(records: Sequence[GapRecord]) -> list[int]:
    """The numbers of turns that have a row; none where there are no episodes."""
    most = max((len(r.turns.pass_at_1) for r in records if r.turns), default=0)
    return ks_up_to(most) if most else []


def _cells(r: GapRecord, k: int, turns: Sequence[int]) -> list[str]:
    base_k, policy_1 = r.at(k, base=True), r.at(1)
    is_base = r.policy_hash == r.base_hash
    return [
        f"{r.num_problems} x {'' if r.stop_r is None else '<='}{r.n}",
        points(policy_1),
        "" if is_base else points(r.pass_at_1_change, "+"),
        "" if is_base else interval(r.change_low, r.change_high, "+"),
        points(r.at(k)),
        points(base_k),
        points(r.gap),
        interval(r.gap_low, r.gap_high),
        "" if is_base or r.closed is None else f"{r.closed:.1%}",
        "" if is_base or r.gained is None else f"{r.gained} / {r.lost}",
        "" if is_base or r.both is None else f"{r.both} / {r.neither}",
        *(_turn_cell(r, t) for t in turns),
        *_sound_cells(r, k, is_base),
        f"{r.truncated:.1%}",
        f"{r.unparsed:.1%}",
        f"{r.timed_out:.1%}" if r.timed_out else "",
        f"{r.duplicate_rate:.1%}",
    ]


def _turn_cell(r: GapRecord, turns: int) -> str:
    """pass@(1, T) and pass@(K, T)."""
    if r.turns is None or turns > len(r.turns.pass_at_1):
        return ""
    return f"{points(r.turns.pass_at_1[turns - 1])} / {points(r.turns.pass_at_k[turns - 1])}"


def _failed(records: Sequence[GapRecord]) -> str:
    """A line for each measurement some of whose episodes failed."""
    return "".join(
        f"\n! {r.task}, step {r.step}: the environment failed in {r.turns.failed:.1%} of the episodes, which "
        "count as wrong."
        for r in records
        if r.turns is not None and r.turns.failed
    )


def _sound_cells(r: GapRecord, k: int, is_base: bool) -> list[str]:
    """Empty where no checker looked at the reasoning."""
    s = r.sound
    if s is None:
        return [""] * 9
    return [
        points(r.sound_at(1)),
        "" if is_base else points(s.pass_at_1_change, "+"),
        "" if is_base else interval(s.change_low, s.change_high, "+"),
        points(r.sound_at(k)),
        points(s.gap),
        interval(s.gap_low, s.gap_high),
        "" if is_base or s.gained is None else f"{s.gained} / {s.lost}",
        "-" if s.unsound is None else f"{s.unsound:.1%}",
        f"{s.undecided:.1%}" if s.undecided else "",
    ]


def _alarms(records: Sequence[GapRecord]) -> str:
    """A line for each measurement whose right answers are not, or not mostly, soundly reached."""
    lines = [
        f"\n! {r.task}, {'before training' if r.step == 0 else f'step {r.step}'}: {s.unsound:.0%} of right "
        f"answers have a wrong step {_percent(s.unsound_low, s.unsound_high)}:\n  pass@1 is "
        f"{points(r.at(1))}, sound {points(r.sound_at(1))}."
        for r in records
        if (s := r.sound) is not None and s.apart and s.unsound is not None
    ]
    return "".join(lines)


def _copies(records: Sequence[GapRecord]) -> str:
    """A line for each task some of whose problems are trained on in other spelling."""
    found = {r.task: r for r in records if r.contaminated}
    return "".join(
        f"\n! {task}: {r.contaminated} of {r.num_problems} problems are copies of training problems:\n"
        "  see python -m evals contamination."
        for task, r in found.items()
    )


def _controls(records: Sequence[GapRecord]) -> str:
    """A line where rewards were not what answers earn."""
    found = dict.fromkeys(r.control for r in records if r.control)
    return "".join(f"\n! A control: the policy was rewarded by rewards.control={name}." for name in found)


def _rough(records: Sequence[GapRecord]) -> str:
    """A line where a task has too few problems for its intervals, and one for how old ones were made."""
    few = rough(min(r.num_problems for r in records))
    old = any(r.intervals is None for r in records)
    said = "Intervals of a former version: percentile bootstrap, too narrow below 100 problems."
    return (f"\n{few}" if few else "") + (f"\n{said}" if old else "")


def _percent(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"[{100 * low:.0f}, {100 * high:.0f}]"


def _explained(records: Sequence[GapRecord]) -> str:
    """What the rows of soundness mean."""
    checkers = dict.fromkeys(r.soundness for r in records if r.sound is not None and r.soundness)
    if not checkers:
        return ""
    return (
        f"\nsound: right, and no wrong step was found by {', '.join(checkers)}.\n"
        "wrong step: the share of right answers that have one." + remark(checkers)
    )


def _stops(strings: Sequence[str] | None) -> str:
    """At which strings completions ended, if at any."""
    return f", ended at {' or '.join(map(repr, strings))}" if strings else ""


def _caption(records: Sequence[GapRecord]) -> str:
    r, s = records[0], records[0].sampling
    most = "" if r.base_stop_r is None else f"to success {r.base_stop_r}, at most "
    stopped = next((one for one in records if one.stop_r and one.policy_hash != one.base_hash), None)
    return (
        f"temperature {s['temperature']}, top-p {s['top_p']}, {most}{r.base_n} samples per problem of the "
        f"base{_stops(s.get('stop'))}.\n"
        f"gap = base pass@{r.gap_k} - pass@1; closed = the share of it that training closed.\n"
        "[a, b]: 95 % interval over problems, paired.\n"
        "gained / lost: problems solved at least once by the policy alone / base alone."
        + (
            "\n@1 / @k, T turns: solved within T turns, in one try and in one of k."
            if _turns(records)
            else ""
        )
        + _failed(records)
        + _explained(records)
        + _alarms(records)
        + _copies(records)
        + _controls(records)
        + _rough(records)
        + (STOPPED.format(r=stopped) if stopped else "")
    )
