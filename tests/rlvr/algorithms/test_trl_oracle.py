"""TRL as oracle: the same rollouts through its trainers and through ours give the same loss and gradient."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from toys import VOCABULARY, assert_equal_gradients, learn, toy_algorithm, toy_groups, toy_learner, toy_model
from transformers import PreTrainedTokenizerFast, TrainerCallback

from rlvr.rollouts.collect import Group, to_batch

trl = pytest.importorskip("trl", reason="needs TRL (make install-test)")

TEMPERATURE = 0.7
LONGEST = 9


def tokenizer() -> PreTrainedTokenizerFast:
    """One token a word; token i is the word wi."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = {"<pad>": 0, "<eos>": 1, **{f"w{i}": i for i in range(2, VOCABULARY)}}
    core = Tokenizer(models.WordLevel(words, unk_token="<pad>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=core, pad_token="<pad>", eos_token="<eos>")


def words(ids: tuple[int, ...]) -> str:
    return " ".join(f"w{i}" for i in ids)


class Capture(TrainerCallback):
    """Keeps the gradient that an optimizer step is about to use."""

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        self.gradient = {
            f"policy.{n}": p.grad.clone() for n, p in model.named_parameters() if p.grad is not None
        }


def replayed(base: type, groups: list[Group]) -> type:
    """A TRL trainer that, instead of generating, returns the given completions, and keeps its losses."""
    queues = {g.prompt_ids: [list(s.completion.token_ids) for s in g.scored] for g in groups}

    class Replay(base):  # type: ignore[misc]
        losses: list[float]

        def _generate_single_turn(self, prompt_ids: list[list[int]], *_: Any, **__: Any) -> Any:
            drawn = [queues[tuple(ids)].pop(0) for ids in prompt_ids]
            return (drawn, None) if base is trl.GRPOTrainer else drawn

        def _compute_loss(self, model: Any, inputs: Any) -> torch.Tensor:
            loss = super()._compute_loss(model, inputs)
            self.losses.append(loss.item())
            return loss

    return Replay


def in_trl(
    tmp_path: Path, trainer: type, config: type, groups: list[Group], reference: Any = None, **settings: Any
) -> tuple[float, dict[str, torch.Tensor]]:
    """One optimizer step of TRL, accumulated over two micro-batches: (sum of losses, gradient)."""
    from datasets import Dataset

    rewards = {(g.prompt_ids, s.completion.token_ids): s.reward for g in groups for s in g.scored}

    def reward(prompts: list[str], completions: list[str], **_: Any) -> list[float]:
        ids = [tuple(int(w[1:]) for w in text.split()) for text in prompts]
        answers = [tuple(int(w[1:]) for w in text.split()) for text in completions]
        return [rewards[p, a] for p, a in zip(ids, answers, strict=True)]

    capture = Capture()
    arguments = config(
        output_dir=str(tmp_path), max_steps=1, per_device_train_batch_size=8, gradient_accumulation_steps=2,
        steps_per_generation=2, num_generations=4, max_completion_length=LONGEST, temperature=TEMPERATURE,
        learning_rate=1e-9, max_grad_norm=0.0, report_to=[], use_cpu=True, bf16=False, save_strategy="no",
        disable_tqdm=True, shuffle_dataset=False, disable_dropout=True, gradient_checkpointing=False,
        **settings,
    )  # fmt: skip
    model = toy_model(dtype=torch.float32)
    model.config._name_or_path = str(tmp_path / "model")
    model.save_pretrained(tmp_path / "model")
    instance = replayed(trainer, groups)(
        model=model, args=arguments, reward_funcs=reward, callbacks=[capture], processing_class=tokenizer(),
        train_dataset=Dataset.from_list([{"prompt": words(g.prompt_ids)} for g in groups]),
    )  # fmt: skip
    instance.losses = []
    if reference is not None:
        instance.ref_model.load_state_dict(reference.state_dict())
    instance.train()
    return sum(instance.losses), capture.gradient


def in_ours(
    groups: list[Group], name: str, reference: Any = None, **options: Any
) -> tuple[float, dict[str, torch.Tensor]]:
    algorithm = toy_algorithm(name, **options)
    learner = toy_learner(
        algorithm, toy_model(dtype=torch.float32), reference=reference, temperature=TEMPERATURE,
        micro_batch_tokens=60,
    )  # fmt: skip
    metrics, gradient = learn(learner, to_batch(groups))
    return metrics["loss/total"], gradient


@pytest.mark.parametrize(("beta", "by_ratio"), [(0.0, False), (0.05, False), (0.05, True)])
@pytest.mark.parametrize(
    ("loss_type", "scale", "options"),
    [
        ("grpo", "group", {"eps": 1e-4}),
        ("dapo", "group", {"eps": 1e-4, "normalisation": "token_mean"}),
        ("dr_grpo", "none", {"scale_by_std": False, "normalisation": "fixed_length"}),
    ],
)
def test_grpo(
    tmp_path: Path, loss_type: str, scale: str, options: dict[str, Any], beta: float, by_ratio: bool
) -> None:
    groups = toy_groups(seed=4)
    reference = toy_model(seed=1, dtype=torch.float32) if beta else None
    theirs = in_trl(
        tmp_path,
        trl.GRPOTrainer,
        trl.GRPOConfig,
        groups,
        reference,
        loss_type=loss_type,
        scale_rewards=scale,
        beta=beta,
        use_bias_correction_kl=by_ratio,
    )
    ours = in_ours(groups, "grpo", reference, kl={"coefficient": beta, "by_ratio": by_ratio}, **options)
    assert ours[0] == pytest.approx(theirs[0], abs=1e-5 * max(1.0, abs(theirs[0])))
    assert_equal_gradients(theirs[1], ours[1], 1e-5)


@pytest.mark.parametrize("beta", [0.0, 0.05])
def test_rloo(tmp_path: Path, beta: float) -> None:
    """Its loss is a ratio's, ours a log-prob's: on policy they differ in value and agree in gradient."""
    groups = toy_groups(seed=4)
    reference = toy_model(seed=1, dtype=torch.float32) if beta else None
    theirs = in_trl(tmp_path, trl.RLOOTrainer, trl.RLOOConfig, groups, reference, beta=beta)
    ours = in_ours(groups, "rloo", reference, kl={"coefficient": beta})
    assert_equal_gradients(theirs[1], ours[1], 1e-5)
