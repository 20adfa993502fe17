"""The commands of README.md and docs/, run from the pages: each page's in order, in a fresh directory.

They run word for word where they can. What takes minutes is given settings that shorten it, and a step's name
in a path is then the last step there is; what cannot run on a machine of a developer's is in NOT_HERE, with
the reason.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pages import ROOT, blocks

# docs/own-data.md is run by tests/test_own_data.py, which reads its output too.
PAGES = [ROOT / "README.md", *sorted({*(ROOT / "docs").glob("*.md")} - {ROOT / "docs" / "own-data.md"})]
COMMAND = re.compile(r"(\. |make |rlvr |python |accelerate |wandb |sbatch |for |[A-Z]=)")
# What of the tree a page's relative paths name.
TREE = ("rlvr", "evals", "launch", "recipes", "requirements", "Makefile", "pyproject.toml")
# The page's files that do not say their own name in their first line.
NAMES = {("quickstart.md", "yaml"): "mine.yaml", ("quickstart.md", "python"): "raft.py",
         ("plugins.md", "yaml"): "own.yaml"}  # fmt: skip

NOT_HERE = {
    r"^make (test|install)|^\. \.venv": "installs, or runs the tests",
    r"^(make|rlvr) study|^python benchmarks/": "hours; tests/launch/test_study.py has it with few steps",
    r"node_zero3|--size qwen7b|recipe=grpo_qwen7b task\.|make test-gpu": "needs GPUs",
    r"evals view|(make|rlvr) view": "serves until it is stopped; tests/evals/view has it",
    r"^sbatch": "needs Slurm; tests/launch/test_slurm.py has stand-ins for it",
    r"https?://": "needs a server of a model",
    r"qwen7b|gsm8k|math500|omni_math|olympiad|Qwen/": "needs the hub",
    r"^wandb sync --yes|^python launch/wandb_dashboard.py(?!.*--spec-only)": "needs an account",
    r"\b(PATH|NAME|DIR|FILE|RUN|COMMAND|K|ID)\b": "has placeholders",
    r"evals watch|follow=true": "needs another trainer's checkpoints, or waits for more",
    r"runs/rloo_tiny-s1|probe run=runs/grpo_tiny-s0": "is about runs that the page does not train",
}
# Of these only the planning needs no GPU, and the table says what is missing here.
STATUS = {r"qwen7b.*--dry-run|--dry-run.*qwen7b": (0, 3), r"doctor.*qwen7b": (1, 2), r"doctor": (0, 1)}
RUNS = (
    "steps=2 save_every=1 rollouts.prompts=8 rollouts.max_new_tokens=48 probe.max_problems=4 probe.n=4 "
    "probe.base_n=16 probe.final_n=16 probe.k=16"
)
SHORTER = {
    r"^make run": RUNS,
    r"train(\.py)? .*recipe=(\w+_tiny|mine\.yaml|steps\.yaml)": RUNS,
    r"evals (probe|power) (?!.*(run=|sums))": "max_problems=4 n=8 max_new_tokens=48",
}


def commands(page: Path) -> Iterator[str]:
    """The lines of the unnamed code blocks that are commands, with those that they go on in."""
    for block in blocks(page):
        for line in block.replace("\\\n", " ").splitlines():
            if COMMAND.match(line) and not re.match(r"[A-Z]=.* ", line):
                yield re.sub(r"\s+# .*", "", line)


def not_here(command: str) -> str | None:
    """Why it does not run here."""
    if "--dry-run" in command or "doctor" in command:
        return None
    return next((reason for pattern, reason in NOT_HERE.items() if re.search(pattern, command)), None)


def shortened(command: str) -> str:
    """Word for word but for settings behind it, and but for what a target of make would install."""
    settings = next((more for pattern, more in SHORTER.items() if re.search(pattern, command)), "")
    if command.startswith("make"):
        _, target, *given = shlex.split(command)
        arguments = " ".join([*(word.removeprefix("ARGS=") for word in given), settings])
        return f'make -o install VENV={sys.prefix} {target} ARGS="{arguments}"'
    if settings and "--dry-run" not in command:
        loop, done = command.removesuffix("; done"), command.endswith("; done")
        command = f"{loop} {settings}" + "; done" * done
    return re.sub(r"step_0000[2-9]0|step_000150", "step_000002", command)


def write_files(page: Path, directory: Path) -> None:
    for name in TREE:
        (directory / name).symlink_to(ROOT / name)
    for language in ("python", "yaml"):
        for block in blocks(page, language):
            first = block.partition("\n")[0].removeprefix("# ")
            name = NAMES.get((page.name, language), first)
            if re.fullmatch(r"\w+\.(py|yaml)", name):
                (directory / name).write_text(block)


def test_every_command_that_does_not_run_has_a_reason_that_is_still_needed() -> None:
    everything = [command for page in PAGES for command in commands(page)]
    assert len(everything) > 70
    for pattern in NOT_HERE:
        assert any(re.search(pattern, command) for command in everything), pattern


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [p for p in PAGES if any(not not_here(c) for c in commands(p))], ids=lambda page: page.stem
)
def test_the_commands_of_a_page_run(page: Path, tmp_path: Path) -> None:
    write_files(page, tmp_path)
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": f"{ROOT}",
        "OMP_NUM_THREADS": "1",
    }
    variables, failed = "", []
    for command in commands(page):
        if reason := not_here(command):
            print(f"-- {command}: {reason}")
            continue
        if re.match(r"[A-Z]=", command):
            variables += f"{command}\n"
            continue
        run = shortened(command)
        done = subprocess.run(
            ["bash", "-c", variables + run], cwd=tmp_path, env=environment, capture_output=True, text=True,
            timeout=1200,
        )  # fmt: skip
        print(f"$ {run}\n{done.stdout[-3000:]}{done.stderr[-1500:]}")
        allowed = next((s for pattern, s in STATUS.items() if re.search(pattern, command)), (0,))
        if done.returncode not in allowed or "Traceback" in done.stderr:
            failed.append(f"{run}: status {done.returncode}\n{done.stdout[-1000:]}{done.stderr[-3000:]}")
    assert not failed, "\n\n".join(failed)
