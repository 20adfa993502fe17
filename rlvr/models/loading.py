"""Where models come from: embedded bases, local directories, the hub."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from jinja2 import TemplateError
from peft import PeftConfig, PeftModel
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    GenerationConfig,
    PreTrainedModel,
)
from transformers.utils.logging import disable_progress_bar

from rlvr.config.schema import PolicyConfig
from rlvr.core.errors import UserError
from rlvr.models.lora import attach
from rlvr.models.portable import make_portable
from rlvr.models.tiny_base import embedded_base, is_embedded
from rlvr.tasks import GeneratedProblems, Task
from rlvr.tasks.templates.chat import prompt_lengths

GENERATED_CHECKED = 100

# They would garble our progress bar.
disable_progress_bar()


class ModelError(UserError):
    """A model was not found or does not suit the task; the message says what to do."""


def model_directory(name: str) -> Path:
    """The directory of a model in Hugging Face format, fetched or built first if need be."""
    if is_embedded(name):
        try:
            return embedded_base(name)
        except ValueError as error:
            raise ModelError(str(error)) from None
    if Path(name).is_dir():
        return Path(name)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=["*.json", "*.safetensors", "*.txt"]))
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise ModelError(
            f"model {name!r} is neither a directory nor found on the Hub: {error}\n"
            "Give a path, an id of the hub, or embedded:countdown."
        ) from error


def load_model(
    directory: Path, dtype: str, quantized: bool = False, device: torch.device | None = None
) -> PreTrainedModel:
    """A causal LM in evaluation mode: dropout would make the log-probs of two passes differ.

    dtype: a torch dtype's name, or auto for that of the files. On a CPU weights of that dtype stay in the
    files, mapped into memory that the processes of a machine share, until they are changed. quantized: in 4
    bits (NF4), on the current GPU. device: where the weights go, one after the other; by default the CPU.
    Raises ModelError for a model that changes its logits after the head: `rlvr.learning` does not.
    """
    options: dict[str, Any] = {"dtype": dtype}
    if quantized:
        if not torch.cuda.is_available():
            raise ModelError("4-bit weights need an NVIDIA GPU: set policy.lora.quantized=false")
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16
        )
        options["device_map"] = {"": torch.cuda.current_device()}
    elif device is not None and device.type != "cpu":
        options["device_map"] = {"": device}
    model: Any = AutoModelForCausalLM.from_pretrained(directory, **options).eval()
    for key in ("final_logit_softcapping", "logits_scaling", "logit_scale"):
        if getattr(model.config, key, None) not in (None, 1.0):
            raise ModelError(f"{directory}: models with {key} are not supported")
    return model


def load_policy(
    model: Path, config: PolicyConfig, saved: Path | None = None, device: torch.device | None = None
) -> tuple[PreTrainedModel, PeftModel | None]:
    """The model to train, and what holds its adapters where only they are trained.

    saved: a checkpoint's policy to go on from. device: as in `load_model`. Weights that train in bfloat16
    are held in float32, by DeepSpeed where they are sharded; frozen ones are not.
    """
    lora = config.lora
    if lora is None:
        return load_model(saved or model, weights_dtype(config), device=device), None
    adapters = attach(load_model(model, config.dtype, lora.quantized, device), lora, saved)
    inner: Any = adapters.get_base_model()
    return inner, adapters


def merge_adapters(policy: Path, out: Path, base: str | None = None, dtype: str = "auto") -> None:
    """Writes the whole model of a directory with adapters. Raises ModelError.

    base: the model that the adapters belong to, if it has moved. dtype: as in `load_model`.
    """
    saved = PeftConfig.from_pretrained(str(policy))
    whole = load_model(model_directory(base or str(saved.base_model_name_or_path)), dtype)
    PeftModel.from_pretrained(whole, policy).merge_and_unload().save_pretrained(out)
    load_tokenizer(policy).save_pretrained(out)
    make_portable(out)


def weights_dtype(config: PolicyConfig) -> str:
    """How the weights of a policy without adapters are held."""
    return config.dtype if config.zero else "float32"


def without_dropout(model: PreTrainedModel) -> PreTrainedModel:
    """The model in training mode, which gradient checkpointing needs, with every dropout set to 0."""
    module: Any
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        if isinstance(getattr(module, "attention_dropout", None), float):
            module.attention_dropout = 0.0
    return model.train()


def load_tokenizer(directory: Path) -> Any:
    return AutoTokenizer.from_pretrained(directory)


def eos_ids(directory: Path, tokenizer: Any) -> tuple[int, ...]:
    """Every token id that ends a completion, in ascending order.

    Those of the generation configuration, the tokenizer's own, and the one that ends a turn in its chat
    template: a base model's configuration may leave out the last, which its prompts ask for.
    """
    try:
        named = GenerationConfig.from_pretrained(directory).eos_token_id
    except OSError:
        named = None
    ids = {*(named if isinstance(named, list) else [named]), tokenizer.eos_token_id, end_of_turn(tokenizer)}
    ids -= {None}
    if not ids:
        raise ModelError(f"{directory} names no end-of-sequence token")
    return tuple(sorted(ids))


def end_of_turn(tokenizer: Any) -> int | None:
    """The special token that follows an assistant's words in the chat template; None where there is none."""
    if not getattr(tokenizer, "chat_template", None):
        return None
    words = "Certainly"
    turns = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": words}]
    try:
        shown = tokenizer.apply_chat_template(turns, tokenize=False)
    except (TemplateError, TypeError, ValueError, KeyError):  # a template for other kinds of turns
        return None
    rest = tokenizer.encode(shown.rpartition(words)[2].lstrip(), add_special_tokens=False)
    special = {*tokenizer.all_special_ids, *getattr(tokenizer, "added_tokens_decoder", {})}
    return rest[0] if rest and rest[0] in special else None


