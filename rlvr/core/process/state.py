"""What a process has once, for all of its code: number formats, generators, directory, handlers, switches.

Other people's code that a run calls may change it, and what the run computes or where it writes with it.
`kept` puts back what was changed. `PIECES` is the whole list.
"""

from __future__ import annotations

import decimal
import gc
import locale
import os
import random
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

# Variables that say where the run writes and reads.
VARIABLES = ("HOME", "TMPDIR")
PREFIX = "RLVR_"


class Piece(NamedTuple):
    """A part of the state. package: it is there once this was imported. quiet: to change it is no news.

    read returns what can be compared with ==, and write takes it.
    """

    name: str
    read: Callable[[], Any]
    write: Callable[[Any], Any]
    package: str = "sys"
    quiet: bool = False


@contextmanager
def kept(changed: Callable[[str], None]) -> Iterator[None]:
    """Puts back, after the block, what was changed in it. changed: told the name of each piece that was."""
    before = [(piece, value) for piece in PIECES for value in _read(piece)]
    try:
        yield
    finally:
        for piece, value in before:
            if _read(piece) != [value]:
                piece.write(value)
                if not piece.quiet:
                    changed(piece.name)


def _read(piece: Piece) -> list[Any]:
    """Its value; empty where there is none here, as before its package is imported, or in another thread."""
    if piece.package not in sys.modules:
        return []
    with suppress(AttributeError, RuntimeError, TypeError, ValueError, OSError):
        return [piece.read()]
    return []


def _torch() -> Any:
    return sys.modules["torch"]


def _numpy() -> Any:
    return sys.modules["numpy"]


def _deterministic() -> tuple[bool, bool]:
    torch = _torch()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    return torch.are_deterministic_algorithms_enabled(), warn_only


def _set_deterministic(value: tuple[bool, bool]) -> None:
    _torch().use_deterministic_algorithms(value[0], warn_only=value[1])


def _autocast() -> bool:
    return bool(_torch().is_autocast_enabled("cpu"))


def _set_autocast(value: bool) -> None:
    _torch().set_autocast_enabled("cpu", value)


def _device() -> str | None:
    """None where there is none of its own: a default device costs every call something, even the CPU."""
    name = str(_torch().get_default_device())
    return None if name == "cpu" else name


def _flushes_denormals() -> bool:
    torch = _torch()
    return bool((torch.full((1,), 1e-310, dtype=torch.float64, device="cpu") * 1.0 == 0).item())


def _cudnn() -> tuple[bool, bool, bool]:
    cudnn = _torch().backends.cudnn
    return cudnn.enabled, cudnn.deterministic, cudnn.benchmark


def _set_cudnn(value: tuple[bool, bool, bool]) -> None:
    cudnn = _torch().backends.cudnn
    cudnn.enabled, cudnn.deterministic, cudnn.benchmark = value


def _generators() -> list[bytes]:
    """The CPU's, and those of GPUs where there are any in use."""
    torch = _torch()
    states = [torch.get_rng_state()]
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        states += torch.cuda.get_rng_state_all()
    return [state.cpu().numpy().tobytes() for state in states]


def _set_generators(value: list[bytes]) -> None:
    torch = _torch()
    states = [torch.frombuffer(bytearray(one), dtype=torch.uint8) for one in value]
    torch.set_rng_state(states[0])
    if states[1:]:
        torch.cuda.set_rng_state_all(states[1:])


def _numpy_generator() -> tuple[Any, ...]:
    name, keys, *rest = _numpy().random.get_state()
    return (name, keys.tobytes(), *rest)


def _set_numpy_generator(value: tuple[Any, ...]) -> None:
    name, keys, *rest = value
    numpy = _numpy()
    numpy.random.set_state((name, numpy.frombuffer(keys, dtype=numpy.uint32), *rest))


def _umask() -> int:
    """Read where that is possible: to set it, if only for a moment, is to set it for other threads too."""
    with suppress(OSError), open("/proc/self/status") as status:
        for line in status:
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _variables() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name in VARIABLES or name.startswith(PREFIX)}


def _set_variables(value: dict[str, str]) -> None:
    for name in _variables().keys() - value.keys():
        del os.environ[name]
    os.environ.update(value)


def _handlers() -> list[Any]:
    """Raises RuntimeError outside the main thread, which alone can set them."""
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError
    return [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]


def _set_handlers(value: list[Any]) -> None:
    for number, handler in zip((signal.SIGTERM, signal.SIGINT), value, strict=True):
        signal.signal(number, handler)


def _alarm() -> bool:
    """Whether one is set, which would end the process later."""
    return signal.getitimer(signal.ITIMER_REAL)[0] > 0


def _set_alarm(value: bool) -> None:
    if not value:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _set_outputs(value: tuple[Any, Any]) -> None:
    sys.stdout, sys.stderr = value


def _set_locale(value: str) -> None:
    locale.setlocale(locale.LC_ALL, value)


def _decimals() -> tuple[int, str]:
    context = decimal.getcontext()
    return context.prec, context.rounding


def _set_decimals(value: tuple[int, str]) -> None:
    context = decimal.getcontext()
    context.prec, context.rounding = value


def _set_collecting(value: bool) -> None:
    (gc.enable if value else gc.disable)()


def _of_torch(name: str, read: str, write: str) -> Piece:
    """A piece that torch reads and writes by two functions of its own."""
    return Piece(name, lambda: getattr(_torch(), read)(), lambda v: getattr(_torch(), write)(v), "torch")


PIECES = (
    _of_torch("torch's default dtype", "get_default_dtype", "set_default_dtype"),
    _of_torch("torch's grad mode", "is_grad_enabled", "set_grad_enabled"),
    _of_torch("torch's anomaly mode", "is_anomaly_enabled", "set_anomaly_enabled"),
    _of_torch("torch's precision", "get_float32_matmul_precision", "set_float32_matmul_precision"),
    _of_torch("torch's number of threads", "get_num_threads", "set_num_threads"),
    Piece("torch's default device", _device, lambda v: _torch().set_default_device(v), "torch"),
    Piece("torch's deterministic algorithms", _deterministic, _set_deterministic, "torch"),
    Piece("torch's autocast", _autocast, _set_autocast, "torch"),
    Piece("denormal numbers", _flushes_denormals, lambda v: _torch().set_flush_denormal(v), "torch"),
    Piece("cuDNN's switches", _cudnn, _set_cudnn, "torch"),
    Piece("torch's generators", _generators, _set_generators, "torch", quiet=True),
    Piece("numpy's generator", _numpy_generator, _set_numpy_generator, "numpy", quiet=True),
    Piece("random's generator", random.getstate, random.setstate, quiet=True),
    Piece("numpy's errors", lambda: _numpy().geterr(), lambda v: _numpy().seterr(**v), "numpy"),
    Piece("the decimal context", _decimals, _set_decimals),
    Piece("the working directory", os.getcwd, os.chdir),
    Piece("the umask", _umask, os.umask),
    Piece("environment variables", _variables, _set_variables),
    Piece("the handlers of SIGTERM and SIGINT", _handlers, _set_handlers),
    Piece("an alarm", _alarm, _set_alarm),
    Piece("sys.stdout and sys.stderr", lambda: (sys.stdout, sys.stderr), _set_outputs),
    Piece("the recursion limit", sys.getrecursionlimit, sys.setrecursionlimit),
    Piece("the locale", lambda: locale.setlocale(locale.LC_ALL), _set_locale),
    Piece("garbage collection", gc.isenabled, _set_collecting),
)
