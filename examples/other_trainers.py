"""The probe in other trainers: TRL's GRPOTrainer (plain, LoRA, vLLM) and SFTTrainer, transformers.Trainer.

    python examples/other_trainers.py grpo|lora|vllm|sft|trainer BASE OUT [steps]

BASE is a directory of the tiny base model or of any causal language model. OUT becomes a run directory:

    python -m evals compare OUT ANOTHER_RUN out=report

The same file runs under `accelerate launch --config_file launch/...` with DDP, DeepSpeed or FSDP.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    DataCollatorForLanguageModeling,
    Trainer,
    TrainingArguments,
)

from evals.probe.callback import ProbeCallback
from evals.sampling.settings import ProbeConfig, ProbedTask
from rlvr.engines.vllm import keep_plain_weights, prepare_environment
from rlvr.tasks import build_task

TASK = build_task("countdown:3")
COMMON: dict[str, Any] = {
    "per_device_train_batch_size": 16,
    "learning_rate": 1e-3,
    "save_steps": 2,
    "logging_steps": 1,
    "report_to": [],
    "use_cpu": True,
    "bf16": False,
    "disable_tqdm": True,
}


def grpo(base: str, out: str, steps: int, **more: Any) -> Trainer:
    """GRPO on the task that is probed, with the probe's own verifier as its reward."""
    import trl

    def correct(completions: list[str], reference: list[Any], **_: Any) -> list[float | None]:
        return [
            verdict.score for verdict in TASK.verifier.grade(list(zip(completions, reference, strict=True)))
        ]

    settings = {name: more.pop(name) for name in list(more) if name != "peft_config"}
    arguments = trl.GRPOConfig(
        output_dir=out, max_steps=steps, num_generations=8, max_completion_length=48, **COMMON, **settings
    )
    return trl.GRPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(base),
        processing_class=AutoTokenizer.from_pretrained(base),
        args=arguments,
        reward_funcs=correct,
        train_dataset=Dataset.from_list(
            [{"prompt": p.prompt, "reference": p.reference} for p in TASK.train[:64]]
        ),
        **more,
    )


def lora(base: str, out: str, steps: int) -> Trainer:
    """The same with adapters; the probe's engine gets them added to the weights."""
    from peft import LoraConfig

    adapters = LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM")
    return grpo(base, out, steps, peft_config=adapters)


def vllm(base: str, out: str, steps: int) -> Trainer:
    """The same with TRL's colocated vLLM, which the probe samples from as well."""
    if not torch.cuda.is_available():
        prepare_environment(on_gpu=False)
        keep_plain_weights()
    colocated = {"use_vllm": True, "vllm_mode": "colocate", "vllm_max_model_length": 128}
    return grpo(base, out, steps, **colocated)


def solved(tokenizer: Any) -> Dataset:
    """Problems with an answer, for the trainers that imitate."""
    texts = [f"{p.prompt}{p.reference['numbers'][0]}" for p in TASK.train[:64]]
    return Dataset.from_list([{"text": text + tokenizer.eos_token} for text in texts])


def sft(base: str, out: str, steps: int) -> Trainer:
    import trl

    tokenizer = AutoTokenizer.from_pretrained(base)
    arguments = trl.SFTConfig(output_dir=out, max_steps=steps, **COMMON)
    model = AutoModelForCausalLM.from_pretrained(base)
    return trl.SFTTrainer(model, arguments, train_dataset=solved(tokenizer), processing_class=tokenizer)


def trainer(base: str, out: str, steps: int) -> Trainer:
    tokenizer = AutoTokenizer.from_pretrained(base)
    rows = solved(tokenizer).map(lambda row: {"input_ids": tokenizer(row["text"])["input_ids"]})
    return Trainer(
        model=AutoModelForCausalLM.from_pretrained(base),
        args=TrainingArguments(output_dir=out, max_steps=steps, **COMMON),
        train_dataset=rows.select_columns(["input_ids"]),
        data_collator=DataCollatorForLanguageModeling(tokenizer, mlm=False),
        processing_class=tokenizer,
    )


KINDS = {"grpo": grpo, "lora": lora, "vllm": vllm, "sft": sft, "trainer": trainer}


def main(kind: str, base: str, out: str, steps: int = 4) -> None:
    settings = ProbeConfig(
        tasks=(ProbedTask(name="countdown:3"),), n=8, base_n=8, final_n=16, k=8, max_problems=4
    )
    training = KINDS[kind](base, out, steps)
    ProbeCallback(base, settings, max_new_tokens=48).attach(training)
    training.train()


if __name__ == "__main__":
    kind, base, out, *steps = sys.argv[1:]
    main(kind, base, str(Path(out)), *map(int, steps))
