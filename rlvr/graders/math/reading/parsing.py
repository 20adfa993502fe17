"""An answer's text -> what kind of thing it is: first the kind of statement, then its parts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from rlvr.graders.math.equality.guards import guarded
from rlvr.graders.math.reading import statements
from rlvr.graders.math.reading.boxes import boxed
from rlvr.graders.math.reading.environments import matrix, piecewise
from rlvr.graders.math.reading.notation import canonical, compact
from rlvr.graders.math.reading.numbers import in_words, rational
from rlvr.graders.math.reading.shapes import (
    Choice,
    Colons,
    Guarded,
    Many,
    Named,
    Relation,
    Scalar,
    Sentence,
    Shape,
    Tuple,
    Without,
    Word,
)
from rlvr.graders.math.reading.structure import CHOICE, SIGN, bracketed_whole, depths, split, top, unwrapped
from rlvr.graders.math.reading.units import split_unit
from rlvr.graders.math.reading.vocabulary import DAY, MONTH

# Brackets within brackets beyond which an answer is not taken apart.
DEEPEST = 30
_WORDS = re.compile(r"\\text\s*\{([^{}]*)\}")
# Other runs of at most three letters are products of variables.
_SHORT_WORDS = {"yes", "no", "odd", "all"}
_LETTER = re.compile(r"\(([A-Z])\)|([A-Z])[.)]")
_CHOICE_WITH_TEXT = re.compile(r"(?:\(([A-J])\)|([A-J])(?:[:)]|\.(?=\s)))\s*(?=\S)(.+)", re.DOTALL)
_NAMED_CHOICE = re.compile(
    r"(?:option|choice|answer|alternative)\s*\(?([A-J])\)?(?:[:.)\s-]+(.*))?", re.IGNORECASE | re.DOTALL
)
_COLONS = re.compile(r"(\d+(?:\.\d+)?(?:\s*:\s*\d+(?:\.\d+)?)+)\s*(?:([AaPp])\.?\s*[Mm]\.?)?")
_HOUR = re.compile(r"(\d{1,2})\s*([AaPp])\.?[Mm]\.?")
_RATIO_IN_WORDS = re.compile(r"(\d+(?:\.\d+)?)\s+to\s+(\d+(?:\.\d+)?)")
_MARKS = " .!'\"`"
_ORDINAL = re.compile(r"(?:the\s+)?(\d+)(?:st|nd|rd|th)", re.IGNORECASE)
_SHARE = re.compile(r"(\d+)\s+(?:out\s+of|in)\s+(\d+)")
_ARTICLE = re.compile(rf"\b(?:the|an?)\s+|^on\s+(?:an?\s+)?(?={DAY}\b)|^in\s+(?={MONTH}\b)", re.IGNORECASE)
# What stands left of "=" when the right side is the answer: x, x_1, f(x), \angle ABC; no number, no sum.
NAME = re.compile(r"(?!\d|.*\\(?:frac|sqrt|cdot|binom|sin|cos|tan|log|ln)(?![a-zA-Z]))[^+\-*/^]+")
_VARIABLE = re.compile(r"(?:[a-zA-Z]|\\[a-zA-Z]+)(?:_(?:\w|\{\w+\}))?")
_POINT = re.compile(r"[A-Z](?:_\w|')?\s*(?=\()")
_ROOT = r"\\sqrt\s*\[[^\[\]]*\]"  # the brackets of its index are passed over
_INSIDE = rf"(?:{_ROOT}|[^\[\]()])*"
_REVERSED = re.compile(rf"{_ROOT}|([\[\](])({_INSIDE}[,;]{_INSIDE})(?<!\\sqrt)([\[\])])")
_NAMED_ENVIRONMENT = re.compile(r"([^=\\]+)=\s*((?:\\\{\s*|[(\[]\s*)?\\begin.*)", re.DOTALL)
_EMPTY = re.compile(r"\\\{\s*\\\}|\\emptyset")


@lru_cache(maxsize=4096)
def shape_of(answer: str) -> Shape:
    """The answer as one of the shapes; never fails, since anything may be a scalar."""
    text = canonical(boxed(answer) or answer)
    if rational(text) is not None and "," not in text:
        return Scalar(text)
    if max(depths(text), default=0) > DEEPEST:
        return Scalar(compact(text))
    return _statement(text)


def _statement(text: str) -> Shape:
    """The whole of an answer: perhaps prose, or a choice with its text."""
    text = statements.without_aside(text)
    bare = statements.unwrapped_words(text)
    bare = statements.without_lead(bare).rstrip(".,;: ") or bare
    if found := _choice(bare) or _colons(bare):
        return found
    if not re.search("[a-zA-Z]{2}", bare):
        return shape(bare)
    if (numeral := in_words(bare)) is not None:
        text = bare = numeral
    if "\\begin" in text:
        return shape(text)
    if m := _ORDINAL.fullmatch(bare):
        return Scalar(m[1])
    if m := _SHARE.fullmatch(bare):
        return Scalar(f"{m[1]}/{m[2]}")
    parsed = shape(bare if bare != text and r"\text" not in text else _WORDS.sub(_unlead, text, count=1))
    if isinstance(parsed, Many) and _is_counted(parsed):
        return parsed.items[0]
    return parsed if _settled(parsed) else _prose(bare)


def _unlead(match: re.Match[str]) -> str:
    """A \\text{} at the beginning without the lead-in that it is."""
    if match.start() == 0 and not (rest := statements.without_lead(match[1].strip() + " 0")).startswith(
        match[1].strip()
    ):
        return rest.removesuffix("0") and f"\\text{{{rest.removesuffix('0')}}}" if rest != "0" else ""
    return match[0]


def _settled(parsed: Shape) -> bool:
    """Whether mathematics alone explains the text: there are no words in it but units."""
    match parsed:
        case Scalar():
            return not statements.has_words(parsed.text)
        case Many() | Tuple():
            return all(map(_settled, parsed.items))
        case Relation():
            return not any(map(statements.has_words, parsed.sides))
        case Named():
            return all(_settled(value) for _, value in parsed.values)
        case Guarded():
            return _settled(parsed.statement)
    return True


def _is_counted(parsed: Many) -> bool:
    """18 boys and girls is one number."""
    if not parsed.items:
        return False
    first, *others = parsed.items
    counted = isinstance(first, Scalar) and bool(first.unit) and rational(first.text) is not None
    return counted and bool(others) and all(isinstance(item, Word) for item in others)


def _prose(bare: str) -> Shape:
    value = statements.stated_value(bare)
    phrase = " ".join(_ARTICLE.sub("", bare).split()).strip(_MARKS)
    if value is None or value == bare:
        return Sentence(phrase, None)
    return Sentence(phrase, _colons(value) or shape(value))


def _choice(text: str) -> Shape | None:
    if m := _LETTER.fullmatch(text):
        return Word(m[1] or m[2])
    if m := _NAMED_CHOICE.fullmatch(text):
        rest = (m[2] or "").strip(" .")
        return Choice(m[1].upper(), _statement(rest)) if rest else Word(m[1].upper())
    if (m := _CHOICE_WITH_TEXT.fullmatch(text)) and not re.match(r"[,;=<>+*/^)-]|\\(?:in|le|ge|cdot)", m[3]):
        return Choice(m[1] or m[2], _statement(m[3].strip()))
    return None


def _colons(text: str) -> Colons | None:
    if m := _COLONS.fullmatch(text):
        return Colons(tuple(re.split(r"\s*:\s*", m[1])), f"{m[2].lower()}m" if m[2] else "")
    if m := _HOUR.fullmatch(text):
        return Colons((m[1], "00"), f"{m[2].lower()}m")
    if m := _RATIO_IN_WORDS.fullmatch(text):
        return Colons((m[1], m[2]))
    return None


def shape(text: str) -> Shape:
    """A canonical text without prose, or a part of one, by its outermost structure."""
    text = unwrapped(text.strip())
    if (m := _WORDS.fullmatch(text)) and re.search(r"\d", m[1]):
        text = unwrapped(m[1].strip())  # a number in bold
    if word := _word(text):
        return word
    if _EMPTY.fullmatch(text):
        return Many((), "{}")
    if found := piecewise(text, shape) or matrix(text, shape):
        return found
    if "]" in text or "[" in text:
        text = _REVERSED.sub(_facing, text)
    if (parts := split(text, r"\cup")) and len(parts) > 1:
        return Many(tuple(map(shape, parts)), "cup")
    if "\\begin" in text and (m := _NAMED_ENVIRONMENT.fullmatch(text)) and NAME.fullmatch(m[1].strip()):
        return shape(m[2])
    if text.startswith(r"\mathbb{R}"):
        text = re.sub(r"^\\mathbb\{R\}\s*-\s*(?=\\\{)", r"\\mathbb{R}\\setminus ", text)
    if len(parts := split(text, r"\setminus")) == 2 and parts[0].strip():
        return Without(shape(parts[0]), shape(parts[1]))
    if _is_one_number(text):
        return Scalar(compact(text))
    if condition := guarded(text, shape):
        return condition
    if len(split(text, ",;")) > 1 and not _is_thousands(text):
        return _listing(text)
    if bracketed := _bracketed(text):
        return bracketed
    if (m := _POINT.match(text)) and isinstance(point := shape(text[m.end() :]), Tuple):
        return point
    if len(signs := top(text, SIGN)) > 0:
        return _relation(text, signs)
    if r"\pm" in text or r"\mp" in text:
        return _both_signs(text)
    core, unit = split_unit(text)
    return Scalar(compact(unwrapped(core)), unit)


def _word(text: str) -> Word | None:
    is_text = text.startswith(r"\text")
    if m := _WORDS.fullmatch(text):
        text = m[1]
    text = text.strip(_MARKS)
    if m := CHOICE.fullmatch(text):
        return Word(m[1])
    letters = re.split(r"[\s.'-]+", text)
    if "".join(letters).isalpha() and (is_text or max(map(len, letters)) > 3 or text.lower() in _SHORT_WORDS):
        return Word(" ".join(_ARTICLE.sub("", text).split()).strip(" .") or text)
    return None


def _is_one_number(text: str) -> bool:
    """1,234,567 without spaces is one number; `compare` also tries it as a list."""
    return "," in text and rational(split_unit(text)[0].strip()) is not None


def _is_thousands(text: str) -> bool:
    """x = 8,000 holds one number."""
    signs = top(text, SIGN)
    return (
        bool(signs)
        and "," not in text[: signs[-1].start()]
        and _is_one_number(text[signs[-1].end() :].strip())
    )


def _facing(match: re.Match[str]) -> str:
    """]0,1[ with brackets that face inwards."""
    if match[1] is None:
        return match[0]
    opening = {"]": "("}.get(match[1], match[1])
    closing = {"[": ")"}.get(match[3], match[3])
    return opening + match[2] + closing


def _listing(text: str) -> Shape:
    """What commas, "and" or "or" part: a list, values by name, or a formula with its condition."""
    parts = [part for part in split(text, ",;") if part.strip()]
    items = tuple(
        shape(re.sub(r"^(?:where|for|when|if|with|provided)\b", "", part.strip())) for part in parts
    )
    kind = ";" if split(text, ";") != [text] else ","
    if len(items) == 2 and _is_condition(items[1]) and not _is_condition(items[0]):
        assert isinstance(items[1], Relation)
        if r"\in" in parts[0]:
            return Many(items, kind)
        symbols = set(re.findall(r"(?<![\\a-zA-Z])[a-zA-Z]", items[1].sides[0]))
        if symbols & set(re.findall(r"(?<![\\a-zA-Z])[a-zA-Z]", parts[0])) and not isinstance(items[0], Word):
            return Guarded(items[0], compact(parts[1]), free=r"\ne" in items[1].signs)
    names = [i.sides[0] for i in items if isinstance(i, Relation) and i.signs == ("=",)]
    if kind == "," and len(set(names)) == len(items) > 1 and all(map(_VARIABLE.fullmatch, names)):
        values = [shape(i.sides[1]) for i in items if isinstance(i, Relation)]
        return Named(tuple(zip(names, values, strict=True)))
    if kind == ";" and len(set(names)) > 1:
        return Sentence(" ".join(text.split()), None)  # x=3 or y=-5 lists no values
    return Many(items, kind)


def _is_condition(item: Shape) -> bool:
    return isinstance(item, Relation) and bool({"<", ">", r"\le", r"\ge", r"\ne"} & set(item.signs))


def _bracketed(text: str) -> Shape | None:
    r"""A tuple, an interval or a set in \{ \}, where one pair of brackets holds the whole."""
    if text.startswith(r"\{") and text.endswith(r"\}"):
        inner = text[2:-2].strip()
        if builder := top(inner, re.compile(r"[|:]")):
            condition = inner[builder[0].end() :].strip()
            if top(condition, SIGN) and _VARIABLE.match(inner[: builder[0].start()].strip()):
                return shape(condition)
        return Many(tuple(shape(part) for part in split(inner, ",;") if part.strip()), "{}")
    if text[:1] in ("(", "[") and text and text[-1] in ")]":
        items = split(text[1:-1], ",;")
        if len(items) > 1 and bracketed_whole(text):
            return Tuple(tuple(map(shape, items)), text[0] + text[-1])
    return None


def _relation(text: str, signs: Sequence[re.Match[str]]) -> Shape:
    cuts = [(m.start(), m.end()) for m in signs]
    starts, ends = [0, *(end for _, end in cuts)], [*(start for start, _ in cuts), len(text)]
    sides = [text[a:b].strip() for a, b in zip(starts, ends, strict=True)]
    names = [m[0] for m in signs]
    if names == [r"\in"]:
        return shape(sides[1])
    if set(names) == {"="} and len(sides) > 2:  # a = b = c: the first and the last
        sides, names = [sides[0], sides[-1]], ["="]
    if (
        names == ["="]
        and isinstance(left := shape(sides[0]), Tuple)
        and isinstance(right := shape(sides[1]), Tuple)
    ):
        variables = [i.text for i in left.items if isinstance(i, Scalar) and _VARIABLE.fullmatch(i.text)]
        if len(variables) == len(left.items) == len(right.items) and len(set(variables)) == len(variables):
            return Named(tuple(zip(variables, right.items, strict=True)))
    return Relation(tuple(compact(side) for side in sides), tuple(names))


def _both_signs(text: str) -> Shape:
    upper = text.replace(r"\pm", "+").replace(r"\mp", "-")
    lower = text.replace(r"\pm", "-").replace(r"\mp", "+")
    return Many((shape(upper.lstrip("+ ")), shape(lower)))
