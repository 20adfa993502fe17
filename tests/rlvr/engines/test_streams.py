"""Streams of batches and of servers: what is added while they run, failures, and who stops listening."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterator, Sequence
from contextlib import asynccontextmanager

import pytest

from rlvr.engines import Completion, Request, Sampling
from rlvr.engines.streams import Answer, BatchStream, ServedStream


def request(token: int) -> Request:
    return Request((token,), Sampling(), token)


def completion(asked: Request) -> Completion:
    return Completion(asked.prompt_ids, (0.0,), str(asked.seed), "stop")


def test_what_waits_is_the_next_batch() -> None:
    batches = []

    def complete(requests: Sequence[Request]) -> Iterator[tuple[int, Completion]]:
        batches.append([r.seed for r in requests])
        yield from ((i, completion(r)) for i, r in reversed([*enumerate(requests)]))

    stream = BatchStream(complete, slots=2)
    assert next(stream, None) is None
    assert [stream.add(request(i)) for i in (10, 11)] == [0, 1]
    assert next(stream) == (1, completion(request(11)))
    assert stream.add(request(12)) == 2
    assert [number for number, _ in stream] == [0, 2]
    assert batches == [[10, 11], [12]]
    stream.add(request(13))
    stream.close()
    assert next(stream, None) is None


class Server:
    """Answers at most two at once; 13 fails, 99 takes for ever. beside: fails after so many seconds."""

    def __init__(self, beside: float | None = None) -> None:
        self.at_once, self.most, self.closed, self.beside = 0, 0, False, beside

    @asynccontextmanager
    async def session(self) -> AsyncIterator[tuple[Answer, Awaitable[None]]]:
        free = asyncio.Semaphore(2)

        async def answer(asked: Request) -> Completion:
            async with free:
                self.at_once += 1
                self.most = max(self.most, self.at_once)
                await asyncio.sleep(600 if asked.seed == 99 else 0.001)
                self.at_once -= 1
                if asked.seed == 13:
                    raise RuntimeError("13 is refused")
                return completion(asked)

        async def watched() -> None:
            if self.beside is not None:
                await asyncio.sleep(self.beside)
                raise RuntimeError("the server is gone")

        try:
            yield answer, watched()
        finally:
            self.closed = True

    def stream(self) -> ServedStream:
        return ServedStream(self.session, slots=2)


def test_a_server_is_asked_for_what_is_added_while_others_run() -> None:
    server = Server()
    stream = server.stream()
    numbers = {stream.add(request(i)): i for i in range(5)}
    found = dict([next(stream), next(stream)])
    numbers |= {stream.add(request(i)): i for i in range(20, 25)}
    found |= dict(stream)
    assert {number: int(c.text) for number, c in found.items()} == numbers
    assert server.most == 2
    assert next(stream, None) is None
    stream.add(request(7))
    assert [c.text for _, c in stream] == ["7"]
    stream.close()
    stream.close()
    assert server.closed


@pytest.mark.parametrize(("seed", "beside", "said"), [(13, None, "13 is refused"), (99, 0.01, "is gone")])
def test_a_failure_ends_the_stream(seed: int, beside: float | None, said: str) -> None:
    server = Server(beside)
    stream = server.stream()
    stream.add(request(seed))
    with pytest.raises(RuntimeError, match=said):
        next(stream)
    assert next(stream, None) is None
    stream.close()
    assert server.closed


def test_closing_waits_for_nothing_under_way() -> None:
    server = Server()
    stream = server.stream()
    for _ in range(4):
        stream.add(request(99))
    stream.close()
    assert server.closed
