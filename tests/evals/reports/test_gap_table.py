"""The tables of the console: what they hold, and that no column is squeezed."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from evals.records.gap_record import GapRecord
from evals.records.judge_checks import JudgeCheck, keep
from evals.records.sound_record import SoundRecord
from evals.reports.gap_table import gap_table, probe_table

TASKS = ("countdown:3/train", "countdown:3", "countdown:4")
RECORDS = [
    GapRecord(
        step=step, task=task, num_problems=50, n=4, base_n=4, ks=[1, 2, 4], pass_at_k=[0.4, 0.5, 0.55],
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


def test_a_control_is_marked() -> None:
    records = [RECORDS[2], replace(RECORDS[3], control="random")]
    marked = [line for line in printed(gap_table(records), 100) if "control" in line]
    assert marked == ["! A control: the policy was rewarded by rewards.control=random."]
    assert not any("control" in line for line in printed(gap_table(RECORDS), 100))


def test_a_table_says_where_sampling_stopped_on_either_side() -> None:
    policy = replace(RECORDS[1], stop_r=8, samples=1234)
    lines = " ".join(printed(gap_table([RECORDS[0], policy]), 130))
    assert "<=4: sampled to success 8, 1,234 samples in all" in lines and "of the base" in lines
    base = replace(RECORDS[0], stop_r=16, base_stop_r=16)
    lines = " ".join(printed(gap_table([base, replace(RECORDS[1], base_stop_r=16)]), 130))
    assert "to success 16, at most 4 samples per problem of the base" in lines and "in all" not in lines


SOUND = SoundRecord(
    pass_at_k=[0.1, 0.2, 0.25], base_pass_at_k=[0.18, 0.4, 0.7], gap=0.6, gap_low=0.5, gap_high=0.7,
    gap_these_low=0.55, gap_these_high=0.65, pass_at_1_change=-0.08, change_low=-0.1, change_high=-0.06,
    coverage_lost=0.45, gained=0, lost=9, both=5, neither=6, only_unsound=6, base_only_unsound=1,
    unsound=0.75, unsound_low=0.6, unsound_high=0.9, undecided=0.0, apart=True, base_unsound=0.1,
    base_unsound_low=0.05, base_unsound_high=0.15, base_undecided=0.0, base_apart=False,
)  # fmt: skip


def test_sound_answers_stand_beside_right_ones_with_an_alarm() -> None:
    records = [replace(RECORDS[1], soundness="steps-1", sound=SOUND)]
    lines = printed(probe_table(records, 50), 80)
    row = {line.rsplit(maxsplit=1)[0].strip(): line.split()[-1] for line in lines if line.strip()}
    assert row["sound pass@1"] == "10.0" and row["sound @4"] == "25.0" and row["sound gap"] == "60.0"
    assert row["wrong step"] == "75.0%" and "undecided" not in row
    text = " ".join(" ".join(lines).split())
    assert "! countdown:3/train, step 50: 75% of right answers have a wrong step [60, 90]" in text
    assert "pass@1 is 40.0, sound 10.0" in text and "found by steps-1" in text
    calm = replace(records[0], sound=replace(SOUND, apart=False, undecided=0.2))
    assert "!" not in "".join(printed(probe_table([calm], 50), 80))
    assert any("undecided" in line and "20.0%" in line for line in printed(probe_table([calm], 50), 80))


def test_where_nobody_looked_nothing_is_said_of_it() -> None:
    assert not any("sound" in line or "wrong step" in line for line in printed(gap_table(RECORDS), 80))


def test_a_judges_numbers_have_what_is_known_of_it_beside_them() -> None:
    """A warning until it was checked, then how well it agreed."""
    judge = "judge-1 org/m x3 0a1b2c3d"
    records = [replace(RECORDS[1], soundness=judge, sound=SOUND)]

    def text() -> str:
        return " ".join(" ".join(printed(probe_table(records, 50), 80)).split())

    assert f"! {judge} was never checked" in text() and "judge-check" in text()
    shares = {"undecided": None, "agreement": [0.9, 0.8, 0.95], "precision": [0.5, 0.4, 0.6], "recall": None}
    keep(JudgeCheck("judge-1 other x1 f", "steps-1", "countdown:3", 40, 6, **shares))
    assert "never checked" in text()
    keep(JudgeCheck(judge, "steps-1", "countdown:3", 40, 6, **shares))
    assert "never checked" not in text()
    assert "agreement 90.0 [80.0, 95.0], precision 50.0 [40.0, 60.0], recall -, undecided -" in text()
    exact = [replace(records[0], soundness="steps-1")]
    assert "judge" not in " ".join(printed(probe_table(exact, 50), 80))


def test_few_problems_and_intervals_of_a_former_version_are_said() -> None:
    few = " ".join("".join(printed(gap_table([replace(r, num_problems=49) for r in RECORDS]), 80)).split())
    assert "! 49 problems: intervals over fewer than 50 are rough" in few
    assert "percentile bootstrap" in few
    assert "rough" not in "".join(printed(gap_table(RECORDS), 80))
    new = [replace(r, intervals="t, two problems added") for r in RECORDS]
    assert "bootstrap" not in "".join(printed(gap_table(new), 80))
