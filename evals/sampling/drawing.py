"""Drawing a plan's missing samples in one stream: stored every few seconds, and graded meanwhile."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from evals.records.store import SampleSet, token_hash
from evals.sampling.grading import Grading
from evals.sampling.looking import Key
from evals.sampling.plan import ROUND, Plan
from rlvr.core.progress import Display
from rlvr.core.seeds import derive_seed
from rlvr.core.shards import short_hash
from rlvr.engines import Completion, Engine, Request, Stream
from rlvr.graders import Status

# Seconds after which samples are stored, and lost at most when the process dies.
SECONDS = 5.0
# Requests that an engine is given, as a multiple of those that it works on at once.
AHEAD = 2
# Batches that may wait to be graded before drawing waits for them.
BACKLOG = 4


@dataclass(eq=False)
class Round:
    """Samples start..stop-1 of problems with equal prompts. left: verdicts that are still to come."""

    places: tuple[int, ...]
    start: int
    stop: int
    left: int


class Asked(NamedTuple):
    """A request under way."""

    round: Round
    sample: int
    seed: int


class Drawing:
    """One rank's drawing. present: digests of stored samples by (prompt, index), which it adds to.

    Engine and store belong to the calling thread; samples are graded in another, one batch after the other.
    """

    def __init__(
        self,
        plan: Plan,
        samples: SampleSet,
        grading: Grading,
        engine: Engine,
        present: dict[Any, str],
        display: Display,
    ):
        self.plan, self.samples, self.grading, self.engine = plan, samples, grading, engine
        self.present = present
        self.display = display
        self.hashes = plan.prompt_hashes
        self.references = [short_hash(problem.reference) for problem in plan.problems]
        self.run_seed = samples.key.stream()
        self.asked: dict[int, Asked] = {}
        self.rows: list[dict[str, Any]] = []
        self.ungraded: dict[Key, tuple[int, Round]] = {}
        self.texts: dict[tuple[str, int], str] = {}
        self.grades: deque[Future[list[Round]]] = deque()
        self.stored_at = time.monotonic()
        self.drawn = 0

    @cached_property
    def stream(self) -> Stream:
        return self.engine.stream()

    def run(self, groups: Iterator[tuple[int, ...]], most: int | None = None) -> int:
        """Draws what is missing of these problems, `most` samples or one more problem; how many it drew."""
        try:
            with ThreadPoolExecutor(1) as pool:
                self._run(groups, most, pool)
        finally:
            self._store()  # also what was drawn when something failed
            if "stream" in vars(self):
                self.stream.close()
        return self.drawn

    def _run(self, groups: Iterator[tuple[int, ...]], most: int | None, pool: ThreadPoolExecutor) -> None:
        while True:
            while self._wants_more() and (most is None or self.drawn + len(self.asked) < most):
                if (places := next(groups, None)) is None:
                    break
                self._open(places, 0)
            if self.asked:
                self._take(*next(self.stream))
            waited = time.monotonic() - self.stored_at > SECONDS or len(self.ungraded) >= self.plan.chunk
            if self.ungraded and (waited or not self.asked):
                self._store()
                self.grades.append(pool.submit(self._grade, self.ungraded, self.texts))
                self.ungraded, self.texts = {}, {}
            while self.grades and (self.grades[0].done() or not self.asked or len(self.grades) > BACKLOG):
                self._settle(self.grades.popleft().result())
            if not (self.asked or self.ungraded or self.grades):
                return

    def _wants_more(self) -> bool:
        return "stream" not in vars(self) or len(self.asked) < AHEAD * self.stream.slots

    def _open(self, places: tuple[int, ...], start: int) -> None:
        """Asks for what is missing of one round, and has graded what is not graded of the rest."""
        plan, prompt = self.plan, self.hashes[places[0]]
        stop = min(start + (ROUND if plan.stop_r else plan.n), plan.n)
        this = Round(places, start, stop, 0)
        for index in range(start, stop):
            if (prompt, index) in self.present:
                keys = self._keys(places, index)
                lacking = {*keys} - self.grading.known.keys() | {*self.grading.looking.lacks(keys)}
            else:
                seed = derive_seed(self.run_seed, prompt, index)
                number = self.stream.add(Request(plan.prompt_ids[places[0]], plan.sampling, seed))
                self.asked[number] = Asked(this, index, seed)
                this.left += len({self.references[place] for place in places})
                continue
            self.ungraded |= {key: (keys[key], this) for key in lacking}
            this.left += len(lacking)
        if not this.left:
            self._close(this)

    def _keys(self, places: tuple[int, ...], index: int) -> dict[Key, int]:
        """Of the verdicts on a sample that is present: the problems' places."""
        prompt = self.hashes[places[0]]
        digest = self.present[prompt, index]
        return {(prompt, index, self.references[place], digest): place for place in places}

    def _take(self, number: int, completion: Completion) -> None:
        """A completion that has come."""
        this, index, seed = self.asked.pop(number)
        prompt, digest = self.hashes[this.places[0]], token_hash(completion.token_ids)
        self.rows.append(
            {
                "prompt": prompt,
                "index": index,
                "problem": self.plan.problems[this.places[-1]].id,
                "seed": seed,
                "token_ids": list(completion.token_ids),
                "tokens": len(completion.token_ids),
                "digest": digest,
                "logprob": sum(completion.logprobs),
                "text": completion.text,
                "finish_reason": completion.finish_reason,
            }
        )
        self.present[prompt, index] = digest
        self.texts[prompt, index] = completion.text
        self.ungraded |= {key: (place, this) for key, place in self._keys(this.places, index).items()}
        self.drawn += 1
        self.display.advance(1)

    def _store(self) -> None:
        if self.rows:
            self.samples.append(self.rows)
            self.rows = []
        self.stored_at = time.monotonic()

    def _grade(self, keys: dict[Key, tuple[int, Round]], texts: dict[tuple[str, int], str]) -> list[Round]:
        """In the grading thread: the round of each verdict."""
        self.grading.judge({key: place for key, (place, _) in keys.items()}, texts)
        return [this for _, this in keys.values()]

    def _settle(self, graded: list[Round]) -> None:
        for this in graded:
            this.left -= 1
            if not this.left:
                self._close(this)

    def _close(self, this: Round) -> None:
        """A round is drawn and graded: with stop_r another follows where problems lack successes."""
        plan, prompt = self.plan, self.hashes[this.places[0]]
        if plan.stop_r is None:
            return
        if going_on := tuple(place for place in this.places if not self._stopped(place, this.stop)):
            if this.stop < plan.n:
                self._open(going_on, this.stop)
            return
        spared = sum((prompt, index) not in self.present for index in range(this.stop, plan.n))
        if spared:
            self.display.advance(spared)

    def _stopped(self, place: int, count: int) -> bool:
        """Whether the first `count` samples of a problem hold its r-th success."""
        known = self.grading.known
        right = [
            known[key] == Status.CORRECT for index in range(count) for key in self._keys((place,), index)
        ]
        return self.plan.stop_r is not None and sum(right) >= self.plan.stop_r
