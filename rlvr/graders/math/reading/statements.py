"""What kind of statement prose makes: the one value that a sentence states, or none.

A sentence is cut into words and the chunks of mathematics between them. The value is the right side of its
last equation, else what follows "is" or "equals", else the only value that occurs. Several different ones
leave it undecided, and so do negations, bounds and conditions.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction

from rlvr.graders.math.reading.numbers import arithmetic, in_words, rational
from rlvr.graders.math.reading.vocabulary import (
    ADVERBS,
    BOUNDS,
    CONDITIONS,
    COPULAS,
    NEGATIONS,
    OPERATORS,
    SCALES_AFTER,
    SCALES_BEFORE,
)

# What introduces an answer without being part of it.
_LEADS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"(?:so|thus|hence|therefore|finally|in conclusion)\b,?\s+(?=\S)",
        r"we\s+(?:get|have|find|obtain|conclude)\s*(?:that\s+)?(?=\S)",
        r"(?:it|this|that|which)(?:\s+is|'s)\s+(?=\S)",
        r"(?:(?:the|my|our|your|this|its)\s+)?"
        r"(?:(?:final|correct|right|required|desired|simplified|exact|best)\s+)*"
        r"(?:answer|result|solution|option|choice|value|statement|response)(?:\s+choice)?(?:\s+to\s+the\s+\w+)?"
        r"\s*(?:\bis\b|:|=|\bequals\b|\bwould be\b|\bmust be\b)\s*[:=]?",
        r"(?:then|simply|just|indeed|clearly|equal to|given by)\b\s*",
        r"(?:=|\\approx|\\therefore|\\Rightarrow|\\implies|\\to)(?![a-zA-Z])",
        r"(?:about|approximately|roughly|around|exactly|approx\.?|only|just|precisely|option|choice|answer)\b"
        r"[,:]?\s+(?=[-\d.(\\A-Z])",
    )
)
_TEXT = re.compile(r"\\text\s*\{([^{}]*)\}")
_ENDS = re.compile(r"(?<!\b[A-Za-z])(?<!\b[AaPp]\.[Mm])(?<!\b(?:Mr|Dr|St|No|vs))(?<!\bMrs)[.!?]\s+(?=\S)")
_CONCLUDES = re.compile(r"(?:,|^|\s)\s*(?:so|therefore|thus|hence|thereby|consequently)\b,?\s", re.IGNORECASE)
_WORD = re.compile(
    r"(?<![\\a-zA-Z_{^])(?:[\d.]+-(?=[a-zA-Z]{2})|[xyz]-(?=axis|coord|inter|val))?[A-Za-z][A-Za-z'&-]*[A-Za-z](?![a-zA-Z(_^])"
    r"|(?<![\\\w])\d+(?:st|nd|rd|th)\b|(?<![\\\w=+*/^<>-])(?<![=+*/^<>-]\s)[aAI](?=\s+[a-zA-Z]{2})|(?<=[a-z]{2}\s)a(?=\s+\d)"
)
_LONG_WORD = re.compile(r"(?<![\\a-zA-Z_{^])(?:[a-zA-Z]{4,}|is|are|was|of|the)(?![a-zA-Z])")
_NOT_WORDS = re.compile(r"[A-Z]{2,3}|[b-df-hj-np-tv-xz]{2,3}|gcd|lcm|ab|xy|max|min")
_OPEN_END = re.compile(r"[;,]\s*(?:more|less|fewer|greater|higher|lower|above|below)\b", re.IGNORECASE)
# "Total: 42" says what "total is 42" says.
_LABEL = re.compile(r"(?<=[a-zA-Z]):\s+(?=[-\d$\\(.])")
# 42, which is even
_ASIDE = re.compile(
    r"(?<=[\d}%)]),\s*which\s+(?:is|are|was|means|makes|agrees|matches)\b"
    r"(?!.*(?:\bnot\b|n't|never|wrong|incorrect|more|less))[^\d\\]*$",
    re.IGNORECASE | re.DOTALL,
)
_EQUALS = re.compile(r"(?<![<>!])=(?!=)|\\approx(?![a-zA-Z])")
_BINARY = re.compile(r"[\d)}%]\s*(?:[-+*/^x]|\\cdot|\\div)\s*[\d(.\\]")
# Letters within arithmetic that are no variables.
_UNITS = re.compile(
    r"\\[a-zA-Z]+|(?<=[\d) ])x(?=[\d( ])"
    r"|(?<=\d)\s?(?:k?g|[ckm]?m|m?[lL]|lbs?|oz|in|ft|hr?s?|min|mph)(?![a-zA-Z])"
)
_BEGINS_INSIDE = re.compile(r"(?:[+*/^=]|-\s|\\cdot|\\div|x\s)")


def without_lead(text: str) -> str:
    """The text without "The answer is", "=", "about" and the like at its beginning."""
    shorter = True
    while shorter:
        shorter = False
        for lead in _LEADS:
            if (m := lead.match(text)) and text[m.end() :].strip():
                text, shorter = text[m.end() :].strip(), True
    return text


def without_aside(text: str) -> str:
    """The text without a clause at its end that says something more of the value."""
    return _ASIDE.sub("", text) if "which" in text else text


def has_words(text: str) -> bool:
    """Whether there is prose in a canonical text whose \\text{} is unwrapped."""
    return bool(_LONG_WORD.search(unwrapped_words(text)))


def unwrapped_words(text: str) -> str:
    """The text with the content of each \\text{} in its place."""
    return " ".join(_TEXT.sub(r" \1 ", text).split()) if r"\text" in text else text


def stated_value(text: str) -> str | None:
    """The text of the one value that prose states; None where it states none, or not for certain."""
    if _OPEN_END.search(text):
        return None
    text = _LABEL.sub(" is ", text)
    sentences = [s for s in _ENDS.split(text) if s.strip()]
    if len(sentences) > 1:
        values = {value for s in sentences if (value := _concluded(s, alone=False))}
        last = _concluded(sentences[-1], alone=False)
        if last or len(values) != 1 or _chunks(_pieces(sentences[-1])):
            return last
        return values.pop()
    clauses = [c for c in _CONCLUDES.split(text) if c.strip()]
    if len(clauses) > 1 and _chunks(_pieces(clauses[-1])):
        return _concluded(clauses[-1], alone=True)
    return _concluded(text, alone=True)


Piece = tuple[str, bool]


def _pieces(sentence: str) -> list[Piece]:
    """(text, whether it is a word) in order; the others are chunks of mathematics."""
    pieces: list[Piece] = []
    position = 0
    for m in _WORD.finditer(sentence):
        if _NOT_WORDS.fullmatch(m[0]):
            continue
        if chunk := _trimmed(sentence[position : m.start()]):
            pieces.append((chunk, False))
        pieces.append((m[0], True))
        position = m.end()
    if chunk := _trimmed(sentence[position:]):
        pieces.append((chunk, False))
    return pieces


def _trimmed(chunk: str) -> str:
    """The chunk without punctuation around it, or brackets that are closed elsewhere."""
    chunk = chunk.strip(" ,;:.!?").removesuffix("/").rstrip()
    for opening, closing in ("()", "[]"):
        if chunk.count(opening) != chunk.count(closing):
            chunk = chunk.strip(opening + closing + " ,;:.!?")
    return chunk


def _chunks(pieces: Sequence[Piece]) -> list[int]:
    return [i for i, (_, is_word) in enumerate(pieces) if not is_word]


def _concluded(sentence: str, alone: bool) -> str | None:
    """The value of one sentence. alone: nothing else is said, so that a value without a verb will do."""
    pieces = _pieces(sentence)
    chunks = _chunks(pieces)
    if not chunks:
        return None
    equations = [i for i in chunks if _EQUALS.search(pieces[i][0])]
    predicates = [i for i in chunks if _is_predicate(pieces, i)]
    if equations:
        index, value = equations[-1], _right_side(pieces, equations[-1])
    elif predicates and len({pieces[i][0] for i in predicates}) == 1:
        index, value = predicates[-1], pieces[predicates[-1]][0]
    elif alone:
        numbers = [i for i in chunks if any(c.isdigit() for c in pieces[i][0])] or chunks
        if len({_amount(pieces[i][0]) for i in numbers}) > 1:
            return None
        index, value = numbers[-1], pieces[numbers[-1]][0]
    else:
        return None
    # a value that no verb introduces belongs to all that stands before it: twice as much as 6
    begin = max(0, index - 3) if index in predicates or equations else 0
    before = [w.lower() for w, is_word in pieces[begin:index] if is_word]
    after = [w.lower() for w, is_word in pieces[index + 1 :] if is_word]
    if equations:
        before = before[-1:]
        after = [w for w in after if w in ("if", "unless", "otherwise", "except")]
    elif any(is_word and w.lower() in NEGATIONS for w, is_word in pieces):
        return None
    if (BOUNDS | NEGATIONS if equations else BOUNDS) & set(before) - ({"up"} if equations else set()):
        return None
    if CONDITIONS & set(after) or (after and after[0] in SCALES_AFTER):
        return None
    if not equations and SCALES_BEFORE & set(before):
        return None
    scaled = in_words(f"{value} {after[0]}") if value and after else None
    return scaled if scaled and rational(scaled) is not None else value


def _is_predicate(pieces: Sequence[Piece], index: int) -> bool:
    """Whether the chunk follows a copula, adverbs between them left out."""
    before = index - 1
    while before >= 0 and pieces[before][1] and pieces[before][0].lower() in ADVERBS:
        before -= 1
    return before >= 0 and pieces[before][1] and pieces[before][0].lower() in COPULAS


def _amount(chunk: str) -> object:
    value = rational(chunk.rstrip("%").replace(" ", ""))
    return chunk if value is None else value


def _right_side(pieces: Sequence[Piece], index: int) -> str | None:
    """What an equation in prose states: its right side, or all of it where the left one is no number.

    None where both sides are numbers that differ by more than rounding.
    """
    chunk = pieces[index][0]
    sides = [side.strip() for side in _EQUALS.split(chunk)]
    left, right = sides[-2], sides[-1]
    if not right:
        return None
    inside = _BEGINS_INSIDE.match(left) or (index and pieces[index - 1][0].lower() in OPERATORS)
    if left and not inside and re.search(r"[a-zA-Z]", _UNITS.sub("", left)):
        return f"{left}={right}"
    if not inside and _BINARY.search(left) and not agrees(left, right):
        return None
    return right


def agrees(left: str, right: str) -> bool:
    """Whether arithmetic has the value that is said, perhaps rounded; also where it cannot be evaluated."""
    value, said = arithmetic(left), arithmetic(right)
    if value is None or said is None:
        return True
    decimals = re.fullmatch(r"-?[\d,]*\.(\d+)", right.strip())
    allowed = Fraction(1, 10 ** len(decimals[1])) if decimals else 0
    return value == said or abs(value - said) <= allowed
