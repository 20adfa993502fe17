"""Directories that transformers 5 writes, made to be read by transformers 4 as well, with the same meaning.

transformers 4 passes over the keys `rope_parameters` and `dtype` without a word and takes a rope theta of
10,000; it does not know the tokenizer class TokenizersBackend, nor a list of extra special tokens. So the
older spellings are written beside the newer ones, which version 5 prefers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# model type -> older key -> the newer one that it stands for
OLDER_NAMES = {
    "gpt_neox": {"rotary_pct": "partial_rotary_factor", "rotary_emb_base": "rope_theta"},
    "qwen2_moe": {"num_experts": "num_local_experts"},
    "qwen3_moe": {"num_experts": "num_local_experts"},
}


def make_portable(directory: Path) -> None:
    """Adds the older keys to config.json and tokenizer_config.json, where these files are."""
    _edit(directory / "config.json", with_older_keys)
    _edit(directory / "tokenizer_config.json", _tokenizer_with_older_keys)


def with_older_keys(config: Mapping[str, Any]) -> dict[str, Any]:
    """A model's configuration, and those of its parts, with the keys that transformers 4 reads."""
    found = {
        key: with_older_keys(value) if key.endswith("_config") and isinstance(value, Mapping) else value
        for key, value in config.items()
    }
    if "dtype" in found:
        found["torch_dtype"] = found["dtype"]
    rope = found.get("rope_parameters")
    if isinstance(rope, Mapping):
        found |= _older_rope(rope)
    for older, newer in OLDER_NAMES.get(str(found.get("model_type")), {}).items():
        if found.get(newer) is not None:
            found[older] = found[newer]
    return found


def _older_rope(rope: Mapping[str, Any]) -> dict[str, Any]:
    by_layer = {kind: own for kind, own in rope.items() if isinstance(own, Mapping)}
    if not by_layer:
        return _older_rope_of_one(rope)
    older = _older_rope_of_one(by_layer.get("full_attention", next(iter(by_layer.values()))))
    if "sliding_attention" in by_layer:  # Gemma 3
        older["rope_local_base_freq"] = by_layer["sliding_attention"].get("rope_theta")
    return older


def _older_rope_of_one(rope: Mapping[str, Any]) -> dict[str, Any]:
    older: dict[str, Any] = {}
    if "rope_theta" in rope:
        older["rope_theta"] = rope["rope_theta"]
    if "partial_rotary_factor" in rope:
        older["partial_rotary_factor"] = rope["partial_rotary_factor"]
    scaling = {
        key: value for key, value in rope.items() if key not in ("rope_theta", "partial_rotary_factor")
    }
    older["rope_scaling"] = None if scaling.get("rope_type", "default") == "default" else scaling
    if "mrope_section" in rope:  # of models that see: the sections count, whatever the type
        older["rope_scaling"] = {**scaling, "type": "mrope"}
    return older


def _tokenizer_with_older_keys(config: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(config)
    if found.get("tokenizer_class") == "TokenizersBackend":
        found["tokenizer_class"] = "PreTrainedTokenizerFast"
    if isinstance(found.get("extra_special_tokens"), list):
        found["additional_special_tokens"] = found.pop("extra_special_tokens")
    return found


def _edit(file: Path, change: Any) -> None:
    if file.is_file():
        changed = change(json.loads(file.read_text()))
        file.write_text(json.dumps(changed, indent=2, sort_keys=True) + "\n")
