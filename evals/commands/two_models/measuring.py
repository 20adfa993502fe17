"""Any two models, measured alike: what `python -m evals probe model=... base=...` does."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console

from evals.commands.two_models.settings import Pair
from evals.records.conditions import ConditionsError, differences
from evals.records.files import BASE_FOLDER, counts_file, read_about
from evals.records.gap_record import compare
from evals.reports.gap_table import pair_table
from evals.reports.unread import unread_measurement
from evals.sampling.draws import Draws
from evals.sampling.instrument import Instrument, MeasuredSamples, Subject
from evals.sampling.plan import Plan
from evals.sampling.settings import ProbeConfig
from rlvr.core.errors import UserError
from rlvr.core.replacing import remove_litter
from rlvr.core.run_dir import append_jsonl, keep_jsonl
from rlvr.engines.lazy import LazyEngine
from rlvr.engines.names import is_endpoint
from rlvr.engines.sampler import Sampler, open_model
from rlvr.learning.accelerator import processes
from rlvr.tasks import Task, build_task
from rlvr.tasks.templates.chat import prompt_ids


class PairError(UserError):
    """The two models cannot be measured alike; the message says why."""


def measure_pair(pair: Pair, config: ProbeConfig, console: Console) -> bool:
    """Prints the plan, samples both models, writes into `pair.out` and prints the table; whether of some
    measurement most samples have no verdict, as far as the main process knows.

    Raises PairError, ConditionsError, ModelError, TaskError or EngineError.
    """
    tasks = [build_task(choice.name, **choice.options) for choice in pair.task]
    for task in tasks if processes().is_main_process else ():
        for note in task.notes:
            console.print(f"{task.name}: {note}", highlight=False, markup=False)
    base = _Side(pair.base, tasks, pair, other=pair.model)
    policy = _Side(pair.model, tasks, pair, other=pair.base)
    tokens = config.max_new_tokens or min(base.room, policy.room)
    for side in (base, policy):
        side.prepare(config, tokens, console)
    base.plans = [base.instrument.plan(task, config.base_n, config.base_stop_r) for task in base.tasks]
    policy.plans = [policy.instrument.plan(task, config.n, config.stop_r) for task in policy.tasks]
    _check_prompts(base, policy)
    for plan in base.plans:
        _check_out(pair.out, plan)
    work = [("base", base), ("model", policy)]
    if processes().is_main_process:
        _print_plan(work, tokens, pair, console)
    if pair.dry_run:
        return False
    if processes().is_main_process:
        remove_litter(pair.out, recursive=True)
    readings: dict[str, list[MeasuredSamples | None]] = {}
    for title, side in work:
        with side.model.engine() as engine:
            readings[title] = [
                side.measure(title, plan, engine, console, _draws(pair.out, plan)) for plan in side.plans
            ]
    unread = False
    for plan, one, other in zip(base.plans, readings["base"], readings["model"], strict=True):
        if one is not None and other is not None:
            unread |= _warn(plan.task, {"base": one, "model": other}, console)
            _write(pair.out, one, other, config.k, console)
    return unread


class _Side:
    """One of the two models."""

    def __init__(self, name: str, tasks: Sequence[Task], pair: Pair, other: str):
        """other: the model that it is held against, whose tokenizer an endpoint takes by default."""
        self.name = name
        self.model = _opened(name, pair, other)
        self.tasks = [self.model.posed(task) for task in tasks]
        self.room = self.model.room(self.tasks)
        self.plans: list[Plan] = []

    def prepare(self, config: ProbeConfig, tokens: int, console: Console) -> None:
        self.model.fit(self.tasks, tokens)
        self.instrument = Instrument(config, self.model.tokenizer, tokens, console)

    def missing(self, plan: Plan) -> int:
        """Samples that the store lacks."""
        return self.instrument.measuring(plan, Subject.of(self.model, self.model.engine())).missing()

    def measure(
        self, title: str, plan: Plan, engine: LazyEngine, console: Console, draws: Draws
    ) -> MeasuredSamples | None:
        """Says how long it is going to take once the first chunk is drawn."""
        subject = Subject.of(self.model, engine)
        begun = time.monotonic()
        first = self.instrument.pilot(plan, subject, draws)
        left = self.instrument.measuring(plan, subject).missing()
        if first and left and processes().is_main_process:
            most = "at most " if plan.stop_r else ""
            minutes = (time.monotonic() - begun - engine.loading) / first * left / 60
            console.print(
                f"{title} {plan.task.name}: about {minutes:.1f} min for {most}{left:,} samples, by the first "
                f"{first:,}"
            )
        return self.instrument.measure(plan, subject, f"{title} {plan.task.name}", draws)


def _draws(out: Path, plan: Plan) -> Draws:
    """Notes of this process, beside the pair's record."""
    return Draws(out, 0, plan.task.name, processes().process_index)


def _opened(name: str, pair: Pair, other: str) -> Sampler:
    if not is_endpoint(name):
        return open_model(name, pair.engine, processes().device)
    from rlvr.engines.endpoint import open_endpoint

    return open_endpoint(name, pair.engine, pair.tokenizer or other, pair.key)


def _check_prompts(base: _Side, policy: _Side) -> None:
    """Raises PairError where the two tokenizers do not make the same text of a problem."""
    for task, others in zip(base.tasks, policy.tasks, strict=True):
        for own, other in zip(task.test, others.test, strict=True):
            read = [
                s.model.tokenizer.decode(prompt_ids(s.model.tokenizer, problem), skip_special_tokens=True)
                for s, problem in ((base, own), (policy, other))
            ]
            if read[0] != read[1]:
                raise PairError(
                    f"task {task.name}, problem {own.id}: the tokenizers of base and model read the prompt "
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


def _print_plan(work: Sequence[tuple[str, _Side]], tokens: int, pair: Pair, console: Console) -> None:
    total = 0
    for title, side in work:
        for plan in side.plans:
            missing = side.missing(plan)
            total += missing
            stop = f", to the {plan.stop_r}th success" if plan.stop_r else ""
            of = f" of {plan.task.name}" if len(side.plans) > 1 else ""
            console.print(
                f"{title:<6} {side.name}: {len(plan.problems):,} problems{of} x {plan.n}{stop}; "
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


def _warn(task: Task, sides: Mapping[str, MeasuredSamples], console: Console) -> bool:
    """Says of which side most samples have no verdict; whether of any."""
    found = {name: unread_measurement(task, side.measurement, side.samples) for name, side in sides.items()}
    for name, said in found.items():
        if said:
            console.print(f"{name}: {said}", style="yellow", soft_wrap=True, highlight=False)
    return any(found.values())


def _write(out: Path, base: MeasuredSamples, policy: MeasuredSamples, k: int, console: Console) -> None:
    out.mkdir(parents=True, exist_ok=True)
    base.measurement.write(out / BASE_FOLDER, base.samples)
    policy.measurement.write(out, policy.samples)
    draws = Draws(out, 0, base.measurement.conditions.task)
    drawn = draws.total({base.samples.directory.name, policy.samples.directory.name})
    record = compare(base.measurement, policy.measurement, k, 0, drawn)
    keep_jsonl(out / "probe.jsonl", lambda row: row["task"] != record.task, "task")
    append_jsonl(out / "probe.jsonl", record.row())
    console.print(pair_table(record))
    console.print(f"written to {out}")
