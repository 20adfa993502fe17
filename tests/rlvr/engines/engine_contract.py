"""What every engine must do, whichever it is: $RLVR_CONTRACT names the one that these tests ask.

test_engine_contract.py runs this file once for each, in a process of its own.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from served import LONGEST, random_model, saved_model, served
from torch import Tensor
from transformers import Qwen2ForCausalLM

from rlvr.config.schema import EngineConfig
from rlvr.engines import Completion, Engine, EngineError, Request, Sampling
from rlvr.engines.hf import HFEngine
from rlvr.graders import Status, Verdict
from rlvr.learning.actor_critic import ActorCritic
from rlvr.models.loading import load_tokenizer
from rlvr.rollouts.collect import Group, Scored, to_batch
from rlvr.tasks import Problem

KIND = os.environ.get("RLVR_CONTRACT", "hf")
EOS = (7, 11)
PROMPTS = ((20, 21, 22, 23), (30, 31), tuple(range(40, 60)))
GREEDY = Sampling(temperature=0.0, max_new_tokens=12)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def engine(directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    tokenizer = load_tokenizer(directory)
    if KIND == "hf":
        yield HFEngine(random_model(0), tokenizer, EOS)
    elif KIND == "vllm":
        from rlvr.engines.vllm import VLLMEngine

        config = EngineConfig(name="vllm", batch_size=64)
        engine = VLLMEngine(directory, tokenizer, EOS, config, LONGEST)
        yield engine
        engine.close()
    else:
        from rlvr.engines.vllm_server import VLLMServerEngine

        with served(directory) as url:
            config = server_config(url, timeout=180)
            exchange = tmp_path_factory.mktemp("exchange")
            yield VLLMServerEngine(config, [str(directory)], tokenizer, EOS, LONGEST, exchange)


def server_config(url: str, timeout: float) -> EngineConfig:
    return EngineConfig(name="vllm", mode="server", batch_size=64, url=url, transfer="files", timeout=timeout)


def ask(engine: Engine, requests: list[Request]) -> list[Completion]:
    done = dict(engine.generate(requests))
    assert sorted(done) == list(range(len(requests)))
    return [done[i] for i in range(len(requests))]


def greedy_by_hand(model: Qwen2ForCausalLM, prompt: tuple[int, ...]) -> tuple[int, ...]:
    """One full forward pass a token."""
    ids = list(prompt)
    for _ in range(GREEDY.max_new_tokens):
        with torch.no_grad():
            ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
        if ids[-1] in EOS:
            break
    return tuple(ids[len(prompt) :])


def trainer_logprobs(
    model: Qwen2ForCausalLM, temperature: float, rows: list[tuple[Any, Completion]]
) -> Tensor:
    """[B, T] by the module that trains."""
    verdict = Verdict(Status.WRONG, 0.0)
    groups = [
        Group(Problem(str(i), "", None), i, prompt, (Scored(completion, verdict, 0.0),))
        for i, (prompt, completion) in enumerate(rows)
    ]
    batch = to_batch(groups)
    with torch.no_grad():
        return (ActorCritic(model, temperature)(batch).logprobs - batch.engine_logprobs).abs()[
            batch.mask.bool()
        ]


def test_it_starts_with_the_weights_of_the_directory(engine: Engine) -> None:
    """Asked first of all, before anything else is loaded."""
    model = random_model(0)
    completions = ask(engine, [Request(prompt, GREEDY, 0) for prompt in PROMPTS])
    for prompt, completion in zip(PROMPTS, completions, strict=True):
        assert completion.token_ids == greedy_by_hand(model, prompt)


def test_greedy_is_deterministic_and_in_order(engine: Engine) -> None:
    model = random_model(0)
    engine.load(model.named_parameters())
    requests = [Request(prompt, GREEDY, seed) for seed, prompt in enumerate(PROMPTS * 4)]
    first, second = ask(engine, requests), ask(engine, requests)
    assert first == second
    for request, completion in zip(requests, first, strict=True):
        assert completion.token_ids == greedy_by_hand(model, request.prompt_ids)


@pytest.mark.parametrize("sampling", [Sampling(1.0, 1.0, 48), Sampling(0.6, 1.0, 48), GREEDY])
def test_log_probs_are_the_trainers(engine: Engine, sampling: Sampling) -> None:
    model = random_model(0)
    engine.load(model.named_parameters())
    requests = [Request(PROMPTS[i % 3], sampling, i) for i in range(24)]
    completions = ask(engine, requests)
    rows = [(r.prompt_ids, c) for r, c in zip(requests, completions, strict=True)]
    apart = trainer_logprobs(model, sampling.temperature or 1.0, rows)
    assert apart.mean() < 1e-4 and apart.max() < 1e-3


def test_log_probs_are_those_of_the_nucleus(engine: Engine) -> None:
    model = random_model(0)
    engine.load(model.named_parameters())
    sampling = Sampling(0.6, 0.9, 1)
    with torch.no_grad():
        logits = model(torch.tensor([PROMPTS[0]])).logits[0, -1] / sampling.temperature
    ordered, order = logits.softmax(-1).sort(descending=True)
    kept = order[: int((ordered.cumsum(0) < sampling.top_p).sum()) + 1].tolist()
    renormalised = logits[kept].log_softmax(-1).tolist()
    for completion in ask(engine, [Request(PROMPTS[0], sampling, i) for i in range(64)]):
        (token,), (logprob,) = completion.token_ids, completion.logprobs
        assert logprob == pytest.approx(renormalised[kept.index(token)], abs=1e-3)


def test_new_weights_change_the_output_and_stay(engine: Engine) -> None:
    requests = [Request(prompt, GREEDY, 0) for prompt in PROMPTS]
    seen = []
    for seed in (1, 2, 1):
        model = random_model(seed)
        engine.load(model.named_parameters())
        for _ in range(2):
            found = [c.token_ids for c in ask(engine, requests)]
            assert found == [greedy_by_hand(model, prompt) for prompt in PROMPTS]
        seen.append(found)
    assert seen[0] != seen[1] and seen[0] == seen[2]


def test_every_samples_seed_is_its_own(engine: Engine) -> None:
    sampling = Sampling(1.0, 1.0, 24)
    requests = [Request(PROMPTS[0], sampling, seed) for seed in (5, 6, 2**64 - 1, 5)]
    completions = ask(engine, requests)
    assert completions[0].token_ids == completions[3].token_ids
    assert len({c.token_ids for c in completions}) == 3
    assert ask(engine, requests[1:2])[0].token_ids == completions[1].token_ids


def test_several_ids_end_a_completion(engine: Engine) -> None:
    completions = ask(engine, [Request(PROMPTS[1], Sampling(1.5, 1.0, 64), i) for i in range(256)])
    ends = set()
    for completion in completions:
        assert not set(completion.token_ids[:-1]) & set(EOS)
        stopped = completion.token_ids[-1] in EOS
        assert completion.finish_reason == ("stop" if stopped else "length")
        assert stopped or len(completion.token_ids) == 64
        ends |= {completion.token_ids[-1]} if stopped else set()
    assert ends == set(EOS)


def test_a_caller_may_stop_listening(engine: Engine) -> None:
    requests = [Request(PROMPTS[0], Sampling(1.0, 1.0, 32), i) for i in range(100)]
    answers = engine.generate(requests)
    next(answers)
    answers.close()  # type: ignore[attr-defined]
    assert len(ask(engine, requests[:3])) == 3


def test_more_prompts_than_are_prefilled_at_once(engine: Engine) -> None:
    requests = [
        Request((20 + i % 200,) * 200, Sampling(1.0, 1.0, 2), i)
        for i in range(128 if KIND != "server" else 16)
    ]
    assert len(ask(engine, requests)) == len(requests)


@pytest.mark.skipif(KIND != "vllm", reason="counts by what vLLM reports; the HF engine: test_hf_engine.py")
def test_samples_of_one_prompt_share_its_prefill(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    cached: list[int] = []
    step = engine.llm.llm_engine.step

    def watched() -> Any:
        outputs = step()
        cached.extend(output.num_cached_tokens for output in outputs)
        return outputs

    monkeypatch.setattr(engine.llm.llm_engine, "step", watched)
    prompt = tuple(range(20, 220))
    ask(engine, [Request(prompt, Sampling(1.0, 1.0, 4), i) for i in range(8)])
    assert sorted(cached)[0] == 0 and sum(tokens >= 128 for tokens in cached) >= 7


@pytest.mark.skipif(KIND != "server", reason="about servers")
class TestServer:
    def connect(self, directory: Path, engine: Any, **changed: Any) -> None:
        from rlvr.engines.vllm_server import VLLMServerEngine

        names = changed.pop("names", [str(directory)])
        longest = changed.pop("longest", LONGEST)
        config = engine.config.model_copy(update={"timeout": 3.0, **changed})
        VLLMServerEngine(config, names, engine.tokenizer, EOS, longest, directory)

    def test_none_there(self, directory: Path, engine: Any) -> None:
        with pytest.raises(EngineError, match=r"http://127.0.0.1:9 has no model ready .*\(engine.timeout\)"):
            self.connect(directory, engine, url="http://127.0.0.1:9")

    def test_another_model(self, directory: Path, engine: Any) -> None:
        with pytest.raises(EngineError, match=r"has the model .*, the run needs Qwen/Qwen2.5-7B"):
            self.connect(directory, engine, names=["Qwen/Qwen2.5-7B"])

    def test_too_short(self, directory: Path, engine: Any) -> None:
        with pytest.raises(EngineError, match="--max-model-len 9000"):
            self.connect(directory, engine, longest=9000)

    def test_one_that_never_answers(self, directory: Path, engine: Any) -> None:
        with socket.create_server(("127.0.0.1", 0)) as mute:  # takes connections and says nothing
            url = f"http://127.0.0.1:{mute.getsockname()[1]}"
            with pytest.raises(EngineError, match="has no model ready"):
                self.connect(directory, engine, url=url)
            lost = engine.config.model_copy(update={"timeout": 3.0})
            engine.url, url = url, engine.url
            engine.config, lost = lost, engine.config
            try:
                with pytest.raises(EngineError, match="stopped answering within 3 s"):
                    list(engine.generate([Request(PROMPTS[0], GREEDY, 0)]))
            finally:
                engine.url, engine.config = url, lost
