"""Looking at the reasoning of stored samples: what the task's checker says of each, kept beside them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import pyarrow as pa

from evals.records.store import SampleSet
from rlvr.graders.soundness import Chain
from rlvr.tasks import Task

# Of a verdict, and of what a checker says: prompt, index, reference, digest.
Key = tuple[str, int, str, str]


class Looking:
    """What one checker says of the samples of one set. It does nothing for a task without a checker."""

    def __init__(self, task: Task, samples: SampleSet):
        self.task = task
        self.table = samples.soundness(task.soundness) if task.soundness else None
        self._known: set[Key] = set()

    def begin(self, prompts: Collection[str]) -> None:
        """Reads what is stored of these prompts, beside what is known already."""
        self._known |= {*self._stored(prompts)}

    def lacks(self, keys: Collection[Key]) -> list[Key]:
        """Those of the samples that the checker has not seen."""
        return [] if self.table is None else [key for key in keys if key not in self._known]

    def looks_at(self, right: bool) -> bool:
        """Whether the checker looks at a sample whose answer is right, or is not."""
        return right or not getattr(self.task.checker, "of_right_answers", False)

    def look(self, items: Mapping[Key, Chain]) -> None:
        """Checks and stores. Raises CheckerError, EndpointError."""
        if self.table is None or not items:
            return
        found = self.task.sound([*items.values()])
        names = self.table.key
        rows = [
            {**dict(zip(names, key, strict=True)), "sound": sound}
            for key, sound in zip(items, found, strict=True)
        ]
        self.table.append(rows)
        self._known |= items.keys()

    def column(self, keys: Sequence[Key], right: Sequence[bool]) -> pa.Array:
        """`sound` of each sample, null where the checker could not decide, does not look, or there is none.

        Raises LookupError for a sample that it has not seen.
        """
        if self.table is None:
            return pa.nulls(len(keys), pa.bool_())
        stored = self._stored({key[0] for key in keys})
        looked = [key for key, is_right in zip(keys, right, strict=True) if self.looks_at(is_right)]
        if missing := [key for key in looked if key not in stored]:
            raise LookupError(f"sample {missing[0][1]} of prompt {missing[0][0]} is not checked")
        return pa.array([stored.get(key) for key in keys], pa.bool_())

    def _stored(self, prompts: Collection[str]) -> dict[Key, bool | None]:
        if self.table is None:
            return {}
        table = self.table.read(["sound"], prompts)
        columns = [table[name].to_pylist() for name in (*self.table.key, "sound")]
        return {(p, i, r, d): sound for p, i, r, d, sound in zip(*columns, strict=True)}
