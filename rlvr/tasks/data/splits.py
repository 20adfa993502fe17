"""Which rows are to train on and which to test: by file, by column, or by a seeded hash of the question."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Literal, TypeAlias

from rlvr.tasks.data.columns import DataError
from rlvr.tasks.data.reading import Complaints, Item

How: TypeAlias = Literal["auto", "given", "hash", "train", "test"]


def split(
    items: Sequence[Item], how: How, test_share: float, seed: int, complaints: Complaints
) -> tuple[list[Item], list[Item], str]:
    """Training and test rows, and in words how they were told apart. Raises DataError.

    given: what file names or the split column say; rows of neither side are left out. hash: of the question,
    so that a row stays where it is when others are added. auto: given where there is anything given. A
    training row with a test row's question is a bad row.
    """
    if how in ("train", "test"):
        own = list(items)
        return (own, [], "all to train on") if how == "train" else ([], own, "all to test")
    if how == "auto":
        how = "given" if any(item.side for item in items) else "hash"
    if how == "hash":
        sides: tuple[list[Item], list[Item]] = ([], [])
        for item in items:
            sides[_share(item.key, seed) < test_share].append(item)
        return (*sides, f"{test_share:.0%} to test by a hash of the question, seed {seed}")
    train, test = ([item for item in items if item.side == side] for side in ("train", "test"))
    if not train and not test:
        raise DataError(
            "task.split_by=given: neither file names nor a split column say train or test; give "
            "task.columns.split=NAME or task.split_by=hash"
        )
    tested = {item.key: item for item in test}
    for item in train:
        if item.key in tested:
            what = f"its question is also in the test split: {tested[item.key].place}"
            complaints.add(item.place, what, "a training row with a test row's question")
    left = len(items) - len(train) - len(test)
    kept = [item for item in train if item.key not in tested]
    return kept, test, "as given" + (f"; {left} rows of neither side are left out" if left else "")


def _share(key: str, seed: int) -> float:
    """Where a question falls between 0 and 1."""
    digest = hashlib.sha256(f"split/{seed}/{key}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
