"""What the upstream tests say beyond inputs: the types that JSON lost, and how outputs are compared.

Read from the rows' own assertions, but for the problems that EvalPlus compares in ways of their own.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

# Where in an argument list a value stands, list items and dict values without their index: (0, "[]").
Place = tuple[int | str, ...]


_AS_SETS = {
    "similar_elements", "find_char_long", "common_in_nested_lists", "extract_singly", "larg_nnum",
    "intersection_array", "find_dissimilar", "Diff",
}  # fmt: skip
_FOUND = {"check_str", "text_match_three", "text_starta_endb"}
# Second readings of what the problem asks for.
_ALSO_RIGHT = {
    "surface_Area": (  # the height is the pyramid's, not its sides'
        "def surface_Area(edge, height):\n"
        "    side = ((edge / 2) ** 2 + height ** 2) ** 0.5\n"
        "    return round(edge ** 2 + 2 * edge * side)\n"
    ),
    "digit_distance_nums": (  # the shorter number has zeros in front
        "def digit_distance_nums(a, b):\n"
        "    a, b = str(a), str(b)\n"
        "    width = max(len(a), len(b))\n"
        "    pairs = zip(a.rjust(width, '0'), b.rjust(width, '0'))\n"
        "    return sum(abs(int(x) - int(y)) for x, y in pairs)\n"
    ),
    "sum_div": "def sum_div(*_):\n    return 0\n",
}


class CannotRead(ValueError):
    """The tests are not of the form that is known; the message says what was found."""


def restored_inputs(
    assertion: str, entry_point: str, base_inputs: Sequence[list[Any]]
) -> Callable[[list[Any]], list[Any]]:
    """A function that gives argument lists from JSON their types back, for base and plus inputs.

    The assertions call the function on the base inputs, in their order, as Python. A list is a tuple at
    a place where they have tuples; deeper than they reach it is what holds it. A text is a number at a
    place where they have numbers, as "1j" for 1j. Raises CannotRead.
    """
    kinds: dict[Place, set[type]] = {}
    calls = [call for node in _parsed(assertion).body for call in _calls(node, entry_point)]
    if len(calls) != len(base_inputs):
        raise CannotRead(f"{len(calls)} assertions call {entry_point}, {len(base_inputs)} base inputs")
    for call in calls:
        for index, argument in enumerate(call.args):
            _note_kinds(_constant(argument), (index,), kinds)

    def restore(arguments: list[Any]) -> list[Any]:
        return [_restored(value, (index,), kinds) for index, value in enumerate(arguments)]

    return restore


def special_oracle(entry_point: str) -> dict[str, str]:
    """How EvalPlus compares the outputs of the problems of MBPP+ that it treats specially, by function.

    The entries of a reference that differ from plain equality. Source: `evalplus/eval/_special_oracle.py`
    and `evalplus/eval/__init__.py` of its release 0.3.1.
    """
    if entry_point in _AS_SETS:
        return {"comparison": "set"}
    if entry_point in _FOUND:
        return {"comparison": "found"}
    if entry_point in _ALSO_RIGHT:
        return {"also": _ALSO_RIGHT[entry_point]}
    return {"comparison": "any"} if entry_point == "are_equivalent" else {}


def residual_of(test: str) -> str | None:
    """The helper whose value the test wants near 0, as in `assert math.fabs(poly(x, y)) < 1e-4`."""
    for node in ast.walk(_parsed(test)):
        if isinstance(node, ast.Assert) and isinstance(node.test, ast.Compare):
            size = node.test.left
            if not (isinstance(size, ast.Call) and _is_call(size, "math.fabs")):
                continue
            if isinstance(size.args[0], ast.Call):
                return ast.unparse(size.args[0].func)
    return None


def _parsed(code: str) -> ast.Module:
    """The syntax tree, without a warning for an old way to write a string. Raises SyntaxError."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(code)


def _is_call(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func) == name


def _calls(node: ast.AST, name: str) -> Iterator[ast.Call]:
    return (inner for inner in ast.walk(node) if _is_call(inner, name))  # type: ignore[misc]


def _constant(node: ast.expr) -> Any:
    """The value of a literal, products of literals included."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        return _constant(node.left) * _constant(node.right)
    try:
        return ast.literal_eval(node)
    except ValueError:
        raise CannotRead(f"an assertion's argument is no literal: {ast.unparse(node):.60}") from None


def _note_kinds(value: Any, place: Place, kinds: dict[Place, set[type]]) -> None:
    kinds.setdefault(place, set()).add(complex if isinstance(value, int | float) else type(value))
    if isinstance(value, list | tuple):
        for item in value:
            _note_kinds(item, (*place, "[]"), kinds)
    elif isinstance(value, dict):
        for item in value.values():
            _note_kinds(item, (*place, "{}"), kinds)


def _restored(value: Any, place: Place, kinds: dict[Place, set[type]], above: type = list) -> Any:
    here = kinds.get(place, set())
    if isinstance(value, list):
        sequences = here & {list, tuple, set} or {above}
        if len(sequences) > 1:
            raise CannotRead(f"the assertions have lists and tuples at the same place {place}")
        (kind,) = sequences
        return kind(_restored(item, (*place, "[]"), kinds, kind) for item in value)
    if isinstance(value, dict):
        return {key: _restored(item, (*place, "{}"), kinds) for key, item in value.items()}
    if isinstance(value, str) and here == {complex}:
        return _number(value)
    return value


def _number(text: str) -> Any:
    """The number that a text spells as Python would; the text where it spells none."""
    try:
        number = ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text
    return number if isinstance(number, int | float | complex) else text
