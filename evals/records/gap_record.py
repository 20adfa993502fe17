"""One line of probe.jsonl: everything that a probe says of one model on one task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from evals.estimators.gap import closed_fraction
from evals.estimators.intervals.means import METHOD
from evals.estimators.passk import ks_up_to
from evals.records.conditions import Conditions, check_comparable
from evals.records.differences import TurnRecord, coverage_k, curve, differences, turn_record
from evals.records.measurement import Measurement
from evals.records.schema import SCHEMA, read_fields
from evals.records.sound_record import SoundRecord, sound_record
from rlvr.core.records import distinct, read_lines


@dataclass(frozen=True)
class GapRecord:
    """The run directory's contract. Shares are fractions 0..1; None stands where a number does not exist.

    n, base_n: the most samples of a problem; stop_r, base_stop_r: sampled until the r-th success. samples:
    those that the numbers of the policy come from; samples_drawn: those that the probe newly drew for the
    record, for both sides and in all parts of the run.
    *_low, *_high: 95 % for new problems such as these; gap_these_*: for just these problems.
    coverage_lost: base pass@coverage_k - pass@coverage_k, at the largest k that both allow, gap_k at most.
    soundness: the checker that looked at the reasoning. sound: the same measures of right answers without a
    wrong step; None where one checker did not look at both sides, and where sampling stopped at a success.
    contaminated: problems that are copies of training problems; None where that was not looked for.
    control: what stood in the place of the verdict in the policy's rewards (`rewards.control`), if anything.
    intervals: how those for new problems were made; None: by a percentile bootstrap, as records once were.
    environment: what answered between the turns of episodes, with its limits; empty where nothing did. turns:
    pass@(k, T) of these; None without, and where sampling stopped at a success.
    """

    step: int
    task: str
    num_problems: int
    n: int
    base_n: int
    ks: list[int]
    pass_at_k: list[float | None]
    base_pass_at_k: list[float | None]
    gap_k: int
    gap: float | None
    gap_low: float | None
    gap_high: float | None
    pass_at_1_change: float
    change_low: float
    change_high: float
    gained: int | None
    lost: int | None
    both: int | None
    neither: int | None
    truncated: float
    unparsed: float
    timed_out: float
    duplicate_rate: float
    samples_drawn: int
    template: str
    sampling: dict[str, Any]
    grader: str
    policy_hash: str
    base_hash: str
    stop_r: int | None
    samples: int
    closed: float | None
    coverage_k: int
    coverage_lost: float
    base_shares: dict[str, float]
    data: str
    gap_these_low: float | None
    gap_these_high: float | None
    base_stop_r: int | None = None
    soundness: str | None = None
    sound: SoundRecord | None = None
    contaminated: int | None = None
    intervals: str | None = None
    environment: str = ""
    turns: TurnRecord | None = None
    control: str | None = None

    def at(self, k: int, base: bool = False) -> float | None:
        """pass@k of the policy, or of the base; None where it was not estimated."""
        values = self.base_pass_at_k if base else self.pass_at_k
        return values[self.ks.index(k)] if k in self.ks else None

    def sound_at(self, k: int) -> float | None:
        """The policy's pass@k of sound answers."""
        return None if self.sound is None or k not in self.ks else self.sound.pass_at_k[self.ks.index(k)]

    def metrics(self) -> dict[str, float]:
        """For the dashboards; the first task of a probe is keyed probe/*, see `evals.reports.dashboards`."""
        named = {
            "gap": self.gap,
            "gap_low": self.gap_low,
            "gap_high": self.gap_high,
            "closed": self.closed,
            "coverage_lost": self.coverage_lost,
            "coverage_k": self.coverage_k,
            "pass@1": self.at(1),
            f"pass@{self.gap_k}": self.at(self.gap_k),
            "truncated": self.truncated,
            "unparsed": self.unparsed,
            "timed_out": self.timed_out,
            "duplicate_rate": self.duplicate_rate,
        }
        if self.sound is not None:
            named |= {
                "sound_gap": self.sound.gap,
                "sound_pass@1": self.sound_at(1),
                f"sound_pass@{self.gap_k}": self.sound_at(self.gap_k),
                "unsound": self.sound.unsound,
                "undecided": self.sound.undecided,
            }
        if self.turns is not None:
            named |= {"failed": self.turns.failed}
            for at, value in enumerate(self.turns.pass_at_1, start=1):
                named[f"pass@1_turns@{at}"] = value
        return {name: value for name, value in named.items() if value is not None}

    def row(self) -> dict[str, Any]:
        return {**asdict(self), "schema": SCHEMA}


