"""The pages and what they ask for: GET alone, on this machine alone, with a token.

What a model wrote reaches the page as JSON and is put there as text. Nothing but this server's own files may
run in it (Content-Security-Policy), and no other page may ask in its name (token, cookie, Host).
"""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from evals.view.problems import Asked, place_in, problems_page, read_problems
from evals.view.rollouts import rollouts_page
from evals.view.runs import Library, NoSuchError, finite, measurements
from evals.view.samples import Samples, Selection
from rlvr.core.errors import UserError

PAGE = Path(__file__).parent / "page"
FILES = {"": "index.html", **{p.name: p.name for p in sorted(PAGE.iterdir()) if p.is_file()}}
KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
COOKIE = "rlvr-view"


class View:
    """What is shown of some runs. Requests are answered one at a time: the readers are not for several
    threads."""

    def __init__(self, library: Library):
        self.library = library
        self.samples = Samples()
        self._asked: dict[tuple[Path, int], list[Asked]] = {}
        self._one = threading.Lock()

    def answer(self, make: Callable[[View, Mapping[str, str]], Any], query: Mapping[str, str]) -> Response:
        """What `make` gives, as JSON; where the user can act on what fails, its message with status 422."""
        try:
            with self._one:
                return _json(make(self, query))
        except NoSuchError as error:
            return _json({"error": str(error)}, 404)
        except (UserError, OSError) as error:
            return _json({"error": str(error)}, 422)

    def runs(self, query: Mapping[str, str]) -> Any:
        return {"runs": self.library.listed()}

    def run(self, query: Mapping[str, str]) -> Any:
        return self.library.run(self._path(query))

    def problems(self, query: Mapping[str, str]) -> Any:
        base, policy = self._files(query)
        key = policy, policy.stat().st_mtime_ns
        if key not in self._asked:
            self._asked = dict([*self._asked.items()][-7:]) | {key: read_problems(base, policy)}
        return problems_page(self._asked[key], query)

    def page(self, query: Mapping[str, str]) -> Any:
        return self.samples.page(self._file(query), Selection.of(query), place_in(query))

    def whole(self, query: Mapping[str, str]) -> Any:
        selection = Selection.of(query)
        return self.samples.whole(self._file(query), selection.problem or "", selection.index or 0)

    def rollouts(self, query: Mapping[str, str]) -> Any:
        return rollouts_page(self._path(query), query)

    def export(self, query: Mapping[str, str]) -> Response:
        """The selected samples as JSON lines, read as they are sent."""
        rows = self.samples.export(self._file(query), Selection.of(query))

        def lines() -> Iterator[bytes]:
            while True:
                with self._one:
                    row = next(rows, None)
                if row is None:
                    return
                yield (json.dumps(finite(row)) + "\n").encode()

        name = f"{query.get('task', 'samples')}-{query.get('side', 'policy')}.jsonl".replace('"', "")
        disposition = f'attachment; filename="{name.encode("ascii", "replace").decode()}"'
        headers = {**HEADERS, "Content-Disposition": disposition}
        return StreamingResponse(lines(), headers=headers, media_type="application/jsonl")

    def _path(self, query: Mapping[str, str]) -> Path:
        return self.library.path(query.get("run", ""))

    def _files(self, query: Mapping[str, str]) -> tuple[Path, Path]:
        """The samples files of base and policy. Raises NoSuchError."""
        path = self._path(query)
        found = measurements(path)
        task = query.get("task") or next(iter(found), "")
        steps = found.get(task, {})
        step = query.get("step") or str(next(reversed(steps), ""))
        known = {str(number): files for number, files in steps.items()}
        if step not in known:
            those = "; ".join(f"{name}: {', '.join(map(str, at))}" for name, at in found.items()) or "none"
            raise NoSuchError(f"{path} has no samples of {task} at step {step:.20}. It has {those}")
        return known[step]

    def _file(self, query: Mapping[str, str]) -> Path:
        base, policy = self._files(query)
        return base if query.get("side") == "base" else policy


ANSWERS: dict[str, Callable[[View, Mapping[str, str]], Any]] = {
    "runs": View.runs, "run": View.run, "problems": View.problems, "samples": View.page,
    "sample": View.whole, "rollouts": View.rollouts,
}  # fmt: skip


def application(view: View, token: str, port: int) -> ASGIApp:
    """The server of one view. token: what the first address carries, and a cookie after it."""

    def file(request: Request) -> Response:
        name = FILES.get(request.path_params.get("name", ""))
        if name is None:
            return PlainTextResponse("no such page", 404, HEADERS)
        path = PAGE / name
        return Response(path.read_bytes(), headers=HEADERS, media_type=KINDS[path.suffix])

    def answer(request: Request) -> Response:
        make = ANSWERS.get(request.path_params["name"])
        if make is None:
            return _json({"error": "no such question"}, 404)
        return view.answer(make, dict(request.query_params))

    def export(request: Request) -> Response:
        try:
            return view.export(dict(request.query_params))
        except (UserError, OSError) as error:
            return _json({"error": str(error)}, 422)

    routes = [
        Route("/", file), Route("/export", export), Route("/api/{name}", answer), Route("/{name}", file),
    ]  # fmt: skip
    return Guard(Starlette(routes=routes), token, port)


class Guard:
    """Lets nobody in without the token, nor under another name than this machine's own."""

    def __init__(self, inner: ASGIApp, token: str, port: int):
        self.inner, self.token, self.cookie = inner, token, f"{COOKIE}-{port}"
        self.hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":  # of sockets there are none
            if scope["type"] == "lifespan":
                await self.inner(scope, receive, send)
            return
        refused = self._refused(Request(scope))
        await (refused or self.inner)(scope, receive, send)

    def _refused(self, request: Request) -> Response | None:
        if request.headers.get("host") not in self.hosts:
            return PlainTextResponse("asked for under another name than 127.0.0.1", 400, HEADERS)
        if request.method not in ("GET", "HEAD"):
            return PlainTextResponse("nothing can be changed here", 405, HEADERS)
        if self._is_token(request.query_params.get("token", "")):
            there = RedirectResponse(request.url.path, 303, HEADERS)
            there.set_cookie(self.cookie, self.token, httponly=True, samesite="strict")
            return there
        if not self._is_token(request.cookies.get(self.cookie, "")):
            return PlainTextResponse(
                "open the address that `rlvr view` printed: it has the token", 403, HEADERS
            )
        return None

    def _is_token(self, given: str) -> bool:
        return secrets.compare_digest(given.encode(), self.token.encode())


def _json(value: Any, status: int = 200) -> Response:
    return JSONResponse(finite(value), status, HEADERS)
