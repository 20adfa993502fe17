"""python -m evals export policy=DIR out=DIR [base=MODEL]: a checkpoint's policy for use elsewhere.

policy is a checkpoint's policy directory. out gets the whole model in Hugging Face format, which every engine
and transformers 4 load, adapters merged in, with a model card that says what the probe measured of it.
base: the model that adapters belong to, if it has moved.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from evals.commands.frame import command
from evals.records.probe_dir import RECORDS
from rlvr.config.errors import Mistake
from rlvr.config.schema import Section
from rlvr.core.run_dir import read_jsonl

ADAPTERS = "adapter_config.json"


class Export(Section):
    """What one command writes."""

    policy: Path
    out: Path
    base: str | None = None


def mistakes(settings: Export) -> list[Mistake]:
    """What is wrong with the directories."""
    found = []
    if not any((settings.policy / name).is_file() for name in (ADAPTERS, "config.json")):
        advice = "holds no policy: give a directory like runs/NAME/checkpoints/step_000100/policy"
        found.append(Mistake("policy", str(settings.policy), advice))
    if settings.out.exists():
        found.append(Mistake("out", str(settings.out), "is there already; give another directory"))
    return found


@command(Export, mistakes)
def main(settings: Export) -> None:
    """Raises ModelError."""
    from rlvr.models.loading import merge_adapters
    from rlvr.models.portable import make_portable

    policy, out = settings.policy, settings.out
    if (policy / ADAPTERS).is_file():
        merge_adapters(policy, out, settings.base)
    else:
        shutil.copytree(policy, out)
        make_portable(out)
    card = policy / "README.md"
    about = card.read_text() if card.is_file() else ""
    if found := measured(policy):
        about += "\n".join(found) + "\n"
    if about:
        (out / "README.md").write_text(about)
    print(f"wrote {out}")


def measured(policy: Path) -> list[str]:
    """What the run that the policy stands in measured of it, as Markdown; empty where that is not known."""
    run = policy.resolve().parent.parent.parent
    step = policy.resolve().parent.name.removeprefix("step_")
    if not (step.isdigit() and (run / RECORDS).is_file()):
        return []
    found = read_jsonl(run / RECORDS, "step", "task", "pass_at_k", "gap", "gap_k")
    rows = [row for row in found if row["step"] == int(step)]
    if not rows:
        return []
    lines = ["## Measured", "", "| task | pass@1 | base pass@K | gap | 95 % |", "|---|---|---|---|---|"]
    for row in rows:
        own, gap = row["pass_at_k"][0], row["gap"]
        base = None if gap is None else own + gap
        low, high = _points(row["gap_low"]), _points(row["gap_high"])
        lines.append(
            f"| {row['task']} | {_points(own)} | {_points(base)} (K = {row['gap_k']}) | {_points(gap)} | "
            f"{low} to {high} |"
        )
    return [*lines, "", "The gap is the base's pass@K minus this policy's pass@1, in points of 100."]


def _points(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"
