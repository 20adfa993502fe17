"""The tables of docs/estimators.md, from simulations: what is written between two marks there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from oracles.coverage import Setting, simulate
from oracles.family import Studies, run_studies
from oracles.populations import SHAPES

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "estimators.md"
SETTINGS = [(problems, n) for problems in (30, 100, 500) for n in (16, 64, 256)]
# The intervals for these problems take a fit each: fewer simulations, and not in every setting.
FITTED, FITTED_SETTINGS = 0.3, ((30, 16), (30, 256), (100, 16), (100, 256))
# Outside of these a share stands in bold.
LOWEST, HIGHEST = 93.0, 97.0
FAMILIES = [
    *(Studies(seeds, 100, effect) for seeds in (2, 3, 5) for effect in (0.1, 0.4)),
    Studies(3, 30, 0.4),
]


def coverage_tables(replications: int) -> str:
    """One table a shape: a row an interval, a column a setting. Then the crossover's bias."""
    parts, crossings = [], []
    for shape in SHAPES:
        held: dict[str, dict[tuple[int, int], NDArray[np.bool_]]] = defaultdict(dict)
        for problems, n in SETTINGS:
            fits = round(FITTED * replications) if (problems, n) in FITTED_SETTINGS else 0
            found = simulate(Setting(shape, problems, n), replications, fits=fits)
            for name, inside in found.held.items():
                held[name][problems, n] = inside
            typical = f"{2 ** float(np.log2(found.crossings).mean()):.1f}" if found.crossings.size else "-"
            without = 100 * (1 - found.crossings.size / replications)
            printed = 100 * found.printed_without
            crossings.append(
                [shape, problems, n, found.true_crossing, typical, f"{without:.0f} %", f"{printed:.0f} %"]
            )
            print(f"{shape}: {problems} problems, n = {n}: done", flush=True)
        parts.append(f"**{shape}**\n\n{_coverage_table(held)}")
    return "\n\n".join([*parts, _crossing_table(crossings)])


def family_table(replications: int) -> str:
    """One row a kind of study."""
    rows = []
    for studies in FAMILIES:
        called = run_studies(studies, replications)
        shares = [f"{100 * share:.1f} %" for share in called]
        rows.append([studies.seeds, studies.problems, studies.seed_effect, *shares])
        print(f"{studies}: done", flush=True)
    heads = (
        "seeds an arm",
        "problems",
        "a seed's effect, logits",
        "some pair called by its own interval",
        "some pair called, corrected",
        "intervals of single pairs that hold 0",
    )
    return markdown(heads, rows)


def put(name: str, text: str) -> None:
    """Writes the text between the marks of that name."""
    page = DOCUMENT.read_text()
    start, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    before, _, rest = page.partition(start)
    _, found, after = rest.partition(end)
    if not found:
        raise ValueError(f"{DOCUMENT} has no {start} with {end} after it")
    DOCUMENT.write_text(f"{before}{start}\n\n{text}\n\n{end}{after}")


def markdown(heads: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def _coverage_table(held: dict[str, dict[tuple[int, int], NDArray[np.bool_]]]) -> str:
    heads = ["share held, of 100", *(f"{problems} x {n}" for problems, n in SETTINGS)]
    rows = [[name, *(share_held(own.get(at)) for at in SETTINGS)] for name, own in held.items()]
    return markdown(heads, rows)


def share_held(inside: NDArray[np.bool_] | None) -> str:
    if inside is None or not inside.size:
        return ""
    share = 100 * float(np.mean(inside))
    return f"{share:.1f}" if LOWEST <= share <= HIGHEST else f"**{share:.1f}**"


def _crossing_table(rows: Iterable[Sequence[object]]) -> str:
    heads = (
        "success rates",
        "problems",
        "n",
        "true k*",
        "geometric mean of the estimates that exist",
        "without one",
        "mean of the share without that is printed",
    )
    return "**The crossover**\n\n" + markdown(heads, rows)
