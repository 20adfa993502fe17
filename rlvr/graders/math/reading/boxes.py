r"""What \boxed{} holds, and which boxes of a text together are its answer."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rlvr.graders.math.reading.notation import canonical, compact
from rlvr.graders.math.reading.numbers import rational

_COMMAND = re.compile(r"\\f?boxed(?![a-zA-Z])\s*|\\fbox(?![a-zA-Z])\s*")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_BARE = re.compile(r"[^\s${}\\]+|\\[a-zA-Z]+(?:\{[^{}]*\})*")
# Between boxes that answer together: a few words of the same sentence that neither take back nor conclude.
_TURNING = re.compile(
    r"\b(?:so|thus|hence|therefore|then|wait|not?|but|actually|instead|rather|gives?|get|becomes?|implies|"
    r"means|since|because|from|correct\w*|wrong|mistake|sorry|check|where|should|times|plus|minus)\b|\\(?:implies|Rightarrow)",
    re.IGNORECASE,
)
_LONGEST_LINK = 60
_NAMED = re.compile(r"(?P<name>[a-zA-Z](?:_\{?\w+\}?)?)\s*=\s*$")


@dataclass(frozen=True, slots=True)
class Box:
    """The content of a box and where its command stands."""

    content: str
    start: int
    end: int


def boxed(text: str) -> str | None:
    r"""The answer in boxes: the last box, with those before it that answer together with it, as a list.

    Empty boxes and boxes that are never closed are passed over; None where there is no other.
    """
    if "\\boxed" not in text and "\\fbox" not in text:
        return None
    boxes = _boxes(text)
    if not boxes:
        return None
    together = [boxes[-1]]
    for box in reversed(boxes[:-1]):
        if not _linked(text[box.end : together[0].start]):
            break
        if not _restates(box, together[-1]):
            together.insert(0, box)
    if len(together) == 1:
        return together[0].content
    names = [
        m["name"] if (m := _NAMED.search(text[max(0, b.start - 20) : b.start])) else "" for b in together
    ]
    if len(set(names)) == len(names) and all(names):
        return ", ".join(f"{name}={box.content}" for name, box in zip(names, together, strict=True))
    return ", ".join(box.content for box in together)


def _boxes(text: str) -> list[Box]:
    """The full boxes that do not stand inside others."""
    boxes: list[Box] = []
    position, closing = 0, closing_braces(text)
    while command := _COMMAND.search(text, position):
        position = command.end()
        if text[position : position + 1] == "{":
            end = closing.get(position, -1)
            if end < 0:
                continue
            content = text[position + 1 : end].strip()
            position = end + 1
        elif bare := _BARE.match(text, position):
            content, position = bare[0].rstrip(".,;:"), bare.end()
        else:
            continue
        if content.strip(" $.,;~"):
            boxes.append(Box(content, command.start(), position))
    return boxes


def closing_braces(text: str) -> dict[int, int]:
    r"""Where each brace is closed, by where it opens; \{ and \} are characters, not braces."""
    opened: list[int] = []
    closing: dict[int, int] = {}
    for m in _BRACE.finditer(text):
        if m[0] == "{":
            opened.append(m.start())
        elif m[0] == "}" and opened:
            closing[opened.pop()] = m.start()
    return closing


def _restates(box: Box, other: Box) -> bool:
    """Whether two boxes hold one number, written twice or in two ways."""
    if box.content == other.content:
        return True
    number = rational(compact(canonical(box.content)))
    return number is not None and number == rational(compact(canonical(other.content)))


def _linked(between: str) -> bool:
    return (
        len(between) <= _LONGEST_LINK
        and not re.search(r"[.!?](?:\s|$|\$)|\n[ \t]*\n|[=<>+*/^-]\s*$", _NAMED.sub("", between))
        and not _TURNING.search(between)
    )
