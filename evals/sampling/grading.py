"""What is said of stored samples: the verifier's verdicts, and what the checker says of the reasoning."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from evals.records.store import VERDICTS, ByPrompt, SampleSet, keys_of
from evals.sampling.looking import Key, Looking
from evals.sampling.plan import Plan
from rlvr.graders import Status
from rlvr.graders.soundness import Chain
from rlvr.rollouts.playing.episodes import FAILED


class Grading:
    """Verdicts of one plan's samples, stored as they are made."""

    def __init__(self, plan: Plan, samples: SampleSet):
        self.plan = plan
        self.samples = samples
        self.verdicts = samples.verdicts(plan.task.grader)
        self.looking = Looking(plan.task, samples)
        self.stored = ByPrompt(VERDICTS.empty_table())
        self.known: dict[str, dict[Key, str]] = {}  # by prompt, of those that are being worked at

    def begin(self, prompts: Collection[str]) -> None:
        """Reads what is stored of these prompts."""
        self.stored = ByPrompt(self.verdicts.read(["status"], prompts))
        self.looking.begin(prompts)

    def open(self, prompt: str, anew: bool = False) -> None:
        """Work at a prompt begins. anew: other processes may have stored something since."""
        found = self.verdicts.read(["status"], {prompt}) if anew else self.stored.of(prompt)
        self.known[prompt] = dict(zip(keys_of(found), found["status"].to_pylist(), strict=True))
        self.looking.open(prompt, anew)

    def close(self, prompt: str) -> None:
        """Work at a prompt has ended."""
        self.known.pop(prompt, None)
        self.looking.close(prompt)

    def status(self, key: Key) -> str | None:
        """Of a sample of a prompt that is being worked at; None where it is not graded."""
        return self.known[key[0]].get(key)

    def lacks(self, keys: Collection[Key]) -> list[Key]:
        """Those of the samples that are not graded, or that the checker has not seen."""
        unseen = {*self.looking.lacks(keys)}
        return [key for key in keys if key in unseen or self.status(key) is None]

    def judge(self, wanted: Mapping[Key, int], texts: Mapping[tuple[str, int], str | None]) -> None:
        """Stores the missing verdicts, and what the checker says of the samples that it has not seen.

        wanted: the problems' places by key; texts: of samples that were just drawn, None for an episode
        that failed. Raises CheckerError, EndpointError.
        """
        ungraded = [key for key in wanted if self.status(key) is None]
        unseen = [
            key for key in self.looking.lacks(wanted)
            if (known := self.status(key)) is None or self.looking.looks_at(known == Status.CORRECT)
        ]  # fmt: skip
        if absent := {key[0] for key in (*ungraded, *unseen) if key[:2] not in texts}:
            texts = {**texts, **self._stored(absent)}
        problems = {key: self.plan.problems[place] for key, place in wanted.items()}
        if ungraded:
            self._grade({key: (texts[key[:2]], problems[key].reference) for key in ungraded})
        self.looking.look(
            {
                key: Chain(texts[key[:2]] or "", problems[key].reference, problems[key].prompt)
                for key in unseen
                if self.looking.looks_at(self.status(key) == Status.CORRECT)
            }
        )

    def _stored(self, prompts: Collection[str]) -> dict[tuple[str, int], str | None]:
        """What the verifier is given of stored samples; None for an episode that failed."""
        wanted = [name for name in ("text", "finish_reason", "final") if name in self.samples.schema.names]
        table = self.samples.read(wanted, prompts)
        graded = pc.coalesce(*(table[name] for name in ("final", "text") if name in wanted))
        ended = pc.not_equal(table["finish_reason"], "failed")
        texts = pc.if_else(ended, graded, pa.scalar(None, graded.type)).to_pylist()
        return {(key[0], key[1]): text for key, text in zip(keys_of(table, 2), texts, strict=True)}

    def _grade(self, items: dict[Key, tuple[str | None, Any]]) -> None:
        """items: (completion, reference) by key."""
        given = {key: (text, reference) for key, (text, reference) in items.items() if text is not None}
        graded = dict(zip(given, self.plan.task.verifier.grade([*given.values()]), strict=True))
        rows: list[dict[str, Any]] = [
            {
                **dict(zip(self.verdicts.key, key, strict=True)),
                "status": str(verdict.status),
                "score": verdict.score,
                "extracted": verdict.extracted,
                "seconds": verdict.seconds,
            }
            for key, verdict in ((key, graded.get(key, FAILED)) for key in items)
        ]
        self.verdicts.append(rows)
        for key, row in zip(items, rows, strict=True):
            self.known[key[0]][key] = row["status"]
