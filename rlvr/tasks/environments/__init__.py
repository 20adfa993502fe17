"""Environments: what answers the policy between its turns, as pure functions of plain data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rlvr.core.versions import source_version


@dataclass(frozen=True, slots=True)
class Transition:
    """What a turn led to.

    observation: what the policy reads before its next turn, None for nothing; after the last turn nobody
    reads it. done: whether the episode is over. reward: for this turn, see `rewards.turns`.
    """

    state: Any
    observation: str | None = None
    done: bool = False
    reward: float = 0.0


@dataclass(frozen=True)
class Environment:
    """Makes episodes of a task's completions: the policy writes a turn, the environment answers, and so on.

    begin: a problem's reference -> state. act: (state, what the policy wrote) -> Transition. Both are pure
    functions of plain data: what they return depends on their arguments alone, and they change neither.
    turns: the most of an episode. Besides, it has the tokens of a completion (`rollouts.max_new_tokens`),
    observations included. stop: strings that end a turn, as an end token does. turn_tokens: the most of a
    turn; None: what is left of the episode.
    answer: final state -> what the verifier is given; None: it is given the whole text.
    seconds: of wall time that a call may take. observation_characters: the longest observation.
    at_once: calls of act at a time, in threads, for one of this package that waits for other processes; 1:
    one after another in the thread that plays. around: what stands before and after each observation, from
    the end of the policy's turn to the beginning of its next, see `rlvr.tasks.templates.between`.
    version: changes whenever an episode could; by default a hash of the source that `act` stands in.
    """

    begin: Callable[[Any], Any]
    act: Callable[[Any, str], Transition]
    turns: int
    stop: tuple[str, ...] = ()
    turn_tokens: int | None = None
    answer: Callable[[Any], str] | None = None
    seconds: float = 5.0
    observation_characters: int = 4000
    at_once: int = 1
    around: tuple[str, str] = ("", "")
    version: str = ""

    def __post_init__(self) -> None:
        if isinstance(self.stop, str) or not all(self.stop):
            raise ValueError(f"stop is a tuple of strings that are not empty, not {self.stop!r}")
        for name in ("turns", "turn_tokens"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name}={value}: an episode has one turn or more, of one token or more")
        if not self.version:
            object.__setattr__(self, "version", source_version(self.act))

    @property
    def described(self) -> str:
        """Its version and its limits: what episodes depend on, beside the problem and the policy."""
        limit = "" if self.turn_tokens is None else f" of {self.turn_tokens} tokens"
        return f"{self.version}, {self.turns} turns{limit}"
