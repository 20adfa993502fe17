"""Engines: prompts in, sampled completions with their log-probs out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from rlvr.core.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are drawn. temperature 0 is greedy; top_p keeps the smallest set with that mass.

    stop: strings that end a completion, see `rlvr.engines.stops`.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    max_new_tokens: int = 64
    stop: tuple[str, ...] = ()

    def described(self) -> dict[str, Any]:
        """For keys and records: without `stop` where there is none, as they were before there was one."""
        fields = {"temperature": self.temperature, "top_p": self.top_p, "max_new_tokens": self.max_new_tokens}
        return fields | ({"stop": self.stop} if self.stop else {})


@dataclass(frozen=True, slots=True)
class Request:
    """One completion to draw. Two requests that are equal, seed included, give the same completion."""

    prompt_ids: tuple[int, ...]
    sampling: Sampling
    seed: int


class Turn(NamedTuple):
    """What the policy wrote in one go: its tokens from `start` up to, not including, `end`.

    reward: what the environment gave for it. text: of the turn, as the environment was given it.
    observation: the answer that stands after it; empty after the last.
    """

    start: int
    end: int
    reward: float
    text: str = ""
    observation: str = ""


@dataclass(frozen=True, slots=True)
class Completion:
    """What the engine drew: a completion, or an episode (`rlvr.rollouts.playing`), in which other tokens
    stand between what it drew.

    token_ids: the completion, with its end-of-sequence token if it reached one, or with the token that
        completed a stop string.
    logprobs: one per token, of the distribution that was sampled from: after temperature and top-p; 0 for
        tokens that were not sampled. Greedy completions carry the log-probs of the untempered distribution.
    text: decoded without special tokens.
    finish_reason: failed is an episode whose environment did.
    spans: half-open ranges of token_ids that may be trained on; None is the whole completion.
    turns: of an episode. final: of an episode what its verifier is given, where that is not the text.
    """

    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    text: str
    finish_reason: Literal["stop", "length", "failed"]
    spans: tuple[tuple[int, int], ...] | None = None
    turns: tuple[Turn, ...] = ()
    final: str | None = None

    @property
    def drawn(self) -> int:
        """How many of its tokens were sampled."""
        return sum(turn.end - turn.start for turn in self.turns) or len(self.token_ids)

    @property
    def failed(self) -> bool:
        """Whether it is an episode whose environment failed."""
        return self.finish_reason == "failed"

    @property
    def graded(self) -> str:
        """What its verifier is given."""
        return self.text if self.final is None else self.final


class EngineError(UserError):
    """An engine cannot generate or take weights; the message says where and what to do."""


class Stream(Protocol):
    """Requests on their way through an engine, many at once.

    Iterating waits for the next completion that is ready, and ends when no request is left; after that more
    may be added, and it goes on. Whoever adds while it runs keeps every slot of the engine busy.
    """

    @property
    def slots(self) -> int:
        """Completions that it works on at once."""
        ...

    def add(self, request: Request) -> int:
        """Takes a request; its number: how many were added before."""
        ...

    def __iter__(self) -> Iterator[tuple[int, Completion]]: ...

    def __next__(self) -> tuple[int, Completion]:
        """(number of the request, completion). Raises EngineError."""
        ...

    def close(self) -> None:
        """Gives up what is under way."""
        ...


class Engine(Protocol):
    """Draws completions. `name` and `dtype` are part of the key under which samples are stored."""

    @property
    def name(self) -> str: ...

    @property
    def dtype(self) -> str: ...

    def stream(self) -> Stream:
        """An empty stream; it is closed before `load`, and one is open at a time."""
        ...

    def load(self, weights: Iterable[tuple[str, Tensor]]) -> None:
        """Takes over new weights; every later completion is drawn with them. All ranks take part."""
        ...

    def sleep(self) -> None:
        """Gives back what memory it can until weights are loaded again."""
        ...

    def close(self) -> None:
        """Frees what the engine holds."""
        ...


def generate(engine: Engine, requests: Sequence[Request]) -> Iterator[tuple[int, Completion]]:
    """(index of the request, completion) as completions become ready."""
    if not requests:
        return
    with closing(engine.stream()) as stream:
        for request in requests:
            stream.add(request)
        yield from stream
