"""vLLM loads the embedded base, and every checkpoint, as it is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rlvr.engines import Request, Sampling, generate
from rlvr.engines.hf import HFEngine
from rlvr.models.loading import eos_ids, load_model, load_tokenizer
from rlvr.tasks import build_task

# In a process of its own: vLLM changes the environment of the one that it runs in.
SCRIPT = """
import json, sys
from vllm import LLM, SamplingParams
llm = LLM(sys.argv[1], dtype="float32", enforce_eager=True, max_model_len=256, seed=0,
          logprobs_mode="processed_logprobs")
asked = SamplingParams(temperature=0.0, max_tokens=48, logprobs=0)
outputs = llm.generate([{"prompt_token_ids": ids} for ids in json.loads(sys.argv[2])], asked)
chosen = [o.outputs[0] for o in outputs]
print("RESULT", json.dumps([[list(c.token_ids), c.cumulative_logprob] for c in chosen]))
"""


@pytest.mark.slow
@pytest.mark.vllm
def test_vllm_loads_the_base_and_says_what_our_engine_says(base: Path) -> None:
    pytest.importorskip("vllm", reason="needs vLLM (make install-test)")
    tokenizer = load_tokenizer(base)
    prompts = [tokenizer.encode(p.prompt) for p in build_task("countdown:3").test[:6]]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(base), json.dumps(prompts)],
        capture_output=True,
        text=True,
        timeout=300,
        env={
            **os.environ,
            "VLLM_CPU_KVCACHE_SPACE": "1",
            "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
            "VLLM_NO_USAGE_STATS": "1",
            "VLLM_LOGGING_LEVEL": "ERROR",
            "TORCH_COMPILE_DISABLE": "1",
            "OMP_NUM_THREADS": "1",
        },
    )
    assert done.returncode == 0, done.stderr[-3000:]
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    engine = HFEngine(load_model(base, "float32"), tokenizer, eos_ids(base, tokenizer))
    sampling = Sampling(temperature=0.0, max_new_tokens=48)
    ours = dict(generate(engine, [Request(tuple(ids), sampling, seed=0) for ids in prompts]))
    for i, (tokens, logprob) in enumerate(json.loads(line.removeprefix("RESULT "))):
        assert tuple(tokens) == ours[i].token_ids
        if logprob:  # vLLM's greedy log-probs may be those of a point mass
            assert logprob == pytest.approx(sum(ours[i].logprobs), abs=1e-3)
