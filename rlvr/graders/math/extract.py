r"""Where a completion's final answer stands, which depends on what its prompt template asked for.

Only the completion's own first turn is looked at, and of that what is not a thought. strict: r1_zero asks
for <answer> tags, qwen_boxed for \boxed{}, and only there is looked. plain asks for nothing: \boxed{}, a
line "Answer: ...", "the answer is ...", or "#### ...", the first kind that occurs. lenient: where the
template's own place is empty, all of these, then the last number of the text. Of several places of one
kind the last counts; boxes that stand together are one list.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal, TypeAlias

from rlvr.graders.math.reading.boxes import boxed
from rlvr.graders.math.reading.turns import own_turn

TemplateName: TypeAlias = Literal["r1_zero", "qwen_boxed", "plain"]

# The end of a sentence, which the full stops of 3.5, a.m. and No. 5 are not.
_SENTENCE_END = re.compile(r"\n|(?<!\b[a-zA-Z])(?<!\bNo)\.(?=\s|$)")
# A formula on a line of its own.
_DISPLAY = re.compile(r"\s*(?:\\\[((?:(?!\\\]).){1,1000})\\\]|\$\$([^$]{1,1000})\$\$)", re.DOTALL)
_STATED = re.compile(
    r"answer(?:[ \t]+to[ \t]+[^.\n:=]{1,60}?)?[ \t*]*"
    r"(?:(?<=\s)(?:is|would be)[ \t*]*[:=]?|[:=])(?=[\s$\\(*\d-])",
    re.IGNORECASE,
)
_LINE = re.compile(
    r"^[ \t*#>]*(?:the )?(?:final )?answer[ \t*]*(?:[:=]|(?=\n))[ \t*]*(?:\n\s*(?=\S))?",
    re.IGNORECASE | re.MULTILINE,
)
_NUMBER = re.compile(r"-?(?:\d[\d,]*(?:\.\d+)?|\.\d+)%?")


def extract(completion: str, template: TemplateName, lenient: bool) -> str | None:
    """The final answer as it was written; None where there is none, or it is blank."""
    places = _ASKED[template]
    if lenient:
        places = (*places, *_ASKED["plain"], last_number)
    text = own_turn(completion)
    return next(filter(None, (place(text) for place in places)), None)


def last_tag(completion: str) -> str | None:
    r"""The content of the last closed <answer> tag; of a \boxed{} in it, that."""
    end = completion.rfind("</answer>")
    start = completion.rfind("<answer>", 0, end) if end >= 0 else -1
    if start < 0:
        return None
    inside = completion[start + len("<answer>") : end]
    return boxed(inside) or inside.strip()


def answer_line(completion: str) -> str | None:
    """What follows "Answer:" at the start of a line, or stands under such a heading."""
    found = list(_LINE.finditer(completion))
    return _rest(completion, found[-1].end(), "\n") if found else None


def stated(completion: str) -> str | None:
    """What follows "answer is", up to the end of the sentence."""
    found = list(_STATED.finditer(completion))
    if not found:
        return None
    start = found[-1].end()
    if display := _DISPLAY.match(completion, start):
        return (display[1] or display[2]).strip()
    end = _SENTENCE_END.search(completion, start)
    return completion[start : end.start() if end else None].strip(" \t*:")


def hashes(completion: str) -> str | None:
    """What follows ####, as GSM8K's solutions mark the answer."""
    start = completion.rfind("####")
    return _rest(completion, start + 4, "\n") if start >= 0 else None


def last_number(completion: str) -> str | None:
    """The last number in the text, commas left out."""
    found = _NUMBER.findall(completion)
    return found[-1].replace(",", "") if found else None


def _rest(text: str, start: int, until: str) -> str:
    return text[start:].partition(until)[0].strip(" \t*")


_ASKED: dict[TemplateName, tuple[Callable[[str], str | None], ...]] = {
    "r1_zero": (last_tag,),
    "qwen_boxed": (boxed,),
    "plain": (boxed, answer_line, stated, hashes),
}
