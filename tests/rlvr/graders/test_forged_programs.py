"""Programs that claim to be right without computing anything: none passes, however it is confined."""

from __future__ import annotations

import json
from pathlib import Path

from rlvr.graders.code.grader import CodeVerifier
from rlvr.sandbox import Confinement

CORPUS = Path(__file__).parent / "corpora" / "forged_programs.jsonl"
FUNCTION = {
    "id": "mul", "prefix": "", "entry_point": "mul", "inputs": [[4, 9], [3, 5]], "expected": [36, 15],
    "solution": None, "comparison": "equal", "tolerance": 0.0,
}  # fmt: skip
REFERENCES = {
    "function": FUNCTION,
    "input": FUNCTION | {"entry_point": None, "inputs": ["4 9", "3 5"], "expected": ["36", "15"]},
}


def test_no_forged_program_passes(confinement: Confinement) -> None:
    rows = [json.loads(line) for line in CORPUS.read_text().splitlines()]
    verifier = CodeVerifier(confinement, test_seconds=1.5, problem_seconds=3.0, workers=1)
    try:
        honest = "```python\ndef mul(a, b): return a * b\n```"
        assert verifier(honest, FUNCTION).correct
        passed = [
            row["program"]
            for row in rows
            if verifier(f"```python\n{row['program']}\n```", REFERENCES[row["kind"]]).correct
        ]
    finally:
        verifier.pool.close()
    assert len(rows) >= 50 and not passed
