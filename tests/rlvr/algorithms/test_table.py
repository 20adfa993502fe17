"""The table of docs/algorithms.md is the one that the code gives."""

from __future__ import annotations

from pathlib import Path

from rlvr.algorithms import ALGORITHMS
from rlvr.algorithms.__main__ import rows

DOCS = Path(__file__).parents[3] / "docs/algorithms.md"


def test_the_documents_have_the_table_of_the_code() -> None:
    lines = [f"| {' | '.join(row)} |" for row in rows()]
    assert len(lines) == 2 + len(ALGORITHMS)
    assert "\n".join(lines) in DOCS.read_text(), (
        "give docs/algorithms.md what python -m rlvr.algorithms prints"
    )
