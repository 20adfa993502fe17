"""Whether a recipe fits on GPUs, by the memory estimate, and which keys to change if not."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

from rlvr.config.errors import ConfigError, Mistake
from rlvr.config.schema import Config, Lora, Shape
from rlvr.planning.memory import Memory, estimate, shares_gpus

# The KV cache has to hold this share of the completions that a process asks for at once, at full length.
HELD = 0.03
# The share of a GPU left for what is not estimated: CUDA context, communication buffers, fragmentation.
RESERVE = 0.1


@dataclass(frozen=True)
class Gpus:
    """The GPUs that train: how many, and the GiB of each."""

    count: int
    gib: float

    @classmethod
    def parse(cls, text: str) -> Gpus:
        """From COUNTxGIB, such as 8x80. Raises ConfigError."""
        match = re.fullmatch(r"([1-9]\d*)x(\d+(?:\.\d+)?)", text)
        if match is None or not float(match[2]):
            advice = "give the GPUs as COUNTxGIB, for example --dry-run=8x80"
            raise ConfigError("command line", [Mistake("--dry-run", text, advice)])
        return cls(int(match[1]), float(match[2]))

    @property
    def usable(self) -> float:
        """GiB of each that the estimate may fill."""
        return self.gib * (1 - RESERVE)

    def __str__(self) -> str:
        return f"{self.count} x {self.gib:.4g} GiB"


@dataclass(frozen=True)
class Fit:
    """What does not fit on the GPUs, empty if all does, and changes that would help."""

    faults: tuple[str, ...]
    advice: tuple[str, ...]


def check_fit(config: Config, shape: Shape, gpus: Gpus) -> Fit:
    """Whether the recipe fits on the GPUs and, if not, which keys to change, each by itself."""
    faults = _faults(config, estimate(config, shape, gpus.count, gpus.gib), gpus)
    if not faults:
        return Fit((), ())
    advice = []
    for change, changed in _changes(config, shape, gpus):
        memory = estimate(changed, shape, gpus.count, gpus.gib)
        verdict = "does not fit yet" if _faults(changed, memory, gpus) else "fits"
        advice.append(f"{change}: at most {memory.peak:.1f} GiB, {verdict}")
    return Fit(faults, tuple(advice))


def _faults(config: Config, memory: Memory, gpus: Gpus) -> tuple[str, ...]:
    room = f"of {gpus.gib:.4g} GiB, {gpus.usable:.1f} of them usable"
    faults = []
    if memory.training > gpus.usable:
        faults.append(f"training needs {memory.training:.1f} {room}")
    if memory.generating > gpus.usable:
        faults.append(f"generation beside the training states needs {memory.generating:.1f} {room}")
    least = max(1.0, HELD * _at_once(config, gpus))
    if shares_gpus(config) and memory.completions < least:
        share = config.engine.memory_share * gpus.gib
        faults.append(
            f"engine.memory_share gives vLLM {share:.1f} GiB, its weights take {memory.engine_weights:.1f}: "
            f"the KV cache holds {memory.completions:.2f} completions of full length; {HELD:.0%} of those "
            f"that a process samples at once are {least:.1f}"
        )
    return tuple(faults)


def _at_once(config: Config, gpus: Gpus) -> float:
    """Completions that each process asks its engine for at once."""
    asked = config.rollouts.prompts * config.rollouts.group_size / gpus.count
    return min(asked, config.engine.batch_size)


def _changes(config: Config, shape: Shape, gpus: Gpus) -> Iterator[tuple[str, Config]]:
    """Changes that save memory, as `key=value` with the changed configuration."""
    policy, optim, engine = config.policy, config.optim, config.engine
    if policy.zero < 3 and gpus.count > 1:
        yield "policy.zero=3", _with(config, "policy", zero=3)
    if not policy.gradient_checkpointing:
        yield "policy.gradient_checkpointing=true", _with(config, "policy", gradient_checkpointing=True)
    longest = config.rollouts.max_new_tokens
    if optim.micro_batch_tokens > longest:
        yield f"optim.micro_batch_tokens={longest}", _with(config, "optim", micro_batch_tokens=longest)
    if policy.lora is None:
        yield f"policy.lora.rank={Lora().rank}", _with(config, "policy", lora=Lora())
    if shares_gpus(config):
        memory = estimate(config, shape, gpus.count, gpus.gib)
        held = max(1.0, HELD * _at_once(config, gpus)) * memory.kv_completion
        least = (memory.engine_weights + held) / gpus.gib
        most = (gpus.usable - memory.states) / gpus.gib
        share = math.floor(most * 100) / 100
        if least <= share and share != engine.memory_share:
            yield f"engine.memory_share={share}", _with(config, "engine", memory_share=share)
        yield "engine.mode=server, on other GPUs", _with(config, "engine", mode="server")


def _with(config: Config, section: str, **values: object) -> Config:
    return config.model_copy(update={section: getattr(config, section).model_copy(update=values)})
