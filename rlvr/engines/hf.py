"""The Hugging Face engine: batched sampling with a KV cache on any causal LM, on a CPU or one GPU.

Requests are cut into chunks of `batch_size` in the order given, so equal calls compute equal batches.
Within a chunk equal prompts are prefilled once, and finished rows leave the batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rlvr.engines import Completion, Request, Sampling
from rlvr.engines.kv_cache import preallocated_cache, select_rows
from rlvr.seeds import uniforms

# The share of rows that must have finished before the batch is copied without them.
COMPACT_SHARE = 0.25


class HFEngine:
    """Holds its own copy of the weights, which `load` refreshes.

    model: a causal LM in evaluation mode. tokenizer: decodes completions.
    eos_ids: every token id that ends a completion.
    """

    name = "hf"

    def __init__(self, model: nn.Module, tokenizer: Any, eos_ids: Iterable[int], batch_size: int = 512):
        self.model = model.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.batch_size = batch_size
        parameter = next(model.parameters())
        self.device = parameter.device
        self.dtype = str(parameter.dtype).removeprefix("torch.")
        self._eos = torch.tensor(sorted(eos_ids), device=self.device)

    @torch.inference_mode()
    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Completion]]:
        for start in range(0, len(requests), self.batch_size):
            chunk = requests[start : start + self.batch_size]
            if len({r.sampling for r in chunk}) > 1:
                raise ValueError("all requests of one call share their sampling parameters")
            yield from enumerate(self._complete(chunk), start)

    def load(self, weights: Iterable[tuple[str, Tensor]]) -> None:
        own = dict(self.model.named_parameters()) | dict(self.model.named_buffers())
        with torch.no_grad():
            for name, value in weights:
                if name not in own:
                    raise ValueError(
                        f"the engine's model has no weight {name}: adapters must be merged first"
                    )
                own[name].copy_(value)

    def sleep(self) -> None:
        """Holds its weights, which may lie beside a policy that other ranks hold shards of."""

    def close(self) -> None:
        del self.model

    def _complete(self, chunk: Sequence[Request]) -> list[Completion]:
        """One batch, from prefill to the last finished row."""
        sampling = chunk[0].sampling
        seeds = np.array([r.seed for r in chunk], dtype=np.uint64)
        tokens = torch.zeros(len(chunk), sampling.max_new_tokens, dtype=torch.int64)
        logprobs = torch.zeros(len(chunk), sampling.max_new_tokens)
        lengths = torch.full((len(chunk),), sampling.max_new_tokens)
        stopped = torch.zeros(len(chunk), dtype=torch.bool)
        rows = torch.arange(len(chunk))  # the requests that the batch still holds
        state = _Decoding(self.model, self.device, chunk)
        for position in range(sampling.max_new_tokens):
            drawn, logprob = draw(state.logits, sampling, uniforms(seeds[rows.numpy()], position))
            ended = torch.isin(drawn, self._eos).cpu()
            running = ~stopped[rows]
            live = rows[running]
            tokens[live, position] = drawn.cpu()[running]
            logprobs[live, position] = logprob.cpu()[running]
            stopped[live] = ended[running]
            lengths[live[ended[running]]] = position + 1
            running = ~stopped[rows]
            if not running.any() or position + 1 == sampling.max_new_tokens:
                break
            if (~running).float().mean() >= COMPACT_SHARE:
                state.keep(running)
                drawn, rows = drawn[running.to(self.device)], rows[running]
            state.advance(drawn)
        return self._completions(tokens, logprobs, lengths, stopped)

    def _completions(
        self, tokens: Tensor, logprobs: Tensor, lengths: Tensor, stopped: Tensor
    ) -> list[Completion]:
        ids = [row[:n] for row, n in zip(tokens.tolist(), lengths.tolist(), strict=True)]
        texts = self.tokenizer.batch_decode(ids, skip_special_tokens=True)
        return [
            Completion(tuple(i), tuple(p[: len(i)]), text, "stop" if stop else "length")
            for i, p, text, stop in zip(ids, logprobs.tolist(), texts, stopped.tolist(), strict=True)
        ]


class _Decoding:
    """A batch in flight: cache, attention mask, and the logits [rows, vocabulary] of the next token."""

    def __init__(self, model: nn.Module, device: torch.device, chunk: Sequence[Request]):
        self.model = model
        unique = {prompt: i for i, prompt in enumerate(dict.fromkeys(r.prompt_ids for r in chunk))}
        width = max(len(p) for p in unique)
        ids = torch.zeros(len(unique), width, dtype=torch.int64)
        mask = torch.zeros_like(ids)
        for i, prompt in enumerate(unique):
            ids[i, width - len(prompt) :] = torch.tensor(prompt)
            mask[i, width - len(prompt) :] = 1
        capacity = width + chunk[0].sampling.max_new_tokens
        self.cache = preallocated_cache(model.config.num_hidden_layers, capacity)
        self.mask = mask.to(device)
        self.positions = (self.mask.cumsum(1) - 1).clamp(min=0)
        self.logits = self._forward(ids.to(device))
        if len(unique) < len(chunk):
            self._select(torch.tensor([unique[r.prompt_ids] for r in chunk], device=device))

    def keep(self, rows: Tensor) -> None:
        """Drops all other rows. rows: [batch] bool."""
        self._select(rows.nonzero()[:, 0].to(self.mask.device))

    def advance(self, drawn: Tensor) -> None:
        """Feeds one token a row ([rows] int64) and computes the next logits."""
        self.positions = self.positions[:, -1:] + 1
        self.mask = torch.cat([self.mask, torch.ones_like(self.mask[:, :1])], dim=1)
        self.logits = self._forward(drawn[:, None])

    def _select(self, rows: Tensor) -> None:
        select_rows(self.cache, rows)
        self.mask, self.positions = self.mask[rows], self.positions[rows]
        self.logits = self.logits[rows]

    def _forward(self, ids: Tensor) -> Tensor:
        out = self.model(
            input_ids=ids,
            attention_mask=self.mask,
            position_ids=self.positions,
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1,
        )
        return out.logits[:, -1].float()


def draw(logits: Tensor, sampling: Sampling, uniform: np.ndarray) -> tuple[Tensor, Tensor]:
    """Draws one token a row by inverting the distribution function at the row's uniform number.

    logits: [rows, vocabulary] float32; uniform: [rows] float64 in [0, 1).
    Returns (tokens, log-probs), [rows] each; see `Completion.logprobs`.
    """
    if sampling.temperature == 0:
        logprobs = logits.log_softmax(-1)
        drawn = logits.argmax(-1)
    else:
        logits = logits / sampling.temperature
        if sampling.top_p < 1:
            logits = _nucleus(logits, sampling.top_p)
        logprobs = logits.log_softmax(-1)
        cumulative = logprobs.double().exp().cumsum(-1)
        target = torch.from_numpy(uniform).to(logits.device)[:, None] * cumulative[:, -1:]
        drawn = torch.searchsorted(cumulative, target, right=True)[:, 0]
    return drawn, logprobs.gather(-1, drawn[:, None])[:, 0]


def _nucleus(logits: Tensor, top_p: float) -> Tensor:
    """-inf outside the smallest set of most likely tokens whose probability reaches top_p."""
    ordered, order = logits.sort(stable=True, dim=-1, descending=True)
    probabilities = ordered.softmax(-1)
    before = probabilities.cumsum(-1) - probabilities
    ordered = ordered.masked_fill(before >= top_p, -torch.inf)
    return torch.empty_like(logits).scatter(-1, order, ordered)
