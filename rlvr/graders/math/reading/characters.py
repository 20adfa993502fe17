"""Characters beyond ASCII, as LaTeX or ASCII writes them."""

from __future__ import annotations

import re
from functools import partial

_FRACTIONS = """½ 1 2|⅓ 1 3|⅔ 2 3|¼ 1 4|¾ 3 4|⅕ 1 5|⅖ 2 5|⅗ 3 5|⅘ 4 5|⅙ 1 6|⅚ 5 6|⅐ 1 7|⅛ 1 8|⅜ 3 8|⅝ 5 8
|⅞ 7 8|⅑ 1 9|⅒ 1 10"""
_SPELLED = str.maketrans(
    {
        "\N{MINUS SIGN}": "-",
        "\N{EN DASH}": "-",
        "\N{NON-BREAKING HYPHEN}": "-",
        "\N{MULTIPLICATION SIGN}": r"\times ",
        "\N{MIDDLE DOT}": r"\cdot ",
        "\N{DOT OPERATOR}": r"\cdot ",
        "\N{DIVISION SIGN}": "/",
        "\N{FRACTION SLASH}": "/",
        "\N{RATIO}": ":",
        "\N{GREEK SMALL LETTER PI}": r"\pi ",
        "\N{GREEK SMALL LETTER THETA}": r"\theta ",
        "\N{GREEK SMALL LETTER ALPHA}": r"\alpha ",
        "\N{GREEK SMALL LETTER BETA}": r"\beta ",
        "\N{GREEK SMALL LETTER LAMDA}": r"\lambda ",
        "\N{INFINITY}": r"\infty ",
        "\N{LESS-THAN OR EQUAL TO}": r"\le ",
        "\N{GREATER-THAN OR EQUAL TO}": r"\ge ",
        "\N{NOT EQUAL TO}": r"\ne ",
        "\N{ALMOST EQUAL TO}": r"\approx ",
        "\N{DEGREE SIGN}": r"^\circ ",
        "\N{MASCULINE ORDINAL INDICATOR}": r"^\circ ",
        "\N{UNION}": r"\cup ",
        "\N{ELEMENT OF}": r"\in ",
        "\N{EMPTY SET}": r"\emptyset ",
        "\N{SET MINUS}": r"\setminus ",
        "\N{DOUBLE-STRUCK CAPITAL R}": r"\mathbb{R} ",
        "\N{PLUS-MINUS SIGN}": r"\pm ",
        "\N{SQUARE ROOT}": r"\sqrt",
        "\N{HORIZONTAL ELLIPSIS}": r"\ldots ",
        "\N{CENT SIGN}": r"\text{ cents}",
        "\N{RIGHT SINGLE QUOTATION MARK}": "'",
        "\N{LEFT SINGLE QUOTATION MARK}": "'",
        "\N{LEFT DOUBLE QUOTATION MARK}": '"',
        "\N{RIGHT DOUBLE QUOTATION MARK}": '"',
        "\N{ZERO WIDTH SPACE}": "",
        "\N{ZERO WIDTH NO-BREAK SPACE}": "",
        "\N{WORD JOINER}": "",
        # characters that are wide in East Asian text
        **{chr(code): chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)},
        **dict.fromkeys("\u00a0\u2002\u2003\u2007\u2008\u2009\u200a\u202f\u205f\u3000", " "),
        **{
            sign: rf"\frac{{{over}}}{{{under}}}"
            for sign, over, under in map(str.split, _FRACTIONS.split("|"))
        },
    }
)
_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ⁿ", "0123456789+-()n")
_LOWERED = str.maketrans("₀₁₂₃₄₅₆₇₈₉ₙ", "0123456789n")
_SCRIPTS = (
    (re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ⁿ]+"), _RAISED, "^"),
    (re.compile("[₀₁₂₃₄₅₆₇₈₉ₙ]+"), _LOWERED, "_"),
)


def ascii_text(text: str) -> str:
    """The text with fractions, powers, operators, spaces and quotes in ASCII; other characters stay."""
    if text.isascii():
        return text
    for pattern, table, mark in _SCRIPTS:
        text = pattern.sub(partial(_script, table, mark), text)
    return text.translate(_SPELLED)


def _script(table: dict[int, int], mark: str, match: re.Match[str]) -> str:
    content = match[0].translate(table)
    return f"{mark}{content}" if len(content) == 1 else f"{mark}{{{content}}}"
