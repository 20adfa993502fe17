"""How other people's functions are called, rewards and environments: one after another, in threads or
awaited, and what none of them may do.

They are other people's code in this process. One that raises, or ends it by `sys.exit` or `os._exit`, gives
no number; one that forks has its child ended, and an environment that does has failed; what one changes of
the process's state is put back; what it is given are copies.
"""

from __future__ import annotations

import asyncio
import copy
import inspect
import os
import pickle
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from rlvr.config.schema import ExtraReward
from rlvr.core.process.state import kept
from rlvr.rollouts.deadline import Deadline, Overdue
from rlvr.rollouts.playing.forks import ended_forks

# Calls of an async function at once, where the configuration says nothing.
CONCURRENCY = 64
# What passes through: the person's own wish, and the time limit's. All else is the function's failure.
PASSING = (KeyboardInterrupt, Overdue)
# Makes the arguments of one call.
Arguments = Callable[[], tuple[Any, ...]]
_CONSTANT = (str, bytes, int, float, bool, type(None))
_end = os._exit


class Forked(Exception):
    """A call forked this process."""


@dataclass(frozen=True, slots=True)
class Raised:
    """In place of a value: what a function raised, or why there is none."""

    text: str

    @classmethod
    def of(cls, error: BaseException) -> Raised:
        return cls(f"{type(error).__name__}: {error}")


def call_all(
    function: Callable[..., Any],
    calls: Sequence[Arguments],
    settings: ExtraReward,
    changed: Callable[[str], None] = lambda piece: None,
    deadline: Deadline | None = None,
) -> list[Any]:
    """What each call returned, in order.

    An async function's calls overlap. Others run in this thread one by one, as libraries that rely on
    signals need it, unless a limit on their number or time asks for threads. changed: told what of the
    process's state was changed, and put back. Raises Overdue.
    """
    with kept(changed), _no_exit(), deadline.watching() if deadline else nullcontext():
        return _called(function, calls, settings, deadline)


def call_one(
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
    changed: Callable[[str], None],
    deadline: Deadline,
) -> Any:
    """What one call in this thread returned, or a `Raised`; see `call_all`. Raises Overdue, Forked."""
    with kept(changed), _no_exit(), deadline.watching(), ended_forks() as forks:
        found = _guarded(function, own_copy(arguments), {})
        if forks():
            raise Forked("it forked the training process; the child was ended")
    return found


def _called(
    function: Callable[..., Any],
    calls: Sequence[Arguments],
    settings: ExtraReward,
    deadline: Deadline | None,
) -> list[Any]:
    awaits = inspect.iscoroutinefunction(inspect.unwrap(function)) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004
    )
    progressed = deadline.progressed if deadline else lambda: None
    if not awaits and settings.concurrency is None and settings.timeout is None:
        values = []
        for arguments in calls:
            values.append(_guarded(function, arguments(), settings.options))
            progressed()
        return values

    async def all_of_them() -> list[Any]:
        slots = asyncio.Semaphore(settings.concurrency or (CONCURRENCY if awaits else 1))

        async def one(arguments: Arguments) -> Any:
            async with slots:
                work = _awaited(function) if awaits else _in_a_thread(function)
                value = await _timed(work, arguments(), settings)
                progressed()
                return value

        return await asyncio.gather(*map(one, calls))

    return asyncio.run(all_of_them())


def _guarded(function: Callable[..., Any], arguments: tuple[Any, ...], options: Mapping[str, Any]) -> Any:
    owner, status = os.getpid(), 1
    try:
        return function(*arguments, **own_copy(options))
    except PASSING:
        raise
    except BaseException as error:  # the function is not ours
        if isinstance(error, SystemExit) and isinstance(error.code, int):
            status = error.code
        return Raised.of(error)
    finally:
        if os.getpid() != owner:
            _end_child(function, status)


async def _timed(
    function: Callable[..., Awaitable[Any]], arguments: tuple[Any, ...], settings: ExtraReward
) -> Any:
    try:
        return await asyncio.wait_for(function(*arguments, **own_copy(settings.options)), settings.timeout)
    except TimeoutError:
        limit = "" if settings.timeout is None else f": no answer in {settings.timeout:g} s"
        return Raised(f"TimeoutError{limit}")
    except Exception as error:  # the function is not ours
        return Raised.of(error)


def _awaited(function: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
    """The function; what would end the loop with it is its failure."""

    async def work(*arguments: Any, **options: Any) -> Any:
        owner = os.getpid()
        try:
            return await function(*arguments, **options)
        except (SystemExit, GeneratorExit) as error:
            return Raised.of(error)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():  # by the time limit
                raise
            return Raised.of(error)
        finally:
            if os.getpid() != owner:
                _end_child(function, 1)

    return work


def _in_a_thread(function: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
    """The function as an async one. Its thread is a daemon: one that hangs keeps no process alive."""

    async def work(*arguments: Any, **options: Any) -> Any:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Any] = loop.create_future()

        def settle(value: Any) -> None:
            if not done.done():
                done.set_result(value)

        def run() -> None:
            value = _guarded(function, arguments, options)
            try:
                loop.call_soon_threadsafe(settle, value)
            except RuntimeError:  # the loop is closed: it came too late
                return

        threading.Thread(target=run, daemon=True).start()
        return await done

    return work


@contextmanager
def _no_exit() -> Iterator[None]:
    """During the block `os._exit`, which nothing can catch, raises SystemExit, except in a child."""
    owner = os.getpid()

    def refused(status: int) -> None:
        if os.getpid() != owner:
            _end(status)
        raise SystemExit(status)

    before, os._exit = os._exit, refused  # type: ignore[assignment]
    try:
        yield
    finally:
        os._exit = before


def _end_child(function: Callable[..., Any], status: int) -> None:
    """Ends a process that a function forked and did not end: it must not go on as a second trainer."""
    name = getattr(function, "__name__", "a function")
    said = f"\n{name}: the process {os.getpid()} that it forked came back and was ended\n"
    os.write(2, said.encode())
    _end(status)


def own_copy(value: Any) -> Any:
    """A copy that shares nothing that can be changed."""
    if isinstance(value, _CONSTANT):
        return value
    try:
        return pickle.loads(pickle.dumps(value, pickle.HIGHEST_PROTOCOL))
    except Exception:  # not everything can be pickled
        return copy.deepcopy(value)
