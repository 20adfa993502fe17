"""What stands in the documents' fenced blocks."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page: Path, language: str = "") -> list[str]:
    """Those of a language, in order; by default the unnamed ones, which hold commands and what they print."""
    return [block for named, block in FENCE.findall(page.read_text()) if named == language]


def python_files(page: Path) -> dict[str, str]:
    """The complete files of a page, by the name in their first line."""
    return {block.partition("\n")[0].removeprefix("# "): block for block in blocks(page, "python")}
