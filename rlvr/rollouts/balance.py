"""Which rank trains on which group, so that all have about the same number of tokens.

Ranks make the passes of an update in step, so each waits for the one with the most.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from accelerate import Accelerator
from torch import distributed

from rlvr.rollouts.collect import Group

# A gap between two ranks that is not worth a swap, as a share of a rank's tokens.
CLOSE = 0.01

Place = tuple[int, int]


def balanced(groups: Sequence[Group], accelerator: Accelerator) -> list[Group]:
    """As many groups, some of them other ranks'. Called on all ranks.

    A group that moves leaves behind what only the task knows of its problem: reference and columns.
    """
    if accelerator.num_processes == 1:
        return list(groups)
    tokens = _of_all([_tokens(group) for group in groups], accelerator)
    held, own = dealt(tokens), accelerator.process_index
    stays = set(held[own])
    leaving = {
        (own, at): replace(group, problem=replace(group.problem, reference=None, columns={}))
        for at, group in enumerate(groups)
        if (own, at) not in stays
    }
    moved = {place: group for part in _of_all(leaving, accelerator) for place, group in part.items()}
    return [groups[place[1]] if place[0] == own else moved[place] for place in held[own]]


def dealt(tokens: Sequence[Sequence[int]]) -> list[list[Place]]:
    """For each rank the places (rank, index) of the groups that it gets, as many as it had.

    tokens: of each rank's groups. The ranks with the most and the least swap the two groups that bring them
    closest, until they are close or no swap helps.
    """
    held = [[(rank, at) for at in range(len(own))] for rank, own in enumerate(tokens)]
    sizes = [np.array(own, dtype=np.int64) for own in tokens]
    while True:
        totals = np.array([own.sum() for own in sizes])
        most, least = int(totals.argmax()), int(totals.argmin())
        gap = totals[most] - totals[least]
        if gap <= CLOSE * totals.mean():
            return held
        left = abs(gap - 2 * (sizes[most][:, None] - sizes[least]))  # the gap after each swap
        if left.size == 0 or left.min() >= gap:
            return held
        i, j = (int(at) for at in np.unravel_index(left.argmin(), left.shape))
        held[most][i], held[least][j] = held[least][j], held[most][i]
        sizes[most][i], sizes[least][j] = sizes[least][j], sizes[most][i]


def _tokens(group: Group) -> int:
    """Tokens that an update computes."""
    return len(group.prompt_ids) + sum(max(len(s.completion.token_ids) - 1, 0) for s in group.scored)


def _of_all(own: Any, accelerator: Accelerator) -> list[Any]:
    """What every rank gives, in the order of ranks."""
    found: list[Any] = [None] * accelerator.num_processes
    distributed.all_gather_object(found, own)
    return found
