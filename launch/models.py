"""Whether a model can be had and is whole, looked at without loading it."""

from __future__ import annotations

import json
import math
from pathlib import Path

from launch.machine import PATIENCE, Finding
from rlvr.config.errors import ConfigError
from rlvr.planning.shape import shape_of


def check_model(name: str) -> Finding:
    """Whether a model is embedded, a directory, cached, or on the Hub."""
    from huggingface_hub import HfApi, constants, try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError

    check = f"model {name}"
    if name.startswith("embedded:"):
        return Finding(check, "ok", "embedded")
    if Path(name).is_dir():
        return _check_directory(check, Path(name))
    try:
        if isinstance(try_to_load_from_cache(name, "config.json"), str):
            return Finding(check, "ok", "in the hub's cache")
        if constants.HF_HUB_OFFLINE:
            advice = f"unset HF_HUB_OFFLINE, or fetch it elsewhere: hf download {name}"
            return Finding(check, "fault", "not here, and HF_HUB_OFFLINE is set", advice)
        HfApi().model_info(name, timeout=PATIENCE)
    except RepositoryNotFoundError:
        advice = "see the spelling; for a gated or private model: hf auth login"
        return Finding(check, "fault", "the hub does not show it", advice)
    except HFValidationError:
        return Finding(check, "fault", "neither a directory nor an id of the hub", "give one of the two")
    except Exception as error:  # many libraries' network errors
        advice = "see the network and HTTPS_PROXY, or give a directory"
        return Finding(check, "fault", f"the hub was not reached: {type(error).__name__}", advice)
    return Finding(check, "ok", "on the hub")


def _check_directory(check: str, model: Path) -> Finding:
    """Whether a model's directory holds what is needed, and can be read."""
    needed = {
        "config.json": ["config.json"],
        "weights (*.safetensors)": ["*.safetensors"],
        "a tokenizer": ["tokenizer.json", "tokenizer.model", "vocab.json", "tekken.json"],
    }
    missing = [what for what, names in needed.items() if not any(any(model.glob(n)) for n in names)]
    if missing:
        return Finding(check, "fault", f"a directory without {', '.join(missing)}", "give a whole model")
    try:
        shape_of(model / "config.json")
        size = sum(_tensors(file) for file in model.glob("*.safetensors"))
    except ConfigError as error:
        return Finding(check, "warning", f"a directory; {error}", "memory is then not estimated")
    except (OSError, ValueError) as error:
        return Finding(check, "fault", f"its weights cannot be read: {error}", "copy the model again")
    index = model / "model.safetensors.index.json"
    if index.is_file():
        listed = set(json.loads(index.read_text())["weight_map"].values())
        if lost := sorted(name for name in listed if not (model / name).is_file()):
            return Finding(check, "fault", f"without {', '.join(lost)} of its index", "copy the model again")
    return Finding(check, "ok", f"a directory, {size:,} parameters")


def _tensors(file: Path) -> int:
    """How many parameters a safetensors file's header lists. Raises ValueError for a damaged one."""
    with open(file, "rb") as content:
        size = int.from_bytes(content.read(8), "little")
        if not 2 <= size <= 100_000_000:
            raise ValueError(f"{file.name} has no safetensors header")
        header = json.loads(content.read(size))
    tensors = [about for name, about in header.items() if name != "__metadata__"]
    ends = max((about["data_offsets"][1] for about in tensors), default=0)
    if file.stat().st_size < 8 + size + ends:
        raise ValueError(f"{file.name} is cut short")
    return sum(math.prod(about["shape"]) for about in tensors)
