"""The tables of docs/estimators.md, from simulations: what is written between two marks there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from oracles.coverage import Setting, simulate
from oracles.family import Studies, run_studies
from oracles.populations import SHAPES

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "estimators.md"
PROBLEMS = (30, 100, 500)
SAMPLES = (16, 64, 256)
# Outside of these a share stands in bold.
LOWEST, HIGHEST = 93.0, 97.0
FAMILIES = [
    Studies(seeds, problems, effect) for seeds in (2, 3, 5) for problems in (30, 100) for effect in (0.1, 0.4)
]


def coverage_tables(replications: int) -> str:
    """One table a shape: a row an interval, a column a setting. Then the crossover's bias."""
    parts, crossings = [], []
    for shape in SHAPES:
        held: dict[str, dict[tuple[int, int], list[bool]]] = defaultdict(lambda: defaultdict(list))
        for problems in PROBLEMS:
            for n in SAMPLES:
                values: dict[str, list[float | None]] = defaultdict(list)
                for found in simulate(Setting(shape, problems, n), replications):
                    for one in found:
                        held[one.name][problems, n].append(one.inside)
                        values[one.name].append(one.value)
                crossings.append((shape, problems, n, *_crossings(values)))
                print(f"{shape}: {problems} problems, n = {n}: done", flush=True)
        del held["share without a crossing"]
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


def _coverage_table(held: dict[str, dict[tuple[int, int], list[bool]]]) -> str:
    columns = [(problems, n) for problems in PROBLEMS for n in SAMPLES]
    heads = ["share held, of 100", *(f"{problems} x {n}" for problems, n in columns)]
    return markdown(heads, [[name, *(_share(own[at]) for at in columns)] for name, own in held.items()])


def _share(inside: Sequence[bool]) -> str:
    if not inside:
        return "-"
    share = 100 * float(np.mean(inside))
    return f"{share:.1f}" if LOWEST <= share <= HIGHEST else f"**{share:.1f}**"


def _crossings(values: dict[str, list[float | None]]) -> tuple[str, str, str]:
    """Mean log2 of the estimates that exist, how many simulations have none, and the mean share printed."""
    logs = [value for value in values["crossover k*"] if value is not None]
    count = len(values["crossover k*"])
    without = 100 * (1 - len(logs) / count)
    printed = 100 * float(np.mean([value for value in values["share without a crossing"] if value is not None]))
    typical = f"{2 ** float(np.mean(logs)):.1f}" if logs else "-"
    return typical, f"{without:.0f} %", f"{printed:.0f} %"


def _crossing_table(rows: Iterable[Sequence[object]]) -> str:
    heads = (
        "problems of",
        "problems",
        "n",
        "geometric mean of the k* that exist",
        "without one",
        "mean of the printed share without one",
    )
    return "The crossover, where there is one:\n\n" + markdown(heads, rows)
