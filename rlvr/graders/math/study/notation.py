"""An answer in the form in which the study's evaluator compares it. The order of the rules counts."""

from __future__ import annotations

import re
from functools import cache

from rlvr.graders.math.study.number_words import in_digits

# Each is a pattern in which a full stop is any character; removed where no letter, digit or _ is beside it,
# one after the other, each then with an s.
_UNITS = (
    "east|degree|mph|kmph|ft|m sqaure| m east|sq m|deg|mile|q .|monkey|prime|ratio|profit of rs|rd|o|gm|p . m"
    "|lb|tile|per|dm|lt|gain|ab|way|west|a .|b .|c .|d .|e .|f .|g .|h .|t|a|h|no change|men|soldier|pie|bc"
    "|excess|st|inches|noon|percent|by|gal|kmh|c|acre|rise|a . m|th|\N{GREEK SMALL LETTER PI} r 2|sq|mark|l"
    "|toy|coin|sq . m|gallon|\N{DEGREE SIGN} f|profit|minw|yr|women|feet|am|pm|hr|cu cm|square|are|rupee"
    "|rounds|cubic|cc|mtr|s|ohm|number|kmph|day|hour|minute|min|second|man|woman|sec|cube|mt|sq inch|mp"
    "|hectare|more|sec|unit|cu . m|cm 2|rs .|rs|kg|g|month|km|m|cm|mm|apple|liter|loss|yard|pure|year"
    "|increase|decrease|d|less|Surface|litre|pi sq m|s .|metre|meter|inch"
)
# Left out before the units, and after them; (text, what stands instead).
_BEFORE_UNITS = (
    ("bmatrix", "pmatrix"), ("tfrac", "frac"), ("dfrac", "frac"), (r"\neq", r"\ne"), (r"\leq", r"\le"),
    (r"\geq", r"\ge"), (r"\left", ""), (r"\right", ""), (r"\{", "{"), (r"\}", "}"),
)  # fmt: skip
_AFTER_UNITS = (("^{\\circ}", ""), ("^\\circ", ""), (r"\$", ""), ("$", ""), (r"\(", ""), (r"\)", ""))
_NAMES = ("x=", "y=", "z=", r"x\in", r"y\in", r"z\in", r"x\to", r"y\to", r"z\to")
_AFTER_NAMES = (
    (r"\emptyset", "{}"), (r"(-\infty,\infty)", r"\mathbb{R}"), (r"\%", ""), ("%", ""), (" .", " 0."),
    ("{.", "{0."), ("infinity", r"\infty"),
)  # fmt: skip


def normalised(text: str, units: bool = True) -> str:
    """The answer or reference without what the evaluator passes over; units: whether these go, too."""
    text = text.strip().replace("\n", "").rstrip(".").replace(r"\!", "")
    text = re.sub(r"\\begin\{array\}\{.*?\}", r"\\begin{pmatrix}", text)
    text = _replaced(text.replace(r"\end{array}", r"\end{pmatrix}"), _BEFORE_UNITS)
    text = re.sub(r"\\text\{.*?\}$", "", text).strip() or text
    text = _without_units(text) if units else text
    text = in_digits(_replaced(text, _AFTER_UNITS))
    text = re.sub(r"\\text\{(.*?)\}", r"\1", text)
    text = _replaced(_replaced(text, [(name, "") for name in _NAMES]), _AFTER_NAMES)
    if r"\infty" not in text:
        text = text.replace("inf", r"\infty")
    text = re.sub(r"\\mbox\{.*?\}", "", _replaced(text, (("and", ""), (r"\mathbf", ""))))
    if "i" not in text:
        text = text.replace("j", "i")
    text = re.sub(r"(\d+)\.0*$", r"\1", re.sub(r"(\d+)\.0*(\D)", r"\1\2", text))
    return _rewritten(f"0{text}" if text.startswith(".") else text)


def _rewritten(text: str) -> str:
    """Without a short name before a single =; roots and fractions with their braces."""
    sides = text.split("=")
    if len(sides) == 2 and len(sides[0]) <= 2:
        text = sides[1]
    text = re.sub(r"\\sqrt(\w+)", r"\\sqrt{\1}", text).replace(" ", "")
    return _quotient(_fractions(text))


def _replaced(text: str, pairs: tuple[tuple[str, str], ...] | list[tuple[str, str]]) -> str:
    for old, new in pairs:
        text = text.replace(old, new)
    return text


@cache
def _unit_patterns() -> list[tuple[str, re.Pattern[str]]]:
    """What stands in every text that a pattern matches, and the pattern."""
    singular = _UNITS.split("|")
    units = (*singular, *(f"{unit}s" for unit in singular))
    return [(unit.partition(".")[0], re.compile(rf"(^|\W){unit}($|\W)")) for unit in units]


def _without_units(text: str) -> str:
    """In two passes, since a match takes the characters beside it away from the next."""
    for part, pattern in _unit_patterns() * 2:
        if part in text:
            text = pattern.sub(r"\1\2", text) or text
    return text


def _fractions(text: str) -> str:
    r"""\frac12 as \frac{1}{2} and \frac1{23} as \frac{1}{23}; nothing where a \frac has less behind it."""
    first, *pieces = text.split(r"\frac")
    if any(len(piece) < 2 and piece[:1] != "{" for piece in pieces):
        return text
    for number, piece in enumerate(pieces):
        if piece[0] != "{":
            below = "{" if piece[1] == "{" else f"{{{piece[1]}}}"
            pieces[number] = f"{{{piece[0]}}}{below}{piece[2:]}"
    return r"\frac".join((first, *pieces))


def _quotient(text: str) -> str:
    r"""5/2 as \frac{5}{2}: integers without leading zeros, or what has a root in it."""
    sides = text.split("/")
    if len(sides) == 2 and all("sqrt" in side or re.fullmatch(r"0|-?[1-9]\d*", side) for side in sides):
        return rf"\frac{{{sides[0]}}}{{{sides[1]}}}"
    return text
