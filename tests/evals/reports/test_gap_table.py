"""The tables of the console: what they hold, and that no column is squeezed."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from evals.records.gap_record import GapRecord
from evals.reports.gap_table import gap_table, probe_table

TASKS = ("countdown:3/train", "countdown:3", "countdown:4")
RECORDS = [
    GapRecord(
        step=step, task=task, num_problems=20, n=4, base_n=4, ks=[1, 2, 4], pass_at_k=[0.4, 0.5, 0.55],
        base_pass_at_k=[0.2, 0.5, 0.8], gap_k=4, gap=0.4, gap_low=0.3, gap_high=0.5, pass_at_1_change=0.2,
        change_low=0.1, change_high=0.3, gained=1, lost=6, both=10, neither=3, truncated=0.0, unparsed=0.0,
        timed_out=0.0, duplicate_rate=0.5, samples_drawn=80, template="plain",
        sampling={"temperature": 0.6, "top_p": 0.95}, grader="toy", policy_hash="a" if step else "b",
        base_hash="b", stop_r=None, samples=80, closed=0.2 / 0.6, coverage_k=4, coverage_lost=0.25,
        base_shares={}, data="d", gap_these_low=0.35, gap_these_high=0.45,
    )
    for task in TASKS for step in (0, 50)
]  # fmt: skip


def printed(made: object, width: int) -> list[str]:
    console = Console(width=width, file=io.StringIO())
    console.print(made)
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


@pytest.mark.parametrize(("width", "tables"), [(60, 3), (80, 2), (130, 1)])
def test_wide_tables_are_parted(width: int, tables: int) -> None:
    lines = printed(gap_table(RECORDS), width)
    heads = [line.split() for line in lines if "countdown" in line]
    # Before and after of a task stay side by side, in the order of the tasks.
    assert [name for head in heads for name in head] == [task for task in TASKS for _ in range(2)]
    assert len(heads) == tables == sum("pass@1" in line and "gap =" not in line for line in lines)
    assert max(map(len, lines)) <= width
    assert sum("[30.0, 50.0]" in line for line in lines) == tables
    assert sum("The gap before and after" in line for line in lines) == 1


def test_a_probe_has_one_column_a_task() -> None:
    lines = printed(probe_table(RECORDS, 50), 80)
    assert next(line for line in lines if "countdown" in line).split() == ["points", "of", "100", *TASKS]
    assert next(line for line in lines if "closed  " in line).split()[1:] == ["33.3%"] * 3
    assert next(line for line in lines if "lost  " in line).split()[3:] == ["1", "/", "6"] * 3


def test_a_table_says_where_sampling_stopped_on_either_side() -> None:
    policy = replace(RECORDS[1], stop_r=8, samples=1234)
    lines = " ".join(printed(gap_table([RECORDS[0], policy]), 130))
    assert "<=4: sampled to success 8, 1,234 samples in all" in lines and "of the base" in lines
    base = replace(RECORDS[0], stop_r=16, base_stop_r=16)
    lines = " ".join(printed(gap_table([base, replace(RECORDS[1], base_stop_r=16)]), 130))
    assert "to success 16, at most 4 samples per problem of the base" in lines and "in all" not in lines
