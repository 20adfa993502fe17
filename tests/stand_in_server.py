"""An OpenAI-compatible server of this process, which answers as a test says and notes what it was asked."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MODEL = "stand-in"


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@dataclass
class Answer:
    """One answer. text: of a chat reply. cut: the connection ends within it. body: sent as it is."""

    text: str = ""
    status: int = 200
    seconds: float = 0.0
    cut: bool = False
    body: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    choice: dict[str, Any] | None = None

    @property
    def content(self) -> bytes:
        if self.body is not None:
            return self.body.encode()
        choice = self.choice or {"message": {"content": self.text}, "finish_reason": "stop"}
        return json.dumps({"choices": [{"index": 0, **choice}]}).encode()


class StandIn:
    """url; asked: bodies of the requests so far, in the order in which they came; most: at once."""

    def __init__(self, answers: Callable[[dict[str, Any], int], Answer]):
        self.answers = answers
        self.asked: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.keys: list[str | None] = []
        self.most = 0
        self.now = 0
        self.lock = threading.Lock()
        self.url = ""


@contextmanager
def stand_in(answers: Callable[[dict[str, Any], int], Answer]) -> Iterator[StandIn]:
    """answers: (body, how often the very same body came before) -> what is answered."""
    state = StandIn(answers)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._send(200, json.dumps({"data": [{"id": MODEL, "max_model_len": 4096}]}).encode(), {})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or b"{}")
            with state.lock:
                before = state.asked.count(body)
                state.asked.append(body)
                state.paths.append(self.path)
                state.keys.append(self.headers.get("Authorization"))
                state.now += 1
                state.most = max(state.most, state.now)
            answer = state.answers(body, before)
            time.sleep(answer.seconds)
            with state.lock:
                state.now -= 1
            self._send(answer.status, answer.content, answer.headers, answer.cut)

        def _send(self, status: int, content: bytes, headers: dict[str, str], cut: bool = False) -> None:
            try:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content[: len(content) // 2] if cut else content)
                self.close_connection = cut
            except OSError:  # who asked has gone
                self.close_connection = True

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
