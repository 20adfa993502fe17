"""Measuring one model on one task: draws what the store lacks, then grades everything."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evals.store import Sample, SampleSet, prompt_hash
from rlvr.engines import Engine, Request, Sampling
from rlvr.progress import Display
from rlvr.seeds import derive_seed
from rlvr.tasks import Problem, Task
from rlvr.verifiers import Status, Verdict

# Samples that are drawn, and stored, together.
CHUNK = 512


@dataclass(frozen=True)
class Plan:
    """Which samples a measurement needs: indices 0..n-1 of every problem. Equal prompts share theirs."""

    task: Task
    problems: tuple[Problem, ...]
    prompts: tuple[tuple[int, ...], ...]  # token ids, one tuple a problem
    sampling: Sampling
    n: int


@dataclass(frozen=True)
class Graded:
    """One sample of a problem with its verdict."""

    sample: Sample
    verdict: Verdict


@dataclass(frozen=True)
class Measurement:
    """n graded samples of every problem, in the order of the plan's problems."""

    problems: tuple[Problem, ...]
    n: int
    graded: tuple[tuple[Graded, ...], ...]

    @property
    def correct(self) -> NDArray[np.int64]:
        """[problems]: how many samples were right."""
        return np.array([sum(g.verdict.correct for g in row) for row in self.graded])

    def share(self, holds: Callable[[Graded], bool]) -> float:
        """The share of samples of which something holds."""
        return float(np.mean([holds(g) for row in self.graded for g in row]))

    def status_share(self, status: Status) -> float:
        return self.share(lambda g: g.verdict.status is status)

    @property
    def truncated(self) -> float:
        return self.share(lambda g: g.sample.finish_reason == "length")

    @property
    def duplicate_rate(self) -> float:
        """The share of samples whose tokens an earlier sample of the same problem has."""
        unique = [len({g.sample.token_ids for g in row}) / len(row) for row in self.graded]
        return float(1 - np.mean(unique))


def make_plan(
    task: Task, tokenizer: Any, sampling: Sampling, n: int, max_problems: int | None, seed: int
) -> Plan:
    """Plans n samples of the task's test problems, or of a seeded subset of them in their order."""
    problems = list(task.test)
    if max_problems is not None and max_problems < len(problems):
        chosen = random.Random(derive_seed(seed, "problems", task.name))
        kept = sorted(chosen.sample(range(len(problems)), max_problems))
        problems = [problems[i] for i in kept]
    prompts = tuple(tuple(tokenizer.encode(p.prompt)) for p in problems)
    return Plan(task, tuple(problems), prompts, sampling, n)


def draw_missing(
    plan: Plan,
    engine: Engine,
    samples: SampleSet,
    display: Display,
    rank: int = 0,
    ranks: int = 1,
) -> None:
    """Draws and stores what this rank's share of the plan lacks.

    Chunks are made of whole problems in the plan's order, so an interrupted measurement, gone on with,
    computes the same batches as an uninterrupted one.
    """
    present = samples.present()
    for chunk in list(_chunks(plan))[rank::ranks]:
        missing = [(p, i) for p in chunk for i in range(plan.n)]
        hashes = {p: prompt_hash(plan.prompts[p]) for p in chunk}
        missing = [(p, i) for p, i in missing if (hashes[p], i) not in present]
        if missing:
            samples.append(_draw(plan, engine, samples, missing, hashes))
            display.advance(len(missing))


def grade(plan: Plan, samples: SampleSet) -> Measurement:
    """Grades the plan's samples, which must all be stored. Raises LookupError if one is missing."""
    stored = {(s.prompt, s.index): s for s in samples.read(map(prompt_hash, plan.prompts))}
    items = []
    for problem, ids in zip(plan.problems, plan.prompts, strict=True):
        prompt = prompt_hash(ids)
        try:
            items += [(stored[prompt, i], problem.reference) for i in range(plan.n)]
        except KeyError as error:
            raise LookupError(f"problem {problem.id}: sample {error.args[0][1]} is not stored") from None
    verdicts = plan.task.verify.grade([(sample.text, reference) for sample, reference in items])
    graded = [Graded(sample, verdict) for (sample, _), verdict in zip(items, verdicts, strict=True)]
    rows = tuple(tuple(graded[i : i + plan.n]) for i in range(0, len(graded), plan.n))
    return Measurement(plan.problems, plan.n, rows)


def _chunks(plan: Plan) -> Iterator[Sequence[int]]:
    """Indices of the problems that are drawn together, each prompt once."""
    first = list({prompt: i for i, prompt in reversed(list(enumerate(plan.prompts)))}.values())[::-1]
    size = max(1, CHUNK // plan.n)
    for start in range(0, len(first), size):
        yield first[start : start + size]


def _draw(
    plan: Plan,
    engine: Engine,
    samples: SampleSet,
    wanted: Sequence[tuple[int, int]],
    hashes: dict[int, str],
) -> list[Sample]:
    digest = samples.key.digest()
    seeds = [derive_seed(digest, hashes[p], i) for p, i in wanted]
    requests = [
        Request(plan.prompts[p], plan.sampling, seed) for (p, _), seed in zip(wanted, seeds, strict=True)
    ]
    completions = dict(engine.generate(requests))
    return [
        Sample(
            problem=plan.problems[p].id,
            prompt=hashes[p],
            index=i,
            seed=seeds[j],
            token_ids=completions[j].token_ids,
            logprob=sum(completions[j].logprobs),
            text=completions[j].text,
            finish_reason=completions[j].finish_reason,
        )
        for j, (p, i) in enumerate(wanted)
    ]
