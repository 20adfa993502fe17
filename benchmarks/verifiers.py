"""How right and how fast are the graders? One row for each goal, with what was measured.

    python benchmarks/verifiers.py [--rounds 3] [--before REV] [--oracle FILE] [--cases DIR] [--forged 1]

Real data are read from $RLVR_DATA, and files of cases from DIR (by default `cases` beside it); rows that lack
them say so. --before: the graders of a git revision on the same pairs, in turn. --oracle: JSON lines with
template, completion, reference, units and whether the study's published code said `correct`. --forged: every
n-th forged answer only. Times beside math-verify are of plain `parse` and `verify`, its timeouts off, in this
process.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import programs
import verifiers_before
import verifiers_right
import verifiers_speed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3, help="times that what is timed is done")
    parser.add_argument("--before", help="a git revision whose graders are timed beside these")
    parser.add_argument("--oracle", type=Path, help="verdicts of the study's published code")
    parser.add_argument("--cases", type=Path, help="a directory of case files")
    parser.add_argument("--forged", type=int, default=1, help="take every n-th forged answer")
    options = parser.parse_args()
    logging.getLogger("math_verify").setLevel(logging.ERROR)
    print("--- right or wrong")
    verifiers_right.of_real_data()
    verifiers_right.of_case_files(options.cases)
    verifiers_right.of_corpora()
    verifiers_right.of_near_misses()
    verifiers_right.of_the_study(options.oracle)
    verifiers_right.of_forgeries(options.forged)
    print("--- time")
    verifiers_speed.beside_math_verify(options.rounds)
    verifiers_speed.of_hostile_answers()
    verifiers_before.report(options.before, options.rounds)
    programs.report(options.rounds)


if __name__ == "__main__":
    main()
