"""Numbers in words, as the study's evaluator takes them: any number word in a text makes it that number."""

from __future__ import annotations

_ONES = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"
_TEENS = "sixteen seventeen eighteen nineteen"
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_VALUES = {word: number for number, word in enumerate(f"{_ONES} {_TEENS}".split())}
_VALUES |= {word: 10 * tens for tens, word in enumerate(f"{_TENS}".split(), start=2)}
_SCALES = {"billion": 10**9, "million": 10**6, "thousand": 10**3}
_VALUES |= {"hundred": 100, **_SCALES}


def in_digits(text: str) -> str:
    """The number that the words of the text name, hyphens parting words; else the text as it is.

    Other words are passed over: "one of the 3" is 1. Only the first words of a longer sum count.
    """
    plain = text.replace("-", " ").lower()
    words = [word for word in plain.split() if word in _VALUES or word == "point"]
    if not plain.isdigit() and (not words or any(words.count(word) > 1 for word in (*_SCALES, "point"))):
        return text
    whole, _, digits = (part.split() for part in " ".join(words).partition("point"))
    try:
        return str(int(plain) if plain.isdigit() else _whole(whole) + _after_point(digits))
    except ValueError:
        return text


def _whole(words: list[str]) -> int:
    """Raises ValueError where scales stand in the wrong order, or without a number before them."""
    if len(words) < 2:
        return sum(_VALUES[word] for word in words)
    places = [words.index(scale) for scale in _SCALES if scale in words]
    if places != sorted(places):
        raise ValueError("a larger scale after a smaller one")
    total, start = 0, 0
    for scale, value in _SCALES.items():
        if scale in words:
            end = words.index(scale)
            total += value * _group(words[start:end])
            start = end + 1
    return total + (_group(words[start:]) if words[start:] else 0)


def _group(words: list[str]) -> int:
    """Up to four words below a scale. Of three or four the first two are multiplied, "hundred" or not."""
    values = [_VALUES[word] for word in words]
    if not values:
        raise ValueError("a scale without a number")
    if len(values) == 2:
        return values[0] * values[1] if 100 in values else values[0] + values[1]
    if len(values) in (3, 4):
        return values[0] * values[1] + sum(values[2:])
    return values[0]


def _after_point(words: list[str]) -> float:
    """0.25 for "two five"; 0 where a word is no digit."""
    digits = [_VALUES[word] for word in words]
    return float("0." + "".join(map(str, digits))) if digits and max(digits) < 10 else 0
