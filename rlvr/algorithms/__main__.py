"""`python -m rlvr.algorithms`: the table of docs/algorithms.md, from the builders' defaults."""

from __future__ import annotations

from collections.abc import Iterator

from rlvr.algorithms import ALGORITHMS, build_algorithm
from rlvr.algorithms.bundle import Algorithm
from rlvr.algorithms.losses import Cispo, PpoClip, Weights
from rlvr.config.schema import Choice

HEADS = ("", "loss per token", "`normalisation`", "KL", "advantages whitened", "besides")


def rows() -> Iterator[tuple[str, ...]]:
    yield HEADS
    yield ("---",) * len(HEADS)
    for name in ALGORITHMS:
        a = build_algorithm(Choice(name=name))
        assert isinstance(a.weights, Weights)
        white = a.whitening
        whitened = "" if white.by == "none" else f"over {white.by}, ddof {white.ddof}"
        yield f"`{name}`", loss(a), f"`{a.weights.normalisation}`", kl(a), whitened, "; ".join(besides(a))


def loss(a: Algorithm) -> str:
    match a.policy_loss:
        case PpoClip(clip, level):
            ratio = "" if level == "token" else "s, "
            dual = f", dual {clip.dual:g}" if clip.dual else ""
            return f"clip({ratio}{clip.low:g}, {clip.high:g}{dual})"
        case Cispo(cap):
            return f"`-min(r, {cap:g}) A log pi`"
        case None:
            return "KL(pi, teacher)"
        case _:
            return "`-A log pi`"


def kl(a: Algorithm) -> str:
    return f"{a.kl.coefficient:g}, {a.kl.estimator} in the {a.kl.paid}"


def besides(a: Algorithm) -> Iterator[str]:
    if a.critic is not None:
        yield "a critic"
    if a.draws.greedy:
        yield "a greedy completion a prompt"
    if a.draws.keep is not None:
        yield f"groups filtered, {a.draws.max_draws} draws at most"
    if a.smallest_group > 1:
        yield f"groups of {a.smallest_group} or more"


if __name__ == "__main__":
    print("\n".join(f"| {' | '.join(row)} |" for row in rows()))
