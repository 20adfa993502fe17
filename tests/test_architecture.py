"""Imports go one way, formulas import torch alone, and the script's directory is not on sys.path."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from functools import cache
from itertools import pairwise, takewhile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


# Entries of a package's folder, and modules of a package, that a reader can keep in mind.
MOST_ENTRIES = 15
MOST_MODULES = 14


def read_floors() -> list[str]:
    """The packages of the table in ARCHITECTURE.md, from the ground up."""
    lines = (ROOT / "ARCHITECTURE.md").read_text().splitlines()
    rows = takewhile(lambda line: line.startswith("|"), lines[lines.index("| package | what it is |") + 2 :])
    return [re.findall(r"`([\w.]+)`", row)[0] for row in rows]


FLOORS = read_floors()


@cache
def modules() -> dict[str, Path]:
    files = [*(ROOT / "rlvr").rglob("*.py"), *(ROOT / "evals").rglob("*.py")]
    names = {".".join(f.relative_to(ROOT).with_suffix("").parts): f for f in files}
    return {name.removesuffix(".__init__"): file for name, file in names.items()}


def package(module: str) -> str:
    """rlvr.tasks of rlvr.tasks.math."""
    return ".".join(module.split(".")[:2])


@cache
def imported(file: Path) -> set[str]:
    """Modules of the two packages that a file imports anywhere, function bodies included."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    known = modules().keys()
    return {name for name in found if name in known and name not in ("rlvr", "evals")}


@pytest.mark.parametrize("name", sorted({package(m) for m in modules()} - {"rlvr", "evals"}))
def test_packages_import_only_packages_above_them(name: str) -> None:
    above = FLOORS if name == "evals.__main__" else FLOORS[: FLOORS.index(name)]
    for module, file in modules().items():
        if package(module) == name:
            others = {package(other) for other in imported(file)} - {name}
            assert others <= {*above}, f"{module} must not import {', '.join(others - {*above})}"


def test_rlvr_knows_nothing_of_evals() -> None:
    for module, file in modules().items():
        if module.startswith("rlvr"):
            assert not {other for other in imported(file) if other.startswith("evals")}, module


def test_the_tree_is_the_table() -> None:
    packages = {package(module) for module in modules()} - {"rlvr", "evals", "evals.__main__"}
    assert packages == {*FLOORS}


@pytest.mark.parametrize("folder", sorted({file.parent for file in modules().values()}))
def test_no_folder_is_too_full(folder: Path) -> None:
    entries = [e for e in folder.iterdir() if e.name not in ("__init__.py", "__pycache__")]
    code = [e for e in entries if e.is_dir() or e.suffix == ".py"]
    top = folder in (ROOT / "rlvr", ROOT / "evals")
    assert len(code) <= (MOST_ENTRIES if top else MOST_MODULES)
    assert ast.get_docstring(ast.parse((folder / "__init__.py").read_text()))


# What a module must not import, wherever it is imported first.
LIGHT = [
    ("rlvr.planning.recipe", "torch transformers accelerate vllm deepspeed trl"),
    ("rlvr.algorithms.formulas.advantages", "transformers accelerate vllm deepspeed trl"),
    ("rlvr.algorithms.losses", "transformers accelerate vllm deepspeed trl"),
    ("rlvr.algorithms.batch", "torch transformers"),
    ("rlvr.learning.off_policy", "transformers accelerate vllm deepspeed trl"),
    ("rlvr.graders.countdown", "torch transformers pydantic"),
    ("rlvr.graders.code.run", "torch transformers pydantic"),
    ("rlvr.graders.math.grader", "torch transformers sympy math_verify"),
    ("rlvr.tasks.math", "torch transformers sympy math_verify datasets pyarrow"),
    ("launch.cli", "torch transformers numpy evals"),
    ("evals.commands.frame", "torch transformers numpy matplotlib pyarrow"),
    ("evals.commands.export", "torch transformers numpy matplotlib pyarrow"),
    ("evals.commands.grade", "torch transformers sympy math_verify"),
    ("evals.commands.probe", "torch transformers vllm"),
    ("evals.estimators.gap", "torch transformers"),
    ("evals.commands.passk", "torch transformers accelerate sympy math_verify datasets"),
    ("evals.commands.problems.ledger", "torch transformers accelerate sympy math_verify datasets"),
    ("evals.commands.compare", "torch transformers accelerate sympy math_verify datasets"),
]

# Each module in a fork of a process that holds of HEAVY what the module may import: that is imported once.
HEAVY = ("numpy", "scipy.stats", "pydantic", "torch")
IMPORTS = """
import importlib, os, sys
for preloaded, modules in {stages!r}:
    for name in preloaded:
        importlib.import_module(name)
    for module, forbidden in modules:
        if not os.fork():
            importlib.import_module(module)
            print(module, *(name for name in forbidden if name in sys.modules), flush=True)
            os._exit(0)
        os.wait()
"""


@pytest.fixture(scope="module")
def held() -> dict[str, list[str]]:
    """By module, what it imports of what it must not."""
    stages = []
    for preloaded in ((), HEAVY[:-1], HEAVY):
        fits = [(m, f.split()) for m, f in LIGHT if not {*f.split()} & {*preloaded}]
        stages.append((preloaded, fits))
    for here, (_, later) in pairwise(stages):
        here[1][:] = [entry for entry in here[1] if entry not in later]
    code = IMPORTS.format(stages=stages)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {words[0]: words[1:] for words in map(str.split, done.stdout.splitlines())}


@pytest.mark.parametrize("module", [module for module, _ in LIGHT])
def test_light_modules_stay_light(module: str, held: dict[str, list[str]]) -> None:
    assert held[module] == []


def test_no_module_of_the_package_shadows_another(tmp_path: Path) -> None:
    """`python rlvr/train.py` puts rlvr/ first on sys.path; train.py takes it off again."""
    code = (
        "import runpy, sys; sys.argv = ['train.py', '--help']\n"
        f"sys.path.insert(0, {str(ROOT / 'rlvr')!r})\n"
        "try: runpy.run_path(sys.path[0] + '/train.py', run_name='__main__')\n"
        "except SystemExit: pass\n"
        f"print({str(ROOT / 'rlvr')!r} in sys.path)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.splitlines()[-1] == "False", done.stderr


def test_the_script_trains_with_the_package_that_it_belongs_to(tmp_path: Path) -> None:
    """Whatever else of the same name is installed."""
    (tmp_path / "rlvr").mkdir()
    (tmp_path / "rlvr" / "__init__.py").write_text("raise SystemExit('another rlvr')")
    done = subprocess.run(
        [sys.executable, str(ROOT / "rlvr" / "train.py"), "recipe=grpo_tiny", "--dry-run"],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr


def test_the_script_does_nothing_when_imported() -> None:
    """Engines that spawn processes import the main module again."""
    done = subprocess.run(
        [sys.executable, "-c", "import rlvr.train"], capture_output=True, text=True, check=True
    )
    assert done.stdout == "" and done.stderr == ""
