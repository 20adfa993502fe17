"""The messages that a mistake in a configuration gets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from rlvr.algorithms import ALGORITHMS, build_algorithm
from rlvr.config.errors import ConfigError
from rlvr.config.schema import Correction
from rlvr.planning.checks import launch_stage_mistake, of_age, of_environments
from rlvr.planning.recipe import load_config
from rlvr.tasks import Share, Stage, Task, build_task
from rlvr.tasks.environments import Transition

ROOT = Path(__file__).resolve().parents[3]


def mistakes(*arguments: str, world_size: int = 1) -> dict[str, str]:
    """key -> advice of every mistake."""
    with pytest.raises(ConfigError) as caught:
        load_config(arguments, world_size)
    return {m.key: m.advice for m in caught.value.mistakes}


def test_all_mistakes_at_once() -> None:
    found = mistakes(
        "recipe=grpo_tiny", "stepz=3", "optim.learning_rate=1", "rollouts.prompts=many", "optim.lr=-1"
    )
    assert found["stepz"] == "unknown key; did you mean steps?"
    assert "optim.lr" in found["optim.learning_rate"]
    assert "valid integer" in found["rollouts.prompts"]
    assert found["optim.lr"] == "input should be greater than 0"


@pytest.mark.parametrize(
    ("arguments", "key", "advice"),
    [
        (["recipe=grpo_tin"], "recipe", "did you mean grpo_tiny?"),
        ([], "recipe", "give recipe=NAME with one of"),
        (["recipe=grpo_tiny", "algorithm=gpro"], "algorithm.name", "did you mean grpo or gspo?"),
        (["recipe=grpo_tiny", "algorithm.gae_lambda=1"], "algorithm.gae_lambda", "keys of algorithm"),
        (["recipe=grpo_tiny", "algorithm.clip.lo=1"], "algorithm.clip.lo", "did you mean algorithm.clip.low"),
        (["recipe=grpo_tiny", "task=countdwn:3"], "task.name", "did you mean countdown?"),
        (["recipe=grpo_tiny", "task=countdown:9"], "task.variant", "'3' or '4'"),
        (["recipe=grpo_tiny", "probe.tasks=[countdown:7]"], "probe.tasks[0].variant", "'3' or '4'"),
        (["recipe=grpo_tiny", "lr=1"], "lr", "did you mean optim.lr?"),
        (["recipe=grpo_tiny", "policy.zero=1"], "policy.zero", "0, 2 or 3"),
        (["recipe=grpo_tiny", "rollouts.prompts=63", "optim.mini_batches=2"], "rollouts.prompts", "nearest"),
        (["recipe=grpo_tiny", "rollouts.top_p=0.9"], "rollouts.top_p", "allow_top_p=true"),
        (["recipe=grpo_tiny", "probe.base_n=8"], "probe.base_n", "pass@256"),
        (["recipe=grpo_tiny", "--dryrun"], "--dryrun", "did you mean --dry-run?"),
        (["recipe=grpo_tiny", "--dry_run=8x80"], "--dry_run=8x80", "did you mean --dry-run?"),
        (["recipe=grpo_tiny", "--seed=3"], "--seed=3", "without dashes: seed=..."),
        (["grpo_tiny"], "grpo_tiny", "did you mean recipe=grpo_tiny?"),
        (["mine.yaml"], "mine.yaml", "did you mean recipe=mine.yaml?"),
        (["recipe=grpo_tiny", "rollouts.group=4"], "rollouts.group", "did you mean rollouts.group_size?"),
        (["recipe=grpo_tiny", "algorithm.kl=0.1"], "algorithm.kl", "algorithm.kl.coefficient"),
        (["recipe=grpo_tiny", "algorithm.clp=0.1"], "algorithm.clp", "did you mean algorithm.clip?"),
        (
            ["recipe=grpo_tiny", "algorithm.clip_high=1"],
            "algorithm.clip_high",
            "did you mean algorithm.clip.high?",
        ),
        (
            ["recipe=grpo_tiny", "algorithm.kl={coefficient: 1, reset_every: 9}", "policy.lora.rank=4"],
            "policy.lora",
            "has no weights of its own to reset",
        ),
        (["recipe=dapo_tiny", "rewards.control=random"], "rewards.control", "dapo goes by verdicts"),
        (["recipe=grpo_tiny", "algorithm=opd"], "teacher", "opd learns from a teacher: give teacher=MODEL"),
        (["recipe=grpo_tiny", "teacher=embedded:countdown"], "teacher", "grpo asks no teacher"),
        (["recipe=opd_tiny", "teacher=./none"], "teacher", "there is no such directory"),
        (["recipe=grpo_tiny", "algorithm.kl.reset_every=9"], "algorithm", "there is no reference model"),
        (
            ["recipe=grpo_tiny", "algorithm.kl_coef=1"],
            "algorithm.kl_coef",
            "did you mean algorithm.kl.coefficient?",
        ),
        (["recipe=grpo_tiny", "probe.keep_bst=true"], "probe.keep_bst", "mean probe.watch.keep_best?"),
        (["recipe=grpo_tiny", "batch_size=4"], "batch_size", "rollouts.prompts or optim.mini_batches?"),
        (["recipe=grpo_tiny", "learning_rate=1"], "learning_rate", "did you mean optim.lr?"),
        (["recipe=grpo_tiny", "num_generations=8"], "num_generations", "did you mean rollouts.group_size?"),
        (["recipe=grpo_tiny", "probe.task=[x]"], "probe.task", "did you mean probe.tasks?"),
        (["recipe=grpo_tiny", "optim=3"], "optim", "is a section; its keys: optim.lr"),
        (["recipe=grpo_tiny", "model=runs/none/policy"], "model", "there is no such directory"),
        (["recipe=grpo_tiny", "base=./none"], "base", "there is no such directory"),
    ],
)
def test_each_mistake_says_what_to_do(arguments: list[str], key: str, advice: str) -> None:
    assert advice in mistakes(*arguments)[key]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["algorithm=rloo", "optim.epochs=2"], "algorithm.loss=ppo_clip"),
        (["rollouts.group_size=1"], "grpo needs 2 or more"),
        (["algorithm=passk", "algorithm.k=16"], "passk needs 17 or more"),
        (["algorithm=passk", "algorithm.k=8", "rollouts.group_size=8"], "passk needs 9 or more"),
        (
            ["algorithm=reinforce_pp", "algorithm.baseline=true", "rollouts.group_size=1"],
            "reinforce_pp needs 2 or more",
        ),
        (["engine.mode=server"], "only vllm has a server"),
        (["rollouts.ahead=1"], "Set rollouts.correction.by=truncate"),
        (["rollouts.ahead=1", "rollouts.correction.by=mask"], "Set rollouts.correction.by=truncate"),
        (["rollouts.ahead=5", "rollouts.correction.by=truncate"], "give at most 4"),
        (["algorithm=ppo", "rollouts.ahead=2", "rollouts.correction.by=truncate"], "give at most 1"),
        (["rollouts.ahead=1", "engine.name=vllm"], "set engine.mode=server, or engine.name=hf"),
        (["policy.zero=3", "policy.lora={quantized: true}"], "set policy.zero=2 or 0"),
        (["algorithm=passk", "algorithm.kl.coefficient=0.1", "algorithm.kl.paid=reward"], "kl.paid=loss"),
        (["probe.tasks=[countdown:3,countdown:3]"], "each task once"),
        (["task.test_problems=0"], "greater than or equal to 1"),
    ],
)
def test_what_an_algorithm_cannot_work_with_is_refused_before_a_model_loads(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from rlvr.train import main

    assert main(["recipe=grpo_tiny", f"run_dir={tmp_path / 'run'}", *arguments]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ALGORITHMS)
def test_each_algorithm_says_how_old_its_samples_may_be(name: str) -> None:
    taught = ["teacher=embedded:countdown-teacher"] if name == "opd" else []
    config = load_config(["recipe=grpo_tiny", f"algorithm={name}", *taught])
    algorithm = build_algorithm(config.algorithm)
    most = {"ppo": 1, "ppo_verl": 1, "opd": 0}.get(name, 4)
    given = config.rollouts.model_copy(update={"correction": Correction(by="truncate"), "ahead": most})
    assert of_age(config.model_copy(update={"rollouts": given}), algorithm) == []
    older = config.model_copy(update={"rollouts": given.model_copy(update={"ahead": most + 1})})
    (mistake,) = of_age(older, algorithm)
    assert (f"give at most {most}" if most else "give 0 (") in mistake.advice
    (mistake,) = of_age(older, replace(algorithm, most_ahead=0))  # as one of the user's own that says nothing
    assert "Algorithm.most_ahead says what an algorithm takes" in mistake.advice


def test_an_environment_of_the_users_own_is_not_called_beside_the_training() -> None:
    given = ["recipe=grpo_tiny", "rollouts.correction.by=truncate"]
    ahead, plain = load_config([*given, "rollouts.ahead=1"]), load_config(given)
    ours = build_task("guess")
    assert ours.environment is not None
    theirs = replace(ours, environment=replace(ours.environment, act=lambda state, text: Transition(state)))
    mixture = Task("mixture", [], [], ours.verifier, stages=(Stage(None, (Share(theirs, 1),)),))
    assert of_environments(ahead, ours) == of_environments(plain, theirs) == []
    for task in (theirs, mixture):
        (mistake,) = of_environments(ahead, task)
        assert mistake.key == "rollouts.ahead"


@pytest.mark.parametrize(
    ("zero", "environ", "said"),
    [
        (0, {}, None),
        (3, {}, None),
        (3, {"ACCELERATE_USE_DEEPSPEED": "true"}, None),
        (3, {"ACCELERATE_USE_DEEPSPEED": "true", "ACCELERATE_DEEPSPEED_ZERO_STAGE": "3"}, None),
        (3, {"ACCELERATE_USE_DEEPSPEED": "false", "ACCELERATE_DEEPSPEED_ZERO_STAGE": "2"}, None),
        (0, {"ACCELERATE_USE_DEEPSPEED": "true"}, "with DeepSpeed: give a launch file for this stage"),
        (
            0,
            {"ACCELERATE_USE_DEEPSPEED": "true", "ACCELERATE_DEEPSPEED_ZERO_STAGE": "3"},
            "give policy.zero=3 or a launch file for this stage (launch/gpu1.yaml)",
        ),
        (
            3,
            {"ACCELERATE_USE_DEEPSPEED": "true", "ACCELERATE_DEEPSPEED_ZERO_STAGE": "2"},
            "give policy.zero=2 or a launch file for this stage (launch/*_zero3.yaml)",
        ),
        (
            2,
            {"ACCELERATE_USE_DEEPSPEED": "true", "ACCELERATE_DEEPSPEED_ZERO_STAGE": "1"},
            "with ZeRO stage 1: give a launch file for this stage (launch/*_zero2.yaml)",
        ),
        (
            2,
            {
                "ACCELERATE_USE_DEEPSPEED": "true",
                "ACCELERATE_DEEPSPEED_ZERO_STAGE": "2",
                "ACCELERATE_DEEPSPEED_CONFIG_FILE": "ds.json",
            },
            "ds.json, which would not be read",
        ),
    ],
)
def test_a_launch_of_another_stage_is_a_mistake(zero: int, environ: dict[str, str], said: str | None) -> None:
    found = launch_stage_mistake(load_config(["recipe=grpo_tiny", f"policy.zero={zero}"]), environ)
    if said is None:
        assert found == []
    else:
        assert [m.key for m in found] == ["policy.zero"] and said in found[0].advice


def test_the_batch_must_divide_into_processes() -> None:
    assert "3 process(es)" in mistakes("recipe=grpo_tiny", world_size=3)["rollouts.prompts"]


@pytest.mark.parametrize(
    ("arguments", "refused"),
    [
        (["task=math500"], True),
        (["task=math500", "task.soundness=arithmetic"], False),
        (["task.soundness=none"], True),
        (["task=mixture", "task.tasks=[{name: countdown:3, soundness: none}]"], True),
        (["task=mixture", "task.tasks=[{name: countdown:3}]"], False),
        ([], False),
    ],
)
def test_a_reward_of_soundness_needs_somebody_who_looks(arguments: list[str], refused: bool) -> None:
    given = ["recipe=grpo_sound_tiny", "probe.tasks=[]", *arguments]
    if not refused:
        assert load_config(given).rewards.unsound == 0.0
        return
    with pytest.raises(ConfigError, match="nobody looks at the reasoning") as raised:
        load_config(given)
    assert [mistake.key for mistake in raised.value.mistakes] == ["rewards.unsound"]


@pytest.mark.parametrize(
    ("arguments", "keys"),
    [
        (
            ["rewards.wrong_step=-1", "rewards.right_step=1", "task.soundness=none"],
            ["right_step", "wrong_step"],
        ),
        (["rewards.wrong_step=-1"], []),
        (["algorithm.credit=steps", "rewards.wrong_step=-1"], []),
        (["algorithm.credit=steps", "rewards.extra=[{reward: 'math:fsum', takes: row}]"], []),
        (["algorithm.credit=steps"], ["algorithm.credit"]),
        (["algorithm.credit=tokens"], ["algorithm.credit"]),
        (["recipe=grpo_tiny", "algorithm.credit=steps"], ["algorithm.credit"]),
        (["recipe=reinforce_pp_tiny", "algorithm.credit=steps", "algorithm.baseline=true"], ["algorithm"]),
    ],
)
def test_steps_are_credited_where_they_are_paid(arguments: list[str], keys: list[str]) -> None:
    given = ["recipe=rloo_tiny", *arguments] if "recipe" not in arguments[0] else arguments
    if not keys:
        load_config(given)
        return
    with pytest.raises(ConfigError) as raised:
        load_config(given)
    assert [m.key.removeprefix("rewards.") for m in raised.value.mistakes] == keys
