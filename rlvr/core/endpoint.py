"""The client of OpenAI-compatible servers: many requests at once, each with a time limit and retries."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import httpx

from rlvr.core.errors import UserError

CHAT = "chat/completions"
COMPLETIONS = "completions"
# Answers after which the same request may succeed: overload, and whatever the server calls its own fault.
_BUSY = frozenset({408, 409, 425, 429})
# Answers that are about this one request, such as a prompt that is longer than the model's context.
_OF_THE_REQUEST = frozenset({400, 413, 422})
# Seconds: of the longest wait between two tries, and for an answer to whether the server is there at all.
_LONGEST_WAIT = 30.0
_LOOK = 10.0
# Of the text of an answer that a message quotes.
_CHARACTERS = 300

T = TypeVar("T")


class EndpointError(UserError):
    """A server cannot be used: it is not there, has another model, or refuses the key."""


@dataclass(frozen=True)
class Endpoint:
    """A server, and how it is asked.

    url: with or without /v1. key: the environment variable that holds the API key; "" sends none.
    concurrency: requests at once. timeout: seconds that one may take. retries: of a request, after the first
    try, `backoff` seconds after it and twice as long after each next.
    """

    url: str
    model: str
    key: str = ""
    concurrency: int = 32
    timeout: float = 120.0
    retries: int = 4
    backoff: float = 0.5

    @property
    def root(self) -> str:
        """Ends in /v1."""
        url = self.url.rstrip("/")
        return url if url.endswith("/v1") else f"{url}/v1"

    @property
    def headers(self) -> dict[str, str]:
        """Raises EndpointError where the environment lacks the key."""
        headers = {"Content-Type": "application/json"}
        if self.key:
            value = os.environ.get(self.key)
            if not value:
                raise EndpointError(
                    f"the server at {self.url} is to be given the API key in ${self.key}, which is not set: "
                    f"export {self.key}=..."
                )
            headers["Authorization"] = f"Bearer {value}"
        return headers


@dataclass(frozen=True, slots=True)
class Failed:
    """In place of an answer. refused: the server does not take this request, so asking again is no use."""

    text: str
    refused: bool = False


# Given a route and a body, the answer.
Ask = Callable[[str, Mapping[str, Any]], Awaitable[dict[str, Any] | Failed]]


class Client:
    """Asks one endpoint. Safe to make anywhere: nothing is sent before it is asked."""

    def __init__(self, endpoint: Endpoint):
        self.endpoint = endpoint

    def served(self) -> list[dict[str, Any]]:
        """What the server says of each model, `id` at least; empty where it does not say. Raises
        EndpointError."""
        e = self.endpoint
        try:
            reply = httpx.get(f"{e.root}/models", headers=e.headers, timeout=min(e.timeout, _LOOK))
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._down(error) from error
        self._check_key(reply)
        try:
            return [{"id": str(model["id"]), **model} for model in reply.json()["data"]]
        except (ValueError, KeyError, TypeError):
            return []

    def check(self) -> None:
        """Raises EndpointError where the server is not there or lacks the model."""
        known = [str(name) for one in self.served() for name in (one["id"], one.get("root")) if name]
        model = self.endpoint.model
        if known and model not in known:
            raise EndpointError(
                f"the server at {self.endpoint.url} has no model {model}; it has "
                f"{', '.join(sorted({*known}))}"
            )

    def ask(self, route: str, bodies: Sequence[Mapping[str, Any]]) -> list[dict[str, Any] | Failed]:
        """The answer to each request, in order. route: CHAT or COMPLETIONS; the model is filled in.

        An answer is an object with at least one choice. Raises EndpointError where the server is not there,
        refuses the key, lacks route or model, or fails at everything it is asked.
        """
        return _run(self._ask(route, bodies)) if bodies else []

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Ask]:
        """What answers one request, waiting where too many are under way; raises as `ask`."""
        e = self.endpoint
        asked = _Asked(asyncio.Semaphore(e.concurrency))
        limits = httpx.Limits(max_connections=e.concurrency + 1)
        async with httpx.AsyncClient(headers=e.headers, limits=limits, timeout=e.timeout) as client:
            yield partial(self._one, client, asked)

    async def _ask(self, route: str, bodies: Sequence[Mapping[str, Any]]) -> list[dict[str, Any] | Failed]:
        async with self.session() as one:
            tasks = [asyncio.ensure_future(one(route, body)) for body in bodies]
            try:
                return await asyncio.gather(*tasks)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _one(
        self, client: httpx.AsyncClient, asked: _Asked, route: str, body: Mapping[str, Any]
    ) -> dict[str, Any] | Failed:
        e, why = self.endpoint, ""
        content = json.dumps({"model": e.model, **body}).encode()  # ASCII: a text may hold lone surrogates
        async with asked.slots:
            for attempt in range(e.retries + 1):
                wait = min(_LONGEST_WAIT, e.backoff * 2**attempt)
                try:
                    post = client.post(f"{e.root}/{route}", content=content)
                    reply = await asyncio.wait_for(post, e.timeout)
                except TimeoutError:
                    why = f"did not answer within {e.timeout:g} s"
                except (httpx.HTTPError, httpx.InvalidURL) as error:
                    why = f"broke off ({error or type(error).__name__})"
                else:
                    if (answer := self._answer(reply, route)) is not None:
                        asked.answered += not isinstance(answer, Failed)
                        return answer
                    why = f"answered {reply.status_code}: {reply.text[:_CHARACTERS]!r}"
                    wait = _asked_wait(reply) or wait
                if attempt < e.retries:
                    await asyncio.sleep(wait)
            await self._check_hope(client, asked, why)
            return Failed(f"the server at {e.url} {why}, {e.retries + 1} times")

    def _answer(self, reply: httpx.Response, route: str) -> dict[str, Any] | Failed | None:
        """None where another try may help. Raises EndpointError where nothing may."""
        self._check_key(reply)
        said = reply.text[:_CHARACTERS]
        if reply.status_code in _OF_THE_REQUEST:
            return Failed(f"the server at {self.endpoint.url} refused a request: {said}", refused=True)
        if reply.is_success:
            try:
                answer = reply.json()
            except ValueError:
                return None
            whole = isinstance(answer, dict) and isinstance(answer.get("choices"), list) and answer["choices"]
            return answer if whole and isinstance(answer["choices"][0], dict) else None
        if reply.status_code in _BUSY or reply.is_server_error:
            return None
        raise EndpointError(
            f"the server at {self.endpoint.url} answered {reply.status_code} to /v1/{route} for the model "
            f"{self.endpoint.model}: {said!r}. Does it serve that model there?"
        )

    def _check_key(self, reply: httpx.Response) -> None:
        if reply.status_code in (401, 403):
            where = f"in ${self.endpoint.key}" if self.endpoint.key else "at all: none was sent"
            raise EndpointError(
                f"the server at {self.endpoint.url} does not take the API key {where} ({reply.status_code})"
            )

    async def _check_hope(self, client: httpx.AsyncClient, asked: _Asked, why: str) -> None:
        """After the last try of a request: raises EndpointError where the others have no better chance."""
        try:
            await client.get(f"{self.endpoint.root}/models", timeout=min(self.endpoint.timeout, _LOOK))
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._down(error) from error
        asked.failed += 1
        if not asked.answered and asked.failed >= max(8, self.endpoint.concurrency):
            raise EndpointError(
                f"the server at {self.endpoint.url} answers none of {asked.failed} requests, each tried "
                f"{self.endpoint.retries + 1} times: it {why}"
            )

    def _down(self, error: Exception) -> EndpointError:
        return EndpointError(
            f"no server answers at {self.endpoint.url} ({error or type(error).__name__}): start it, or give "
            "another url"
        )


@dataclass
class _Asked:
    """What one call has seen of the server."""

    slots: asyncio.Semaphore
    answered: int = 0
    failed: int = 0


def _asked_wait(reply: httpx.Response) -> float:
    """Seconds that the server asks for; 0 where it does not."""
    try:
        return min(_LONGEST_WAIT, max(0.0, float(reply.headers.get("Retry-After", 0))))
    except ValueError:  # a date
        return 0.0


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Also where this thread already runs an event loop, as a notebook's does."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    done: list[T] = []
    raised: list[BaseException] = []

    def run() -> None:
        try:
            done.append(asyncio.run(work))
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join()
    if raised:
        raise raised[0]
    return done[0]
