"""Ways to confine a worker: bubblewrap, Landlock, and none but limits.

bubblewrap gives the worker namespaces of its own: no network, no process but its own, and a file system
that holds the interpreter and nothing writable. Landlock confines it in place. In both every call is
also under the system call filter of `rlvr.sandbox.seccomp`. What each leaves open: docs/sandbox.md.
"""

from __future__ import annotations

import shutil
import sys
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Name = Literal["bubblewrap", "landlock", "unsafe"]

SYSTEM_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache")
SCRATCH_BYTES = 16 << 20
PACKAGE_DIRECTORIES = ("site-packages", "dist-packages")


@dataclass(frozen=True, slots=True)
class Confinement:
    """A way to start a confined process. `name` is what is recorded with results."""

    name: Name

    @property
    def filters_calls(self) -> bool:
        """Whether calls run under the system call filter."""
        return self.name != "unsafe"

    def command(self, command: Sequence[str], readable: Sequence[str]) -> list[str]:
        """The command line that runs `command`, which may read the given paths and Python's own modules."""
        if self.name != "bubblewrap":
            return list(command)
        program = shutil.which("bwrap")
        if program is None:
            raise FileNotFoundError("no program bwrap")
        arguments = [program, "--unshare-all", "--unshare-user", "--uid", "65534", "--gid", "65534"]
        arguments += ["--cap-drop", "ALL", "--die-with-parent", "--chdir", "/"]
        # For modules that want a directory for themselves when they are imported; no call can write there.
        # First, since what may be read can lie below it.
        arguments += ["--size", str(SCRATCH_BYTES), "--tmpfs", "/tmp"]
        for path in (*SYSTEM_LIBRARIES, interpreter(), *_shared_interpreter(), str(_standard_library())):
            arguments += ["--ro-bind-try", path, path]
        packages = [_standard_library() / name for name in PACKAGE_DIRECTORIES]
        hidden = [str(package) for package in packages if package.is_dir()]
        for path in hidden:
            arguments += ["--tmpfs", path]
        for path in readable:  # some may lie in a directory that is hidden
            arguments += ["--ro-bind", path, path]
        for path in hidden:
            arguments += ["--remount-ro", path]
        for device in ("/dev/null", "/dev/urandom"):
            arguments += ["--dev-bind", device, device]
        # Last: the root is a file system in memory, which could be filled.
        return [*arguments, "--remount-ro", "/", "--", *command]

    def landlock(self, readable: Sequence[str]) -> list[str] | None:
        """All that the process may read, where Landlock has to know it."""
        if self.name != "landlock":
            return None
        modules = [str(p) for p in _standard_library().iterdir() if p.name not in PACKAGE_DIRECTORIES]
        return [*SYSTEM_LIBRARIES, interpreter(), *_shared_interpreter(), *modules, *readable]


BUBBLEWRAP, LANDLOCK, UNSAFE = Confinement("bubblewrap"), Confinement("landlock"), Confinement("unsafe")


def interpreter() -> str:
    """The interpreter's own file, without the links of a virtual environment."""
    return str(Path(sys.executable).resolve())


def installed_packages() -> list[str]:
    """The directories of installed packages on this process's sys.path."""
    return [path for path in sys.path if Path(path).name in PACKAGE_DIRECTORIES and Path(path).is_dir()]


def _standard_library() -> Path:
    return Path(sysconfig.get_path("stdlib")).resolve()


def _shared_interpreter() -> list[str]:
    """Shared libraries that lie beside the interpreter, as conda has them."""
    return [str(path) for path in Path(interpreter()).parent.parent.glob("lib/lib*.so*")]
