"""One spelling for many: LaTeX and plain text -> canonical text.

All of it is string code of our own, linear in an answer of bounded length, and evaluates nothing.
"""

from __future__ import annotations

import re

from rlvr.graders.math.reading.characters import ascii_text
from rlvr.graders.math.reading.displays import displayed
from rlvr.graders.math.reading.numbers import without_and

LONGEST_ANSWER = 1000

_GROUP = r"\{(?:[^{}]|\{[^{}]*\})*\}"
_END = r"(?![a-zA-Z])"
_GREEK = r"\\(?:pi|theta|alpha|beta|lambda)(?![a-zA-Z])"
# Applied in this order, where the text holds what stands first; what each is for stands beside it.
_SPELLINGS = [
    (needed, re.compile(pattern), replacement)
    for needed, pattern, replacement in (
        ("\x0c", r"\x0c(?=rac)", r"\\f"),  # \frac whose \f was read as a form feed
        ("\\", rf"\\(?:left|right|middle|[bB]igg?[lrm]?){_END}\.?", ""),
        ("", r"(?<=\d)(?:,\\!\s*|\{,\}\s*|\\,|~)(?=\d{3}(?!\d))", ""),  # thousands, as LaTeX writes them
        ("\\", rf"(?<!\\)\\[,;:!> ]|\\q?quad{_END}|\\(?:display|text)style{_END}", " "),
        ("~", r"~", " "),
        (
            "\\",
            r"\\(?:math|text)(?:rm|bf|it|sf|tt|normal)\s*(?=\{)"
            r"|\\(?:operatorname\*?|[mh]box|emph|underline(?=\{[A-Za-z ]+\}))\s*(?=\{)",
            r"\\text",
        ),
        ("\\", r"\\text\s*\{\s*(?:,?\s*and|,|&)\s*\}", ","),
        ("\\", r"\\text\s*\{\s*or\s*\}", ";"),
        ("and", r"(?<=hundred|housand)\s+and\s+(?=[a-z])", " "),
        ("n", r"(?<![a-zA-Z\\])(?:and|AND)(?![a-zA-Z])", ","),
        ("", r"(?<![a-zA-Z\\])(?:or|OR)(?![a-zA-Z])", ";"),
        ("\\", rf"\\(?:lor|vee){_END}", ";"),
        ("\\", rf"\\(?:land|wedge){_END}", ","),
        ("\\", r"(?:\b(?:US|A|C))?\\[$£€¥₹]\s*|\\(?:pounds|euro)(?![a-zA-Z])\s*", ""),  # currency
        ("", r"[£€¥₹₩₽]\s*|\bUS(?=\s*\$)|(?<![a-zA-Z])(?:USD|EUR|GBP|INR|Rs\.?)\s*(?=\$?-?[\d.])", ""),
        ("\\", r"\\text\s*\{\s*\}", " "),
        ("$", r"\$", " "),  # math delimiters
        ("\\", r"\\\(|\\\)|(?<!\\)\\\[|(?<!\\)\\\]", " "),
        ("\\", rf"\\(?:[dtc]|nice|s|flat)frac{_END}", r"\\frac"),
        ("\\", rf"\\[dt]binom{_END}", r"\\binom"),
        ("\\", r"\\not\s*=|\\neg?\s*=", r"\\ne "),
        ("\\", rf"\\(le|ge|ne)q?q?(?:slant)?{_END}", r"\\\1"),
        ("=", r"<=|=<", r"\\le "),
        ("=", r">=", r"\\ge "),
        ("!", r"(?<![\d)}!])(\s*)!=|(?<=[\s])!=|=/=|<>", r"\\ne "),
        ("\\", rf"\\lt{_END}", "<"),
        ("\\", rf"\\gt{_END}", ">"),
        ("\\", rf"\\lbrace{_END}", r"\\{"),
        ("\\", rf"\\rbrace{_END}", r"\\}"),
        ("\\", rf"\\(?:langle|lparen){_END}", "("),
        ("\\", rf"\\(?:rangle|rparen){_END}", ")"),
        ("\\", rf"\\lbrack{_END}", "["),
        ("\\", rf"\\rbrack{_END}", "]"),
        ("\\", rf"\\(?:l|r)?vert{_END}|\\mid{_END}", "|"),
        ("\\", rf"\\colon{_END}", ":"),
        ("\\", rf"\\(?:varnothing|empty){_END}", r"\\emptyset"),
        ("\\", rf"\\(?:backslash|smallsetminus){_END}", r"\\setminus"),
        (
            "\\",
            rf"\\(?:mathbb|Bbb|mathbf)\s*(?:\{{\s*R\s*\}}|R{_END})|\\(?:R|reals|Reals){_END}",
            r"\\mathbb{R}",
        ),
        ("\\", rf"\\(?:c|l|d|v)?dots[bcimo]?{_END}", r"\\ldots "),
        ("...", r"\.\.\.+", r"\\ldots "),
        ("\\", rf"\\approxeq{_END}|\\simeq{_END}", r"\\approx "),
        ("\\", rf"\\times{_END}", r"\\cdot"),
        ("10", r"(?<=\d)\s*[xX*]\s*(?=10\s*\^)", r"\\cdot "),
        ("", r"\s*(?:\^\s*(?:\\circ(?![a-zA-Z])|\{\s*\\circ\s*\})|\\degrees?(?![a-zA-Z]))", r"^\\circ"),
        ("^", r"(?<=\d)\s*\^\s*(?:o(?![a-zA-Z])|\{\s*o\s*\}|\\text\{\s*o\s*\})", r"^\\circ"),
        ("%", r"\\%", "%"),
        ("", r"\\text\s*\{\s*(?:percent|per cent|%)\s*\}|(?<=\d)\s*(?:percent|per cent)(?![a-zA-Z])", "%"),
        (".", r"\b(sq|cu|ft|in|lbs?|oz|yds?|hrs?|mins?|secs?|approx)\.(?=\s|$|\})", r"\1"),
        ("np.", r"\bnp\.(?=[a-z])", ""),  # numpy's functions stand in some references
        (
            "",
            r"(?<![a-zA-Z\\])(arc(?:sin|cos|tan)|sin|cos|tan|cot|sqrt|ln|log|exp|pi|infty|infinity)(?![a-zA-Z])",
            lambda m: "\\" + {"infinity": "infty"}.get(m[1], m[1]),
        ),
        ("**", r"\*\*", "^"),
        ("^", r"\^\s*(-\d+|\d{2,})", r"^{\1}"),
        ("\\frac", rf"\\frac\s*([0-9a-zA-Z]|{_GREEK})", r"\\frac{\1}"),
        ("\\frac", rf"(\\frac\s*{_GROUP})\s*([0-9a-zA-Z]|{_GREEK})", r"\1{\2}"),
        ("\\frac", r"(\\frac\s*\{)", r"\\frac{"),
        ("\\choose", r"\{\s*(\w+)\s*\\choose\s*(\w+)\s*\}", r"\\binom{\1}{\2}"),
        ("\\binom", r"\\binom\s*([0-9a-zA-Z])", r"\\binom{\1}"),
        ("\\binom", rf"(\\binom\s*{_GROUP})\s*([0-9a-zA-Z])", r"\1{\2}"),
        ("\\sqrt", r"\\sqrt\s*([0-9a-zA-Z])", r"\\sqrt{\1}"),
        ("\\sqrt", r"\\sqrt\s*\(([^()]*)\)", r"\\sqrt{\1}"),
        ("\\", r"\\(overline|bar)\s*(\d)", r"\\\1{\2}"),
        ("/", r"(?<![\d./^_{])(\d+)\s+(\d+)\s*/\s*(\d+)(?!\d)", r"\1\\frac{\2}{\3}"),  # 1 1/2
        # digits in groups of three, by one separator throughout
        (
            "",
            r"(?<![\w.,^{])(?<!\d )(\d{1,3})([ '_])(\d{3}(?:\2\d{3})*)(?![\d_']|\s*/|\s*\\frac| \d)",
            lambda m: m[1] + m[3].replace(m[2], ""),
        ),
        ("", r"[,;](?:\s*[,;])+", lambda m: ";" if ";" in m[0] else ","),
        ("\\\\", r"\s*\\\\\s*$", ""),  # a line that is ended
        ("", r"\s+", " "),
    )
]

