"""TRL's own colocated vLLM as the engine of the probe, so that no second copy of the weights is held."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from rlvr.engines.vllm import VLLMEngine


class TrainerVLLM(VLLMEngine):
    """The engine that a TRL trainer samples from.

    generation: the trainer's `trl.generation.vllm_generation.VLLMGeneration`.
    """

    def __init__(self, generation: Any, tokenizer: Any, eos_ids: Iterable[int]):
        self.generation = generation
        self.llm = generation.llm
        self.tokenizer = tokenizer
        self.eos_ids = sorted(eos_ids)
        self.batch_size = int(self.llm.llm_engine.vllm_config.scheduler_config.max_num_seqs)
        dtype = str(self.llm.llm_engine.model_config.dtype)
        self.dtype: Any = dtype.removeprefix("torch.")
        self.on_gpu = torch.cuda.is_available()
        self._asleep = False

    def load(self, weights: Iterable[tuple[str, Tensor]]) -> None:
        """The trainer's own weights, by its own way; those given are not read."""
        self.generation.sync_weights()
        if self.generation.enable_sleep_mode:
            self.llm.wake_up(tags=["kv_cache"])

    def sleep(self) -> None:
        """Leaves it as the trainer left it; the trainer pushes the weights again before it samples."""
        if self.generation.enable_sleep_mode:
            self.llm.sleep(level=2)
            self.generation._llm_weights_sleeping = True

    def close(self) -> None:
        """It is the trainer's."""


def trainer_engine(trainer: Any, tokenizer: Any, eos_ids: Iterable[int], longest: int) -> TrainerVLLM | None:
    """The trainer's vLLM where it has one in this process that can take the probe's prompts.

    longest: tokens of the longest prompt with its completion.
    """
    generation = getattr(trainer, "vllm_generation", None)
    llm = getattr(generation, "llm", None)
    if generation is None or llm is None or generation.tensor_parallel_size > 1:
        return None
    if llm.llm_engine.model_config.max_model_len < longest:
        return None
    return TrainerVLLM(generation, tokenizer, eos_ids)
