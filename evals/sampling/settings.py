"""How models are measured: the section `probe` of a run's configuration, and the arguments of commands."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from rlvr.config.schema import Choice, Config, Fraction, Positive, Section, Stop
from rlvr.tasks.data.names import NAME as DATA
from rlvr.tasks.data.names import label_of


class ProbedTask(Choice):
    """A task to probe: on its test problems, or on those that it trains on."""

    split: Literal["test", "train"] = "test"
    """Which of its problems are probed."""

    @property
    def label(self) -> str:
        """What its records are named after: countdown:3, or countdown:3/train."""
        name = label_of(self.options) if self.name == DATA else self.name
        return name if self.split == "test" else f"{name}/{self.split}"


class WatchConfig(Section):
    """What the probe does about what it measures, on the first of its tasks."""

    by: Literal["gap", "coverage_lost"] = "gap"
    """What is best: the smallest gap, or the least coverage lost."""
    keep_best: bool = False
    """Keep the best policy in best/, whatever happens to its checkpoint."""
    patience: Positive | None = None
    """End training after this many probes in a row without a better one."""
    max_coverage_lost: Fraction | None = None
    """End training when pass@k is that far below the base's; such a policy is never the best.
    k is `probe.k`, or the samples of a checkpoint where these are fewer."""

    @property
    def stops(self) -> bool:
        """Whether training may end early."""
        return self.patience is not None or self.max_coverage_lost is not None


class ProbeConfig(Section):
    """The gap's measurement after checkpoints."""

    tasks: tuple[ProbedTask, ...] = ()
    """Names, or {name: countdown:3, split: train} for the problems that are trained on; empty: no probe."""
    mode: Literal["live", "detached"] = "live"
    """Sample with the engine that trains, or leave jobs for `python -m evals probe`."""
    every: Positive = 1
    """Checkpoints from one probe to the next."""
    base_n: Positive = 256
    """Samples per problem of the base, drawn once."""
    n: Positive = 256
    """Samples per problem at a checkpoint."""
    final_n: Positive = 256
    """Samples per problem at the last checkpoint."""
    k: Positive = 256
    """The K of the gap, base pass@K - policy pass@1."""
    max_problems: Positive | None = None
    """Probe a subset of the problems, chosen by `seed`."""
    temperature: Annotated[float, Field(ge=0)] = 0.6
    """0 is greedy."""
    top_p: Fraction = 0.95
    """Nucleus."""
    max_new_tokens: Positive | None = None
    """The longest completion; null is `rollouts.max_new_tokens`."""
    stop_r: Positive | None = None
    """Sample a problem of the policy until its r-th success, `n` samples at most."""
    base_stop_r: Positive | None = None
    """The same for the base."""
    stop: Stop = None
    """As `rollouts.stop`."""
    bad: Literal["stop", "wrong"] = "stop"
    """Where an environment fails: stop, or count the episode as wrong."""
    chunk: Positive = 512
    """Samples that are drawn and stored together."""
    seed: int = 0
    """Of the probe's sampling and of the subset."""
    drop_contaminated: bool | None = None
    """Leave out test problems that are copies of training problems, see `rlvr.tasks.overlap.copies`."""
    watch: WatchConfig = WatchConfig()


def probe_config(config: Config) -> ProbeConfig:
    """The run's section `probe`."""
    return config.section(ProbeConfig)


def longest_completion(config: Config) -> int:
    """Tokens that the probe allows a completion; training's limit unless configured."""
    return probe_config(config).max_new_tokens or config.rollouts.max_new_tokens
