"""A model that only a server holds: any OpenAI-compatible completions endpoint, as an engine for measuring.

Its weights are not known here. Samples are kept under the server's URL and the model's name, so a server that
gets other weights under an old name has to be given another name.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from rlvr.config.schema import EngineConfig
from rlvr.core.endpoint import COMPLETIONS, Client, Endpoint, EndpointError, Failed
from rlvr.core.shards import short_hash
from rlvr.engines import Completion, EngineError, Request
from rlvr.engines.lazy import LazyEngine
from rlvr.engines.names import endpoint_parts
from rlvr.engines.sampler import MOST_NEW_TOKENS, Sampler
from rlvr.engines.streams import Answer, ServedStream
from rlvr.models.loading import ModelError, load_tokenizer, model_directory
from rlvr.tasks import Task
from rlvr.tasks.templates.chat import prompt_lengths

MOST_AT_ONCE = 256


class EndpointEngine:
    """Asks for each completion on its own, with its own seed.

    longer: what a vLLM server takes beyond the OpenAI interface, so that samples are drawn from the very
    distribution that was asked for, with token ids, and end with their stop string. Other servers are sent
    the prompt as text; log-probs that they do not give are NaN.
    """

    dtype = "as served"

    def __init__(self, endpoint: Endpoint, tokenizer: Any, longer: bool):
        self.name = f"endpoint {endpoint.model}"
        self.client = Client(endpoint)
        self.tokenizer = tokenizer
        self.longer = longer

    def stream(self) -> ServedStream:
        return ServedStream(self._session, self.client.endpoint.concurrency)

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[tuple[Answer, Awaitable[None]]]:
        async with self.client.session() as one:

            async def answer(request: Request) -> Completion:
                found = await one(COMPLETIONS, self._body(request))
                if isinstance(found, Failed):
                    raise EndpointError(f"{found.text}. The same command goes on from what was drawn")
                return self._completion(found["choices"][0], request)

            yield answer, asyncio.sleep(0)

    def load(self, weights: Iterable[tuple[str, Tensor]]) -> None:
        raise EngineError(f"{self.name} is on a server of somebody else's: it takes no weights")

    def sleep(self) -> None:
        """The server's memory is its own."""

    def close(self) -> None:
        """Nothing is held."""

    def _body(self, request: Request) -> dict[str, Any]:
        s = request.sampling
        body: dict[str, Any] = {
            "prompt": list(request.prompt_ids) if self.longer else self._text(request.prompt_ids),
            "max_tokens": s.max_new_tokens,
            "temperature": s.temperature,
            "top_p": s.top_p if s.temperature else 1.0,
            "seed": request.seed % 2**31,
            "n": 1,
        }
        if s.stop:
            body["stop"] = list(s.stop)
        if self.longer:
            body |= {
                "logprobs": 0, "return_token_ids": True, "top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0,
                "include_stop_str_in_output": True, "skip_special_tokens": False,
            }  # fmt: skip
        return body

    def _text(self, ids: Sequence[int]) -> str:
        """Without the token that begins a text, which the server adds again."""
        first = self.tokenizer.bos_token_id
        kept = list(ids[1:] if first is not None and ids[:1] == (first,) else ids)
        return self.tokenizer.decode(kept, skip_special_tokens=False)

    def _completion(self, choice: dict[str, Any], request: Request) -> Completion:
        text, ids = choice.get("text"), choice.get("token_ids")
        reason = choice.get("finish_reason")
        if not isinstance(text, str) or reason not in ("stop", "length"):
            raise EndpointError(
                f"the server at {self.client.endpoint.url} ended a completion with {reason!r} and the text "
                f"{text!r:.100}: it is to be a text that ended with stop or length"
            )
        if ids is None:
            ids = self.tokenizer.encode(text, add_special_tokens=False)
        elif self.longer:
            text = self.tokenizer.decode(ids, skip_special_tokens=True)
        given = (choice.get("logprobs") or {}).get("token_logprobs") or []
        known = len(given) == len(ids) and all(isinstance(value, (int, float)) for value in given)
        logprobs = tuple(map(float, given)) if known else (math.nan,) * len(ids)
        return Completion(tuple(ids), logprobs, text, reason)


class EndpointModel(Sampler):
    """The model of an endpoint, where commands expect one that they can open."""

    def __init__(self, endpoint: Endpoint, context: int | None, longer: bool, tokenizer: Any):
        super().__init__(Path(endpoint.model), tokenizer, EngineConfig(), "cpu", (), Path("exchange"))
        self.endpoint, self.context, self.longer = endpoint, context, longer

    @property
    def weights(self) -> str:
        """In place of a hash of weights, which nobody here has seen: of the server and the model's name."""
        return short_hash({"endpoint": self.endpoint.root, "model": self.endpoint.model})

    @property
    def settings(self) -> str:
        return "endpoint"

    @property
    def title(self) -> str:
        return self.endpoint.model

    def room(self, tasks: Iterable[Task], given: int | None = None) -> int:
        """As of a model on this disk, where the server tells its context. Raises ModelError."""
        if given or self.context is None:
            return given or MOST_NEW_TOKENS
        longest = max(length for task in tasks for length in prompt_lengths(self.tokenizer, task.test))
        if longest >= self.context:
            raise ModelError(f"{self.endpoint.model}: a prompt has {longest} tokens, which fill its context")
        return min(MOST_NEW_TOKENS, self.context - longest)

    def fit(self, tasks: Sequence[Task], completion: int) -> Sampler:
        """Raises ModelError where a prompt with its completion is longer than the server takes."""
        lengths = [length for task in tasks for length in prompt_lengths(self.tokenizer, task.test)]
        self.longest = max(lengths) + completion
        if self.context is not None and self.longest > self.context:
            raise ModelError(
                f"the server at {self.endpoint.url} takes {self.context} tokens, the longest prompt with a "
                f"completion of {completion} has {self.longest}: give a smaller max_new_tokens"
            )
        return self

    def build(self) -> EndpointEngine:
        return EndpointEngine(self.endpoint, self.tokenizer, self.longer)

    def engine(self) -> LazyEngine:
        made = self.build()
        return LazyEngine(made.name, made.dtype, lambda: made)


def open_endpoint(model: str, config: EngineConfig, tokenizer: str, key: str = "") -> EndpointModel:
    """http://HOST:PORT#NAME as a model; without a name the server's only one.

    tokenizer: a directory, Hub id or embedded:NAME that has it. config: `batch_size` requests at once,
    `generation_timeout` seconds each. key: the environment variable of the API key. Raises EndpointError,
    ModelError.
    """
    url, name = endpoint_parts(model)
    endpoint = Endpoint(url, name, key, min(config.batch_size, MOST_AT_ONCE), config.generation_timeout)
    served = Client(endpoint).served()
    if not name:
        if len(served) != 1:
            has = f"has {', '.join(one['id'] for one in served)}" if served else "does not say what it serves"
            raise EndpointError(f"the server at {url} {has}: say which model, as {url}#NAME")
        endpoint = replace(endpoint, model=served[0]["id"])
    Client(endpoint).check()
    about = next((one for one in served if one["id"] == endpoint.model), {})
    context = about.get("max_model_len")
    return EndpointModel(
        endpoint,
        context if isinstance(context, int) else None,
        about.get("owned_by") == "vllm",
        load_tokenizer(model_directory(tokenizer)),
    )
