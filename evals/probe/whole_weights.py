"""The weights of a model that somebody else's trainer holds: wrapped, sharded, or frozen under adapters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import extract_model_from_parallel
from peft import PeftModel
from safetensors import safe_open
from torch import Tensor, nn
from torch.distributed.fsdp import FullyShardedDataParallel
from torch.distributed.tensor import DTensor

from rlvr.models.lora import merged_weights

# What wrappers put between the names of modules.
WRAPPERS = ("_fsdp_wrapped_module.", "_checkpoint_wrapped_module.", "_orig_mod.")


def whole_weights(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Every weight under its name in the plain model, whole, adapters added in, one at a time.

    model: plain, or in DistributedDataParallel, DeepSpeed (ZeRO-3 too), FSDP 1 or 2, with or without LoRA.
    All ranks iterate it to its end. Raises AdapterError for adapters that cannot be added to the weights.
    """
    plain: nn.Module = extract_model_from_parallel(model, keep_torch_compile=False)
    adapted = next((m for m in plain.modules() if isinstance(m, PeftModel)), None)
    inner = plain if adapted is None else adapted.get_base_model()
    with _summoned(model):
        for name, weight in merged_weights(inner, _gathered):
            for wrapper in WRAPPERS:
                name = name.replace(wrapper, "")
            yield name, weight.full_tensor() if isinstance(weight, DTensor) else weight


@contextmanager
def unsharded_loading() -> Iterator[None]:
    """Models that are loaded inside the block are whole, although the trainer shards by ZeRO-3, which
    transformers would do to every model that it loads."""
    from transformers.integrations import deepspeed

    found = deepspeed._hf_deepspeed_config_weak_ref
    deepspeed.unset_hf_deepspeed_config()
    try:
        yield
    finally:
        deepspeed._hf_deepspeed_config_weak_ref = found


def is_model_of(directory: Path, model: nn.Module) -> bool:
    """Whether the model holds the weights of a directory, as far as its precision goes. On all ranks."""
    files: dict[str, Any] = {}
    for path in directory.glob("*.safetensors"):
        file = safe_open(path, framework="pt")
        files |= dict.fromkeys(file.keys(), file)
    same = bool(files)
    for name, weight in whole_weights(model):
        if name in files:  # a tied weight stands under another name
            stored = files[name].get_tensor(name)
            narrow = min(weight.dtype, stored.dtype, key=lambda dtype: dtype.itemsize)
            same &= torch.equal(weight.cpu().to(narrow), stored.to(narrow))
    return same


def _gathered(parameters: Sequence[nn.Parameter]) -> AbstractContextManager[Any]:
    """Makes parameters whole that ZeRO-3 shards."""
    if not any(hasattr(parameter, "ds_id") for parameter in parameters):
        return nullcontext()
    from deepspeed.runtime.zero import GatheredParameters

    return GatheredParameters(list(parameters))


def _summoned(model: nn.Module) -> AbstractContextManager[Any]:
    """Makes parameters whole that FSDP 1 shards, all at once; FSDP 2 gathers one by one."""
    if not any(isinstance(module, FullyShardedDataParallel) for module in model.modules()):
        return nullcontext()
    return FullyShardedDataParallel.summon_full_params(model, writeback=False)
