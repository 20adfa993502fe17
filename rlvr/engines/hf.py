"""The Hugging Face engine: continuous batching on any causal LM of transformers, on a CPU or one GPU.

A slot that a finished completion leaves is taken by the next request at once; when none waits, the batch
shrinks. Requests of equal prompts that wait together are prefilled once. On a CPU a completion is the same to
the bit whichever others are drawn beside it; on a GPU equal requests in equal company are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedModel
from transformers.cache_utils import DynamicCache

from rlvr.core.seeds import uniforms
from rlvr.engines import Completion, Request, Sampling
from rlvr.engines.attention import use_grouped_attention
from rlvr.engines.bands import ROWS, bands, moves, widths
from rlvr.engines.draw import draw
from rlvr.engines.kv_cache import SlotCache
from rlvr.engines.stops import finder

# Prompt tokens, padding included, that are prefilled at once; a longer prompt is prefilled alone.
PREFILL_TOKENS = 8192

# A sequence in its slot. cached: tokens in the cache; drawn: tokens of the completion; fed: its last token;
# kind: the place of its way of sampling among the stream's.
SLOT = np.dtype(
    [(name, "i8") for name in ("request", "kind", "limit", "cached", "drawn", "fed")] + [("seed", "u8")]
)


class HFEngine:
    """Holds its own copy of the weights, which `load` refreshes.

    model: a causal LM whose layers attend to all earlier tokens. tokenizer: decodes completions.
    eos_ids: every token id that ends a completion. batch_size: completions in flight at once.
    """

    name = "hf"

    def __init__(self, model: PreTrainedModel, tokenizer: Any, eos_ids: Iterable[int], batch_size: int = 512):
        self.model = model.eval().requires_grad_(False)
        self.in_bands = use_grouped_attention(self.model)
        self.tokenizer = tokenizer
        self.batch_size = batch_size
        parameter = next(model.parameters())
        self.device = parameter.device
        self.dtype = str(parameter.dtype).removeprefix("torch.")
        self.eos = np.array(sorted(eos_ids))

    def stream(self) -> HFStream:
        return HFStream(self)

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

    def check_window(self, longest: int) -> None:
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


class HFStream:
    """Requests on their way through the slots. The first `live` are taken, by the longest sequences first."""

    def __init__(self, engine: HFEngine):
        self.engine, self.device = engine, engine.device
        self.asked: dict[int, Request] = {}
        self.kinds: dict[Sampling, int] = {}
        self.count = 0
        self.queued: dict[tuple[int, ...], deque[int]] = {}  # by prompt, in the order of their coming
        self.prefilled = DynamicCache()
        self.waiting: deque[tuple[int, int]] = deque()  # (request, row of `prefilled`)
        self.ready: deque[tuple[int, Completion]] = deque()
        self.cache = SlotCache()
        self.live = 0
        self.rows = np.zeros(0, SLOT)
        self.taken = np.zeros(0, bool)
        self.tokens = np.zeros((0, 0), np.int64)
        self.logprobs = np.zeros((0, 0), np.float32)

    @property
    def slots(self) -> int:
        return self.engine.batch_size

    def add(self, request: Request) -> int:
        self.engine.check_window(len(request.prompt_ids) + request.sampling.max_new_tokens)
        number = self.count
        self.asked[number] = request
        self.queued.setdefault(request.prompt_ids, deque()).append(number)
        self.count += 1
        return number

    def __iter__(self) -> HFStream:
        return self

    @torch.inference_mode()
    def __next__(self) -> tuple[int, Completion]:
        while not self.ready:
            if not self._admit():
                raise StopIteration
            self._step()
        return self.ready.popleft()

    def close(self) -> None:
        """The cache goes with the stream."""

    def _admit(self) -> bool:
        """Fills the free slots as far as requests wait. Whether any slot is taken."""
        free = deque((~self.taken[: self.live]).nonzero()[0].tolist())
        free.extend(range(self.live, self.engine.batch_size))
        while free and (self.waiting or self.queued):
            if not self.waiting:
                self._prefill()
            count = min(len(self.waiting), len(free))
            rows = [self.waiting.popleft() for _ in range(count)]
            new = np.array([free.popleft() for _ in rows])
            self._reserve(new, [self.asked[number] for number, _ in rows])
            self.cache.place(self.prefilled, self._sent([row for _, row in rows]), self._sent(new))
            for slot, (number, _) in zip(new, rows, strict=True):
                request = self.asked[number]
                prompt, limit = request.prompt_ids, request.sampling.max_new_tokens
                kind = self.kinds.setdefault(replace(request.sampling, max_new_tokens=0), len(self.kinds))
                self.rows[slot] = (number, kind, limit, len(prompt) - 1, 0, prompt[-1], request.seed)
            self.taken[new] = True
            self.live = max(self.live, int(new.max()) + 1)
        self._arrange()
        return self.live > 0

    def _reserve(self, new: NDArray[Any], requests: list[Request]) -> None:
        """Room in all arrays for these requests in these slots."""
        slots = _whole(int(new.max()) + 1)
        limit = max(r.sampling.max_new_tokens for r in requests)
        whole = max(len(r.prompt_ids) + r.sampling.max_new_tokens for r in requests)
        if slots > len(self.rows):
            slots = min(max(slots, 2 * len(self.rows)), _whole(self.engine.batch_size))
        self.cache.reserve(slots, int(widths(np.array([whole]))[0]))
        shape = max(slots, len(self.rows)), max(limit, self.tokens.shape[1])
        self.rows = _grown(self.rows, shape[:1])
        self.taken = _grown(self.taken, shape[:1])
        self.tokens, self.logprobs = _grown(self.tokens, shape), _grown(self.logprobs, shape)

    def _arrange(self) -> None:
        """Moves sequences so that the taken slots come first, in bands of about equal length."""
        taken = self.taken[: self.live]
        cached = self.rows["cached"][: self.live]
        sources, targets = moves(widths(cached + 1), taken)
        if len(targets):
            self.cache.move(self._sent(sources), self._sent(targets), int(cached[sources].max()))
            for part in (self.rows, self.tokens, self.logprobs):
                part[targets] = part[sources]
        self.live = int(taken.sum())
        self.taken[:] = np.arange(len(self.taken)) < self.live

    def _step(self) -> None:
        """Draws one token in every taken slot, and makes completions of those that are finished."""
        own = self.rows[: self.live]
        drawn, logprobs = self._draw(own, self._forward(own))
        rows = np.arange(self.live)
        self.tokens[rows, own["drawn"]] = drawn
        self.logprobs[rows, own["drawn"]] = logprobs
        own["fed"] = drawn
        own["drawn"] += 1
        own["cached"] += 1
        stopped = np.isin(drawn, self.engine.eos) | self._at_stop(own, drawn)
        finished = stopped | (own["drawn"] == own["limit"])
        self.ready += [self._completion(slot, stopped[slot]) for slot in finished.nonzero()[0]]
        self.taken[: self.live] = ~finished

    def _draw(self, own: NDArray[Any], logits: Tensor) -> tuple[NDArray[Any], NDArray[Any]]:
        """Of every taken slot the next token and its log-prob."""
        uniform = uniforms(own["seed"], own["drawn"])
        found = np.zeros((2, self.live))
        for sampling, rows in self._by_kind(own):
            chosen = logits if len(rows) == self.live else logits[self._sent(rows)]
            both = draw(chosen, sampling, uniform[rows])
            # One copy for both, so that the device is waited for once; float64 holds either exactly.
            found[:, rows] = torch.stack([x.double() for x in both]).cpu().numpy()
        return found[0].astype(np.int64), found[1]

    def _at_stop(self, own: NDArray[Any], drawn: NDArray[Any]) -> NDArray[np.bool_]:
        """[live]: whether the token just drawn completed one of its request's stop strings."""
        found = np.zeros(self.live, dtype=bool)
        for sampling, rows in self._by_kind(own):
            known = finder(self.engine.tokenizer, sampling.stop)
            if known is None:
                continue
            for row in rows[known.candidates(drawn[rows])]:
                found[row] = known.ends(self.tokens[row, : own["drawn"][row]].tolist())
        return found

    def _by_kind(self, own: NDArray[Any]) -> Iterator[tuple[Sampling, NDArray[Any]]]:
        """The taken slots of each way of sampling."""
        for sampling, kind in self.kinds.items():
            if len(rows := (own["kind"] == kind).nonzero()[0]):
                yield sampling, rows

    def _prefill(self) -> None:
        """Computes prompts without their last tokens, which are their slots' first input: the one that has
        waited longest, with those that are as wide among the next.

        Padding is on the right, where no token attends to it.
        """
        lengths = {prompt: len(prompt) - 1 for prompt in islice(self.queued, self.engine.batch_size)}
        padded = dict(zip(lengths, widths(np.array([*lengths.values()])).tolist(), strict=True))
        width = padded[next(iter(lengths))]
        alike = (prompt for prompt in lengths if padded[prompt] == width)
        batch = [*islice(alike, max(1, PREFILL_TOKENS // width))]
        self.waiting.extend((n, row) for row, prompt in enumerate(batch) for n in self.queued.pop(prompt))
        self.prefilled = DynamicCache()
        if any(lengths[prompt] for prompt in batch):
            ids = np.zeros((len(batch), width), np.int64)
            for row, prompt in enumerate(batch):
                ids[row, : len(prompt) - 1] = prompt[:-1]
            trunk = self.engine.model.get_decoder()
            trunk(input_ids=self._sent(ids), past_key_values=self.prefilled, use_cache=True)

    def _forward(self, own: NDArray[Any]) -> Tensor:
        """Feeds every taken slot its last token; logits [live, vocabulary] of the next."""
        rows = _whole(self.live)
        fed, cached = np.zeros((2, rows), np.int64)
        fed[: self.live], cached[: self.live] = own["fed"], own["cached"]
        width = widths(cached + 1)
        columns, most = self._sent(cached), int(width[0])
        self.cache.extend(columns, most)
        mask = torch.zeros(rows, most, dtype=self.engine.model.dtype, device=columns.device)
        ahead = torch.arange(most, device=columns.device) > columns[:, None]
        in_bands: dict[str, Any] = {"bands": bands(width)} if self.engine.in_bands else {}
        out = self.engine.model(
            input_ids=self._sent(fed)[:, None],
            attention_mask=mask.masked_fill(ahead, torch.finfo(mask.dtype).min)[:, None, None],
            position_ids=columns[:, None],
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1,
            **in_bands,
        )
        return out.logits[: self.live, -1].float()

    def _completion(self, slot: int, stopped: bool) -> tuple[int, Completion]:
        number, count = int(self.rows["request"][slot]), self.rows["drawn"][slot]
        del self.asked[number]
        ids = self.tokens[slot, :count].tolist()
        text = self.engine.tokenizer.decode(ids, skip_special_tokens=True)
        logprobs = tuple(self.logprobs[slot, :count].tolist())
        return number, Completion(tuple(ids), logprobs, text, "stop" if stopped else "length")

    def _sent(self, values: Any) -> Tensor:
        """On the engine's device."""
        return torch.from_numpy(np.ascontiguousarray(values)).to(self.device)


def _whole(rows: int) -> int:
    """How many rows are computed for so many."""
    return -(-rows // ROWS) * ROWS


def _grown(array: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """The array with zeros beyond what it holds; itself where it is of that shape."""
    if array.shape == shape:
        return array
    larger = np.zeros(shape, array.dtype)
    larger[tuple(slice(n) for n in array.shape)] = array
    return larger
