"""As much of a wandb server as a run and `wandb sync` talk to; it can stop answering."""

from __future__ import annotations

import json
import re
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

VIEWER = {
    "id": "u", "username": "u", "entity": "e", "email": "u@localhost", "admin": False, "flags": "{}",
    "teams": {"edges": []}, "apiKeys": {"edges": []},
}  # fmt: skip


class WandbServer:
    """Listens on a free port of this machine while the block runs.

    lines: the rows of history that it holds, of one run. upserted: what was said of the run, merged.
    files: names uploaded. artifacts: what was asked to be created. views: workspaces and reports, by their
    name, as they were sent. `stall` leaves every request from now on
    without an answer.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.upserted: dict[str, Any] = {}
        self.files: set[str] = set()
        self.artifacts: list[dict[str, Any]] = []
        self.views: dict[str, dict[str, Any]] = {}
        self.stalled = threading.Event()
        self._closed = threading.Event()
        self._http = Listening(("127.0.0.1", 0), type("Handler", (Handler,), {"server_state": self}))
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> WandbServer:
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._http.shutdown()
        self._http.server_close()

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]

    def stall(self) -> None:
        self.stalled.set()

    def wait_while_stalled(self) -> None:
        if self.stalled.is_set():
            self._closed.wait()

    def answer(self, operation: str, variables: dict[str, Any]) -> dict[str, Any]:
        """The data of a GraphQL answer; empty for what only asks what the server can do."""
        known = {
            "RunResumeStatus": self._resume_status,
            "UpsertBucket": self._upsert,
            "CreateRunFiles": self._create_files,
            "CreateArtifact": self._create_artifact,
            "Viewer": lambda _: {"viewer": VIEWER},
            "GetProjects": lambda _: {
                "models": {"edges": [], "pageInfo": {"hasNextPage": False, "endCursor": None}}
            },
            "UpsertView2": self._upsert_view,
            "upsertView": self._upsert_view,
        }
        return known[operation](variables) if operation in known else {}

    def stream(self, files: dict[str, Any]) -> None:
        """Takes over lines of history at their offset."""
        if chunk := files.get("wandb-history.jsonl"):
            self.lines[chunk["offset"] :] = chunk["content"]

    def _resume_status(self, _: dict[str, Any]) -> dict[str, Any]:
        project = {"id": "p", "name": "p", "entity": {"id": "e", "name": "e"}}
        if not self.upserted:
            return {"model": {**project, "bucket": None}}
        bucket = {
            "id": "b", "name": self.upserted["name"], "displayName": self.upserted["displayName"],
            "summaryMetrics": "{}", "config": "{}", "tags": [], "notes": "", "wandbConfig": '{"t": 1}',
            "historyLineCount": len(self.lines), "historyTail": json.dumps(self.lines[-1:]),
            "logLineCount": 0, "eventsLineCount": 0, "eventsTail": "[]",
        }  # fmt: skip
        return {"model": {**project, "bucket": bucket}}

    def _upsert(self, variables: dict[str, Any]) -> dict[str, Any]:
        inserted = not self.upserted
        self.upserted |= {key: value for key, value in variables.items() if value is not None}
        project = {"id": "p", "name": self.upserted["project"], "entity": {"id": "e", "name": "e"}}
        bucket = {
            "id": "b", "name": self.upserted["name"], "displayName": self.upserted["displayName"],
            "description": "", "config": "{}", "sweepName": None, "project": project,
            "historyLineCount": len(self.lines),
        }  # fmt: skip
        return {"upsertBucket": {"bucket": bucket, "inserted": inserted}}

    def _create_files(self, variables: dict[str, Any]) -> dict[str, Any]:
        files = [{"name": f, "uploadUrl": f"{self.url}/storage/{f}"} for f in variables["files"]]
        return {"createRunFiles": {"runID": "b", "uploadHeaders": [], "files": files}}

    def _upsert_view(self, variables: dict[str, Any]) -> dict[str, Any]:
        self.views[variables["displayName"]] = json.loads(variables["spec"])
        project = {"id": "p", "name": variables["projectName"], "entityName": variables["entityName"]}
        view = {"id": "v", "updatedAt": None, "createdAt": None, "project": project}
        kept = {key: variables[key] for key in ("name", "displayName", "description", "spec")}
        return {"upsertView": {"view": {**view, **kept}, "inserted": True}}

    def _create_artifact(self, variables: dict[str, Any]) -> dict[str, Any]:
        """Says that it has these contents already, so that none are sent."""
        self.artifacts.append(variables["input"])
        artifact = {"id": "a", "state": "COMMITTED", "artifactSequence": {"id": "s", "latestArtifact": None}}
        return {"createArtifact": {"artifact": artifact}}


class Listening(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """wandb leaves connections open that it then drops; anything else is a fault of this server."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_state: WandbServer

    def do_POST(self) -> None:
        content = self._content()
        if self.path == "/graphql":
            asked = json.loads(content)
            operation = re.search(r"(?:query|mutation)\s+(\w+)", asked["query"])
            assert operation is not None
            self._reply({"data": self.server_state.answer(operation[1], asked.get("variables") or {})})
        elif self.path.endswith("/file_stream"):
            self.server_state.stream(json.loads(content).get("files") or {})
            self._reply({})
        else:
            self._reply({})

    def do_GET(self) -> None:
        self._content()
        self._reply({})

    def do_PUT(self) -> None:
        self._content()
        self.server_state.files.add(self.path.removeprefix("/storage/"))
        self._reply({})

    def _content(self) -> bytes:
        content = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.server_state.wait_while_stalled()
        return content

    def _reply(self, value: Any) -> None:
        content = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass
