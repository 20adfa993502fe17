"""The embedded base: tokenizer, format on disk, cache, and (slow) what the trained one can do."""

from __future__ import annotations

import json
import math
import multiprocessing
import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest

from rlvr.graders import Status
from rlvr.models import tiny_base
from rlvr.models.tiny_base import EOS, EOS_ID, PAD, PAD_ID, byte_tokenizer, embedded_base, is_embedded
from rlvr.tasks.chain import chain
from rlvr.tasks.countdown import countdown

TEXTS = [
    "",
    " ",
    "7 14 25 make 46\n",
    "a  b \t\r\n c , . !  ",
    "Gr\u00fc\u00dfe \u2014 \u65e5\u672c\u8a9e \U0001f9ee e\u0301 \u00e9",
    "\x00\x7f\u00ad\u200b\ufeff",
    "".join(map(chr, range(0x300))),
]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RLVR_CACHE", str(tmp_path))
    return tmp_path


def _name_of_base(name: str) -> str:
    return str(embedded_base(name))


def test_names() -> None:
    assert is_embedded("embedded:countdown")
    assert not is_embedded("Qwen/Qwen2.5-7B")
    with pytest.raises(ValueError, match="countdown-untrained"):
        embedded_base("nothing")


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_tokenizer_round_trips_and_is_byte_level(text: str) -> None:
    tokenizer = byte_tokenizer()
    ids = tokenizer(text)["input_ids"]
    assert ids == list(text.encode())
    assert tokenizer.decode(ids) == text


def test_tokenizer_specials() -> None:
    tokenizer = byte_tokenizer()
    assert (tokenizer.pad_token_id, tokenizer.eos_token_id) == (PAD_ID, EOS_ID)
    assert len(tokenizer) == 258
    assert tokenizer(f"a{EOS}{PAD}")["input_ids"] == [97, EOS_ID, PAD_ID]
    assert tokenizer.decode([97, EOS_ID, PAD_ID], skip_special_tokens=True) == "a"
    assert tokenizer.decode([97, EOS_ID]) == f"a{EOS}"


