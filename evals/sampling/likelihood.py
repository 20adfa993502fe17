"""How likely a model finds given responses."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from evals.records.files import FileError
from evals.records.samples import SamplesGoneError, sample_blocks
from rlvr.algorithms.batch import TokenBatch, padded
from rlvr.core.progress import Display
from rlvr.learning.actor_critic import ActorCritic

# Responses whose tokens are laid out, and sorted by length, together.
TOGETHER = 512


class Response(NamedTuple):
    """A response to a problem's prompt, as token ids; its end-of-sequence token is not part of it."""

    problem: str
    prompt_ids: tuple[int, ...]
    token_ids: tuple[int, ...]


def perplexities(
    model: PreTrainedModel, responses: Sequence[Response], micro_batch_tokens: int, display: Display
) -> NDArray[np.float64]:
    """[R]: PPL(Y|x) = exp(-1/T sum_t log p(y_t | x, y_<t)) of each response (arXiv 2504.13837, section 4).

    p is the model's own distribution, without temperature and top-p; the T tokens are those of the response
    alone. The study does not say whether the end-of-sequence token counts. Here it does not: a response
    that was cut has none, and that of another model's response would be ours.

    Runs where the model is, in micro-batches of at most so many tokens. Raises ValueError for an empty
    response.
    """
    if not all(response.token_ids for response in responses):
        raise ValueError("an empty response has no perplexity")
    own = token_logprobs(model, responses, micro_batch_tokens, display)
    return np.array([np.exp(-values.mean()) for values in own])


@torch.no_grad()
def token_logprobs(
    model: PreTrainedModel,
    responses: Sequence[Response],
    micro_batch_tokens: int,
    display: Display | None = None,
) -> list[NDArray[np.float64]]:
    """log p(y_t | x, y_<t) of every token of each response, [T] each, of the model's own distribution."""
    scorer = ActorCritic(model, temperature=1.0)
    device = next(model.parameters()).device
    found: list[NDArray[np.float64]] = [np.empty(0)] * len(responses)
    for start in range(0, len(responses), TOGETHER):
        batch = _batch(responses[start : start + TOGETHER], device)
        for rows in scorer.micro_batches(batch, micro_batch_tokens):
            piece = batch.select(rows)
            logprobs = scorer(piece).logprobs.double().cpu().numpy()
            for row, own, length in zip(rows.tolist(), logprobs, piece.completion_len.tolist(), strict=True):
                found[start + row] = own[:length]
            if display is not None:
                display.advance(len(rows))
    return found


def _batch(responses: Sequence[Response], device: torch.device) -> TokenBatch:
    """The responses as rows; equal prompts are one group, so that they are computed once."""
    tokens, prompt, length = padded([r.prompt_ids for r in responses], [r.token_ids for r in responses])
    groups = {ids: i for i, ids in enumerate(dict.fromkeys(r.prompt_ids for r in responses))}
    depth = tokens.shape[1] - int(prompt.max())
    return TokenBatch(
        tokens=tokens.to(device),
        prompt_len=prompt.to(device),
        completion_len=length.to(device),
        mask=(torch.arange(depth) < length[:, None]).float().to(device),
        group=torch.tensor([groups[r.prompt_ids] for r in responses], device=device),
    )


def read_responses(
    path: Path, prompts: Mapping[str, tuple[int, ...]], n: int, ends: Collection[int] | None = None
) -> list[Response]:
    """The samples 0..n-1 of every problem in a samples file, those without any token left out.

    prompts: token ids by problem. ends: end-of-sequence tokens, where a completion may also end by a stop
    string, whose last token is its own; None: every one that stopped ends with such a token. Raises FileError
    for a file that lacks tokens, or a prompt.
    """
    columns = ["problem", "index", "token_ids", "finish_reason"]
    try:
        parts = [p.filter(pc.less(p["index"], n)).select(columns) for p in sample_blocks(path, columns)]
    except SamplesGoneError:
        raise
    except FileError as error:
        raise FileError(f"{path} cannot be read (a samples file has {', '.join(columns)}): {error}") from None
    rows = [row for part in parts for row in part.to_pylist()]
    if unknown := {row["problem"] for row in rows} - prompts.keys():
        raise FileError(f"{path}: the counts file beside it has no prompt for problem {min(unknown)}")
    responses = []
    for row in rows:
        ids = row["token_ids"]
        if row["finish_reason"] == "stop" and (ends is None or ids[-1] in ends):
            ids = ids[:-1]
        if ids:
            responses.append(Response(row["problem"], prompts[row["problem"]], tuple(ids)))
    return responses


def problem_medians(responses: Sequence[Response], values: Sequence[float]) -> dict[str, tuple[int, float]]:
    """Problem -> how many responses it has, and the median of their values."""
    by_problem: dict[str, list[float]] = {}
    for response, value in zip(responses, values, strict=True):
        by_problem.setdefault(response.problem, []).append(value)
    return {problem: (len(own), float(np.median(own))) for problem, own in by_problem.items()}
