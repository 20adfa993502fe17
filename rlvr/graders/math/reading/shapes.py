"""What kinds of thing an answer may be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

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
    """A list in any order. kind: "," as written, ";" for "or", "{}" in braces, "cup" for a union."""

    items: tuple[Shape, ...]
    kind: str = ","


@dataclass(frozen=True, slots=True)
class Tuple:
    """A tuple or an interval: items in order, between two brackets."""

    items: tuple[Shape, ...]
    brackets: str


@dataclass(frozen=True, slots=True)
class Matrix:
    """Rows of cells; fence is "" for plain matrices whatever their brackets, "v" for a determinant.

    factor: what stands before it, "" for nothing.
    """

    rows: tuple[tuple[Shape, ...], ...]
    fence: str
    factor: str = ""


@dataclass(frozen=True, slots=True)
class Relation:
    r"""sides[0] signs[0] sides[1] ... with signs among = < > \le \ge \ne \approx."""

    sides: tuple[str, ...]
    signs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Named:
    """Values by name: x=1, y=2, or (x,y)=(1,2)."""

    values: tuple[tuple[str, Shape], ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """The letter of a choice with the text of that choice."""

    letter: str
    content: Shape


@dataclass(frozen=True, slots=True)
class Colons:
    """Numbers parted by colons: a ratio, or a time with its half of the day ("am", "pm", "" if unsaid)."""

    parts: tuple[str, ...]
    half: str = ""

    @property
    def is_time(self) -> bool:
        """Whether it can be a time of day."""
        hours, *rest = self.parts
        clock = all(len(p) == 2 and p.isdigit() and p < "60" for p in rest)
        return bool(self.half) or (clock and len(hours) <= 2 and hours.isdigit() and int(hours) <= 24)


@dataclass(frozen=True, slots=True)
class Without:
    r"""A set less another: \mathbb{R} \setminus \{3\}."""

    whole: Shape
    removed: Shape


@dataclass(frozen=True, slots=True)
class Guarded:
    """A statement with a condition or modulus after it: 4/x, x != 0; 9 mod 11; f(x) = x for all x.

    free: whether it says no more than where the statement holds as a matter of course.
    """

    statement: Shape
    guard: str
    free: bool


@dataclass(frozen=True, slots=True)
class Piecewise:
    """(value, condition) of each case."""

    cases: tuple[tuple[Shape, ...], ...]


@dataclass(frozen=True, slots=True)
class Sentence:
    """Prose: its words, and the one value that it states, if it does."""

    words: str
    value: Shape | None


Shape: TypeAlias = (
    Word
    | Scalar
    | Many
    | Tuple
    | Matrix
    | Relation
    | Named
    | Choice
    | Colons
    | Without
    | Guarded
    | Piecewise
    | Sentence
)
