r"""What kind of thing an answer is, and when two of them are equal, part by part.

An answer is a word, a number or expression with a unit, a list in any order (bare commas, \{...\}, \pm),
a tuple or interval with its brackets, a union, a matrix, or a relation. Parts that are no rational
numbers are left to `same`, which may decide them by algebra.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from rlvr.graders.math.notation import canonical, compact, rational
from rlvr.graders.math.units import split_unit

# (given, wanted) expressions -> equal, or None where this cannot be told.
Same: TypeAlias = Callable[[str, str], bool | None]


@dataclass(frozen=True, slots=True)
class Word:
    """Text that is no mathematics: a name, "even", the letter of a choice."""

    text: str


@dataclass(frozen=True, slots=True)
class Scalar:
    """An expression, compact, with the unit that follows it ("" for none)."""

    text: str
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Many:
    """A list whose order says nothing; a union of intervals is one too (kind "cup")."""

    items: tuple[Shape, ...]
    kind: str = ","


@dataclass(frozen=True, slots=True)
class Tuple:
    """A tuple or an interval: items in order, between two brackets."""

    items: tuple[Shape, ...]
    brackets: str


@dataclass(frozen=True, slots=True)
class Matrix:
    """Rows of cells; fence is "" for plain matrices whatever their brackets, "v" for a determinant."""

    rows: tuple[tuple[Shape, ...], ...]
    fence: str


@dataclass(frozen=True, slots=True)
class Relation:
    r"""sides[0] signs[0] sides[1] ... with signs among = < > \le \ge \ne."""

    sides: tuple[str, ...]
    signs: tuple[str, ...]


Shape: TypeAlias = Word | Scalar | Many | Tuple | Matrix | Relation

# Brackets within brackets beyond which an answer is not taken apart.
DEEPEST = 30
_OPEN, _CLOSE = "([{", ")]}"
_SIGN = re.compile(r"=|<|>|\\(?:le|ge|ne)(?![a-zA-Z])|\\in(?![a-zA-Z])")
FLIPPED = {"<": ">", ">": "<", r"\le": r"\ge", r"\ge": r"\le"}
_WORDS = re.compile(r"\\text\s*\{([^{}]*)\}")
# Other runs of at most three letters are products of variables.
_SHORT_WORDS = {"yes", "no", "odd", "all"}
_CHOICE = re.compile(r"\(?([A-Z])\)")
# What stands left of "=" when the right side is the answer: x, x_1, f(x), \angle ABC; no number, no sum.
NAME = re.compile(r"(?!\d|.*\\(?:frac|sqrt|cdot|binom|sin|cos|tan|log|ln)(?![a-zA-Z]))[^+\-*/^]+")
_MATRIX = re.compile(
    r"\\begin\{([pbvBV]?)(?:small)?(?:matrix|array)\}(.*)\\end\{[pbvBV]?(?:small)?(?:matrix|array)\}"
)


def shape_of(answer: str) -> Shape:
    """The answer as one of the shapes above; never fails, since anything may be a scalar."""
    text = canonical(answer)
    if max(_depths(text), default=0) > DEEPEST:
        return Scalar(compact(text))
    return _shape(text)


def listed(text: str) -> Many | None:
    """1,234 read as a list, since commas may also part the items of one; None without a comma."""
    return Many(tuple(Scalar(part) for part in text.split(","))) if "," in text else None


def _shape(text: str) -> Shape:
    text = _unwrapped(text.strip())
    if (m := _WORDS.fullmatch(text)) and re.search(r"\d", m[1]):
        text = _unwrapped(m[1].strip())  # a number in bold
    if word := _word(text):
        return word
    if (parts := _split(text, r"\cup")) and len(parts) > 1:
        return Many(tuple(map(_shape, parts)), "cup")
    if _is_one_number(text):
        return Scalar(compact(text))
    if len(parts := _split(text, ",;")) > 1:
        return Many(tuple(_shape(part) for part in parts if part.strip()))
    if m := _MATRIX.fullmatch(text):
        rows = [
            row for row in re.split(r"\\\\(?:\[[^\]]*\])?", re.sub(r"^\{[lcr|]*\}", "", m[2])) if row.strip()
        ]
        cells = tuple(tuple(_shape(cell) for cell in row.split("&")) for row in rows)
        return Matrix(cells, m[1].lower() if m[1] in ("v", "V") else "")
    if bracketed := _bracketed(text):
        return bracketed
    if len(signs := _top(text, _SIGN)) > 0:
        return _relation(text, signs)
    if r"\pm" in text or r"\mp" in text:
        return _both_signs(text)
    core, unit = split_unit(text)
    return Scalar(compact(_unwrapped(core)), unit)


def _word(text: str) -> Word | None:
    is_text = text.startswith(r"\text")
    if m := _WORDS.fullmatch(text):
        text = m[1].strip()
    if m := _CHOICE.fullmatch(text):
        return Word(m[1])
    letters = re.split(r"[\s.'-]+", text)
    if "".join(letters).isalpha() and (is_text or max(map(len, letters)) > 3 or text.lower() in _SHORT_WORDS):
        return Word(" ".join(text.split()))
    return None


def _is_one_number(text: str) -> bool:
    """1,234,567 without spaces is one number; `compare` also tries it as a list."""
    return "," in text and rational(split_unit(text)[0].strip()) is not None


def _unwrapped(text: str) -> str:
    """Without braces, or parentheses that hold no comma, around the whole."""
    while text[:1] in ("{", "(") and text and _closing(text, 0) == len(text) - 1:
        if text[0] == "(" and (len(_split(text[1:-1], ",;")) > 1 or _CHOICE.fullmatch(text)):
            return text
        text = text[1:-1].strip()
    return text


def _bracketed(text: str) -> Shape | None:
    r"""A tuple, an interval or a set in \{ \}, where one pair of brackets holds the whole."""
    if text.startswith(r"\{") and text.endswith(r"\}"):
        inner = text[2:-2].strip()
        return Many(tuple(_shape(part) for part in _split(inner, ",;") if part.strip()))
    if text[:1] in ("(", "[") and text and text[-1] in ")]":
        items = _split(text[1:-1], ",;")
        if len(items) > 1 and _closing(text, 0) == len(text) - 1:
            return Tuple(tuple(map(_shape, items)), text[0] + text[-1])
    return None


def _relation(text: str, signs: Sequence[re.Match[str]]) -> Shape:
    cuts = [(m.start(), m.end()) for m in signs]
    starts, ends = [0, *(end for _, end in cuts)], [*(start for start, _ in cuts), len(text)]
    sides = [text[a:b].strip() for a, b in zip(starts, ends, strict=True)]
    names = [m[0] for m in signs]
    if names == [r"\in"]:
        return _shape(sides[1])
    if set(names) == {"="} and len(sides) > 2:  # a = b = c: the first and the last
        sides, names = [sides[0], sides[-1]], ["="]
    return Relation(tuple(compact(side) for side in sides), tuple(names))


def _both_signs(text: str) -> Shape:
    upper = text.replace(r"\pm", "+").replace(r"\mp", "-")
    lower = text.replace(r"\pm", "-").replace(r"\mp", "+")
    return Many((_shape(upper.lstrip("+ ")), _shape(lower)))


def _closing(text: str, start: int) -> int:
    """Where the bracket at `start` is closed, counting brackets of all kinds alike; -1 if nowhere."""
    depth = 0
    for index in range(start, len(text)):
        depth += (text[index] in _OPEN) - (text[index] in _CLOSE)
        if depth == 0:
            return index
    return -1


def _depths(text: str) -> list[int]:
    depth, depths = 0, []
    for character in text:
        depth -= character in _CLOSE
        depths.append(depth)
        depth += character in _OPEN
    return depths


def _split(text: str, separators: str) -> list[str]:
    r"""Parts between separators outside all brackets: single characters, or one command such as \cup."""
    pattern = re.escape(separators) + r"(?![a-zA-Z])" if separators[0] == "\\" else f"[{separators}]"
    cuts = _top(text, re.compile(pattern))
    starts, ends = [0, *(m.end() for m in cuts)], [*(m.start() for m in cuts), len(text)]
    return [text[a:b] for a, b in zip(starts, ends, strict=True)]


def _top(text: str, pattern: re.Pattern[str]) -> list[re.Match[str]]:
    """Matches outside all brackets."""
    if not (found := list(pattern.finditer(text))):
        return []
    depths = _depths(text)
    return [m for m in found if depths[m.start()] == 0]
