"""Measuring one model on one task: draws and grades what the store lacks, then counts."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from evals.estimators.counts import Counts
from evals.records.conditions import Conditions, conditions
from evals.records.files import Origin
from evals.records.measurement import Measurement
from evals.records.store import SampleSet, token_hash
from evals.sampling.looking import Key, Looking
from rlvr.core.progress import Display
from rlvr.core.seeds import derive_seed
from rlvr.core.shards import short_hash
from rlvr.engines import Completion, Engine, Request, Sampling
from rlvr.graders import Status
from rlvr.graders.soundness import Chain
from rlvr.tasks import Problem, Task
from rlvr.tasks.templates.chat import all_prompt_ids

# Samples of a problem that are drawn before it is asked again whether its r-th success is among them.
ROUND = 16


@dataclass(frozen=True)
class Plan:
    """Which samples a measurement needs: indices 0..n-1 of every problem. Equal prompts share theirs.

    stop_r: draw a problem until its r-th success in the order of the indices, or until n; None: draw n.
    chunk: samples that are drawn, and stored, together; one chunk at most is lost when the process dies.
    """

    task: Task
    problems: tuple[Problem, ...]
    prompt_ids: tuple[tuple[int, ...], ...]  # one tuple a problem
    sampling: Sampling
    n: int
    stop_r: int | None = None
    chunk: int = 512

    @property
    def conditions(self) -> Conditions:
        return conditions(self.task, self.problems, self.sampling)

    @property
    def prompt_hashes(self) -> tuple[str, ...]:
        """The prompts' hashes."""
        return tuple(map(token_hash, self.prompt_ids))

    @property
    def samples(self) -> int:
        """The most samples that it needs."""
        return len(set(self.prompt_ids)) * self.n

    def chunks(self) -> Iterator[list[int]]:
        """Indices of the problems that are drawn together, those with equal prompts in one chunk.

        Made of whole problems in their order, so an interrupted and resumed measurement computes the
        same batches as an uninterrupted one.
        """
        equal: dict[tuple[int, ...], list[int]] = {}
        for place, prompt in enumerate(self.prompt_ids):
            equal.setdefault(prompt, []).append(place)
        groups = list(equal.values())
        size = max(1, self.chunk // min(self.n, ROUND if self.stop_r else self.n))
        for start in range(0, len(groups), size):
            yield [place for group in groups[start : start + size] for place in group]


def make_plan(
    task: Task,
    tokenizer: Any,
    sampling: Sampling,
    n: int,
    max_problems: int | None = None,
    seed: int = 0,
    stop_r: int | None = None,
    chunk: int = 512,
) -> Plan:
    """Plans n samples of the task's test problems, or of a seeded subset of them in their order."""
    kept: Sequence[int] = range(len(task.test))
    if max_problems is not None and max_problems < len(kept):
        chosen = random.Random(derive_seed(seed, "problems", task.name))
        kept = sorted(chosen.sample(kept, max_problems))
    problems = [task.test[i] for i in kept]
    prompts = tuple(all_prompt_ids(tokenizer, problems))
    return Plan(task, tuple(problems), prompts, sampling, n, stop_r, chunk)


class SamplingJob:
    """A plan on its way: what the store has of it, and what is drawn and graded on this rank.

    engine: asked only for samples that are missing. Verdicts are stored right after their samples.
    """

    def __init__(self, plan: Plan, samples: SampleSet, engine: Engine):
        self.plan = plan
        self.samples = samples
        self.verdicts = samples.verdicts(plan.task.grader)
        self.looking = Looking(plan.task, samples)
        self.engine = engine
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
        table = self.samples.read(["digest"], set(self.hashes))
        present = dict(zip(_keys(table, 2), table["digest"].to_pylist(), strict=True))
        table = self.verdicts.read(["status"], set(self.hashes))
        known = dict(zip(_keys(table), table["status"].to_pylist(), strict=True))
        self.looking.begin(set(self.hashes))
        for chunk in list(self.plan.chunks())[rank::ranks]:
            self._run_chunk(chunk, present, known, display)
            if pilot and self.drawn:
                break
        return self.drawn

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
