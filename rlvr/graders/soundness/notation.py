r"""Text of a chain in one notation: LaTeX (\times, \frac), signs of other alphabets, list marks, bold face.

Marks of its own: the section sign is a relation that is no equality, the currency sign a number that has
another reading, @ what is no number. Every pass is linear in the text.
"""

from __future__ import annotations

import re

_MOST_NESTING = 6
# What is written for each of some letters.
_LETTERS = {
    "*": "\u00d7⋅·∙\u2217✕✖",
    "/": "÷\u2215\u2044",
    "-": "\u2212\u2013\u2010\u2011",
    ";": "—⇒→∴•▪",
    "=": "\uff1d",
    "+": "\uff0b",
    "(": "\uff08",
    ")": "\uff09",
    "≈": "≃≅",
    " § ": "≠≤≥",
    "^2": "²",
    "^3": "³",
    " ": '“”"`\u00a0\u202f\u2009\t£€¥₹',
    "'": "\u2019",
    "¤(1/2)": "½",
    "¤(1/4)": "¼",
    "¤(3/4)": "¾",
}
_PLAIN = str.maketrans({letter: written for written, letters in _LETTERS.items() for letter in letters})
# One after the other; each is a plain replacement.
_NOTATION = [
    (re.compile(r"\\(?:left|right)\s*\."), " "),
    # A row of an alignment that begins with an operator goes on with the one before.
    (re.compile(r"(?:\\\\|\\newline)[\s&]*(?=[-+*/]|\\times|\\cdot)"), " "),
    (re.compile(r"\r\n?|\\\\|\\newline"), "\n"),
    (re.compile(r"\{,\}|\\,(?=\d{3})(?<=\d\\,)"), ","),
    (re.compile(r"\\begin\{[a-z]+\*?\}|\\end\{[a-z]+\*?\}"), "\n"),
    (re.compile(r"\\[()\[\]]"), " "),
    (re.compile(r"\\[,;:! ]|~|\\q?quad|\\displaystyle|\\(?:left|right|[bB]igg?[lr]?)(?![a-zA-Z])|&"), " "),
    (re.compile(r"\\%"), "%"),
    (re.compile(r"\\?\$"), " "),
    (re.compile(r"\\(?:times|cdot|ast)(?![a-zA-Z])"), "*"),
    (re.compile(r"\\div(?![a-zA-Z])"), "/"),
    (re.compile(r"\\(?:approx|simeq|cong)(?![a-zA-Z])"), "≈"),
    (re.compile(r"\\(?:neq?|leq?|geq?|lt|gt|sim|propto)(?![a-zA-Z])|[!<>:]=|=/="), " § "),
    (re.compile(r"\\(?:equiv|pmod|bmod|mod)(?![a-zA-Z])|≡"), " § mod "),
    (re.compile(r"\\(?:Rightarrow|rightarrow|to|implies|iff|therefore|Longrightarrow)(?![a-zA-Z])"), ";"),
    (re.compile(r"={1,8}>|-{1,8}>"), ";"),
    (re.compile(r"\\(?:[lc]?dots)(?![a-zA-Z])|\.{3,}"), "…"),
    (re.compile(r"\^\{?\\circ\}?|°"), " degrees "),
    (re.compile(r"(?<=[\d)])\*\*(?=[\d(])"), "^"),
    (re.compile(r"\*\*|__"), " "),
    (re.compile(r"(\d{1,9})\s*\\[dt]?frac\{(\d{1,9})\}\{(\d{1,9})\}"), r"¤(\1+\2/\3)"),
    (re.compile(r"\\[dt]?frac(\d)(\d)"), r"((\1)/(\2))"),
    (re.compile(r"=="), "="),
]
_TABLE = re.compile(r"\\begin\{([a-zA-Z]?matrix|array|cases)\*?\}.{0,3000}?\\end\{\1\*?\}", re.DOTALL)
_NAMED = re.compile(r"\\(?:text|mathrm|textbf|mathbf|boxed|textit|emph|mbox|textrm)\s*\{([^{}]*)\}")
_FRACTION = re.compile(r"\\[dt]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}")
_RAISED = re.compile(r"\^\{([^{}]*)\}")
_COMMAND = re.compile(r"\\[a-zA-Z]+")
# A line that begins with = goes on with the one before, one that ends with it with the next.
_CONTINUED = re.compile(r"[ ]*\n\s*(?=[=≈])")
_BROKEN = re.compile(r"(?<=[=≈]) ?\n\s*")
_LIST_MARK = re.compile(r"^[ ]*(?:(?:[-*+]|#{1,6}|\(?\d{1,3}[.)]|\(?[a-z][.)])[ ]+)+", re.MULTILINE)
_ASIDE = re.compile(r"\(\s*([A-Za-z][A-Za-z' ]{0,60})\)")
_BLANKS = re.compile(r"\s{2,}")
_MIXED_FRACTION = re.compile(r"(\d{1,9})\s*\\[dt]?frac\s*\{(\d{1,9})\}\s*\{(\d{1,9})\}")


def written(text: str) -> str:
    """In one notation."""
    text = _BLANKS.sub(_one_blank, text.translate(_PLAIN))
    if "\\" in text or "{" in text:
        text = _TABLE.sub(" @ ", text)
        for _ in range(_MOST_NESTING):
            before = text
            text = _NAMED.sub(r" \1 ", text)
            text = _RAISED.sub(r"^(\1)", text)
            text = _MIXED_FRACTION.sub(r"¤(\1+\2/\3)", text)
            text = _FRACTION.sub(r"((\1)/(\2))", text)
            if text == before:
                break
    for pattern, replacement in _NOTATION:
        text = pattern.sub(replacement, text)
    text = _BLANKS.sub(_one_blank, text)  # so that no pattern below meets a long run of them
    text = _COMMAND.sub(" @ ", text).replace("{", " @ ").replace("}", " @ ")
    return _ASIDE.sub(r" \1 ", _LIST_MARK.sub("", _BROKEN.sub(" ", _CONTINUED.sub(" ", text))))


def _one_blank(run: re.Match[str]) -> str:
    return "\n" if "\n" in run[0] else " "
