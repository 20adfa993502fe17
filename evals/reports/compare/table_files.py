"""The study's table as files for other programs: study.csv, study.json and, for a paper, study.tex."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from evals.reports.compare.numbers import Cells, Closed, Combined
from evals.reports.compare.page import Row, interval, points
from rlvr.core.run_dir import write_json, write_text

FILES = ("study.csv", "study.json", "study.tex")
_TEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{",
    "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
}  # fmt: skip


def write_table_files(rows: Sequence[Row], tasks: Sequence[str], k: int, out: Path) -> None:
    """Fractions, with the ends of their intervals, in CSV and JSON; points of 100 in LaTeX."""
    flat = [*_flat(rows, tasks, k)]
    write_json(out / "study.json", {"k": k, "rows": flat})
    text = io.StringIO()
    names = list(dict.fromkeys(name for row in flat for name in row))
    writer = csv.DictWriter(
        text, [name for name in names if not name.endswith("_seeds")], extrasaction="ignore"
    )
    writer.writeheader()
    writer.writerows(flat)
    write_text(out / "study.csv", text.getvalue())
    write_text(out / "study.tex", _latex(rows, tasks, k))


def _flat(rows: Sequence[Row], tasks: Sequence[str], k: int) -> Iterator[dict[str, Any]]:
    """One object for each task and row of the table; null, or an empty field, where there is no number."""
    for task in tasks:
        for row in rows:
            if task not in row.cells:
                continue
            found = {"task": task, "name": row.name, "about": row.about, "is_base": row.arm is None, "k": k}
            for name, value in _measures(row.cells[task]):
                within = None if value is None else value.interval
                found |= {
                    name: None if value is None else value.value,
                    f"{name}_low": None if within is None else within.low,
                    f"{name}_high": None if within is None else within.high,
                    f"{name}_seeds": None if value is None else list(value.seeds),
                }
            yield found


def _measures(cells: Cells) -> list[tuple[str, Combined | Closed | None]]:
    sound = cells.sound
    return [
        ("pass_at_1", cells.at_1),
        ("pass_at_k", cells.at_k),
        ("gap", cells.gap),
        ("closed", cells.closed),
        ("sound_pass_at_1", sound.at_1 if sound else None),
        ("sound_pass_at_k", sound.at_k if sound else None),
        ("unsound", sound.unsound if sound else None),
    ]


def _latex(rows: Sequence[Row], tasks: Sequence[str], k: int) -> str:
    """A tabular of booktabs' rules, without a float around it."""
    heads = ["", "pass@1", f"pass@{k}", "gap", r"closed, \%"]
    lines = [
        "% \\usepackage{booktabs}; points of 100, with 95 % intervals over problems",
        rf"\begin{{tabular}}{{l{'r' * (len(heads) - 1)}}}",
        r"\toprule",
        " & ".join(heads) + r" \\",
    ]
    for task in tasks:
        lines += [r"\midrule", rf"\multicolumn{{{len(heads)}}}{{l}}{{\textit{{{_escaped(task)}}}}} \\"]
        for row in rows:
            if task in row.cells:
                own = row.cells[task]
                shown = [own.at_1, own.at_k, own.gap, None if row.arm is None else own.closed]
                lines.append(" & ".join([_escaped(row.name), *map(_cell, shown)]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _cell(value: Combined | Closed | None) -> str:
    if value is None:
        return "--"
    ends = "" if value.interval is None else rf" {{\scriptsize {interval(value.interval)}}}"
    return (points(value.value) + ends).replace("\N{MINUS SIGN}", "$-$")


def _escaped(text: str) -> str:
    return "".join(_TEX.get(letter, letter) for letter in text)
