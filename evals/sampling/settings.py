"""How models are measured: the section `probe` of a run's configuration, and the arguments of commands."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from rlvr.config.schema import Choice, Config, Fraction, Positive, Section


class ProbedTask(Choice):
    """A task to probe: on its test problems, or on those that it trains on."""

    split: Literal["test", "train"] = "test"

    @property
    def label(self) -> str:
        """What its records are named after: countdown:3, or countdown:3/train."""
        return self.name if self.split == "test" else f"{self.name}/{self.split}"


class WatchConfig(Section):
    """What the probe does about what it measures, on the first of its tasks.

    by: what is best, the smallest gap or the least coverage lost. keep_best: the best policy stays in
    best/, whatever happens to its checkpoint. patience: training ends after this many probes in a row
    without a better one. max_coverage_lost: training ends when pass@k falls that far below the base's
    (k: `probe.k`, or the samples of a checkpoint where these are fewer); such a policy is never the best.
    """

    by: Literal["gap", "coverage_lost"] = "gap"
    keep_best: bool = False
    patience: Positive | None = None
    max_coverage_lost: Fraction | None = None

    @property
    def stops(self) -> bool:
        """Whether training may end early."""
        return self.patience is not None or self.max_coverage_lost is not None


class ProbeConfig(Section):
    """The gap's measurement. `every` counts checkpoints; `n` samples per problem at each of them,
    `base_n` once for the base, `final_n` at the last; `k` is the gap's K. `tasks` empty: no probe.

    mode: live samples from the engine that trains; detached leaves jobs for `python -m evals probe`.
    tasks: names, or {name: countdown:3, split: train} for the problems that are trained on.
    stop_r: problems of a policy are sampled until their r-th success, `n` samples at most; base_stop_r:
    the same for the base. chunk: samples that are drawn and stored together. drop_contaminated: leave out
    test problems that are copies of training problems, see `rlvr.tasks.overlap.copies`.
    """

    tasks: tuple[ProbedTask, ...] = ()
    mode: Literal["live", "detached"] = "live"
    every: Positive = 1
    base_n: Positive = 256
    n: Positive = 256
    final_n: Positive = 256
    k: Positive = 256
    max_problems: Positive | None = None
    temperature: Annotated[float, Field(ge=0)] = 0.6
    top_p: Fraction = 0.95
    max_new_tokens: Positive | None = None
    stop_r: Positive | None = None
    base_stop_r: Positive | None = None
    chunk: Positive = 512
    seed: int = 0
    drop_contaminated: bool | None = None
    watch: WatchConfig = WatchConfig()


def probe_config(config: Config) -> ProbeConfig:
    """The run's section `probe`."""
    return config.section(ProbeConfig)


def longest_completion(config: Config) -> int:
    """Tokens that the probe allows a completion; training's limit unless configured."""
    return probe_config(config).max_new_tokens or config.rollouts.max_new_tokens
