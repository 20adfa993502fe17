"""The algorithms, one file each. A builder's keyword arguments are the keys of `algorithm.*`.

Builders import torch inside, so that a configuration is checked before torch is loaded.
"""

from __future__ import annotations

from typing import Any

from rlvr.algorithms.bundle import Algorithm
from rlvr.config import registry
from rlvr.config.schema import Choice

# name -> module:function that builds it
ALGORITHMS = {
    "grpo": "rlvr.algorithms.grpo:grpo",
    "ppo": "rlvr.algorithms.ppo:ppo",
    "rloo": "rlvr.algorithms.rloo:rloo",
    "reinforce_pp": "rlvr.algorithms.reinforce_pp:reinforce_pp",
    "remax": "rlvr.algorithms.remax:remax",
    "dapo": "rlvr.algorithms.dapo:dapo",
    "passk": "rlvr.algorithms.passk:passk",
}

# Settings by name, laid over a builder's defaults where it has them (`algorithm.preset`); what a recipe
# gives itself wins. paper_era_verl: what arXiv 2504.13837 inherited from the verl of April 2025, but for
# the averaging of micro-batch means, which would make the gradient depend on their size.
PRESETS: dict[str, dict[str, Any]] = {
    "paper_era_verl": {
        "normalisation": "token_mean",
        "loss": "ppo_clip",
        "clip": {"dual": 3.0},
        "std_ddof": 1,
        "whitening": {"by": "tokens", "ddof": 1},
    },
}


def build_algorithm(choice: Choice) -> Algorithm:
    """The algorithm with its settings. Raises ValueError for settings that contradict each other."""
    return registry.build(ALGORITHMS, choice.name, choice.options)
