"""A model that can be sampled: the one place where training, the probe and every command open one."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from rlvr.config.schema import EngineConfig
from rlvr.core.checkpoint import config_hash, weight_hash
from rlvr.engines import Engine
from rlvr.engines.hf import HFEngine
from rlvr.engines.lazy import LazyEngine
from rlvr.models import loading as models
from rlvr.tasks import Task
from rlvr.tasks.templates.chat import posed, prompt_lengths

# Tokens that a completion may have at most where nobody says so: the study's limit.
MOST_NEW_TOKENS = 16384


class Sampler:
    """A model with its tokenizer, and the engines that hold it.

    path: the model's directory. longest: tokens of the longest prompt with its completion, which engines
    make room for; `fit` sets it.
    """

    def __init__(
        self,
        path: Path,
        tokenizer: Any,
        config: EngineConfig,
        device: torch.device | str,
        server_names: Sequence[str],
        exchange: Path,
    ):
        self.path = path
        self.tokenizer = tokenizer
        self.config = config
        self.device = torch.device(device)
        self.longest = 0
        self._server_names = server_names
        self._exchange = exchange

    @cached_property
    def weights(self) -> str:
        """The hash of the model's weights."""
        return weight_hash(self.path)

    @cached_property
    def settings(self) -> str:
        """The hash of the configuration files that affect what the model writes."""
        return config_hash(self.path)

    @property
    def title(self) -> str:
        """What people call it."""
        return called(self.path)

    def posed(self, task: Task) -> Task:
        """The task with prompts by this model's chat template, where it asks for that. Raises ChatError."""
        return posed(task, self.tokenizer)

    def room(self, tasks: Iterable[Task], given: int | None = None) -> int:
        """Tokens that a completion may have: those given, else what the context leaves after the longest
        test prompt, `MOST_NEW_TOKENS` at most. Raises ModelError where a prompt fills the context."""
        longest = max(length for task in tasks for length in prompt_lengths(self.tokenizer, task.test))
        left = models.context(self.path) - longest
        if left < 1:
            raise models.ModelError(f"{self.path}: a prompt has {longest} tokens, which fill its context")
        return given or min(MOST_NEW_TOKENS, left)

    def fit(self, tasks: Sequence[Task], completion: int) -> Sampler:
        """Makes room for these tasks' prompts with completions of so many tokens. Raises ModelError."""
        self.longest = models.check_context(self.path, self.tokenizer, tasks, completion)
        return self

    def build(self) -> Engine:
        """An engine that holds the weights. Raises EngineError or ModelError."""
        eos = models.eos_ids(self.path, self.tokenizer)
        if self.config.mode == "server":
            from rlvr.engines.vllm_server import VLLMServerEngine

            names, place = self._server_names, self._exchange
            return VLLMServerEngine(self.config, names, self.tokenizer, eos, self.longest, place)
        if self.config.name == "hf":
            model = models.load_model(self.path, self.config.dtype, device=self.device)
            return HFEngine(model, self.tokenizer, eos, self.config.batch_size)
        from rlvr.engines.vllm import VLLMEngine

        return VLLMEngine(self.path, self.tokenizer, eos, self.config, self.longest)

    def engine(self) -> LazyEngine:
        """An engine that is built when it is first needed."""
        return LazyEngine(self.config.name, self.config.dtype, self.build)


def open_model(
    name: str | Path,
    config: EngineConfig,
    device: torch.device | str,
    tokenizer: Any = None,
    exchange: Path = Path("exchange"),
) -> Sampler:
    """A model by its directory, Hub id or embedded:NAME.

    tokenizer: by default the model's own. exchange: a directory that this machine and a server both see.
    Raises ModelError.
    """
    path = models.model_directory(str(name))
    names = [str(name), str(path), str(path.resolve())]
    return Sampler(path, tokenizer or models.load_tokenizer(path), config, device, names, exchange)


def called(path: Path) -> str:
    """What to call the model of a directory: its Hub id, a run and its step, or the directory's own name."""
    parts = path.parts
    if of_hub := [part for part in parts if part.startswith("models--")]:
        return of_hub[-1].removeprefix("models--").replace("--", "/")
    if "checkpoints" in parts[1:-1]:
        place = len(parts) - 1 - parts[::-1].index("checkpoints")
        return f"{parts[place - 1]}/{parts[place + 1]}"
    return path.name


@contextmanager
def whole_policy(policy: Path, base: Path) -> Iterator[Path]:
    """A checkpoint's policy as a whole model: adapters are merged into `base` for as long as the block lasts.

    Raises ModelError.
    """
    if not (policy / "adapter_config.json").exists():
        yield policy
        return
    with tempfile.TemporaryDirectory() as room:
        merged = Path(room) / "policy"
        models.merge_adapters(policy, merged, str(base), "float32")
        yield merged
