"""One line of probe.jsonl: everything that a probe says of one model on one task."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from evals.estimators.gap import pass_at_1_change, sampling_efficiency_gap
from evals.estimators.passk import ks_up_to, pass_at_k
from evals.estimators.solvability import ledger
from evals.measure import Measurement
from rlvr.verifiers import Status


@dataclass(frozen=True)
class GapRecord:
    """The run directory's contract. Shares are fractions 0..1; None stands where a number does not exist."""

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

    def at(self, k: int, base: bool = False) -> float | None:
        """pass@k of the policy, or of the base; None where it was not estimated."""
        values = self.base_pass_at_k if base else self.pass_at_k
        return values[self.ks.index(k)] if k in self.ks else None

    def metrics(self) -> dict[str, float]:
        """For the dashboards; the first task of a probe is keyed probe/*, see `evals.probe`."""
        named = {
            "gap": self.gap,
            "gap_low": self.gap_low,
            "gap_high": self.gap_high,
            "pass@1": self.at(1),
            f"pass@{self.gap_k}": self.at(self.gap_k),
            "truncated": self.truncated,
            "unparsed": self.unparsed,
            "duplicate_rate": self.duplicate_rate,
        }
        return {name: value for name, value in named.items() if value is not None}

    def row(self) -> dict[str, Any]:
        return asdict(self)


def compare(base: Measurement, policy: Measurement, k: int, **about: Any) -> GapRecord:
    """Holds a policy's measurement against the base's on the same problems.

    about: the fields that the measurements do not know (step, task, hashes, ...).
    """
    if base.problems != policy.problems:
        raise ValueError("base and policy were measured on different problems")
    b, c = base.correct, policy.correct
    ks = sorted({*ks_up_to(max(base.n, policy.n)), k})
    gap = sampling_efficiency_gap(base.n, b, policy.n, c, k) if k <= base.n else None
    change = pass_at_1_change(base.n, b, policy.n, c)
    solved = ledger(b, c)._asdict() if base.n == policy.n else dict.fromkeys(ledger(b, c)._fields)
    return GapRecord(
        num_problems=len(policy.problems),
        n=policy.n,
        base_n=base.n,
        ks=ks,
        pass_at_k=_curve(policy, ks),
        base_pass_at_k=_curve(base, ks),
        gap_k=k,
        gap=gap and gap.value,
        gap_low=gap and gap.interval.low,
        gap_high=gap and gap.interval.high,
        pass_at_1_change=change.value,
        change_low=change.interval.low,
        change_high=change.interval.high,
        **solved,
        truncated=policy.truncated,
        unparsed=policy.status_share(Status.UNPARSED),
        timed_out=policy.status_share(Status.TIMED_OUT),
        duplicate_rate=policy.duplicate_rate,
        **about,
    )


def _curve(measured: Measurement, ks: list[int]) -> list[float | None]:
    return [float(pass_at_k(measured.n, measured.correct, k).mean()) if k <= measured.n else None for k in ks]
