"""Programs that attack their grader: none is graded correct, none leaves a trace, none survives."""

from __future__ import annotations

import os
import re
import select
import socket
import time
from pathlib import Path

import pytest

from rlvr.graders import Status
from rlvr.graders.code.grader import CodeVerifier
from rlvr.sandbox import Confinement

CORPUS = Path(__file__).parent / "corpora" / "hostile_code"
CLASSES = sorted(path.stem for path in CORPUS.glob("*.py"))
EITHER = ["bubblewrap", pytest.param("landlock", marks=pytest.mark.slow)]
# A keyed function: nobody guesses its values, and knowing the tests' outputs is the only way to pass.
SOLUTION = (
    "import hashlib\ndef target(x): return int(hashlib.sha256(b'SECRET' + bytes([x])).hexdigest()[:8], 16)"
)
REFERENCE = {
    "id": "target", "prefix": "", "entry_point": "target", "inputs": [[1], [2], [3], [4]],
    "expected": None, "solution": SOLUTION, "comparison": "equal", "tolerance": 0.0,
}  # fmt: skip
SECONDS = 2.0
# Not a measure of speed: it tells a hang from a slow machine.
IN_TIME = SECONDS + 3.0


def samples(name: str) -> dict[str, str]:
    parts = re.split(r"^# --- (.*)\n", (CORPUS / f"{name}.py").read_text(), flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def filled(code: str, names: dict[str, object]) -> str:
    """The code with {NAME} and {NAME!r} replaced; other braces are Python's."""
    for name, value in names.items():
        code = code.replace(f"{{{name}}}", str(value)).replace(f"{{{name}!r}}", repr(value))
    return code


def test_the_corpus_has_fifty_samples_in_eight_classes() -> None:
    assert len(CLASSES) >= 8
    assert sum(len(samples(name)) for name in CLASSES) >= 50


# The fast tests take every fifth sample of a class under bubblewrap, the slow ones all under both.
@pytest.mark.parametrize(
    "confinement", ["bubblewrap", pytest.param("landlock", marks=pytest.mark.slow)], indirect=True
)
@pytest.mark.parametrize("every", [5, pytest.param(1, marks=pytest.mark.slow)], ids=["some", "all"])
@pytest.mark.parametrize("name", CLASSES)
def test_hostile_programs(
    confinement: Confinement, name: str, every: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RLVR_DATA", str(tmp_path))
    canary = tmp_path / "canary"
    canary.write_text("SECRET")
    mode = canary.stat().st_mode
    verifier = CodeVerifier(confinement, SECONDS, SECONDS, memory_mb=512, workers=1)
    assert verifier(SOLUTION, REFERENCE).correct
    workers = set(verifier.pool._started)
    own_code = Path("rlvr/graders/code/run.py").resolve().read_bytes()
    with socket.create_server(("127.0.0.1", 0)) as server:
        names = {
            "CANARY": str(canary), "OUTSIDE": str(tmp_path), "PORT": server.getsockname()[1],
            "PID": os.getpid(), "DATA": str(tmp_path),
        }  # fmt: skip
        for sample, code in list(samples(name).items())[::every]:
            program = filled(code, names)
            start = time.monotonic()
            verdict = verifier(f"```python\n{program}```", REFERENCE)
            assert time.monotonic() - start < IN_TIME, sample
            assert verdict.status in (Status.WRONG, Status.TIMED_OUT), sample
            assert (os.listdir(tmp_path), canary.read_text()) == (["canary"], "SECRET"), sample
            assert canary.stat().st_mode == mode, sample
        assert not select.select([server], [], [], 0)[0], "a connection came through"
    assert Path("rlvr/graders/code/run.py").resolve().read_bytes() == own_code
    assert verifier(SOLUTION, REFERENCE).correct
    assert set(verifier.pool._started) == workers, "a worker was lost whole"
    verifier.pool.close()
    deadline = time.monotonic() + 5
    while (left := [p for w in workers for p in w.processes()]) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert left == []
