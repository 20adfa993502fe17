"""Episodes: a policy's turns and what an environment answers between them, over an engine's stream.

Tokens never leave token space: a turn's prompt is the problem's with all tokens since, those that the policy
drew and those of observations, each of which is tokenised once. A turn is a pure function of the episode's
seed, its number and what precedes it, so that an episode does not depend on the others beside it, nor on how
long an environment takes: while it works in a thread, the others go on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from rlvr.core.seeds import derive_seed
from rlvr.engines import Completion, Engine, Request, Stream, Turn
from rlvr.graders import Status, Verdict
from rlvr.rollouts.playing.acting import EnvironmentFailure, Failure, acted, answered, begun, overlaps
from rlvr.tasks import Problem, Task
from rlvr.tasks.environments import Environment, Transition

# On an episode whose environment failed.
FAILED = Verdict(Status.WRONG, 0.0)
# Told of an episode that its environment ended; raises where that ends more than the episode.
Failed = Callable[[Problem, Completion, Failure], None]


@dataclass(eq=False)
class _Episode:
    """One under way. request: as it was asked for; ids: of everything since its prompt."""

    number: int
    problem: Problem
    request: Request
    environment: Environment | None
    state: Any = None
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)

    @property
    def left(self) -> int:
        """Tokens that it may still have."""
        return self.request.sampling.max_new_tokens - len(self.ids)

    def following(self) -> Request:
        """The request of its next turn."""
        turn, limit = len(self.turns), self.left
        if self.environment is not None and self.environment.turn_tokens is not None:
            limit = min(limit, self.environment.turn_tokens)
        seed = self.request.seed if turn == 0 else derive_seed(self.request.seed, "turn", turn)
        sampling = replace(self.request.sampling, max_new_tokens=limit)
        return Request((*self.request.prompt_ids, *self.ids), sampling, seed)


def stop_at_failure(problem: Problem, completion: Completion, failure: Failure) -> None:
    """Raises EnvironmentFailure."""
    raise EnvironmentFailure(
        f"problem {problem.id}, turn {len(completion.turns)}: the environment failed: {failure.what}. What "
        f"was written until then: {completion.text[-500:]!r}"
    )


def count_as_wrong(problem: Problem, completion: Completion, failure: Failure) -> None:
    """Lets the episode end as failed, and no more."""


class EpisodeStream:
    """A task's problems on their way through an engine's stream: an episode each where the task has an
    environment, else a completion. Its methods are those of `rlvr.engines.Stream`, but for the problem."""

    def __init__(self, stream: Stream, task: Task, tokenizer: Any, failed: Failed = stop_at_failure):
        self.stream, self.task, self.tokenizer, self.failed = stream, task, tokenizer, failed
        self.slots = stream.slots
        self.count = 0
        self.asked: dict[int, _Episode] = {}
        self.acting: dict[Future[Transition | Failure], tuple[_Episode, Completion]] = {}
        self.callers: ThreadPoolExecutor | None = None
        self.ready: deque[tuple[int, Completion]] = deque()

    def add(self, request: Request, problem: Problem) -> int:
        """Takes a request; its number. Its token limit is that of the whole episode. Raises
        EnvironmentFailure where none can begin."""
        environment, reference = self.task.environment_of(problem)
        episode = _Episode(self.count, problem, request, environment)
        if environment is not None:
            episode.state = begun(environment, reference)
            if isinstance(episode.state, Failure):
                raise EnvironmentFailure(
                    f"task {self.task.name}, problem {problem.id}: no episode begins: {episode.state.what}"
                )
        self.count += 1
        self._ask(episode)
        return episode.number

    def __iter__(self) -> EpisodeStream:
        return self

    def __next__(self) -> tuple[int, Completion]:
        while not self.ready:
            if self.acting:
                self._settle(wait_for_one=not self.asked)
            if self.ready:
                break
            if not (self.asked or self.acting):
                raise StopIteration
            if self.asked:
                number, completion = next(self.stream)
                self._take(self.asked.pop(number), completion)
        return self.ready.popleft()

    def close(self) -> None:
        if self.callers is not None:
            self.callers.shutdown(wait=False, cancel_futures=True)
        self.stream.close()

    def _ask(self, episode: _Episode) -> None:
        self.asked[self.stream.add(episode.following())] = episode

    def _take(self, episode: _Episode, drawn: Completion) -> None:
        """What the engine has drawn: a completion, or a turn that the environment is to answer."""
        environment = episode.environment
        if environment is None:
            self.ready.append((episode.number, drawn))
        elif not overlaps(environment):
            self._took(episode, drawn, acted(environment, episode.state, drawn.text))
        else:
            if self.callers is None:
                self.callers = ThreadPoolExecutor(environment.at_once, thread_name_prefix="environment")
            future = self.callers.submit(acted, environment, episode.state, drawn.text)
            self.acting[future] = episode, drawn

    def _settle(self, wait_for_one: bool) -> None:
        """Goes on with the episodes whose environments have answered."""
        done, _ = wait(self.acting, None if wait_for_one else 0, FIRST_COMPLETED)
        for future in done:
            self._took(*self.acting.pop(future), future.result())

    def _took(self, episode: _Episode, drawn: Completion, found: Transition | Failure) -> None:
        """A turn that has been answered: the episode ends with it, or goes on."""
        environment = episode.environment
        assert environment is not None
        start = len(episode.ids)
        episode.ids += drawn.token_ids
        episode.logprobs += drawn.logprobs
        reward = 0.0 if isinstance(found, Failure) else float(found.reward)
        episode.turns.append(Turn(start, len(episode.ids), reward, drawn.text))
        if isinstance(found, Failure):
            self._end(episode, "failed", found)
            return
        episode.state = found.state
        if found.done or len(episode.turns) == environment.turns:
            cut = drawn.finish_reason == "length" and not (found.done or episode.left)
            self._end(episode, "length" if cut else "stop")
            return
        observed = self._observed(environment, found.observation or "", episode.ids)
        if len(observed) >= episode.left:  # no room to answer it
            self._end(episode, "length")
            return
        episode.turns[-1] = episode.turns[-1]._replace(observation=found.observation or "")
        episode.ids += observed
        episode.logprobs += [0.0] * len(observed)
        self._ask(episode)

    def _observed(self, environment: Environment, observation: str, ids: Sequence[int]) -> list[int]:
        """The ids of an observation, with what stands around it. ids: before it; where the policy has drawn
        the token that ends its turn, it is not written again."""
        before, after = (self._encoded(text) for text in environment.around)
        if before and ids and before[0] == ids[-1]:
            before = before[1:]
        return before + self._encoded(observation, split_special_tokens=True) + after

    def _encoded(self, text: str, **options: Any) -> list[int]:
        return self.tokenizer.encode(text, add_special_tokens=False, **options) if text else []

    def _end(
        self,
        episode: _Episode,
        reason: Literal["stop", "length", "failed"],
        failure: Failure | None = None,
    ) -> None:
        final = None
        if failure is None and episode.environment is not None:
            answer = answered(episode.environment, episode.state)
            final, failure = (None, answer) if isinstance(answer, Failure) else (answer, None)
        completion = Completion(
            tuple(episode.ids),
            tuple(episode.logprobs),
            self.tokenizer.decode(episode.ids, skip_special_tokens=True),
            reason if failure is None else "failed",
            tuple((turn.start, turn.end) for turn in episode.turns),
            tuple(episode.turns),
            final,
        )
        if failure is not None:
            self.failed(episode.problem, completion, failure)
        self.ready.append((episode.number, completion))


def play(
    engine: Engine,
    task: Task,
    tokenizer: Any,
    asked: Sequence[tuple[Request, Problem]],
    failed: Failed = stop_at_failure,
) -> Iterator[tuple[int, Completion]]:
    """(index of the request, completion or episode) as they become ready."""
    if not asked:
        return
    with closing(EpisodeStream(engine.stream(), task, tokenizer, failed)) as stream:
        for request, problem in asked:
            stream.add(request, problem)
        yield from stream
