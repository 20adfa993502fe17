"""Any two models, measured alike on one task: what `python -m evals probe model=... base=...` does."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from evals.commands.two_models.settings import Pair
from evals.records.conditions import ConditionsError, differences
from evals.records.files import BASE_FOLDER, counts_file, read_about
from evals.records.gap_record import compare
from evals.reports.gap_table import pair_table
from evals.sampling.instrument import Instrument, MeasuredSamples, Subject
from evals.sampling.measure import Plan
from evals.sampling.settings import ProbeConfig
from rlvr.core.errors import UserError
from rlvr.core.run_dir import append_jsonl, keep_jsonl
from rlvr.engines.lazy import LazyEngine
from rlvr.engines.sampler import open_model
from rlvr.learning.accelerator import processes
from rlvr.tasks import Task, build_task
from rlvr.tasks.templates.chat import prompt_ids


class PairError(UserError):
    """The two models cannot be measured alike; the message says why."""


def measure_pair(pair: Pair, config: ProbeConfig, console: Console) -> None:
    """Prints the plan, samples both models, writes into `pair.out` and prints the table.

    Raises PairError, ConditionsError, ModelError, TaskError or EngineError.
    """
    task = build_task(pair.task.name, **pair.task.options)
    for note in task.notes if processes().is_main_process else ():
        console.print(f"{task.name}: {note}", highlight=False, markup=False)
    sides = [_Side(pair.base, task, pair), _Side(pair.model, task, pair)]
    base, policy = sides
    tokens = config.max_new_tokens or min(side.room for side in sides)
    for side in sides:
        side.prepare(config, tokens, console)
    base_plan = base.instrument.plan(base.task, config.base_n, config.base_stop_r)
    plan = policy.instrument.plan(policy.task, config.n, config.stop_r)
    _check_prompts(base, policy)
    _check_out(pair.out, base_plan)
    work = [("base", base, base_plan), ("model", policy, plan)]
    ranks = processes()
    if ranks.is_main_process:
        _print_plan(work, tokens, pair, console)
    if pair.dry_run:
        return
    readings = []
    for title, side, its_plan in work:
        with side.model.engine() as engine:
            readings.append(side.measure(title, its_plan, engine, console))
    if readings[0] is not None and readings[1] is not None:
        _write(pair.out, readings[0], readings[1], config.k, console)


class _Side:
    """One of the two models."""

    def __init__(self, name: str, task: Task, pair: Pair):
        self.name = name
        self.model = open_model(name, pair.engine, processes().device)
        self.task = self.model.posed(task)
        self.room = self.model.room([self.task])

    def prepare(self, config: ProbeConfig, tokens: int, console: Console) -> None:
        self.model.fit([self.task], tokens)
        self.instrument = Instrument(config, self.model.tokenizer, tokens, console)

    def missing(self, plan: Plan) -> int:
        """Samples that the store lacks."""
        return self.instrument.measuring(plan, Subject.of(self.model, self.model.engine())).missing()

    def measure(self, title: str, plan: Plan, engine: LazyEngine, console: Console) -> MeasuredSamples | None:
        """Says how long it is going to take once the first chunk is drawn."""
        subject = Subject.of(self.model, engine)
        begun = time.monotonic()
        first = self.instrument.pilot(plan, subject)
        left = self.instrument.measuring(plan, subject).missing()
        if first and left and processes().is_main_process:
            most = "at most " if plan.stop_r else ""
            minutes = (time.monotonic() - begun - engine.loading) / first * left / 60
            console.print(
                f"{title}: about {minutes:.1f} min for {most}{left:,} samples, by the first {first:,}"
            )
        reading = self.instrument.measure(plan, subject, f"{title} {self.task.name}")
        return reading and replace(reading, drawn=reading.drawn + first)


def _check_prompts(base: _Side, policy: _Side) -> None:
    """Raises PairError where the two tokenizers do not make the same text of a problem."""
    for own, other in zip(base.task.test, policy.task.test, strict=True):
        read = [s.model.tokenizer.decode(prompt_ids(s.model.tokenizer, problem), skip_special_tokens=True)
                for s, problem in ((base, own), (policy, other))]  # fmt: skip
        if read[0] != read[1]:
            raise PairError(
                f"task {base.task.name}, problem {own.id}: the tokenizers of base and model read the prompt "
                f"differently:\n  {read[0]!r:.300}\n  {read[1]!r:.300}\nUse another task.template."
            )


def _check_out(out: Path, plan: Plan) -> None:
    """Raises ConditionsError where `out` holds a measurement of the task under other conditions."""
    file = counts_file(out / BASE_FOLDER, plan.task.name)
    if file.exists():
        there, _ = read_about(file)
        if there is not None and (found := differences(there, plan.conditions)):
            raise ConditionsError(
                f"{out} holds a measurement under other conditions (there / now): {'; '.join(found)}. "
                "Give another out"
            )


def _print_plan(work: Sequence[tuple[str, _Side, Plan]], tokens: int, pair: Pair, console: Console) -> None:
    total = 0
    for title, side, plan in work:
        missing = side.missing(plan)
        total += missing
        stop = f", to the {plan.stop_r}th success" if plan.stop_r else ""
        console.print(
            f"{title:<6} {side.name}: {len(plan.problems):,} problems x {plan.n}{stop}; "
            f"{plan.samples - missing:,} of {plan.samples:,} samples are stored",
            highlight=False,
            soft_wrap=True,
        )
    console.print(
        f"at most {total:,} samples to draw, of up to {tokens:,} tokens each: {total * tokens / 1e6:,.1f} "
        f"million tokens at most, with the {pair.engine.name} engine in {pair.engine.dtype}",
        highlight=False,
        soft_wrap=True,
    )


def _write(out: Path, base: MeasuredSamples, policy: MeasuredSamples, k: int, console: Console) -> None:
    out.mkdir(parents=True, exist_ok=True)
    base.measurement.write(out / BASE_FOLDER, base.samples)
    policy.measurement.write(out, policy.samples)
    record = compare(base.measurement, policy.measurement, k, 0, base.drawn + policy.drawn)
    keep_jsonl(out / "probe.jsonl", lambda row: row["task"] != record.task)
    append_jsonl(out / "probe.jsonl", record.row())
    console.print(pair_table(record))
    console.print(f"written to {out}")
