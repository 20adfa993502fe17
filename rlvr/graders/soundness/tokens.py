"""Text of a chain -> clauses of tokens: numbers, operators, words, and what makes arithmetic unreadable."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import NamedTuple

from rlvr.graders.soundness.notation import written
from rlvr.graders.soundness.vocabulary import ATTACHED, DENIALS, FUNCTIONS, SHORT_WORDS

# Digits of a number beyond which it is not read.
MOST_DIGITS = 60
# Tokens of a clause beyond which it is not read.
MOST_TOKENS = 240

NUMBER, OPERATOR, OPEN, CLOSE, WORD, UNKNOWN = "number", "operator", "open", "close", "word", "unknown"
EQUAL, ABOUT, RELATION, DOUBTFUL = "equal", "about", "relation", "doubtful"
_BREAK, _QUESTION = "break", "question"
# Text of a mark of doubt before what may be the last three digits of a number.
TORN = "torn"


class Token(NamedTuple):
    """kind: one of the names above. value: of a number, percent signs not applied. places: decimals it
    shows. glued: whether no space stands before it."""

    kind: str
    text: str
    value: Fraction = Fraction(0)
    places: int = 0
    percent: bool = False
    glued: bool = False


class Clause(NamedTuple):
    """What stands between two ends of a sentence, or in <<...>>. doubted: whether it ends in a question
    mark, or what follows denies it."""

    tokens: list[Token]
    doubted: bool = False


_ANNOTATION = re.compile(r"<<([^<>\n]{0,200})>>")
_VOWEL = re.compile("[aeiouyàâäéèêëïîôöùûü]|[^a-z'-]")
# Single letters that are words.
_ARTICLES = {"a", "A", "I"}
_TOKEN = re.compile(
    r"""
    (?P<mixed>\d{1,9}\ \d{1,9}/\d{1,9}(?![\d/.]))
  | (?P<number>(?:\d{1,3}(?:,\d{3})+(?![\d,])|\d+)(?:\.\d+)?|\.\d+)
  | (?P<word>[^\W\d_]+(?:['-][^\W\d_]+)*(?:\ ?\^\ ?\(?-?\d\)?)?)
  | (?P<operator>[-+*/^])
  | (?P<open>[(\[])
  | (?P<close>[)\]])
  | (?P<equal>=)
  | (?P<about>≈)
  | (?P<relation>[<>§])
  | (?P<doubtful>¤)
  | (?P<question>\?)
  | (?P<break>[;\n!:|\#]|[.,](?=[^\d]|$))
  | (?P<blank>\ +)
  | (?P<unknown>.)
    """,
    re.VERBOSE | re.DOTALL,
)


def clauses(text: str) -> list[Clause]:
    """Those that hold an equality, in the order of the text."""
    marked = [Clause(_tokens(found)) for found in map(written, _ANNOTATION.findall(text))]
    cut = _cut(_tokens(written(_ANNOTATION.sub("", text))))
    following = [*cut[1:], Clause([])]
    return marked + [
        Clause(c.tokens, c.doubted or _denies(f.tokens))
        for c, f in zip(cut, following, strict=True)
        if _equals(c.tokens)
    ]


def _denies(tokens: list[Token]) -> bool:
    return any(token.kind == WORD and token.text in DENIALS for token in tokens[:4])


def _equals(tokens: list[Token]) -> bool:
    return len(tokens) <= MOST_TOKENS and any(token.kind in (EQUAL, ABOUT) for token in tokens)


def _tokens(text: str) -> list[Token]:
    found: list[Token] = []
    glued = False
    for match in _TOKEN.finditer(text):
        kind, piece = str(match.lastgroup), match[0]
        if kind == "blank":
            glued = False
            continue
        found.append(_token(kind, piece, glued, text, match.end(), found))
        glued = True
    return [token for token in found if token.text != ""]


def _token(kind: str, piece: str, glued: bool, text: str, end: int, before: list[Token]) -> Token:
    after = text[end : end + 1]
    if kind in ("number", "mixed"):
        return _number(kind, piece, glued, after, before)
    if kind == WORD:
        return _word(piece, glued, text, end, before)
    if kind == "unknown" and piece == "%" and before and before[-1].kind == NUMBER and not before[-1].percent:
        before[-1] = before[-1]._replace(percent=True)
        return Token(WORD, "")
    if kind == "unknown" and piece == "…" and before and before[-1].kind == NUMBER and before[-1].places:
        return Token(DOUBTFUL, piece)
    if kind == "break" and piece == "!" and before and before[-1].kind in (NUMBER, CLOSE):
        return Token(UNKNOWN, piece, glued=glued)  # a factorial
    if kind == "break" and piece == ":" and _is_ratio(before, after):
        return Token(UNKNOWN, piece, glued=glued)
    return Token(kind, piece, glued=glued)


def _is_ratio(before: list[Token], after: str) -> bool:
    """Whether a colon stands in 3:45 or 2/7 : 2/5, and not after a name, as in Step 1: 3 + 4."""
    last = before[-1] if before else None
    if last is None or last.kind not in (NUMBER, CLOSE):
        return False
    return after.isdigit() or last.kind == CLOSE or (len(before) > 1 and before[-2].kind == OPERATOR)


def _number(kind: str, piece: str, glued: bool, after: str, before: list[Token]) -> Token:
    if after == "_" or (glued and before and before[-1].kind in (WORD, UNKNOWN, NUMBER)):
        return Token(UNKNOWN, piece, glued=glued)  # x1, #5, 3:45, 1,00
    if len(piece) > MOST_DIGITS or (piece[0] == "0" and piece[1:2].isdigit()):
        return Token(UNKNOWN, piece[:8], glued=glued)  # 0730 is a time
    if kind == "mixed":
        whole, _, part = piece.partition(" ")
        if part.endswith("/0") or Fraction(part) >= 1:
            return Token(UNKNOWN, piece, glued=glued)
        return Token(NUMBER, piece, int(whole) + Fraction(part), 0, glued=glued)
    plain = piece.replace(",", "")
    return Token(NUMBER, piece, Fraction(plain), len(plain.partition(".")[2]), glued=glued)


def _word(piece: str, glued: bool, text: str, end: int, before: list[Token]) -> Token:
    """A word, the sign of a product, or what stands for an unknown."""
    after = text[end : end + 1]
    behind = before[-1] if before else None
    if piece in ("x", "X") and behind is not None and _may_be_multiplied(before, glued):
        follows = text[end : end + 12].lstrip(" ")[:1]
        spaced = (text[end : end + 1] == " ") != glued  # 3 x 4 and 3x4, not 3x + 4 nor 3 x4
        if (follows.isdigit() or follows in ("(", ".")) and spaced:
            return Token(OPERATOR, "*", glued=glued)
    attached = glued and behind is not None and behind.kind in (NUMBER, CLOSE, UNKNOWN)
    called = after in ("(", "[", "_") and after != ""
    name = piece.partition("^")[0].rstrip()
    article = name in _ARTICLES and not text[end : end + 4].lstrip(" ")[:1].isalpha()
    if called or article or _is_unknown(name, raised=name != piece) or (len(name) == 1 and attached):
        return Token(UNKNOWN, piece, glued=glued)
    piece = name
    if attached and piece.lower() not in ATTACHED:
        return Token(UNKNOWN, piece, glued=glued)
    return Token(WORD, piece.lower(), glued=glued)


def _may_be_multiplied(before: list[Token], glued: bool) -> bool:
    """Whether a number, with its unit, ends here: 3, 3 feet, 2 points/round."""
    kinds = [token.kind for token in before[-4:]]
    if kinds[-1] in (NUMBER, CLOSE):
        return True
    return kinds[-1] == WORD and not glued and bool({NUMBER, CLOSE} & {*kinds})


def _is_unknown(name: str, raised: bool) -> bool:
    """Whether letters stand for a number, a point or a function, and not for a word or a unit."""
    small = name.lower()
    if len(name) == 1:
        return name not in _ARTICLES or raised
    if small in ATTACHED:
        return False
    if len(name) == 2:
        return small not in SHORT_WORDS
    shouted = len(name) <= 4 and name.isupper()
    return raised or shouted or small in FUNCTIONS or not _VOWEL.search(small)


def _cut(tokens: list[Token]) -> list[Clause]:
    """At the ends of sentences and parts of them."""
    found: list[Clause] = []
    own: list[Token] = []
    depth = 0
    for token in tokens:
        depth += (token.kind == OPEN) - (token.kind == CLOSE)
        if token.kind not in (_BREAK, _QUESTION):
            own.append(token)
        elif token.text == "," and depth > 0:
            own.append(Token(UNKNOWN, ","))
        else:
            found.append(Clause(own, doubted=token.kind == _QUESTION))
            own, depth = _begun(own, token), 0
    return [*found, Clause(own)]


def _begun(before: list[Token], cut: Token) -> list[Token]:
    """What a clause begins with: a mark of doubt where the cut may lie in a number: .8 + . 84, or 14, 400."""
    last = before[-1] if before else None
    torn = last is not None and (
        (cut.text in (".", "\n") and last.kind == OPERATOR)
        or (cut.text == "," and last.kind == NUMBER and len(last.text) <= 3 and not last.places)
    )
    return [Token(DOUBTFUL, TORN if cut.text == "," else cut.text)] if torn else []
