"""The wheel: what is in it, and that it works away from the repository."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

import rlvr

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("rlvr", "evals", "launch")
BUILT_FROM = (*PACKAGES, "recipes", "LICENSE", "MANIFEST.in", "README.md", "pyproject.toml", "setup.py")
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "-q")

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of the tree, in which an earlier build has left a module behind."""
    tree, out = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("wheel")
    for name in BUILT_FROM:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, tree / name)
    (tree / "build" / "lib" / "rlvr").mkdir(parents=True)
    (tree / "build" / "lib" / "rlvr" / "left_over.py").touch()
    build = [*PIP, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", str(out), str(tree)]
    subprocess.run(build, check=True, capture_output=True)
    (found,) = out.iterdir()
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In a git repository that is not this one, as a project's own environment is."""
    project = tmp_path_factory.mktemp("project")
    target = project / "installed"
    as_somebody = ["-c", "user.name=x", "-c", "user.email=x@localhost"]
    for arguments in (["init"], [*as_somebody, "commit", "--allow-empty", "-m", "theirs"]):
        subprocess.run(["git", "-C", str(project), *arguments], check=True, capture_output=True)
    install = [*PIP, "install", "--no-deps", "--no-index", "--target", str(target), str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    return target


@pytest.fixture
def run(installed: Path, tmp_path: Path) -> Run:
    """Runs Python with the installed package, in a directory of its own."""

    def start(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"PYTHONPATH": str(installed)}
        return subprocess.run(
            [sys.executable, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True
        )

    return start


def test_all_files_of_the_packages_and_all_recipes_are_shipped(wheel: Path) -> None:
    files = [file for name in PACKAGES for file in (ROOT / name).rglob("*")]
    expected = {
        str(file.relative_to(ROOT)) for file in files if file.is_file() and "__pycache__" not in file.parts
    }
    recipes = {f"rlvr/{file.relative_to(ROOT)}" for file in (ROOT / "recipes").rglob("*.yaml")}
    shipped = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert shipped == expected | recipes
    assert {
        "rlvr/recipes/study/grpo_tiny.yaml",
        "launch/node_zero3.yaml",
        "launch/slurm_node.sh",
        "evals/reports/compare/page.html.jinja",
    } <= shipped


def test_it_is_used_from_where_it_is_installed(run: Run, installed: Path) -> None:
    code = (
        "import rlvr, importlib.metadata as m, rlvr.runs.provenance as p; from rlvr.planning import recipe\n"
        "print(rlvr.__file__, rlvr.__version__, m.version('rlvr'), recipe.RECIPES, p._git_revision())"
    )
    version, here = rlvr.__version__, installed / "rlvr"
    said = run("-c", code).stdout.split()
    assert said == [str(here / "__init__.py"), version, version, str(here / "recipes"), "None"]
    assert run(str(installed / "bin" / "rlvr"), "--version").stdout == f"rlvr {version}\n"


def test_a_recipe_resolves(run: Run) -> None:
    done = run("-m", "launch.cli", "train", "recipe=study/grpo_tiny", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "prompts x" in done.stdout


def test_stored_counts_are_read(run: Run, tmp_path: Path) -> None:
    rows = [{"problem": f"p{i}", "n": 4, "correct": i} for i in range(4)]
    (tmp_path / "counts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = run("-m", "launch.cli", "eval", "passk", "counts.jsonl")
    assert done.returncode == 0, done.stderr
    assert "4 problems, n = 4" in done.stdout


@pytest.mark.slow
def test_it_trains_is_looked_at_and_compared(run: Run, base: Path, tmp_path: Path) -> None:
    small = ("steps=2", "save_every=2", "rollouts.prompts=8", "probe.max_problems=4", "probe.n=4",
             "probe.base_n=4", "probe.final_n=4", "probe.k=4", "run_dir=run")  # fmt: skip
    for way in (
        ("launch.cli", "train"),
        ("accelerate.commands.launch", "--num_processes", "1", "-m", "rlvr.train"),
    ):
        done = run("-m", *way, "recipe=grpo_tiny", *small)
        assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "run" / "card.json").read_text())["git"] is None
    done = run("-m", "launch.cli", "eval", "compare", "run", "out=report")
    assert done.returncode == 0, done.stderr
    assert "<style>" in (tmp_path / "report" / "index.html").read_text()
    done = run("-m", "launch.cli", "doctor", "recipe=grpo_tiny")
    assert f"as rlvr {rlvr.__version__} asks for" in done.stdout, done.stdout
