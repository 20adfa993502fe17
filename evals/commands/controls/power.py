"""python -m evals power model=MODEL task=NAME out=DIR [n=16] [key=value ...]

Measures a model under power sampling (arXiv 2510.14901): completions are drawn from the model's own
distribution to the power 1 / temperature, by Metropolis and Hastings. Nothing is trained, so it is a control:
what sharpening alone gives. out gets the same two files as of `python -m evals probe`; `python -m evals
curves` draws them beside others with allow=temperature,top_p. Samples are kept in $RLVR_STORE.

  n=16              samples of a problem
  temperature=0.25  the power's inverse
  moves=10          steps of Metropolis and Hastings after each block
  block=            tokens that a completion grows by; by default a sixteenth of the longest
  max_new_tokens=   by default what the model's context leaves, 16,384 at most
  max_problems= seed=0 chunk=512 dtype=float32|bfloat16 batch_size=512 task.KEY=VALUE
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field
from rich.console import Console

from evals.commands.frame import GOES_ON, OutDirectory, command
from evals.sampling.instrument import Instrument, MeasuredSamples, Subject
from evals.sampling.power_sampling import PowerEngine
from evals.sampling.settings import ProbeConfig
from rlvr.config.schema import Choice, EngineConfig, Positive, Section
from rlvr.core.progress import plain_console
from rlvr.engines.hf import HFEngine
from rlvr.engines.lazy import LazyEngine
from rlvr.engines.sampler import open_model
from rlvr.learning.accelerator import processes
from rlvr.tasks import build_task

BLOCKS = 16


class Settings(Section):
    """What one command measures."""

    model: str
    task: Choice
    out: OutDirectory
    n: Positive = 16
    temperature: Annotated[float, Field(gt=0, le=1)] = 0.25
    moves: Annotated[int, Field(ge=0)] = 10
    block: Positive | None = None
    max_new_tokens: Positive | None = None
    max_problems: Positive | None = None
    seed: int = 0
    chunk: Positive = 512
    dtype: Literal["float32", "bfloat16"] = "float32"
    batch_size: Positive = 512


@command(Settings, builds_task=True, interrupted=GOES_ON)
def main(settings: Settings) -> None:
    """Raises ModelError, TaskError or StartError."""
    reading = measure(settings, plain_console(stderr=True))
    if reading is not None:
        write(settings.out, reading)


def measure(settings: Settings, console: Console) -> MeasuredSamples | None:
    """On all ranks; the reading on the main process. Raises ModelError, TaskError or StartError."""
    task = build_task(settings.task.name, **settings.task.options).in_one_turn("power")
    engines = EngineConfig(dtype=settings.dtype, batch_size=settings.batch_size)
    model = open_model(settings.model, engines, processes().device)
    task = model.posed(task)
    tokens = model.room([task], settings.max_new_tokens)
    model.fit([task], tokens)
    block = settings.block or -(-tokens // BLOCKS)

    def build() -> PowerEngine:
        engine = model.build()
        assert isinstance(engine, HFEngine)  # a move needs its log-probs of given tokens
        return PowerEngine(engine, block, settings.moves)

    config = ProbeConfig(
        temperature=settings.temperature,
        top_p=1.0,
        max_problems=settings.max_problems,
        seed=settings.seed,
        chunk=settings.chunk,
    )
    instrument = Instrument(config, model.tokenizer, tokens, console)
    name = PowerEngine.named("hf", block, settings.moves)
    with LazyEngine(name, settings.dtype, build) as engine:
        subject = Subject.of(model, engine)
        plan = instrument.plan(task, settings.n)
        # A move draws half of what stands, on average, and what stands grows from one block to all of them.
        times = 1 + settings.moves * (-(-tokens // block) + 1) / 4
        console.print(
            f"{len(plan.problems):,} problems x {settings.n}, at most {tokens} tokens in blocks of {block}: "
            f"each completion costs about {times:.0f} of its length",
            highlight=False,
        )
        return instrument.measure(plan, subject, f"power {task.name}")


def write(out: Path, reading: MeasuredSamples) -> None:
    """The measurement's two files, and what they say at the smallest and the largest k."""
    reading.measurement.write(out, reading.samples)
    counts = reading.measurement.counts
    points = [f"pass@{k} {100 * counts.pass_at_k(k).mean():.1f}" for k in (1, counts.largest_k)]
    stored = counts.samples - reading.drawn
    print(f"{', '.join(points)}; {stored:,} of {counts.samples:,} samples were stored; written to {out}")
