"""Who draws which problems, where several processes share them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any

import torch.distributed as dist

_measurements = count()


class Shares:
    """A rank's own share of a measurement's problems, and what the others have not begun when it is done.

    ranks: processes that measure together; each of them makes its Shares as the others do, in the same order.
    Without a process group that they meet in, every rank keeps to its own share.
    """

    def __init__(self, rank: int = 0, ranks: int = 1):
        self.rank, self.ranks = rank, ranks
        self.claims: Any = None
        if ranks > 1 and dist.is_initialized():
            # The group's own key-value store: its counters are the same for all ranks, on any node.
            self.claims = dist.PrefixStore(
                f"shares {next(_measurements)}", dist.distributed_c10d._get_default_store()
            )

    def of(self, problems: int, order: Sequence[float]) -> Iterator[int]:
        """This rank's problems by ascending order, then what is left of the others', from their ends."""
        for rank in (self.rank + i for i in range(self.ranks if self.claims else 1)):
            places = sorted(range(problems)[rank % self.ranks :: self.ranks], key=lambda i: order[i])
            for place in places if rank == self.rank else reversed(places):
                if self.claims is None or self.claims.add(str(place), 1) == 1:
                    yield place
