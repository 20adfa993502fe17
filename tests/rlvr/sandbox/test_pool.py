"""Confined worker processes: nothing outside is touched, nothing hangs, nothing is left behind."""

from __future__ import annotations

import os
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from rlvr.sandbox import (
    UNSAFE,
    CallFailed,
    Confinement,
    Limits,
    StartError,
    TimedOut,
    WorkerDied,
    WorkerError,
    WorkerPool,
)
from rlvr.sandbox.selftest import ATTEMPTS, faults

LIMITS = Limits(seconds=1.0, memory_mb=256)
# Nothing here measures speed: it tells a hang from a slow machine.
IN_TIME = LIMITS.seconds + 0.5 + 1.0

Make = Callable[..., WorkerPool]


@pytest.fixture
def pool(confinement: Confinement) -> Iterator[Make]:
    """Makes pools of a function in tests/hostile_functions.py."""
    pools = []

    def make(function: str, workers: int = 1, limits: Limits = LIMITS) -> WorkerPool:
        pools.append(WorkerPool(f"hostile_functions:{function}", workers, limits, confinement=confinement))
        return pools[-1]

    yield make
    for pool in pools:
        pool.close()


def alive(pool: WorkerPool) -> list[int]:
    """Processes of the pool's workers."""
    return [pid for worker in pool._started for pid in worker.processes()]


def test_every_forbidden_thing_works_where_nothing_forbids_it() -> None:
    """Otherwise the self-test would prove nothing. A limit cannot be raised without privilege either."""
    found = set(faults(UNSAFE))
    assert found >= ATTEMPTS.keys() - {"raise its memory limit"}
    assert "leave a trace on the host" in found


def test_the_self_test_passes(confinement: Confinement) -> None:
    assert faults(confinement) == []


def test_what_json_holds_goes_in_and_comes_out(pool: Make) -> None:
    arguments = [1, 2.5, "ü\n\0", None, True, [[], {"a": "b"}], "x" * 200_000]
    assert pool("echo").call(*arguments) == arguments


