"""Directories for transformers 4: the older keys, the same meaning in version 5, the same logits in both."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from rlvr.models.portable import make_portable, with_older_keys

SMALL = {
    "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": 128, "max_position_embeddings": 4096, "pad_token_id": 0,
    "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
LLAMA3 = {
    "rope_type": "llama3", "rope_theta": 500000.0, "factor": 32.0, "low_freq_factor": 1.0,
    "high_freq_factor": 4.0, "original_max_position_embeddings": 512,
}  # fmt: skip
YARN = {"rope_type": "yarn", "rope_theta": 1e6, "factor": 4.0, "original_max_position_embeddings": 1024}
MODELS: dict[str, dict[str, Any]] = {
    "qwen2": {"rope_parameters": {"rope_type": "default", "rope_theta": 1e6}},
    "qwen3": {"head_dim": 16, "rope_parameters": {"rope_type": "default", "rope_theta": 1e6}},
    "llama": {"rope_parameters": LLAMA3},
    "mistral": {},
    "qwen2-yarn": {"rope_parameters": YARN},
    "olmo2": {"rope_parameters": {"rope_type": "default", "rope_theta": 5e5}},
    "gemma2": {"head_dim": 16},
    "gemma3_text": {"head_dim": 16, "sliding_window": 32},
    "stablelm": {
        "rope_parameters": {"rope_type": "default", "rope_theta": 2e4, "partial_rotary_factor": 0.5}
    },
    "gpt_neox": {
        "rope_parameters": {"rope_type": "default", "rope_theta": 2e4, "partial_rotary_factor": 0.5}
    },
    "qwen3_moe": {
        "head_dim": 16, "moe_intermediate_size": 32, "num_experts": 4, "num_experts_per_tok": 2,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6},
    },
}  # fmt: skip
TOKENS = torch.arange(3, 103)[None]


def saved(kind: str, directory: Path) -> torch.Tensor:
    """Writes a random model of that kind; its logits of TOKENS."""
    settings = {**SMALL, **MODELS[kind]}
    if kind == "gpt_neox":
        del settings["num_key_value_heads"]
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind.partition("-")[0], **settings)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.3)
    model.save_pretrained(directory)
    make_portable(directory)
    with torch.no_grad():
        return model(TOKENS).logits


@pytest.mark.parametrize("kind", MODELS)
def test_version_5_reads_the_same_model(kind: str, tmp_path: Path) -> None:
    logits = saved(kind, tmp_path)
    with torch.no_grad():
        again = AutoModelForCausalLM.from_pretrained(tmp_path).eval()(TOKENS).logits
    assert torch.equal(again, logits)


@pytest.mark.parametrize(
    ("newer", "older"),
    [
        ({"dtype": "bfloat16"}, {"torch_dtype": "bfloat16"}),
        (
            {"rope_parameters": {"rope_type": "default", "rope_theta": 1e6}},
            {"rope_theta": 1e6, "rope_scaling": None},
        ),
        (
            {"rope_parameters": YARN},
            {"rope_theta": 1e6, "rope_scaling": {k: v for k, v in YARN.items() if k != "rope_theta"}},
        ),
        (
            {
                "rope_parameters": {
                    "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
                    "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
                }
            },
            {
                "rope_theta": 1e6,
                "rope_scaling": {"rope_type": "linear", "factor": 8.0},
                "rope_local_base_freq": 1e4,
            },
        ),
        (
            {"text_config": {"dtype": "float32", "rope_parameters": {"rope_theta": 5e5}}},
            {
                "text_config": {
                    "dtype": "float32",
                    "torch_dtype": "float32",
                    "rope_parameters": {"rope_theta": 5e5},
                    "rope_theta": 5e5,
                    "rope_scaling": None,
                }
            },
        ),
        ({"hidden_size": 8}, {}),
    ],
)
def test_the_older_keys(newer: dict[str, Any], older: dict[str, Any]) -> None:
    assert with_older_keys(newer) == {**newer, **older}
    assert with_older_keys(with_older_keys(newer)) == with_older_keys(newer)


def test_tokenizers(untrained: Path, tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(untrained, extra_special_tokens=["<turn>"])
    tokenizer.save_pretrained(tmp_path)
    file = tmp_path / "tokenizer_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "tokenizer_class": "TokenizersBackend"}))
    make_portable(tmp_path)
    written = json.loads(file.read_text())
    assert written["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert written["additional_special_tokens"] == ["<turn>"] and "extra_special_tokens" not in written
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert again.encode("3 4<turn>") == tokenizer.encode("3 4<turn>")


READ_BY_4 = """
import sys, torch
sys.path.insert(0, sys.argv[1])
from transformers import AutoModelForCausalLM, AutoTokenizer, __version__
assert __version__.startswith("4.57"), __version__
for directory in sys.argv[2:-1]:
    with torch.no_grad():
        logits = AutoModelForCausalLM.from_pretrained(directory).eval()(torch.arange(3, 103)[None]).logits
    assert torch.equal(logits, torch.load(f"{directory}/logits.pt")), directory
print(AutoTokenizer.from_pretrained(sys.argv[-1]).encode("3 4 5"))
"""


@pytest.mark.slow
def test_transformers_4_reads_the_same_model(untrained: Path, tmp_path: Path) -> None:
    """In a directory of packages of its own."""
    older = tmp_path / "older"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(older)]
    needs = ["transformers==4.57.*", "huggingface_hub<1", "tokenizers>=0.22,<=0.23"]
    if subprocess.run([*install, *needs], capture_output=True).returncode:
        pytest.skip("transformers 4.57 cannot be installed here: no package index")
    for kind in MODELS:
        torch.save(saved(kind, tmp_path / kind), tmp_path / kind / "logits.pt")
    tokenizer = AutoTokenizer.from_pretrained(untrained)
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    make_portable(tmp_path / "tokenizer")
    places = [str(tmp_path / kind) for kind in MODELS]
    done = subprocess.run(
        [sys.executable, "-c", READ_BY_4, str(older), *places, str(tmp_path / "tokenizer")],
        capture_output=True, text=True, env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[-2] == str(tokenizer.encode("3 4 5"))
