"""Where a completion ends by a stop string: one rule for every engine.

A completion ends with the first token after which the decoded completion, special tokens included, holds one
of the strings. That token stays, whole: token ids, log-probs and text end alike, and the policy is trained on
what it drew. A string that straddles tokens is found where its last character appears; what the last token
has beyond the string stays with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rlvr.engines import Completion

# Tokens that are decoded for each character of the longest string, and besides; more where they say less.
TOKENS_A_CHARACTER, BESIDES = 4, 8
# A token whose text alone is not known: part of a character, or nothing.
UNKNOWN = "\ufffd"


class StopFinder:
    """Finds the first end of a completion by one of the strings."""

    def __init__(self, tokenizer: Any, strings: Sequence[str]):
        self.tokenizer = tokenizer
        self.strings = tuple(strings)
        self.longest = max(map(len, strings))
        self.may_end = _may_end(tokenizer, frozenset(string[-1] for string in strings))

    def candidates(self, tokens: NDArray[Any]) -> NDArray[np.bool_]:
        """Which of these tokens may complete a string; the others cannot."""
        return self.may_end[np.minimum(tokens.astype(np.int64), len(self.may_end) - 1)]

    def ends(self, ids: Sequence[int]) -> bool:
        """Whether a completion that did not end before its last token ends with it."""
        width = TOKENS_A_CHARACTER * self.longest + BESIDES
        while True:
            text = self.tokenizer.decode(list(ids[-width:]), skip_special_tokens=False)
            if any(string in text for string in self.strings):
                return True
            # Two characters to spare, for one that was cut in half and a space that was stripped.
            if width >= len(ids) or len(text) >= self.longest + 2:
                return False
            width *= 2

    def first_end(self, ids: Sequence[int]) -> int | None:
        """How many tokens a completion has where it ends by a string; None where it does not."""
        for place in self.candidates(np.asarray(ids, dtype=np.int64)).nonzero()[0].tolist():
            if self.ends(ids[: place + 1]):
                return place + 1
        return None


def ended(
    tokenizer: Any,
    strings: tuple[str, ...],
    ids: tuple[int, ...],
    logprobs: tuple[float, ...],
    reason: Literal["stop", "length"],
) -> Completion:
    """What an engine drew that looks for the strings by itself, ended by the rule of this module."""
    known = finder(tokenizer, strings)
    end = known.first_end(ids) if known else None
    if end is not None:
        ids, logprobs, reason = ids[:end], logprobs[:end], "stop"
    return Completion(ids, logprobs, tokenizer.decode(list(ids), skip_special_tokens=True), reason)


@lru_cache(maxsize=16)
def _finder(tokenizer: Any, strings: tuple[str, ...]) -> StopFinder:
    return StopFinder(tokenizer, strings)


def finder(tokenizer: Any, strings: tuple[str, ...]) -> StopFinder | None:
    """The finder of these strings, made once; None for none."""
    return _finder(tokenizer, strings) if strings else None


@lru_cache(maxsize=16)
def _may_end(tokenizer: Any, last: frozenset[str]) -> NDArray[np.bool_]:
    """[vocabulary + 1]: whether a token may hold one of these characters; the last entry is for ids beyond.

    A space at the end of a token may be lost where the token is decoded alone, so any token may hold one.
    """
    size = len(tokenizer)
    if any(character.isspace() or character == UNKNOWN for character in last):
        return np.ones(size + 1, dtype=bool)
    texts = tokenizer.batch_decode([[i] for i in range(size)], skip_special_tokens=False)
    may = [UNKNOWN in text or not last.isdisjoint(text) for text in texts]
    return np.array([*may, True])
