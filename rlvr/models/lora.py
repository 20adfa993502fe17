"""LoRA: low-rank adapters on a frozen model, and the weights that engines get."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils import AuxiliaryTrainingWrapper, ModulesToSaveWrapper
from peft.utils.integrations import dequantize_module_weight
from torch import Tensor, nn

from rlvr.config.schema import Lora
from rlvr.core.errors import UserError

ADAPTER = "default"

# While it is held, the given parameters can be read in full.
Whole = Callable[[Sequence[nn.Parameter]], AbstractContextManager[Any]]


class AdapterError(UserError):
    """Adapters cannot be added to the weights that they stand beside."""


def attach(model: nn.Module, lora: Lora, saved: Path | None = None) -> PeftModel:
    """The model with fresh adapters, or those of a directory; everything else is frozen.

    The second adapter matrix starts at zero (arXiv 2106.09685, section 4.1), so the model is unchanged.
    """
    if saved is not None:
        return PeftModel.from_pretrained(model, saved, is_trainable=True)
    settings = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,  # type: ignore[arg-type] # a number of any kind, divided by the rank
        use_rslora=lora.rslora,
        target_modules=list(lora.targets) or "all-linear",
        modules_to_save=list(lora.modules_to_save) or None,
        task_type="CAUSAL_LM",
    )
    return get_peft_model(model, settings)


def merged_weights(model: nn.Module, whole: Whole) -> Iterator[tuple[str, Tensor]]:
    """Every weight under its name in the plain model, adapters added in, one at a time.

    Added, not merged in place and taken out again: in half precision that would accumulate rounding
    error in the frozen weights.
    """
    seen: set[int] = set()
    adapters = (BaseTunerLayer, AuxiliaryTrainingWrapper)
    adapted = tuple(f"{name}." for name, module in model.named_modules() if isinstance(module, adapters))
    for prefix, module in model.named_modules():
        if isinstance(module, AuxiliaryTrainingWrapper):
            yield from _trained_copy(prefix, module, whole)
        elif isinstance(module, BaseTunerLayer):
            yield from _merge(prefix, module, whole)
        elif not f"{prefix}.".startswith(adapted):
            for name, parameter in module.named_parameters(prefix, recurse=False):
                if id(parameter) not in seen:  # tied weights come once
                    seen.add(id(parameter))
                    with whole([parameter]):
                        yield name, parameter.detach()


def _trained_copy(prefix: str, module: Any, whole: Whole) -> Iterator[tuple[str, Tensor]]:
    """A module that is trained whole beside adapters (modules_to_save) under its own name."""
    if not isinstance(module, ModulesToSaveWrapper):
        raise AdapterError(f"{prefix}: {type(module).__name__} cannot be added to the weights")
    copies: Any = module.modules_to_save
    for name, parameter in copies[ADAPTER].named_parameters(prefix):
        with whole([parameter]):
            yield name, parameter.detach()


def _merge(prefix: str, module: Any, whole: Whole) -> Iterator[tuple[str, Tensor]]:
    """A layer with its adapter added. Raises AdapterError for others than LoRA, and for LoRA's variants that
    are no sum."""
    kind = "LoRA" if issubclass(type(module), LoraLayer) else type(module).__name__
    if getattr(module, "use_dora", {}).get(ADAPTER):
        kind = "DoRA"
    if kind != "LoRA":
        raise AdapterError(f"{prefix}: {kind} adapters cannot be added to the weights; those of LoRA can")
    frozen = module.get_base_layer()
    with whole(list(module.parameters())), torch.no_grad():
        weight = dequantize_module_weight(frozen)
        wide = torch.promote_types(weight.dtype, torch.float32)
        yield f"{prefix}.weight", weight.to(wide) + module.get_delta_weight(ADAPTER).to(wide)
        if frozen.bias is not None:
            yield f"{prefix}.bias", frozen.bias.detach()
