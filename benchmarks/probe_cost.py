"""What samples of a probe buy: the width of its intervals by how many are drawn, at the study's size.

python benchmarks/probe_cost.py [problems=1321] [trained=307200] [runs=6] [measurements=20]

Simulated measurements of a base whose success rates are Beta(0.23, 2.06), pass@1 10 and pass@256 68 as on
Omni-MATH, and of a policy of pass@1 20 whose rates have the base's order, by the estimators that the probe
uses. samples: of one policy over all its checkpoints, and the base's, which `runs` runs share. Widths are
half of the 95 % interval for new problems, in points of 100, means over the measurements.
"""

from __future__ import annotations

import sys

import numpy as np
from numpy.typing import NDArray

from evals.estimators.counts import Counts
from evals.estimators.gap import gap, mean_pass_at_k, pass_at_k_difference
from evals.estimators.intervals.means import Estimate

K = 256
# (the base's stop_r, samples at two checkpoints, samples at the last, the last's stop_r)
DESIGNS = ((None, 8, 256, None), (8, 8, 256, 8), (2, 8, 256, 2), (None, 8, 64, None), (None, 8, 32, None),
           (None, 8, 16, None), (None, 8, 8, None), (8, 8, 16, None))  # fmt: skip


def measured(rates: NDArray[np.float64], n: int, stop_r: int | None, rng: np.random.Generator) -> Counts:
    """n samples of each problem, or as many as its r-th success takes."""
    right = rng.random((len(rates), n)) < rates[:, None]
    if stop_r is None:
        return Counts(n, right.sum(axis=1))
    so_far = right.cumsum(axis=1)
    drawn = np.minimum((so_far < stop_r).sum(axis=1) + 1, n)
    return Counts(drawn, so_far[np.arange(len(rates)), drawn - 1], stop_r, n)


def width(estimate: Estimate) -> float:
    """Half of the interval for new problems, in points of 100."""
    return 50 * (estimate.new_problems.high - estimate.new_problems.low)


def row(
    design: tuple[int | None, int, int, int | None], problems: int, trained: int, runs: int, repeats: int
) -> str:
    """One line of the table: the design's samples, their share of what a run draws, and the widths."""
    base_stop, between, final, final_stop = design
    found, drawn = [], []
    for seed in range(repeats):
        rng = np.random.default_rng(seed)
        at_base = rng.beta(0.23, 2.06, problems)
        at_policy = np.sort(rng.beta(0.3, 1.2, problems))[np.argsort(np.argsort(at_base))]
        base = measured(at_base, K, base_stop, rng)
        policy = measured(at_policy, final, final_stop, rng)
        widths = [gap(base, policy, K), mean_pass_at_k(policy, 1), pass_at_k_difference(base, policy, 1)]
        covers = [pass_at_k_difference(base, policy, K)] if policy.largest_k >= K else []
        found.append([*map(width, widths), *(map(width, covers) if covers else [np.nan])])
        drawn.append((base.samples, policy.samples + 2 * between * problems))
    of_base, of_policy = np.mean(drawn, axis=0)
    probed = [of_policy, of_policy + of_base / runs, of_policy + of_base]
    text = [f"{of_base:9,.0f}", f"{of_policy:9,.0f}", *(f"{n / (n + trained):6.0%}" for n in probed)]
    text += [f"{value:6.2f}" if np.isfinite(value) else "     -" for value in np.mean(found, axis=0)]
    name = f"base {K}{_stop(base_stop)}, {between} + {between} + {final}{_stop(final_stop)}"
    return f"{name:<44}" + " ".join(text)


def _stop(stop_r: int | None) -> str:
    return f" stop_r={stop_r}" if stop_r else ""


def main(problems: int = 1321, trained: int = 307_200, runs: int = 6, measurements: int = 20) -> None:
    """Prints the table. problems: probed. trained: samples that a run trains on."""
    print(f"{'':<44}{'of base':>9} {'of policy':>9} {'alone':>6} {'shared':>6} {'first':>6} "
          f"{'gap':>6} {'@1':>6} {'change':>6} {'@256':>6}")  # fmt: skip
    for design in DESIGNS:
        print(row(design, problems, trained, runs, measurements), flush=True)


if __name__ == "__main__":
    main(**{key: int(value) for key, value in (argument.split("=") for argument in sys.argv[1:])})
