"""Where a completion's answer is read, for verifiers that compare texts."""

from __future__ import annotations

import unicodedata
from typing import Literal, TypeAlias

from rlvr.graders.math.extract import TemplateName, extract
from rlvr.graders.math.reading.turns import own_turn

# tags: the last <answer> tag. boxed: the last \boxed{}. stated: \boxed{}, "Answer: ...", "the answer is ..."
# or "#### ...". whole: all that was said.
Place: TypeAlias = Literal["tags", "boxed", "stated", "whole"]
TEMPLATE_OF: dict[Place, TemplateName] = {"tags": "r1_zero", "boxed": "qwen_boxed", "stated": "plain"}
PLACE_OF: dict[TemplateName, Place] = {template: place for place, template in TEMPLATE_OF.items()}
# Characters of an answer beyond which it is none.
LONGEST = 20_000


def read_answer(completion: str, place: Place) -> str | None:
    """The answer as it was written, without what was only thought; None where there is none.

    Where `stated` finds no statement, the whole text is the answer.
    """
    found = None if place == "whole" else extract(completion, TEMPLATE_OF[place], lenient=False)
    if found is None and place in ("whole", "stated"):
        found = own_turn(completion).strip()
    return found if found and len(found) <= LONGEST else None


def normalised(text: str, ignore_case: bool = False) -> str:
    """The text in one Unicode form with single spaces."""
    text = " ".join(unicodedata.normalize("NFC", text).split())
    return text.casefold() if ignore_case else text
