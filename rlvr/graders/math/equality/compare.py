"""Whether two answers are equal, kind by kind; parts without a rational value are left to `same`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from rlvr.graders.math.equality import claims, values
from rlvr.graders.math.equality.sets import SetReader, Value, is_set
from rlvr.graders.math.reading.numbers import rational
from rlvr.graders.math.reading.parsing import NAME, shape, shape_of
from rlvr.graders.math.reading.shapes import (
    Choice,
    Colons,
    Guarded,
    Many,
    Matrix,
    Named,
    Piecewise,
    Relation,
    Same,
    Scalar,
    Sentence,
    Shape,
    Tuple,
    Word,
)
from rlvr.graders.math.reading.units import units_agree

# The lenient grader takes numbers for equal within this relative distance.
LENIENT_TOLERANCE = Fraction(1, 10_000)
_WHOLE = re.compile(r"-?[0-9]{1,18}")
# Longer lists are compared in the order in which they stand, so that no answer takes quadratic time.
MOST_ITEMS = 64


def undecided(given: str, wanted: str) -> None:
    """The `same` of the first stage: two different spellings that are no rational numbers."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What counts as equal. rounding: the reference's own significant digits are enough."""

    lenient: bool = False
    rounding: bool = False


def compare(
    given: str, wanted: str, rules: Rules, same: Same = undecided, value: Value = rational
) -> bool | None:
    """Whether the answers are equal; None where that depends on what `same` could not tell.

    The lenient rules are tried after the strict ones, so that they accept whatever those accept.
    """
    if given.strip() == wanted.strip():
        return True
    if _WHOLE.fullmatch(given) and _WHOLE.fullmatch(wanted):
        return int(given) == int(wanted)
    one, other = shape_of(given), shape_of(wanted)
    equal = Comparison(Rules(False, rules.rounding), same, value).of(one, other)
    if rules.lenient and equal is not True:
        loosely = Comparison(rules, same, value).of(one, other)
        return loosely if loosely or equal is False else None
    return equal


