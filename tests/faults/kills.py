"""SIGKILL at any moment, and the same command again: in the end everything is as if nothing had happened."""

from __future__ import annotations

import random
import shutil
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from forked import Forked

from faults.evidence import differences, evidence, left_behind, litter
from faults.outcome import Outcome
from faults.programs import KINDS, PATIENCE, Kind, prepare, start

# Of one program, before it is let run to its end.
MOST_KILLS = 3
ENDS_WELL = 0


class Whole:
    """Programs that nothing stops, run when they are first asked for: their directories, and how long they
    took."""

    def __init__(self, directory: Path):
        self.directory = directory
        self.seconds: dict[str, float] = {}

    def __call__(self, kind: Kind) -> Path:
        place = self.directory / kind.name
        if kind.name not in self.seconds:
            Forked(("-m", "calendar")).wait(PATIENCE)  # the first start imports what all others share
            prepare(kind, place, self)
            began = time.monotonic()
            process = start(kind, place)
            if process.wait(PATIENCE) != ENDS_WELL:
                raise RuntimeError(f"{kind.name} fails without any fault:\n{process.written()[1][-2000:]}")
            self.seconds[kind.name] = time.monotonic() - began
        return place


def campaign(kills: int, seed: int, directory: Path, only: Sequence[str] = ()) -> Outcome:
    """So many kills, over as many programs as it takes. only: kinds; by default all, some now and then."""
    outcome, whole = Outcome("kills"), Whole(directory / "whole")
    counted: Counter[str] = Counter()
    while outcome.faults < kills:
        number = seed + outcome.tries
        kind = chosen(number, only)
        failures, done = one_try(kind, number, directory / f"try-{number}", whole)
        outcome.tries += 1
        outcome.faults += done
        counted[kind.name] += done
        outcome.failures += [f"seed {number} ({kind.name}): {failure}" for failure in failures]
        print(f"  kills: {outcome.faults} of {kills}, {len(outcome.failures)} failures", flush=True)
    outcome.notes.append(", ".join(f"{n} of {name}" for name, n in sorted(counted.items())))
    return outcome


def chosen(number: int, only: Sequence[str]) -> Kind:
    """The kind of a try, by its number."""
    kinds = [KINDS[name] for name in only] or list(KINDS.values())
    rare = [kind for kind in kinds if number % kind.rare == kind.rare - 1 and kind.rare > 1]
    common = [kind for kind in kinds if kind.rare == 1]
    return rare[-1] if rare else (common or kinds)[number % len(common or kinds)]


def one_try(kind: Kind, number: int, place: Path, whole: Whole) -> tuple[list[str], int]:
    """What went wrong, and how many kills there were. The directory stays where something did."""
    expected = evidence(whole(kind))
    prepare(kind, place, whole)
    chance, done = random.Random(number), 0
    for _ in range(chance.randint(1, MOST_KILLS)):
        process = start(kind, place)
        began = time.monotonic()
        moment = began + chance.uniform(0, 1.0 if done == 0 else 0.6) * whole.seconds[kind.name]
        while process.poll() is None and time.monotonic() < moment:
            time.sleep(0.005)
        if process.poll() is not None:
            if process.returncode != ENDS_WELL:
                return [f"ended with {process.returncode}: {process.written()[1][-1500:]}"], done
            if not done:  # the machine has become faster
                whole.seconds[kind.name] = min(whole.seconds[kind.name], time.monotonic() - began)
            break
        process.kill()
        process.wait()
        done += 1
        if kind.name == "study":  # its runs save and end
            left, seconds = left_behind(str(place))
            if left:
                return [f"{len(left)} processes after {seconds:.0f} s"], done
    process = start(kind, place)
    if process.wait(PATIENCE) != ENDS_WELL:
        return [f"ended with {process.returncode}: {process.written()[1][-1500:]}"], done
    failures = differences(expected, evidence(place))
    failures += [f"left {path}" for path in litter(place)]
    left, _ = left_behind(str(place))
    failures += [f"left process {one}" for one in left]
    if not failures:
        shutil.rmtree(place)
    return failures, done
