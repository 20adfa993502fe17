"""Measuring one model on one task: draws and grades what the store lacks, then counts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from evals.estimators.counts import Counts
from evals.records.files import Origin
from evals.records.measurement import Measurement
from evals.records.store import SampleSet, token_hash
from evals.sampling.draws import Draws
from evals.sampling.leases import Leases
from evals.sampling.looking import Key, Looking
from evals.sampling.plan import ROUND, Plan
from rlvr.core.progress import Display
from rlvr.core.seeds import derive_seed
from rlvr.core.shards import short_hash
from rlvr.engines import Completion, Engine, Request
from rlvr.graders import Status
from rlvr.graders.soundness import Chain

# Seconds between tries where other processes have all that is left, and between saying so.
MOMENT = 0.1
SAID_EVERY = 30.0


class SamplingJob:
    """A plan on its way: what the store has of it, and what is drawn and graded on this rank.

    engine: asked only for samples that are missing. Verdicts are stored right after their samples. draws:
    gets a note of what is drawn. Other processes may work at the same samples: each draws what no other does.
    """

    def __init__(self, plan: Plan, samples: SampleSet, engine: Engine, draws: Draws | None = None):
        self.plan = plan
        self.samples = samples
        self.verdicts = samples.verdicts(plan.task.grader)
        self.looking = Looking(plan.task, samples)
        self._seen: set[Path] = set()
        self.engine = engine
        self.draws = draws
        self.leases = Leases(samples.directory)
        self.hashes = plan.prompt_hashes
        self.references = tuple(short_hash(p.reference) for p in plan.problems)
        self.drawn = 0

    def missing(self, rank: int = 0, ranks: int = 1) -> int:
        """The most samples that this rank has to draw, counted in the store."""
        present = set(_keys(self.samples.read(prompts=set(self.hashes)), 2))
        hashes = {self.hashes[p] for chunk in list(self.plan.chunks())[rank::ranks] for p in chunk}
        return sum((h, i) not in present for h in hashes for i in range(self.plan.n))

    def run(self, display: Display, rank: int = 0, ranks: int = 1, pilot: bool = False) -> int:
        """Draws and grades this rank's share of what is missing; returns how many samples it drew.

        pilot: only the first chunk of which something was missing.
        """
        present, known = self._stored()
        waiting, since = list(self.plan.chunks())[rank::ranks], time.monotonic()
        while waiting and not (pilot and self.drawn):
            held = []
            for chunk in waiting:
                with self.leases.held({self.hashes[p] for p in chunk}) as own:
                    if not own:
                        held.append(chunk)
                        continue
                    self._catch_up(chunk, present, known, display)
                    self._run_chunk(chunk, present, known, display)
                if pilot and self.drawn:
                    break
            if held and len(held) == len(waiting):
                since = self._wait(display, since)
            waiting = held
        return self.drawn

    def _stored(self) -> tuple[dict[Any, str], dict[Any, str]]:
        """Digests of the samples and statuses of the verdicts that the store has."""
        self._seen = self._shards()
        return self._read({*self.hashes})

    def _read(self, prompts: set[str]) -> tuple[dict[Any, str], dict[Any, str]]:
        table = self.samples.read(["digest"], prompts)
        present = dict(zip(_keys(table, 2), table["digest"].to_pylist(), strict=True))
        table = self.verdicts.read(["status"], prompts)
        known = dict(zip(_keys(table), table["status"].to_pylist(), strict=True))
        self.looking.begin(prompts)
        return present, known

    def _shards(self) -> set[Path]:
        """The files that the store has of the samples, and of what graders and checkers said of them."""
        return {*self.samples.directory.rglob("*.parquet")}

    def _catch_up(
        self, chunk: list[int], present: dict[Any, str], known: dict[Any, str], display: Display
    ) -> None:
        """Takes over what other processes have stored of a chunk since the beginning."""
        if self._shards() <= self._seen:
            return
        before = len(present)
        for held, found in zip((present, known), self._read({self.hashes[p] for p in chunk}), strict=True):
            held.update(found)
        if len(present) > before:
            display.advance(len(present) - before)

    def _wait(self, display: Display, since: float) -> float:
        """A moment, where others have all that is left. since: when that was last said; returned anew."""
        time.sleep(MOMENT)
        if time.monotonic() - since < SAID_EVERY:
            return since
        display.console.print(
            f"another process draws the samples that are left: waiting for it ({self.leases.path})",
            markup=False, highlight=False, soft_wrap=True,
        )  # fmt: skip
        return time.monotonic()

    def _run_chunk(
        self, chunk: list[int], present: dict[Any, str], known: dict[Any, str], display: Display
    ) -> None:
        """Round by round; without stop_r there is one. present: digests of samples; known: verdicts."""
        plan, places = self.plan, chunk
        step = ROUND if plan.stop_r else plan.n
        for start in range(0, plan.n, step):
            indices = range(start, min(start + step, plan.n))
            wanted = [(p, i) for p in places for i in indices]
            texts = self._draw(wanted, present, display)
            self._judge({self._key(p, i, present): p for p, i in wanted}, texts, known)
            left = [p for p in places if not self._stopped(p, indices.stop, present, known)]
            given_up = {self.hashes[p] for p in places} - {self.hashes[p] for p in left}
            spared = sum((h, i) not in present for h in given_up for i in range(indices.stop, plan.n))
            if spared:
                display.advance(spared)
            places = left

    def _draw(
        self, wanted: list[tuple[int, int]], present: dict[Any, str], display: Display
    ) -> dict[tuple[str, int], str]:
        """Stores the missing samples; returns their texts by (prompt, index)."""
        missing = {(self.hashes[p], i): p for p, i in wanted if (self.hashes[p], i) not in present}
        if not missing:
            return {}
        stream = self.samples.key.stream()
        seeds = [derive_seed(stream, prompt, i) for prompt, i in missing]
        requests = [
            Request(self.plan.prompt_ids[p], self.plan.sampling, seed)
            for p, seed in zip(missing.values(), seeds, strict=True)
        ]
        done: dict[int, Completion] = {}
        for j, completion in self.engine.generate(requests):
            done[j] = completion
            display.advance(1)
        rows = [
            _row(key, self.plan.problems[p].id, seeds[j], done[j])
            for j, (key, p) in enumerate(missing.items())
        ]
        if self.draws is not None:
            self.draws.note(self.samples.directory.name, list(missing))
        self.samples.append(rows)
        present |= {(row["prompt"], row["index"]): row["digest"] for row in rows}
        self.drawn += len(rows)
        return {(row["prompt"], row["index"]): row["text"] for row in rows}

    def _judge(
        self, wanted: dict[Key, int], texts: dict[tuple[str, int], str], known: dict[Any, str]
    ) -> None:
        """Stores the missing verdicts, and what the checker says of the samples that it has not seen.

        wanted: places by key; texts: of samples that were just drawn.
        """
        ungraded = [key for key in wanted if key not in known]
        unseen = [
            key for key in self.looking.lacks(wanted)
            if key not in known or self.looking.looks_at(known[key] == Status.CORRECT)
        ]  # fmt: skip
        if absent := {key[0] for key in (*ungraded, *unseen) if key[:2] not in texts}:
            table = self.samples.read(["text"], absent)
            stored = zip(_keys(table, 2), table["text"].to_pylist(), strict=True)
            texts = texts | {(key[0], key[1]): str(text) for key, text in stored}
        problems = {key: self.plan.problems[place] for key, place in wanted.items()}
        if ungraded:
            self._grade({key: (texts[key[:2]], problems[key].reference) for key in ungraded}, known)
        self.looking.look(
            {
                key: Chain(texts[key[:2]], problems[key].reference, problems[key].prompt)
                for key in unseen
                if self.looking.looks_at(known[key] == Status.CORRECT)
            }
        )

    def _grade(self, items: dict[Key, tuple[str, Any]], known: dict[Any, str]) -> None:
        """items: (completion, reference) by key."""
        rows: list[dict[str, Any]] = [
            {
                **dict(zip(self.verdicts.key, key, strict=True)),
                "status": str(verdict.status),
                "score": verdict.score,
                "extracted": verdict.extracted,
                "seconds": verdict.seconds,
            }
            for key, verdict in zip(items, self.plan.task.verifier.grade([*items.values()]), strict=True)
        ]
        self.verdicts.append(rows)
        known.update({key: row["status"] for key, row in zip(items, rows, strict=True)})

    def _stopped(self, place: int, count: int, present: dict[Any, str], known: dict[Any, str]) -> bool:
        """Whether the first `count` samples of a problem hold its r-th success."""
        if self.plan.stop_r is None:
            return False
        right = [known[self._key(place, i, present)] == Status.CORRECT for i in range(count)]
        return sum(right) >= self.plan.stop_r

    def _key(self, place: int, index: int, present: dict[Any, str]) -> Key:
        """Of a verdict, in the order of the table's key. Raises KeyError for a sample that is not present."""
        prompt = self.hashes[place]
        return prompt, index, self.references[place], present[prompt, index]

    def counted(self) -> Measurement:
        """The measurement, from the store alone. Raises LookupError for a sample or verdict it lacks."""
        plan = self.plan
        samples = self.samples.read(["tokens", "digest", "finish_reason"], set(self.hashes))
        verdicts = self.verdicts.read(["status", "extracted"], set(self.hashes))
        sample_rows = {key: row for row, key in enumerate(_keys(samples, 2))}
        present = dict(zip(_keys(samples, 2), samples["digest"].to_pylist(), strict=True))
        verdict_rows = {key: row for row, key in enumerate(_keys(verdicts))}
        correct = (verdicts["status"].to_numpy(zero_copy_only=False) == Status.CORRECT).tolist()
        rows: list[tuple[int, int, int]] = []  # place, row of the sample, row of the verdict
        keys: list[Key] = []
        totals = []
        for place, problem in enumerate(plan.problems):
            taken, right = 0, 0
            while taken < plan.n and (plan.stop_r is None or right < plan.stop_r):
                prompt = self.hashes[place]
                key = (prompt, taken, self.references[place], present.get((prompt, taken), ""))
                if key not in verdict_rows:
                    raise LookupError(f"problem {problem.id}: sample {taken} is not stored and graded")
                keys.append(key)
                rows.append((place, sample_rows[key[:2]], verdict_rows[key]))
                right += correct[verdict_rows[key]]
                taken += 1
            totals.append((taken, right))
        owner, own_samples, own_verdicts = np.array(rows, dtype=np.int64).T
        table = samples.select(["index", "tokens", "digest", "finish_reason"]).take(pa.array(own_samples))
        for name in ("status", "extracted"):
            table = table.append_column(name, verdicts[name].take(pa.array(own_verdicts)))
        right_ones = [correct[row] for row in own_verdicts]
        table = table.append_column("sound", self.looking.column(keys, right_ones))
        n, right_counts = np.array(totals).T
        counts = Counts(n, right_counts, plan.stop_r, plan.n)
        of = self.samples.key
        origin = Origin(of.weights, of.tokenizer, of.engine, of.dtype, of.seed)
        soundness = plan.task.soundness
        return Measurement(
            plan.problems, self.hashes, counts, plan.conditions, origin, owner, table, soundness
        )


def _keys(table: pa.Table, width: int | None = None) -> Iterator[tuple[Any, ...]]:
    """Of each row the first columns, by default all that are keys."""
    names = [n for n in ("prompt", "index", "reference", "digest") if n in table.column_names][:width]
    return zip(*(table[name].to_pylist() for name in names), strict=True)


def _row(key: tuple[str, int], problem: str, seed: int, completion: Completion) -> dict[str, Any]:
    return {
        "prompt": key[0],
        "index": key[1],
        "problem": problem,
        "seed": seed,
        "token_ids": list(completion.token_ids),
        "tokens": len(completion.token_ids),
        "digest": token_hash(completion.token_ids),
        "logprob": sum(completion.logprobs),
        "text": completion.text,
        "finish_reason": completion.finish_reason,
    }
