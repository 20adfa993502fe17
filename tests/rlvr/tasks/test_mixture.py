"""Mixtures and curricula: exact shares, stages by step, each problem decided by its own task's verifier."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from forked import Forked

from rlvr.config.errors import ConfigError
from rlvr.core.run_dir import read_jsonl
from rlvr.graders import Status
from rlvr.graders.plain_data import decode
from rlvr.planning.recipe import load_config
from rlvr.tasks import Problem, Task, TaskError, build_task
from rlvr.tasks.streams import Stream, problem_stream

THREE = {"name": "countdown:3", "train_problems": 10, "test_problems": 1}
FOUR = {"name": "countdown:4", "train_problems": 7, "test_problems": 1}
CURRICULUM = [{"until": 4, "tasks": [THREE]}, {"until": 6, "tasks": [THREE, FOUR]}, {"tasks": [FOUR]}]


def mixed(*entries: dict[str, Any]) -> Task:
    return build_task("mixture", tasks=list(entries))


def task_names(taken: list[tuple[int, Problem]]) -> list[str]:
    return [problem.id.partition("/")[0] for _, problem in taken]


def test_every_task_has_its_share_and_goes_by_in_passes() -> None:
    task = mixed(THREE | {"weight": 2}, FOUR | {"weight": 3})
    taken = problem_stream(task, seed=1).take(70)
    names = task_names(taken)
    assert Counter(names) == {"countdown:3": 28, "countdown:4": 42}
    assert all(Counter(names[i : i + 5])["countdown:3"] == 2 for i in range(0, 70, 5))
    assert len({tuple(names[i : i + 5]) for i in range(0, 70, 5)}) > 1
    for part in task.parts:
        own = [p.id.partition("/")[2] for _, p in taken if p.id.startswith(f"{part.name}/")]
        size = len(part.train)
        assert sorted(own[:size]) == sorted(own[size : 2 * size]) == sorted(p.id for p in part.train)
    assert problem_stream(task, seed=1).take(70) == taken != problem_stream(task, seed=2).take(70)


def test_a_task_given_twice_has_both_weights() -> None:
    task = mixed(THREE | {"weight": 1}, THREE | {"weight": 2}, FOUR)
    assert [part.name for part in task.parts] == ["countdown:3", "countdown:4"]
    taken = problem_stream(task, seed=1).take(40)
    assert Counter(task_names(taken)) == {"countdown:3": 30, "countdown:4": 10}
    three = [p.id for _, p in taken if p.id.startswith("countdown:3/")]
    assert len(set(three[:10])) == 10


def test_stages_follow_each_other_by_step() -> None:
    stream = problem_stream(build_task("mixture", stages=CURRICULUM), seed=0)
    seen = {}
    for stream.step in range(1, 9):
        seen[stream.step] = set(task_names(stream.take(4)))
    assert [seen[step] for step in (1, 4)] == [{"countdown:3"}] * 2
    assert [seen[step] for step in (5, 6)] == [{"countdown:3", "countdown:4"}] * 2
    assert [seen[step] for step in (7, 8)] == [{"countdown:4"}] * 2


def test_a_task_that_stays_goes_on_where_the_stage_before_left_it() -> None:
    part = {"train_problems": 1000, "test_problems": 2}
    three, four = ({"name": f"countdown:{n}", **part} for n in (3, 4))
    stages = [{"tasks": [three], "until": 10}, {"tasks": [three, four]}]
    stream = problem_stream(build_task("mixture", stages=stages), seed=0)
    taken = []
    for stream.step in range(1, 21):
        taken += stream.take(64)
    names = Counter(problem.id for _, problem in taken)
    assert sum(name.startswith("countdown:3/") for name in names.elements()) == 640 + 320
    assert max(names.values()) == 1


def test_the_state_is_all_that_a_resume_needs() -> None:
    task = build_task("mixture", stages=CURRICULUM)
    # As under dynamic sampling, a step takes as many problems as it needs.
    counts = [3, 8, 1, 5, 4, 9, 2, 6]

    def taken(stream: Stream, first: int, last: int = len(counts)) -> list[list[tuple[int, Problem]]]:
        found = []
        for stream.step in range(first, last + 1):
            found.append(stream.take(counts[stream.step - 1]))
        return found

    whole = taken(problem_stream(task, seed=3), 1)
    for done in range(1, len(counts)):
        before = problem_stream(task, seed=3)
        taken(before, 1, done)
        again = problem_stream(task, seed=3)
        again.restore(before.state())
        assert taken(again, done + 1) == whole[done:]


def test_each_problem_is_decided_by_its_own_task() -> None:
    sums = {"name": "reasoning_gym:chain_sum", "test_problems": 2, "template": "plain"}
    if find_spec("reasoning_gym") is None:
        pytest.skip("needs reasoning-gym (make install-test)")
    task = mixed(THREE, sums, sums | {"data_seed": 5})
    assert [part.name for part in task.parts] == [
        "countdown:3", "reasoning_gym:chain_sum", "reasoning_gym:chain_sum#2",
    ]  # fmt: skip
    taken = [problem for _, problem in problem_stream(task, seed=0).take(12)]
    parts = {part.name: part for part in task.parts}
    items, alone = [], []
    for problem in taken:
        own = problem.reference["reference"]
        right = decode(own["entry"])["answer"] if "entry" in own else "no expression"
        for text in (str(right), "7 7"):
            items.append((text, problem.reference))
            alone.append(parts[problem.reference["task"]].verifier(text, own).status)
    assert [verdict.status for verdict in task.verifier.grade(items)] == alone
    assert {Status.CORRECT, Status.WRONG, Status.UNPARSED} <= set(alone)
    assert task.verifier.version == "countdown-1+reasoning-gym-2"
    assert task.verifier.confinement == parts["reasoning_gym:chain_sum"].verifier.confinement
    hashes = [part.data_hash() for part in task.parts]
    assert len({*hashes, task.data_hash()}) == 4
    for part in task.parts[1:]:
        part.verifier.pool.close()


def test_what_cannot_be_mixed(tmp_path: Path) -> None:
    (tmp_path / "amc23.jsonl").write_text('{"id": 1, "problem": "1+1", "answer": "2"}\n')
    with pytest.raises(TaskError, match="amc23 has no training problems"):
        mixed(THREE, {"name": "amc23", "source": str(tmp_path)})
    for options in ({}, {"tasks": [THREE], "stages": CURRICULUM}):
        with pytest.raises(TaskError, match=r"give task\.tasks, or task\.stages"):
            build_task("mixture", **options)


def test_the_configuration_fills_defaults_and_names_every_mistake() -> None:
    config = load_config(
        ["recipe=grpo_tiny", "task=mixture", "task.tasks=[{name: gsm8k, weight: 2}, countdown:4]"]
    )
    gsm8k, countdown = config.task.options["tasks"]
    assert (gsm8k["weight"], gsm8k["template"], gsm8k["bad_rows"]) == (2, "r1_zero", "stop")
    assert (countdown["weight"], countdown["name"]) == (1, "countdown:4")
    twice = ", ".join(["{until: 5, tasks: [gsm8k]}"] * 2)
    wrong = {
        "task.tasks=[{name: gsm8k, grade: lenient}]": "task.tasks[0].grade",
        "task.tasks=[{name: gsm9k}]": "task.tasks[0].name",
        "task.tasks=[{name: gsm8k, weight: 0}]": "task.tasks.0.weight",
        "task.stages=[{until: 5, tasks: [gsm8k]}]": "task.stages",
        "task.stages=[{tasks: [gsm8k]}, {tasks: [math500]}]": "task.stages",
        f"task.stages=[{twice}, {{tasks: [gsm8k]}}]": "task.stages",
        "task.stages=[{tasks: [{name: gsm8k, grade: lenient}]}]": "task.stages[0].tasks[0].grade",
        "task.stages=[{tasks: []}]": "task.stages.0.tasks",
        "probe.tasks=[mixture]": "probe.tasks",
    }
    for argument, key in wrong.items():
        with pytest.raises(ConfigError) as caught:
            load_config(["recipe=grpo_tiny", "task=mixture", argument])
        assert [mistake.key for mistake in caught.value.mistakes] == [key]


@pytest.mark.slow
def test_a_resumed_curriculum_is_the_uninterrupted_one(train: Callable[..., Forked], tmp_path: Path) -> None:
    stages = (
        "[{until: 1, tasks: [countdown:3]}, {until: 3, tasks: [{name: countdown:3, weight: 3}, countdown:4]},"
        " {tasks: [countdown:4]}]"
    )

    def steps(run: str, last: int) -> list[dict[str, float]]:
        process = train(
            "recipe=grpo_tiny", "model=embedded:countdown-untrained", "task=mixture", f"task.stages={stages}",
            "save_every=2", f"steps={last}", "rollouts.prompts=4", "rollouts.group_size=4",
            "rollouts.max_new_tokens=16", "probe.tasks=[]", f"run_dir={run}",
        )  # fmt: skip
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
        rows = read_jsonl(tmp_path / run / "metrics.jsonl")
        return [{k: v for k, v in row.items() if "time/" not in k and "seconds" not in k} for row in rows]

    whole = steps("whole", 4)
    steps("parts", 2)
    assert steps("parts", 4) == whole and len(whole) == 4
