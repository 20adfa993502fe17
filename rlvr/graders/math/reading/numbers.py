r"""The rational number that a compact text is: a numeral, arithmetic on numerals, or number words.

Nothing is evaluated but by the code here, on exact fractions of bounded size.
"""

from __future__ import annotations

import math
import re
from fractions import Fraction

# Digits of a number, and the power of ten in scientific notation, beyond which it is not read as a number.
LONGEST_NUMBER = 400
# Arithmetic stops at numbers of so many bits, and at so many operations.
_MOST_BITS, _MOST_TOKENS = 4096, 200

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
    r"(?P<sign>[+-]?)(?P<head>\d{0,40}\.\d{0,40})"
    r"(?:\\(?:overline|bar)\{(?P<tail>\d{1,40})\}|\((?P<round>\d{1,40})\)|(?P<dots>\\dot.*))"
)
_DOTTED = re.compile(r"\\dot\{?(\d)\}?(?:(\d*)\\dot\{?(\d)\}?)?")
# 0.333\ldots: digits that end in one cycle, twice or more.
_ELLIPSIS = re.compile(r"(?P<sign>[+-]?)(?P<head>\d{0,40}\.\d{0,40}?)(?P<tail>\d{1,20}?)(?P=tail)+\\ldots")
# Thousands in threes, or in lakhs.
_THOUSANDS = re.compile(r"[+-]?(?:\d{1,3}(?:,\d{3})+|\d{1,2}(?:,\d{2})+,\d{3})(?:\.\d+)?")
_PLAIN = re.compile(r"[+-]?\d{1,400}")


def rational(text: str) -> Fraction | None:
    """The number that a compact text is, exactly; None if it is something else.

    Integers, decimals (also repeating), quotients, mixed numbers, scientific notation, thousands commas.
    """
    if _PLAIN.fullmatch(text):
        return Fraction(int(text))
    if "," in text and _THOUSANDS.fullmatch(text):
        text = text.replace(",", "")
    if m := _SCIENTIFIC.fullmatch(text):
        return Fraction(m["mantissa"].rstrip(".")) * _ten(m["e"] or m["braced"] or m["digit"] or "0")
    if m := _POWER_OF_TEN.fullmatch(text):
        return _signed(m["sign"], _ten(m["braced"] or m["digit"]))
    fraction = "\\frac" in text
    if (fraction or "/" in text) and (m := _QUOTIENT.fullmatch(text)):
        over, under = (Fraction((m[x] or m[y]).rstrip(".")) for x, y in ("ac", "bd"))
        return _signed(m["sign"], over / under) if under else None
    if fraction and (m := _MIXED.fullmatch(text)):
        whole, part, parts = (int(m[key]) for key in ("whole", "a", "b"))
        return _signed(m["sign"], whole + Fraction(part, parts)) if part < parts else None
    return _repeating(text) if "." in text else None


def _repeating(text: str) -> Fraction | None:
    if m := _REPEATING.fullmatch(text):
        tail = m["tail"] or m["round"]
        if tail is None:
            dotted = _DOTTED.fullmatch(m["dots"])
            if not dotted:
                return None
            tail = dotted[1] + (dotted[2] or "") + (dotted[3] or "")
    elif m := _ELLIPSIS.fullmatch(text):
        tail = m["tail"]
    else:
        return None
    places = len(m["head"].partition(".")[2])
    cycle = Fraction(int(tail), 10**places * (10 ** len(tail) - 1))
    return _signed(m["sign"], Fraction(f"0{m['head']}0") + cycle)


def _ten(exponent: str) -> Fraction:
    return Fraction(10) ** int(exponent)


def _signed(sign: str, value: Fraction) -> Fraction:
    return -value if sign == "-" else value


_TOKEN = re.compile(
    rf"(?P<number>{_DECIMAL})(?P<percent>%?)|(?P<op>[-+*/^()]|\\cdot|\\div|\\frac|\\sqrt|[{{}}])|(?P<other>.)",
    re.DOTALL,
)
_TIMES = re.compile(r"(?<=[\d)])\s*x\s*(?=[\d(.])")
_GROUPED = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")


def arithmetic(text: str) -> Fraction | None:
    """The value of numbers joined by + - * / ^, fractions and roots of squares; None for anything else."""
    if (value := rational(text)) is not None:
        return value
    if re.search(r"[\d.]\s+[\d.]", text):
        return None
    tokens: list[str] = []
    for m in _TOKEN.finditer(_TIMES.sub("*", _GROUPED.sub("", text)).replace(" ", "")):
        if m["other"] or len(tokens) > _MOST_TOKENS:
            return None
        tokens.append(m[0])
    try:
        return _Arithmetic(tokens).whole()
    except (ArithmeticError, IndexError, ValueError):
        return None


