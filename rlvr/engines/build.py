"""An engine in this process, by its configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from rlvr.config.schema import EngineConfig
from rlvr.engines import Engine
from rlvr.engines.hf import HFEngine
from rlvr.models import loading as models


def local_engine(
    weights: Path, tokenizer: Any, config: EngineConfig, longest: int, device: torch.device
) -> Engine:
    """Holds the weights of a directory. longest: tokens of the longest prompt with its completion."""
    eos = models.eos_ids(weights, tokenizer)
    if config.name == "hf":
        model = models.load_model(weights, config.dtype, device=device)
        return HFEngine(model, tokenizer, eos, config.batch_size)
    from rlvr.engines.vllm import VLLMEngine

    return VLLMEngine(weights, tokenizer, eos, config, longest)
