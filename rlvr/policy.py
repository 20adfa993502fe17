"""The policy (and its frozen reference) on Accelerate: log-probs, and the one backward pass."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from rlvr.batch import Batch
from rlvr.config import Optim, PolicyConfig


class Objective(NamedTuple):
    """A micro-batch's share of an optimizer step: loss and metrics are sums that add up over shares."""

    loss: Tensor
    metrics: Mapping[str, Tensor]


class Update(NamedTuple):
    """What one optimizer step did. skipped: loss or gradient was not finite, the weights are unchanged."""

    metrics: dict[str, float]
    skipped: bool


class Policy:
    """The trained model with its optimizer; every rank holds one.

    temperature: logits are divided by it, so that log-probs are those of the sampled distribution.
    """

    def __init__(
        self,
        model: nn.Module,
        config: PolicyConfig,
        optim: Optim,
        accelerator: Accelerator,
        temperature: float,
        reference: nn.Module | None = None,
    ):
        self.accelerator = accelerator
        self.optim = optim
        self.temperature = temperature
        if config.gradient_checkpointing:
            model.gradient_checkpointing_enable()
        optimizer = torch.optim.AdamW(
            model.parameters(), lr=optim.lr, betas=optim.betas, weight_decay=optim.weight_decay
        )
        self.model, self.optimizer = accelerator.prepare(model, optimizer)
        self.reference = None
        if reference is not None:
            self.reference = reference.requires_grad_(False).to(accelerator.device)
        self.updates = 0

    @property
    def plain(self) -> Any:
        """The model without what Accelerate wrapped around it."""
        return self.accelerator.unwrap_model(self.model)

    def weights(self) -> Iterator[tuple[str, Tensor]]:
        """The current weights, for an engine's `load`."""
        yield from self.plain.named_parameters()

    @torch.no_grad()
    def logprobs(self, batch: Batch) -> Tensor:
        """[B, T], by the current weights."""
        return self._scored(self.model, batch)

    @torch.no_grad()
    def ref_logprobs(self, batch: Batch) -> Tensor:
        """[B, T], by the reference."""
        if self.reference is None:
            raise RuntimeError("the policy was built without a reference model")
        return self._scored(self.reference, batch)

    def update(self, batch: Batch, objective: Callable[[Tensor, Tensor, Batch], Objective]) -> Update:
        """One optimizer step on a mini-batch whose `weights` are filled.

        objective: (log-probs, entropies, micro-batch) -> its share. All ranks skip the step together
        if anything is not finite on one of them.
        """
        pieces = self._even(micro_batches(batch, self.optim.micro_batch_tokens))
        self.optimizer.zero_grad()
        totals: dict[str, Tensor] = {}
        for i, piece in enumerate(pieces):
            share = objective(*token_logprobs(self.model, piece, self.temperature), piece)
            self._backward(share.loss, last=i + 1 == len(pieces))
            for name, value in {"loss/total": share.loss, **share.metrics}.items():
                totals[name] = totals.get(name, torch.zeros(())) + value.detach().double().cpu()
        norm = self.accelerator.clip_grad_norm_(self.model.parameters(), self.optim.max_grad_norm)
        metrics = self._summed(totals)
        metrics |= {"loss/grad_norm": float(norm), "loss/lr": self._warmed_up_lr()}
        skipped = not (math.isfinite(metrics["loss/total"]) and math.isfinite(float(norm)))
        if not skipped:
            for group in self.optimizer.param_groups:
                group["lr"] = metrics["loss/lr"]
            self.optimizer.step()
            self.updates += 1
        return Update(metrics, skipped)

    def save(self, directory: Path) -> None:
        """The weights and configuration in Hugging Face format."""
        self.plain.save_pretrained(directory, safe_serialization=True)

    def state(self) -> dict[str, Any]:
        """What a resume needs besides the weights."""
        return {"optimizer": self.optimizer.state_dict(), "updates": self.updates}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Takes back what `state` gave; the weights are loaded from the checkpoint by the caller."""
        self.optimizer.load_state_dict(state["optimizer"])
        self.updates = state["updates"]

    def _scored(self, model: nn.Module, batch: Batch) -> Tensor:
        out = torch.zeros_like(batch.mask)
        for rows in micro_batch_rows(batch, self.optim.micro_batch_tokens):
            piece = batch.select(rows)
            values, _ = token_logprobs(model, piece, self.temperature)
            out[rows, : values.shape[1]] = values
        return out

    def _even(self, pieces: list[Batch]) -> list[Batch]:
        """Every rank runs as many backward passes as the busiest: weightless copies fill up."""
        count = torch.tensor([len(pieces)], device=self.accelerator.device)
        most = int(self.accelerator.gather(count).max())
        empty = pieces[0].with_(weights=torch.zeros_like(pieces[0].mask), mask=pieces[0].mask * 0)
        return pieces + [empty] * (most - len(pieces))

    def _backward(self, loss: Tensor, last: bool) -> None:
        """Adds the gradient of a sum over all ranks' micro-batches.

        The only place that knows the scales of others: DDP averages over ranks, so each rank's share is
        multiplied by their number; accumulation is ours, so Accelerate divides by 1.
        """
        scaled = loss * self.accelerator.num_processes
        if last:
            self.accelerator.backward(scaled)
            return
        with self.accelerator.no_sync(self.model):
            self.accelerator.backward(scaled)

    def _summed(self, totals: Mapping[str, Tensor]) -> dict[str, float]:
        values = torch.stack(list(totals.values())).to(self.accelerator.device)
        summed = self.accelerator.reduce(values, reduction="sum")
        return dict(zip(totals, summed.tolist(), strict=True))

    def _warmed_up_lr(self) -> float:
        return self.optim.lr * min(1.0, (self.updates + 1) / max(1, self.optim.warmup_steps))


def token_logprobs(model: nn.Module, batch: Batch, temperature: float) -> tuple[Tensor, Tensor]:
    """Log-probs of the completion tokens and the entropies they were drawn from (detached), [B, T] each."""
    width, depth = batch.tokens.shape[1], batch.mask.shape[1]
    place = torch.arange(width, device=batch.tokens.device)
    prompt = batch.prompt_width
    real = place >= (prompt - batch.prompt_len)[:, None]
    real &= place < (prompt + batch.completion_len)[:, None]
    out = model(
        input_ids=batch.tokens,
        attention_mask=real.long(),
        position_ids=(real.long().cumsum(1) - 1).clamp(min=0),
        use_cache=False,
        logits_to_keep=depth + 1,
    )
    logprobs = (out.logits[:, :-1].float() / temperature).log_softmax(-1)
    with torch.no_grad():
        entropy = -(logprobs.exp() * logprobs).sum(-1)
    return logprobs.gather(-1, batch.tokens[:, prompt:, None])[..., 0], entropy


def micro_batch_rows(batch: Batch, max_tokens: int) -> list[Tensor]:
    """Row indices of micro-batches: sorted by length, each of at most max_tokens with its padding,
    unless it is a single row."""
    order = (batch.prompt_len + batch.completion_len).argsort(descending=True, stable=True)
    pieces: list[list[int]] = []
    prompt = completion = 0
    for row in order.tolist():
        wider = max(prompt, int(batch.prompt_len[row])), max(completion, int(batch.completion_len[row]))
        if pieces and (len(pieces[-1]) + 1) * sum(wider) <= max_tokens:
            pieces[-1].append(row)
            prompt, completion = wider
        else:
            pieces.append([row])
            prompt, completion = int(batch.prompt_len[row]), int(batch.completion_len[row])
    return [torch.tensor(rows, device=batch.tokens.device) for rows in pieces]


def micro_batches(batch: Batch, max_tokens: int) -> list[Batch]:
    """The batch cut into micro-batches, which together hold every row once."""
    return [batch.select(rows) for rows in micro_batch_rows(batch, max_tokens)]
