"""Problem by problem: how often base and policy solve each, which were gained, and which lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evals.records.files import CountsFile, read_counts
from evals.records.samples import SAMPLES_SUFFIX
from evals.records.schema import FileError

# Rows of a page, characters of a prompt in it, and cells of the scatter on each axis.
PAGE, BRIEF, CELLS = 100, 240, 32
KINDS = ("gained", "lost", "both", "neither", "wrong_reason")
ORDERS = ("problem", "base", "policy", "change")


@dataclass(frozen=True)
class Asked:
    """One problem under base and policy: n, right, and right without a wrong step, None where nobody looked.
    kind: solved at least once by the policy alone, the base alone, both or neither. wrong_reason: the policy
    is right, and never without a wrong step."""

    problem: str
    prompt: str
    reference: str
    base: tuple[int, int, int | None]
    policy: tuple[int, int, int | None]

    @property
    def rates(self) -> tuple[float, float]:
        return self.base[1] / max(1, self.base[0]), self.policy[1] / max(1, self.policy[0])

    @property
    def kind(self) -> str:
        solved = bool(self.base[1]), bool(self.policy[1])
        return {(True, True): "both", (True, False): "lost", (False, True): "gained"}.get(solved, "neither")

    @property
    def wrong_reason(self) -> bool:
        return self.policy[1] > 0 and self.policy[2] == 0

    @property
    def cell(self) -> tuple[int, int]:
        """Where it lies in the scatter."""
        base, policy = self.rates
        return round(base * CELLS), round(policy * CELLS)

    def row(self) -> dict[str, Any]:
        return {
            "problem": self.problem, "prompt": self.prompt[:BRIEF], "reference": self.reference[:BRIEF],
            "base": self.base, "policy": self.policy, "kind": self.kind, "wrong_reason": self.wrong_reason,
        }  # fmt: skip


def read_problems(base: Path, policy: Path) -> list[Asked]:
    """From the counts beside two samples files. Raises FileError."""
    own = read_counts(_counts_of(policy))
    other = read_counts(_counts_of(base)) if _counts_of(base).is_file() else None
    sides = _sides(own), _sides(other) if other else {}
    return [
        Asked(
            problem,
            own.prompts.get(problem, ""),
            own.references.get(problem, ""),
            sides[1].get(problem, (0, 0, None)),
            sides[0][problem],
        )
        for problem in own.problems
    ]


def problems_page(asked: Sequence[Asked], query: Mapping[str, str]) -> dict[str, Any]:
    """A part of the problems, with the scatter of all that are selected. Raises FileError."""
    kind, order, text = query.get("kind") or "", query.get("order") or "problem", query.get("search") or ""
    if kind and kind not in KINDS:
        raise FileError(f"kind is one of {', '.join(KINDS)}, not {kind!r:.40}")
    if order not in ORDERS:
        raise FileError(f"order is one of {', '.join(ORDERS)}, not {order!r:.40}")
    chosen = [one for one in asked if _is_wanted(one, kind, text.lower())]
    cells = Counter(one.cell for one in chosen)
    if problem := query.get("problem"):
        chosen = [one for one in chosen if one.problem == problem]
    if cell := query.get("cell"):
        chosen = [one for one in chosen if f"{one.cell[0]},{one.cell[1]}" == cell]
    if order != "problem":
        chosen = sorted(chosen, key=lambda one: _key(one, order), reverse="down" in query)
    elif "down" in query:
        chosen = chosen[::-1]
    offset = place_in(query)
    kinds = Counter(one.kind for one in asked)
    kinds["wrong_reason"] = sum(one.wrong_reason for one in asked)
    return {
        "total": len(asked),
        "selected": len(chosen),
        "kinds": {name: kinds[name] for name in KINDS},
        "cells": [[b / CELLS, p / CELLS, count, b, p] for (b, p), count in cells.items()],
        "offset": offset,
        "page": PAGE,
        "rows": [one.row() for one in chosen[offset : offset + PAGE]],
    }


def place_in(query: Mapping[str, str]) -> int:
    """The first row that a page asks for. Raises FileError."""
    offset = query.get("offset") or "0"
    if not offset.isdecimal():
        raise FileError(f"offset is a whole number, not {offset!r:.40}")
    return int(offset)


def _is_wanted(one: Asked, kind: str, text: str) -> bool:
    if kind and not (one.wrong_reason if kind == "wrong_reason" else one.kind == kind):
        return False
    return not text or any(text in part.lower() for part in (one.problem, one.prompt, one.reference))


def _key(one: Asked, order: str) -> float:
    base, policy = one.rates
    return {"base": base, "policy": policy, "change": policy - base}[order]


def _counts_of(samples: Path) -> Path:
    return samples.with_name(f"{samples.name.removesuffix(SAMPLES_SUFFIX)}.parquet")


def _sides(file: CountsFile) -> dict[str, tuple[int, int, int | None]]:
    n, right = file.counts.n.tolist(), file.counts.correct.tolist()
    sound = file.sound.sound.correct.tolist() if file.sound else [None] * len(n)
    return dict(zip(file.problems, zip(n, right, sound, strict=True), strict=True))
