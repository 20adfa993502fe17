"""Counting stored samples: which of them a plan counts, and what was said of each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from evals.estimators.counts import Counts
from evals.records.files import Origin
from evals.records.measurement import Measurement
from evals.records.store import SampleSet, find_rows
from evals.sampling.grading import Grading
from evals.sampling.plan import Plan
from rlvr.graders import Status

# Of a sample, beside its key: what a measurement has of it.
COLUMNS = ["tokens", "digest", "logprob", "finish_reason"]


def count(plan: Plan, samples: SampleSet, grading: Grading) -> Measurement:
    """The measurement, from the store alone. Raises LookupError for a sample or verdict it lacks."""
    prompts, hashes = set(plan.prompt_hashes), pa.array(plan.prompt_hashes, pa.string())
    environment = plan.task.environment
    columns = [*COLUMNS, *(["turns"] if environment else [])]
    stored = samples.read(columns, prompts)
    verdicts = grading.verdicts.read(["status", "extracted"], prompts)
    problems, n = len(plan.problems), plan.n
    every = np.tile(np.arange(n), problems)
    drawn = find_rows(stored, hashes.take(pa.array(np.repeat(np.arange(problems), n))), every)
    drawn = drawn.reshape(problems, n)
    graded = said_rows(stored, verdicts, drawn, plan.reference_hashes)
    right = _right(verdicts)[graded] & (graded >= 0)
    taken = _taken(right, plan.stop_r)
    counted = np.arange(n) < taken[:, None]
    if (lacking := counted & (graded < 0)).any():
        place, index = np.argwhere(lacking)[0]
        raise LookupError(f"problem {plan.problems[place].id}: sample {index} is not stored and graded")
    table = stored.select(["index", *columns]).take(pa.array(drawn[counted]))
    for name in ("status", "extracted"):
        table = table.append_column(name, verdicts[name].take(pa.array(graded[counted])))
    table = table.append_column("sound", _sound(plan, stored, grading, drawn, counted, right))
    of = samples.key
    return Measurement(
        problems=plan.problems,
        prompt_hashes=plan.prompt_hashes,
        counts=Counts(taken, (right & counted).sum(1), plan.stop_r, plan.n),
        conditions=plan.conditions,
        origin=Origin(of.weights, of.tokenizer, of.engine, of.dtype, of.seed),
        owner=np.repeat(np.arange(problems), taken),
        table=table,
        soundness=plan.task.soundness,
        most_turns=environment.turns if environment else None,
    )


def said_rows(
    stored: pa.Table, said: pa.Table, drawn: NDArray[np.int64], references: Sequence[str]
) -> NDArray[np.int64]:
    """[P, n]: the row of a table of what was said of samples, -1 where nothing was said of this one.

    stored, said: sorted by key. drawn: [P, n] rows of `stored`, -1 where there is none. references: [P] of
    what the verifier was given.
    """
    of = find_rows(stored, said["prompt"].combine_chunks(), said["index"].to_numpy())
    digests = stored["digest"].take(pa.array(of, mask=of < 0))
    same = pc.fill_null(pc.equal(digests, said["digest"]), False).to_numpy()
    names = {name: code for code, name in enumerate(dict.fromkeys(references))}
    code = pc.fill_null(pc.index_in(said["reference"], pa.array([*names], pa.string())), -1).to_numpy()
    known = np.flatnonzero(same & (code >= 0))
    keys = of[known] * len(names) + code[known]
    order = np.argsort(keys, kind="stable")
    keys, known = keys[order], known[order]
    asked = drawn * len(names) + np.array([names[name] for name in references])[:, None]
    if not len(keys):
        return np.full_like(drawn, -1)
    place = np.minimum(np.searchsorted(keys, asked), len(keys) - 1)
    return np.where((keys[place] == asked) & (drawn >= 0), known[place], -1)


def _right(verdicts: pa.Table) -> NDArray[np.bool_]:
    """With a last row that stands for none."""
    right = pc.equal(verdicts["status"], str(Status.CORRECT)).to_numpy()
    return np.append(right, False)


def _taken(right: NDArray[np.bool_], stop_r: int | None) -> NDArray[np.int64]:
    """[P]: how many samples of each problem count."""
    problems, n = right.shape
    if stop_r is None:
        return np.full(problems, n)
    reached = right.cumsum(1) >= stop_r
    return np.where(reached.any(1), reached.argmax(1) + 1, n)


def _sound(
    plan: Plan,
    stored: pa.Table,
    grading: Grading,
    drawn: NDArray[np.int64],
    counted: NDArray[np.bool_],
    right: NDArray[np.bool_],
) -> pa.Array:
    """`sound` of each counted sample, null where the checker could not decide, does not look, or there is
    none. Raises LookupError for a sample that it has not seen."""
    looking = grading.looking
    if looking.table is None:
        return pa.nulls(int(counted.sum()), pa.bool_())
    said = looking.table.read(["sound"], set(plan.prompt_hashes))
    rows = said_rows(stored, said, drawn, plan.reference_hashes)
    looked = counted & np.where(right, looking.looks_at(True), looking.looks_at(False))
    if (lacking := looked & (rows < 0)).any():
        place, index = np.argwhere(lacking)[0]
        raise LookupError(f"sample {index} of prompt {plan.prompt_hashes[place]} is not checked")
    found = rows[counted]
    return said["sound"].combine_chunks().take(pa.array(found, mask=found < 0))