def test_no_environment_reaches_a_worker(pool: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret")
    assert "secret" not in str(pool("environment").call())


def test_a_call_finds_nothing_of_the_call_before(pool: Make) -> None:
    remember = pool("remember")
    assert [remember.call(item) for item in "ab"] == [["a"], ["b"]]


def test_the_deadline_holds(pool: Make) -> None:
    wait = pool("wait")
    wait.call(0)
    start = time.monotonic()
    with pytest.raises(TimedOut):
        wait.call(60)
    assert time.monotonic() - start < IN_TIME
    assert wait.call(0.01) == "waited"
    with pytest.raises(TimedOut):
        wait.call(0.5, seconds=0.1)


@pytest.mark.parametrize(
    "answer",
    [
        "9**9**9",  # holds the interpreter lock
        "[0] * 10**10",
        "'a' * 10**10",
        "[list(range(10**6)) for _ in range(10**6)]",
        "__import__('os')._exit(0)",
        "__import__('os').abort()",
        "__import__('os').kill(__import__('os').getpid(), 9)",
        "__import__('os').closerange(0, 1000) or 9**9**9",
        "__import__('ctypes').string_at(0)",
        "__import__('sys').setrecursionlimit(10**9) or (f := lambda: f())()",
        "__import__('time').sleep(1000)",
        "exit()",
        "open('/proc/self/mem', 'wb')",
        "1/0",
        "float('nan').__class__",
    ],
)
def test_answers_that_run_as_code_fail_alone_and_in_time(pool: Make, answer: str) -> None:
    evaluate = pool("evaluate")
    assert evaluate.call("1 + 1") == 2
    start = time.monotonic()
    with pytest.raises(CallFailed):
        evaluate.call(answer)
    assert time.monotonic() - start < IN_TIME
    assert evaluate.call("2 + 2") == 4


@pytest.mark.parametrize("bomb", ["fork_bomb", "thread_bomb"])
def test_bombs_are_defused(pool: Make, bomb: str) -> None:
    bombs = pool(bomb)
    for _ in range(3):
        with pytest.raises(CallFailed):
            bombs.call()
    assert len(alive(bombs)) <= 4  # bubblewrap's two, the worker, and what is ending


def test_garbage_on_stdout_is_not_a_result(pool: Make) -> None:
    assert pool("garbage_on_stdout").call() == "done"
    with pytest.raises(WorkerDied):
        pool("garbage_on_every_descriptor").call()
    long = pool("garbage_on_stdout", limits=Limits(printed_bytes=1000))
    with pytest.raises(WorkerError, match="File too large"):
        long.call()


def test_long_and_deep_results_are_refused(pool: Make) -> None:
    with pytest.raises(WorkerDied, match="more than 1048576 bytes"):
        pool("evaluate").call("'a' * (2 << 20)")
    with pytest.raises(CallFailed):
        pool("deep").call(100_000)


def test_nothing_is_reached_outside(pool: Make, tmp_path: Path) -> None:
    with pytest.raises(WorkerError, match="not permitted"):
        pool("write").call(str(tmp_path / "file"))
    assert not list(tmp_path.iterdir())
    with socket.create_server(("127.0.0.1", 0)) as server:
        with pytest.raises(WorkerError, match="not permitted"):
            pool("connect").call(server.getsockname()[1])
        server.settimeout(0.1)
        with pytest.raises(TimeoutError):
            server.accept()
    with pytest.raises(WorkerError, match="not permitted"):
        pool("run_program").call()


def test_many_threads_share_the_workers(pool: Make) -> None:
    echo = pool("echo", workers=2)
    answers: dict[int, Any] = {}
    threads = [threading.Thread(target=lambda n=n: answers.update({n: echo.call(n)})) for n in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {n: [n] for n in range(50)}
    # The threads that started the workers are gone, the workers are not.
    assert echo.call("still here") == ["still here"]
    assert len(echo._started) == 2


def test_map_keeps_the_order_and_uses_every_worker(pool: Make) -> None:
    wait = pool("wait", workers=2)
    wait.map([[0], [0]])
    start = time.monotonic()
    results = wait.map([[0.5], [60], [0.0], [0.5]], seconds=0.8)
    assert time.monotonic() - start < 1.8  # 0.8 + 0.5 + 0.5 one after the other
    assert [r if isinstance(r, str) else type(r) for r in results] == ["waited", TimedOut, "waited", "waited"]


def test_a_worker_that_is_killed_whole_is_replaced(pool: Make) -> None:
    echo = pool("echo")
    echo.call(1)
    for pid in alive(echo):
        with suppress(ProcessLookupError):  # it died with its parent
            os.kill(pid, signal.SIGKILL)
    while alive(echo) or any(worker.alive for worker in echo._started):  # gone from /proc comes first
        time.sleep(0.01)
    assert echo.call(3) == [3]
    assert len(echo._started) == 1
    echo.close()
    assert echo.call(4) == [4]


def test_a_worker_that_does_not_answer_is_given_up_in_time(pool: Make) -> None:
    """Its own clock does not run; the caller's does."""
    echo = pool("echo")
    echo.call(1)
    for pid in alive(echo):
        os.kill(pid, signal.SIGSTOP)
    start = time.monotonic()
    with pytest.raises(TimedOut):
        echo.call(2)
    assert time.monotonic() - start < IN_TIME
    assert echo.call(3) == [3]


def test_no_request_is_too_large_to_be_given_up(pool: Make) -> None:
    echo = pool("echo")
    echo.call(1)
    for pid in alive(echo):
        os.kill(pid, signal.SIGSTOP)
    with pytest.raises(TimedOut):
        echo.call("x" * (8 << 20))  # more than the pipe holds


def test_a_function_that_cannot_be_imported_is_an_error_for_people(confinement: Confinement) -> None:
    with pytest.raises(StartError, match="no module nowhere"):
        WorkerPool("nowhere:function", 1, confinement=confinement).call()
    with pytest.raises(StartError, match="no_such_name"):
        WorkerPool("hostile_functions:no_such_name", 1, confinement=confinement).call()


def test_a_forked_process_starts_workers_of_its_own(pool: Make) -> None:
    echo = pool("echo")
    assert echo.call(1) == [1]
    if (pid := os.fork()) == 0:
        os._exit(0 if echo.call(2) == [2] and len(echo._started) == 1 else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert echo.call(3) == [3]


def test_a_package_below_the_temporary_directory_is_found(
    confinement: Confinement, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker has a /tmp of its own; a checkout may lie in the host's."""
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        (Path(directory) / "lies_in_tmp.py").write_text("def twice(number):\n    return 2 * number\n")
        monkeypatch.syspath_prepend(directory)
        pool = WorkerPool("lies_in_tmp:twice", 1, LIMITS, confinement=confinement)
        try:
            assert pool.call(21) == 42
        finally:
            pool.close()


@pytest.mark.parametrize(
    ("how", "ended"),
    [
        ("return", {"status": 3, "printed": "said"}),
        ("exit", {"status": 0, "printed": "said"}),
        ("raise", {"status": 1, "printed": "said"}),
        ("signal", {"status": -9, "printed": "said"}),
        ("close the result", {"status": 0, "printed": "said later"}),
        ("forge the result", {"status": 0, "printed": "said"}),
    ],
)
def test_what_a_call_printed_in_whatever_way_it_ended(pool: Make, how: str, ended: Any) -> None:
    assert pool("print_and_end").call(how, printed=True) == ended


def test_a_call_that_prints_is_bounded_in_time_and_length(pool: Make) -> None:
    with pytest.raises(TimedOut):
        pool("print_and_end").call("close the result and hang", printed=True)
    with pytest.raises(WorkerDied, match="more than 3 bytes"):
        pool("print_and_end").call("exit", printed=True, output_bytes=3)


def test_single_packages(confinement: Confinement) -> None:
    for packages, numpy, sympy in ((("numpy", "no_such_package"), True, False), (False, False, False)):
        pool = WorkerPool(
            "hostile_functions:importable", 1, Limits(5.0), packages=packages, confinement=confinement
        )
        assert [pool.call(name) for name in ("numpy.linalg", "sympy")] == [numpy, sympy]
        pool.close()
