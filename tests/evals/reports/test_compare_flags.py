"""What a reader is warned of, in words, and what is no reason for a warning."""

from __future__ import annotations

from pathlib import Path

import pytest
from run_directories import BASE, write_run

from evals.reports.compare.arms import make_study
from evals.reports.compare.flags import Flag, changed_defaults, flags
from evals.reports.compare.loading import PERPLEXITY, read_runs
from rlvr.core.run_dir import append_jsonl


def flags_of(*paths: Path) -> dict[str, Flag]:
    return {flag.text: flag for flag in flags(make_study(read_runs(paths)))}


def test_algorithms_and_seeds_are_no_reason_for_a_warning(tmp_path: Path) -> None:
    runs = [
        write_run(tmp_path / f"{name}{seed}", f"recipe={name}_tiny", f"seed={seed}")
        for name in ("grpo", "rloo")
        for seed in (0, 1)
    ]
    assert flags_of(*runs) == {}


def test_what_is_not_an_algorithms_default_is_told(tmp_path: Path) -> None:
    runs = [
        write_run(tmp_path / "grpo", "recipe=grpo_tiny"),
        write_run(tmp_path / "rloo", "recipe=rloo_tiny"),
    ]
    study = make_study(read_runs(runs))
    assert changed_defaults(study) == [("GRPO", "kl.coefficient=0.0 (default 0.04)")]


@pytest.mark.parametrize(
    ("arguments", "measured", "text", "values"),
    [
        ([], {"template": "boxed"}, "Different template on countdown:3", ("plain", "boxed")),
        ([], {"grader": "lenient"}, "Different grader on countdown:3", ("exact-1", "lenient")),
        ([], {"data": "other"}, "Different problems on countdown:3",
         ("6 problems, data dddddddddddddddd", "6 problems, data other")),
        ([], {"temperature": 1.0}, "Different sampling on countdown:3",
         ("temperature 0.6, top-p 0.95, at most 64 tokens", "temperature 1, top-p 0.95, at most 64 tokens")),
        ([], {"n": 16}, "Different samples per problem on countdown:3", ("8", "16")),
        ([], {"base_weights": "other"}, "Different weights of the base on countdown:3", ("base", "other")),
        (["rollouts.prompts=32"], {}, "Different prompts per step", ("64", "32")),
        (["rollouts.group_size=4"], {}, "Different group size", ("8", "4")),
        (["steps=6"], {"trained": 6}, "Different steps trained", ("4", "6")),
        ([], {"trained": 2}, "Different steps trained", ("4", "2")),
        ([], {"samples": 100}, "Different samples drawn in training", ("64", "400")),
        (["model=elsewhere", "base=embedded:countdown"], {}, "Different model to start from",
         ("embedded:countdown", "elsewhere")),
        (["rewards.wrong=-1"], {}, "Different settings of rewards",
         ("rewards.wrong 0.0", "rewards.wrong -1.0")),
        (["optim.lr=0.01"], {}, "Different settings of optim", ("optim.lr 0.0001", "optim.lr 0.01")),
        (["base=elsewhere"], {}, "Different base model", ("embedded:countdown", "elsewhere")),
    ],
)  # fmt: skip
def test_a_difference_is_named_with_its_values_and_runs(
    tmp_path: Path, arguments: list[str], measured: dict[str, object], text: str, values: tuple[str, str]
) -> None:
    one = write_run(tmp_path / "a", "recipe=grpo_tiny")
    other = write_run(tmp_path / "b", "recipe=rloo_tiny", *arguments, **measured)  # type: ignore[arg-type]
    found = flags_of(one, other)
    assert found[text].values == [(values[0], "GRPO seed 0"), (values[1], "RLOO seed 0")]


def test_an_unfinished_run_is_named_with_its_steps(tmp_path: Path) -> None:
    one = write_run(tmp_path / "a", "recipe=grpo_tiny")
    other = write_run(tmp_path / "b", "recipe=rloo_tiny", policies={2: BASE}, trained=3, finished=False)
    found = flags_of(one, other)
    assert found["RLOO seed 0 is unfinished"].values == [("3 of 4 steps trained", "figures of step 2")]
    assert found["Different step of the figures"].values == [("4", "GRPO seed 0"), ("2", "RLOO seed 0")]


def test_a_run_that_was_finished_and_then_prolonged_is_unfinished(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", "recipe=grpo_tiny")
    (run / ".finished").write_text('{"steps": 2}')
    assert "GRPO seed 0 is unfinished" in flags_of(run)


def test_the_same_seed_twice_is_no_second_seed(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / name, "recipe=grpo_tiny") for name in "ab"]
    assert "GRPO has seed 0 2 times" in flags_of(*runs)


def test_a_control_is_marked(tmp_path: Path) -> None:
    one = write_run(tmp_path / "a", "recipe=grpo_tiny")
    other = write_run(tmp_path / "b", "recipe=rloo_tiny", "rewards.control=random")
    assert flags_of(one, other)["Controls"].values == [("rewards.control=random", "RLOO")]


def test_perplexities_of_a_former_end_are_named(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", "recipe=grpo_tiny")
    row = {"task": "countdown:3", "model": "base", "author": "policy", "step": 2, "problem": "0", "n": 4}
    (run / PERPLEXITY).parent.mkdir()
    append_jsonl(run / PERPLEXITY, {**row, "perplexity": 1.1})
    (flag,) = flags_of(run).values()
    assert flag.text == "Perplexities of GRPO seed 0 are not of its last probe"
    assert flag.values == [("step 2", "other figures of step 4")]
    append_jsonl(run / PERPLEXITY, {**row, "step": 4, "perplexity": 1.1})
    assert flags_of(run) == {}


def test_a_base_that_was_sampled_again_is_named(tmp_path: Path) -> None:
    one = write_run(tmp_path / "a", "recipe=grpo_tiny")
    other = write_run(tmp_path / "b", "recipe=rloo_tiny", base=[*reversed(BASE)])
    found = flags_of(one, other)
    assert [*found] == ["The base was sampled 2 times on countdown:3"]
