"""The rollouts of the last steps on disk: rollouts/step_000012-rank0.parquet in the run directory.

One row a completion that was trained on. The files are for people: nothing of a run depends on them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from rlvr.core.run_dir import step_folder
from rlvr.core.sealed import write_sealed

if TYPE_CHECKING:
    from rlvr.algorithms.batch import CreditedBatch
    from rlvr.rollouts.collect import Group, Scored

SCHEMA = pa.schema(
    [
        ("problem", pa.string()),
        ("position", pa.int64()),  # of the group in the stream of problems
        ("index", pa.int32()),  # in the group
        ("prompt", pa.large_string()),
        ("text", pa.large_string()),
        ("tokens", pa.int32()),
        ("logprobs", pa.large_list(pa.float32())),  # as sampled, one a token
        ("lengths", pa.large_list(pa.int32())),  # of each token in `text`; null where tokens share characters
        ("finish_reason", pa.string()),
        ("status", pa.string()),
        ("extracted", pa.string()),
        ("sound", pa.bool_()),
        ("reward", pa.float64()),
        ("components", pa.string()),  # JSON: the terms of the reward by name
        ("advantage", pa.float64()),  # the mean over the tokens that are trained on; null without any
        ("trained", pa.int32()),  # how many these are
        ("turns", pa.large_string()),  # of an episode: JSON, a list of objects with the fields of a `Turn`
    ]
)
_FILE = re.compile(r"step_([0-9]{6,})-rank[0-9]+\.parquet")


def kept_files(directory: Path) -> dict[int, list[Path]]:
    """The files of each step that was kept, the earliest step first."""
    found: dict[int, list[Path]] = {}
    for path in sorted(directory.glob("step_*.parquet")):
        if match := _FILE.fullmatch(path.name):
            found.setdefault(int(match[1]), []).append(path)
    return dict(sorted(found.items()))


class KeptRollouts:
    """Writes this process's share of each step, and removes what is older than the last `steps` of them."""

    def __init__(self, directory: Path, steps: int, rank: int, tokenizer: Any):
        self.directory, self.steps, self.rank = directory, steps, rank
        self.tokenizer = tokenizer
        self._pieces: dict[int, str] = {}

    def write(self, step: int, groups: Sequence[Group], batch: CreditedBatch) -> None:
        """groups: those of the batch, in its order."""
        if not self.steps:
            return
        counts = batch.mask.sum(1)
        means = (batch.advantages * batch.mask).sum(1) / counts.clamp(min=1)
        credited = zip(means.tolist(), counts.long().tolist(), strict=True)
        rows = []
        for group in groups:
            for index, scored in enumerate(group.scored):
                advantage, trained = next(credited)
                rows.append(
                    {"problem": group.problem.id, "position": group.position, "index": index,
                     "prompt": group.problem.prompt, **self._described(scored),
                     "advantage": advantage if trained else None, "trained": trained}
                )  # fmt: skip
        self.directory.mkdir(exist_ok=True)
        name = f"{step_folder(step)}-rank{self.rank}.parquet"
        write_sealed(self.directory / name, pa.Table.from_pylist(rows, SCHEMA))
        self._remove_others(step)

    def _remove_others(self, step: int) -> None:
        """What is too old, and what a part of the run that is trained again left of later steps."""
        for other, files in kept_files(self.directory).items():
            if not step - self.steps < other <= step:
                for file in files:
                    file.unlink(missing_ok=True)

    def _described(self, scored: Scored) -> dict[str, Any]:
        completion, verdict = scored.completion, scored.verdict
        turns = json.dumps([turn._asdict() for turn in completion.turns]) if completion.turns else None
        return {
            "text": completion.text,
            "tokens": len(completion.token_ids),
            "logprobs": completion.logprobs,
            "lengths": self._lengths(completion.token_ids, completion.text),
            "finish_reason": completion.finish_reason,
            "status": verdict.status,
            "extracted": verdict.extracted,
            "sound": verdict.sound,
            "reward": scored.reward,
            "components": json.dumps(dict(scored.components)),
            "turns": turns,
        }

    def _lengths(self, ids: Sequence[int], text: str) -> list[int] | None:
        """Characters of the text that each token stands for; None where they cannot be told apart, as where
        several tokens make a character."""
        for new in {*ids} - self._pieces.keys():
            self._pieces[new] = self.tokenizer.decode([new], skip_special_tokens=True)
        pieces = [self._pieces[one] for one in ids]
        if not "".join(pieces).startswith(text):
            return None
        ends = [min(end, len(text)) for end in accumulate(map(len, pieces))]
        return [end - start for start, end in zip([0, *ends], ends, strict=False)]
