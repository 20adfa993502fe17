"""Rewards: verdicts -> numbers."""

from __future__ import annotations

from rlvr.config import Rewards
from rlvr.verifiers import Verdict


def outcome_reward(verdict: Verdict, rewards: Rewards) -> float:
    """The reward of one completion. Unparsed and timed-out ones count as wrong."""
    return rewards.correct if verdict.correct else rewards.wrong