_SIMPLE = re.compile(r"-?\d+(?:\.\d+)?|[a-zA-Z]")
_SPACE = re.compile(r"(\\[a-zA-Z]+ )(?=[a-zA-Z])|(\d )(?=\d)| ")
_EMPHASIS = re.compile(
    r"(?<![\w)\]}*])\*\*(?=[^\s*])([^*]+?)(?<=\S)\*\*(?![\w(*])"
    r"|(?<!\w)__(?=[^\s_])([^_]+?)(?<=\S)__(?!\w)|(?<!`)`(?=[^\s`])([^`']+?)`(?![`'])"
    r"|``([^`']+?)''|(?<!\w)\"([^\"]+)\"(?!\w)|(?<=\{)'([^']+)'(?=\})"
)
_AROUND = re.compile(r"(?s)([*_'`])(?=[^\s*_'`])(.*?)(?<=[^\s\\*_'`])\1")
_PRICE = re.compile(r"\\?\$\s*(-?[\d,.]*\d)")
_NOTES = re.compile(r"<<[^<>]*>>")
_TAGS = re.compile(r"<(b|i|u|p|em|strong|code|span|div|center)>([^<>]*)</\1>")
_END_MARKS = re.compile(
    r"\s*(?:\\(?:checkmark|blacksquare|square|qed)(?![a-zA-Z])|[\u2713\u2714\u220e\u2610])[\s$.]*$"
)
_MARKED = re.compile(r"[#\u2116\u2713\u2714\u220e\u2610]|\\(?:checkmark|blacksquare|square|qed)")
_NUMBER_SIGN = re.compile(r"(?:#|\u2116)\s*(?=\d)")
_CENTS = re.compile(r"(\d[\d,]*) dollars?,?(?: and)? (\d{1,2}) cents?\b", re.IGNORECASE)
_OR_SO = re.compile(r"(?<=[\da-z]) or so\b")


