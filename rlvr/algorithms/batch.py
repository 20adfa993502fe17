"""The tensors of one training step, as stages: ready -> scored -> credited -> weighted.

Each stage is a type that has all fields of the one before it and its own, so a function that takes a
`CreditedBatch` cannot be given a batch without advantages. A field that may be None says what None means.

Axes: B rows (one completion each), P prompt width, T completion width. A row's prompt is padded on
the left to P, its completion on the right to T, so completion token t of every row is at column P + t.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import Field, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, NamedTuple, Self

if TYPE_CHECKING:  # so that configuration can be validated without loading torch
    from torch import Tensor


class Cut(NamedTuple):
    """What `select` keeps of a batch: rows, and the columns in which one of them has a token."""

    batch: TokenBatch
    rows: Tensor
    """[b] int64"""
    tokens: slice
    """of the axis P+T"""
    completion: slice
    """of the axis T"""


# How `select` cuts a field, by its declared shape. A field of another shape needs an entry here.
SHAPES: dict[str, Callable[[Tensor, Cut], Tensor]] = {
    "B": lambda value, cut: value[cut.rows],
    "B,T": lambda value, cut: value[cut.rows][:, cut.completion],
    "B,P+T": lambda value, cut: value[cut.rows][:, cut.tokens],
}


def shape(axes: str) -> Mapping[str, str]:
    """Metadata that declares the shape of a batch's field: a key of `SHAPES`."""
    return {"shape": axes}


class Stage:
    """Base of the stages. A subclass with a field whose shape is not declared raises TypeError."""

    def __init_subclass__(cls) -> None:
        for name in vars(cls).get("__annotations__", {}):
            declared = vars(cls).get(name)
            axes = declared.metadata.get("shape") if isinstance(declared, Field) else None
            if axes not in SHAPES:
                raise TypeError(
                    f"{cls.__qualname__}.{name} has the declared shape {axes!r}: give it one of "
                    f"{', '.join(map(repr, SHAPES))} by field(metadata=shape(...)), or add an entry to SHAPES"
                )


@dataclass(frozen=True, kw_only=True)
class TokenBatch(Stage):
    """Prompts with completions: what a model needs to give their log-probs.

    Raises ValueError for a tensor whose size on one of the axes B, T and P+T is another than the batch's.
    """

    tokens: Tensor = field(metadata=shape("B,P+T"))
    """int64"""
    prompt_len: Tensor = field(metadata=shape("B"))
    """int64, without padding"""
    completion_len: Tensor = field(metadata=shape("B"))
    """int64, without padding"""
    mask: Tensor = field(metadata=shape("B,T"))
    """float32, 1 where a token is trained on"""
    group: Tensor = field(metadata=shape("B"))
    """int64, equal for completions of one problem; unique over all ranks"""

    def __post_init__(self) -> None:
        sizes = {"B": len(self), "T": self.mask.shape[1], "P+T": self.tokens.shape[1]}
        for f in fields(self):
            value, axes = getattr(self, f.name), f.metadata["shape"].split(",")
            if value is None:
                continue
            expected = [sizes.get(axis, "any") for axis in axes]
            if len(value.shape) != len(axes) or any(
                size not in ("any", own) for size, own in zip(expected, value.shape, strict=True)
            ):
                raise ValueError(
                    f"{type(self).__name__}.{f.name} has the shape {list(value.shape)}, not "
                    f"{expected} ({f.metadata['shape']})"
                )

    def __len__(self) -> int:
        return self.tokens.shape[0]

    @property
    def prompt_width(self) -> int:
        return self.tokens.shape[1] - self.mask.shape[1]

    def select(self, rows: Tensor) -> Self:
        """The given rows ([b] int64), without the columns that are padding in all of them."""
        prompt = int(self.prompt_len[rows].max())
        completion = max(1, int(self.completion_len[rows].max()))
        tokens = slice(self.prompt_width - prompt, self.prompt_width + completion)
        cut = Cut(self, rows, tokens, slice(completion))
        kept: dict[str, Any] = {
            f.name: value
            if (value := getattr(self, f.name)) is None
            else SHAPES[f.metadata["shape"]](value, cut)
            for f in fields(self)
        }
        return type(self)(**kept)

    def of_trained_tokens(self) -> Self:
        """The batch with 0 in every [B, T] field where the mask is 0."""
        from rlvr.algorithms.formulas.masks import selected

        own = {f.name: getattr(self, f.name) for f in fields(self) if f.metadata["shape"] == "B,T"}
        cleared = {name: selected(value, self.mask) for name, value in own.items() if value is not None}
        return replace(self, **cleared)

    def _fields(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in fields(self)}


