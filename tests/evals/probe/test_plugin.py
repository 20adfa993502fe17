"""Training and probe mean the same task by the same keys, and share no problem unseen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from evals.probe.plugin import check_tasks, probed_tasks
from evals.sampling.settings import probe_config
from rlvr.config.errors import ConfigError
from rlvr.planning.recipe import load_config, recipe_names
from rlvr.tasks import GeneratedProblems, Problem, Task, build_task
from rlvr.tasks.overlap import trained_on


def probed(*arguments: str) -> list[dict[str, Any]]:
    """The options of every probed task."""
    return [task.options for task in probe_config(load_config(arguments, 8)).tasks]


def check(*arguments: str) -> None:
    config = load_config(arguments, 8)
    check_tasks(config, build_task(config.task.name, **config.task.options), probed_tasks(config))


@pytest.mark.parametrize(
    ("key", "value", "of_both"),
    [
        ("template", "qwen_boxed", True),
        ("source", "elsewhere", True),
        ("bad_rows", "skip", True),
        ("train_problems", 2700, False),
        ("split_seed", 1, False),
    ],
)
def test_a_probed_task_takes_over_the_keys_of_the_task(key: str, value: object, of_both: bool) -> None:
    omni, math500 = probed("recipe=grpo_qwen7b", f"task.{key}={value}")
    assert omni[key] == value
    assert math500.get(key) == (value if of_both else None)


def test_what_a_probed_task_sets_itself_stays() -> None:
    tasks = "probe.tasks=[{name: omni_math_rule, template: qwen_boxed}, countdown:3]"
    omni, countdown = probed("recipe=grpo_qwen7b", tasks, "task.split_seed=4")
    assert (omni["template"], omni["split_seed"]) == ("qwen_boxed", 4)
    assert countdown == {"train_problems": 1800, "test_problems": 200, "soundness": "steps"}


def test_a_variant_takes_over_what_means_the_same() -> None:
    three, four = probed("recipe=grpo_tiny", "task.train_problems=90")
    assert three["train_problems"] == four["train_problems"] == 90
    own = 'probe.tasks=["reasoning_gym:chain_sum", "reasoning_gym:products"]'
    arguments = ("recipe=grpo_tiny", "task=reasoning_gym:chain_sum", own)
    chain, products = probed(*arguments, "task.parameters={min_terms: 2}", "task.data_seed=5")
    assert chain["parameters"] == {"min_terms": 2} and products["parameters"] is None
    assert chain["data_seed"] == products["data_seed"] == 5


def test_a_mixtures_tasks_hand_on_their_keys() -> None:
    mixed = 'task.tasks=[{name: "countdown:3", train_problems: 70, weight: 2}, "countdown:4"]'
    three, four = probed("recipe=grpo_tiny", "task=mixture", mixed)
    assert (three["train_problems"], four["train_problems"]) == (70, 1800)


@pytest.mark.parametrize("name", [n for n in recipe_names() if n.endswith("_tiny")])
def test_no_tiny_recipe_trains_on_what_it_probes(name: str) -> None:
    check(f"recipe={name}")


def test_no_7b_recipe_trains_on_what_it_probes(data: Path) -> None:
    for name in ("grpo_qwen7b", "study/grpo_qwen7b"):
        with pytest.warns(UserWarning, match="problems are copies of a training problem in") as told:
            check(f"recipe={name}", f"task.source={data / 'math'}")
        said = [str(one.message) for one in told]
        assert "omni_math_rule: 5 of its 821" in said[0] and "math500: 2 of its 500" in said[1]


@pytest.mark.parametrize(
    ("given", "shared"), [("train_problems: 2000, split_seed: 1", 589), ("train_problems: 100", 1900)]
)
def test_probing_what_is_trained_on_is_refused(data: Path, given: str, shared: int) -> None:
    tasks = f"probe.tasks=[{{name: omni_math_rule, {given}}}]"
    with pytest.raises(ConfigError) as caught:
        check("recipe=grpo_qwen7b", f"task.source={data / 'math'}", tasks)
    assert f"{shared} of its" in str(caught.value) and "split: train" in str(caught.value)
    check("recipe=grpo_qwen7b", f"task.source={data / 'math'}", tasks.replace("}]", ", split: train}]"))


class Endless(GeneratedProblems):
    identity = "endless"

    def __len__(self) -> int:
        return 10**6

    def __getitem__(self, position: int) -> Problem:  # type: ignore[override]
        raise AssertionError("too many to look at")


def task(name: str, train: Any, test: list[Problem]) -> Task:
    return Task(name, train, test, None, "plain")  # type: ignore[arg-type]


A, B = Problem("1", "What is  1+1?", 2), Problem("2", "What is 2+2?", 4)
SPELLED = Problem("7", "what IS 1+1?\n", 2)


@pytest.mark.parametrize(
    ("trained", "measured", "shared"),
    [
        (task("a", [A], [B]), task("a", [A], [B]), []),
        (task("a", [A], []), task("b", [], [SPELLED, B]), ["7"]),  # by text, whatever the task
        (task("a", [Problem("1", "boxed: 1+1", 2)], []), task("a", [], [A, B]), ["1"]),  # by id
        (task("a", [Problem("1", "other", 0)], []), task("b", [], [A]), []),  # ids of another task
        (task("a", [Problem("1", "x", 0)], []), task("a", [Problem("1", "x", 0)], [A]), []),  # both from 0
        (task("a", Endless(), [A]), task("a", Endless(), [A]), []),
        (task("a", Endless(), [A]), task("a", Endless(), [A, B]), ["2"]),  # B may be drawn
        (task("a", Endless(), [A]), task("b", [], [B]), []),
    ],
)
def test_overlap_by_hand(trained: Task, measured: Task, shared: list[str]) -> None:
    assert trained_on(trained, measured) == shared
