"""Units after a number: taken off, and brought to one spelling. Nothing is converted: 1 m is not 100 cm."""

from __future__ import annotations

import re

from rlvr.graders.math.reading.numbers import NUMBER_WORDS
from rlvr.graders.math.reading.vocabulary import OTHER_AMOUNTS, SHORT_WORDS, UNIT_SIGNS

# One spelling for each unit; a plural s is taken off first.
_SYNONYMS = {
    spelling: unit
    for unit, spellings in {
        "%": "percent percentage pct",
        "deg": "degree",
        "mm": "millimeter millimetre",
        "cm": "centimeter centimetre",
        "m": "meter metre",
        "km": "kilometer kilometre",
        "in": "inch inche",
        "ft": "foot feet",
        "yd": "yard",
        "mi": "mile",
        "g": "gram",
        "kg": "kilogram kilo",
        "lb": "pound",
        "L": "liter litre l",
        "mL": "milliliter millilitre ml",
        "s": "second sec",
        "min": "minute",
        "h": "hour hr",
        "day": "day",
        "km/h": "kmh kph kmph",
        "mph": "mph",
        "J": "joule",
        "N": "newton",
        "W": "watt",
        "V": "volt",
        "Hz": "hertz",
        "dollar": "dollar buck usd",
        "cent": "cent penny pennie",
    }.items()
    for spelling in spellings.split()
}
_LETTERS = "[mslgNJWLKVACFh]"
_NOT_COUNTED = OTHER_AMOUNTS | (NUMBER_WORDS - {"second", "one"})
_POWER = r"(?:\s?\^\s?(?:\d|\{\s?-?\d\s?\}))?"
_TEXT = rf"\\text\s*\{{[^{{}}]*\}}\s*{_POWER}"
_UNIT = re.compile(
    rf"(?P<core>.*[\d)}}\]a-zA-Z!.])(?<!\\circ)\s*(?P<unit>%|\^\\circ\s*(?:\\text\s*\{{\s*[CF]\s*\}}|[CF](?![a-zA-Z]))?"
    rf"|\\frac\s?\{{\s?{_TEXT}\}}\s?\{{\s?{_TEXT}\}}|{_TEXT}(?:\s*(?:/|\\cdot)?\s*{_TEXT})*)",
    re.DOTALL,
)
_ABBREVIATION = rf"(?:{'|'.join(sorted(UNIT_SIGNS, key=len, reverse=True))})(?![a-zA-Z]){_POWER}"
_RATE = rf"(?:\s?(?:/|per|\\cdot|\*)\s?(?:{_ABBREVIATION}|{_LETTERS}(?![a-zA-Z]){_POWER}|[a-z]{{3,}})){{0,3}}"
_AFTER_NUMBER = re.compile(
    rf"(?P<core>.*[\d}})])(?P<unit>\s*{_ABBREVIATION}{_RATE}|\s+{_LETTERS}(?![a-zA-Z]){_POWER}{_RATE}"
    rf"|\s*\\frac\{{(?:{_ABBREVIATION}|{_LETTERS})\}}\{{(?:{_ABBREVIATION}|{_LETTERS}){_POWER}\}})",
    re.DOTALL,
)
_PHRASE = re.compile(
    r"(?P<core>[-+\d.,/\s]*\d%?|.*[\d})])(?P<unit>(?:\s*\(?[a-zA-Z][a-zA-Z'&-]+\)?|(?<=\s)a(?=\s))(?:\s+\(?[a-zA-Z][a-zA-Z'&-]+\)?"
    rf"|\s+a(?=\s)){{0,11}}{_POWER}(?:\s?(?:/|per)\s?[a-zA-Z]+{_POWER})?)",
    re.DOTALL,
)
_POWERS = {"square": "^2", "sq": "^2", "squared": "^2", "cubic": "^3", "cu": "^3"}
DEGREES = r"^\circ"
_ANGLE = re.compile(r"\\(?:arc)?(?:sin|cos|tan|cot|sec|csc)(?![a-zA-Z])")
_LETTER = re.compile(r"(?<![\\a-zA-Z])[a-zA-Z]")


def split_unit(text: str) -> tuple[str, str]:
    r"""A canonical text as expression and unit, "" where it has none.

    The degrees of \sin 80^\circ belong to the angle; those within \frac{90^\circ}{7} to the whole.
    """
    angle = _ANGLE.search(text)
    match = _UNIT.fullmatch(text) or _AFTER_NUMBER.fullmatch(text) or _counted(text)
    if match and not (angle and match["unit"] == DEGREES):
        unit = re.sub(r"[()]", "", match["unit"]) if match["unit"].lstrip()[:1] == "(" else match["unit"]
        return match["core"].strip(), _one_spelling(unit)
    if DEGREES in text and not angle:
        return text.replace(DEGREES, ""), "deg"
    return text, ""


def _counted(text: str) -> re.Match[str] | None:
    """A number with a phrase that names what is counted: 18 marbles, 35 total seats, 12 (novels)."""
    match = _PHRASE.fullmatch(text)
    if not match or _LETTER.search(re.sub(r"\\[a-zA-Z]+", "", match["core"])):
        return None
    phrase = re.findall(r"[a-zA-Z][a-zA-Z'&-]*", match["unit"])
    measured = any(_SYNONYMS.get(w.removesuffix("s"), _SYNONYMS.get(w)) for w in phrase)
    if not measured and (match["unit"][:1].isalpha() or _NOT_COUNTED & {w.lower() for w in phrase}):
        return None
    if measured and (_NOT_COUNTED - {"squared"}) & {w.lower() for w in phrase}:
        return None
    return None if len(phrase[0]) < 3 and phrase[0].lower() not in SHORT_WORDS else match


def units_agree(given: str, wanted: str) -> bool:
    """Whether two units can be one: the same, or phrases of which one is part of the other."""
    if given == wanted:
        return True
    a, b = set(given.split()), set(wanted.split())
    plain = given.replace(" ", "").isalpha() and wanted.replace(" ", "").isalpha()
    return plain and (a < b or b < a) and not (a & b) <= {"a", "in", "of", "the"}


def _one_spelling(unit: str) -> str:
    unit = re.sub(r"\\frac\s?\{\s?(.*)\}\s?\{\s?(.*)\}", r"\1/\2", unit)
    unit = re.sub(r"\\text\s*\{\s*([^{}]*?)\s*\}", r"\1 ", unit).replace(DEGREES, "deg")
    unit = re.sub(r"\s?\^\s?\{?\s?(-?\d)\s?\}?", r"^\1", unit)
    unit = re.sub(r"\bper\b", "/", unit)
    words = re.findall(r"[a-zA-Z][a-zA-Z'&-]*|%|\^-?\d|/", unit)
    named = [
        _SYNONYMS.get(w)
        or _SYNONYMS.get(w.lower() if len(w) > 1 else w)
        or _SYNONYMS.get(w.lower().removesuffix("s"))
        or w.removesuffix("s")
        or w
        for w in words
    ]
    powers = [_POWERS[w] for w in named if w in _POWERS]
    spelled = ""
    for word in [w for w in named if w not in _POWERS]:
        spelled += " " + word if spelled and spelled[-1].isalpha() and word[0].isalpha() else word
    return spelled + "".join(powers)