def plain_text(answer: str) -> str:
    """The answer without typography: characters that LaTeX spells, emphasis, quotes, calculator notes."""
    text = _NUMBER_SIGN.sub("", _END_MARKS.sub("", answer)) if _MARKED.search(answer) else answer
    text = ascii_text(text).strip()
    if "<" in text:
        text = _TAGS.sub(r"\2", _NOTES.sub("", text))
    if " " in text:
        text = _OR_SO.sub("", _CENTS.sub(_with_cents, without_and(text)))
    if any(mark in text for mark in "*_`\"'"):
        text = _EMPHASIS.sub(lambda m: m[m.lastindex or 0], text)
        if m := _AROUND.fullmatch(text.rstrip(".")):
            text = m[2]
    return text


def _with_cents(match: re.Match[str]) -> str:
    return f"{match[1]}.{match[2]:0>2} dollars"


def canonical(answer: str) -> str:
    """The answer in one spelling: no sizes, delimiters, currency or final full stop; single spaces."""
    text = plain_text(answer)
    if "\\begin" in text:
        text = displayed(text)
    if _SIMPLE.fullmatch(text):
        return text
    if m := _PRICE.fullmatch(text):
        text = rf"{m[1]}\text{{ dollars}}"
    if "\\begin" not in text:
        text = re.sub(r"\\\\(?=[a-zA-Z])", r"\\", text)  # a backslash escaped twice
    for needed, pattern, replacement in _SPELLINGS:
        if needed in text:
            text = pattern.sub(replacement, text)
    text = text.strip(" ").rstrip(".,;: ").lstrip(":;, ")
    opened = text.count("{") - text.count("}") - text.count("\\{") + text.count("\\}")
    return text + "}" * opened if opened > 0 else text


def compact(text: str) -> str:
    """Canonical text without spaces, except between a command and a letter and between digits."""
    return _SPACE.sub(r"\1\2", text) if " " in text else text
