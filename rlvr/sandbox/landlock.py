"""Landlock: the kernel lets this process read the given paths, write in others, and reach no other file.

See landlock(7). It needs no privilege and cannot be undone. What it does not govern (mode and owner of
files, sockets on old kernels, other processes) is governed by `rlvr.sandbox.seccomp`.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from pathlib import Path

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION, _PATH_BENEATH, _PR_SET_NO_NEW_PRIVS = 1, 1, 38

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1, 2, 4, 8
# Rights that exist since version 1 .. 5 of the interface.
_FILE_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}


class _Ruleset(ctypes.Structure):
    _fields_ = (
        ("handled_access_fs", ctypes.c_uint64),
        ("handled_access_net", ctypes.c_uint64),  # since 4: bind and connect TCP
        ("scoped", ctypes.c_uint64),  # since 6: abstract sockets and signals
    )


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


_libc = ctypes.CDLL(None, use_errno=True)


def version() -> int:
    """Version of the kernel's interface. Raises OSError where there is none."""
    return _call("no Landlock in this kernel", _CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION)


def restrict(readable: Sequence[str], writable: Sequence[str]) -> None:
    """Confines this thread and all that it starts to these files and directories, for good.

    Paths that do not exist are left out. Raises OSError where the kernel refuses.
    """
    known = version()
    ruleset = _Ruleset(_FILE_RIGHTS[min(known, 5)], 3 if known >= 4 else 0, 3 if known >= 6 else 0)
    size = 24 if known >= 6 else 16 if known >= 4 else 8
    refused = "Landlock: the kernel refused"
    rules = _call(refused, _CREATE_RULESET, ctypes.byref(ruleset), ctypes.c_size_t(size), 0)
    for path in (*readable, *writable):
        if not Path(path).exists():
            continue
        access = READ_FILE | EXECUTE | (READ_DIR if os.path.isdir(path) else 0)
        if path in writable:
            access = ruleset.handled_access_fs if os.path.isdir(path) else READ_FILE | WRITE_FILE
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
        beneath = _PathBeneath(access, fd)
        _call(refused, _ADD_RULE, rules, _PATH_BENEATH, ctypes.byref(beneath), 0)
        os.close(fd)
    if _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), refused)
    _call(refused, _RESTRICT_SELF, rules, 0)
    os.close(rules)


def _call(message: str, number: int, *arguments: object) -> int:
    words = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result = _libc.syscall(ctypes.c_long(number), *words)
    if result < 0:
        reason = ctypes.get_errno()
        raise OSError(reason, f"{message}: {os.strerror(reason)}")
    return result
