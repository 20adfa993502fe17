"""python -m evals entropy policy=MODEL base=DIR task=NAME out=DIR [n=] [key=value ...]

Finds the temperature at which the policy's output entropy equals that of the base's samples, and measures
pass@k there: an answer to "RL only made the model more certain". base: a directory with the base's
<task>.parquet and <task>.samples.parquet, such as probes/base of a run or base of `python -m evals probe`;
the policy is sampled as they were, but for the temperature. out gets the same two files and entropy.json;
`python -m evals curves` draws them beside the others with allow=temperature.

  n=               samples of a problem at the temperature found; by default as many as of the base
  m=16             at each temperature that is tried
  low= high=1.5    the bracket; low is by default the base's temperature
  tolerance=0.02   how close the entropy has to come, as a share of the base's
  engine.name=hf|vllm engine.dtype=float32 task.KEY=VALUE
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pyarrow.compute as pc
from pydantic import Field
from rich.console import Console

from evals.commands.frame import GOES_ON, OutDirectory, command
from evals.records.conditions import Conditions, ConditionsError, differences
from evals.records.files import FileError, Origin, counts_file, read_counts, samples_file
from evals.records.parquet import read_parquet
from evals.sampling.instrument import Instrument, MeasuredSamples, Subject
from evals.sampling.settings import ProbeConfig
from evals.sampling.temperature import Match, match_temperature, output_entropy
from rlvr.config.errors import Mistake
from rlvr.config.schema import Choice, EngineConfig, Positive, Section
from rlvr.core.progress import plain_console
from rlvr.core.run_dir import write_json
from rlvr.engines.sampler import open_model
from rlvr.learning.accelerator import processes
from rlvr.tasks import Task, build_task

Temperature = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Settings(Section):
    """What one command matches. n, low: None for those of the base."""

    policy: str
    base: Path
    task: Choice
    out: OutDirectory
    n: Positive | None = None
    m: Positive = 16
    low: Temperature | None = None
    high: Temperature = 1.5
    tolerance: Annotated[float, Field(gt=0, lt=1)] = 0.02
    engine: EngineConfig = EngineConfig()


class Target:
    """The base's measurement: how it was sampled, and the entropy of its output, in nats per token.

    Raises FileError for samples from which that cannot be told.
    """

    def __init__(self, directory: Path, task: str):
        file = counts_file(directory, task)
        measured = read_counts(file)
        if measured.conditions is None or measured.origin is None:
            raise FileError(f"{file} does not say how it was sampled: use what python -m evals probe wrote")
        if measured.counts.stop_r is not None or measured.conditions.temperature == 0:
            raise FileError(
                f"{file}: an entropy needs equally many samples of every problem, which are neither greedy "
                "nor stop at a success: measure the base with a temperature and without base_stop_r"
            )
        self.conditions: Conditions = measured.conditions
        self.origin: Origin = measured.origin
        self.problems = len(measured.problems)
        self.n = measured.counts.n_max
        table = read_parquet(samples_file(directory, task), ["logprob", "tokens"])
        self.entropy = output_entropy(table["logprob"].to_numpy(), table["tokens"].to_numpy())


class Matching:
    """The policy at any temperature, sampled otherwise as the base was."""

    def __init__(self, settings: Settings, target: Target, task: Task, console: Console):
        self.settings, self.target, self.console = settings, target, console
        self.policy = open_model(settings.policy, settings.engine, processes().device)
        self.task = self.policy.posed(task)
        self.policy.fit([self.task], target.conditions.max_new_tokens)

    def run(self) -> tuple[Match, MeasuredSamples | None]:
        """Raises BracketError or ConditionsError; the reading is on the main process."""
        s, target = self.settings, self.target
        low = target.conditions.temperature if s.low is None else s.low
        how, ours = (target.origin.engine, target.origin.dtype), (s.engine.name, s.engine.dtype)
        if how != ours:
            raise ConditionsError(
                f"the base was sampled by the {how[0]} engine in {how[1]}: "
                f"give engine.name={how[0]} engine.dtype={how[1]}"
            )
        with self.policy.engine() as engine:
            self.subject = Subject.of(self.policy, engine)
            match = match_temperature(
                self.entropy_at, target.entropy, low, s.high, s.tolerance * target.entropy
            )
            return match, self._measure(match.temperature, s.n or target.n)

    def entropy_at(self, temperature: float) -> float:
        """Of m samples per problem, in nats per token; the same on all ranks."""
        self._measure(temperature, self.settings.m)
        instrument = self._instrument(temperature)
        plan = instrument.plan(self.task, self.settings.m)
        table = instrument.samples(plan, self.subject).read(["logprob", "tokens"], set(plan.prompt_hashes))
        table = table.filter(pc.field("index") < self.settings.m)
        found = output_entropy(table["logprob"].to_numpy(), table["tokens"].to_numpy())
        self.console.print(
            f"temperature {temperature:.3f}: {found:.4f} nats per token (base: {self.target.entropy:.4f})",
            highlight=False,
        )
        return found

    def _measure(self, temperature: float, n: int) -> MeasuredSamples | None:
        instrument = self._instrument(temperature)
        plan = instrument.plan(self.task, n)
        wrong = [d for d in differences(self.target.conditions, plan.conditions) if "temperature" not in d]
        if wrong:
            raise ConditionsError(f"the base was measured otherwise (there / now): {'; '.join(wrong)}")
        return instrument.measure(plan, self.subject, f"{self.task.name} at {temperature:.3f}")

    def _instrument(self, temperature: float) -> Instrument:
        target = self.target
        config = ProbeConfig(
            temperature=temperature,
            top_p=target.conditions.top_p,
            max_problems=target.problems,
            seed=target.origin.seed,
            stop=target.conditions.stop,
        )
        return Instrument(config, self.policy.tokenizer, target.conditions.max_new_tokens, self.console)


def mistakes(settings: Settings) -> list[Mistake]:
    """What is wrong with the bracket and `out`."""
    found = []
    if settings.low is not None and settings.low >= settings.high:
        found.append(Mistake("low", settings.low, f"has to lie below high, {settings.high:g}"))
    if settings.out.resolve() == settings.base.resolve():
        found.append(Mistake("out", str(settings.out), "holds the base's samples; give another directory"))
    return found


@command(Settings, mistakes, builds_task=True, interrupted=GOES_ON)
def main(settings: Settings) -> None:
    """Raises what `Target` and `Matching` do, ModelError, TaskError, EngineError or StartError."""
    task = build_task(settings.task.name, **settings.task.options).in_one_turn("entropy")
    target = Target(settings.base, task.name)
    match, reading = Matching(settings, target, task, plain_console(stderr=True)).run()
    if reading is not None:
        write(settings.out, match, target, reading)


def write(out: Path, match: Match, target: Target, reading: MeasuredSamples) -> None:
    """The measurement's two files, and entropy.json: how the temperature was found."""
    reading.measurement.write(out, reading.samples)
    base = {"base_temperature": target.conditions.temperature, "base_entropy": target.entropy}
    write_json(out / "entropy.json", match._asdict() | base)
    counts = reading.measurement.counts
    points = [f"pass@{k} {100 * counts.pass_at_k(k).mean():.1f}" for k in (1, counts.largest_k)]
    print(
        f"temperature {match.temperature:.3f}: {match.entropy:.4f} nats per token (base, at "
        f"{target.conditions.temperature:g}: {target.entropy:.4f}); {', '.join(points)}; written to {out}"
    )
