"""Recipes: what they hold, and what an algorithm's name means in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from rlvr.algorithms import ALGORITHMS, departures
from rlvr.config.errors import ConfigError
from rlvr.planning.recipe import load_config, recipe_names

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_is_valid(name: str) -> None:
    config = load_config([f"recipe={name}"])
    assert config.run_dir == f"runs/{name}-s0"
    plain = name.removeprefix("study/")
    named = max((a for a in ALGORITHMS if plain.startswith(f"{a}_")), key=len, default="")
    if not named:
        return  # it has a name of its own
    studied = "_qwen7b" in plain and f"{named}_verl" in ALGORITHMS
    assert config.algorithm.name == (f"{named}_verl" if studied else named)


@pytest.mark.parametrize("size", ["tiny", "qwen7b"])
def test_the_runs_of_the_study_differ_only_in_their_algorithm(size: str) -> None:
    names = [n for n in recipe_names() if n.startswith("study/") and n.endswith(f"_{size}")]
    own = [n.removeprefix("study/") for n in names if n.removeprefix("study/") in recipe_names()]
    assert len(own) == (7 if size == "tiny" else 6)  # tiny: with a reward for sound steps
    for name in own:
        plain, studied = (load_config([f"recipe={n}"]).model_dump() for n in (name, f"study/{name}"))
        assert {key for key in plain if plain[key] != studied[key]} <= {
            "recipe",
            "run_dir",
            "save_every",
            "probe",
        }


@pytest.mark.parametrize("algorithm", [name for name in ALGORITHMS if not name.endswith("_verl")])
@pytest.mark.parametrize("size", ["tiny", "qwen7b"])
def test_every_algorithm_has_recipes_that_differ_only_in_it(algorithm: str, size: str) -> None:
    ours = load_config([f"recipe={algorithm}_{size}"]).model_dump()
    grpo = load_config([f"recipe=grpo_{size}"]).model_dump()
    different = {key for key in ours if ours[key] != grpo[key]}
    assert different <= {"recipe", "run_dir", "algorithm", "rewards", "optim", "teacher"}
    assert ("teacher" in different) == (algorithm == "opd")
    assert ("rewards" in different) == (algorithm == "dapo")
    assert ("optim" in different) == (algorithm in ("gspo", "cispo"))  # of which the ratio is all
    lines = (ROOT / "recipes" / f"{algorithm}_{size}.yaml").read_text().splitlines()
    assert len([line for line in lines if not line.startswith(("#", "defaults"))]) <= 5


def test_a_name_means_one_algorithm_whatever_the_recipe() -> None:
    for name in ALGORITHMS:
        given = [f"algorithm={name}", "rollouts.group_size=8"]
        given += ["teacher=embedded:countdown-teacher"] if name == "opd" else []
        tiny, large = (load_config([f"recipe={r}", *given]) for r in ("grpo_tiny", "ppo_qwen7b"))
        kept = {"grpo", "ppo_verl"}  # recipes may set keys of their own algorithm
        if name not in kept:
            assert tiny.algorithm == large.algorithm and departures(tiny.algorithm) == ""


def test_what_is_not_an_algorithms_default_is_told() -> None:
    assert departures(load_config(["recipe=grpo_qwen7b"]).algorithm) == ""
    own = load_config(["recipe=rloo_tiny", "algorithm.normalisation=token_mean", "algorithm.clip.low=0.1"])
    assert departures(own.algorithm) == (
        "clip.low=0.1 (default 0.2), normalisation=token_mean (default sequence_sum)"
    )
    assert departures(load_config(["recipe=passk_qwen7b"]).algorithm) == "clip.dual=3.0 (default None)"


def test_the_studys_algorithms_do_what_verl_did_and_what_a_recipe_gives_wins() -> None:
    options = load_config(["recipe=rloo_qwen7b"]).algorithm.options
    assert (options["loss"], options["normalisation"], options["clip"]["dual"]) == (
        "ppo_clip",
        "token_mean",
        3.0,
    )
    own = load_config(["recipe=rloo_qwen7b", "algorithm.normalisation=sequence_sum"]).algorithm.options
    assert (own["normalisation"], own["loss"]) == ("sequence_sum", "ppo_clip")
    dapo = load_config(["recipe=dapo_qwen7b"]).algorithm.options
    assert dapo["clip"] == {"low": 0.2, "high": 0.28, "dual": 3.0}


def test_the_studys_numbers() -> None:
    config = load_config(["recipe=grpo_qwen7b"])
    assert (config.model, config.task.name) == ("Qwen/Qwen2.5-7B", "omni_math_rule")
    assert (config.rollouts.prompts, config.rollouts.group_size) == (256, 8)
    assert (config.rollouts.max_new_tokens, config.optim.lr) == (8192, 1e-6)
    assert (config.algorithm.options["kl"]["coefficient"], config.policy.zero) == (0.0, 3)
    assert (config.probe.temperature, config.probe.top_p, config.probe.k) == (0.6, 0.95, 256)


def test_arguments_override_the_recipe() -> None:
    config = load_config(["recipe=grpo_tiny", "optim.lr=2e-6", "seed=3", "task=countdown:4"])
    assert (config.optim.lr, config.seed, config.task.name) == (2e-6, 3, "countdown:4")
    assert config.run_dir == "runs/grpo_tiny-s3"
    assert config.algorithm.options["clip"]["low"] == 0.2


def test_a_file_is_a_recipe_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "_shared.yaml").write_text("defaults: grpo_tiny\noptim: {lr: 3.0e-4}\n")
    (tmp_path / "own" / "mine.yaml").write_text("defaults: _shared.yaml\nsteps: 7\n")
    monkeypatch.chdir(tmp_path)
    config = load_config(["recipe=own/mine.yaml", "seed=2"])
    assert (config.steps, config.optim.lr, config.rollouts.prompts) == (7, 3e-4, 64)
    assert (config.recipe, config.run_dir) == ("own/mine.yaml", "runs/mine-s2")
    with pytest.raises(ConfigError, match="no such file"):
        load_config(["recipe=own/none.yaml"])
    (tmp_path / "own" / "_shared.yaml").write_text("defaults: mine.yaml\n")
    with pytest.raises(ConfigError, match="a recipe inherits from itself"):
        load_config(["recipe=own/mine.yaml"])
