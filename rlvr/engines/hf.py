"""The Hugging Face engine: continuous batching on any causal LM of transformers, on a CPU or one GPU.

A slot that a finished completion leaves is taken by the next request at once; when none waits, the batch
shrinks. Equal prompts are prefilled once. What happens when depends on the requests and the weights alone,
so equal calls compute equal batches.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedModel
from transformers.cache_utils import DynamicCache

from rlvr.core.seeds import uniforms
from rlvr.engines import Completion, Request
from rlvr.engines.attention import use_grouped_attention
from rlvr.engines.draw import draw
from rlvr.engines.kv_cache import SlotCache
from rlvr.engines.stops import finder

# Prompt tokens, padding included, that are prefilled at once; a longer prompt is prefilled alone.
PREFILL_TOKENS = 8192

# A sequence in its slot. cached: tokens in the cache; drawn: tokens of the completion; fed: its last token.
SLOT = np.dtype(
    [("request", "i8"), ("seed", "u8"), ("limit", "i8"), ("cached", "i8"), ("drawn", "i8"), ("fed", "i8")]
)


class HFEngine:
    """Holds its own copy of the weights, which `load` refreshes.

    model: a causal LM whose layers attend to all earlier tokens. tokenizer: decodes completions.
    eos_ids: every token id that ends a completion. batch_size: completions in flight at once.
    """

    name = "hf"

    def __init__(self, model: PreTrainedModel, tokenizer: Any, eos_ids: Iterable[int], batch_size: int = 512):
        self.model = model.eval().requires_grad_(False)
        use_grouped_attention(self.model)
        self.tokenizer = tokenizer
        self.batch_size = batch_size
        parameter = next(model.parameters())
        self.device = parameter.device
        self.dtype = str(parameter.dtype).removeprefix("torch.")
        self._eos = np.array(sorted(eos_ids))

    @torch.inference_mode()
    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Completion]]:
        if len({(r.sampling.temperature, r.sampling.top_p) for r in requests}) > 1:
            raise ValueError("all requests of one call share temperature and top_p")
        if not requests:
            return
        self._check_window(max(len(r.prompt_ids) + r.sampling.max_new_tokens for r in requests))
        decoding = _Decoding(self, requests)
        while decoding.admit():
            yield from decoding.step()

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

    def _check_window(self, longest: int) -> None:
        """Raises ValueError where some layer would not attend to every earlier token."""
        config = self.model.config
        other = set(getattr(config, "layer_types", None) or ()) - {"full_attention", "sliding_attention"}
        window = getattr(config, "sliding_window", None)
        if other or (window is not None and window < longest):
            what = f"layers of type {', '.join(sorted(other))}" if other else f"a window of {window} tokens"
            raise ValueError(
                f"the hf engine attends to all {longest} tokens of prompt and completion, but the model has "
                f"{what}: use engine.name=vllm" + ("" if other else ", or shorter prompts and completions")
            )


class _Decoding:
    """The requests of one call on their way through the slots; the first `live` slots are taken."""

    def __init__(self, engine: HFEngine, requests: Sequence[Request]):
        self.model, self.device, self.eos = engine.model, engine.device, engine._eos
        self.decode = engine.tokenizer.decode
        self.requests = requests
        self.stops = {r.sampling.stop: finder(engine.tokenizer, r.sampling.stop) for r in requests}
        slots = min(engine.batch_size, len(requests))
        longest = max(r.sampling.max_new_tokens for r in requests)
        prompts: dict[tuple[int, ...], list[int]] = {}
        for index, request in enumerate(requests):
            prompts.setdefault(request.prompt_ids, []).append(index)
        # The longest first: neighbours are then padded little, and the memory's peak comes at once.
        self.prompts = deque(sorted(prompts.items(), key=lambda item: -len(item[0])))
        self.prefilled = DynamicCache()
        self.waiting: deque[tuple[int, int]] = deque()  # (request, row of `prefilled`)
        self.cache = SlotCache(slots, len(self.prompts[0][0]) + longest)
        self.live = 0
        self.slots = np.zeros(slots, SLOT)
        self.tokens = np.zeros((slots, longest), np.int64)
        self.logprobs = np.zeros((slots, longest), np.float32)

    def admit(self) -> bool:
        """Fills the free slots as far as requests wait. Whether any slot is taken."""
        while self.live < len(self.slots) and (self.waiting or self.prompts):
            if not self.waiting:
                self._prefill()
            count = min(len(self.waiting), len(self.slots) - self.live)
            taken = [self.waiting.popleft() for _ in range(count)]
            new = np.arange(self.live, self.live + count)
            self.cache.place(self.prefilled, self._sent([row for _, row in taken]), self._sent(new))
            for slot, (index, _) in zip(new, taken, strict=True):
                request = self.requests[index]
                prompt, limit = request.prompt_ids, request.sampling.max_new_tokens
                self.slots[slot] = (index, request.seed, limit, len(prompt) - 1, 0, prompt[-1])
            self.live += count
        return self.live > 0

    def step(self) -> list[tuple[int, Completion]]:
        """Draws one token in every slot; returns and frees those that are finished."""
        own = self.slots[: self.live]
        logits = self._forward(own)
        uniform = uniforms(own["seed"], own["drawn"])
        both = draw(logits, self.requests[0].sampling, uniform)
        # One copy for both, so that the device is waited for once; float64 holds either exactly.
        drawn, logprobs = torch.stack([x.double() for x in both]).cpu().numpy()
        rows = np.arange(self.live)
        self.tokens[rows, own["drawn"]] = drawn
        self.logprobs[rows, own["drawn"]] = logprobs
        own["fed"] = drawn
        own["drawn"] += 1
        own["cached"] += 1
        stopped = np.isin(drawn, self.eos) | self._at_stop(own, drawn)
        finished = stopped | (own["drawn"] == own["limit"])
        done = [self._completion(slot, stopped[slot]) for slot in finished.nonzero()[0]]
        self._free(finished)
        return done

    def _at_stop(self, own: NDArray[Any], drawn: NDArray[Any]) -> NDArray[np.bool_]:
        """[live]: whether the token just drawn completed one of its request's stop strings."""
        found = np.zeros(self.live, dtype=bool)
        for stop, known in self.stops.items():
            if known is None:
                continue
            for row in known.candidates(drawn).nonzero()[0]:
                if self.requests[own["request"][row]].sampling.stop == stop:
                    found[row] = known.ends(self.tokens[row, : own["drawn"][row]].tolist())
        return found

    def _prefill(self) -> None:
        """Computes the next prompts without their last tokens, which are their slots' first input.

        Padding is on the right, where no token attends to it.
        """
        width = len(self.prompts[0][0]) - 1
        count = max(1, min(len(self.prompts), PREFILL_TOKENS // max(1, width)))
        batch = [self.prompts.popleft() for _ in range(count)]
        self.waiting.extend((index, row) for row, (_, indices) in enumerate(batch) for index in indices)
        self.prefilled = DynamicCache()
        if width > 0:
            ids = np.zeros((count, width), np.int64)
            for row, (prompt, _) in enumerate(batch):
                ids[row, : len(prompt) - 1] = prompt[:-1]
            trunk = self.model.get_decoder()
            trunk(input_ids=self._sent(ids), past_key_values=self.prefilled, use_cache=True)

    def _forward(self, own: NDArray[Any]) -> Tensor:
        """Feeds every taken slot its last token; logits [live, vocabulary] of the next."""
        columns, width = self._sent(own["cached"]), int(own["cached"].max()) + 1
        self.cache.extend(columns, width)
        mask = torch.zeros(self.live, width, dtype=self.model.dtype, device=columns.device)
        ahead = torch.arange(width, device=columns.device) > columns[:, None]
        out = self.model(
            input_ids=self._sent(own["fed"])[:, None],
            attention_mask=mask.masked_fill(ahead, torch.finfo(mask.dtype).min)[:, None, None],
            position_ids=columns[:, None],
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1,
        )
        return out.logits[:, -1].float()

    def _free(self, finished: NDArray[np.bool_]) -> None:
        """Moves the last sequences into the slots of finished ones, so that the taken slots come first."""
        live = self.live - int(finished.sum())
        targets = finished[:live].nonzero()[0]
        sources = live + (~finished[live:]).nonzero()[0]
        if len(targets):
            width = int(self.slots["cached"][sources].max())
            self.cache.move(self._sent(sources), self._sent(targets), width)
            for part in (self.slots, self.tokens, self.logprobs):
                part[targets] = part[sources]
        self.live = live

    def _completion(self, slot: int, stopped: bool) -> tuple[int, Completion]:
        index, count = int(self.slots["request"][slot]), self.slots["drawn"][slot]
        ids = self.tokens[slot, :count].tolist()
        text = self.decode(ids, skip_special_tokens=True)
        logprobs = tuple(self.logprobs[slot, :count].tolist())
        return index, Completion(tuple(ids), logprobs, text, "stop" if stopped else "length")

    def _sent(self, values: Any) -> Tensor:
        """On the engine's device."""
        return torch.from_numpy(np.ascontiguousarray(values)).to(self.device)
