"""Models and what they must have room for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import nn
from toys import toy_batch, toy_model
from transformers import PreTrainedTokenizerFast

from rlvr.learning.actor_critic import ActorCritic
from rlvr.models.loading import (
    ModelError,
    check_context,
    context,
    eos_ids,
    load_tokenizer,
    model_directory,
    without_dropout,
)
from rlvr.tasks import Problem, Task, build_task


def test_a_prompt_that_fills_the_context_is_found_before_the_model_loads(untrained: Path) -> None:
    tokenizer, task = load_tokenizer(untrained), build_task("countdown:3")
    check_context(untrained, tokenizer, [task], completion=1000)
    long = Task("long", [Problem("p1", "x" * 1000, None)], [], task.verifier, "plain")
    with pytest.raises(ModelError, match=r"problem p1: the prompt has 1000 tokens.*context of 1024"):
        check_context(untrained, tokenizer, [task, long], completion=64)


def test_a_model_that_is_nowhere() -> None:
    with pytest.raises(ModelError, match=r"(?s)neither a directory nor .* embedded:countdown"):
        model_directory("nobody/nothing")


def test_what_is_no_model_is_said_to_be_none(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="known are calculator, chain, countdown, countdown-teacher"):
        model_directory("embedded:foo")
    with pytest.raises(ModelError, match="holds no model in Hugging Face format"):
        context(tmp_path)
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(ModelError, match="python -m evals export policy="):
        context(tmp_path)


def test_eos_ids_come_from_the_generation_configuration_and_the_tokenizer(
    untrained: Path, tmp_path: Path
) -> None:
    tokenizer = load_tokenizer(untrained)
    assert eos_ids(untrained, tokenizer) == (257,)
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": [5, 7]}')
    assert eos_ids(tmp_path, tokenizer) == (5, 7, 257)
    assert eos_ids(tmp_path / "none", tokenizer) == (257,)
    tokenizer.eos_token = None
    with pytest.raises(ModelError, match="names no end-of-sequence token"):
        eos_ids(tmp_path / "none", tokenizer)


TURNS = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"


@pytest.mark.parametrize(
    ("template", "ends"),
    [
        (TURNS, "<|im_end|>"),
        (TURNS.replace("<|im_end|>", " <|im_end|>"), "<|im_end|>"),
        (TURNS.replace("<|im_end|>", "{{ eos_token }}"), "<|endoftext|>"),
        (TURNS.replace("<|im_end|>", ""), None),
        (TURNS.replace("<|im_end|>\n", " and "), None),
        ("{{ raise_exception('only tools') }}", None),
        ("{{ messages[5].content }}", None),
        (None, None),
    ],
)
def test_the_end_of_a_turn_ends_a_completion(tmp_path: Path, template: str | None, ends: str | None) -> None:
    """As in Qwen2.5's base models: the generation configuration names the end of the text alone."""
    words = {"Hello": 0, "Certainly": 1, "and": 2, "user": 3, "assistant": 4}
    plain = Tokenizer(models.WordLevel(words, unk_token="and"))
    plain.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=plain, eos_token="<|endoftext|>")
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    tokenizer.chat_template = template
    end_of_text = tokenizer.convert_tokens_to_ids("<|endoftext|>")
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": end_of_text}))
    expected = {end_of_text} | ({tokenizer.convert_tokens_to_ids(ends)} if ends else set())
    assert eos_ids(tmp_path, tokenizer) == tuple(sorted(expected))


def test_dropout_is_off_in_training_mode() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5))
    assert without_dropout(model).training
    assert model[1].p == 0


def test_a_groups_prompt_goes_through_the_trunk_once() -> None:
    model, batch = toy_model(), toy_batch()
    seen: list[int] = []
    model.model.register_forward_pre_hook(
        lambda _, args, kwargs: seen.append(kwargs["input_ids"].numel()), with_kwargs=True
    )
    policy = ActorCritic(model, 1.0)
    seen.clear()  # of asking whether it takes packed rows
    together = policy(batch)
    prompts = {int(group): int(length) for group, length in zip(batch.group, batch.prompt_len, strict=True)}
    assert seen == [sum(prompts.values()) + int((batch.completion_len - 1).sum())]  # nothing follows the last
    for row in range(len(batch)):  # a group of one goes through whole
        alone = batch.select(torch.tensor([row]))
        scores = ActorCritic(model, 1.0)(alone)
        torch.testing.assert_close(
            scores.logprobs[0], together.logprobs[row, : alone.mask.shape[1]], atol=1e-10, rtol=1e-10
        )
