"""Math verifier `exact`: the answer must equal the reference as a normalised string or as a rational.

Strict: sqrt(8) and 2 sqrt(2) are different strings, and so a wrong answer.
"""

from __future__ import annotations

import re
from fractions import Fraction

from rlvr.verifiers import Status, StringVerifier

LONGEST_ANSWER = 1000
_DROPPED = re.compile(r"\\left|\\right|\\[,;!:]|\\ |\s|\\\(|\\\)|\\\[|\\\]|\$|\\text\{\}|\.$")
_FRACTION = re.compile(r"\\[dt]?frac\{([^{}]+)\}\{([^{}]+)\}|\\[dt]?frac(\d)(\d)")
_NUMBER = re.compile(r"[+-]?\d{1,40}(\.\d{1,40})?(/\d{1,40})?")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")


def extract(completion: str) -> str | None:
    """The content of the last <answer> tag, or of the last \\boxed{}, whichever comes first in that order."""
    tag = completion.rfind("<answer>")
    if tag >= 0:
        inside = completion[tag + len("<answer>") :].partition("</answer>")[0]
        return last_boxed(inside) or inside.strip() or None
    return last_boxed(completion)


def last_boxed(text: str) -> str | None:
    """What the last \\boxed{...} holds, None if there is none or its brace is never closed."""
    start = text.rfind("\\boxed{")
    if start < 0:
        return None
    begin = start + len("\\boxed{")
    depth = 1
    for end in range(begin, len(text)):
        depth += {"{": 1, "}": -1}.get(text[end], 0)
        if depth == 0:
            return text[begin:end].strip()
    return None


def normalise(answer: str) -> str:
    """A canonical spelling: no spaces, sizes, dollar signs or thousands commas; a/b for fractions."""
    answer = last_boxed(answer) or answer
    answer = _DROPPED.sub("", answer)
    answer = _FRACTION.sub(lambda m: f"{m[1] or m[3]}/{m[2] or m[4]}", answer)
    return _THOUSANDS.sub("", answer)


def rational(text: str) -> Fraction | None:
    """The number that a normalised answer is, None if it is something else."""
    if not _NUMBER.fullmatch(text):
        return None
    numerator, _, denominator = text.partition("/")
    if denominator and int(denominator) == 0:
        return None
    return Fraction(numerator) / Fraction(denominator or 1)


def _decide(completion: str, reference: str) -> tuple[Status, str | None]:
    answer = extract(completion)
    if answer is None or len(answer) > LONGEST_ANSWER:
        return Status.UNPARSED, None
    given, wanted = normalise(answer), normalise(reference)
    numbers = rational(given), rational(wanted)
    equal = given == wanted or (numbers[0] is not None and numbers[0] == numbers[1])
    return (Status.CORRECT if equal else Status.WRONG), answer


math_exact = StringVerifier("math-exact-1", _decide)
