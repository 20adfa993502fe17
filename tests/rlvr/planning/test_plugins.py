"""Functions of the user's own that cannot be used are named with file and line, before torch is loaded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rlvr.config.errors import ConfigError
from rlvr.planning.recipe import load_config

ROOT = Path(__file__).resolve().parents[3]
RAISES = "def build():\n    raise OSError('gone')\n"
GONE = "OSError: gone ({file}, line 2)"


@pytest.mark.parametrize(
    ("source", "given", "said"),
    [
        (None, "task", "the module {module} cannot be imported: ModuleNotFoundError"),
        ("import nowhere\n", "task", "No module named 'nowhere' ({file}, line 1)"),
        ("def build(:\n", "task", "SyntaxError: invalid syntax ({file}, line 1)"),
        ("x = 1\n", "task", "defines no build"),
        ("build = 1\n", "task", "build is of type int, not a function"),
        ("def build(): return 1\n", "task", "returned int; it has to return rlvr.tasks.Task"),
        (RAISES, "task", GONE),
        ("def build(size: int): ...\n", "task", "task.size"),
        ("def build(*sizes): ...\n", "task", "has no name that a recipe could give"),
        ("def build(): return 1\n", "algorithm", "has to return rlvr.algorithms.bundle.Algorithm"),
        (RAISES, "algorithm", GONE),
        ("x = 1\n1 / 0\n", "hook", "ZeroDivisionError: division by zero ({file}, line 2)"),
        ("def build(): ...\n", "hook", "has to take (context), it takes () ({file}, line 1)"),
        ("def build(a): ...\n", "reward", "has to take (completion, reference, verdict), it takes (a)"),
        ("1 / 0\n", "reward", "ZeroDivisionError: division by zero ({file}, line 1)"),
        ("def build(): ...\n", "probe", "returned NoneType; it has to return rlvr.tasks.Task"),
    ],
)
def test_a_plugin_that_cannot_be_used_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str | None, given: str, said: str
) -> None:
    module = f"plug{abs(hash((source, given)))}"
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    file = tmp_path / f"{module}.py"
    if source is not None:
        file.write_text(source)
    path = f"{module}:build"
    key = {
        "task": f"task={path}",
        "algorithm": f"algorithm={path}",
        "hook": f"hooks=['{path}']",
        "reward": f"rewards.extra=[{{reward: '{path}'}}]",
        "probe": f"probe.tasks=['{path}']",
    }[given]
    with pytest.raises(ConfigError) as caught:
        load_config(["recipe=grpo_tiny", key])
    assert said.format(file=file, module=module) in str(caught.value)
    assert [path.suffix for path in tmp_path.iterdir() if path.is_file()] in ([".py"], [])


def test_nothing_heavy_is_loaded_and_nothing_written(tmp_path: Path) -> None:
    (tmp_path / "plug.py").write_text("def build(size: int = 1): ...\n")
    (tmp_path / "own.yaml").write_text("defaults: grpo_tiny\ntask: {name: 'plug:build', sizes: 2}\n")
    script = [str(ROOT / "rlvr" / "train.py"), "recipe=../own.yaml"]
    (tmp_path / "elsewhere").mkdir()
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *script],
        cwd=tmp_path / "elsewhere",
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "did you mean task.size?" in done.stderr
    assert " torch\n" not in done.stderr
    assert list((tmp_path / "elsewhere").iterdir()) == []
