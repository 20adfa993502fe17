"""python -m evals export policy=DIR out=DIR [base=MODEL]: a policy with its adapters merged in.

policy is a checkpoint's policy directory with LoRA adapters; out gets the whole model in Hugging Face
format, which every engine loads. base: the model that the adapters belong to, if it has moved.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from rlvr.config.errors import ConfigError, Mistake, known_keys, of_error
from rlvr.config.schema import Section
from rlvr.planning.recipe import parse_arguments


class Export(Section):
    """What one command merges."""

    policy: Path
    out: Path
    base: str | None = None


def main(arguments: Sequence[str]) -> int:
    """Exit status: 0 written, 1 for a model that cannot be had, 2 for wrong arguments."""
    if {"-h", "--help"} & set(arguments):
        print(__doc__)
        return 0
    try:
        settings = read_settings(arguments)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    from rlvr.models.loading import ModelError, merge_adapters

    try:
        merge_adapters(settings.policy, settings.out, settings.base)
    except ModelError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"wrote {settings.out}")
    return 0


def read_settings(arguments: Sequence[str]) -> Export:
    """Raises ConfigError with every mistake."""
    try:
        settings = Export.model_validate(parse_arguments(arguments))
    except ValidationError as error:
        known = list(known_keys(Export))
        raise ConfigError("export", [of_error(e, known) for e in error.errors()]) from None
    mistakes = []
    if not (settings.policy / "adapter_config.json").is_file():
        mistakes.append(Mistake("policy", str(settings.policy), "holds no adapters (adapter_config.json)"))
    if settings.out.exists():
        mistakes.append(Mistake("out", str(settings.out), "is there already; give another directory"))
    if mistakes:
        raise ConfigError("export", mistakes)
    return settings
