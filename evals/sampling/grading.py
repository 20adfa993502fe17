"""What is said of stored samples: the verifier's verdicts, and what the checker says of the reasoning."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from evals.records.store import SampleSet, keys_of
from evals.sampling.looking import Key, Looking
from evals.sampling.plan import Plan
from rlvr.graders import Status
from rlvr.graders.soundness import Chain


class Grading:
    """Verdicts of one plan's samples, stored as they are made."""

    def __init__(self, plan: Plan, samples: SampleSet):
        self.plan = plan
        self.samples = samples
        self.verdicts = samples.verdicts(plan.task.grader)
        self.looking = Looking(plan.task, samples)
        self.known: dict[Key, str] = {}

    def begin(self, prompts: Collection[str]) -> None:
        """Reads what is stored of these prompts, beside what is known already."""
        table = self.verdicts.read(["status"], prompts)
        self.known |= dict(zip(keys_of(table), table["status"].to_pylist(), strict=True))
        self.looking.begin(prompts)

    def judge(self, wanted: Mapping[Key, int], texts: Mapping[tuple[str, int], str]) -> None:
        """Stores the missing verdicts, and what the checker says of the samples that it has not seen.

        wanted: the problems' places by key; texts: of samples that were just drawn. Raises CheckerError,
        EndpointError.
        """
        known = self.known
        ungraded = [key for key in wanted if key not in known]
        unseen = [
            key for key in self.looking.lacks(wanted)
            if key not in known or self.looking.looks_at(known[key] == Status.CORRECT)
        ]  # fmt: skip
        if absent := {key[0] for key in (*ungraded, *unseen) if key[:2] not in texts}:
            table = self.samples.read(["text"], absent)
            stored = zip(keys_of(table, 2), table["text"].to_pylist(), strict=True)
            texts = {**texts, **{(key[0], key[1]): str(text) for key, text in stored}}
        problems = {key: self.plan.problems[place] for key, place in wanted.items()}
        if ungraded:
            self._grade({key: (texts[key[:2]], problems[key].reference) for key in ungraded})
        self.looking.look(
            {
                key: Chain(texts[key[:2]], problems[key].reference, problems[key].prompt)
                for key in unseen
                if self.looking.looks_at(known[key] == Status.CORRECT)
            }
        )

    def _grade(self, items: dict[Key, tuple[str, Any]]) -> None:
        """items: (completion, reference) by key."""
        rows: list[dict[str, Any]] = [
            {
                **dict(zip(self.verdicts.key, key, strict=True)),
                "status": str(verdict.status),
                "score": verdict.score,
                "extracted": verdict.extracted,
                "seconds": verdict.seconds,
            }
            for key, verdict in zip(items, self.plan.task.verifier.grade([*items.values()]), strict=True)
        ]
        self.verdicts.append(rows)
        self.known.update({key: row["status"] for key, row in zip(items, rows, strict=True)})
