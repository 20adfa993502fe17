"""LaTeX environments: matrices, with what stands before them, and formulas by cases."""

from __future__ import annotations

import re
from collections.abc import Callable

from rlvr.graders.math.reading.shapes import Matrix, Piecewise, Shape
from rlvr.graders.math.reading.structure import split

_KIND = r"(?:small)?(?:matrix|array)\*?"
_MATRIX = re.compile(
    rf"(?P<factor>[^\\,=&|(\[]*?(?:\\(?:frac|sqrt)(?:\{{[^{{}}]*\}})+)?)\s*(?:\\cdot\s*)?(?P<open>[(\[|]?|\\\|)\s*"
    rf"\\begin\{{(?P<kind>[pbvBV]?){_KIND}\}}(?P<rows>.*)\\end\{{[pbvBV]?{_KIND}\}}\s*(?P<close>[)\]|]?|\\\|)",
    re.DOTALL,
)
_CASES = re.compile(
    r"(?:\\\{\s*\\begin\{array\}\s*(?:\{[^{}]*\})?(?P<array>.*)\\end\{array\}|\\begin\{(?P<kind>d?r?cases\*?)\}(?P<cases>.*)\\end\{(?P=kind)\})",
    re.DOTALL,
)
_NEW_ROW = re.compile(r"\\\\(?:\s*\[[^\]]*\])?|\\cr(?![a-zA-Z])")
_COLUMNS = re.compile(r"^\s*\{[lcr|\s]*\}")
_IF = re.compile(r"^\s*(?:\\text\s*\{\s*)?(?:if|for|when|where|otherwise|else)\b\s*\}?\s*")

Read = Callable[[str], Shape]


def matrix(text: str, shape: Read) -> Matrix | None:
    """The matrix that the text is, perhaps with a factor before it or brackets around an array."""
    m = _MATRIX.fullmatch(text) if "\\begin" in text else None
    if m is None or r"\begin" in m["rows"]:
        return None
    rows = [row for row in _NEW_ROW.split(_COLUMNS.sub("", m["rows"])) if row.strip()]
    cells = tuple(tuple(shape(cell) for cell in row.split("&")) for row in rows)
    bars = m["kind"].lower() == "v" or m["open"] in ("|", r"\|")
    return Matrix(cells, "v" if bars else "", m["factor"].strip())


def piecewise(text: str, shape: Read) -> Piecewise | None:
    """A formula by cases: rows of a value and its condition, parted by & or a comma."""
    m = _CASES.fullmatch(text) if "\\begin" in text else None
    if m is None:
        return None
    cases = []
    for row in _NEW_ROW.split(m["array"] or m["cases"] or ""):
        cells = row.split("&") if "&" in row else split(row, ",")
        parts = [
            _IF.sub("", cell).strip(" ,.;}") if n else cell.strip(" ,.;") for n, cell in enumerate(cells)
        ]
        if any(parts):
            cases.append(tuple(shape(part) for part in parts if part))
    return Piecewise(tuple(cases)) if cases else None