def test_untrained_base_loads_as_any_hugging_face_model(cache: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

    directory = embedded_base("embedded:countdown-untrained")
    assert directory.parent == cache
    assert (directory / "model.safetensors").is_file()
    model = AutoModelForCausalLM.from_pretrained(directory)
    tokenizer = AutoTokenizer.from_pretrained(directory)
    assert model.config.model_type == "qwen2"
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert 300_000 <= model.num_parameters() <= 2_000_000
    assert model.config.max_position_embeddings >= 1024
    assert GenerationConfig.from_pretrained(directory).eos_token_id == [EOS_ID]
    assert len(tokenizer) == model.config.vocab_size
    for text in [*TEXTS, "<|endoftext|>"]:
        # From some version on AutoTokenizer makes a Qwen2Tokenizer of it, which normalises; not in our hands.
        read = {form: list(form.encode()) for form in (text, unicodedata.normalize("NFC", text))}
        assert tokenizer(text)["input_ids"] in read.values()
        assert tokenizer.decode(tokenizer(text)["input_ids"]) in read
    batch = tokenizer(["7 14 25 make 46\n", "1 2 3 make 6\n"], return_tensors="pt", padding=True)
    assert batch["input_ids"][1, 0] == PAD_ID
    out = model.generate(**batch, max_new_tokens=4)
    assert out.shape[0] == 2


def test_a_cache_hit_does_not_rebuild(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = embedded_base("countdown-untrained")
    monkeypatch.setattr(tiny_base, "_build", lambda *_: pytest.fail("was built again"))
    assert embedded_base("countdown-untrained") == directory


def test_builds_repeat_to_the_bit(tmp_path: Path) -> None:
    recipe = tiny_base.Pretraining(steps=2, batch=8)
    for name in ("a", "b"):
        tiny_base._build(recipe, tmp_path / name)
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("a", "b")]
    assert weights[0] == weights[1]


def test_a_failed_build_leaves_nothing_behind(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: tiny_base.Pretraining) -> None:
        raise RuntimeError("no power")

    monkeypatch.setattr(tiny_base, "pretrain", fail)
    with pytest.raises(RuntimeError, match="no power"):
        embedded_base("countdown-untrained")
    assert [path.suffix for path in cache.iterdir()] == [".lock"]


def test_concurrent_builders_agree(cache: Path) -> None:
    context = multiprocessing.get_context("spawn")
    with context.Pool(2) as pool:
        directories = pool.map(_name_of_base, ["countdown-untrained"] * 2)
    assert len(set(directories)) == 1
    assert (Path(directories[0]) / "model.safetensors").is_file()
    assert sum(path.is_dir() for path in cache.iterdir()) == 1


def test_the_hash_covers_the_recipe_and_the_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    hashes = {tiny_base.content_hash(recipe) for recipe in tiny_base.BASES.values()}
    monkeypatch.setattr("rlvr.tasks.countdown.LARGEST_TARGET", 50)
    monkeypatch.setattr("rlvr.tasks.chain.LARGEST_OPERAND", 8)
    monkeypatch.setattr("rlvr.tasks.environments.guess.LARGEST", 98)
    monkeypatch.setattr("rlvr.tasks.environments.calculator.LARGEST", 98)
    hashes |= {tiny_base.content_hash(recipe) for recipe in tiny_base.BASES.values()}
    assert len(hashes) == 2 * len(tiny_base.BASES)


def test_bases_of_other_texts_have_other_hashes() -> None:
    """The corpus is hashed by its texts alone, so a base from before it had a name is found again."""
    changed = replace(tiny_base.COUNTDOWN, corpus="chain")
    texts = [next(recipe.texts()) for recipe in (tiny_base.COUNTDOWN, changed)]
    assert texts[0] != texts[1]
    assert tiny_base.content_hash(changed) != tiny_base.content_hash(tiny_base.COUNTDOWN)


def test_the_recipe_is_recorded_beside_the_weights(cache: Path) -> None:
    recipe = json.loads((embedded_base("countdown-untrained") / "pretraining.json").read_text())
    assert recipe["failed_share"] == tiny_base.COUNTDOWN.failed_share


def test_pretraining_leaves_the_callers_random_state_and_threads_alone() -> None:
    import torch

    torch.manual_seed(7)
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    tiny_base.pretrain(tiny_base.Pretraining(steps=1, batch=4))
    assert torch.equal(before, torch.get_rng_state())
    assert torch.get_num_threads() == threads


def _pass_at(n: int, correct: list[int], k: int) -> float:
    """Mean unbiased pass@k over problems with `correct` of n right."""
    misses = [math.comb(n - c, k) / math.comb(n, k) for c in correct]
    return 1 - sum(misses) / len(misses)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variant", "pass_1", "pass_256"),
    [("3", (0.05, 0.30), (0.75, 1.0)), ("4", (0.005, 0.30), (0.30, 0.95))],
)
def test_the_trained_base_can_solve_but_not_reliably(
    variant: str, pass_1: tuple[float, float], pass_256: tuple[float, float]
) -> None:
    """On 40 held-out problems, 256 samples each, at the probe's temperature 0.6 and top-p 0.95."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    directory = embedded_base("countdown")
    model = AutoModelForCausalLM.from_pretrained(directory)
    tokenizer = AutoTokenizer.from_pretrained(directory)
    task = countdown(variant, train_problems=0, test_problems=40)
    torch.manual_seed(0)
    correct, unparsed, truncated = [], 0, 0
    for problem in task.test:
        prompt = tokenizer([problem.prompt] * 256, return_tensors="pt")
        out = model.generate(
            **prompt, max_new_tokens=64, do_sample=True, temperature=0.6, top_p=0.95, top_k=0
        )[:, prompt["input_ids"].shape[1] :]
        texts = tokenizer.batch_decode(out, skip_special_tokens=True)
        verdicts = [task.verifier(text, problem.reference).status for text in texts]
        correct.append(verdicts.count(Status.CORRECT))
        unparsed += verdicts.count(Status.UNPARSED)
        truncated += int((out != EOS_ID).all(1).sum())
    samples = 256 * len(task.test)
    assert pass_1[0] <= _pass_at(256, correct, 1) <= pass_1[1]
    assert pass_256[0] <= _pass_at(256, correct, 256) <= pass_256[1]
    assert unparsed / samples <= 0.05
    assert truncated / samples <= 0.05


@pytest.mark.slow
def test_most_right_answers_of_the_chain_base_follow_right_steps() -> None:
    """On 10 held-out problems, 64 samples each, at the probe's temperature 0.6 and top-p 0.95."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    directory = embedded_base("chain")
    model = AutoModelForCausalLM.from_pretrained(directory)
    tokenizer = AutoTokenizer.from_pretrained(directory)
    task = chain(train_problems=1, test_problems=10)
    torch.manual_seed(0)
    verdicts = []
    for problem in task.test:
        prompt = tokenizer([problem.prompt] * 64, return_tensors="pt")
        out = model.generate(
            **prompt, max_new_tokens=96, do_sample=True, temperature=0.6, top_p=0.95, top_k=0
        )[:, prompt["input_ids"].shape[1] :]
        texts = tokenizer.batch_decode(out, skip_special_tokens=True)
        verdicts += task.grade([(text, problem.reference) for text in texts])
    right = [verdict for verdict in verdicts if verdict.correct]
    assert 0.05 <= len(right) / len(verdicts) <= 0.6
    assert sum(verdict.sound is True for verdict in right) / len(right) >= 0.5
