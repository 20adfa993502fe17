"""Looking at the reasoning of stored samples: what the task's checker says of each, kept beside them."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from evals.records.store import SOUNDNESS, ByPrompt, SampleSet, keys_of
from rlvr.graders.soundness import Chain
from rlvr.tasks import Task

# Of a verdict, and of what a checker says: prompt, index, reference, digest.
Key = tuple[str, int, str, str]


class Looking:
    """What one checker says of the samples of one set. It does nothing for a task without a checker."""

    def __init__(self, task: Task, samples: SampleSet):
        self.task = task
        self.table = samples.soundness(task.soundness) if task.soundness else None
        self._stored = ByPrompt(SOUNDNESS.empty_table())
        self._known: dict[str, set[Key]] = {}  # by prompt, of those that are being worked at

    def begin(self, prompts: Collection[str]) -> None:
        """Reads what is stored of these prompts."""
        if self.table is not None:
            self._stored = ByPrompt(self.table.read(prompts=prompts))

    def open(self, prompt: str, anew: bool = False) -> None:
        """Work at a prompt begins. anew: other processes may have stored something since."""
        if self.table is not None:
            found = self.table.read(prompts={prompt}) if anew else self._stored.of(prompt)
            self._known[prompt] = {(p, i, r, d) for p, i, r, d in keys_of(found)}

    def close(self, prompt: str) -> None:
        """Work at a prompt has ended."""
        self._known.pop(prompt, None)

    def lacks(self, keys: Collection[Key]) -> list[Key]:
        """Those of the samples that the checker has not seen."""
        return [] if self.table is None else [key for key in keys if key not in self._known[key[0]]]

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
        for key in items:
            self._known[key[0]].add(key)
