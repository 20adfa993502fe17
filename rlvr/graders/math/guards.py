"""Statements with a condition, a modulus or an arbitrary constant after them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeAlias

from rlvr.graders.math import statements
from rlvr.graders.math.notation import compact
from rlvr.graders.math.shapes import Guarded, Shape
from rlvr.graders.math.structure import SIGN, top, unwrapped

Read: TypeAlias = Callable[[str], Shape]

_FREE_GUARD = re.compile(
    r"(?P<main>.*[^\s,;])[,;]?\s*(?P<guard>(?:\\forall"
    r"|(?:for|where|with)\s+(?:all|any|every|each|some|an? arbitrary"
    r"|[a-zA-Z] is an? "
    r"(?:arbitrary |any |real |positive )*(?:constant|real)))(?![a-zA-Z]).*)",
    re.DOTALL,
)
_MODULUS = re.compile(
    r"(?P<main>.*\S)\s*(?:\\pmod\s*(?P<a>\{.*\}|\w+)|\(\s*\\?(?:b?mod|\\text\s?\{\s?mod\s?\})\s*(?P<b>[^()]+)\))",
    re.DOTALL,
)
_ARBITRARY = re.compile(r"(?P<main>.*[a-z].*\S)\s*\+\s*(?P<constant>[CcKk])")
_CONDITION = re.compile(
    r"(?P<main>.*[^\s,;(])\s*[,;]?\s*(?:\(\s*(?:for|where|when|with|if)?"
    r"|(?:for|where|when|with|if|provided(?: that)?)\b)\s*"
    r"(?P<condition>[a-z]\s*(?:\\ne|<|>|\\le|\\ge)(?![a-zA-Z])[^()]*)\)?",
    re.DOTALL,
)


def guarded(text: str, shape: Read) -> Guarded | None:
    """The statement with its condition; None where there is no condition."""
    if m := _MODULUS.fullmatch(text):
        main, modulus = m["main"].strip(" ,"), unwrapped((m["a"] or m["b"]).strip())
        main = re.sub(r"^[^,=]*\\equiv\s*", "", main)
        return Guarded(shape(main), f"mod {compact(modulus)}", free=True)
    m = _FREE_GUARD.fullmatch(statements.unwrapped_words(text))
    if m and not statements.has_words(m["main"]):
        return Guarded(shape(m["main"]), " ".join(m["guard"].split()), free=True)
    m = _CONDITION.fullmatch(statements.unwrapped_words(text))
    if m and not statements.has_words(m["main"]) and not top(m["main"], SIGN):
        return Guarded(shape(m["main"]), compact(m["condition"]), free=r"\ne" in m["condition"])
    m = _ARBITRARY.fullmatch(text)
    if m and not re.search(r"[A-Z]", re.sub(r"\\[a-zA-Z]+", "", m["main"])) and not top(m["main"], SIGN):
        return Guarded(shape(m["main"]), "+C", free=m["constant"] == "C")
    return None
