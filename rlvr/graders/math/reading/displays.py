"""Displayed mathematics: what stands in align, equation and the like, as text of one line."""

from __future__ import annotations

import re

_KIND = r"(?:align|aligned|alignat|equation|gather|gathered|split|displaymath|multline)\*?"
_DISPLAY = re.compile(
    rf"\s*\$*\s*\\begin\{{(?P<kind>{_KIND})\}}"
    rf"(?P<rows>.*)\\end\{{(?P=kind)\}}\s*\$*\s*",
    re.DOTALL,
)
_NEW_ROW = re.compile(r"\\\\(?:\s*\[[^\]]*\])?")
_NUMBERING = re.compile(r"\\(?:nonumber|notag)(?![a-zA-Z])|\\(?:tag|label)\*?\{[^{}]*\}")
_GOES_ON = re.compile(r"\s*(?:=|\\approx(?![a-zA-Z]))")


def displayed(text: str) -> str:
    """The rows of a display: one after the other where they are one chain of equations, else a list.

    Other text, and a display with an environment in it, as it is.
    """
    m = _DISPLAY.fullmatch(text)
    if m is None or "\\begin" in m["rows"]:
        return text
    rows = [_NUMBERING.sub("", row).replace("&", " ").strip(" .,;") for row in _NEW_ROW.split(m["rows"])]
    rows = [row for row in rows if row.strip()]
    chain = all(_GOES_ON.match(row) for row in rows[1:])
    return (" " if chain else ", ").join(row.strip() for row in rows)
