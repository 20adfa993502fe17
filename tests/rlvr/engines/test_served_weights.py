"""A server that holds other weights than it was given is found out."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from stand_in_server import MODEL, Answer, stand_in
from torch import Tensor

from rlvr.config.schema import EngineConfig
from rlvr.engines import EngineError, Request, Sampling, generate
from rlvr.engines.served_weights import METHOD, bits_sum
from rlvr.engines.vllm_server import VLLMServerEngine, WeightsError
from rlvr.models.tiny_base import byte_tokenizer


def test_the_sum_tells_weights_apart_and_not_how_they_are_kept() -> None:
    torch.manual_seed(0)
    a, b = torch.randn(3, 4), torch.randn(5, 4)
    whole = bits_sum([a, b])
    assert whole == bits_sum([torch.cat([b, a, torch.zeros(7, 4)])]) == bits_sum([a.t(), b])
    nearest = a.clone()
    nearest[0, 0] = torch.nextafter(a[0, 0], torch.tensor(9.0))
    assert (bits_sum([nearest, b]) - whole) % 2**64 in (1, 2**64 - 1)
    by_hand = int.from_bytes(torch.tensor(-2.5).numpy().tobytes(), "little", signed=True)
    assert bits_sum([torch.tensor([-2.5])]) == by_hand % 2**64
    half = torch.tensor([1.0, -2.0], dtype=torch.bfloat16)
    assert bits_sum([half]) == (0x3F80 + 0xC000 - 2**16) % 2**64


class Holding:
    """A server that reads what it is sent. deaf: does not."""

    def __init__(self) -> None:
        self.weights: dict[str, Tensor] = {"w": torch.zeros(2)}
        self.deaf = False
        self.knows = True

    def __call__(self, body: dict[str, Any], before: int) -> Answer:
        if body.get("method") == "reload_weights" and not self.deaf:
            self.weights = load_file(Path(body["kwargs"]["weights_path"]) / "model.safetensors")
        if body.get("method") != METHOD:
            return Answer(body="{}")
        if not self.knows:
            return Answer(status=500, body="no such method")
        return Answer(body=json.dumps({"results": [{"sum": bits_sum(self.weights.values())}]}))


@contextmanager
def engine_of(server: Holding, tmp_path: Path) -> Any:
    with stand_in(server) as state:
        config = EngineConfig(name="vllm", mode="server", url=state.url, transfer="files", timeout=2)
        yield VLLMServerEngine(config, [MODEL], None, [1], 32, tmp_path)


def sent(value: float) -> list[tuple[str, Tensor]]:
    return [("w", torch.full((2,), value))]


def restart(server: Holding) -> None:
    server.weights = {"w": torch.zeros(2)}


def load_next(engine: VLLMServerEngine) -> None:
    engine.load(sent(2.0))


@pytest.mark.parametrize("then", [VLLMServerEngine.stream, load_next])
def test_a_server_that_was_started_anew_is_found_out(
    then: Callable[[VLLMServerEngine], Any], tmp_path: Path
) -> None:
    server = Holding()
    with engine_of(server, tmp_path) as engine:
        engine.stream().close()  # before anything was sent, whatever it holds
        engine.load(sent(1.0))
        engine.stream().close()
        restart(server)
        with pytest.raises(WeightsError, match="holds other weights than it was given"):
            then(engine)


def test_a_server_that_takes_no_weights_is_found_out(tmp_path: Path) -> None:
    server = Holding()
    with engine_of(server, tmp_path) as engine:
        engine.load(sent(1.0))
        engine.load(sent(1.0))  # as after an update that was skipped
        server.deaf = True
        with pytest.raises(WeightsError, match="was sent new weights and holds those from before"):
            engine.load(sent(2.0))


def test_a_server_that_cannot_say_is_refused(tmp_path: Path) -> None:
    server = Holding()
    server.knows = False
    said = r"failed at collective_rpc weights_sum.*launch\.server"
    with engine_of(server, tmp_path) as engine, pytest.raises(EngineError, match=said):
        engine.load(sent(1.0))


@pytest.mark.parametrize("often", [1, 2])
def test_a_connection_that_ends_is_opened_once_more(often: int, tmp_path: Path) -> None:
    choice = {
        "finish_reason": "stop",
        "token_ids": [5, 1],
        "logprobs": {"token_logprobs": [-0.5, -0.25]},
    }

    def answers(body: dict[str, Any], before: int) -> Answer:
        return Answer(cut=before < often, choice=choice)

    request = Request((2, 3), Sampling(max_new_tokens=4), 0)
    with stand_in(answers) as state:
        config = EngineConfig(name="vllm", mode="server", url=state.url, transfer="files", timeout=2)
        engine = VLLMServerEngine(config, [MODEL], byte_tokenizer(), [1], 32, tmp_path)
        if often == 1:
            ((_, completion),) = generate(engine, [request])
            assert (completion.token_ids, completion.logprobs) == ((5, 1), (-0.5, -0.25))
        else:
            with pytest.raises(EngineError, match="broke off a completion"):
                list(generate(engine, [request]))
        assert len(state.asked) == 2