class Comparison:
    """Equality of shapes under one grader's rules: first the answer, then the reference."""

    def __init__(self, rules: Rules, same: Same, value: Value):
        self.rules = rules
        self.same = same
        self.value = value

    def of(self, given: Shape, wanted: Shape) -> bool | None:
        """Whether two shapes are equal."""
        for kind, compared in ((Sentence, self._prose), (Choice, self._choices), (Guarded, self._guarded)):
            if isinstance(given, kind) or isinstance(wanted, kind):
                return compared(given, wanted)
        if is_set(given) or is_set(wanted):
            return self._sets(given, wanted)
        return self._by_structure(given, wanted)

    def _by_structure(self, given: Shape, wanted: Shape) -> bool | None:
        if isinstance(given, Relation) and (sides := claims.asserted(given, wanted)) is not None:
            return self._asserted(sides, wanted)
        given, wanted = values.alike(given, wanted, self.rules.lenient)
        if isinstance(given, Named) and isinstance(wanted, Named):
            return self._named(given, wanted)
        if isinstance(given, Many) or isinstance(wanted, Many):
            return self._in_any_order(given, wanted)
        match given, wanted:
            case Word(), Word():
                return given.text.casefold() == wanted.text.casefold()
            case Scalar(), Scalar():
                return self._scalars(given, wanted)
            case Colons(), Colons():
                return values.colons_agree(given, wanted)
            case Tuple(), Tuple():
                brackets = self.rules.lenient or given.brackets == wanted.brackets
                return brackets and self._in_order(given.items, wanted.items)
            case Matrix(), Matrix():
                return self._matrices(values.scaled(given), values.scaled(wanted))
            case Piecewise(), Piecewise():
                left, right = values.cases(given, wanted)
                return self._matched(left, right)
            case Relation(), Relation():
                return self._relations(given, wanted)
        return False

    def _prose(self, given: Shape, wanted: Shape) -> bool | None:
        """The same words, or the value that the one states and the other is."""
        words = [
            s.words if isinstance(s, Sentence) else s.text if isinstance(s, Word) else None
            for s in (given, wanted)
        ]
        if words[0] is not None and words[1] is not None and words[0].casefold() == words[1].casefold():
            return True
        if is_set(given) or is_set(wanted):
            return self._sets(given, wanted)
        stated = [s.value if isinstance(s, Sentence) else s for s in (given, wanted)]
        if stated[0] is None or stated[1] is None:
            return False
        return self.of(stated[0], stated[1])

    def _choices(self, given: Shape, wanted: Shape) -> bool | None:
        """The same letter; or the text of a choice, where the other is no choice."""
        letters = [values.letter(shape) for shape in (given, wanted)]
        if letters[0] and letters[1]:
            return letters[0] == letters[1]
        contents = [s.content if isinstance(s, Choice) else s for s in (given, wanted)]
        return self.of(contents[0], contents[1])

    def _guarded(self, given: Shape, wanted: Shape) -> bool | None:
        """The same statement, and the same condition unless one side leaves out what goes without saying."""
        statements = [s.statement if isinstance(s, Guarded) else s for s in (given, wanted)]
        match given, wanted:
            case Guarded(), Guarded():
                if given.guard.startswith("mod") and given.guard != wanted.guard:
                    return False
                if given.guard != wanted.guard and not (given.free and wanted.free):
                    return False
            case Guarded(free=False), _:
                return False
            case _, Guarded() if not wanted.free or wanted.guard == "+C":
                return False
        return self.of(statements[0], statements[1])

    def _sets(self, given: Shape, wanted: Shape) -> bool | None:
        readers = SetReader(self.value), SetReader(self.value)
        one, other = readers[0].of(given), readers[1].of(wanted)
        if one is not None and other is not None:
            names = {reader.name for reader in readers} - {None}
            if len(names) > 1:
                return False
            if one == other or not self.rules.lenient:
                return one == other
        equal = self._by_structure(values.interval(given, wanted), values.interval(wanted, given))
        if (
            equal is False
            and self.same is undecided
            and None in (one, other)
            and values.bounded(given, wanted)
        ):
            return None
        return equal

    def _asserted(self, sides: claims.Asserted, wanted: Shape) -> bool | None:
        """An equation that states a value: the value is the reference, and the equation is not false."""
        found = [self.of(shape(text), wanted) for text in sides.values]
        equal = True if True in found else None if None in found else False
        if equal is False or sides.claim is None:
            return equal
        holds = claims.holds(*sides.claim, self.same)
        return values.every((equal, holds))

    def _named(self, given: Named, wanted: Named) -> bool | None:
        a, b = dict(given.values), dict(wanted.values)
        if set(a) == set(b):
            return values.every(self.of(a[name], b[name]) for name in a)
        if {name[0] for name in a} == {name[0] for name in b} and len({name[0] for name in a}) == 1:
            return self._in_any_order(Many(tuple(a.values())), Many(tuple(b.values())))  # x_1, x_2 beside x
        return False

    def _scalars(self, given: Scalar, wanted: Scalar) -> bool | None:
        a, b = rational(given.text), rational(wanted.text)
        one, other = values.listed(given.text), values.listed(wanted.text)
        if one and other and self._in_any_order(one, other):
            return True
        if a is not None and b is not None:
            readings = self._readings(a, given.unit, b, wanted.unit)
            return any(self._near(x, y, wanted.text) for x, y in readings)
        strict = not self.rules.lenient
        if strict and given.unit and wanted.unit and not units_agree(given.unit, wanted.unit):
            return False
        if given.text == wanted.text:
            return True
        bases = values.BASE.fullmatch(given.text), values.BASE.fullmatch(wanted.text)
        if bases[0] or bases[1]:
            return values.numeral(bases[0]) == values.numeral(bases[1])
        if (a is None) != (b is None):  # an answer may be left as arithmetic
            exact = values.arithmetic_of(given.text, wanted.text)
            if exact is not None:
                return self._near(*exact, wanted.text)
        if self.rules.rounding and b is not None and values.half_a_digit(wanted.text):
            number = self.value(given.text)
            return (
                self.same(given.text, wanted.text) if number is None else self._near(number, b, wanted.text)
            )
        return self.same(given.text, wanted.text)

    def _near(self, given: Fraction, wanted: Fraction, text: str) -> bool:
        if given == wanted:
            return True
        whole = given.denominator == wanted.denominator == 1
        allowed = LENIENT_TOLERANCE * abs(wanted) if self.rules.lenient and not whole else 0
        if self.rules.rounding:
            allowed = max(allowed, values.half_a_digit(text))
        return abs(given - wanted) <= allowed

    def _readings(
        self, given: Fraction, given_unit: str, wanted: Fraction, wanted_unit: str
    ) -> Iterator[tuple[Fraction, Fraction]]:
        """Pairs of values, on the reference's own scale, of which one equal pair is enough."""
        if not (given_unit and wanted_unit) or units_agree(given_unit, wanted_unit) or self.rules.lenient:
            yield given, wanted
        if (given_unit == "%") != (wanted_unit == "%"):  # 8 % is 0.08
            yield given / 100 if given_unit == "%" else given * 100, wanted
        if self.rules.lenient and abs(wanted) < 1:  # a proportion, perhaps as per cent
            yield given / 100, wanted
        if self.rules.lenient and abs(given) < 1:
            yield given * 100, wanted

    def _in_order(self, given: Sequence[Shape], wanted: Sequence[Shape]) -> bool | None:
        if len(given) != len(wanted):
            return False
        return values.every(self.of(a, b) for a, b in zip(given, wanted, strict=True))

    def _in_any_order(self, given: Shape, wanted: Shape) -> bool | None:
        """The same members. Where the reference repeats none, repeating them changes nothing."""
        kinds = {values.kind(item) for item in (given, wanted) if isinstance(item, Many)}
        left, right = values.members(given), values.members(wanted)
        if len(kinds) > 1 and not (values.is_empty(given) or values.is_empty(wanted)):
            return False
        if len(left) > MOST_ITEMS or len(right) > MOST_ITEMS:
            return self._in_order(left, right)
        once, other = list(dict.fromkeys(left)), list(dict.fromkeys(right))
        if len(once) == len(left) or len(other) == len(right):
            left, right = once, other
            if len(left) > len(right) > 1:
                return self._matched_by_some(left, right)
        return self._matched(left, right)

    def _matched(self, left: Sequence[Shape], right: Sequence[Shape]) -> bool | None:
        """A perfect matching of equal items. Equality is transitive, so the first match will do."""
        if len(left) != len(right):
            return False
        certain, right = True, [*right]
        for item in left:
            verdicts = [self.of(item, other) for other in right]
            if True in verdicts:
                del right[verdicts.index(True)]
            elif None in verdicts:
                certain = False
            else:
                return False
        return True if certain else None

    def _matched_by_some(self, left: list[Shape], right: list[Shape]) -> bool | None:
        """Every item has an equal one on the other side."""
        table = [[self.of(item, other) for other in right] for item in left]
        lines = [*table, *([row[n] for row in table] for n in range(len(right)))]
        return values.every(True if True in line else None if None in line else False for line in lines)

    def _matrices(self, given: Matrix, wanted: Matrix) -> bool | None:
        if given.fence != wanted.fence or len(given.rows) != len(wanted.rows):
            return False
        return values.every(self._in_order(*rows) for rows in zip(given.rows, wanted.rows, strict=True))

    def _relations(self, given: Relation, wanted: Relation) -> bool | None:
        if given.signs != wanted.signs:
            given = values.turned(given)
        if given.signs != wanted.signs:
            return False
        if given.signs == ("=",):
            for one in (given, values.turned(given)):
                if values.same_name(one.sides[0], wanted.sides[0]):
                    return self._texts(one.sides[1:], wanted.sides[1:])
            if all(NAME.fullmatch(relation.sides[0]) for relation in (given, wanted)):
                # y = 2x is not z = 2x; x + y = 1 may be 1 = y + x
                return False
            return self.same("=".join(given.sides), "=".join(wanted.sides))
        return self._texts(given.sides, wanted.sides)

    def _texts(self, given: Sequence[str], wanted: Sequence[str]) -> bool | None:
        return self._in_order([shape(text) for text in given], [shape(text) for text in wanted])
