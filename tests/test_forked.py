"""A forked program is what a started one would be: arguments, environment, output, status, signals."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from forked import Forked, finished, ranks

ABOUT = """
import json, os, sys, threading
print(json.dumps({"argv": sys.argv, "cwd": os.getcwd(), "own": os.environ.get("OWN"), "name": __name__,
                  "path": sys.path[0], "rank": os.environ.get("RANK")}))
print("said", file=sys.stderr)
sys.exit(int(sys.argv[1]))
"""


@pytest.fixture
def script(tmp_path: Path) -> str:
    (tmp_path / "about.py").write_text(ABOUT)
    return str(tmp_path / "about.py")


@pytest.mark.parametrize("status", [0, 3])
def test_it_has_what_a_process_has(script: str, tmp_path: Path, status: int) -> None:
    done = finished([script, str(status), "x"], tmp_path, os.environ | {"OWN": "1"})
    assert (done.returncode, done.stderr) == (status, "said\n")
    assert json.loads(done.stdout) == {
        "argv": [script, str(status), "x"], "cwd": str(tmp_path), "own": "1", "name": "__main__",
        "path": str(tmp_path), "rank": None,
    }  # fmt: skip


def test_it_is_no_member_of_a_group_that_this_process_was_made_one_of(
    script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "0")
    assert json.loads(finished([script, "0"], tmp_path).stdout)["rank"] is None


def test_a_module_is_found_where_the_process_runs(script: str, tmp_path: Path) -> None:
    done = finished(["-m", "about", "0"], tmp_path)
    found = json.loads(done.stdout)
    assert found["argv"][1:] == ["0"] and found["name"] == "__main__"


def test_an_exception_is_status_1_and_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "raises.py").write_text("raise ValueError('no')")
    done = finished([str(tmp_path / "raises.py")])
    assert done.returncode == 1 and "ValueError: no" in done.stderr


def test_signals_arrive_and_are_its_status(tmp_path: Path) -> None:
    (tmp_path / "sleeps.py").write_text("import time; print('up', flush=True); time.sleep(60)")
    process = Forked([str(tmp_path / "sleeps.py")])
    while process.written()[0] != "up\n":
        assert process.poll() is None
        time.sleep(0.01)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == -signal.SIGTERM
    process.kill()  # of what has ended: nothing


def test_ranks_are_told_of_each_other_and_end_together(script: str, tmp_path: Path) -> None:
    done = ranks(2, [script, "0"], tmp_path)
    assert [json.loads(process.stdout)["rank"] for process in done] == ["0", "1"]
    (tmp_path / "fails.py").write_text(
        "import os, sys, time\nif os.environ['RANK'] == '1': sys.exit(3)\ntime.sleep(60)"
    )
    done = ranks(2, [str(tmp_path / "fails.py")], timeout=30)
    assert [process.returncode for process in done] == [-signal.SIGKILL, 3]


def test_what_is_preloaded_can_be_imported() -> None:
    """The fork server says nothing where it cannot."""
    importlib.import_module("preloaded")
