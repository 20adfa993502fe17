"""What all commands do alike: help, reading of arguments, exit statuses."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from evals.__main__ import COMMANDS, MODULES
from evals.__main__ import main as evals
from evals.commands.frame import InDirectory, InFile, OutDirectory, OutFile, OutSubdirectory, command
from rlvr.config.errors import Mistake
from rlvr.config.schema import Choice, Section
from rlvr.tasks import TaskError


def ended(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = evals(list(arguments))
    return status, *capsys.readouterr()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_and_names_every_mistake(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    said = inspect.cleandoc(
        importlib.import_module(f"evals.commands.{MODULES.get(name, name)}").__doc__ or ""
    )
    for arguments in (["--help"], ["-h"], ["nonsense=1", "--help"]):
        assert ended(capsys, name, *arguments) == (0, f"{said}\n", "")
    status, out, err = ended(capsys, name, "nonsense=1", "other_nonsense=2")
    assert (status, out) == (2, "")
    assert f" in the arguments ({name})" in err and "  nonsense = " in err and "  other_nonsense = " in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["grade", "probe", "power", "entropy"])
def test_a_task_without_data_is_the_same_error_everywhere(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    given = {
        "grade": ["samples=in.jsonl"],
        "probe": ["model=embedded:countdown", "base=embedded:countdown"],
        "power": ["model=embedded:countdown"],
        "entropy": ["policy=embedded:countdown", "base=base"],
    }
    status, _, err = ended(capsys, name, "task=math500", "task.source=absent", "out=out", *given[name])
    assert status == 1 and "task math500: absent does not exist" in err


@pytest.mark.parametrize(
    ("given", "said"),
    [("grad", "did you mean grade?"), ("pass@k", "did you mean passk?"), ("x", "commands: probe, passk")],
)
def test_an_unknown_command_names_the_nearest(
    given: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = ended(capsys, given)
    assert (status, out) == (2, "") and said in err


def test_help_is_quiet_where_its_reader_leaves() -> None:
    piped = f"{sys.executable} -m evals --help | head -n 1; {sys.executable} -m evals passk --help | true"
    done = subprocess.run(["bash", "-c", piped], capture_output=True, text=True)
    assert done.stderr == "" and done.stdout.count("\n") == 1


def test_help_waits_for_nothing_heavy() -> None:
    heavy = ("torch", "transformers", "pyarrow", "matplotlib")
    code = (
        "import sys; from evals.__main__ import COMMANDS, main\n"
        "assert not any(main([name, '--help']) for name in COMMANDS)\n"
        f"print([m for m in {heavy} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


class One(Section):
    path: Path
    name: str | None = None
    n: int = 1
    task: Choice | None = None


class Many(Section):
    files: tuple[Path, ...]
    labels: tuple[str, ...] = ()


def reading(section: type[Section], **how: object) -> tuple[Callable[..., int], list[Section]]:
    """A command that only keeps the settings that it is given."""
    kept: list[Section] = []

    @command(section, **how)
    def main(settings: Section) -> None:
        kept.append(settings)

    return main, kept


@pytest.mark.parametrize(
    ("arguments", "settings"),
    [
        (["a"], One(path="a")),
        (["n=2", "a"], One(path="a", n=2)),
        (["path=a=b"], One(path="a=b")),
        (["2024", "name=1e5"], One(path="2024", name="1e5")),  # numbers in YAML
        (["path=007", "name=null"], One(path="007")),
        (["a", "name=[x"], None),
        (["a", "name=no"], One(path="a", name="no")),
        (["a", "n=x"], None),
        (["a", "b"], None),
        (["a", "path=b"], None),
        (["a", "name.x=1"], None),
        ([], None),
    ],
)
def test_one_argument_without_a_key(
    arguments: list[str], settings: One | None, capsys: pytest.CaptureFixture[str]
) -> None:
    main, kept = reading(One, positional="path")
    assert main(arguments) == (0 if settings else 2), capsys.readouterr().err
    assert kept == ([settings] if settings else [])


@pytest.mark.parametrize(
    ("arguments", "settings"),
    [
        (["a", "b"], Many(files=("a", "b"))),
        (["a", "labels=x,y"], Many(files=("a",), labels=("x", "y"))),
        (["a", "labels=[x,y]"], Many(files=("a",), labels=("x", "y"))),
        (["lr=3", "a"], Many(files=("lr=3", "a"))),  # there is such a file
        (["lr=4", "a"], None),
        (["a", "files=b"], None),
        ([], Many(files=())),
    ],
)
def test_several_arguments_without_keys(
    arguments: list[str], settings: Many | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lr=3").touch()
    main, kept = reading(Many, positional="files")
    assert main(arguments) == (0 if settings else 2)
    assert kept == ([settings] if settings else [])


def test_mistakes_of_the_task_and_of_the_rest_come_together(capsys: pytest.CaptureFixture[str]) -> None:
    main, _ = reading(One, builds_task=True)
    assert main(["task=countdown:3", "task.nubmers=1", "n=x", "stray"]) == 2
    err = capsys.readouterr().err
    assert "4 mistakes in the arguments" in err
    assert all(part in err for part in ("  task.nubmers = 1", "  n = 'x'", "  stray\n", "  path\n"))


def test_what_check_finds_is_told_and_nothing_is_run(capsys: pytest.CaptureFixture[str]) -> None:
    main, kept = reading(One, positional="path", check=lambda s: [Mistake("path", str(s.path), "is odd")])
    assert main(["a"]) == 2 and kept == []
    assert "  path = 'a'\n      is odd" in capsys.readouterr().err


class Paths(Section):
    file: InFile | None = None
    folder: InDirectory | None = None
    out: OutFile | None = None
    report: OutDirectory | None = None
    sub: OutSubdirectory | None = None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["file=here.txt", "folder=here", "out=new.txt", "report=new/deep", "sub=new"], []),
        (["out=here.txt", "report=here", "sub=here"], []),
        (
            ["file=here", "folder=here.txt", "out=here", "report=here.txt", "sub=new/deep"],
            [
                "file = 'here'\n      there is no such file",
                "folder = 'here.txt'\n      there is no such directory",
                "out = 'here'\n      is a directory; give a file",
                "report = 'here.txt'\n      is a file; give a directory",
                "sub = 'new/deep'\n      there is no directory new\n",
            ],
        ),
        (["out=no/x", "sub=here.txt"], ["there is no directory no", "is a file; give a directory"]),
        (["file=2024"], ["file = '2024'\n      there is no such file"]),
    ],
)
def test_paths(
    arguments: list[str],
    said: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here.txt").touch()
    (tmp_path / "here").mkdir()
    main, _ = reading(Paths)
    assert main(arguments) == (2 if said else 0)
    error = capsys.readouterr().err
    assert all(part in error for part in said), error


@pytest.mark.parametrize(
    ("raised", "status", "said"),
    [(TaskError("no data"), 1, "no data"), (KeyboardInterrupt(), 130, "the same command resumes")],
)
def test_how_a_command_ends(
    raised: BaseException, status: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    @command(One, positional="path", interrupted="interrupted: the same command resumes")
    def main(settings: One) -> None:
        raise raised

    assert main(["a"]) == status
    assert said in capsys.readouterr().err
