"""A judge against an exact checker, by hand."""

from __future__ import annotations

import pytest

from evals.estimators.agreement import agreement


def test_by_hand() -> None:
    judge = [False, False, True, None, None, True, True, True]
    exact = [False, True, False, False, True, True, True, True]
    found = agreement(["a", "a", "b", "b", "c", "c", "d", "d"], judge, exact)
    assert (found.samples, found.unsound) == (8, 3)
    assert found.undecided and found.undecided.value == pytest.approx(2 / 8)
    assert found.agreement and found.agreement.value == pytest.approx(4 / 6)
    assert found.precision and found.precision.value == pytest.approx(1 / 2)
    assert found.recall and found.recall.value == pytest.approx(1 / 3)
    for share in (found.undecided, found.agreement, found.precision, found.recall):
        assert 0 <= share.interval.low <= share.value <= share.interval.high <= 1


def test_samples_of_one_problem_are_one_piece_of_evidence() -> None:
    """Ten problems that agree wholly or not at all say less than a hundred of one sample."""
    judge = [True] * 50 + [False] * 50
    few = agreement([str(i // 10) for i in range(100)], judge, [True] * 100)
    many = agreement([str(i) for i in range(100)], judge, [True] * 100)
    assert few.agreement and many.agreement and few.agreement.value == many.agreement.value == 0.5
    widths = [one.agreement.interval.high - one.agreement.interval.low for one in (few, many)]
    assert widths[0] > 2 * widths[1]


def test_of_nothing_there_is_no_share() -> None:
    found = agreement(["a"], [None], [True])
    assert found.agreement is None and found.precision is None and found.recall is None
    assert found.undecided is not None and found.undecided.value == 1
    with pytest.raises(ValueError, match="every sample"):
        agreement(["a"], [], [True])
