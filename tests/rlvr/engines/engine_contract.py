"""What every engine must do, whichever it is: $RLVR_CONTRACT names the one that these tests ask, and
$RLVR_CONTRACT_DEVICE where the trainer is.

`contracts.keep_the_contract` runs this file once for each, in a process of its own.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from engine_cases import (
    DEVICE,
    EOS,
    GREEDY,
    KIND,
    NEAR,
    PROMPTS,
    SERVER,
    ask,
    assert_greedy,
    model_of,
    trainer_logprobs,
)
from served import LONGEST, free_port, saved_model, served

from rlvr.config.schema import EngineConfig
from rlvr.core.seeds import derive_seed
from rlvr.engines import Completion, Engine, EngineError, Request, Sampling, generate
from rlvr.engines.hf import HFEngine
from rlvr.graders import Status, StringVerifier
from rlvr.models.loading import load_tokenizer
from rlvr.rollouts.playing.episodes import play
from rlvr.tasks import Problem, Task
from rlvr.tasks.environments import Environment, Transition


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def engine(directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    tokenizer = load_tokenizer(directory)
    if KIND == "hf":
        yield HFEngine(model_of(0), tokenizer, EOS)
    elif KIND == "vllm":
        from rlvr.engines.vllm import VLLMEngine

        config = EngineConfig(name="vllm", batch_size=64)
        engine = VLLMEngine(directory, tokenizer, EOS, config, LONGEST)
        yield engine
        engine.close()
    else:
        from rlvr.engines.vllm_server import VLLMServerEngine

        nccl = KIND == "server-nccl"
        gpus = (os.environ.get("CUDA_VISIBLE_DEVICES") or "0,1").split(",")
        with served(directory, gpu=gpus[1] if nccl else None) as url:
            config = EngineConfig(
                name="vllm", mode="server", batch_size=64, url=url, timeout=180,
                transfer="nccl" if nccl else "files", nccl_port=free_port(),
            )  # fmt: skip
            exchange = tmp_path_factory.mktemp("exchange")
            engine = VLLMServerEngine(config, [str(directory)], tokenizer, EOS, LONGEST, exchange)
            yield engine
            engine.close()


def test_it_starts_with_the_weights_of_the_directory(engine: Engine) -> None:
    """Asked first of all, before anything else is loaded."""
    model = model_of(0)
    completions = ask(engine, [Request(prompt, GREEDY, 0) for prompt in PROMPTS])
    for prompt, completion in zip(PROMPTS, completions, strict=True):
        assert_greedy(model, prompt, completion)


def test_greedy_is_deterministic_and_in_order(engine: Engine) -> None:
    model = model_of(0)
    engine.load(model.named_parameters())
    requests = [Request(prompt, GREEDY, seed) for seed, prompt in enumerate(PROMPTS * 4)]
    first, second = ask(engine, requests), ask(engine, requests)
    for request, one, other in zip(requests, first, second, strict=True):
        assert one.token_ids == other.token_ids
        # On a GPU a prompt that is cached goes through other kernels.
        exact = DEVICE.type == "cpu"
        assert one.logprobs == (other.logprobs if exact else pytest.approx(other.logprobs, abs=NEAR.largest))
        assert_greedy(model, request.prompt_ids, one)


@pytest.mark.parametrize("sampling", [Sampling(1.0, 1.0, 48), Sampling(0.6, 1.0, 48), GREEDY])
def test_log_probs_are_the_trainers(engine: Engine, sampling: Sampling) -> None:
    model = model_of(0)
    engine.load(model.named_parameters())
    requests = [Request(PROMPTS[i % 3], sampling, i) for i in range(24)]
    completions = ask(engine, requests)
    rows = [(r.prompt_ids, c) for r, c in zip(requests, completions, strict=True)]
    apart = trainer_logprobs(model, sampling.temperature or 1.0, rows)
    assert apart.mean() < NEAR.mean and apart.max() < NEAR.largest


def test_log_probs_are_those_of_the_nucleus(engine: Engine) -> None:
    model = model_of(0)
    engine.load(model.named_parameters())
    sampling = Sampling(0.6, 0.9, 1)
    with torch.no_grad():
        logits = model(torch.tensor([PROMPTS[0]], device=DEVICE)).logits[0, -1] / sampling.temperature
    ordered, order = logits.softmax(-1).sort(descending=True)
    count = int((ordered.cumsum(0) < sampling.top_p).sum()) + 1
    kept = order[: count + NEAR.nucleus].tolist()
    renormalised = (logits[kept] - logits[kept[:count]].logsumexp(-1)).tolist()
    for completion in ask(engine, [Request(PROMPTS[0], sampling, i) for i in range(64)]):
        (token,), (logprob,) = completion.token_ids, completion.logprobs
        assert logprob == pytest.approx(renormalised[kept.index(token)], abs=NEAR.largest)


def test_new_weights_change_the_output_and_stay(engine: Engine) -> None:
    requests = [Request(prompt, GREEDY, 0) for prompt in PROMPTS]
    seen = []
    for seed in (1, 2, 1):
        model = model_of(seed)
        engine.load(model.named_parameters())
        for _ in range(2):
            found = ask(engine, requests)
            for prompt, completion in zip(PROMPTS, found, strict=True):
                assert_greedy(model, prompt, completion)
        seen.append([c.token_ids for c in found])
    assert seen[0] != seen[1] and seen[0] == seen[2]


def test_after_sleep_it_draws_with_the_weights_that_are_loaded(engine: Engine) -> None:
    requests = [Request(prompt, GREEDY, 0) for prompt in PROMPTS]
    for seed in (3, 4):
        engine.sleep()
        engine.sleep()  # once more changes nothing
        model = model_of(seed)
        engine.load(model.named_parameters())
        for prompt, completion in zip(PROMPTS, ask(engine, requests), strict=True):
            assert_greedy(model, prompt, completion)


@pytest.mark.skipif(KIND != "vllm" or DEVICE.type == "cpu", reason="vLLM sleeps on a GPU alone")
def test_asleep_it_leaves_the_gpu_and_draws_nothing(engine: Any) -> None:
    engine.load(model_of(0).named_parameters())
    awake, total = torch.cuda.mem_get_info()
    engine.sleep()
    asleep, _ = torch.cuda.mem_get_info()
    assert asleep - awake > 0.7 * EngineConfig().memory_share * total
    with pytest.raises(RuntimeError, match="sleeps"):
        next(generate(engine, [Request(PROMPTS[0], GREEDY, 0)]))
    engine.load(model_of(0).named_parameters())
    assert torch.cuda.mem_get_info()[0] < awake + 0.1 * (asleep - awake)


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


def drawn_with_stops(
    engine: Any, prompts: tuple[tuple[int, ...], ...]
) -> Iterator[tuple[Request, Completion, Completion]]:
    """Requests with stop strings, their completions, and what is drawn for them without: strings of two and
    three characters that occur, every one of them over as many tokens or more."""
    free = [Request(prompts[i % len(prompts)], Sampling(1.0, 1.0, 48), i) for i in range(48)]
    whole = ask(engine, free)
    texts = [engine.tokenizer.decode(list(c.token_ids), skip_special_tokens=False) for c in whole]
    pieces = [text[at : at + 2 + i % 2] for i, text in enumerate(texts) for at in (3, 17)]
    common = [piece for piece in pieces if "\ufffd" not in piece and len(piece) > 1][:6]
    assert len(common) == 6
    stops = ((*common[:3],), (common[3],), (*common[4:], "\u00e9\u00e8"))
    asked = [replace(r, sampling=replace(r.sampling, stop=stops[i % 3])) for i, r in enumerate(free)]
    yield from zip(asked, ask(engine, asked), whole, strict=True)


def test_a_stop_string_ends_ids_log_probs_and_text_alike(engine: Any) -> None:
    model = model_of(0)
    engine.load(model.named_parameters())
    rows, reasons = [], set()
    for request, completion, whole in drawn_with_stops(engine, PROMPTS):
        decode = engine.tokenizer.decode
        ends = (
            n
            for n in range(1, len(whole.token_ids) + 1)
            if any(s in decode(list(whole.token_ids[:n])) for s in request.sampling.stop)
        )
        end = next(ends, None)
        assert completion.token_ids == whole.token_ids[:end]
        assert completion.logprobs == pytest.approx(whole.logprobs[:end], abs=NEAR.largest)
        assert completion.text == decode(list(completion.token_ids), skip_special_tokens=True)
        assert completion.finish_reason == (whole.finish_reason if end is None else "stop")
        rows.append((request.prompt_ids, completion))
        reasons.add(end is None)
    assert reasons == {True, False}
    apart = trainer_logprobs(model, 1.0, rows)
    assert apart.mean() < NEAR.mean and apart.max() < NEAR.largest


def answered(state: dict[str, int], text: str) -> Transition:
    return Transition({"turn": state["turn"] + 1}, f"{len(text)} letters\n")


TALK = Task(
    "talk", [], [], StringVerifier(lambda text, reference: (Status.WRONG, None), "1"), "plain",
    environment=Environment(lambda reference: {"turn": 0}, answered, 5, ("e", "\n"), turn_tokens=9),
)  # fmt: skip


def test_episodes_are_the_trainers_token_for_token(engine: Any) -> None:
    """What was sampled in five turns has the trainer's log-probs, given all tokens before it; each turn is
    what the engine draws for the request of these tokens."""
    model = model_of(0)
    engine.load(model.named_parameters())
    sampling = Sampling(1.0, 1.0, 120, ("e", "\n"))
    asked = [(Request(PROMPTS[i % 3], sampling, i), Problem(str(i), "", None)) for i in range(12)]
    done = dict(play(engine, TALK, engine.tokenizer, asked))
    rows = [(request.prompt_ids, done[i]) for i, (request, _) in enumerate(asked)]
    apart = trainer_logprobs(model, 1.0, rows)
    assert len(apart) == sum(episode.drawn for _, episode in rows)
    closer = 10 if DEVICE.type == "cpu" else 1
    assert apart.mean() < NEAR.mean / closer and apart.max() < NEAR.largest / closer
    again = []
    for prompt, episode in rows:
        assert len(episode.turns) == 5 and episode.finish_reason == "stop"
        for number, turn in enumerate(episode.turns[:-1]):
            following = episode.turns[number + 1]
            between = episode.token_ids[turn.end : following.start]
            assert engine.tokenizer.decode(list(between)) == f"{len(turn.text)} letters\n" == turn.observation
            assert {*episode.logprobs[turn.end : following.start]} == {0.0}
        last = episode.turns[-1]
        again.append((prompt + episode.token_ids[: last.start], episode.token_ids[last.start :]))
    seeds = [derive_seed(request.seed, "turn", 4) for request, _ in asked]
    limit = replace(sampling, max_new_tokens=9)
    alone = ask(
        engine, [Request(prompt, limit, seed) for (prompt, _), seed in zip(again, seeds, strict=True)]
    )
    assert [c.token_ids for c in alone] == [ids for _, ids in again]


def test_a_caller_may_stop_listening(engine: Engine) -> None:
    requests = [Request(PROMPTS[0], Sampling(1.0, 1.0, 32), i) for i in range(100)]
    answers = generate(engine, requests)
    next(answers)
    answers.close()  # type: ignore[attr-defined]
    assert len(ask(engine, requests[:3])) == 3


def test_more_prompts_than_are_prefilled_at_once(engine: Engine) -> None:
    requests = [Request((20 + i % 200,) * 200, Sampling(1.0, 1.0, 2), i) for i in range(128)]
    assert len(ask(engine, requests)) == len(requests)


@pytest.mark.skipif(KIND != "vllm", reason="counts by what vLLM reports; the HF engine: test_hf.py")
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


@pytest.mark.skipif(not SERVER, reason="about servers")
class TestServer:
    def connect(self, directory: Path, engine: Any, **changed: Any) -> None:
        from rlvr.engines.vllm_server import VLLMServerEngine

        names = changed.pop("names", [str(directory)])
        longest = changed.pop("longest", LONGEST)
        config = engine.config.model_copy(update={"timeout": 3.0, "transfer": "files", **changed})
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
            engine._held, held = None, engine._held  # what it is asked first is a completion
            try:
                with pytest.raises(EngineError, match="stopped answering within 3 s"):
                    list(generate(engine, [Request(PROMPTS[0], GREEDY, 0)]))
            finally:
                engine.url, engine.config, engine._held = url, lost, held

    def test_weights_that_somebody_else_gave_it_are_found_out(self, engine: Any) -> None:
        from rlvr.engines.vllm_server import WeightsError

        if engine.config.transfer != "files":
            pytest.skip("over NCCL nobody else reaches it")
        engine.load(model_of(0).named_parameters())
        engine.stream().close()
        held = engine._held
        engine._held = None  # as another run, which knows nothing of this one
        engine.load(model_of(1).named_parameters())
        engine._held = held
        with pytest.raises(WeightsError, match="holds other weights than it was given"):
            engine.stream()
        engine._held = None
        engine.load(model_of(0).named_parameters())
        assert engine._held == held
        engine.load(model_of(0).named_parameters())  # the same once more is no news to it
