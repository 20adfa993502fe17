"""The vLLM engine in a server of its own, on other GPUs or other machines: see launch/server.py.

Every process sends its own requests, many at a time; the main process sends new weights, over NCCL or
as files. It looks before each stream and before each load whether the server still holds what it was given.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import torch
from accelerate import PartialState
from safetensors.torch import save_file
from torch import Tensor

from rlvr.config.schema import EngineConfig
from rlvr.engines import Completion, EngineError, Request
from rlvr.engines.served_weights import METHOD, bits_sum
from rlvr.engines.stops import ended
from rlvr.engines.streams import Answer, ServedStream


class WeightsError(EngineError):
    """The server does not hold the weights that it was given."""


@dataclass(frozen=True)
class _Held:
    """Sums of the weights as they were sent, and of what each of the server's workers then held."""

    sent: int
    workers: tuple[int, ...]


class VLLMServerEngine:
    """Generates on a server that holds the weights, which `load` refreshes.

    names: what the server may call the model. longest: tokens of the longest prompt with its completion.
    exchange: a directory that trainer and server both see, for transfer=files.
    Raises EngineError for a server that is not there in time, dies, or has another model.
    """

    name = "vllm"

    def __init__(
        self,
        config: EngineConfig,
        names: Sequence[str],
        tokenizer: Any,
        eos_ids: Iterable[int],
        longest: int,
        exchange: Path,
    ):
        self.config = config
        self.dtype = config.dtype
        self.tokenizer = tokenizer
        self.eos_ids = sorted(eos_ids)
        self.exchange = exchange
        self.ranks = PartialState()
        self.url = config.url.rstrip("/")
        self.model = self._find(names, longest)
        self._held: _Held | None = None  # on the main process, once weights were sent
        self._client: Any = None
        if config.transfer == "nccl" and self.ranks.is_main_process:
            self._client = self._join()

    def stream(self) -> ServedStream:
        """Raises WeightsError."""
        self._check()
        return ServedStream(self._session, self.config.batch_size)

    def load(self, weights: Iterable[tuple[str, Tensor]]) -> None:
        """Raises WeightsError where the server held others until now, or still holds what it held."""
        self._check()
        sent = self._load_files(weights) if self.config.transfer == "files" else self._load_nccl(weights)
        if self.ranks.is_main_process:
            before, self._held = self._held, _Held(sent, self._sums())
            if before and before.sent != sent and before.workers == self._held.workers:
                raise WeightsError(
                    f"the vLLM server at {self.url} was sent new weights and holds those from before: see "
                    "its log for why it did not take them"
                )
        self.ranks.wait_for_everyone()

    def sleep(self) -> None:
        """The server's GPUs are its own."""

    def close(self) -> None:
        if self._client is not None:
            self._client.close_communicator()

    def _check(self) -> None:
        """That the server holds what it held when it was last given weights. Raises WeightsError."""
        if self._held is not None and self._sums() != self._held.workers:
            raise WeightsError(
                f"the vLLM server at {self.url} holds other weights than it was given: it was started anew, "
                "or another run uses it. Give the run a server of its own, and the same command to go on "
                "from the last checkpoint"
            )

    def _sums(self) -> tuple[int, ...]:
        """Of the weights of each of the server's workers."""
        reply = self._post("collective_rpc", {"method": METHOD}, self.config.timeout)
        return tuple(int(worker["sum"]) for worker in reply.json()["results"])

    def _find(self, names: Sequence[str], longest: int) -> str:
        """What the server calls its model, once it is up and known to be the right one."""
        deadline = time.monotonic() + self.config.timeout
        while True:
            try:
                (model, *_) = httpx.get(f"{self.url}/v1/models", timeout=self.config.timeout).json()["data"]
                break
            except (httpx.HTTPError, ValueError, KeyError) as error:
                if time.monotonic() > deadline:
                    raise self._lost(f"has no model ready ({error or type(error).__name__})") from error
                time.sleep(1)
        if not {model["id"], model.get("root")} & set(names):
            raise EngineError(
                f"the vLLM server at {self.url} has the model {model.get('root') or model['id']}, the run "
                f"needs {names[0]}: start the server with it, or give another engine.url"
            )
        if model["max_model_len"] < longest:
            raise EngineError(
                f"the vLLM server at {self.url} takes {model['max_model_len']} tokens, the longest prompt "
                f"with its completion has {longest}: start it with --max-model-len {longest}"
            )
        return model["id"]

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[tuple[Answer, Awaitable[None]]]:
        """What answers a request; beside it the server's health is watched."""
        limits = httpx.Limits(max_connections=self.config.batch_size + 1)
        free = asyncio.Semaphore(self.config.batch_size)
        async with httpx.AsyncClient(limits=limits, timeout=None) as client:
            yield partial(self._answer, client, free), self._watch(client)

    async def _watch(self, client: httpx.AsyncClient) -> None:
        """Raises EngineError once the server has not been well for the time allowed."""
        last_well = time.monotonic()
        while True:
            try:
                reply = await client.get(f"{self.url}/health", timeout=self.config.timeout)
                if reply.is_success:
                    last_well = time.monotonic()
            except httpx.HTTPError:
                pass
            if time.monotonic() - last_well >= self.config.timeout:
                raise self._lost("stopped answering")
            await asyncio.sleep(min(1.0, self.config.timeout / 5))

    async def _answer(
        self, client: httpx.AsyncClient, free: asyncio.Semaphore, request: Request
    ) -> Completion:
        sampling = request.sampling
        asked: dict[str, Any] = {
            "model": self.model,
            "prompt": request.prompt_ids,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p if sampling.temperature else 1.0,
            "top_k": 0,
            "min_p": 0.0,
            "repetition_penalty": 1.0,
            "max_tokens": sampling.max_new_tokens,
            "seed": request.seed % 2**63,  # the server's seeds are signed
            "stop_token_ids": self.eos_ids,
            "ignore_eos": True,  # what else the tokenizer names
            "logprobs": 0,
            "return_token_ids": True,
        }
        if sampling.stop:
            asked |= {
                "stop": list(sampling.stop), "include_stop_str_in_output": True, "skip_special_tokens": False,
            }  # fmt: skip
        async with free:
            try:
                reply = await self._reply(client, asked)
            except httpx.TimeoutException as error:
                raise EngineError(
                    f"the vLLM server at {self.url} did not finish a completion of "
                    f"{sampling.max_new_tokens} tokens in {self.config.generation_timeout:.0f} s "
                    "(engine.generation_timeout)"
                ) from error
            except httpx.HTTPError as error:
                raise self._lost(f"broke off a completion ({error or type(error).__name__})") from error
        if not reply.is_success:
            raise EngineError(f"the vLLM server at {self.url} refused a request: {reply.text[:500]}")
        return self._completion(reply.json()["choices"][0], sampling.stop)

    async def _reply(self, client: httpx.AsyncClient, asked: dict[str, Any]) -> httpx.Response:
        """Asks once more where the connection ended: the server closes those that nobody used for seconds,
        and one may just be taken up again, above all while the trainer keeps this thread waiting."""
        send = partial(
            client.post, f"{self.url}/v1/completions", json=asked, timeout=self.config.generation_timeout
        )
        try:
            return await send()
        except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
            return await send()

    def _completion(self, choice: dict[str, Any], stop: tuple[str, ...]) -> Completion:
        if choice["finish_reason"] not in ("stop", "length"):
            raise EngineError(
                f"the vLLM server at {self.url} ended a completion with {choice['finish_reason']}"
            )
        ids = tuple(choice["token_ids"])
        logprobs = tuple(choice["logprobs"]["token_logprobs"])
        return ended(self.tokenizer, stop, ids, logprobs, choice["finish_reason"])

    def _load_files(self, weights: Iterable[tuple[str, Tensor]]) -> int:
        """The sum of what was sent, on the main process."""
        held = {}
        for name, value in weights:
            if self.ranks.is_main_process:
                held[name] = value.to("cpu", getattr(torch, self.dtype)).contiguous()
        if self.ranks.is_main_process:
            self.exchange.mkdir(parents=True, exist_ok=True)
            save_file(held, self.exchange / "model.safetensors")
            path = str(self.exchange.resolve())
            self._post("collective_rpc", {"method": "reload_weights", "kwargs": {"weights_path": path}})
            self._post("reset_prefix_cache")
        return bits_sum(held.values())

    def _load_nccl(self, weights: Iterable[tuple[str, Tensor]]) -> int:
        """One tensor at a time: where they are sharded, each is whole only for now, on all ranks together.
        The sum of what was sent, on the main process."""
        sent = 0
        with self._asked("to take new weights"):
            updating = self._client.weight_update() if self._client else nullcontext()
            with updating:
                for name, value in weights:
                    if self._client is not None:
                        own = value.to(getattr(torch, self.dtype))
                        sent += bits_sum([own])
                        self._client.update_named_param(name, own)
            if self._client is not None:
                self._client.reset_prefix_cache()
        return sent

    def _post(
        self, path: str, body: dict[str, Any] | None = None, timeout: float | None = None
    ) -> httpx.Response:
        limit = timeout or self.config.generation_timeout
        try:
            reply = httpx.post(f"{self.url}/{path}", json=body, timeout=limit)
        except httpx.HTTPError as error:
            raise self._lost(f"did not answer {path} ({error or type(error).__name__})") from error
        if reply.status_code == httpx.codes.NOT_FOUND:
            raise EngineError(
                f"the vLLM server at {self.url} has no {path}: start it with VLLM_SERVER_DEV_MODE=1"
            )
        if not reply.is_success:
            asked = f"{path} {body['method']}" if body else path
            raise EngineError(
                f"the vLLM server at {self.url} failed at {asked}: {reply.text[:500]}. Was it started with "
                "what `python -m launch.server` prints for this recipe?"
            )
        return reply

    def _join(self) -> Any:
        """TRL's client, with the server's workers in one NCCL group."""
        from trl.generation.vllm_client import VLLMClient

        with self._asked("to join an NCCL group"):
            client = VLLMClient(
                self.url, group_port=self.config.nccl_port, connection_timeout=self.config.timeout
            )
            client.init_communicator(device=self.ranks.device)
        return client

    @contextmanager
    def _asked(self, what: str) -> Iterator[None]:
        """TRL's client raises whatever its server or requests made it raise, bare Exceptions too."""
        try:
            yield
        except Exception as error:
            raise EngineError(
                f"the vLLM server at {self.url} was asked {what}: {error or type(error).__name__}. See its "
                "log, or give engine.transfer=files."
            ) from error

    def _lost(self, what: str) -> EngineError:
        return EngineError(
            f"the vLLM server at {self.url} {what} within {self.config.timeout:.0f} s (engine.timeout). Is "
            "it running there (python -m launch.server prints its command), and does its log show an error?"
        )
