"""One spelling for many: LaTeX and plain text -> canonical text, and the rational number that a text is.

All of it is string code of our own, linear in an answer of bounded length, and evaluates nothing.
"""

from __future__ import annotations

import re
from fractions import Fraction

LONGEST_ANSWER = 1000
# Digits of a number, and the power of ten in scientific notation, beyond which it is not read as a number.
LONGEST_NUMBER = 400

_UNICODE = str.maketrans(
    {
        "\N{MINUS SIGN}": "-",
        "\N{EN DASH}": "-",
        "\N{MULTIPLICATION SIGN}": r"\times ",
        "\N{MIDDLE DOT}": r"\cdot ",
        "\N{DIVISION SIGN}": "/",
        "\N{GREEK SMALL LETTER PI}": r"\pi ",
        "\N{GREEK SMALL LETTER THETA}": r"\theta ",
        "\N{INFINITY}": r"\infty ",
        "\N{LESS-THAN OR EQUAL TO}": r"\le ",
        "\N{GREATER-THAN OR EQUAL TO}": r"\ge ",
        "\N{DEGREE SIGN}": r"^\circ ",
        "\N{UNION}": r"\cup ",
        "\N{ELEMENT OF}": r"\in ",
        "\N{PLUS-MINUS SIGN}": r"\pm ",
        "\N{SUPERSCRIPT TWO}": "^2",
        "\N{SUPERSCRIPT THREE}": "^3",
        "\N{SQUARE ROOT}": r"\sqrt",
        "\N{NO-BREAK SPACE}": " ",
        "\N{NARROW NO-BREAK SPACE}": " ",
        "\N{RIGHT SINGLE QUOTATION MARK}": "'",
    }
)

_GROUP = r"\{(?:[^{}]|\{[^{}]*\})*\}"
# Applied in this order; what each is for stands beside it.
_SPELLINGS = [
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"\x0c(?=rac)", r"\\f"),  # \frac whose \f was read as a form feed
        (r"\\(?:left|right|middle|[bB]igg?[lrm]?)(?![a-zA-Z])\.?", ""),
        (r"(?<=\d)(?:,\\!\s*|\{,\}\s*|\\,|~)(?=\d{3}(?!\d))", ""),  # thousands, as LaTeX writes them
        (r"(?<!\\)\\[,;:!> ]|~|\\q?quad(?![a-zA-Z])|\\(?:display|text)style(?![a-zA-Z])", " "),
        (r"\\(?:math|text)(?:rm|bf|it|sf|normal)\s*(?=\{)|\\(?:operatorname\*?|[mh]box)\s*(?=\{)", r"\\text"),
        (r"\\text\s*\{\s*(?:and|or|,)\s*\}|(?<![a-zA-Z\\])(?:and|or|OR)(?![a-zA-Z])", ","),
        (r"\\[$£€]\s*|[£€]\s*", ""),  # currency
        (r"\$|\\\(|\\\)|(?<!\\)\\\[|(?<!\\)\\\]", " "),  # math delimiters
        (r"\\[dtc]frac(?![a-zA-Z])", r"\\frac"),
        (r"\\[dt]binom(?![a-zA-Z])", r"\\binom"),
        (r"\\(le|ge|ne)q?(?:slant)?(?![a-zA-Z])", r"\\\1"),
        (r"<=", r"\\le "),
        (r">=", r"\\ge "),
        (r"\\lt(?![a-zA-Z])", "<"),
        (r"\\gt(?![a-zA-Z])", ">"),
        (r"\\lbrace(?![a-zA-Z])", r"\\{"),
        (r"\\rbrace(?![a-zA-Z])", r"\\}"),
        (r"\\(?:langle|lparen)(?![a-zA-Z])", "("),
        (r"\\(?:rangle|rparen)(?![a-zA-Z])", ")"),
        (r"\\times(?![a-zA-Z])", r"\\cdot"),
        (r"\s*(?:\^\s*(?:\\circ(?![a-zA-Z])|\{\s*\\circ\s*\})|\\degrees?(?![a-zA-Z]))", r"^\\circ"),
        (r"\\%|\\text\s*\{\s*(?:percent|%)\s*\}|(?<=\d)\s*percent(?![a-zA-Z])", "%"),
        (r"\bnp\.(?=[a-z])", ""),  # numpy's functions stand in some references
        (
            r"(?<![a-zA-Z\\])(arc(?:sin|cos|tan)|sin|cos|tan|cot|sqrt|ln|log|exp|pi|infty|infinity)(?![a-zA-Z])",
            lambda m: "\\" + {"infinity": "infty"}.get(m[1], m[1]),
        ),
        (r"\*\*", "^"),
        (r"\^\s*(-\d+|\d{2,})", r"^{\1}"),
        (r"\\frac\s*([0-9a-zA-Z]|\\(?:pi|theta|alpha|beta|lambda)(?![a-zA-Z]))", r"\\frac{\1}"),
        (rf"(\\frac\s*{_GROUP})\s*([0-9a-zA-Z])", r"\1{\2}"),
        (r"(\\frac\s*\{)", r"\\frac{"),
        (r"\\sqrt\s*([0-9a-zA-Z])", r"\\sqrt{\1}"),
        (r"\\sqrt\s*\(([^()]*)\)", r"\\sqrt{\1}"),
        (r"(?<![\d./^_{])(\d+)\s+(\d+)\s*/\s*(\d+)(?!\d)", r"\1\\frac{\2}{\3}"),  # 1 1/2
        (r",(?:\s*,)+", ","),
        (r"\s+", " "),
    )
]

