"""The shape of the model that a run trains: its own configuration where that is here, else the recipe's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rlvr.config.errors import ConfigError, Mistake
from rlvr.config.schema import Config, Shape

# Families whose q, k and v have biases where the configuration does not say.
BIASED = ("qwen2", "qwen2_moe", "qwen2_5_vl_text")


def known_shape(config: Config) -> tuple[Shape | None, str]:
    """The shape, and where it is from. Raises ConfigError for a config.json that cannot be read."""
    file = _configuration(config.model)
    if file is not None:
        return shape_of(file), f"{file}"
    return config.policy.shape, "policy.shape"


def shape_of(file: Path) -> Shape:
    """The shape that a config.json describes. Raises ConfigError where it describes none."""
    try:
        whole = json.loads(file.read_text())
        text: Mapping[str, Any] = whole.get("text_config") or whole
        heads, hidden = int(text["num_attention_heads"]), int(text["hidden_size"])
        return Shape(
            layers=text["num_hidden_layers"],
            hidden=hidden,
            intermediate=text["intermediate_size"],
            heads=heads,
            kv_heads=text.get("num_key_value_heads") or heads,
            head_dim=text.get("head_dim") or hidden // heads,
            vocab=text["vocab_size"],
            tied=bool(whole.get("tie_word_embeddings", text.get("tie_word_embeddings", False))),
            biases=bool(text.get("attention_bias", text.get("model_type") in BIASED)),
        )
    except KeyError as error:
        advice = f"has no {error}: the estimate knows decoders with grouped queries and gated MLPs"
        raise ConfigError("the model's shape", [Mistake(str(file), None, advice)]) from None
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ConfigError(
            "the model's shape", [Mistake(str(file), None, f"cannot be read: {error}")]
        ) from None


def _configuration(model: str) -> Path | None:
    """The model's config.json: in its directory, or in the Hub's cache."""
    here = Path(model) / "config.json"
    if here.is_file():
        return here
    if model.startswith("embedded:") or Path(model).is_dir():
        return None
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        cached = try_to_load_from_cache(model, "config.json")
    except HFValidationError:
        return None
    return Path(cached) if isinstance(cached, str) else None
