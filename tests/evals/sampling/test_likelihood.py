"""Perplexities: by hand, against a plain forward pass, and of a model's own words."""

from __future__ import annotations

import random
from math import exp, sqrt
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torch import Tensor, nn
from toys import VOCABULARY, toy_model

from evals.records.files import SAMPLES, FileError
from evals.sampling.likelihood import TOGETHER, Response, perplexities, problem_medians, read_responses
from rlvr.core.progress import progress
from rlvr.engines import Request, Sampling, generate
from rlvr.engines.hf import HFEngine


def score(model: nn.Module, responses: list[Response], micro_batch_tokens: int = 1000) -> np.ndarray:
    with progress("", len(responses)) as display:
        found = perplexities(model, responses, micro_batch_tokens, display)
        assert display.completed == len(responses)
    return found


def random_responses(count: int, seed: int = 0) -> list[Response]:
    """Of 1 to 9 tokens, four of them to each prompt of 1 to 6."""
    rng = random.Random(seed)

    def ids(most: int) -> tuple[int, ...]:
        return tuple(rng.randrange(VOCABULARY) for _ in range(rng.randint(1, most)))

    prompts = [ids(6) for _ in range((count + 3) // 4)]
    return [Response(str(i // 4), prompts[i // 4], ids(9)) for i in range(count)]


class Bigrams(nn.Module):
    """p(next | last) from a table [V, V]; states are one-hot, so that the head's weights are log-probs."""

    def __init__(self, table: Tensor):
        super().__init__()
        self.head = nn.Linear(len(table), len(table), bias=False)
        self.head.weight.data = table.log().T.contiguous()
        self.config = SimpleNamespace(layer_types=["sliding_attention"])

    def get_decoder(self) -> Bigrams:
        return self

    def get_output_embeddings(self) -> nn.Linear:
        return self.head

    def forward(self, input_ids: Tensor, **_: Any) -> Any:
        one_hot = nn.functional.one_hot(input_ids, len(self.head.weight))
        return SimpleNamespace(last_hidden_state=one_hot.to(self.head.weight.dtype))


def test_by_hand() -> None:
    """p(1|0) = 1/2, p(2|1) = 1/4, p(0|2) = 1: the prompt's own tokens do not count."""
    model = Bigrams(torch.tensor([[0.25, 0.5, 0.25], [0.5, 0.25, 0.25], [1.0, 1e-9, 1e-9]]))
    responses = [Response("a", (0,), (1, 2)), Response("b", (1, 0), (1, 2, 0)), Response("c", (2,), (0,))]
    np.testing.assert_allclose(score(model, responses), [sqrt(8), 8 ** (1 / 3), 1], rtol=1e-6)


@pytest.mark.parametrize("micro_batch_tokens", [1, 40, 100_000])
def test_it_is_what_a_plain_forward_pass_says(micro_batch_tokens: int) -> None:
    model, responses = toy_model(), random_responses(TOGETHER + 30)
    expected = []
    for _, prompt, ids in responses:
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([[*prompt, *ids]])).logits[0, len(prompt) - 1 : -1]
        expected.append(exp(nn.functional.cross_entropy(logits, torch.tensor(ids)).item()))
    np.testing.assert_allclose(score(model, responses, micro_batch_tokens), expected, rtol=1e-9)


def test_a_models_own_greedy_words_are_likelier_to_it_than_others() -> None:
    model, others = toy_model(), random_responses(32)
    engine = HFEngine(toy_model(), SimpleNamespace(decode=lambda ids, **_: ""), [VOCABULARY])
    requests = [Request(r.prompt_ids, Sampling(0.0, 1.0, len(r.token_ids)), 0) for r in others]
    greedy = dict(generate(engine, requests))
    own = [r._replace(token_ids=greedy[i].token_ids) for i, r in enumerate(others)]
    assert (score(model, own) < score(model, others)).all()


def test_an_empty_response_has_no_perplexity() -> None:
    with pytest.raises(ValueError, match="empty response"):
        score(toy_model(), [Response("a", (1,), ())])


def test_medians_are_of_each_problem() -> None:
    responses = [Response(p, (1,), (1,)) for p in "abaab"]
    assert problem_medians(responses, [1, 10, 5, 2, 20]) == {"a": (3, 2.0), "b": (2, 15.0)}


def sample(problem: str, index: int, ids: list[int], reason: str) -> dict[str, Any]:
    return {"problem": problem, "index": index, "token_ids": ids, "finish_reason": reason}


def test_responses_of_a_file_end_before_their_end_of_sequence_token(tmp_path: Path) -> None:
    rows = [
        sample("a", 0, [5, 6, 9], "stop"),
        sample("a", 1, [5, 6, 9], "length"),
        sample("a", 2, [7], "length"),
        sample("b", 0, [9], "stop"),
    ]
    pq.write_table(pa.Table.from_pylist(rows, SAMPLES), tmp_path / "x.samples.parquet")
    found = read_responses(tmp_path / "x.samples.parquet", {"a": (1, 2), "b": (3,)}, n=2)
    assert found == [Response("a", (1, 2), (5, 6)), Response("a", (1, 2), (5, 6, 9))]
    # Where a completion may end by a stop string, only an end-of-sequence token is none of its own.
    found = read_responses(tmp_path / "x.samples.parquet", {"a": (1, 2), "b": (3,)}, n=2, ends={9})
    assert found == [Response("a", (1, 2), (5, 6)), Response("a", (1, 2), (5, 6, 9))]
    found = read_responses(tmp_path / "x.samples.parquet", {"a": (1, 2), "b": (3,)}, n=2, ends={8})
    assert found[-1] == Response("b", (3,), (9,)) and len(found) == 3


def test_a_file_that_lacks_tokens_or_prompts_is_named(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist([{"problem": "a", "index": 0}]), tmp_path / "old.parquet")
    with pytest.raises(FileError, match=r"old.parquet cannot be read .*token_ids"):
        read_responses(tmp_path / "old.parquet", {"a": (1,)}, n=2)
    rows = [sample("a", 0, [5], "length"), sample("b", 0, [5], "length")]
    pq.write_table(pa.Table.from_pylist(rows, SAMPLES), tmp_path / "x.parquet")
    with pytest.raises(FileError, match=r"x.parquet: .* no prompt for problem b"):
        read_responses(tmp_path / "x.parquet", {"a": (1,)}, n=2)
