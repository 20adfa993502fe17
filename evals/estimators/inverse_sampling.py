"""What sampling each problem until its r-th success costs and gives, against a fixed number of samples."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from evals.estimators.designs import fixed_design, inverse_design


class Efficiency(NamedTuple):
    """Standard errors of mean pass@k over these problems, at equal samples.

    samples: per problem under inverse sampling, on average; the fixed design has `fixed_n`, the nearest
    whole number. relative: fixed / inverse; above 1 inverse sampling is the better.
    """

    samples: float
    fixed_n: int
    inverse: float
    fixed: float

    @property
    def relative(self) -> float:
        return self.fixed / self.inverse


def inverse_efficiency(rates: ArrayLike, r: int, n_max: int, k: int) -> Efficiency:
    """Exactly, by summing over all outcomes of both designs.

    rates: [P] the success rates of the problems. Raises ValueError where a problem gets fewer than k
    samples, for then the fixed design has no unbiased pass@k at equal samples.
    """
    p = np.asarray(rates, dtype=np.float64)
    inverse = inverse_design(r, n_max)
    samples = float(inverse.mean_samples(p).mean())
    fixed_n = max(round(samples), 1)
    error_inverse, error_fixed = (
        float(np.sqrt(design.error_variance(p, {k: 1.0}).sum())) / p.size
        for design in (inverse, fixed_design(fixed_n))
    )
    return Efficiency(samples, fixed_n, error_inverse, error_fixed)
