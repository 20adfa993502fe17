"""Each algorithm's defaults as the documents give them, and random departures from them."""

from __future__ import annotations

import copy
import random
from typing import Any

Options = dict[str, Any]

NO_KL = {"coefficient": 0.0, "estimator": "k3", "paid": "loss", "by_ratio": False}
IN_REWARD = {"coefficient": 0.0, "estimator": "k1", "paid": "reward", "by_ratio": False}
CLIP = {"low": 0.2, "high": 0.2, "dual": None}
DUAL = {**CLIP, "dual": 3.0}
BY_TOKENS = {"by": "tokens", "ddof": 1}
NORMALISATIONS = ("sequence_mean", "token_mean", "sequence_sum", "fixed_length", "group_token_mean")

PAPERS: dict[str, Options] = {
    "grpo": {
        "clip": CLIP, "eps": 1e-6, "std_ddof": 1, "scale_by_std": True, "unlikeliness": 0.0,
        "normalisation": "sequence_mean", "kl": {**NO_KL, "coefficient": 0.04},
    },
    "gspo": {
        "clip": {"low": 3e-4, "high": 4e-4, "dual": None}, "eps": 1e-6, "std_ddof": 1,
        "normalisation": "sequence_mean", "kl": NO_KL,
    },
    "cispo": {
        "cap": 5.0, "eps": 1e-6, "std_ddof": 1, "normalisation": "group_token_mean", "kl": NO_KL,
    },
    "w_reinforce": {
        "positive": 0.1, "negative": 1.0, "loss": "reinforce", "clip": CLIP, "normalisation": "sequence_sum",
        "kl": NO_KL,
    },
    "dapo": {
        "clip": {**CLIP, "high": 0.28}, "eps": 1e-6, "std_ddof": 1, "normalisation": "token_mean",
        "kl": NO_KL,
    },
    "opd": {"over": "vocabulary", "normalisation": "token_mean", "kl": NO_KL},
    "passk": {"k": 4, "clip": CLIP, "normalisation": "token_mean", "kl": NO_KL},
    "ppo": {
        "gamma": 1.0, "lam": 1.0, "clip": CLIP, "whitening": BY_TOKENS, "normalisation": "token_mean",
        "kl": IN_REWARD, "critic": {"value_clip": 0.5, "coefficient": 1.0}, "credit": "outcome",
    },
    "reinforce_pp": {
        "baseline": False, "gamma": 1.0, "clip": CLIP, "whitening": BY_TOKENS, "normalisation": "token_mean",
        "kl": IN_REWARD, "credit": "outcome",
    },
    "remax": {"loss": "reinforce", "clip": CLIP, "normalisation": "sequence_sum", "kl": IN_REWARD},
    "rloo": {
        "loss": "reinforce", "clip": CLIP, "normalisation": "sequence_sum", "kl": IN_REWARD,
        "credit": "outcome", "gamma": 1.0,
    },
}  # fmt: skip
VARIANTS: dict[str, Options] = {
    "dr_grpo": {"scale_by_std": False, "normalisation": "fixed_length", "kl": NO_KL},
    "grpo_verl": {"clip": DUAL, "normalisation": "token_mean", "kl": NO_KL},
    "ppo_verl": {"clip": DUAL},
    "rloo_verl": {"loss": "ppo_clip", "clip": DUAL, "normalisation": "token_mean"},
    "reinforce_pp_verl": {"clip": DUAL},
    "remax_verl": {"loss": "ppo_clip", "clip": DUAL, "normalisation": "token_mean"},
    "dapo_verl": {"clip": {"low": 0.2, "high": 0.28, "dual": 3.0}},
}

# Of those whose loss is no setting.
LOSSES = {"gspo": "sequence_clip", "cispo": "cispo", "opd": "reinforce"}


def family(name: str) -> str:
    return name.removesuffix("_verl").removeprefix("dr_")


def defaults(name: str) -> Options:
    """Everything that the equations ask for."""
    whole = {
        "over": None,
        "loss": LOSSES.get(name, "ppo_clip"),
        "whitening": {"by": "none", "ddof": 1},
        **PAPERS[family(name)],
    }
    return copy.deepcopy({**whole, **VARIANTS.get(name, {}), "family": family(name)})


def departures(name: str, rng: random.Random) -> Options:
    """Settings of the algorithm that differ from its defaults, as a recipe gives them."""
    own = PAPERS[family(name)]
    given: Options = {}
    if "clip" in own:
        given["clip"] = {"low": rng.choice([0.1, 0.3]), "high": rng.choice([0.15, 0.4])}
        given["clip"]["dual"] = rng.choice([None, 1.5, 3.0])
    given["normalisation"] = rng.choice(NORMALISATIONS)
    given["kl"] = {
        "coefficient": rng.choice([0.0, 0.1, 0.5]),
        "estimator": rng.choice(["k1", "k2", "k3"]),
        "paid": "loss" if name in ("passk", "w_reinforce", "opd") else rng.choice(["loss", "reward"]),
        "by_ratio": rng.random() < 0.5,
    }
    choices: dict[str, Any] = {
        "eps": [0.0, 1e-4],
        "std_ddof": [0, 1],
        "scale_by_std": [True, False],
        "unlikeliness": [0.0, 0.25, 1.0],
        "cap": [1.2, 2.0],
        "over": ["vocabulary", "samples"],
        "positive": [0.0, 0.5],
        "negative": [0.3, 1.0],
        "k": [1, 2, 3],
        "gamma": [0.9, 1.0],
        "lam": [0.8, 1.0],
        "whitening": [
            {"by": by, "ddof": ddof} for by in ("tokens", "completions", "none") for ddof in (0, 1)
        ],
        "critic": [{"value_clip": clip, "coefficient": 0.7} for clip in (None, 0.1, 0.5)],
        "loss": ["reinforce", "ppo_clip"],
        "credit": ["outcome", "steps"],
        "baseline": [True, False],
    }
    given |= {key: rng.choice(values) for key, values in choices.items() if key in own}
    if given.get("baseline"):
        given["credit"] = "outcome"
    return given


def whole(name: str, given: Options) -> Options:
    """The defaults with what is given in their place."""
    made = defaults(name)
    for key, value in given.items():
        made[key] = {**made[key], **value} if isinstance(made.get(key), dict) else value
    return made


def correction(rng: random.Random) -> Options:
    return {
        "by": rng.choice(["none", "truncate", "mask"]),
        "level": rng.choice(["token", "sequence"]),
        "cap": rng.choice([1.1, 1.5, 2.0]),
    }
