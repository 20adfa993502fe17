"""The locks: one for every supported Python, of wheels alone, so that no installation needs a compiler."""

from __future__ import annotations

import re
import subprocess
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
LOCKS = ("cpu", "cpu-test", "gpu")
# Packages without a wheel, and why installing them needs no compiler all the same.
SOURCES = {
    "cellpylib": "pure Python",
    "deepspeed": "pure Python unless DS_BUILD_OPS is set; it compiles an operation when one is first used",
    "zss": "pure Python",
}
PYTHONS = ("3.11", "3.12", "3.13")


def header(lock: str) -> str:
    """The command that made it."""
    return "".join(line for line in (ROOT / f"requirements/{lock}.txt").open() if line.startswith("#"))


def recipe(*targets: str) -> list[str]:
    """The commands that make would run on a fresh machine."""
    command = ["make", "--no-print-directory", "-n", "-B", "VENV=no-such-venv", *targets]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    return done.stdout.replace("\\\n", "").splitlines()


def exceptions(command: str) -> set[str]:
    """The packages that a command of pip or uv takes from source; it takes no others so."""
    assert "--only-binary=:all:" in command.split()
    return set(re.findall(r"--no-binary=(\S+)", command))


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_is_resolved_from_wheels_alone(lock: str) -> None:
    assert exceptions(header(lock)) == SOURCES.keys()


def test_so_it_is_locked_and_installed() -> None:
    commands = recipe("lock", "install-test", "install-gpu")
    made = [c for c in commands if re.search(r"pip (install|compile)\b|pip --disable\S* install", c)]
    of_locks = [c for c in made if " -e ." not in c]
    assert {lock for lock in LOCKS for c in of_locks if f"-r requirements/{lock}.txt" in c} == set(LOCKS)
    assert {lock for lock in LOCKS for c in of_locks if f"-o requirements/{lock}.txt" in c} == set(LOCKS)
    for command in of_locks:
        assert exceptions(command) == SOURCES.keys()


@pytest.mark.parametrize("name", SOURCES)
def test_what_comes_as_source_was_built_without_a_compiler(name: str) -> None:
    """Its wheel, made when this environment was, fits every platform."""
    try:
        wheel = distribution(name).read_text("WHEEL") or ""
    except PackageNotFoundError:
        pytest.skip(f"{name} is not installed (make install-test)")
    assert re.findall(r"^Tag: (\S+)$", wheel, re.MULTILINE) == ["py3-none-any"]


def test_every_python_is_named_alike() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = [c.rpartition(" ")[2] for c in project["classifiers"] if re.search(r":: 3\.\d+$", c)]
    assert tuple(named) == PYTHONS
    assert project["requires-python"] == ">=3.11,<3.14"
    listed = "3.11, 3.12 or 3.13"
    for file in ("README.md", "docs/quickstart.md", "Makefile", "launch/machine.py"):
        assert listed in (ROOT / file).read_text(), file
    resolved = "\n".join(recipe("lock"))
    for lock in LOCKS:
        assert f"--python-version 3.11 requirements/{lock}.in" in resolved
    assert resolved.count("for version in 3.12 3.13") == len(LOCKS)


def pins(name: str) -> dict[str, Version]:
    """Of requirements/NAME.txt, which `make test-versions` installs."""
    lines = (ROOT / "requirements" / f"{name}.txt").read_text().splitlines()
    found = [Requirement(line) for line in lines if not line.startswith("#")]
    return {wanted.name: Version(next(iter(wanted.specifier)).version) for wanted in found}


def test_the_ranges_are_those_that_are_tested() -> None:
    oldest, newest = pins("oldest"), pins("newest")
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    allowed = {wanted.name: wanted.specifier for wanted in map(Requirement, extras["train"])}
    assert allowed.keys() == oldest.keys() == newest.keys()
    for name, specifier in allowed.items():
        bounds = {bound.operator: Version(bound.version) for bound in specifier}
        major, minor = newest[name].release[:2]
        assert bounds.keys() == {">=", "<"}
        assert bounds[">="] == oldest[name], name
        assert bounds["<"] in (Version(f"{major}.{minor + 1}"), Version(f"{major + 1}")), name