def context(directory: Path) -> int:
    """Tokens that prompt and completion may have together. Raises ModelError where there is no model."""
    if (directory / "adapter_config.json").exists() and not (directory / "config.json").exists():
        raise ModelError(
            f"{directory} holds adapters alone: merge them with python -m evals export policy={directory}"
        )
    try:
        return int(AutoConfig.from_pretrained(directory).max_position_embeddings)
    except (OSError, ValueError) as error:
        raise ModelError(f"{directory} holds no model in Hugging Face format: {error}") from error


def check_same_tokens(own: Any, its: Any, teacher: str) -> None:
    """Raises ModelError where a teacher's tokenizer gives ids to other tokens than the policy's does."""
    ours, theirs = own.get_vocab(), its.get_vocab()
    differing = sorted(token for token in {*ours, *theirs} if ours.get(token) != theirs.get(token))
    if not differing:
        return
    said = [vocabulary.get(differing[0], "no token") for vocabulary in (ours, theirs)]
    raise ModelError(
        f"teacher {teacher} has another tokenizer than the policy: {len(differing)} tokens differ, such as "
        f"{differing[0]!r}, which is {said[0]} for the policy and {said[1]} for the teacher, so what it says "
        "of the policy's tokens has no meaning. Give a teacher of the same family"
    )


def check_context(directory: Path, tokenizer: Any, tasks: Sequence[Task], completion: int) -> int:
    """Tokens of the longest prompt with a completion of so many tokens.

    Raises ModelError for the first prompt that leaves no room for one. Of generated training problems,
    which are too many, the first hundred are looked at.
    """
    most = context(directory)
    room = most - completion
    longest = 0
    for task in tasks:
        train = task.train
        if isinstance(train, GeneratedProblems):
            train = tuple(islice(train, GENERATED_CHECKED))
        problems = (*train, *task.test)
        for problem, length in zip(problems, prompt_lengths(tokenizer, problems), strict=True):
            longest = max(longest, length)
            if length > room:
                raise ModelError(
                    f"task {task.name}, problem {problem.id}: the prompt has {length} tokens, which with "
                    f"{completion} new ones passes the model's context of {most}. Set a shorter "
                    "task.template or rollouts.max_new_tokens, or take the problem out of the data: "
                    "bad_rows=skip leaves out rows that cannot be read, not those that are long"
                )
    return longest + completion
