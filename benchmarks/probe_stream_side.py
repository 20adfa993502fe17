"""One side of `probe_stream.py`: a probe of forced lengths with whichever packages come first on the path."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from rich.console import Console
from workload import build_model, build_tokenizer

from rlvr.core.progress import Display
from rlvr.engines import Completion, Request, Sampling

try:
    from evals.sampling.measure import SamplingJob, make_plan
except ImportError:
    from evals.sampling.measure import SamplingJob
    from evals.sampling.plan import make_plan
from evals.records.store import SampleKey, SampleSet
from rlvr.graders import Status, StringVerifier
from rlvr.tasks import Problem, Task

PROMPT, MEDIAN, LIMIT = 64, 64, 1024


class Forced:
    """An engine whose completions have the lengths that their seeds say."""

    def __init__(self, engine: Any, lengths: str):
        self.engine, self.kind = engine, lengths
        self.name, self.dtype = engine.name, engine.dtype

    def _cut(self, request: Request) -> Request:
        rng = np.random.default_rng(request.seed)
        length = MEDIAN
        if self.kind != "fixed":
            length = int(np.clip(MEDIAN * np.exp(0.8 * rng.standard_normal()), 1, 4 * MEDIAN))
        if self.kind == "runaways" and rng.random() < 0.01:
            length = LIMIT
        return replace(request, sampling=replace(request.sampling, max_new_tokens=length))

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Completion]]:
        """As engines were asked before they were streams."""
        yield from self.engine.generate([self._cut(request) for request in requests])

    def stream(self) -> Any:
        stream = self.engine.stream()
        add = stream.add
        stream.add = lambda request: add(self._cut(request))
        return stream


def engine_of(settings: dict[str, Any], directory: Path) -> tuple[Any, list[int]]:
    """The engine, and a list that gets longer with every forward pass."""
    model, tokenizer = build_model(settings["shape"]), build_tokenizer(1024)
    passes: list[int] = []
    if settings["engine"] == "hf":
        from rlvr.engines.hf import HFEngine

        model.get_input_embeddings().register_forward_hook(lambda *_: passes.append(1))
        return HFEngine(model, tokenizer, (), settings["slots"]), passes
    from rlvr.config.schema import EngineConfig
    from rlvr.engines.vllm import VLLMEngine

    model.save_pretrained(directory)
    config = EngineConfig(name="vllm", batch_size=settings["slots"])
    engine = VLLMEngine(directory, tokenizer, (), config, PROMPT + LIMIT)
    step = engine.llm.llm_engine.step

    def counted() -> Any:
        passes.append(1)
        return step()

    engine.llm.llm_engine.step = counted  # type: ignore[method-assign]
    return engine, passes


def main() -> None:
    settings = json.loads(sys.argv[1])
    rng = np.random.default_rng(0)
    prompts = [tuple(rng.integers(2, 1024, PROMPT).tolist()) for _ in range(settings["problems"])]
    problems = tuple(Problem(str(i), f"problem {i}", None) for i in range(len(prompts)))
    verifier = StringVerifier(
        lambda text, _: (Status.CORRECT if len(text) % 3 else Status.WRONG, None), "t-1"
    )
    task = Task("toy", [], list(problems), verifier, "plain")

    class Words:
        def encode(self, text: str, **_: Any) -> list[int]:
            return list(prompts[int(text.split()[1])])

    plan = make_plan(task, Words(), Sampling(1.0, 1.0, LIMIT), settings["samples"])
    key = SampleKey("w", "t", "plain", 1.0, 1.0, LIMIT, settings["engine"], "float32", 0)
    with TemporaryDirectory() as directory:
        engine, passes = engine_of(settings, Path(directory) / "model")
        quiet = Display("", 1, 0, Console(quiet=True))
        SamplingJob(
            replace(plan, n=1), SampleSet(Path(directory) / "warm", key), Forced(engine, "fixed")
        ).run(quiet)
        passes.clear()
        begun = time.process_time()
        job = SamplingJob(
            plan, SampleSet(Path(directory) / "store", key), Forced(engine, settings["lengths"])
        )
        drawn = job.run(quiet)
        taken = time.process_time() - begun
        assert drawn == len(prompts) * settings["samples"]
    print(json.dumps({"cpu": taken, "passes": len(passes)}))


main()
