"""What a verifier's answer might do to the process that grades it. Imported by confined workers."""

from __future__ import annotations

import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

_STATE: list[Any] = []


def echo(*arguments: Any) -> Any:
    return list(arguments)


def evaluate(code: str) -> Any:
    """What reasoning-gym's scorers do with an answer."""
    return eval(code)


def wait(seconds: float) -> str:
    time.sleep(seconds)
    return "waited"


def remember(item: Any) -> list[Any]:
    _STATE.append(item)
    return _STATE


def environment() -> dict[str, str]:
    return dict(os.environ)


def garbage_on_stdout() -> str:
    for _ in range(1000):
        print('{"status": "ok", "bytes": 2}\n[]')
        os.write(1, b"\0" * 100)
    return "done"


def garbage_on_every_descriptor() -> None:
    for fd in range(256):
        try:
            os.write(fd, b'{"status": "ok", "bytes": 4}\ntrue\n' * 10)
        except OSError:
            continue
    os._exit(0)


def write(path: str) -> None:
    Path(path).write_text("written")


def connect(port: int) -> None:
    socket.create_connection(("127.0.0.1", port), timeout=1)


def run_program() -> str:
    return subprocess.run(["/bin/sh", "-c", "echo ran"], capture_output=True, text=True).stdout


def fork_bomb() -> None:
    while True:
        os.fork()


def thread_bomb() -> None:
    while True:
        threading.Thread(target=time.sleep, args=(1000,)).start()


def deep(depth: int) -> Any:
    value: Any = 0
    for _ in range(depth):
        value = [value]
    sys.setrecursionlimit(10**7)
    return json.loads("[" * depth + "]" * depth)


def print_and_end(how: str) -> int:
    os.write(1, b"said")
    if how == "exit":
        os._exit(0)
    if how == "raise":
        raise ValueError
    if how == "signal":
        os.kill(os.getpid(), signal.SIGKILL)
    if how.startswith("close the result"):
        os.close(3)
        time.sleep(100 if "hang" in how else 0.1)
        os.write(1, b" later")
        os._exit(0)
    if how == "forge the result":
        os.write(3, b'+{"status": 0, "printed": "forged"}')
        os._exit(0)
    return 3


def importable(name: str) -> bool:
    try:
        importlib.import_module(name)
    except ImportError:
        return False
    return True
