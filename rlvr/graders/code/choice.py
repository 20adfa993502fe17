"""Which reading of a completion is a program, by Python's own parser; runs inside a confined process.

No completion is executed here, so what comes back is not a model's claim.
"""

from __future__ import annotations

import ast
import builtins
import symtable
import types
from collections.abc import Iterator, Sequence
from typing import Any

MOST_CUTS = 50


def best_reading(prefix: str, programs: Sequence[str], entry_point: str | None) -> int:
    """The index of the program that is read best behind the prefix, the first of equals.

    A program that defines what is asked for comes before one that does not, then one whose names are all
    defined, then one of which nothing has to be cut.
    """
    known = _names_of(prefix)
    grades = [_grade(prefix, program, entry_point, known) for program in programs]
    return grades.index(max(grades))


def compiled(program: str) -> tuple[types.CodeType, str]:
    """The program, or as much of its beginning as is one, and its text: a completion may run on into prose.

    Raises SyntaxError.
    """
    for _ in range(MOST_CUTS):
        try:
            return compile(program, "<program>", "exec"), program
        except SyntaxError as error:
            whole = program.splitlines()[: max(0, (error.lineno or 1) - 1)]
            if not whole:
                raise
            program = "\n".join(whole) + "\n"
    raise SyntaxError("no program in the text")


def _grade(prefix: str, program: str, entry_point: str | None, known: set[str]) -> tuple[bool, bool, bool]:
    try:
        _, kept = compiled(prefix + program)
        tree = ast.parse(kept)
        undefined = _undefined(kept, tree, known, prefix.count("\n"))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False, False, False
    lines = prefix.count("\n")
    if entry_point is None:
        supplies = any(isinstance(n, ast.Call) and n.lineno > lines for n in ast.walk(tree))
    else:
        supplies = any(name == entry_point and end > lines for name, end in _definitions(tree))
    return supplies, supplies and not undefined, kept == prefix + program


def _definitions(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """(name, last line) of all functions, assigned names and imported names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, node.end_lineno or 0
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id, node.lineno
        elif isinstance(node, ast.alias):
            yield (node.asname or node.name), node.lineno


def _undefined(program: str, tree: ast.AST, known: set[str], prefix_lines: int) -> set[str]:
    """Global names that are used and nowhere defined; none where an import of * may define them."""
    if any(isinstance(n, ast.alias) and n.name == "*" and n.lineno > prefix_lines for n in ast.walk(tree)):
        return set()
    top = symtable.symtable(program, "<program>", "exec")
    given = {s.get_name() for s in top.get_symbols() if s.is_assigned() or s.is_imported()}
    tables = [top]
    used: set[str] = set()
    while tables:
        table = tables.pop()
        tables += table.get_children()
        for symbol in table.get_symbols():
            if symbol.is_declared_global() and symbol.is_assigned():
                given.add(symbol.get_name())
            if symbol.is_referenced() and (symbol.is_global() or table is top):
                used.add(symbol.get_name())
    return used - given - known - set(dir(builtins)) - {"__name__", "__file__", "exit", "quit"}


def _names_of(prefix: str) -> set[str]:
    """What the prefix defines by itself; it is the task's, not the completion's."""
    names: dict[str, Any] = {}
    try:
        exec(compile(prefix, "<prefix>", "exec"), names)
    except Exception:  # it ends within a definition
        return set()
    return set(names)
