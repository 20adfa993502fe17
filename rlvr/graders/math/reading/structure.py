"""Brackets, separators and signs of relation in a text."""

from __future__ import annotations

import re

SIGN = re.compile(r"=|<|>|\\(?:le|ge|ne|in|approx|equiv)(?![a-zA-Z])")
FLIPPED = {"<": ">", ">": "<", r"\le": r"\ge", r"\ge": r"\le", "=": "=", r"\ne": r"\ne"}
CHOICE = re.compile(r"\(?([A-Za-e])\)")
_OPEN, _CLOSE = "([{", ")]}"


def bracketed_whole(text: str) -> bool:
    """Whether the bracket at the beginning is closed at the end, counting brackets of all kinds alike."""
    depth = 0
    for index, character in enumerate(text):
        depth += (character in _OPEN) - (character in _CLOSE)
        if depth == 0:
            return index == len(text) - 1
    return False


def depths(text: str) -> list[int]:
    """How many brackets each character stands in."""
    depth, found = 0, []
    for character in text:
        depth -= character in _CLOSE
        found.append(depth)
        depth += character in _OPEN
    return found


def split(text: str, separators: str) -> list[str]:
    r"""Parts between separators outside all brackets: single characters, or one command such as \cup."""
    if not any(part in text for part in ([separators] if separators[0] == "\\" else separators)):
        return [text]
    pattern = re.escape(separators) + r"(?![a-zA-Z])" if separators[0] == "\\" else f"[{separators}]"
    cuts = top(text, re.compile(pattern))
    starts, ends = [0, *(m.end() for m in cuts)], [*(m.start() for m in cuts), len(text)]
    return [text[a:b] for a, b in zip(starts, ends, strict=True)]


def top(text: str, pattern: re.Pattern[str]) -> list[re.Match[str]]:
    """Matches outside all brackets."""
    if not (found := list(pattern.finditer(text))):
        return []
    at = depths(text)
    return [m for m in found if at[m.start()] == 0]


def unwrapped(text: str) -> str:
    """Without braces, or parentheses that hold no comma, around the whole."""
    while text[:1] in ("{", "(") and text and bracketed_whole(text):
        if text[0] == "(" and (len(split(text[1:-1], ",;")) > 1 or CHOICE.fullmatch(text)):
            return text
        text = text[1:-1].strip()
    return text
