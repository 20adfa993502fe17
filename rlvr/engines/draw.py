"""Drawing tokens from logits with uniform numbers that the caller gives."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rlvr.engines import Sampling

# Tokens whose probabilities are added up first, so that few additions are in sequence.
BLOCK = 512
# Most likely tokens that are looked at first for top-p; eight times as many where they do not suffice.
NUCLEUS = 1024


def draw(logits: Tensor, sampling: Sampling, uniform: NDArray[np.float64]) -> tuple[Tensor, Tensor]:
    """Draws one token a row by inverting the distribution function at the row's uniform number.

    logits: [rows, vocabulary] float32; uniform: [rows] float64 in [0, 1).
    Returns (tokens, log-probs), [rows] each; see `Completion.logprobs`.
    """
    if sampling.temperature == 0:
        drawn = logits.argmax(-1, keepdim=True)
        return drawn[:, 0], (logits.gather(-1, drawn)[:, 0] - logits.logsumexp(-1))
    if sampling.temperature != 1:
        logits = logits / sampling.temperature
    if sampling.top_p < 1:
        logits = _nucleus(logits, sampling.top_p)
    probabilities = logits.softmax(-1)
    drawn = _invert(probabilities, torch.from_numpy(uniform).to(logits.device)[:, None])
    return drawn[:, 0], probabilities.gather(-1, drawn)[:, 0].log()


def _invert(probabilities: Tensor, uniform: Tensor) -> Tensor:
    """The token at which the sum of probabilities first exceeds a share of its total, [rows, 1].

    The block of tokens is found first, then the token in it. uniform: [rows, 1] float64.
    """
    rows, vocabulary = probabilities.shape
    blocks = nn.functional.pad(probabilities, (0, -vocabulary % BLOCK)).view(rows, -1, BLOCK)
    upto = blocks.sum(-1).double().cumsum(-1)
    target = uniform * upto[:, -1:]
    block = torch.searchsorted(upto, target, right=True)
    own = blocks.gather(1, block[..., None].expand(-1, -1, BLOCK))[:, 0].double().cumsum(-1)
    last = upto.gather(1, block)
    before = torch.where(block > 0, upto.gather(1, (block - 1).clamp(min=0)), 0.0)
    # The share of the block at which the target lies; rounding must not carry it to the block's end.
    share = ((target - before) / (last - before)).clamp(max=1 - 2.0**-52)
    inside = torch.searchsorted(own, share * own[:, -1:], right=True)
    return block * BLOCK + inside


def _nucleus(logits: Tensor, top_p: float) -> Tensor:
    """-inf outside the smallest set of most likely tokens whose probability reaches top_p.

    Tokens as likely as its last one stay in, so that the set does not depend on how equals are sorted.
    """
    total = logits.logsumexp(-1, keepdim=True)
    count = min(NUCLEUS, logits.shape[-1])
    while True:
        top = logits.topk(count).values
        probabilities = (top - total).exp()
        inside = probabilities.cumsum(-1) - probabilities < top_p
        if count == logits.shape[-1] or not inside[:, -1].any():
            break
        count = min(8 * count, logits.shape[-1])
    least = top.masked_fill(~inside, torch.inf).amin(-1, keepdim=True)
    return logits.masked_fill(logits < least, -torch.inf)
