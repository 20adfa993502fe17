"""The numbers of the study, held against brute force; which runs are one arm; what is told apart."""

from __future__ import annotations

from math import comb
from pathlib import Path

import numpy as np
import pytest
from run_directories import BASE, POLICY, N, write_run

from evals.commands.compare import told_apart
from evals.estimators.intervals.means import DIFFERENCE, SHARE, mean_interval
from evals.estimators.intervals.ratios import ratio_interval
from evals.estimators.intervals.seeds import holm
from evals.reports.compare import differences, numbers
from evals.reports.compare.arms import Study, make_study, title
from evals.reports.compare.costs import cost, differing_keys
from evals.reports.compare.lines import samples_drawn, smooth, window
from evals.reports.compare.loading import read_runs

TASK = "countdown:3"
OTHER = [1, 4, 4, 7, 0, 7]


def by_hand(correct: list[int], k: int) -> np.ndarray:
    return np.array([1 - comb(N - c, k) / comb(N, k) for c in correct])


def study_of(*paths: Path) -> Study:
    return make_study(read_runs(paths))


@pytest.fixture
def two_seeds(tmp_path: Path) -> Study:
    return study_of(
        write_run(tmp_path / "a", "recipe=grpo_tiny", "seed=0"),
        write_run(tmp_path / "b", "recipe=grpo_tiny", "seed=1", policies={2: BASE, 4: OTHER}),
    )


def test_runs_that_differ_in_their_seed_alone_are_one_arm(two_seeds: Study) -> None:
    (arm,) = two_seeds.arms
    assert (arm.label, arm.seeds, arm.step) == ("GRPO", "seeds 0, 1", 4)


def test_cells_are_means_over_problems_of_means_over_seeds(two_seeds: Study) -> None:
    (arm,) = two_seeds.arms
    found = numbers.cells(arm.bases(TASK), arm.policies(TASK), 8)
    at_1 = np.stack([by_hand(POLICY, 1), by_hand(OTHER, 1)])
    base_1, base_8 = by_hand(BASE, 1), by_hand(BASE, 8)
    assert found.at_1.value == pytest.approx(at_1.mean())
    assert found.at_1.seeds == pytest.approx(at_1.mean(axis=1))
    assert found.at_k is not None and found.gap is not None and found.closed is not None
    assert found.at_k.value == pytest.approx(np.mean([by_hand(POLICY, 8), by_hand(OTHER, 8)]))
    assert found.gap.value == pytest.approx((base_8 - at_1).mean())
    assert found.gap.seeds == pytest.approx((base_8 - at_1).mean(axis=1))
    assert found.closed.value == pytest.approx(
        (at_1.mean() - base_1.mean()) / (base_8.mean() - base_1.mean())
    )


