"""Rewards: verdicts -> numbers."""

from __future__ import annotations

from rlvr.config import Rewards
from rlvr.verifiers import Verdict


def outcome_reward(verdict: Verdict, length: int, limit: int, rewards: Rewards) -> float:
    """The reward of one completion of so many tokens: its score between `wrong` and `correct`."""
    outcome = rewards.wrong + verdict.score * (rewards.correct - rewards.wrong)
    if rewards.overlong_cache is None:
        return outcome
    return outcome + overlong_penalty(length, limit, rewards.overlong_cache)


def overlong_penalty(length: int, limit: int, cache: int) -> float:
    """0 up to limit - cache tokens, then linearly down to -1 at the limit: arXiv 2503.14476, eq. 13."""
    return -min(1.0, max(0.0, (length - (limit - cache)) / cache))
