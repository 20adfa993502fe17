"""python -m tests.faults.damage [--tries 1000] [--seed 0] [--only TRY]

Random single damages to the files of a real tiny run: samples, verdicts, probe files, checkpoints, the cached
base, configuration and records. After each, the file is read as commands read it. The damage is

  named      a typed error or a warning names it, or the file is passed over or made again with a reason
  harmless   what is read equals what was written
  silent     something else is read, and nothing is said
  traceback  an error that is not for people

The last two are failures; each is printed with the try that repeats it alone (--only).
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the tests' own modules

from faults.harm import BYTES, LINES, Harm
from faults.subjects import Start, Subject, parts
from rlvr.core.errors import UserError

GOOD = ("named", "harmless")


@dataclass
class Damages:
    """What a campaign found. counts: by part and outcome."""

    tries: int = 0
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def total(self, outcome: str) -> int:
        return sum(count for (_, found), count in self.counts.items() if found == outcome)

    def __str__(self) -> str:
        outcomes = (*GOOD, "silent", "traceback")
        lines = [f"damage: {self.tries} tries, {len(self.failures)} failures, {self.seconds:.0f} s"]
        for part in dict.fromkeys(part for part, _ in self.counts):
            lines.append(f"  {part}: " + ", ".join(f"{self.counts[part, o]} {o}" for o in outcomes))
        lines.append("  in all: " + ", ".join(f"{self.total(o)} {o}" for o in outcomes))
        return "\n".join([*lines, *(f"  FAILED {failure}" for failure in self.failures)])


class Campaign:
    """Files to damage, below a directory. Each try leaves them as they were."""

    def __init__(self, directory: Path, parts: Sequence[Subject]):
        self.directory = directory
        self.parts = parts
        self.known: dict[tuple[str, Path | None], Any] = {}  # what is read of whole files
        self.found = Damages()

    def random_try(self, number: int, seed: int) -> None:
        """One damage, which these two numbers decide."""
        random = Random(f"{seed} {number}")
        part = random.choice(self.parts)
        file = random.choice(list(part.files))
        kinds = {**BYTES, **(LINES if part.texts else {})}
        kind = random.choice([*kinds])
        self.damage(part, file, kind, kinds[kind], random, f"try {number}")

    def damage(self, part: Subject, file: Path, kind: str, harm: Harm, random: Random, name: str) -> str:
        """Damages a file, reads it, and puts it back; the outcome."""
        about = part.name, None if part.whole else file
        if about not in self.known:
            self.known[about] = part.read(file)
        content = file.read_bytes()
        file.write_bytes(harm(content, random))
        try:
            outcome, said = self._outcome(part, file, self.known[about])
        finally:
            self._put_back(file, content)
        self.found.tries += 1
        self.found.counts[part.name, outcome] += 1
        if outcome not in GOOD:
            where = file.relative_to(self.directory)
            self.found.failures.append(f"{name}: {kind} in {where} ({part.name}): {outcome}: {said}")
        return outcome

    def _outcome(self, part: Subject, file: Path, before: Any) -> tuple[str, str]:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            try:
                after = part.read(file)
            except UserError as error:
                return "named", str(error)
            except Exception as error:
                return "traceback", f"{type(error).__name__}: {error}"
        if said or getattr(after, "passed_over", ()) or _passed_over(after):
            return "named", "; ".join(str(one.message) for one in said)
        return ("harmless", "") if after == before else ("silent", f"{before!r:.200} became {after!r:.200}")

    def _put_back(self, file: Path, content: bytes) -> None:
        for aside in (*file.parent.glob("*.torn*"), *self.directory.glob("cache/base.damaged*")):
            shutil.rmtree(aside) if aside.is_dir() else aside.unlink()
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)


def _passed_over(after: Any) -> bool:
    """Whether a checkpoint was passed over, which the run prints."""
    return isinstance(after, tuple) and any(getattr(one, "passed_over", ()) for one in after)


def campaign(
    tries: int, seed: int, directory: Path, only: int | None = None, start: Start | None = None
) -> Damages:
    """Random damages 0 .. tries-1, or one of them. directory: empty, or with a run to damage."""
    begun = time.monotonic()
    running = Campaign(directory, parts(directory, start))
    for number in range(tries) if only is None else [only]:
        running.random_try(number, seed)
    running.found.seconds = time.monotonic() - begun
    return running.found


def main() -> int:
    """Exit status: 1 where a damage was silent or a traceback."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tries", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="one try, by its number")
    parser.add_argument("--directory", type=Path, help="where the run lies; by default a temporary one")
    chosen = parser.parse_args()
    os.environ["RLVR_NO_PROGRESS"] = "1"
    with tempfile.TemporaryDirectory(prefix="damage-") as temporary:
        directory = (chosen.directory or Path(temporary)).resolve()
        directory.mkdir(parents=True, exist_ok=True)
        found = campaign(chosen.tries, chosen.seed, directory, chosen.only)
    print(found)
    return int(bool(found.failures))


if __name__ == "__main__":
    sys.exit(main())
