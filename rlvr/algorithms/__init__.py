"""The algorithms, one file each. A builder's keyword arguments are the keys of `algorithm.*`.

Builders import torch inside, so that a configuration is checked before torch is loaded.
"""

from __future__ import annotations

from rlvr.algorithms.bundle import Algorithm
from rlvr.config import registry
from rlvr.config.registry import PluginError
from rlvr.config.schema import Choice

# name -> module:function that builds it
ALGORITHMS = {
    "grpo": "rlvr.algorithms.grpo:grpo",
    "ppo": "rlvr.algorithms.ppo:ppo",
    "rloo": "rlvr.algorithms.rloo:rloo",
    "reinforce_pp": "rlvr.algorithms.reinforce_pp:reinforce_pp",
    "remax": "rlvr.algorithms.remax:remax",
    "dapo": "rlvr.algorithms.dapo:dapo",
    "dr_grpo": "rlvr.algorithms.grpo:dr_grpo",
    "gspo": "rlvr.algorithms.newer.gspo:gspo",
    "cispo": "rlvr.algorithms.newer.cispo:cispo",
    "w_reinforce": "rlvr.algorithms.newer.w_reinforce:w_reinforce",
    "opd": "rlvr.algorithms.newer.opd:opd",
    "passk": "rlvr.algorithms.newer.passk:passk",
    "grpo_verl": "rlvr.algorithms.verl:grpo_verl",
    "ppo_verl": "rlvr.algorithms.verl:ppo_verl",
    "rloo_verl": "rlvr.algorithms.verl:rloo_verl",
    "reinforce_pp_verl": "rlvr.algorithms.verl:reinforce_pp_verl",
    "remax_verl": "rlvr.algorithms.verl:remax_verl",
    "dapo_verl": "rlvr.algorithms.verl:dapo_verl",
}


def build_algorithm(choice: Choice) -> Algorithm:
    """The algorithm with its settings. Raises ValueError for settings that contradict each other, and
    PluginError for a builder of the user's own that fails or builds something else."""
    algorithm = registry.build(ALGORITHMS, choice.name, choice.options)
    if not isinstance(algorithm, Algorithm):
        kind = type(algorithm).__name__
        raise PluginError(f"{choice.name} returned {kind}; it has to return rlvr.algorithms.bundle.Algorithm")
    return algorithm


def departures(choice: Choice) -> str:
    """'normalisation=token_mean (default sequence_mean)' for every setting that is not the algorithm's
    default; empty where there is none, and for another trainer's algorithm."""
    if registry.family(choice.name) not in ALGORITHMS and not registry.is_plugin(ALGORITHMS, choice.name):
        return ""
    found = registry.departures(ALGORITHMS, choice.name, choice.options)
    return ", ".join(f"{key}={given} (default {usual})" for key, (usual, given) in found.items())