def test_intervals_are_those_of_problems_averaged_over_seeds(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    base, one, other = rng.integers(0, N + 1, (3, 40)).tolist()
    study = study_of(
        write_run(tmp_path / "a", "recipe=grpo_tiny", base=base, policies={4: one}),
        write_run(tmp_path / "b", "recipe=grpo_tiny", "seed=1", base=base, policies={4: other}),
    )
    (arm,) = study.arms
    found = numbers.cells(arm.bases(TASK), arm.policies(TASK), 8)
    at_1 = (by_hand(one, 1) + by_hand(other, 1)) / 2
    base_1, base_8 = by_hand(base, 1), by_hand(base, 8)
    assert found.at_1.interval == pytest.approx(tuple(mean_interval(at_1, SHARE)))
    assert found.gap is not None and found.closed is not None
    assert found.gap.interval == pytest.approx(tuple(mean_interval(base_8 - at_1, DIFFERENCE)))
    expected = ratio_interval(at_1 - base_1, base_8 - base_1)
    assert found.closed.interval is not None and expected is not None
    assert tuple(found.closed.interval) == pytest.approx(tuple(expected))


def test_a_closed_fraction_has_no_interval_where_there_may_be_nothing_to_close(two_seeds: Study) -> None:
    (arm,) = two_seeds.arms
    found = numbers.cells(arm.bases(TASK), arm.policies(TASK), 8).closed
    assert found is not None and found.interval is None and len(found.seeds) == 2
    solved = np.ones((1, 3))
    assert numbers.closed(solved, solved, solved) is None


def test_a_k_above_the_samples_is_not_estimated(tmp_path: Path) -> None:
    study = study_of(write_run(tmp_path / "a", "recipe=grpo_tiny", "probe.k=16", "probe.base_n=16"))
    (arm,) = study.arms
    found = numbers.cells(arm.bases(TASK), arm.policies(TASK), study.k)
    assert (found.at_k, found.gap, found.closed) == (None, None, None)
    assert numbers.gap_by_step(arm, TASK, study.k) == {}


def test_the_gap_begins_with_that_of_the_base(two_seeds: Study) -> None:
    (arm,) = two_seeds.arms
    gaps = numbers.gap_by_step(arm, TASK, 8)
    of_base = (by_hand(BASE, 8) - by_hand(BASE, 1)).mean()
    assert [*gaps] == [0, 2, 4]
    assert gaps[0].value == pytest.approx(of_base)
    assert gaps[2].value == pytest.approx(of_base)  # at step 2 the policy has the base's counts
    assert [samples_drawn(arm, step) for step in gaps] == [[0, 0], [32, 32], [64, 64]]


def test_runs_with_other_settings_are_arms_that_are_named_by_them(tmp_path: Path) -> None:
    study = study_of(
        write_run(tmp_path / "a", "recipe=grpo_tiny"),
        write_run(tmp_path / "b", "recipe=grpo_tiny", "rollouts.group_size=4"),
        write_run(tmp_path / "c", "recipe=rloo_tiny"),
    )
    assert [arm.label for arm in study.arms] == ["GRPO (group_size 8)", "GRPO (group_size 4)", "RLOO"]


@pytest.mark.parametrize(
    ("first", "second", "labels"),
    [
        ("rewards.unsound=0", "rewards.unsound=null", ["GRPO (unsound 0.0)", "GRPO"]),
        ("algorithm.clip.dual=3", "algorithm.clip.dual=null", ["GRPO (dual 3.0)", "GRPO"]),
        ("probe.max_problems=9", "probe.max_problems=null", ["GRPO (max_problems 9)", "GRPO"]),
        (
            "recipe=ppo_tiny",
            "algorithm.critic.value_clip=null",
            ["PPO (value_clip 0.5)", "PPO (no value_clip)"],
        ),
    ],
)
def test_an_arm_is_not_named_after_what_it_has_not(
    first: str, second: str, labels: list[str], tmp_path: Path
) -> None:
    recipe = "ppo_tiny" if "value_clip" in second else "grpo_tiny"
    runs = [
        write_run(tmp_path / str(i), f"recipe={recipe}", *([] if "recipe" in own else [own]))
        for i, own in enumerate((first, second))
    ]
    assert [arm.label for arm in study_of(*runs).arms] == labels


def test_arms_that_differ_in_much_are_named_by_their_recipes(tmp_path: Path) -> None:
    study = study_of(
        write_run(tmp_path / "a", "recipe=study/grpo_length_tiny"),
        write_run(tmp_path / "b", "recipe=study/grpo_rollouts32_tiny", "rollouts.prompts=16"),
        write_run(tmp_path / "c", "recipe=study/grpo_kl_tiny", "rollouts.prompts=32"),
    )
    assert [arm.label for arm in study.arms] == ["grpo_length", "grpo_rollouts32", "grpo_kl"]


def test_seeds_are_not_averaged_over_different_steps(tmp_path: Path) -> None:
    study = study_of(
        write_run(tmp_path / "a", "recipe=grpo_tiny"),
        write_run(tmp_path / "b", "recipe=grpo_tiny", "seed=1", policies={2: BASE}, finished=False),
    )
    assert [arm.label for arm in study.arms] == ["GRPO (step 4)", "GRPO (step 2)"]


def test_seeds_that_were_asked_differently_are_not_averaged(tmp_path: Path) -> None:
    study = study_of(
        write_run(tmp_path / "a", "recipe=grpo_tiny"),
        write_run(tmp_path / "b", "recipe=grpo_tiny", "seed=1", template="boxed"),
    )
    assert [arm.label for arm in study.arms] == ["GRPO (A)", "GRPO (B)"]


def test_equal_runs_cannot_be_told_apart(tmp_path: Path) -> None:
    study = study_of(
        write_run(tmp_path / "a", "recipe=grpo_tiny"), write_run(tmp_path / "b", "recipe=rloo_tiny")
    )
    (pair,) = differences.pairs(study)[TASK]
    for found in pair.comparisons:
        assert found.estimate is not None and found.estimate.value == 0 and not found.apart
        assert found.verdict == "cannot be told apart with 6 problems x 8 samples"
    assert pair.verdicts == ["cannot be told apart with 6 problems x 8 samples"]


def test_a_difference_is_of_means_paired_by_problem_and_names_the_better(tmp_path: Path) -> None:
    better = [min(N, c + 2) for c in BASE]
    study = study_of(
        write_run(tmp_path / "a", "recipe=grpo_tiny", policies={4: BASE}),
        write_run(tmp_path / "b", "recipe=rloo_tiny", policies={4: better}),
    )
    (pair,) = differences.pairs(study)[TASK]
    at_1, at_8, gap = pair.comparisons
    expected = by_hand(BASE, 1) - by_hand(better, 1)
    assert at_1.estimate is not None and gap.estimate is not None
    assert at_1.estimate.value == pytest.approx(expected.mean())
    assert gap.estimate.value == pytest.approx(-expected.mean())
    assert at_1.estimate.interval == pytest.approx(tuple(mean_interval(expected, DIFFERENCE)))
    assert at_1.corrected is not None and at_1.corrected == pytest.approx(2 * at_1.estimate.p)
    points = f"{-100 * expected.mean():.1f} points"
    alone = ", with one seed: another might not"
    assert at_1.verdict == f"RLOO has the higher pass@1, by {points}{alone}"
    assert gap.verdict == f"RLOO has the smaller gap, by {points}{alone}"
    assert pair.verdicts == [at_1.verdict, gap.verdict]
    assert not at_8.apart  # four of six problems are solved within 8 by both


def test_arms_are_called_apart_by_what_is_corrected_for_all_of_them(tmp_path: Path) -> None:
    """Three arms, so that 3 pairs and, the gap being pass@1 again, 2 measures make 6 comparisons."""
    better = [min(N, c + 2) for c in BASE]
    study = study_of(
        write_run(tmp_path / "a", "recipe=grpo_tiny", policies={4: BASE}),
        write_run(tmp_path / "b", "recipe=rloo_tiny", policies={4: better}),
        write_run(tmp_path / "c", "recipe=remax_tiny", policies={4: BASE}),
    )
    found = differences.pairs(study)
    counted = differences.family(found)
    assert len(counted) == 6 and {c.measure for c in counted} == {"pass@1", "pass@8"}
    alone = [c.estimate.p for c in counted if c.estimate is not None]
    assert [c.corrected for c in counted] == pytest.approx(holm(alone))
    said = differences.said_apart(found)
    assert len(said) == sum(c.apart for c in counted) == 2 and "RLOO has the higher pass@1" in said[0]
    assert told_apart(study).startswith(
        "of 6 comparisons 2 are apart, corrected for their number:\n  countdown:3"
    )


def test_seeds_that_differ_among_themselves_widen_the_interval(tmp_path: Path) -> None:
    high, higher = [min(N, c + 2) for c in BASE], [min(N, c + 3) for c in BASE]
    for name, recipe, counts in (("a", "grpo_tiny", [BASE, higher]), ("b", "rloo_tiny", [high, high])):
        for seed, correct in enumerate(counts):
            write_run(tmp_path / f"{name}{seed}", f"recipe={recipe}", f"seed={seed}", policies={4: correct})
    one_seed, all_seeds = (
        differences.pairs(study_of(*(tmp_path / name for name in names)))[TASK][0].comparisons[0]
        for names in (("a0", "b0"), ("a0", "a1", "b0", "b1"))
    )
    assert one_seed.apart and one_seed.verdict.endswith("with one seed: another might not")
    assert all_seeds.estimate is not None and one_seed.estimate is not None and not all_seeds.apart
    assert all_seeds.verdict == "cannot be told apart with 2 seeds x 6 problems x 8 samples"
    width, alone = (np.ptp(found.estimate.interval) for found in (all_seeds, one_seed))
    assert width > alone


def test_gaps_to_different_bases_are_not_subtracted(tmp_path: Path) -> None:
    study = study_of(
        write_run(tmp_path / "a", "recipe=grpo_tiny"),
        write_run(tmp_path / "b", "recipe=rloo_tiny", base_weights="other", policies={4: BASE}),
    )
    (pair,) = differences.pairs(study)[TASK]
    *others, gap = pair.comparisons
    assert gap.estimate is None and gap.verdict == "their gaps are to different bases"
    assert all(found.estimate is not None for found in others)


def test_runs_that_were_asked_differently_are_not_held_against_each_other(tmp_path: Path) -> None:
    study = study_of(
        write_run(tmp_path / "a", "recipe=grpo_tiny"),
        write_run(tmp_path / "b", "recipe=rloo_tiny", grader="lenient-1"),
    )
    (pair,) = differences.pairs(study)[TASK]
    assert pair.comparisons == [] and pair.refused is not None and "not compared" in pair.refused


def test_costs_are_sums_over_the_steps(tmp_path: Path) -> None:
    (run,) = read_runs([write_run(tmp_path / "a", "recipe=grpo_tiny")])
    found = cost(run)
    assert (found.steps, found.samples, found.seconds, found.probe_samples) == (4, 64, 6.0, 144)
    assert found.tokens == 16 * (11 + 12 + 13 + 14) and not found.exact


def test_configurations_differ_where_their_values_do(tmp_path: Path) -> None:
    paths = [
        write_run(tmp_path / "a", "recipe=grpo_tiny"),
        write_run(tmp_path / "b", "recipe=rloo_tiny", "seed=3"),
    ]
    found = differing_keys(read_runs(paths))
    assert found["seed"] == ["0", "3"] and found["algorithm.name"] == ['"grpo"', '"rloo"']
    assert "run_dir" not in found and "steps" not in found


def test_a_moving_average_is_centred_and_leaves_out_what_is_not_finite() -> None:
    assert smooth(np.array([1.0, 2.0, 6.0, np.nan]), 3) == pytest.approx([1.5, 3.0, 4.0, 6.0])
    assert smooth(np.array([1.0, 2.0]), 1).tolist() == [1.0, 2.0]
    assert smooth(np.array([1.0, 2.0, 6.0]), 5) == pytest.approx([1.5, 3.0, 4.0])


def test_the_window_is_odd_and_about_a_twentieth_of_the_steps(two_seeds: Study) -> None:
    assert window(two_seeds.runs) == 1


def test_algorithms_are_named_as_in_papers() -> None:
    assert [title(name) for name in ("grpo", "reinforce_pp")] == ["GRPO", "REINFORCE++"]
