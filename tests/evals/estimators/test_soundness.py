"""Sound answers: shares by hand, and when sound pass@1 and pass@1 are apart."""

from __future__ import annotations

import numpy as np
import pytest

from evals.estimators.counts import Counts
from evals.estimators.soundness import SoundCounts, apart, undecided_share, unsound_share

RIGHT = [4, 2, 0, 8]


def test_by_hand() -> None:
    found = SoundCounts.of(Counts(8, RIGHT), [1, 0, 0, 8], [0, 0, 0, 2])
    assert found.unsound.tolist() == [3, 2, 0, 0]
    assert found.only_unsound.tolist() == [False, True, False, False]
    unsound, undecided = unsound_share(found), undecided_share(found)
    assert unsound is not None and undecided is not None
    assert unsound.value == pytest.approx(5 / 14) and undecided.value == pytest.approx(2 / 14)
    assert unsound.interval.low == 0 and unsound.interval.high == pytest.approx(1, abs=0.25)
    assert found.sound.pass_at_k(1).tolist() == [1 / 8, 0, 0, 1]


def test_nothing_right_has_no_share() -> None:
    assert unsound_share(SoundCounts.of(Counts(8, [0, 0]), [0, 0], [0, 0])) is None


@pytest.mark.parametrize(
    ("right", "sound", "undecided"),
    [([2, 2], [3, 0], [0, 0]), ([2, 2], [1, 1], [2, 0])],
)
def test_counts_that_no_checker_gives_are_refused(
    right: list[int], sound: list[int], undecided: list[int]
) -> None:
    with pytest.raises(ValueError, match="sound answers are right ones"):
        SoundCounts.of(Counts(4, right), sound, undecided)


def test_sampling_to_a_success_is_refused() -> None:
    stopped = Counts([4, 8], [2, 1], stop_r=2, n_max=8)
    with pytest.raises(ValueError, match="number of samples is fixed"):
        SoundCounts.of(stopped, [1, 1], [0, 0])


def test_apart_only_beyond_the_luck_of_the_problems() -> None:
    rng = np.random.default_rng(0)
    right = rng.binomial(256, rng.beta(1, 5, 100))
    few, many = (
        SoundCounts.of(Counts(256, right), (right * share).astype(int), 0 * right) for share in (0.97, 0.3)
    )
    assert not apart(few) and apart(many)


@pytest.mark.slow
def test_the_share_holds_what_its_interval_promises() -> None:
    """Of 200 sets of 60 problems, the true share lies within in about 95 %."""
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(200):
        rates = rng.beta(1, 3, 60)
        right = rng.binomial(64, rates)
        sound = rng.binomial(right, 0.4)
        found = unsound_share(SoundCounts.of(Counts(64, right), sound, 0 * right))
        assert found is not None
        held += found.interval.low <= 0.6 <= found.interval.high
    assert held >= 180
