"""What both trainers of `against_trl.py` work on (models, prompts, lengths, reward), and the meter."""

from __future__ import annotations

import time
import zlib
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

SHAPES = {
    "1M": {"vocab_size": 1024, "hidden_size": 128, "intermediate_size": 352, "num_hidden_layers": 4,
           "num_attention_heads": 4, "num_key_value_heads": 2},
    "30M": {"vocab_size": 8192, "hidden_size": 512, "intermediate_size": 1408, "num_hidden_layers": 9,
            "num_attention_heads": 8, "num_key_value_heads": 2},
    "152k": {"vocab_size": 151936, "hidden_size": 256, "intermediate_size": 704, "num_hidden_layers": 2,
             "num_attention_heads": 4, "num_key_value_heads": 2},
}  # fmt: skip


@dataclass(frozen=True)
class Workload:
    """One row of the table. prompt, completion: tokens; medians where lengths are log-normal.

    sigma: of the completions' logarithms, half of it for prompts; 0 is fixed. The longest has four times the
    median.
    trl_rows: completions a micro-batch of TRL; micro_batch_tokens: ours.
    """

    shape: str
    prompts: int
    group_size: int
    prompt: int
    completion: int
    sigma: float
    trl_rows: int
    micro_batch_tokens: int

    @property
    def name(self) -> str:
        return f"{self.shape}, {'log-normal' if self.sigma else 'fixed'}"

    @property
    def rows(self) -> int:
        return self.prompts * self.group_size

    @property
    def longest(self) -> int:
        return self.completion * (4 if self.sigma else 1)

    def completion_lengths(self, step: int) -> list[int]:
        """One a completion, in the order of prompts and samples."""
        return self._lengths(np.random.default_rng([step, 0]), self.completion, self.sigma, self.rows)

    def prompt_ids(self, step: int) -> list[list[int]]:
        rng = np.random.default_rng([step, 1])
        lengths = self._lengths(rng, self.prompt, self.sigma / 2, self.prompts)
        vocabulary = SHAPES[self.shape]["vocab_size"]
        return [rng.integers(2, vocabulary, size=n).tolist() for n in lengths]

    def _lengths(self, rng: np.random.Generator, median: int, sigma: float, count: int) -> list[int]:
        drawn = median * np.exp(sigma * rng.standard_normal(count))
        return np.clip(drawn.round(), 1, 4 * median).astype(int).tolist()


# TRL's micro-batches are a quarter of the batch, which was faster than the whole on either shape.
WORKLOADS = [
    Workload("1M", 8, 8, 64, 128, 0.0, trl_rows=16, micro_batch_tokens=4096),
    Workload("1M", 8, 8, 64, 96, 0.8, trl_rows=16, micro_batch_tokens=4096),
    Workload("30M", 8, 4, 64, 64, 0.0, trl_rows=8, micro_batch_tokens=1024),
    Workload("30M", 8, 4, 64, 32, 0.8, trl_rows=8, micro_batch_tokens=1024),
]
# 2048 tokens in one micro-batch.
LARGE_VOCABULARY = Workload("152k", 1, 4, 64, 448, 0.0, trl_rows=4, micro_batch_tokens=2048)


def build_model(shape: str) -> nn.Module:
    """Random weights, equal in every call."""
    torch.manual_seed(0)
    config = Qwen2Config(
        **SHAPES[shape], max_position_embeddings=4096, tie_word_embeddings=True,
        bos_token_id=None, eos_token_id=None,
    )  # fmt: skip
    return Qwen2ForCausalLM(config)


def build_tokenizer(vocabulary: int) -> PreTrainedTokenizerFast:
    """One token a word; token i is the word wi."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = {"<pad>": 0, "<eos>": 1, **{f"w{i}": i for i in range(2, vocabulary)}}
    core = Tokenizer(models.WordLevel(words, unk_token="<pad>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=core, pad_token="<pad>", eos_token="<eos>")


def words(ids: list[int]) -> str:
    return " ".join(f"w{i}" for i in ids)


def is_correct(completion: str) -> bool:
    """A rule that no model learns, right for about a third of all completions."""
    return zlib.crc32(completion.encode()) % 3 == 0


@dataclass
class Meter:
    """Seconds of wall and CPU time by phase of one step, and tokens that went through a model's layers."""

    wall: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    cpu: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    tokens: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    _open: list[str] = field(default_factory=list)

    @contextmanager
    def measured(self, phase: str) -> Iterator[None]:
        """What runs inside belongs to this phase; a phase inside another is not the outer one's."""
        self._open.append(phase)
        wall, cpu = time.perf_counter(), time.process_time()
        inner_wall, inner_cpu = sum(self.wall.values()), sum(self.cpu.values())
        yield
        self._open.pop()
        inner_wall, inner_cpu = sum(self.wall.values()) - inner_wall, sum(self.cpu.values()) - inner_cpu
        self.wall[phase] += time.perf_counter() - wall - inner_wall
        self.cpu[phase] += time.process_time() - cpu - inner_cpu

    def count(self, model: nn.Module) -> None:
        """Counts the tokens that this model embeds from now on."""

        def embedded(_: nn.Module, inputs: tuple[torch.Tensor, ...], __: Any) -> None:
            self.tokens[self._open[-1]] += inputs[0].numel()

        model.get_input_embeddings().register_forward_hook(embedded)

    def taken(self) -> Meter:
        """What was measured so far; measuring begins anew."""
        done = Meter(dict(self.wall), dict(self.cpu), dict(self.tokens))
        for part in (self.wall, self.cpu, self.tokens):
            part.clear()
        return done
