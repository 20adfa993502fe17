"""python -m evals view [RUN...] [port=8421]

Shows runs in a browser: as they go, problem by problem, the samples of base and policy side by side, and what
was trained on. RUN is a run directory, a directory of `evals probe`, or a directory that holds several;
without any it is runs. Prints the address, which has a token; only this machine can reach it, and nothing can
be changed through it. Where the port is in use the next free one is taken. Ctrl-C ends it.

From another machine: ssh -L 8421:127.0.0.1:8421 HOST, then the printed address. Needs the extra `view`:
pip install 'rlvr[view]' (in a checkout `make install` brings it).
"""

from __future__ import annotations

import secrets
import socket
from pathlib import Path
from typing import Annotated

from pydantic import Field

from evals.commands.frame import command
from rlvr.config.errors import Mistake
from rlvr.config.schema import Section
from rlvr.core.errors import UserError

DEFAULT = Path("runs")
# Ports after the one that is asked for that are tried.
TRIED = 50


class ViewError(UserError):
    """Nothing can be shown; the message says why and what to do."""


class Shown(Section):
    """What one command shows."""

    runs: tuple[Path, ...] = ()
    port: Annotated[int, Field(ge=0, le=65535)] = 8421


def _check(settings: Shown) -> list[Mistake]:
    """One that is not there is shown as such beside the others."""
    places = settings.runs or (DEFAULT,)
    if any(place.is_dir() for place in places):
        return []
    return [Mistake(str(place), None, "there is no such directory") for place in places]


@command(Shown, _check, positional="runs", interrupted="view ended")
def main(settings: Shown) -> int:
    """Raises ViewError."""
    try:
        import duckdb  # noqa: F401
        import uvicorn

        from evals.view.runs import Library
        from evals.view.server import View, application
    except ModuleNotFoundError as error:
        if error.name not in ("duckdb", "starlette", "uvicorn"):
            raise
        raise ViewError(
            f"this needs the package {error.name}, which is not installed: pip install 'rlvr[view]' (in a "
            "checkout: make install)"
        ) from None
    listening = listen(settings.port)
    port = listening.getsockname()[1]
    token = secrets.token_urlsafe(18)
    library = Library(settings.runs or (DEFAULT,))
    server = uvicorn.Server(
        uvicorn.Config(
            application(View(library), token, port),
            log_level="error",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=1,
        )
    )
    shown = len(library.paths())
    print(f"{shown} run{'s' if shown != 1 else ''} at http://127.0.0.1:{port}/?token={token}", flush=True)
    if settings.port not in (0, port):
        print(f"(port {settings.port} is in use)", flush=True)
    print("Ctrl-C ends it; nothing is changed.", flush=True)
    server.run(sockets=[listening])
    return 0


def listen(port: int) -> socket.socket:
    """A socket of 127.0.0.1 at the port, or at the next free one; 0: at any. Raises ViewError."""
    for tried in range(port, min(port + TRIED, 65535) + 1):
        found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            found.bind(("127.0.0.1", tried))
            found.listen(128)
            return found
        except OSError:
            found.close()
    raise ViewError(f"the ports {port} to {port + TRIED} are all in use: give another port=")