_DIGITS = rf"\d{{1,{LONGEST_NUMBER}}}"
_DECIMAL = rf"(?:{_DIGITS}(?:\.\d{{0,{LONGEST_NUMBER}}})?|\.{_DIGITS})"
_POWER = r"(?:[eE](?P<e>[+-]?\d{1,3})|\\cdot10\^(?:\{(?P<braced>[+-]?\d{1,3})\}|(?P<digit>\d)))"
_SCIENTIFIC = re.compile(rf"(?P<mantissa>[+-]?{_DECIMAL}){_POWER}?")
_POWER_OF_TEN = re.compile(r"(?P<sign>[+-]?)10\^(?:\{(?P<braced>[+-]?\d{1,3})\}|(?P<digit>\d))")
_QUOTIENT = re.compile(
    rf"(?P<sign>[+-]?)(?:\\frac\{{(?P<a>[+-]?{_DECIMAL})\}}\{{(?P<b>[+-]?{_DECIMAL})\}}"
    rf"|(?P<c>{_DECIMAL})/(?P<d>-?{_DECIMAL}))"
)
_MIXED = re.compile(rf"(?P<sign>[+-]?)(?P<whole>{_DIGITS})\\frac\{{(?P<a>{_DIGITS})\}}\{{(?P<b>{_DIGITS})\}}")
_REPEATING = re.compile(
    r"(?P<sign>[+-]?)(?P<head>\d{0,40}\.\d{0,40})\\(?:overline|bar)\{(?P<tail>\d{1,40})\}"
)
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_SPACE = re.compile(r"(\\[a-zA-Z]+ )(?=[a-zA-Z])|(\d )(?=\d)| ")
_PROSE = re.compile(r"(?<![\\a-zA-Z{])(?!and\b|or\b|OR\b)[a-zA-Z]{2,}(?: |$|,)")
_SEGMENT = re.compile(r"\$([^$]+)\$|\\\((.+?)\\\)", re.DOTALL)


def last_boxed(text: str) -> str | None:
    r"""What the last \boxed{...} or \fbox{...} holds; None if there is none or its brace is never closed."""
    start = max(text.rfind("\\boxed{"), text.rfind("\\fbox{"))
    if start < 0:
        return None
    begin = text.index("{", start) + 1
    depth = 1
    for end in range(begin, len(text)):
        depth += {"{": 1, "}": -1}.get(text[end], 0)
        if depth == 0:
            return text[begin:end].strip()
    return None


def canonical(answer: str) -> str:
    """The answer in one spelling: no sizes, delimiters, currency or final full stop; single spaces.

    Of a sentence that holds formulas, the last formula is the answer.
    """
    text = (last_boxed(answer) or answer).strip().translate(_UNICODE)
    segments = list(_SEGMENT.finditer(text))
    if segments and _PROSE.search(_SEGMENT.sub(" ", text)):
        text = segments[-1][1] or segments[-1][2]
    if "\\begin" not in text:
        text = re.sub(r"\\\\(?=[a-zA-Z])", r"\\", text)  # a backslash escaped twice
    for pattern, replacement in _SPELLINGS:
        text = pattern.sub(replacement, text)
    text = text.strip(" ").rstrip(".,;: ").lstrip(": ")
    opened = text.count("{") - text.count("}")
    return text + "}" * opened if opened > 0 else text


def compact(text: str) -> str:
    """Canonical text without spaces, except between a command and a letter and between digits."""
    return _SPACE.sub(r"\1\2", text)


def rational(text: str) -> Fraction | None:
    """The number that a compact text is, exactly; None if it is something else.

    Integers, decimals (also repeating), quotients, mixed numbers, scientific notation, thousands commas.
    """
    if _THOUSANDS.fullmatch(text):
        text = text.replace(",", "")
    if m := _SCIENTIFIC.fullmatch(text):
        return Fraction(m["mantissa"].rstrip(".")) * _ten(m["e"] or m["braced"] or m["digit"] or "0")
    if m := _POWER_OF_TEN.fullmatch(text):
        return _signed(m["sign"], _ten(m["braced"] or m["digit"]))
    if m := _QUOTIENT.fullmatch(text):
        over, under = (Fraction((m[x] or m[y]).rstrip(".")) for x, y in ("ac", "bd"))
        return _signed(m["sign"], over / under) if under else None
    if m := _MIXED.fullmatch(text):
        whole, part, parts = (int(m[key]) for key in ("whole", "a", "b"))
        return _signed(m["sign"], whole + Fraction(part, parts)) if part < parts else None
    if m := _REPEATING.fullmatch(text):
        places = len(m["head"].partition(".")[2])
        cycle = Fraction(int(m["tail"]), 10**places * (10 ** len(m["tail"]) - 1))
        return _signed(m["sign"], Fraction(f"0{m['head']}0") + cycle)
    return None


def _ten(exponent: str) -> Fraction:
    return Fraction(10) ** int(exponent)


def _signed(sign: str, value: Fraction) -> Fraction:
    return -value if sign == "-" else value
