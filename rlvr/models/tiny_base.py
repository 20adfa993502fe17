"""The embedded base: a small language model pretrained in place, for machines without a hub.

`embedded:countdown` is a real Qwen2 causal LM with a byte-level tokenizer of its own, saved in Hugging Face
format. It is built on first use (seeded, on the CPU) and cached under `$RLVR_CACHE` (default `~/.cache/rlvr`)
in a directory named by a hash of everything that determines it.

It is pretrained on generated countdown problems with a worked attempt each, nothing else; 70 % have three
operands, 30 % four. Half of the attempts (`failed_share`) miss the target: random expressions over the given
numbers, with right arithmetic in every line, as real corpora hold wrong solutions. Nothing marks them. So the
base can solve problems, but not reliably: much of what RL sharpens here, the preference for attempts that hit
the target, was put there on purpose. The problems of the tasks' train and test splits do not occur.

`embedded:chain` is the same for chains of operations (`rlvr.tasks.chain`): in half of its texts one result is
wrong, and the rest follows from it.

`embedded:guess`, `embedded:calculator` and `embedded:feedback` are of episodes (`rlvr.tasks.environments`),
with what the environment answers in the texts: of the games `failed_share` waste their turns, of the problems
so many are answered without the tool, and of the attempts so many miss the target.

`embedded:countdown-teacher` is pretrained for longer, on attempts that all hit the target, for the base to
learn from; `embedded:countdown-untrained` has random weights, for tests of plumbing.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rlvr.core.errors import UserError
from rlvr.core.progress import progress
from rlvr.models.cached import cached
from rlvr.tasks import chain, countdown
from rlvr.tasks.environments import calculator, countdown_feedback, guess

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerFast, Qwen2ForCausalLM

PREFIX = "embedded:"
PAD, EOS = "<pad>", "<eos>"
PAD_ID, EOS_ID = 256, 257
# Raise it when the code below changes the weights in a way that the hashed constants do not show.
BUILD_VERSION = 1
HASHED_TEXTS = 256


@dataclass(frozen=True)
class Pretraining:
    """Everything that determines an embedded base, but for library versions and the texts' code.

    corpus: the task whose texts these are. four_share: of countdown's problems, those with four operands.
    """

    steps: int
    batch: int = 96
    lr: float = 4e-3
    warmup: int = 50
    seed: int = 0
    failed_share: float = 0.5
    four_share: float = 0.3
    hidden: int = 96
    layers: int = 3
    heads: int = 3
    intermediate: int = 256
    positions: int = 1024
    corpus: Literal["countdown", "chain", "guess", "feedback", "calculator"] = "countdown"

    def texts(self) -> Iterator[tuple[str, str]]:
        """Endless (prompt, completion) pairs."""
        if self.corpus == "countdown":
            return countdown.pretraining_texts(self.seed, self.failed_share, self.four_share)
        return OTHERS[self.corpus](self.seed, self.failed_share)


# By corpus what makes its texts of a seed and the share of failed ones.
OTHERS = {
    "chain": chain.pretraining_texts,
    "guess": guess.pretraining_texts,
    "feedback": countdown_feedback.pretraining_texts,
    "calculator": calculator.pretraining_texts,
}
COUNTDOWN = Pretraining(steps=500)
BASES = {
    "countdown": COUNTDOWN,
    "chain": Pretraining(steps=500, batch=64, corpus="chain"),
    "guess": Pretraining(steps=400, batch=48, corpus="guess", failed_share=0.6),
    "feedback": Pretraining(steps=400, batch=48, corpus="feedback", failed_share=0.8),
    "calculator": Pretraining(steps=800, batch=48, corpus="calculator", failed_share=0.5),
    "countdown-teacher": replace(COUNTDOWN, steps=1500, failed_share=0.0),
    "countdown-untrained": replace(COUNTDOWN, steps=0),
}


def is_embedded(model: str) -> bool:
    """Whether a model string such as `embedded:countdown` names an embedded base."""
    return model.startswith(PREFIX)


def embedded_base(name: str = "countdown") -> Path:
    """Directory of the embedded base in Hugging Face format, built first where it is absent or damaged.

    name: of `BASES`, with or without the `embedded:` prefix. Several
    processes may call this at once: one builds, the others wait. Raises ValueError for other names.
    """
    name = name.removeprefix(PREFIX)
    if name not in BASES:
        raise ValueError(f"embedded base {name!r}: known are {', '.join(sorted(BASES))}")
    return built(name, BASES[name])


def built(name: str, recipe: Pretraining) -> Path:
    """Directory of the base that a recipe gives, built first where it is absent or damaged."""
    root = cache_root()
    directory = root / f"{name}-{content_hash(recipe)}"
    return cached(directory, lambda: _build(recipe, directory))


def cache_root() -> Path:
    """$RLVR_CACHE, by default ~/.cache/rlvr. Raises UserError where there is no home directory either."""
    try:
        return Path(os.environ.get("RLVR_CACHE") or "~/.cache/rlvr").expanduser()
    except RuntimeError:
        said = "there is no place for the embedded base: set RLVR_CACHE to a directory, or HOME to yours"
        raise UserError(said) from None


def content_hash(recipe: Pretraining) -> str:
    """12 hex digits over the recipe, the first texts, the library versions and BUILD_VERSION."""
    key = {
        "version": BUILD_VERSION,
        "recipe": {name: value for name, value in asdict(recipe).items() if name != "corpus"},
        "texts": list(islice(recipe.texts(), HASHED_TEXTS)),
        "libraries": {name: version(name) for name in ("torch", "transformers", "tokenizers")},
    }
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:12]


def _build(recipe: Pretraining, directory: Path) -> None:
    """Pretrain and save beside `directory`, then rename: readers see all of it or nothing."""
    partial = Path(tempfile.mkdtemp(prefix=f"{directory.name}.partial-", dir=directory.parent))
    try:
        model = pretrain(recipe)
        model.save_pretrained(partial)
        byte_tokenizer(recipe.positions).save_pretrained(partial)
        (partial / "pretraining.json").write_text(json.dumps(asdict(recipe), indent=1) + "\n")
        partial.chmod(0o755)
        partial.rename(directory)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def byte_tokenizer(positions: int = 1024) -> PreTrainedTokenizerFast:
    """One token per UTF-8 byte: ids 0-255 are the bytes, 256 is pad, 257 is eos.

    Nothing is added around a text, and every string decodes to itself. Loaded by AutoTokenizer it
    becomes a Qwen2Tokenizer, which like every Qwen2 checkpoint's first normalizes to NFC.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {symbol: byte for byte, symbol in enumerate(_byte_symbols())}
    vocabulary |= {PAD: PAD_ID, EOS: EOS_ID}
    core = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in (PAD, EOS)])
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=PAD,
        eos_token=EOS,
        # Never needed, but Qwen2Tokenizer would add one of its own, past the end of the embeddings.
        unk_token=PAD,
        model_max_length=positions,
        clean_up_tokenization_spaces=False,
        padding_side="left",
    )


