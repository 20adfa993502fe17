"""The algorithms once more, from their papers: plain loops over tokens in Python's floats.

Nothing of the package's algorithms is used. A step is a list of rows; every [T] list of a row is as long as
its completion. Returns the loss and its gradient by each token's log-prob and value.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from oracles.credit import CREDIT, Options, Row, Tokens


@dataclass
class Result:
    """by_logprob, by_value: a list a row, a number a token."""

    loss: float
    by_logprob: list[Tokens]
    by_value: list[Tokens]
    by_teacher_kl: list[Tokens]


def step(rows: list[Row], o: Options, correction: Options, length: int) -> Result:
    """The loss of one optimizer step. o: the algorithm's options, all of them. length: the token limit."""
    for row in rows:
        row.kl_rewards = [0.0] * len(row.mask)
        if o["kl"]["coefficient"] and o["kl"]["paid"] == "reward":
            for t in row.trained:
                x = row.before(t) - row.ref[t]
                row.kl_rewards[t] = -o["kl"]["coefficient"] * divergence(x, o["kl"]["estimator"])[0]
    advantages, returns = CREDIT[o["family"]](rows, o)
    if o["whitening"]["by"] != "none":
        advantages = whitened(rows, advantages, o["whitening"])
    weights = normalised(rows, o["normalisation"], length)
    loss = 0.0
    by_logprob, by_value, by_teacher_kl = ([[0.0] * len(row.mask) for row in rows] for _ in range(3))
    for i, row in enumerate(rows):
        for t in row.trained:
            weight = weights[i]
            value, slope = policy(row, t, advantages[i][t], o)
            factor = corrected(row, t, correction)
            loss += weight * factor * value
            by_logprob[i][t] += weight * factor * slope
            if o["over"] == "vocabulary":  # the KL to the teacher is the loss
                loss += weight * row.teacher_kl[t]
                by_teacher_kl[i][t] += weight
            if o["kl"]["coefficient"] and o["kl"]["paid"] == "loss":
                value, slope = penalty(row, t, o["kl"])
                loss += o["kl"]["coefficient"] * weight * value
                by_logprob[i][t] += o["kl"]["coefficient"] * weight * slope
            if returns is not None:
                value, slope = critic(row, t, returns[i][t], o["critic"]["value_clip"])
                loss += o["critic"]["coefficient"] * weight * value
                by_value[i][t] += o["critic"]["coefficient"] * weight * slope
    return Result(loss, by_logprob, by_value, by_teacher_kl)


def divergence(x: float, estimator: str) -> tuple[float, float]:
    """k1, k2, k3 of Schulman's note and GRPO's eq. 4, with x = log pi - log pi_ref, and the slope by x."""
    if estimator == "k1":
        return x, 1.0
    if estimator == "k2":
        return x * x / 2, x
    return math.exp(-x) - 1 + x, 1 - math.exp(-x)


def penalty(row: Row, t: int, kl: Options) -> tuple[float, float]:
    value, slope = divergence(row.now[t] - row.ref[t], kl["estimator"])
    if not kl["by_ratio"]:
        return value, slope
    ratio = math.exp(row.now[t] - row.before(t))
    return ratio * value, ratio * (value + slope)


def policy(row: Row, t: int, advantage: float, o: Options) -> tuple[float, float]:
    """REINFORCE, CISPO (arXiv 2506.13585, eq. 4), or PPO's eq. 7 with the dual clip of arXiv 1912.09729,
    eq. 5, its ratio that of the token or, in GSPO (arXiv 2507.18071, eq. 13), the geometric mean; and the
    slope by log pi."""
    if o["loss"] == "reinforce":
        return -advantage * row.now[t], -advantage
    if o["loss"] == "cispo":
        weight = min(math.exp(row.now[t] - row.before(t)), o["cap"])
        return -weight * advantage * row.now[t], -weight * advantage
    low, high, dual = (o["clip"][name] for name in ("low", "high", "dual"))
    places = row.trained if o["loss"] == "sequence_clip" else [t]
    ratio = math.exp(sum(row.now[s] - row.before(s) for s in places) / len(places))
    kept = min(max(ratio, 1 - low), 1 + high)
    value, slope = -ratio * advantage, -ratio * advantage
    if -kept * advantage > value:
        value, slope = -kept * advantage, 0.0
    if dual is not None and advantage < 0 and value > -dual * advantage:
        value, slope = -dual * advantage, 0.0
    return value, slope


def corrected(row: Row, t: int, correction: Options) -> float:
    """Truncated importance sampling (Ionides 2008) of trainer over engine, or a mask."""
    if correction["by"] == "none":
        return 1.0
    places = [t] if correction["level"] == "token" else row.trained
    ratio = math.exp(sum(row.before(s) - row.engine[s] for s in places))
    if correction["by"] == "truncate":
        return min(ratio, correction["cap"])
    return 1.0 if 1 / correction["cap"] <= ratio <= correction["cap"] else 0.0


def critic(row: Row, t: int, target: float, clip: float | None) -> tuple[float, float]:
    """Half the squared error or, if larger, that of the value held near the old one; and the slope."""
    error = row.values[t] - target
    value, slope = error * error / 2, error
    if clip is not None:
        moved = row.values[t] - row.old_values[t]
        near = row.old_values[t] + min(max(moved, -clip), clip) - target
        if near * near / 2 > value:
            value, slope = near * near / 2, near if abs(moved) < clip else 0.0
    return value, slope


def normalised(rows: list[Row], name: str, length: int) -> Tokens:
    """Of each row: the weight of one of its trained tokens."""
    trained = [len(row.trained) for row in rows]
    completions = max(sum(1 for n in trained if n), 1)
    of_group = {
        row.group: sum(n for r, n in zip(rows, trained, strict=True) if r.group == row.group) for row in rows
    }
    groups = max(sum(1 for n in of_group.values() if n), 1)
    weights = []
    for row, n in zip(rows, trained, strict=True):
        weights.append({
            "sequence_mean": 1 / max(n, 1) / completions,
            "sequence_sum": 1 / completions,
            "token_mean": 1 / max(sum(trained), 1),
            "fixed_length": 1 / (completions * length),
            "group_token_mean": 1 / max(of_group[row.group], 1) / groups,
        }[name])  # fmt: skip
    return weights


def whitened(rows: list[Row], advantages: list[Tokens], o: Options) -> list[Tokens]:
    """To mean 0 and standard deviation 1, each token or each completion counting once."""
    shares = [1.0 if o["by"] == "tokens" else 1 / max(len(row.trained), 1) for row in rows]
    count = sum(share * len(row.trained) for row, share in zip(rows, shares, strict=True))
    places = [(i, t) for i, row in enumerate(rows) for t in row.trained]
    mean = sum(shares[i] * advantages[i][t] for i, t in places) / max(count, 1e-30)
    squares = sum(shares[i] * (advantages[i][t] - mean) ** 2 for i, t in places)
    scale = math.sqrt(squares / max(count - o["ddof"], 1.0) + 1e-8)
    made = [[0.0] * len(row.mask) for row in rows]
    for i, t in places:
        made[i][t] = (advantages[i][t] - mean) / scale
    return made
