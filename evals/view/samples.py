"""Stored samples by query: DuckDB over the Parquet files as they are, and over the store that they refer to.

Verdicts and counts are columns of a measurement's own file, texts of the store's shards
(`evals.records.samples`); only those that a page shows are read.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import duckdb

from evals.records.files import read_about, read_counts, read_reference, read_soundness
from evals.records.samples import SAMPLES_SUFFIX, SamplesGoneError
from evals.records.schema import FileError
from evals.records.store import SampleSet
from rlvr.core.errors import UserError
from rlvr.core.shards import store_root
from rlvr.graders import Mark, Status
from rlvr.graders.soundness import Checker
from rlvr.graders.soundness.marks import marked, marker_of
from rlvr.tasks import build_checker_of

# Characters of a text that are sent before somebody asks for all of it.
CUT = 20_000
# Samples of a page, and rows of an export that are read together.
PAGE, TOGETHER = 40, 256
MEMORY = "384MB"
ORDERS = {"index": '"index"', "longest": "tokens DESC", "shortest": "tokens", "likeliest": "logprob DESC"}
NOT_EXPORTED = ("prompt", "digest", "copies", "length")
LIGHT = ("problem", "index", "tokens", "logprob", "finish_reason", "status", "extracted")


@dataclass(frozen=True)
class Selection:
    """Which samples of a file. None: any. sound: yes, no, or open, where the checker could not decide."""

    problem: str | None = None
    status: str | None = None
    sound: str | None = None
    finish: str | None = None
    answer: str | None = None
    index: int | None = None
    order: str = "index"

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Selection:
        """From a page's address. Raises FileError."""
        named = {name: query[name] for name in cls.__dataclass_fields__ if query.get(name)}
        allowed = {"status": {*map(str, Status)}, "sound": {"yes", "no", "open"}, "order": {*ORDERS},
                   "finish": {"stop", "length", "failed"}}  # fmt: skip
        for name, values in allowed.items():
            if name in named and named[name] not in values:
                raise FileError(f"{name} is one of {', '.join(sorted(values))}, not {named[name]!r:.40}")
        index = named.pop("index", None)
        if index is not None and not index.isdecimal():
            raise FileError(f"index is a whole number, not {index!r:.40}")
        return cls(**named, index=None if index is None else int(index))