def _byte_symbols() -> list[str]:
    """The printable character that byte-level BPE writes for each byte: itself or one above 255."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    hidden = [byte for byte in range(256) if byte not in printable]
    return [chr(b) if b in printable else chr(256 + hidden.index(b)) for b in range(256)]


def new_model(recipe: Pretraining) -> Qwen2ForCausalLM:
    """A randomly initialised Qwen2 of the recipe's shape (fp32, tied embeddings), from its seed."""
    import torch
    from transformers import GenerationConfig, Qwen2Config, Qwen2ForCausalLM

    config = Qwen2Config(
        vocab_size=EOS_ID + 1,
        hidden_size=recipe.hidden,
        intermediate_size=recipe.intermediate,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        num_key_value_heads=recipe.heads,
        max_position_embeddings=recipe.positions,
        tie_word_embeddings=True,
        pad_token_id=PAD_ID,
        bos_token_id=None,
        eos_token_id=EOS_ID,
        dtype="float32",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        model = Qwen2ForCausalLM(config).float()
    model.generation_config = GenerationConfig(
        do_sample=True, eos_token_id=[EOS_ID], pad_token_id=PAD_ID, bos_token_id=None
    )
    return model


def pretrain(recipe: Pretraining) -> Qwen2ForCausalLM:
    """Train a new model on the recipe's texts with all cores; shows progress and time left.

    Repeats to the bit on the same machine with the same libraries. The caller's random state and
    number of threads stay as they were.
    """
    import torch

    model = new_model(recipe)
    if not recipe.steps:
        return model
    threads = torch.get_num_threads()
    # Launchers set OMP_NUM_THREADS=1; ranks that wait for this build leave their cores to it.
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    try:
        _optimize(model, recipe)
    finally:
        torch.set_num_threads(threads)
    return model.eval()


def _optimize(model: Qwen2ForCausalLM, recipe: Pretraining) -> None:
    import torch

    texts = recipe.texts()
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.lr, betas=(0.9, 0.95), weight_decay=0.01)
    model.train()
    with progress("pretraining the base", recipe.steps) as display:
        for step in range(recipe.steps):
            optimizer.param_groups[0]["lr"] = recipe.lr * _schedule(step, recipe)
            loss = _accumulate(model, list(islice(texts, recipe.batch)))
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            display.advance(1, f"loss {loss:.3f}")


def _accumulate(model: Qwen2ForCausalLM, pairs: list[tuple[str, str]]) -> float:
    """Backward of the mean loss per token of completion; returns it.

    In two halves by length, since short texts beside long ones would be a quarter padding.
    """
    from torch.nn.functional import cross_entropy

    pairs = sorted(pairs, key=lambda pair: len(pair[0]) + len(pair[1]))
    count = sum(len(completion) + 1 for _, completion in pairs)
    total = 0.0
    for half in (pairs[: len(pairs) // 2], pairs[len(pairs) // 2 :]):
        tokens, labels = to_batch(half)
        logits = model(input_ids=tokens).logits[:, :-1]
        loss = cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten(), reduction="sum") / count
        loss.backward()
        total += loss.item()
    return total


def _schedule(step: int, recipe: Pretraining) -> float:
    """Linear warm-up, then half a cosine down to a twentieth: fraction of the peak rate."""
    if step < recipe.warmup:
        return (step + 1) / recipe.warmup
    done = (step - recipe.warmup) / max(1, recipe.steps - recipe.warmup)
    return 0.05 + 0.95 * (1 + math.cos(math.pi * done)) / 2


def to_batch(pairs: list[tuple[str, str]]) -> tuple[torch.Tensor, torch.Tensor]:
    """(prompt, completion) pairs -> tokens, labels, both [B, S], padded on the right.

    Only completion and eos carry labels (-100 elsewhere), as the prompt is random numbers.
    """
    import torch

    prompts = [list(prompt.encode()) for prompt, _ in pairs]
    completions = [[*completion.encode(), EOS_ID] for _, completion in pairs]
    rows = list(zip(prompts, completions, strict=True))
    width = max(len(p) + len(c) for p, c in rows)
    tokens = [p + c + [PAD_ID] * (width - len(p) - len(c)) for p, c in rows]
    labels = [[-100] * len(p) + c + [-100] * (width - len(p) - len(c)) for p, c in rows]
    return torch.tensor(tokens), torch.tensor(labels)
