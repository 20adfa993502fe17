"""Streams of engines that are not asked token by token: batches of their own, or servers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from queue import SimpleQueue
from typing import Any

from rlvr.engines import Completion, Request

# Given a request, its completion; raises what ends the stream.
Answer = Callable[[Request], Awaitable[Completion]]


class BatchStream:
    """Of an engine that completes a sequence of requests together: all that wait when it is asked.

    complete: yields (index, completion) of every request it is given. slots: those that it works on at once.
    """

    def __init__(self, complete: Callable[[Sequence[Request]], Iterator[tuple[int, Completion]]], slots: int):
        self.complete = complete
        self.slots = slots
        self.count = 0
        self.waiting: list[Request] = []
        self.running: Iterator[tuple[int, Completion]] = iter(())

    def add(self, request: Request) -> int:
        self.waiting.append(request)
        self.count += 1
        return self.count - 1

    def __iter__(self) -> BatchStream:
        return self

    def __next__(self) -> tuple[int, Completion]:
        found = next(self.running, None)
        if found is None:
            if not self.waiting:
                raise StopIteration
            first, batch = self.count - len(self.waiting), self.waiting
            self.waiting = []
            self.running = ((first + i, completion) for i, completion in self.complete(batch))
            return next(self)
        return found

    def close(self) -> None:
        self.waiting, self.running = [], iter(())


class ServedStream:
    """Of an engine whose completions a server draws; a thread asks for them, whatever its owner does.

    session: opens connections; gives what answers a request, which waits by itself where too many are under
    way, and what is awaited beside, which ends the stream by raising. slots: requests under way at once.
    """

    def __init__(
        self, session: Callable[[], AbstractAsyncContextManager[tuple[Answer, Awaitable[None]]]], slots: int
    ):
        self.session = session
        self.slots = slots
        self.count = 0
        self.left = 0
        self._done: SimpleQueue[tuple[int, Completion] | BaseException] = SimpleQueue()
        self._asked: asyncio.Queue[tuple[int, Request] | None] = asyncio.Queue()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def add(self, request: Request) -> int:
        number = self.count
        self.count += 1
        self.left += 1
        self._loop.call_soon_threadsafe(self._asked.put_nowait, (number, request))
        return number

    def __iter__(self) -> ServedStream:
        return self

    def __next__(self) -> tuple[int, Completion]:
        if not self.left:
            raise StopIteration
        found = self._done.get()
        if isinstance(found, BaseException):
            self.left = 0
            raise found
        self.left -= 1
        return found

    def close(self) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._asked.put_nowait, None)
            self._thread.join()
            self._loop.close()

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        except BaseException as error:  # for whoever waits for completions
            self._done.put(error)

    async def _serve(self) -> None:
        """Until a request is None, or something fails."""
        async with self.session() as (answer, beside):
            following: asyncio.Future[Any] = asyncio.ensure_future(self._asked.get())
            under_way: set[asyncio.Future[None]] = {asyncio.ensure_future(beside)}
            try:
                while True:
                    waited: set[asyncio.Future[Any]] = {following, *under_way}
                    done, _ = await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
                    for task in done & under_way:
                        task.result()  # raises what ended it
                    under_way -= done
                    if following in done:
                        if (asked := following.result()) is None:
                            return
                        under_way.add(asyncio.ensure_future(self._one(answer, *asked)))
                        following = asyncio.ensure_future(self._asked.get())
            finally:
                for task in (following, *under_way):
                    task.cancel()
                await asyncio.gather(following, *under_way, return_exceptions=True)

    async def _one(self, answer: Answer, number: int, request: Request) -> None:
        self._done.put((number, await answer(request)))
