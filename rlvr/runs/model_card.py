"""README.md of a policy: what it is and of what it was made, for whoever gets it without its run."""

from __future__ import annotations

from pathlib import Path

from rlvr.config.schema import Config


def write_model_card(policy: Path, config: Config, step: int) -> None:
    """Into the policy's directory, as a model card with the metadata that the Hub reads."""
    base = config.model
    named = f"base_model: {base}\n" if "/" in base and not Path(base).exists() else ""
    lora, rollouts = config.policy.lora, config.rollouts
    what = "LoRA adapters" if lora else "A whole model"
    lines = [
        f"---\n{named}library_name: {'peft' if lora else 'transformers'}\npipeline_tag: text-generation",
        "tags: [rlvr, reinforcement-learning]\n---\n",
        f"# {Path(config.recipe).stem}, step {step}\n",
        f"{what}, trained by reinforcement learning with verifiable rewards.\n",
        "| | |\n|---|---|",
        f"| trained from | `{base}` |",
        f"| recipe | `{config.recipe}`, seed {config.seed}, step {step} of {config.steps} |",
        f"| algorithm | {config.algorithm.name} |",
        f"| data | {config.task.name} |",
        f"| rollouts | {rollouts.prompts} problems x {rollouts.group_size} completions per step, at most "
        f"{rollouts.max_new_tokens:,} tokens |",
        "",
    ]
    if control := config.rewards.control:
        lines += [f"A control: its rewards were `{control}`, not what the answers earn.\n"]
    if lora:
        lines += [
            f"The adapters belong to `{base}`. `python -m evals export policy=DIR out=DIR` writes the whole "
            "model; `base=` names the base where it has moved.\n",
        ]
    (policy / "README.md").write_text("\n".join(lines))