@dataclass(frozen=True, kw_only=True)
class ReadyBatch(TokenBatch):
    """Graded completions of one rank. Groups are whole: a group's rows are never split over ranks."""

    truncated: Tensor = field(metadata=shape("B"))
    """bool, cut at the token limit"""
    correct: Tensor = field(metadata=shape("B"))
    """bool"""
    rewards: Tensor = field(metadata=shape("B"))
    """float32"""
    greedy_rewards: Tensor = field(metadata=shape("B"))
    """float32, the reward of the problem's greedy completion; NaN where none was drawn"""
    token_rewards: Tensor = field(metadata=shape("B,T"))
    """float32, the part of `rewards` that is given at single tokens; 0 where none is"""
    engine_logprobs: Tensor = field(metadata=shape("B,T"))
    """float32, of the sampled distribution, by the engine"""

    def with_scores(
        self,
        *,
        old_logprobs: Tensor | None,
        ref_logprobs: Tensor | None,
        kl_rewards: Tensor,
        values: Tensor | None,
        teacher_logprobs: Tensor | None = None,
    ) -> ScoredBatch:
        """The next stage."""
        return ScoredBatch(
            **self._fields(),
            old_logprobs=old_logprobs,
            ref_logprobs=ref_logprobs,
            kl_rewards=kl_rewards,
            values=values,
            teacher_logprobs=teacher_logprobs,
        )


@dataclass(frozen=True, kw_only=True)
class ScoredBatch(ReadyBatch):
    """With what the models say of the tokens before the update."""

    old_logprobs: Tensor | None = field(metadata=shape("B,T"))
    """by the policy; None where there is one update, whose own they are, so that the ratio is 1"""
    ref_logprobs: Tensor | None = field(metadata=shape("B,T"))
    """by the reference model; None without one"""
    kl_rewards: Tensor = field(metadata=shape("B,T"))
    """minus coefficient times KL where that is part of the reward, else 0"""
    values: Tensor | None = field(metadata=shape("B,T"))
    """by the critic, of the state before each token; None without one"""
    teacher_logprobs: Tensor | None = field(metadata=shape("B,T"))
    """by the teacher; None where the algorithm asks for none"""

    def with_credit(self, *, advantages: Tensor, returns: Tensor | None) -> CreditedBatch:
        """The next stage."""
        return CreditedBatch(**self._fields(), advantages=advantages, returns=returns)


@dataclass(frozen=True, kw_only=True)
class CreditedBatch(ScoredBatch):
    """With what the algorithm makes of the rewards."""

    advantages: Tensor = field(metadata=shape("B,T"))
    """0 where the mask is 0"""
    returns: Tensor | None = field(metadata=shape("B,T"))
    """the critic's targets; None without one"""

    def with_weights(self, weights: Tensor) -> WeightedBatch:
        """The next stage."""
        return WeightedBatch(**self._fields(), weights=weights)


@dataclass(frozen=True, kw_only=True)
class WeightedBatch(CreditedBatch):
    """The rows of one optimizer step."""

    weights: Tensor = field(metadata=shape("B,T"))
    """each token's share of the loss of the step"""


@dataclass(frozen=True)
class StepCounts:
    """What one optimizer step trains on, summed over all ranks. Rows without trained tokens do not count,
    nor do groups without such rows."""

    tokens: float
    completions: float
    groups: float
    max_new_tokens: int
    """the token limit of a completion"""


def padded(
    prompts: Sequence[Sequence[int]], completions: Sequence[Sequence[int]]
) -> tuple[Tensor, Tensor, Tensor]:
    """`tokens`, `prompt_len` and `completion_len` of a `TokenBatch`, from rows of token ids."""
    import torch

    prompt = torch.tensor([len(ids) for ids in prompts])
    length = torch.tensor([len(ids) for ids in completions])
    width, depth = int(prompt.max()), max(1, int(length.max()))
    tokens = torch.zeros(len(prompts), width + depth, dtype=torch.int64)
    for i, (first, rest) in enumerate(zip(prompts, completions, strict=True)):
        tokens[i, width - len(first) : width + len(rest)] = torch.tensor([*first, *rest])
    return tokens, prompt, length
