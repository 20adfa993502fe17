"""The built-in reward `classifier`: what a local reward model, a sequence classifier, says of a completion.

rewards.extra=[{reward: classifier, weight: 0.2, options: {path: models/reward}}]
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from rlvr.config.schema import Positive, Section
from rlvr.core.errors import UserError

if TYPE_CHECKING:
    from rlvr.rollouts.reward_functions import Row


class ClassifierError(UserError):
    """A reward model cannot be used as configured; the message names its directory."""

    status = 2


def _model(path: str) -> str:
    if not (Path(path) / "config.json").is_file():
        raise PydanticCustomError("path", "is no directory of a model: there is no config.json in it")
    return path


class ClassifierReward(Section):
    """A reward of a batch: the model's one logit, or the probability of one of its labels."""

    path: Annotated[str, AfterValidator(_model)]
    """The directory of the model, in Hugging Face format."""
    of: Literal["text", "completion", "chat"] = "text"
    """What is classified: prompt and completion in one text, the completion alone, or a conversation of both
    by the model's own chat template."""
    label: Annotated[int, Field(ge=0)] | None = None
    """The label whose probability is the reward; null: the one logit of a model that has one."""
    batch_size: Positive = 16
    """Completions at once."""
    max_tokens: Positive | None = None
    """Longer texts lose their beginning; null: what the model takes."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    device: str | None = None
    """Such as cuda:1; null: this process's GPU, else the CPU."""
    variant: str = ""
    """Names another component: the reward classifier:safe is logged as reward/safe."""

    @cached_property
    def _loaded(self) -> tuple[Any, Any, int]:
        """The model, its tokenizer, and the most tokens of a text. Raises ClassifierError."""
        import torch
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        try:
            tokenizer = AutoTokenizer.from_pretrained(self.path, local_files_only=True)
            model = AutoModelForSequenceClassification.from_pretrained(
                self.path, local_files_only=True, dtype=getattr(torch, self.dtype)
            )
        except (OSError, ValueError, KeyError) as error:
            raise ClassifierError(f"the reward model {self.path} cannot be loaded: {error}") from error
        labels = model.config.num_labels
        if self.label is None and labels != 1:
            raise ClassifierError(
                f"the reward model {self.path} has {labels} labels, {model.config.id2label}: give "
                "options.label"
            )
        if self.label is not None and self.label >= labels:
            raise ClassifierError(
                f"the reward model {self.path} has {labels} label(s), there is no {self.label}"
            )
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        model.config.pad_token_id = tokenizer.pad_token_id  # by it the model finds the last token
        tokenizer.truncation_side = "left"  # the answer is at the end
        room = getattr(model.config, "max_position_embeddings", None) or 10**6
        device = self.device or ("cuda" if torch.cuda.is_available() else "cpu")
        return model.eval().to(device), tokenizer, min(room, self.max_tokens or room)

    def __call__(self, rows: Sequence[Row]) -> list[float]:
        """Raises ClassifierError."""
        import torch

        model, tokenizer, most = self._loaded
        texts = [self._text(row, tokenizer) for row in rows]
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))  # little padding
        values = [0.0] * len(texts)
        for start in range(0, len(order), self.batch_size):
            part = order[start : start + self.batch_size]
            batch = tokenizer(
                [texts[i] for i in part], padding=True, truncation=True, max_length=most, return_tensors="pt",
                add_special_tokens=self.of != "chat",
            )  # fmt: skip
            with torch.inference_mode():
                logits = model(**batch.to(model.device)).logits.float()
            found = logits[:, 0] if self.label is None else logits.softmax(-1)[:, self.label]
            for i, value in zip(part, found.tolist(), strict=True):
                values[i] = value
        return values

    def _text(self, row: Row, tokenizer: Any) -> str:
        if self.of == "completion":
            return row.completion
        if self.of == "text":
            return row.prompt + row.completion
        if not tokenizer.chat_template:
            raise ClassifierError(f"the reward model {self.path} has no chat template: give options.of=text")
        said = (("user", row.prompt), ("assistant", row.completion))
        turns = [{"role": role, "content": content} for role, content in said]
        return tokenizer.apply_chat_template(turns, tokenize=False)