class Samples:
    """One reader for all files; not for several threads at once."""

    def __init__(self) -> None:
        offline = {"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}
        self.database = duckdb.connect(":memory:", config={"memory_limit": MEMORY, "threads": "2", **offline})
        self.database.execute("SET parquet_metadata_cache = true")
        self.database.execute("SET preserve_insertion_order = true")
        self._ranges: dict[Path, tuple[int, list[tuple[str, str | None, str | None]]]] = {}

    def page(self, file: Path, selection: Selection, offset: int = 0) -> dict[str, Any]:
        """How many samples are selected, and some of them with their texts, equal ones of a problem once.

        Raises FileError.
        """
        where, values = _where(selection, self._columns(file))
        total, distinct = self._counted(file, where, values, folded := selection.problem is not None)
        rows = self._rows(file, where, values, selection.order, PAGE, offset, folded)
        self._tell(file, rows, CUT)
        return {"total": total, "distinct": distinct, "offset": offset, "page": PAGE, "rows": rows}

    def whole(self, file: Path, problem: str, index: int) -> dict[str, Any]:
        """One sample with all of its text. Raises FileError."""
        where, values = _where(Selection(problem=problem, index=index), self._columns(file))
        rows = self._rows(file, where, values, "index", 1, 0, False)
        if not rows:
            raise FileError(f"{file} has no sample {index} of problem {problem!r:.100}")
        self._tell(file, rows, None)
        return rows[0]

    def export(self, file: Path, selection: Selection) -> Iterator[dict[str, Any]]:
        """Every selected sample, with all of its text, in the order of the file. Raises FileError."""
        where, values = _where(selection, self._columns(file))
        offset = 0
        while rows := self._rows(file, where, values, "index", TOGETHER, offset, False):
            self._tell(file, rows, None, steps=False)
            for row in rows:
                yield {
                    name: value for name, value in row.items() if name not in ("prompt", "copies", "length")
                }
            offset += TOGETHER

    def _ask(self, query: str, values: Sequence[Any]) -> list[dict[str, Any]]:
        try:
            found = self.database.execute(query, values)
            names = [column[0] for column in found.description or ()]
            return [dict(zip(names, row, strict=True)) for row in found.fetchall()]
        except duckdb.Error as error:
            what = values[0] if isinstance(values[0], str) else ", ".join(values[0])
            raise FileError(f"{what:.500} cannot be read: {error}") from None

    def _columns(self, file: Path) -> list[str]:
        if not file.is_file():
            raise FileError(f"there is no file {file}")
        return [
            row["column_name"] for row in self._ask("DESCRIBE SELECT * FROM read_parquet(?)", [str(file)])
        ]

    def _counted(self, file: Path, where: str, values: Sequence[Any], folded: bool) -> tuple[int, int | None]:
        key = self._fold(file) if folded else "NULL"
        query = f"SELECT count(*) AS total, count(DISTINCT {key}) AS own FROM read_parquet(?) WHERE {where}"
        (row,) = self._ask(query, [str(file), *values])
        return row["total"], row["own"] if folded else None

    def _fold(self, file: Path) -> str:
        """What equal samples of a problem share."""
        return "digest" if "digest" in self._columns(file) else "hash(token_ids)"

    def _rows(
        self, file: Path, where: str, values: Sequence[Any], order: str, limit: int, offset: int, folded: bool
    ) -> list[dict[str, Any]]:
        have = self._columns(file)
        names = [*LIGHT, *(n for n in ("sound", "prompt", "digest") if n in have)]
        listed = ", ".join(f'"{n}"' for n in names)
        in_order = order == "index" and not folded  # rows of a file stand by problem and index
        by = "" if in_order else f"ORDER BY {ORDERS[order]}"
        if not folded:
            query = f"SELECT {listed}, 1 AS copies FROM read_parquet(?) WHERE {where} {by} LIMIT ? OFFSET ?"
        else:
            key = self._fold(file)
            query = (
                f"SELECT * EXCLUDE (nth) FROM (SELECT {listed}, "
                f"count(*) OVER (PARTITION BY {key}) AS copies, "
                f'row_number() OVER (PARTITION BY {key} ORDER BY "index") AS nth FROM read_parquet(?) '
                f"WHERE {where}) WHERE nth = 1 {by} LIMIT ? OFFSET ?"
            )
        return self._ask(query, [str(file), *values, limit, offset])

    def _tell(self, file: Path, rows: list[dict[str, Any]], cut: int | None, steps: bool = True) -> None:
        """Adds text, its length, turns of an episode, and where a step is wrong."""
        reference = read_reference(file)
        if not rows:
            return
        key = "problem" if reference is None else "prompt"
        wanted = [row[key] for row in rows]
        source = [str(file)]
        if reference is not None:
            samples = SampleSet(store_root(), reference)
            source = self._shards(samples.shards.directory, {*wanted})
            if not source:
                return _say_gone(file, rows, samples)
        have = self._shown_columns(source)
        text = "text" if cut is None else f"text[:{int(cut)}] AS text"
        also = "".join(f', "{n}"' for n in ("turns", "digest") if n in have)
        found = self._ask(
            f'SELECT "{key}" AS owner, "index", {text}, length(text) AS length{also} FROM read_parquet(?) '
            f'WHERE "{key}" IN (SELECT unnest(?::VARCHAR[])) AND "index" IN (SELECT unnest(?::BIGINT[]))',
            [source, [*dict.fromkeys(wanted)], [*{row["index"] for row in rows}]],
        )
        texts = {(one["owner"], one["index"]): one for one in found}
        for row, owner in zip(rows, wanted, strict=True):
            one = texts.get((owner, row["index"]))
            if one is None or (reference is not None and one["digest"] != row["digest"]):
                row |= {"text": None, "gone": "the store has it no more, or another in its place"}
                continue
            row |= {"text": one["text"], "length": one["length"]}
            if one.get("turns"):
                row["turns"] = json.loads(one["turns"])
        if steps:
            add_steps(file, rows)

    def _shards(self, directory: Path, prompts: Collection[str]) -> list[str]:
        """The shards that may have samples of these prompts, by the least and the greatest that each has."""
        if not directory.is_dir() or not any(directory.glob("*.parquet")):
            return []
        changed = directory.stat().st_mtime_ns
        if self._ranges.get(directory, (None,))[0] != changed:
            rows = self._ask(
                "SELECT file_name, min(stats_min_value) AS low, max(stats_max_value) AS high, "
                "count(*) = count(stats_min_value) AS told FROM parquet_metadata(?) "
                "WHERE path_in_schema = 'prompt' GROUP BY file_name",
                [str(directory / "*.parquet")],
            )
            known = [(r["file_name"], *((r["low"], r["high"]) if r["told"] else (None, None))) for r in rows]
            self._ranges[directory] = changed, known
        least, greatest = min(prompts), max(prompts)
        return [
            name
            for name, low, high in self._ranges[directory][1]
            if low is None or high is None or (low <= greatest and least <= high)
        ]

    def _shown_columns(self, source: list[str]) -> list[str]:
        asked = "DESCRIBE SELECT * FROM read_parquet(?)"
        return [row["column_name"] for row in self._ask(asked, [source])]


def _say_gone(file: Path, rows: list[dict[str, Any]], samples: SampleSet) -> None:
    why = SamplesGoneError(
        f"{file.name} refers to set {samples.directory.name} of the store {store_root()}, which is not "
        "there. Counts and verdicts are whole: give the store that has it as RLVR_STORE"
    )
    for row in rows:
        row |= {"text": None, "gone": str(why)}


def _where(selection: Selection, have: Sequence[str]) -> tuple[str, list[Any]]:
    """An SQL condition and its values."""
    parts: list[tuple[str, Any]] = []
    for column, value in (("problem", selection.problem), ("index", selection.index),
                          ("status", selection.status), ("finish_reason", selection.finish)):  # fmt: skip
        if value is not None:
            parts.append((f'"{column}" = ?', value))
    if selection.answer:
        parts.append(("contains(lower(extracted), lower(?))", selection.answer))
    said = " AND ".join(part for part, _ in parts) or "true"
    if selection.sound:
        if "sound" not in have:
            return f"{said} AND false", [value for _, value in parts]
        said += {"yes": " AND sound", "no": " AND NOT sound", "open": " AND sound IS NULL"}[selection.sound]
    return said, [value for _, value in parts]


def add_steps(file: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Cuts the texts with a wrong step into parts [text, whether it is wrong], by the checker that looked."""
    unsound = [row for row in rows if row.get("sound") is False and row["text"]]
    if not unsound:
        return
    task, checker, references = _checker_of(file, file.stat().st_mtime_ns)
    if checker is None:
        return
    for row in unsound:
        if row["problem"] in references and row["length"] == len(row["text"]):
            try:
                (marks,) = marked(checker, [(row["text"], references[row["problem"]])], task)
            except UserError:
                continue
            row["parts"] = cut_at(row["text"], marks)


@lru_cache(maxsize=32)
def _checker_of(file: Path, changed: int) -> tuple[str, Checker | None, dict[str, Any]]:
    """The task, the checker that looked at a file if it can mark steps, and the references by problem."""
    about, _ = read_about(file)
    version, beside = (
        read_soundness(file),
        file.with_name(f"{file.name.removesuffix(SAMPLES_SUFFIX)}.parquet"),
    )
    try:
        checker = None if about is None else build_checker_of(about.task)
    except (KeyError, UserError):
        checker = None
    if about is None or checker is None or checker.version != version or marker_of(checker) is None:
        return "", None, {}
    stored = read_counts(beside).references if beside.is_file() else {}
    return about.task, checker, {problem: json.loads(text) for problem, text in stored.items()}


def cut_at(text: str, marks: Sequence[Mark]) -> list[tuple[str, bool]]:
    """The text in parts, each with whether it is a wrong step."""
    parts, place = [], 0
    for mark in sorted(marks):
        if mark.score < 0.5 and mark.start >= place:
            parts += [(text[place : mark.start], False), (text[mark.start : mark.end], True)]
            place = mark.end
    return [part for part in (*parts, (text[place:], False)) if part[0]]
