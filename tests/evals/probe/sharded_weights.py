"""On each of two processes: a model sharded by FSDP 1 and 2, with and without adapters, gives its weights."""

from __future__ import annotations

import sys

import torch
from torch import nn
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
from toys import toy_model

from evals.probe.whole_weights import whole_weights
from rlvr.config.schema import Lora
from rlvr.models.lora import attach


def model(adapted: bool) -> nn.Module:
    torch.manual_seed(0)
    plain = toy_model().float()
    if not adapted:
        return plain
    holder = attach(plain, Lora(rank=4, alpha=8.0))
    with torch.no_grad():
        for parameter in holder.parameters():
            if parameter.requires_grad:
                parameter.copy_(torch.randn_like(parameter) * 0.1)
    return holder


def sharded(version: str, whole: nn.Module) -> nn.Module:
    if version == "fsdp1":
        return FullyShardedDataParallel(whole, use_orig_params=True, device_id=torch.device("cpu"))
    inner = next(m for m in whole.modules() if isinstance(m, nn.ModuleList))
    for layer in inner:
        fully_shard(layer)
    fully_shard(whole)
    return whole


def main() -> None:
    torch.distributed.init_process_group("gloo")
    for version in ("fsdp1", "fsdp2"):
        for adapted in (False, True):
            expected = {name: weight.clone() for name, weight in whole_weights(model(adapted))}
            cut = sharded(version, model(adapted))
            held = sum(
                p.to_local().numel() if hasattr(p, "to_local") else p.numel() for p in cut.parameters()
            )
            given = {name: weight.clone() for name, weight in whole_weights(cut)}
            assert held < 0.75 * sum(p.numel() for p in model(adapted).parameters()), "nothing is sharded"
            assert given.keys() == expected.keys(), given.keys() ^ expected.keys()
            for name, weight in expected.items():
                torch.testing.assert_close(given[name], weight, atol=1e-6, rtol=1e-6)
            print(version, adapted, len(given))
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    sys.exit(main())
