"""Words beside numbers, by what they do to the reading of an equality."""

from __future__ import annotations


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


# An equality with one of these beside a number may mean another number.
QUANTITIES = _set("""
    about almost approximately around average billion by choose cubed divided double doubled dozen
    dozens eighth fifth fifths fourth fourths from gross half halves hundred hundreds k leftover log
    mean million millions minus mod modulo multiplied nearly over pair pairs percent percentage plus
    power quarter quarters rem remainder root roughly round rounded rounding score sixth squared tenth
    than third thirds thousand thousands times trillion triple tripled twice
""")
# None of these is a unit of the number before it.
NO_UNITS = _set("""
    a after an and are as at be because been before but by equal equals for from gave get gets give
    gives got had has have he hence i if in into is it leaves leaving made make makes means minus of on
    or plus she since so than that the then therefore these they this those thus times to until was we
    were when where which while who with you
""")
# What "of" after one of these does is an operation.
PARTS = _set("""
    double dozen dozens eighth fifth fifths fourth fourths fraction half halves hundred hundreds pair
    pairs percent percentage quarter quarters root sixth square tenth third thirds thousand thousands
    twice
""")
# Between two numbers these may be operations.
OPERATIONS = _set("""
    by from into minus of plus than times
""")
# After a value these announce what it leaves out.
LEFT_OVER = _set("""
    about approximately left leftover over r rem remainder round rounded rounding
""")
# What makes the equality of its sentence no claim of the writer's.
SUPPOSED = _set("""
    assume assumed assuming base can't cannot check claim claimed claims contradiction contradicts could
    doesn't error false guess if impossible incorrect incorrectly instead isn't mistake mistakenly mod
    modulo never no not should suppose supposed supposing test testing thinks thought try trying unless
    verify would wrong
""")
# What denies the equality before it.
DENIALS = _set("""
    cannot contradiction doesn't fail fails false impossible incorrect invalid isn't never no not wrong
""")
# Words of two letters that are none of a product.
SHORT_WORDS = _set("""
    am an as at be by do go he if in is it me my no of ok on or so to up us we
""")
# Names of functions.
FUNCTIONS = _set("""
    abs ceil cos cot csc det exp floor gcd lcm lim log max min mod sec sin sqrt tan
""")
# Units that are written to a number without a space.
ATTACHED = _set("""
    am cents cm ft gb hr hrs in kb kg km kmh kph lb lbs mb mg mi min mins ml mm mph oz pm sec secs sq
""")
# Units by what they measure: between those of one kind there are factors.
_KINDS = {
    "time": "second sec minute min hour hr day week month year decade century",
    "length": "inch inche foot feet ft yard mile mm cm m km meter metre centimeter kilometer millimeter",
    "weight": "ounce oz pound lb ton g kg mg gram kilogram",
    "volume": "cup pint quart gallon liter litre ml milliliter teaspoon tablespoon",
    "money": "cent penny pennie nickel dime quarter dollar buck",
    "other": "degree am pm kb mb gb",
}
MEASURES = {unit: kind for kind, units in _KINDS.items() for unit in units.split()}
