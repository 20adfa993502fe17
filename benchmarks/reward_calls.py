"""How long reward functions that wait for a server hold a step up.

    python benchmarks/reward_calls.py [--calls 512] [--seconds 0.1] [--concurrency 64]

Each call sleeps; printed is the wall time of all, over what so many at once need at least.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import time

from rlvr.config.schema import ExtraReward
from rlvr.graders import Status, Verdict
from rlvr.rollouts.reward_functions import RewardFunction, Row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--calls", type=int, default=512)
    parser.add_argument("--seconds", type=float, default=0.1)
    parser.add_argument("--concurrency", type=int, default=64)
    chosen = parser.parse_args()

    async def awaited(row: Row) -> float:
        await asyncio.sleep(chosen.seconds)
        return 1.0

    def blocking(row: Row) -> float:
        time.sleep(chosen.seconds)
        return 1.0

    verdict = Verdict(Status.CORRECT, 1.0)
    rows = [Row("p", "", "", 1, False, None, verdict, i) for i in range(chosen.calls)]
    least = math.ceil(chosen.calls / chosen.concurrency) * chosen.seconds
    for function in (awaited, blocking):
        entry = ExtraReward(reward="bench:f", takes="row", concurrency=chosen.concurrency, timeout=60)
        began = time.perf_counter()
        RewardFunction(function.__name__, function, entry).values(rows)
        seconds = time.perf_counter() - began
        print(
            f"{function.__name__}: {chosen.calls} calls in {seconds:.2f} s, {seconds / least:.2f} x the least"
        )


if __name__ == "__main__":
    main()
