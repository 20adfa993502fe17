"""Runs reasoning-gym inside a confined process, where no text of an answer is ever evaluated.

Entries are drawn there too: some generators go through sets, whose order is one in every worker.
"""

from __future__ import annotations

import functools
import json
import os
import sys
import types
from typing import Any

from rlvr.graders.plain_data import decode, encode
from rlvr.graders.procedural import expressions
from rlvr.graders.procedural.corrections import deserves
from rlvr.graders.procedural.library import load

# Of the library, with the names by which they call sympy's parser.
EVALUATING = ("reasoning_gym.", "sympy.parsing.", "sympy.core.sympify")
ARITHMETIC_MODULES = ("reasoning_gym.games.countdown", "reasoning_gym.games.puzzle24")


def run(what: str, name: str, settings: str, *arguments: Any) -> Any:
    """The one entry for a worker pool: make, draw(index) or score(entry, answer).

    settings: the data set's configuration with its seed, as JSON. Entries are encoded plain data.
    """
    data_set = _data_set(name, settings)
    if what == "draw":
        (index,) = arguments
        return encode(data_set[index])
    if what == "score":
        encoded, answer = arguments
        entry = decode(encoded)
        sys.addaudithook(_end_where_text_is_evaluated)
        score = float(data_set.score_answer(answer, entry))
        return score if score != 1 or deserves(answer, entry, name) else 0.0
    _import_what_scoring_imports(data_set)
    return None


def _import_what_scoring_imports(data_set: Any) -> None:
    """So that no call has to import it again."""
    try:
        entry = data_set[0]
        data_set.score_answer(entry["answer"], entry)
    except Exception:  # an entry without an answer of its own, for one
        return


@functools.cache
def read_instead_of_evaluating() -> None:
    """From here on the library reads text where it would evaluate it."""
    import sympy

    sympy.parse_expr = expressions.formula
    for name, module in list(sys.modules.items()):
        if name.startswith("reasoning_gym."):
            module.__dict__["eval"] = expressions.value  # before the built-in one
        if name in ARITHMETIC_MODULES:
            module.__dict__["parse_expr"] = expressions.arithmetic


def _end_where_text_is_evaluated(event: str, _: tuple[Any, ...]) -> None:
    """A second fence, for a scorer that does not go through the names above; no code can take it away.

    Other code of sympy's runs text that it writes itself, and so do modules when they are imported.
    """
    if event != "exec":
        return
    frame: types.FrameType | None = sys._getframe(1)
    if frame is None or not str(frame.f_globals.get("__name__")).startswith(EVALUATING):
        return
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return
        frame = frame.f_back
    os._exit(1)


@functools.cache
def _data_set(name: str, settings: str) -> Any:
    library = load()
    read_instead_of_evaluating()
    return library.create_dataset(name, **json.loads(settings))