class _Arithmetic:
    """Recursive descent over tokens. Raises ValueError, IndexError or ArithmeticError for other text."""

    def __init__(self, tokens: list[str]):
        self.tokens = [*tokens, ""]
        self.at = 0

    def whole(self) -> Fraction:
        value = self._sum()
        if self.tokens[self.at]:
            raise ValueError
        return value

    def _next(self) -> str:
        self.at += 1
        return self.tokens[self.at - 1]

    def _sum(self) -> Fraction:
        value = self._product()
        while self.tokens[self.at] in ("+", "-"):
            term = _signed(self._next(), Fraction(1)) * self._product()
            value = _small(value + term)
        return value

    def _product(self) -> Fraction:
        value = self._factor()
        while self.tokens[self.at] in ("*", "/", r"\cdot", r"\div", "(", r"\frac", r"\sqrt"):
            division = self.tokens[self.at] in ("/", r"\div")
            if self.tokens[self.at] in ("*", "/", r"\cdot", r"\div"):
                self._next()
            elif self.tokens[self.at] == r"\frac" and self.tokens[self.at - 1] not in ")}":
                raise ValueError  # a mixed number, or a product?
            factor = self._factor()
            value = _small(value / factor if division else value * factor)
        return value

    def _factor(self) -> Fraction:
        if self.tokens[self.at] in ("+", "-"):
            return _signed(self._next(), Fraction(1)) * self._factor()
        value = self._atom()
        if self.tokens[self.at] == "^":
            self._next()
            exponent = self._atom()
            if exponent.denominator != 1 or abs(exponent) > _MOST_BITS:
                raise ValueError
            size = max(value.numerator.bit_length(), value.denominator.bit_length())
            if size * abs(exponent) > _MOST_BITS:
                raise ValueError
            value = value ** int(exponent)
        return value

    def _atom(self) -> Fraction:
        token = self._next()
        if token in ("(", "{"):
            value = self._sum()
            if self._next() != (")" if token == "(" else "}"):
                raise ValueError
            return value
        if token == r"\frac":
            over, under = self._atom(), self._atom()
            return over / under
        if token == r"\sqrt":
            value = self._atom()
            root = Fraction(math.isqrt(value.numerator), math.isqrt(value.denominator))
            if root * root != value:
                raise ValueError
            return root
        percent = token.endswith("%")
        value = Fraction(token.removesuffix("%").rstrip("."))
        return _small(value / 100 if percent else value)


def _small(value: Fraction) -> Fraction:
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > _MOST_BITS:
        raise ValueError
    return value


_ONES = """
    zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
    sixteen seventeen eighteen nineteen
"""
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_WORDS = {word: n for n, word in enumerate(_ONES.split())} | {
    word: 10 * n for n, word in enumerate(_TENS.split(), 2)
}
_SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_PARTS = {"half": 2, "third": 3, "quarter": 4, "fourth": 4, "fifth": 5, "sixth": 6, "eighth": 8, "tenth": 10}
_ONE_PART = re.compile(rf"(?:an?\s+)?(half)|an?\s+({'|'.join(_PARTS)})", re.IGNORECASE)
NUMBER_WORDS = {*_WORDS, *_SCALES, *_PARTS, "hundred", *(f"{word}s" for word in _PARTS)} - {"half"}


def in_words(text: str) -> str | None:
    """Number words at the beginning as digits, with the rest of the text: "twenty-one cats" -> "21 cats";
    "minus 8" -> "-8"; "6 million" -> "6000000"; "two thirds" -> "2/3". None where there are none.
    """
    m = re.match(r"(?:(?P<sign>negative|minus)\s+)?(?P<rest>.*)", text, re.DOTALL | re.IGNORECASE)
    assert m
    if part := _ONE_PART.fullmatch(text):
        return f"1/{_PARTS[(part[1] or part[2]).lower()]}"
    words = re.split(r"(\s+|-)", m["rest"])
    sign = "-" if m["sign"] else ""
    if re.match(r"\d|\.\d|\\frac|\\sqrt|\\pi", words[0]):
        scale = _SCALES.get(words[2].lower()) if len(words) > 2 else None
        if scale and (value := rational(words[0])) is not None:
            return f"{sign}{_written(value * scale)}{''.join(words[3:])}"
        return f"-{m['rest']}" if sign else None
    value, used = _leading(words)
    if value is None:
        return None
    return f"{sign}{_written(value)}{''.join(words[used:])}"


_TEENS = "|".join(_WORDS)
_AND = re.compile(rf"\b(hundred|thousand|million|billion)\s+and\s+(?=(?:{_TEENS})\b)", re.IGNORECASE)
_AND_A_HALF = re.compile(rf"(?<![\w./,])(\d+|{_TEENS})\s+and\s+(?:a|one)[ -]half\b", re.IGNORECASE)


def without_and(text: str) -> str:
    """Number words without "and": one hundred and five -> one hundred five, two and a half -> 2.5."""
    if " and " not in text:
        return text
    text = _AND.sub(r"\1 ", text)
    return _AND_A_HALF.sub(lambda m: f"{_WORDS.get(m[1].lower(), m[1])}.5", text)


def _leading(words: list[str]) -> tuple[Fraction | None, int]:
    """The number that the first words (every other entry) say, and how many entries say it."""
    total, group, used, seen = 0, 0, 0, False
    for index in range(0, len(words), 2):
        word = words[index].lower()
        rest = group % 100
        if word in _WORDS and (rest == 0 or (rest >= 20 and rest % 10 == 0 and 0 < _WORDS[word] < 10)):
            group += _WORDS[word]
        elif word == "hundred" and 0 < group < 100:
            group *= 100
        elif word in _SCALES and group:
            total, group = total + group * _SCALES[word], 0
        elif word.removesuffix("s") in _PARTS and seen and group and not total:
            return Fraction(group, _PARTS[word.removesuffix("s")]), index + 1
        elif word == "and" and seen and index + 2 < len(words) and words[index + 2].lower() in _WORDS:
            continue
        else:
            break
        seen, used = True, index + 1
    return (Fraction(total + group) if seen else None), used


def _written(value: Fraction) -> str:
    return str(value.numerator) if value.denominator == 1 else f"{value.numerator}/{value.denominator}"
