"""What episodes cost beside the tokens that are drawn in them.

    OMP_NUM_THREADS=1 python benchmarks/episodes.py games  # 1,000 of `guess`, an engine that costs nothing
    python benchmarks/episodes.py calls  # 64 calls of the Python tool, of 10 ms each
    OMP_NUM_THREADS=1 python benchmarks/episodes.py turns [--engine vllm] [--shape 30M] [--pairs 3]

turns: episodes of as many turns against the same tokens drawn in one turn, after the same prompts, one after
the other and in either order; CPU seconds of this process, as ratios.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from workload import SHAPES, build_model, build_tokenizer, words

from rlvr.engines import Completion, Request, Sampling
from rlvr.engines.streams import BatchStream
from rlvr.graders import Status, StringVerifier
from rlvr.models.tiny_base import byte_tokenizer
from rlvr.rollouts.playing.episodes import play
from rlvr.sandbox import choose
from rlvr.tasks import Problem, Task, build_task
from rlvr.tasks.environments import Environment, Transition
from rlvr.tasks.environments.python import Interpreter, begin

PROMPT, OBSERVATION = 64, 8
EPISODES = 64


class Halving:
    """Takes up the middle of what is left."""

    name, dtype = "stand-in", "float32"

    def stream(self) -> BatchStream:
        return BatchStream(self.generate, 64)

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Completion]]:
        for i, request in enumerate(requests):
            low, high = bytes(request.prompt_ids).decode().split()[-1].split("-")
            text = f"{(int(low) + int(high)) // 2}\n"
            yield i, Completion(tuple(text.encode()), (-0.5,) * len(text), text, "stop")


def games(count: int = 1000) -> None:
    task, tokenizer = build_task("guess"), byte_tokenizer()
    asked = [
        (Request(tuple(p.prompt.encode()), Sampling(1.0, 1.0, 112, ("\n",)), i), p)
        for i, p in enumerate(task.train[:count])
    ]
    engine: Any = Halving()
    began = time.perf_counter()
    done = dict(play(engine, task, tokenizer, asked))
    seconds = time.perf_counter() - began
    turns = sum(len(episode.turns) for episode in done.values())
    print(f"{len(done)} episodes of {turns / len(done):.1f} turns: {seconds:.2f} s (goal 5)")


def calls(count: int = 64) -> None:
    tool = Interpreter(choose())
    program = (
        "```python\nimport time\nend = time.process_time() + 0.01\nwhile time.process_time() < end: pass\n```"
    )
    with ThreadPoolExecutor(tool.pool.workers) as threads:
        one = list(threads.map(lambda _: tool.act(begin(None), program), range(2 * tool.pool.workers)))
        began, spent = time.perf_counter(), cpu_seconds(tool)
        done = list(threads.map(lambda _: tool.act(begin(None), program), range(count)))
        seconds, spent = time.perf_counter() - began, cpu_seconds(tool) - spent
    assert all(found.observation == "(no output)" for found in [*one, *done])
    tool.pool.close()
    print(
        f"{count} calls of 10 ms on {tool.pool.workers} workers: {seconds:.2f} s (goal 2), in which these "
        f"had {spent:.2f} s of CPU time: {spent / tool.pool.workers:.2f} s where each has a core"
    )


def cpu_seconds(tool: Interpreter) -> float:
    """Of the workers that were started here and of the calls that have ended in them."""
    pids = [pid for worker in tool.pool._started if worker for pid in worker.processes()]
    fields = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids]
    return sum(map(int, (tick for f in fields for tick in f[11:15]))) / os.sysconf("SC_CLK_TCK")


def engine_of(name: str, shape: str, tokenizer: Any, longest: int, directory: Path) -> Any:
    model: Any = build_model(shape).eval()
    if name == "hf":
        from rlvr.engines.hf import HFEngine

        return HFEngine(model, tokenizer, (), EPISODES)
    from rlvr.config.schema import EngineConfig
    from rlvr.engines.vllm import VLLMEngine

    model.save_pretrained(directory)
    return VLLMEngine(directory, tokenizer, (), EngineConfig(name="vllm", batch_size=EPISODES), longest)


def turns(engine_name: str, shape: str, pairs: int, count: int, tokens: int) -> None:
    tokenizer = build_tokenizer(SHAPES[shape]["vocab_size"])
    said = words([2 + i for i in range(OBSERVATION)])
    environment = Environment(
        lambda reference: 0, lambda state, text: Transition(state + 1, said), count, turn_tokens=tokens,
        version="bench-1",
    )  # fmt: skip
    # As one of the package's: what guards a user's own is not what is measured.
    environment.act.__module__ = environment.begin.__module__ = "rlvr.bench"
    verifier = StringVerifier(lambda text, reference: (Status.WRONG, None), "1")
    task = Task("talk", [], [], verifier, "plain", environment=environment)
    drawn = count * tokens
    longest = PROMPT + drawn + (count - 1) * OBSERVATION

    def sides(engine: Any, pair: int) -> dict[str, float]:
        rng = np.random.default_rng(pair)
        prompts = [tuple(map(int, rng.integers(2, 1000, PROMPT))) for _ in range(EPISODES)]
        spent = {}
        for side in ("turns", "one")[:: 1 if pair % 2 else -1]:
            sampling = Sampling(1.0, 1.0, longest - PROMPT if side == "turns" else drawn)
            asked = [(Request(p, sampling, i), Problem(str(i), "", None)) for i, p in enumerate(prompts)]
            of = task if side == "turns" else Task("plain", [], [], verifier, "plain")
            began = time.process_time()
            done = dict(play(engine, of, tokenizer, asked))
            spent[side] = time.process_time() - began
            assert all(episode.drawn == drawn for episode in done.values())
        return spent

    with TemporaryDirectory() as directory:
        engine = engine_of(engine_name, shape, tokenizer, longest, Path(directory))
        sides(engine, 0)  # warm
        found = []
        for pair in range(1, pairs + 1):
            if engine_name == "vllm":
                engine.llm.reset_prefix_cache()
            spent = sides(engine, pair)
            found.append(spent["turns"] / spent["one"])
            print(f"turns {spent['turns']:.2f} s, one turn {spent['one']:.2f} s of CPU time: {found[-1]:.3f}")
    print(
        f"{engine_name}, {shape}, {EPISODES} episodes of {count} turns of {tokens} tokens: "
        f"{statistics.median(found):.3f} [{min(found):.3f}, {max(found):.3f}]"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=["games", "calls", "turns"])
    parser.add_argument("--engine", choices=["hf", "vllm"], default="hf")
    parser.add_argument("--shape", choices=[*SHAPES], default="1M")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--turns", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=64)
    chosen = parser.parse_args()
    if chosen.what == "turns":
        turns(chosen.engine, chosen.shape, chosen.pairs, chosen.turns, chosen.tokens)
    else:
        {"games": games, "calls": calls}[chosen.what]()


if __name__ == "__main__":
    main()