def read_records(path: Path) -> list[GapRecord]:
    """The records of a probe.jsonl, oldest first; empty where there is no file.

    Raises RecordError for damage, FileError for a row of a later schema, or without the fields of a record.
    """
    lines = read_lines(path)
    records = {line.number: read_record(line.row, f"{path}, line {line.number}") for line in lines}
    return [records[line.number] for line in distinct(path, lines, ["step", "task"])]


def read_record(row: Mapping[str, Any], where: str) -> GapRecord:
    """A record from its row. where: the file and line, for messages. Raises FileError."""
    record = read_fields(GapRecord, row, where)
    if isinstance(record.sound, Mapping):
        record = replace(record, sound=read_fields(SoundRecord, record.sound, f"{where}, sound"))
    if isinstance(record.turns, Mapping):
        record = replace(record, turns=read_fields(TurnRecord, record.turns, f"{where}, turns"))
    return record


def compare(base: Measurement, policy: Measurement, k: int, step: int, samples_drawn: int) -> GapRecord:
    """Holds a policy's measurement against the base's at K = k. Raises ConditionsError where not alike."""
    check_comparable(base.conditions, policy.conditions)
    about, p = policy.conditions, policy.counts
    # The same samples of the same model are one measurement, whose differences are 0 for certain.
    b = p if base.origin == policy.origin and base.counts == p else base.counts
    ks = sorted({*ks_up_to(max(b.n_max, p.n_max)), k})
    of_base, of_policy = curve(base.counts, ks), curve(p, ks)
    shares = _shares(policy.shares)
    return GapRecord(
        step=step,
        task=about.task,
        num_problems=len(policy.problems),
        n=p.n_max,
        base_n=b.n_max,
        ks=ks,
        pass_at_k=of_policy,
        base_pass_at_k=of_base,
        gap_k=k,
        **asdict(differences(b, p, k)),
        truncated=shares["truncated"],
        unparsed=shares["unparsed"],
        timed_out=shares["timed_out"],
        duplicate_rate=shares["duplicate_rate"],
        samples_drawn=samples_drawn,
        template=about.template,
        sampling=about_sampling(about),
        grader=about.grader,
        policy_hash=policy.origin.weights,
        base_hash=base.origin.weights,
        stop_r=p.stop_r,
        base_stop_r=b.stop_r,
        samples=p.samples,
        closed=_closed(of_base[0], of_base[ks.index(k)], of_policy[0]),
        coverage_k=coverage_k(b, p, k),
        base_shares=_shares(base.shares),
        data=about.data,
        soundness=policy.soundness,
        sound=_sound(base, policy, k, ks),
        intervals=METHOD,
        environment=about.environment,
        turns=_turns(base, policy, k),
    )


def _sound(base: Measurement, policy: Measurement, k: int, ks: list[int]) -> SoundRecord | None:
    one, other = base.sound, policy.sound
    if one is None or other is None or base.soundness != policy.soundness:
        return None
    same = base.origin == policy.origin and one.right == other.right
    return sound_record(other if same else one, other, k, ks)


def _turns(base: Measurement, policy: Measurement, k: int) -> TurnRecord | None:
    if base.turns is None or policy.turns is None:
        return None
    return turn_record(base.turns, policy.turns, k, policy.failed, base.failed)


def about_sampling(about: Conditions) -> dict[str, Any]:
    """How tokens were drawn, as JSON has it; without `stop` where there is none."""
    fields = {name: getattr(about, name) for name in ("temperature", "top_p", "max_new_tokens")}
    return fields | ({"stop": list(about.stop)} if about.stop else {})


def _closed(base_at_1: float | None, base_at_k: float | None, at_1: float | None) -> float | None:
    if base_at_1 is None or base_at_k is None or at_1 is None:
        return None
    return closed_fraction(base_at_1, base_at_k, at_1)


def _shares(shares: Mapping[str, float]) -> dict[str, float]:
    renamed = dict(shares)
    return {"duplicate_rate": renamed.pop("duplicates"), **renamed}
