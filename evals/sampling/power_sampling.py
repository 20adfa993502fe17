"""Power sampling: a model sampled as if it were sharpened, without training (arXiv 2510.14901)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from evals.sampling.likelihood import Response, token_logprobs
from rlvr.core.seeds import derive_seed
from rlvr.engines import Completion, Request, Sampling, generate
from rlvr.engines.hf import HFEngine
from rlvr.engines.stops import finder
from rlvr.engines.streams import BatchStream

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Draft:
    """A completion so far. proposed, own: log-probs of its tokens under the distribution that they were
    drawn from, at the sampling temperature, and under the model's own. stopped: with its last token."""

    ids: tuple[int, ...] = ()
    proposed: tuple[float, ...] = ()
    own: tuple[float, ...] = ()
    stopped: bool = False


class PowerEngine:
    """An engine whose completions are drawn from p^a, p being the model's own distribution of whole
    completions and a = 1 / temperature; an engine at that temperature sharpens each token by itself.

    Algorithm 1 of the paper: a completion grows by `block` tokens. After each growth come `moves` steps of
    Metropolis and Hastings: from a random token on it is drawn anew at that temperature (q), and the new
    one is kept with probability min(1, p(x')^a q(x) |x| / (p(x)^a q(x') |x'|)). The lengths are there
    because a completion may end early, so that its tokens are not chosen alike often. The paper: a = 4, 10
    moves, blocks of a sixteenth of the longest completion.

    Log-probs of completions are the model's own, since p^a is known but for a factor.
    """

    def __init__(self, engine: HFEngine, block: int, moves: int, micro_batch_tokens: int = 16384):
        self.name = self.named(engine.name, block, moves)
        self.dtype = engine.dtype
        self.engine = engine
        self.block = block
        self.moves = moves
        self.micro_batch_tokens = micro_batch_tokens

    @staticmethod
    def named(engine: str, block: int, moves: int) -> str:
        """Part of the key of its samples."""
        return f"power-{engine}-block{block}-moves{moves}"

    def stream(self) -> BatchStream:
        return BatchStream(self._complete, self.engine.batch_size)

    def _complete(self, requests: Sequence[Request]) -> Iterator[tuple[int, Completion]]:
        """Raises ValueError for greedy requests and for top-p below 1, which have no power."""
        if any(r.sampling.temperature == 0 or r.sampling.top_p < 1 for r in requests):
            raise ValueError("power sampling needs a temperature above 0, and top_p=1")
        drafts = [Draft() for _ in requests]
        limits = [r.sampling.max_new_tokens for r in requests]
        for end in range(self.block, max(limits, default=0) + self.block, self.block):
            starts = {
                i: len(draft.ids)
                for i, (draft, limit) in enumerate(zip(drafts, limits, strict=True))
                if not draft.stopped and len(draft.ids) < limit
            }
            drafts = replaced(drafts, self._drawn(requests, drafts, starts, end, "grow"))
            for move in range(self.moves):
                drafts = self._moved(requests, drafts, end, move)
        for i, draft in enumerate(drafts):
            text = self.engine.tokenizer.decode(list(draft.ids), skip_special_tokens=True)
            yield i, Completion(draft.ids, draft.own, text, "stop" if draft.stopped else "length")

    def load(self, weights: Iterable[tuple[str, Tensor]]) -> None:
        self.engine.load(weights)

    def sleep(self) -> None:
        self.engine.sleep()

    def close(self) -> None:
        self.engine.close()

    def _moved(self, requests: Sequence[Request], drafts: list[Draft], end: int, move: int) -> list[Draft]:
        """Every draft after one more move, kept or not."""
        chance = [np.random.default_rng(derive_seed(r.seed, "move", end, move)) for r in requests]
        starts = {i: int(chance[i].integers(len(draft.ids))) for i, draft in enumerate(drafts)}
        proposals = self._drawn(requests, drafts, starts, end, f"move {move}")
        kept = {}
        for i, new in proposals.items():
            ratio = log_ratio(drafts[i], new, starts[i], requests[i].sampling.temperature)
            if math.log(1 - chance[i].random()) <= ratio:
                kept[i] = new
        return replaced(drafts, kept)

    def _drawn(
        self,
        requests: Sequence[Request],
        drafts: Sequence[Draft],
        starts: Mapping[int, int],
        end: int,
        purpose: str,
    ) -> dict[int, Draft]:
        """Drafts that are drawn anew from their starts on, up to `end` tokens."""
        asked = []
        for i, start in starts.items():
            request, sampling = requests[i], requests[i].sampling
            most = min(end, sampling.max_new_tokens) - start
            prompt = (*request.prompt_ids, *drafts[i].ids[:start])
            seed = derive_seed(request.seed, purpose, end)
            asked.append(Request(prompt, Sampling(sampling.temperature, 1.0, most), seed))
        done = dict(generate(self.engine, asked))
        tails = [done[place] for place in range(len(asked))]
        whole = [
            Response("", requests[i].prompt_ids, (*drafts[i].ids[:start], *tail.token_ids))
            for (i, start), tail in zip(starts.items(), tails, strict=True)
        ]
        ends = [self._end(requests[i], response) for i, response in zip(starts, whole, strict=True)]
        whole = [r._replace(token_ids=r.token_ids[:end]) for r, end in zip(whole, ends, strict=True)]
        own = token_logprobs(self.engine.model, whole, self.micro_batch_tokens)
        return {
            i: Draft(
                ids=response.token_ids,
                proposed=(*drafts[i].proposed[:start], *tail.logprobs)[:end],
                own=tuple(logprobs.tolist()),
                stopped=end is not None or tail.finish_reason == "stop",
            )
            for (i, start), tail, response, end, logprobs in zip(
                starts.items(), tails, whole, ends, own, strict=True
            )
        }

    def _end(self, request: Request, response: Response) -> int | None:
        """Where a stop string ends the response, the tokens before `start` included; None where none does."""
        known = finder(self.engine.tokenizer, request.sampling.stop)
        return known.first_end(response.token_ids) if known else None


def replaced(drafts: Sequence[Draft], new: Mapping[int, Draft]) -> list[Draft]:
    return [new.get(i, draft) for i, draft in enumerate(drafts)]


def log_ratio(old: Draft, new: Draft, start: int, temperature: float) -> float:
    """Of the acceptance of `new`, which is `old` up to `start`: its log is at most 0 where less is likely."""
    power = (sum(new.own[start:]) - sum(old.own[start:])) / temperature
    proposal = sum(old.proposed[start:]) - sum(new.proposed[start:])
    return power + proposal + math.log(len(old.ids)) - math.log(len(new.ids))
