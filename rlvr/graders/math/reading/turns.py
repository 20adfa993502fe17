"""The part of a completion that may hold the answer: its own first turn, without what was only thought."""

from __future__ import annotations

import re

_THOUGHT = "think|thinking|thought|reasoning"
_TAG = re.compile(rf"<(/?)(?:{_THOUGHT})>", re.IGNORECASE)
# Where another turn begins: a chat token, or a speaker's name with a colon or alone on its line. After a
# closed answer tag the name may follow on the same line.
_TURN = re.compile(
    r"<\|(?:im_start|im_end|endoftext|eot_id|end_of_text|start_header_id|begin_of_text|user|assistant|end)"
    r"\|>"
    r"|<(?:/s|end_of_turn|start_of_turn)>|\[/?INST\]"
    r"|^[ \t>*#]*(?:user|human|assistant)[ \t*]*:"
    r"|^[ \t#]*(?:user|human|assistant)[ \t]*$"
    r"|(?<=</answer>)\s*(?:\*\*)?(?:user|human|assistant)\b[ \t*]*:",
    re.IGNORECASE | re.MULTILINE,
)
# A turn within a line, as the prompt of r1_zero has them; only with the other speaker after it.
_INLINE, _REPLY = re.compile(r"(?<=\S)\s(?:User|Human):\s"), "Assistant:"
# Where another problem begins, but only after an answer: the own solution may open by restating its own.
_PROBLEM = re.compile(
    r"^[ \t>*#]*(?:(?:(?:new|next|another)[ \t]+)?(?:question|problem|exercise|instruction|example|task)"
    r"(?:[ \t]+\d+)?|q\d*)[ \t*]*[:.](?=\s|\*|$)"
    r"|^[ \t]*#+[ \t]*(?:question|problem|exercise|instruction|example)\b[^\n]*$"
    r"|(?<=</answer>)\s*(?:question|problem)[ \t]*(?:\d+)?[ \t]*:",
    re.IGNORECASE | re.MULTILINE,
)
_ANSWERED = re.compile(
    r"</answer>|\\f?boxed\s*\{?\s*[^{}\s]|####|\banswer\b[ \t*]*(?:is\b|[:=])"
    r"|^[ \t*#]*(?:final )?answer[ \t*]*$",
    re.IGNORECASE | re.MULTILINE,
)


def own_turn(completion: str) -> str:
    """The completion up to the first turn or problem that it makes up, without thoughts."""
    return spoken(first_turn(completion))


def first_turn(completion: str) -> str:
    """The text before the first marker of another turn; a marker at the very beginning is none."""
    end = len(completion)
    for marker in _TURN.finditer(completion):
        if completion[: marker.start()].strip():
            end = marker.start()
            break
    asked = _INLINE.search(completion, 0, end)
    if asked and _REPLY in completion[asked.end() :]:
        end = asked.start()
    if answered := _ANSWERED.search(completion, 0, end):
        for marker in _PROBLEM.finditer(completion, 0, end):
            if marker.start() > answered.start():
                return completion[: marker.start()]
    return completion[:end]


def spoken(text: str) -> str:
    """The text outside of thoughts. A thought that is never closed runs to the end; one that is never
    opened, to a first tag that closes, began with the text.
    """
    if "<" not in text:
        return text
    parts: list[str] = []
    start: int | None = 0
    for number, tag in enumerate(_TAG.finditer(text)):
        if start is not None and not (tag[1] and number == 0):
            parts.append(text[start : tag.start()])
        start = tag.end() if tag[1] else None
    if start is not None:
        parts.append(text[start:])
    return " ".join(parts)
