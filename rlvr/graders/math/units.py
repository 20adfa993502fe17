"""Units after a number: taken off, and brought to one spelling. Nothing is converted: 1 m is not 100 cm."""

from __future__ import annotations

import re

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
        "kg": "kilogram",
        "lb": "pound",
        "L": "liter litre l",
        "s": "second sec",
        "min": "minute",
        "h": "hour hr",
        "day": "day",
        "mph": "mph",
    }.items()
    for spelling in spellings.split()
}
# Words that are units where they follow a number without \text.
_PLAIN = """
    mm cm km kg ft mph square squared cubic sq cu unit dollar cent euro point week month year day hour hr
    minute min second sec mile inch inche foot feet yard meter metre centimeter centimetre millimeter
    millimetre kilometer kilometre gram kilogram pound lb liter litre degree people person student book
    apple way time page egg coin ball piece hp ounce gallon acre bag box boxe car child children men women
    percent percentage
"""
_WORD = rf"(?:{'|'.join(sorted(_PLAIN.split(), key=len, reverse=True))})s?"
_POWERS = {"square": "^2", "sq": "^2", "squared": "^2", "cubic": "^3", "cu": "^3"}
_POWER = r"(?:\^(?:\d|\{-?\d\}))?"
_TEXT = rf"\\text\s*\{{[^{{}}]*\}}\s*{_POWER}"
_UNIT = re.compile(
    rf"(?P<core>.*[\d)}}\]a-zA-Z!.])(?<!\\circ)\s*(?P<unit>%|\^\\circ\s*(?:\\text\s*\{{\s*[CF]\s*\}}|[CF](?![a-zA-Z]))?"
    rf"|{_TEXT}(?:\s*/\s*{_TEXT})*)",
    re.DOTALL,
)
_AFTER_NUMBER = re.compile(
    rf"(?P<core>.*[\d}})])\s*(?P<unit>(?:{_WORD}{_POWER} ?){{1,3}}(?:(?:/|per) ?(?:{_WORD}|[smh]){_POWER})?)"
)
DEGREES = r"^\circ"
_ANGLE = re.compile(r"\\(?:arc)?(?:sin|cos|tan|cot|sec|csc)(?![a-zA-Z])")


def split_unit(text: str) -> tuple[str, str]:
    r"""A canonical text as expression and unit, "" where it has none.

    The degrees of \sin 80^\circ belong to the angle; those within \frac{90^\circ}{7} to the whole.
    """
    angle = _ANGLE.search(text)
    match = _UNIT.fullmatch(text) or _AFTER_NUMBER.fullmatch(text)
    if match and not (angle and match["unit"] == DEGREES):
        return match["core"].strip(), _one_spelling(match["unit"])
    if DEGREES in text and not angle:
        return text.replace(DEGREES, ""), "deg"
    return text, ""


def _one_spelling(unit: str) -> str:
    unit = re.sub(r"\\text\s*\{\s*([^{}]*?)\s*\}", r"\1", unit).replace(DEGREES, "deg")
    unit = re.sub(r"\^\{(-?\d)\}", r"^\1", unit)
    unit = re.sub(r"\bper\b", "/", unit)
    words = re.findall(r"[a-zA-Z]+|%|\^-?\d|/", unit)
    named = [
        _SYNONYMS.get(w) or _SYNONYMS.get(w.removesuffix("s")) or w.removesuffix("s") or w for w in words
    ]
    power = {"square": "^2", "sq": "^2", "squared": "^2", "cubic": "^3", "cu": "^3"}
    powers = [power[w] for w in named if w in power]
    return "".join([w for w in named if w not in power] + powers)
