"""Drawing a plan's missing samples in one stream: stored every few seconds, and graded meanwhile."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from evals.records.store import SAMPLES, ByPrompt, SampleSet, token_hash, turns_text
from evals.sampling.draws import Draws
from evals.sampling.grading import Grading
from evals.sampling.leases import Leases
from evals.sampling.looking import Key
from evals.sampling.plan import ROUND, Plan
from rlvr.core.progress import Display
from rlvr.core.seeds import derive_seed
from rlvr.engines import Completion, Engine, Request
from rlvr.graders import Status
from rlvr.rollouts.playing.episodes import EpisodeStream, count_as_wrong, stop_at_failure

# Seconds between tries where other processes have all that is left, and between saying so.
MOMENT = 0.1
SAID_EVERY = 30.0
# Seconds after which samples are stored, and lost at most when the process dies.
SECONDS = 5.0
# Requests that an engine is given, as a multiple of those that it works on at once.
AHEAD = 2
# Batches that may wait to be graded before drawing waits for them.
BACKLOG = 4
# Chunks of stored samples that are graded together: their texts are read for it, shard by shard.
REGRADED = 4


# Of problems with equal prompts, in the plan.
Places = tuple[int, ...]
# By prompt and index what the verifier is given; None for an episode that failed.
Texts = dict[tuple[str, int], str | None]


@dataclass(eq=False)
class Round:
    """Samples start..stop-1 of problems with equal prompts. left: verdicts that are still to come."""

    places: Places
    start: int
    stop: int
    left: int


class Asked(NamedTuple):
    """A request under way."""

    round: Round
    sample: int
    seed: int


class Drawing:
    """One rank's drawing. draws: gets a note of what is drawn.

    Engine and store belong to the calling thread; samples are graded in another, one batch after the other.
    """

    def __init__(
        self,
        plan: Plan,
        samples: SampleSet,
        grading: Grading,
        engine: Engine,
        display: Display,
        draws: Draws | None = None,
    ):
        self.plan, self.samples, self.grading, self.engine = plan, samples, grading, engine
        self.display, self.draws = display, draws
        self.leases = Leases(samples.directory)
        self.stored = ByPrompt(SAMPLES.empty_table())  # as it was at the beginning
        self.present: dict[str, dict[int, str]] = {}  # digests by index, of prompts that are being worked at
        self.held: list[Places] = []  # problems that other processes draw
        self.seen: set[str] = set()  # shards whose samples are in `present`
        self.watchful = True
        self.hashes = plan.prompt_hashes
        self.references = plan.reference_hashes
        self.run_seed = samples.key.stream()
        self.asked: dict[int, Asked] = {}
        self.rows: list[dict[str, Any]] = []
        self.ungraded: dict[Key, tuple[int, Round]] = {}
        self.texts: Texts = {}
        self.grades: deque[Future[list[Round]]] = deque()
        self.stored_at = self.said_at = time.monotonic()
        self.drawn = 0

    @cached_property
    def stream(self) -> EpisodeStream:
        failed = count_as_wrong if self.plan.bad == "wrong" else stop_at_failure
        return EpisodeStream(self.engine.stream(), self.plan.task, self.plan.tokenizer, failed)

    def run(self, groups: Iterator[Places], most: int | None = None, alone: bool = True) -> int:
        """Draws what is missing of these problems, `most` samples or one more problem; how many it drew.

        alone: whether no other rank stores samples of the same measurement.
        """
        self.watchful = alone
        self.seen = self.samples.shards.files()
        self.stored = ByPrompt(self.samples.read(["digest"], {*self.hashes}))
        self.grading.begin({*self.hashes})
        try:
            with self.leases, ThreadPoolExecutor(1) as pool:
                self._run(groups, most, pool)
        finally:
            self._store()  # also what was drawn when something failed
            if "stream" in vars(self):
                self.stream.close()
        return self.drawn

    def _run(self, groups: Iterator[Places], most: int | None, pool: ThreadPoolExecutor) -> None:
        exhausted = False
        while True:
            while not exhausted and self._wants_more(most):
                if (places := next(groups, None)) is None:
                    exhausted = True
                else:
                    self._begin(places)
            if self.asked:
                self._take(*next(self.stream))
            waited = time.monotonic() - self.stored_at > SECONDS or len(self.ungraded) >= self.plan.chunk
            if self.ungraded and (waited or not self.asked):
                self._store()
                self.grades.append(pool.submit(self._grade, self.ungraded, self.texts))
                self.ungraded, self.texts = {}, {}
            while self.grades and (self.grades[0].done() or not self.asked or len(self.grades) > BACKLOG):
                self._settle(self.grades.popleft().result())
            if not (self.asked or self.ungraded or self.grades) and (exhausted or not self._wants_more(most)):
                if not self.held or not self._wants_more(most):
                    return
                self._wait()
                groups, self.held, exhausted = iter(self.held), [], False

    def _begin(self, places: Places) -> None:
        """Draws problems with equal prompts, or sets them aside where another process does."""
        prompt = self.hashes[places[0]]
        if not self.leases.take(prompt):
            self.held.append(places)
            self.watchful = True
            return
        found = self.stored.of(prompt)
        anew = self.watchful and not self.samples.shards.files() <= self.seen
        if anew:  # another process has stored something since the beginning
            before, found = found, self.samples.read(["digest"], {prompt})
            self.display.advance(max(found.num_rows - before.num_rows, 0))
        self.present[prompt] = dict(zip(found["index"].to_pylist(), found["digest"].to_pylist(), strict=True))
        self.grading.open(prompt, anew)
        self._open(places, 0)

    def _wait(self) -> None:
        """A moment, where other processes have all that is left."""
        time.sleep(MOMENT)
        if time.monotonic() - self.said_at > SAID_EVERY:
            self.said_at = time.monotonic()
            self.display.console.print(
                f"another process draws the samples that are left: waiting for it ({self.leases.path})",
                markup=False, highlight=False, soft_wrap=True,
            )  # fmt: skip

    def _wants_more(self, most: int | None) -> bool:
        if most is not None and self.drawn + len(self.asked) >= most:
            return False
        if len(self.ungraded) >= REGRADED * self.plan.chunk:
            return False
        return "stream" not in vars(self) or len(self.asked) < AHEAD * self.stream.slots

    def _open(self, places: Places, start: int) -> None:
        """Asks for what is missing of one round, and has graded what is not graded of the rest."""
        plan, prompt = self.plan, self.hashes[places[0]]
        stop = min(start + (ROUND if plan.stop_r else plan.n), plan.n)
        this = Round(places, start, stop, 0)
        for index in range(start, stop):
            if index in self.present[prompt]:
                keys = self._keys(places, index)
                lacking = self.grading.lacks(keys)
            else:
                seed = derive_seed(self.run_seed, prompt, index)
                request = Request(plan.prompt_ids[places[0]], plan.sampling, seed)
                number = self.stream.add(request, plan.problems[places[0]])
                self.asked[number] = Asked(this, index, seed)
                this.left += len({self.references[place] for place in places})
                continue
            self.ungraded |= {key: (keys[key], this) for key in lacking}
            this.left += len(lacking)
        if not this.left:
            self._close(this)

    def _keys(self, places: Places, index: int) -> dict[Key, int]:
        """Of the verdicts on a sample that is present: the problems' places."""
        prompt = self.hashes[places[0]]
        digest = self.present[prompt][index]
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
                "turns": turns_text(completion.turns),
                "final": completion.final,
            }
        )
        self.present[prompt][index] = digest
        self.texts[prompt, index] = None if completion.failed else completion.graded
        self.ungraded |= {key: (place, this) for key, place in self._keys(this.places, index).items()}
        self.drawn += 1
        self.display.advance(1)

    def _store(self) -> None:
        if self.rows:
            if self.draws is not None:
                keys = [(row["prompt"], row["index"]) for row in self.rows]
                self.draws.note(self.samples.directory.name, keys)
            self.seen.add(self.samples.append(self.rows))
            self.rows = []
        self.stored_at = time.monotonic()

    def _grade(self, keys: dict[Key, tuple[int, Round]], texts: Texts) -> list[Round]:
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
            self._end(prompt)
            return
        going_on = tuple(place for place in this.places if not self._stopped(place, this.stop))
        if going_on and this.stop < plan.n:
            self._open(going_on, this.stop)
            return
        spared = sum(index not in self.present[prompt] for index in range(this.stop, plan.n))
        if spared:
            self.display.advance(spared)
        self._end(prompt)

    def _end(self, prompt: str) -> None:
        """Nothing is left to do of a prompt."""
        self.leases.give(prompt)
        del self.present[prompt]
        self.grading.close(prompt)

    def _stopped(self, place: int, count: int) -> bool:
        """Whether the first `count` samples of a problem hold its r-th success."""
        right = [
            self.grading.status(key) == Status.CORRECT
            for index in range(count)
            for key in self._keys((place,), index)
        ]
        return self.plan.stop_r is not None and sum(right) >= self.plan.stop_r
