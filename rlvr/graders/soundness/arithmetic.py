r"""Chains with arithmetic in them: every equality whose two sides are numbers alone is checked, exactly.

Read are `48/2 = 24`, chains of equalities, GSM8K's <<48/2=24>>, LaTeX, thousands separators, decimals,
percent, currency, and units or words beside numbers. A side with a variable is no number. Where a false
equality has a reading under which nothing is wrong, such as a conversion of units, an integer quotient, a
supposition or a correction, the chain is undecided, never unsound.

Rounding. `10/3 = 3.33` is right where the other side has no finite decimals and the digits shown are its
digits, rounded or cut off; without decimals (10/3 = 3), or where the exact value could have been written
(1/8 = 0.13), it is undecided. With ≈ an equality is right where its digits are, and wrong beyond a factor
of two.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from enum import Enum
from fractions import Fraction
from typing import Any

from rlvr.graders import Mark
from rlvr.graders.soundness import StringMarker
from rlvr.graders.soundness.expressions import Expression, at_end, at_start
from rlvr.graders.soundness.tokens import ABOUT, EQUAL, NUMBER, RELATION, WORD, Clause, Token, clauses
from rlvr.graders.soundness.vocabulary import LEFT_OVER, MEASURES, QUANTITIES, SUPPOSED

# Longer texts, and more equalities, are not read: the time is bounded.
MOST_CHARACTERS = 100_000
MOST_CLAUSES = 2_000


class Found(Enum):
    """What one equality is."""

    TRUE = "true"
    FALSE = "false"
    UNSURE = "false as read, but there is another reading"
    NONE = "nothing to check"


_CONVERSIONS = frozenset(
    Fraction(n)
    for n in (2, 3, 4, 5, 7, 8, 10, 12, 16, 20, 24, 25, 30, 31, 36, 48, 50, 52, 60, 100, 128, 144, 168, 365,
              1000, 1024, 1440, 1760, 2000, 3600, 5280, 10_000, 86_400, 1_000_000)
)  # fmt: skip
# Thousands, millions, cents and percent go without saying.
_SCALES = frozenset(map(Fraction, (100, 1000, 1_000_000)))
# What makes a later part of the text take back an earlier one.
_TAKEN_BACK = re.compile(
    r"\b(?:wait|oops|hold on|correction|recalculat\w*|re-?check\w*|re-?calculat\w*|re-?comput\w*|mistake|"
    r"let me re\w*|scratch that|contradiction|on second thought|actually|incorrect|sorry|made an error|"
    r"not correct|not right|is wrong|was wrong|try again|instead)\b",
    re.IGNORECASE,
)


def decide(completion: str, reference: Any) -> bool | None:
    """Whether the chain is sound; None where nothing can be checked, or it is not certain."""
    if len(completion) > MOST_CHARACTERS or not ("=" in completion or "≈" in completion):
        return None
    found = set(equalities(completion))
    if Found.FALSE in found:
        return None if _TAKEN_BACK.search(completion) else False
    if Found.UNSURE in found:
        return None
    return True if Found.TRUE in found else None


# Where a sentence ends on a line.
_SENTENCE = re.compile(r"(?<=[.!?;])[ \t]+(?=[A-Z])")


def mark(completion: str, reference: Any) -> list[Mark]:
    """Each sentence with equalities: 0.0 where one is false, 1.0 where all that can be checked are true.

    No sentence is marked false where the chain as a whole is not unsound.
    """
    if len(completion) > MOST_CHARACTERS or not ("=" in completion or "≈" in completion):
        return []
    unsound = decide(completion, reference) is False
    parts = [*_sentences(completion)]
    following = [*(text for _, text in parts[1:]), ""]
    found = []
    for (start, text), after in zip(parts, following, strict=True):
        own = [*equalities(text)]
        if Found.FALSE in own:
            if unsound and _stays_false(text, after):
                found.append(Mark(start, start + len(text), 0.0))
        elif Found.TRUE in own and Found.UNSURE not in own:
            found.append(Mark(start, start + len(text), 1.0))
    return found


def _sentences(completion: str) -> Iterator[tuple[int, str]]:
    """Parts of the text with the places at which they begin; an equality that goes on in the next line is in
    one part."""
    for block in re.finditer(r"\S[^\n]*(?:(?<=[=≈])\s*\n[^\n]*|\n\s*[=≈&\\][^\n]*)*", completion):
        start = block.start()
        for end in [*(gap.end() for gap in _SENTENCE.finditer(block[0])), len(block[0])]:
            text = completion[start : block.start() + end].rstrip()
            if text:
                yield start, text
            start = block.start() + end


def _stays_false(text: str, after: str) -> bool:
    """Whether a false equality of a text has no other reading before what follows, which may deny it."""
    both, later = ([*equalities(t)].count(Found.FALSE) for t in (f"{text}\n{after}", after))
    return both > later


def equalities(text: str) -> Iterable[Found]:
    """What each equality of the text is, in the order of its clauses."""
    for clause in clauses(text)[:MOST_CLAUSES]:
        yield from _of_clause(clause)


def _of_clause(clause: Clause) -> list[Found]:
    sides, relations = _sides(clause.tokens)
    supposed = clause.doubted or any(map(_is_supposed, sides[:-1]))
    found = []
    for i, relation in enumerate(relations):
        if relation == RELATION:
            continue
        left, right = at_end(sides[i]), at_start(sides[i + 1])
        if left is None or right is None:
            continue
        judged = _judge(left, right, relation == ABOUT, inner=i > 0)
        doubted = supposed or _is_supposed(right.rest[:2])
        found.append(Found.UNSURE if judged is Found.FALSE and doubted else judged)
    return found


def _is_supposed(tokens: list[Token]) -> bool:
    return any(t.kind == WORD and t.text in SUPPOSED for t in tokens)


def _sides(tokens: list[Token]) -> tuple[list[list[Token]], list[str]]:
    """What stands between relations, and these."""
    sides: list[list[Token]] = [[]]
    relations = []
    for token in tokens:
        if token.kind in (EQUAL, ABOUT, RELATION):
            relations.append(token.kind)
            sides.append([])
        else:
            sides[-1].append(token)
    return sides, relations


def _judge(left: Expression, right: Expression, about: bool, inner: bool) -> Found:
    """What `left = right`, or `left ≈ right`, is. inner: whether another side stands before."""
    if left.is_number and right.is_number:
        # 1 hour = 60 minutes, or a name for a number; but 3 + 4 = 7 = 8
        bare = inner and not (left.units or right.units)
        return Found.UNSURE if bare and left.values[0] != right.values[0] else Found.NONE
    pairs = [(a, b) for a in set(left.values) for b in set(right.values)]
    if any(a == b for a, b in pairs):
        as_points = (left.shares or right.shares) and left.values[0] != right.values[0]
        return Found.UNSURE if as_points else Found.TRUE
    if left.is_number and (left.labelled or left.units):
        return Found.NONE  # day 3 = 5 + 2, 8 boxes = 8 * 12
    rounded = [_rounded(a, b, left, right, about) for a, b in pairs]
    if Found.TRUE in rounded:
        return Found.TRUE
    if Found.UNSURE in rounded or _otherwise(left, right, pairs):
        return Found.UNSURE
    return Found.FALSE


def _rounded(a: Fraction, b: Fraction, left: Expression, right: Expression, about: bool) -> Found:
    """Of two values that are not equal: whether they are by rounding; FALSE where they are not."""
    exact, shown, side = (a, b, right) if right.is_number else (b, a, left)
    places = side.places + (2 if side.percent and shown == side.values[0] else 0)
    if not (right.is_number or left.is_number):
        near = abs(a - b) * 100 <= abs(a)
        inexact = near and (left.decimals or right.decimals)
        return Found.UNSURE if about or inexact else Found.FALSE
    unit = Fraction(1, 10**places)
    rounds = abs(exact - shown) * 2 <= unit
    cut = 0 <= (exact - shown if exact >= 0 else shown - exact) < unit
    right_digits = rounds or cut
    if about:
        wide = shown == 0 or exact == 0 or not Fraction(1, 2) <= exact / shown <= 2
        return Found.TRUE if right_digits else Found.FALSE if wide else Found.UNSURE
    if places and right_digits:
        return Found.UNSURE if _is_finite(exact) else Found.TRUE
    whole = places == 0 and exact.denominator != 1 and abs(exact - shown) < 1
    return Found.UNSURE if whole else Found.FALSE


def _is_finite(value: Fraction) -> bool:
    """Whether it can be written as a decimal."""
    rest = value.denominator
    for factor in (2, 5):
        while rest % factor == 0:
            rest //= factor
    return rest == 1


def _otherwise(left: Expression, right: Expression, pairs: list[tuple[Fraction, Fraction]]) -> bool:
    """Whether an equality that is false as read has another reading."""
    quantities = QUANTITIES & {*left.units, *right.units, left.before}
    sides = [_measures(side) for side in (left, right)]
    measured = sides[0] | sides[1]
    ratios = {abs(x / y) for a, b in pairs if a and b for x, y in ((a, b), (b, a))}
    sums = {"+", "-"} & {*left.operators, *right.operators}
    converted = (measured and sides[0] != sides[1] and ratios & _CONVERSIONS) or ratios & _SCALES
    return (
        left.doubtful
        or right.doubtful
        or bool(quantities)
        or bool(converted)
        or any(MEASURES[u] == MEASURES[v] for u in sides[0] for v in sides[1] if u != v)
        or (bool(sums) and len(measured) > len({MEASURES[unit] for unit in measured}))
        or _goes_on(right)
        # pages 5-10 = 6 pages
        or (left.operators == ["-"] and not left.signed and pairs[0][0] < 0 < pairs[0][1])
        # 5 * 3 = 15 + 2 = 17: each sign goes on from the value before it
        or (not right.is_number and any(right.first == a for a, _ in pairs))
        # 0.1 * 3 = 0.30000000000000004
        or ((left.decimals or right.decimals) and any(abs(a - b) * 10**9 <= abs(a) for a, b in pairs))
    )


def _measures(side: Expression) -> set[str]:
    """Units of measure, in the singular."""
    return {singular for unit in side.units if (singular := unit.rstrip("s")) in MEASURES}


def _goes_on(right: Expression) -> bool:
    """Whether the value is written in two numbers: 2 hours and 30 minutes, 3 with 2 left over."""
    rest = right.rest[:6]
    if not any(token.kind == NUMBER for token in rest):
        return False
    return bool(_measures(right)) or any(t.text in LEFT_OVER or t.text in ("and", "with") for t in rest)


def arithmetic() -> StringMarker:
    """The checker of chains with arithmetic in them."""
    return StringMarker(decide, version="arithmetic-1", mark=mark)
