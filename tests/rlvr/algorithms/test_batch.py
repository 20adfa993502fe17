"""The batch's stages: cut by the declared shape of every field, and no field without one."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace

import pytest
import torch
from torch import Tensor
from toys import toy_batch

from rlvr.algorithms.batch import SHAPES, Cut, ReadyBatch, TokenBatch, WeightedBatch, padded, shape

PROMPTS = [[1, 2, 3], [4], [5, 6]]
COMPLETIONS = [[10], [11, 12, 13, 14], [15, 16]]


def token_batch() -> TokenBatch:
    tokens, prompt_len, completion_len = padded(PROMPTS, COMPLETIONS)
    mask = (torch.arange(4) < completion_len[:, None]).float()
    return TokenBatch(
        tokens=tokens,
        prompt_len=prompt_len,
        completion_len=completion_len,
        mask=mask,
        group=torch.tensor([7, 8, 9]),
    )


def weighted_batch() -> WeightedBatch:
    """Every [B, T] field with numbers of its own."""
    ready = toy_batch()
    number = torch.arange(ready.mask.numel()).view_as(ready.mask).float()
    scored = ready.with_scores(
        old_logprobs=number + 0.1, ref_logprobs=None, kl_rewards=number + 0.2, values=number + 0.3
    )
    credited = scored.with_credit(advantages=number + 0.4, returns=number + 0.5)
    return credited.with_weights(number + 0.6)


def test_prompts_are_padded_on_the_left_and_completions_on_the_right() -> None:
    tokens, prompt_len, completion_len = padded(PROMPTS, COMPLETIONS)
    expected = [[1, 2, 3, 10, 0, 0, 0], [0, 0, 4, 11, 12, 13, 14], [0, 5, 6, 15, 16, 0, 0]]
    assert tokens.tolist() == expected
    assert (prompt_len.tolist(), completion_len.tolist()) == ([3, 1, 2], [1, 4, 2])


def test_an_empty_completion_leaves_a_column() -> None:
    tokens, _, completion_len = padded([[1]], [[]])
    assert tokens.tolist() == [[1, 0]] and completion_len.tolist() == [0]


def test_selected_rows_lose_the_columns_that_are_padding_in_all_of_them() -> None:
    part = token_batch().select(torch.tensor([2, 0]))
    assert part.tokens.tolist() == [[0, 5, 6, 15, 16], [1, 2, 3, 10, 0]]
    assert part.mask.tolist() == [[1, 1], [1, 0]]
    assert part.group.tolist() == [9, 7] and part.prompt_width == 3
    assert part.select(torch.tensor([0])).tokens.tolist() == [[5, 6, 15, 16]]


def test_every_field_of_every_stage_is_cut_by_its_shape() -> None:
    batch = weighted_batch()
    rows = batch.completion_len.argsort()[:2].flip(0)
    part = batch.select(rows)
    width = int(batch.completion_len[rows].max())
    assert width < batch.mask.shape[1] and type(part) is WeightedBatch
    for f in fields(batch):
        whole, cut = getattr(batch, f.name), getattr(part, f.name)
        axes = f.metadata["shape"]
        if whole is None:
            assert cut is None
        elif axes == "B":
            torch.testing.assert_close(cut, whole[rows], rtol=0, atol=0, equal_nan=True)
        elif axes == "B,T":
            assert torch.equal(cut, whole[rows, :width])
        else:
            assert (f.name, axes) == ("tokens", "B,P+T")


def test_a_stage_keeps_the_fields_of_the_one_before() -> None:
    ready, batch = toy_batch(), weighted_batch()
    for f in fields(ReadyBatch):
        assert torch.equal(getattr(ready, f.name), getattr(batch, f.name)), f.name


def test_a_stage_cannot_be_made_without_its_fields() -> None:
    with pytest.raises(TypeError, match="required keyword-only arguments: 'kl_rewards' and 'values'"):
        toy_batch().with_scores(old_logprobs=None, ref_logprobs=None)  # type: ignore[call-arg]


@pytest.mark.parametrize("declared", [None, field(), field(metadata=shape("B,TT")), field(default=None)])
def test_a_field_without_a_known_shape_is_refused_where_the_class_is_made(declared: object) -> None:
    body = {"__annotations__": {"image": "Tensor"}}
    with pytest.raises(TypeError, match=r"Images.image has the declared shape (None|'B,TT'): give it one of"):
        type("Images", (TokenBatch,), body if declared is None else {**body, "image": declared})


@pytest.mark.parametrize(("width", "shown"), [(None, r"\[16\]"), (8, r"\[16, 8\]")])
def test_a_tensor_of_another_size_is_refused(width: int | None, shown: str) -> None:
    """Advantages per completion would be broadcast where a batch is as long as it is wide."""
    ready = toy_batch()
    number = torch.zeros_like(ready.mask)
    scored = ready.with_scores(old_logprobs=None, ref_logprobs=None, kl_rewards=number, values=None)
    wrong = torch.zeros(16) if width is None else torch.zeros(16, width)
    with pytest.raises(ValueError, match=rf"CreditedBatch.advantages has the shape {shown}, not \[16, 9\]"):
        scored.with_credit(advantages=wrong, returns=None)


def test_a_field_of_another_shape_joins_with_an_entry_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Patches of images: any number for each row, found by the row that they belong to."""

    def patches_of_rows(value: Tensor, cut: Cut) -> Tensor:
        assert isinstance(cut.batch, Images)
        return torch.cat([value[cut.batch.patch_row == row] for row in cut.rows])

    def new_rows(value: Tensor, cut: Cut) -> Tensor:
        return torch.cat([torch.full_like(value[value == row], i) for i, row in enumerate(cut.rows)])

    monkeypatch.setitem(SHAPES, "N,D", patches_of_rows)
    monkeypatch.setitem(SHAPES, "N", new_rows)
    monkeypatch.setitem(SHAPES, "B,T,K", SHAPES["B,T"])

    @dataclass(frozen=True, kw_only=True)
    class Images(TokenBatch):
        patches: Tensor = field(metadata=shape("N,D"))
        patch_row: Tensor = field(metadata=shape("N"))
        top_logprobs: Tensor = field(metadata=shape("B,T,K"))

    batch = Images(
        **vars(token_batch()),
        patches=torch.tensor([[0.0, 0], [1, 1], [2, 2], [3, 3], [4, 4]]),
        patch_row=torch.tensor([0, 1, 1, 2, 2]),
        top_logprobs=torch.arange(3 * 4 * 2).view(3, 4, 2),
    )
    part = batch.select(torch.tensor([2, 0]))
    assert part.patches[:, 0].tolist() == [3, 4, 0] and part.patch_row.tolist() == [0, 0, 1]
    assert part.top_logprobs.tolist() == [[[16, 17], [18, 19]], [[0, 1], [2, 3]]]
    again = part.select(torch.tensor([1]))
    assert again.patches[:, 0].tolist() == [0] and again.patch_row.tolist() == [0]


def test_a_copy_with_another_mask_is_of_the_same_stage() -> None:
    batch = weighted_batch()
    empty = replace(batch, mask=batch.mask * 0)
    assert type(empty) is WeightedBatch and empty.mask.sum() == 0 and empty.weights is batch.weights
