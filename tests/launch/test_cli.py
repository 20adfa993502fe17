"""The rlvr command: which commands there are, what they are given, and how they end."""

from __future__ import annotations

import subprocess
import sys

import pytest

import rlvr
from launch import cli


def ended(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = cli.main(arguments)
    return status, *capsys.readouterr()


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    for asked in ("--help", "-h"):
        status, out, err = ended(capsys, asked)
        assert (status, err) == (0, "")
        for name in cli.COMMANDS:
            assert f"\n  {name} " in out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(capsys, "--version") == (0, f"rlvr {rlvr.__version__}\n", "")


def test_without_a_command_the_help_is_no_answer(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = ended(capsys)
    assert (status, out) == (2, "") and "doctor" in err


ALL = "train, data, eval, view, study, doctor"


@pytest.mark.parametrize(
    ("given", "said"),
    [("trian", "did you mean train?"), ("evals", "did you mean eval?"), ("x", ALL), ("recipe=grpo_tiny", ALL),
     ("--verbose", ALL)],
)  # fmt: skip
def test_an_unknown_command_names_the_nearest(
    given: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = ended(capsys, given)
    assert (status, out) == (2, "") and said in err


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["train", "recipe=grpo_tin"], 2, "did you mean grpo_tiny?"),
        (["train", "recipe=grpo_tiny", "--dry-run"], 0, "prompts x"),
        (["train", "--help"], 0, "recipes: "),
        (["eval", "passk", "missing.jsonl"], 2, "there is no such file"),
        (["eval", "--help"], 0, "ledger"),
        (["eval", "nothing"], 2, "passk"),
        (["study", "seed=1"], 2, "give --seeds"),
        (["doctor", "--help"], 0, "rlvr doctor"),
    ],
)
def test_a_command_gets_its_arguments_and_keeps_its_status(
    arguments: list[str], status: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found, out, err = ended(capsys, *arguments)
    assert found == status
    assert said in (err if status else out)


def test_it_loads_only_what_its_command_needs() -> None:
    heavy = ("torch", "transformers", "numpy", "matplotlib", "launch.study", "evals")
    code = (
        "import sys; from launch.cli import main; main(['--version'])\n"
        f"print([m for m in {heavy} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_importing_rlvr_imports_nothing_else() -> None:
    code = "import sys; before = set(sys.modules); import rlvr; print(sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['rlvr']"
