"""python -m evals export policy=DIR out=DIR [base=MODEL]: a policy with its adapters merged in.

policy is a checkpoint's policy directory with LoRA adapters; out gets the whole model in Hugging Face
format, which every engine loads. base: the model that the adapters belong to, if it has moved.
"""

from __future__ import annotations

from pathlib import Path

from evals.commands.frame import command
from rlvr.config.errors import Mistake
from rlvr.config.schema import Section


class Export(Section):
    """What one command merges."""

    policy: Path
    out: Path
    base: str | None = None


def mistakes(settings: Export) -> list[Mistake]:
    """What is wrong with the directories."""
    found = []
    if not (settings.policy / "adapter_config.json").is_file():
        found.append(Mistake("policy", str(settings.policy), "holds no adapters (adapter_config.json)"))
    if settings.out.exists():
        found.append(Mistake("out", str(settings.out), "is there already; give another directory"))
    return found


@command(Export, mistakes)
def main(settings: Export) -> None:
    """Raises ModelError."""
    from rlvr.models.loading import merge_adapters

    merge_adapters(settings.policy, settings.out, settings.base)
    print(f"wrote {settings.out}")
