"""A system call filter: what is not listed here is refused with EPERM.

The list is what a Python interpreter needs to compute and to read files. There is no file opened for
writing, no change of a file's name, mode or length, no fork, no exec, no socket, no signal to another
process, no limit to be raised.
The filter is the classic BPF of seccomp(2), built for this process: it knows its own process id.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct

# name -> number on x86_64 and on aarch64; None where the call does not exist.
ALLOWED: dict[str, tuple[int | None, int | None]] = {
    # files
    "read": (0, 63), "write": (1, 64), "readv": (19, 65), "writev": (20, 66), "pread64": (17, 67),
    "pwrite64": (18, 68), "close": (3, 57),
    "close_range": (436, 436), "lseek": (8, 62), "stat": (4, None), "fstat": (5, 80), "lstat": (6, None),
    "newfstatat": (262, 79), "statx": (332, 291), "statfs": (137, 43), "fstatfs": (138, 44),
    "access": (21, None), "faccessat": (269, 48), "faccessat2": (439, 439), "getdents64": (217, 61),
    "readlink": (89, None), "readlinkat": (267, 78), "getcwd": (79, 17), "chdir": (80, 49),
    "dup": (32, 23), "dup2": (33, None), "dup3": (292, 24), "pipe": (22, None), "pipe2": (293, 59),
    "select": (23, None), "pselect6": (270, 72), "poll": (7, None), "ppoll": (271, 73),
    "epoll_create1": (291, 20), "epoll_ctl": (233, 21), "epoll_wait": (232, None),
    "epoll_pwait": (281, 22), "eventfd2": (290, 19), "fadvise64": (221, 223),
    # memory
    "mmap": (9, 222), "munmap": (11, 215), "mprotect": (10, 226), "mremap": (25, 216),
    "madvise": (28, 233), "brk": (12, 214), "mincore": (27, 232), "get_mempolicy": (239, 236),
    # threads, signals to itself, time
    "futex": (202, 98), "set_robust_list": (273, 99), "rseq": (334, 293), "set_tid_address": (218, 96),
    "arch_prctl": (158, None), "membarrier": (324, 283), "sched_yield": (24, 124),
    "sched_getaffinity": (204, 123), "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139), "rt_sigpending": (127, 136), "rt_sigtimedwait": (128, 137),
    "sigaltstack": (131, 132), "pause": (34, None), "alarm": (37, None), "setitimer": (38, 103),
    "getitimer": (36, 102), "nanosleep": (35, 101), "clock_nanosleep": (230, 115),
    "clock_gettime": (228, 113), "clock_getres": (229, 114), "gettimeofday": (96, 169), "time": (201, None),
    "restart_syscall": (219, 128), "exit": (60, 93), "exit_group": (231, 94),
    # what a process may know of itself
    "getpid": (39, 172), "getppid": (110, 173), "gettid": (186, 178), "getuid": (102, 174),
    "geteuid": (107, 175), "getgid": (104, 176), "getegid": (108, 177), "getpgrp": (111, None),
    "getpgid": (121, 155), "getsid": (124, 156), "getgroups": (115, 158), "getrusage": (98, 165),
    "times": (100, 153), "getrlimit": (97, 163), "uname": (63, 160), "sysinfo": (99, 179),
    "getrandom": (318, 278),
}  # fmt: skip
OPEN, OPENAT = (2, None), (257, 56)
CLONE, CLONE3, KILL, TGKILL = (56, 220), (435, 435), (62, 129), (234, 131)
PRLIMIT64, FCNTL, IOCTL = (302, 261), (72, 25), (16, 29)

CLONE_THREAD = 0x10000
# O_WRONLY, O_RDWR, O_CREAT, O_TRUNC, and what tells O_TMPFILE from O_DIRECTORY
OPEN_TO_WRITE = 0o1 | 0o2 | 0o100 | 0o1000 | 0o20000000
# F_DUPFD .. F_SETFL and F_DUPFD_CLOEXEC; F_SETOWN and F_SETSIG would send signals to others.
FCNTL_COMMANDS = (0, 1, 2, 3, 4, 1030)
# TCGETS, TIOCGWINSZ, FIONREAD, FIONCLEX, FIOCLEX
IOCTL_REQUESTS = (0x5401, 0x5413, 0x541B, 0x5450, 0x5451)

_ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
_LOAD, _EQUAL, _ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _FILTER = 38, 22, 2


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_char_p))


def install() -> None:
    """Filters this thread and all that it starts, for good. Raises OSError where the kernel refuses."""
    code = program(platform.machine(), os.getpid())
    libc = ctypes.CDLL(None, use_errno=True)
    filter_ = _Program(len(code) // 8, code)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(
        _PR_SET_SECCOMP, _FILTER, ctypes.byref(filter_), 0, 0
    ):
        raise OSError(ctypes.get_errno(), "seccomp: the kernel refused the filter")


def program(machine: str, pid: int) -> bytes:
    """The filter's instructions, 8 bytes each. Raises OSError for an architecture without a table."""
    if machine not in _ARCHITECTURES:
        raise OSError(errno.ENOSYS, f"seccomp: no system call table for {machine}")
    column, architecture = _ARCHITECTURES[machine]
    allow, refuse = _op(_RETURN, _ALLOW), _op(_RETURN, _ERRNO | errno.EPERM)
    code = _op(_LOAD, _ARCHITECTURE) + _op(_EQUAL, architecture, 1, 0) + refuse + _op(_LOAD, _NUMBER)
    for numbers in ALLOWED.values():
        if numbers[column] is not None:
            code += _op(_EQUAL, numbers[column], 0, 1) + allow
    guarded = (
        (OPEN, _argument(1) + _op(_ANY_BIT, OPEN_TO_WRITE, 1, 0) + allow),
        (OPENAT, _argument(2) + _op(_ANY_BIT, OPEN_TO_WRITE, 1, 0) + allow),
        (CLONE, _argument(0) + _op(_ANY_BIT, CLONE_THREAD, 0, 1) + allow),
        (CLONE3, _op(_RETURN, _ERRNO | errno.ENOSYS)),  # its flags are out of sight; libc falls back to clone
        (KILL, _one_of(0, (pid,))),
        (TGKILL, _one_of(0, (pid,))),
        (FCNTL, _one_of(1, FCNTL_COMMANDS)),
        (IOCTL, _one_of(1, IOCTL_REQUESTS)),
        (PRLIMIT64, _reads_only()),
    )
    for numbers, body in guarded:
        if numbers[column] is None:
            continue
        body += refuse
        code += _op(_EQUAL, numbers[column], 0, len(body) // 8) + body
    return code + refuse


def _op(operation: int, value: int | None, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", operation, if_true, if_false, value)


def _argument(index: int, high: bool = False) -> bytes:
    """Loads half of an argument; both architectures are little-endian."""
    return _op(_LOAD, _ARGUMENTS + 8 * index + 4 * high)


def _one_of(argument: int, values: tuple[int, ...]) -> bytes:
    body = _argument(argument)
    for value in values:
        body += _op(_EQUAL, value, 0, 1) + _op(_RETURN, _ALLOW)
    return body


def _reads_only() -> bytes:
    """prlimit64(0 or own, which, new=NULL, old): a limit may be read, never set."""
    high, low = _argument(2, high=True), _argument(2)
    return high + _op(_EQUAL, 0, 0, 3) + low + _op(_EQUAL, 0, 0, 1) + _op(_RETURN, _ALLOW)
