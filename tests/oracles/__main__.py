"""make test-oracles: every formula against an independent implementation, every interval against simulation.

Prints what it finds and, from 1,000 replications on, writes the tables of docs/estimators.md. Arguments:
--replications N (1,000), --batches N (200 random batches an algorithm), --only formulas|coverage|family.
"""

from __future__ import annotations

import argparse
import sys

PARTS = ("formulas", "coverage", "family")
# With fewer replications tables are printed, and the document keeps its own.
WRITTEN = 1000


def main() -> None:
    """Exit status 1 where a formula differs."""
    parser = argparse.ArgumentParser(prog="make test-oracles", description=__doc__)
    parser.add_argument("--replications", type=int, default=1000)
    parser.add_argument("--batches", type=int, default=200)
    parser.add_argument("--only", choices=PARTS)
    settings = parser.parse_args()
    parts = [settings.only] if settings.only else PARTS
    if "formulas" in parts:
        from oracles.compare import compare_all

        worst = compare_all(settings.batches)
        if worst is None:
            sys.exit(1)
    if "coverage" in parts or "family" in parts:
        from oracles.tables import coverage_tables, family_table, put

        for name, made in (("coverage", coverage_tables), ("family", family_table)):
            if name in parts:
                text = made(settings.replications)
                print(text)
                if settings.replications >= WRITTEN:
                    put(name, text)


if __name__ == "__main__":
    main()
