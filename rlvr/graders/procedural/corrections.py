"""Where reasoning-gym 0.1.25 gives wrong answers its full score, and what else a right answer has to hold.

Each was found by scoring the answers of other entries, cut and mutated answers, and "nan", for all data sets.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

Entry = Mapping[str, Any]


def deserves(answer: str, entry: Entry, name: str) -> bool:
    """Whether an answer that the data set's scorer gives its full score is right indeed."""
    check = _CHECKS.get(entry.get("metadata", {}).get("source_dataset", name))
    return check is None or check(answer, entry)


def _no_nan(answer: str, entry: Entry) -> bool:
    """A distance that is not a number is not far."""
    return "nan" not in answer.lower()


def _close_probability(answer: str, entry: Entry) -> bool:
    """Each first digit that agrees has its share; "0" is all of its digits."""
    given, wanted = (Fraction(text.replace(",", "")) for text in (answer, entry["answer"]))
    return abs(given - wanted) <= Fraction(1, 10_000)


def _same_word(answer: str, entry: Entry) -> bool:
    """Any text at all is true, "False" too; letters behind the word cost nothing."""
    return answer.strip().lower() == str(entry["answer"]).strip().lower()


def _given_numbers(answer: str, entry: Entry) -> bool:
    """Four other numbers make 24 as well."""
    return sorted(map(int, re.findall(r"\d+", answer))) == sorted(entry["metadata"]["numbers"])


_CHECKS: Mapping[str, Callable[[str, Entry], bool]] = {
    "complex_arithmetic": _no_nan,
    "number_sorting": _no_nan,
    "coin_flip": _close_probability,
    "game_of_life_halting": _same_word,
    "letter_jumble": _same_word,
    "spell_backward": _same_word,
    "puzzle24": _given_numbers,
}
