"""The Accelerator of a run: which processes there are, and what shards the training states over them."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
from accelerate import Accelerator, DeepSpeedPlugin, PartialState
from accelerate.utils import DistributedDataParallelKwargs, InitProcessGroupKwargs
from transformers.integrations import unset_hf_deepspeed_config

from rlvr.config.schema import OptimConfig, PolicyConfig
from rlvr.core.errors import UserError

# How long a rank waits for the others before it takes them for dead.
LONGEST_WAIT = timedelta(hours=6)


# What gloo and NCCL say where the process at the other end has ended.
_GONE = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "caused pair closure",
         "remote process exited", "Socket closed", "Timed out waiting", "Connection refused",
         "NCCL communicator was aborted", "unhandled system error")  # fmt: skip


class LostProcess(UserError):
    """Another process of this command has ended, so that this one cannot go on."""


@contextmanager
def no_lost_process() -> Iterator[None]:
    """Raises LostProcess where the block fails because another process of this command is gone."""
    try:
        yield
    except RuntimeError as error:
        several = int(os.environ.get("WORLD_SIZE", "1")) > 1
        if not several or not any(said in str(error) for said in _GONE):
            raise
        raise LostProcess(
            "another process of this run has ended, so this one ends too: what that one said is above, or in "
            "its machine's log; where it said nothing it was killed, often for want of memory (dmesg). Give "
            f"the same command again to go on from the last checkpoint. ({str(error).strip()[:200]})"
        ) from error


def processes() -> PartialState:
    """The processes of this command, as a run has made them or else made now.

    Without GPUs, several must be told so, or each takes itself for the only one.
    """
    on_cpu = not torch.cuda.is_available() and int(os.environ.get("WORLD_SIZE", "1")) > 1
    return PartialState(cpu=on_cpu, timeout=LONGEST_WAIT)


def make_accelerator(policy: PolicyConfig, optim: OptimConfig, has_critic: bool = False) -> Accelerator:
    """Without GPUs, several processes must be told so, and to use gloo, or each takes itself for the only
    one. has_critic: its warm-up leaves the policy's gradients unused."""
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1
    on_cpu = not torch.cuda.is_available()
    handlers: list[Any] = []
    plugin = None
    if on_cpu:
        os.environ.setdefault("DS_ACCELERATOR", "cpu")  # DeepSpeed, once imported, would warn and guess
    if several or policy.zero:
        # Collectives can be hours apart: each draws its share of a probe, one writes the checkpoint.
        backend = {"backend": "gloo"} if on_cpu else {}
        handlers.append(InitProcessGroupKwargs(timeout=LONGEST_WAIT, **backend))
    if several and has_critic and not policy.zero:
        handlers.append(DistributedDataParallelKwargs(find_unused_parameters=True))
    if policy.zero:
        os.environ["ACCELERATE_USE_CPU"] = "false"  # else Accelerate would leave DeepSpeed out
        # What a launch file says of DeepSpeed was held against the recipe by `rlvr.planning.checks`.
        os.environ.pop("ACCELERATE_CONFIG_DS_FIELDS", None)
        if "RANK" not in os.environ:
            _stand_alone()
        if on_cpu:
            _without_compiler()
        plugin = DeepSpeedPlugin(hf_ds_config=deepspeed_config(policy, optim))
    accelerator = Accelerator(
        cpu=several and on_cpu and not policy.zero,  # DeepSpeed is told otherwise
        mixed_precision="bf16" if policy.dtype == "bfloat16" else "no",
        kwargs_handlers=handlers,
        deepspeed_plugin=plugin,
    )
    # Else every model that loads would be sharded, the engine's too.
    unset_hf_deepspeed_config()
    return accelerator


def _without_compiler() -> None:
    """Keeps DeepSpeed from compiling an all-reduce of its own in C++, which takes a minute; gloo's serves."""
    import deepspeed

    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False


def _stand_alone() -> None:
    """Gives a process that no launcher started what DeepSpeed expects of one."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    place = {"RANK": 0, "LOCAL_RANK": 0, "WORLD_SIZE": 1, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in place.items()})


def deepspeed_config(policy: PolicyConfig, optim: OptimConfig) -> dict[str, Any]:
    """Batch sizes are ours, so DeepSpeed's are 1; `rlvr.learning.parallel` says when it steps."""
    half = policy.dtype == "bfloat16"
    return {
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
        "gradient_clipping": optim.max_grad_norm,
        "bf16": {"enabled": half, "check_grad_overflow": True},
        **({"data_types": {"grad_accum_dtype": "fp32"}} if half else {}),
        "zero_optimization": {"stage": policy.zero},
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
        "steps_per_print": 2**31,
    }
