"""Shuffled references: nobody keeps its own, and the set stays what it was."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rlvr.tasks import Task, TaskError, build_task
from rlvr.tasks.streams import shuffled


def task() -> Task:
    return build_task("countdown:3")


def test_every_reference_is_anothers() -> None:
    plain, mixed = task(), shuffled(task(), seed=1)
    pairs = list(zip(plain.train, mixed.train, strict=True))
    assert all(a.id == b.id and a.prompt == b.prompt for a, b in pairs)
    assert sum(a.reference == b.reference for a, b in pairs) < len(pairs) // 100  # of equal ones alone
    known = sorted(str(problem.reference) for problem in plain.train)
    assert sorted(str(problem.reference) for problem in mixed.train) == known
    assert mixed.test == plain.test and mixed.data_hash() != plain.data_hash()
    again, other = shuffled(task(), seed=1), shuffled(task(), seed=2)
    assert list(again.train) == list(mixed.train) != list(other.train)


def test_where_it_has_no_meaning_it_is_refused() -> None:
    one = task()
    for bad in (replace(one, train=one.train[:1]), build_task("guess")):
        with pytest.raises(TaskError, match=r"rewards\.control=shuffled needs a list of training problems"):
            shuffled(bad, seed=1)
