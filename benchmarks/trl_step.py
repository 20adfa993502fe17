"""Training steps of TRL's GRPOTrainer for `against_trl.py`, with lengths that are given."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from datasets import Dataset
from torch import Tensor
from transformers import TrainerCallback
from trl import GRPOConfig, GRPOTrainer
from workload import SHAPES, Meter, Workload, build_model, build_tokenizer, is_correct, words


class TrlSteps(GRPOTrainer):
    """GRPOTrainer whose completions have the lengths of the workload, with its phases measured.

    Its `generate` runs until the longest completion is done, as it does where tokens end completions;
    the others are cut to their lengths.
    """

    def __init__(self, work: Workload, **settings: Any):
        self.work = work
        self.meter = Meter()
        self.losses: list[float] = []
        self.completions: list[list[int]] = []
        super().__init__(**settings)
        # No token ends a completion.
        self.eos_token_ids = [-1]
        if not self.use_vllm:
            self.generation_config.eos_token_id = self.model.generation_config.eos_token_id = None
        self.meter.count(self.model)

    def _generate_single_turn(self, prompt_ids: list[list[int]], *rest: Any, **named: Any) -> Any:
        lengths = self.work.completion_lengths(self.state.global_step)
        with self.meter.measured("generation"):
            if not self.use_vllm:
                self.generation_config.max_new_tokens = max(lengths)
            drawn, logprobs = super()._generate_single_turn(prompt_ids, *rest, **named)
        self.completions = [ids[:n] for ids, n in zip(drawn, lengths, strict=True)]
        return self.completions, logprobs

    def _generate_and_score_completions(self, inputs: Any) -> Any:
        with self.meter.measured("scoring"):
            return super()._generate_and_score_completions(inputs)

    def _compute_loss(self, model: Any, inputs: Any) -> Tensor:
        loss = super()._compute_loss(model, inputs)
        self.losses.append(loss.item())
        return loss


class AfterEachStep(TrainerCallback):
    """Measures a step from its beginning to the end of the optimizer's, then calls `then` with its number."""

    def __init__(self, then: Callable[[int], None]):
        self.then = then
        self.gradient: dict[str, Tensor] = {}
        self.keep_gradient = True

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.trainer.losses.clear()
        self.phase = self.trainer.meter.measured("update")
        self.phase.__enter__()

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        if self.keep_gradient:
            named = model.named_parameters()
            self.gradient = {name: p.grad.clone() for name, p in named if p.grad is not None}

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.phase.__exit__(None, None, None)
        self.then(state.global_step - 1)


def vllm_settings(work: Workload) -> dict[str, Any]:
    """TRL with vLLM in its process, in fp32 like everything else: it has no setting for that."""
    from rlvr.engines.vllm import prepare_environment

    prepare_environment(on_gpu=False)
    from trl.generation import vllm_generation

    vllm_generation.LLM = partial(
        vllm_generation.LLM, dtype="float32", enforce_eager=True, enable_chunked_prefill=False
    )
    return {
        "use_vllm": True, "vllm_mode": "colocate", "vllm_max_model_length": 4 * work.prompt + work.longest,
        "generation_kwargs": {"ignore_eos": True},
    }  # fmt: skip


def reward(prompts: list[str], completions: list[str], **_: Any) -> list[float]:
    return [float(is_correct(text)) for text in completions]


def trl_steps(
    work: Workload, steps: int, lr: float, directory: str, then: Callable[[int], None], **settings: Any
) -> tuple[TrlSteps, AfterEachStep]:
    """A trainer whose `train()` does so many steps and calls `then` after each."""
    model = build_model(work.shape)
    tokenizer = build_tokenizer(SHAPES[work.shape]["vocab_size"])
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    model.config._name_or_path = model.name_or_path = directory
    callback = AfterEachStep(then)
    prompts = [words(ids) for step in range(steps) for ids in work.prompt_ids(step)]
    accumulated = work.rows // work.trl_rows
    arguments = GRPOConfig(
        output_dir=directory, max_steps=steps, per_device_train_batch_size=work.trl_rows,
        gradient_accumulation_steps=accumulated, steps_per_generation=accumulated,
        num_generations=work.group_size, max_completion_length=work.longest, temperature=1.0, beta=0.0,
        learning_rate=lr, lr_scheduler_type="constant", max_grad_norm=1.0, use_cpu=True, bf16=False,
        gradient_checkpointing=False, shuffle_dataset=False, report_to=[], logging_strategy="no",
        save_strategy="no", disable_tqdm=True, **settings,
    )  # fmt: skip
    trainer = TrlSteps(
        work, model=model, args=arguments, reward_funcs=reward, callbacks=[callback],
        processing_class=tokenizer,
        train_dataset=Dataset.from_list([{"prompt": prompt} for prompt in prompts]),
    )  # fmt: skip
    callback.trainer = trainer
    return trainer, callback
