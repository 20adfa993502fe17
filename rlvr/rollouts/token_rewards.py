"""Rewards of single tokens, from what is given for spans of a completion's text and for each token.

A token belongs to the span in which its first character lies; a part of a character belongs with the whole.
What a span is worth is paid at its last token, as in arXiv 2402.03300, section 4.1.3; a span in which no
token begins, at the token that holds it. So nothing is lost: tokens' rewards add up to those of the spans.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate, takewhile
from typing import Any

from rlvr.graders import Mark
from rlvr.rollouts.rewards import Reward


def token_rewards(reward: Reward, tokenizer: Any, ids: Sequence[int], text: str) -> tuple[float, ...]:
    """What is given at each token of a completion; empty where nothing is. ids, text: the completion's."""
    if not (reward.spans or reward.tokens):
        return ()
    paid = at_tokens(reward.spans, token_starts(tokenizer, ids, text) if reward.spans else [0] * len(ids))
    return tuple(map(sum, zip(paid, *reward.tokens, strict=True)))


def at_tokens(spans: Sequence[Mark], starts: Sequence[int]) -> list[float]:
    """The spans' worth at the last token of each. starts: where each token begins, see `token_starts`."""
    paid = [0.0] * len(starts)
    for span in spans:
        paid[max(0, bisect_left(starts, span.end) - 1)] += span.score
    return paid


def token_starts(tokenizer: Any, ids: Sequence[int], text: str) -> list[int]:
    """The place in the text of the character with which each token begins; where it begins within a
    character, of that one. A token without text of its own, such as a special one, begins with the next.

    text: `ids` decoded without special tokens.
    """
    alone = _texts(tokenizer)
    pieces = [alone[i] if i < len(alone) else "" for i in ids]
    if "".join(pieces) == text:
        return [0, *accumulate(map(len, pieces))][: len(ids)]
    return _starts_by_prefix(tokenizer, list(ids), text)


def _starts_by_prefix(tokenizer: Any, ids: list[int], text: str) -> list[int]:
    """By what the tokens so far decode to, as far as the text begins with it.

    Decoded is no more than what follows the last place at which a token ended with a whole character, and
    the tokens before it up to the place before: some decoders leave out a blank at the beginning.
    """
    before = whole = done = 0  # ids[before:whole] is context; they end at text[:done]
    context = ""
    starts = []
    place = 0
    for i in range(len(ids)):
        starts.append(place)
        decoded = tokenizer.decode(ids[before : i + 1], skip_special_tokens=True)[len(context) :]
        same = _shared(decoded, text[done : done + len(decoded)])
        place = done + same
        if same == len(decoded):
            before, whole, done = whole, i + 1, place
            context = tokenizer.decode(ids[before:whole], skip_special_tokens=True)
    return starts


def _shared(one: str, other: str) -> int:
    """Letters with which both begin."""
    same = takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
    return sum(1 for _ in same)


@lru_cache(maxsize=4)
def _texts(tokenizer: Any) -> list[str]:
    """What each token of the vocabulary decodes to alone."""
    return tokenizer.batch_decode([[i] for i in range(len(tokenizer))], skip_special_tokens=True)
