"""python -m evals compare RUN_DIR... out=DIR

Holds runs side by side, algorithms times seeds, from their run directories alone: no model is loaded and
nothing is sampled. Writes DIR/index.html, which needs no other file, its figures beside it as .png, .pdf and
.svg, and its first table as study.csv, study.json and study.tex (booktabs). Runs that differ only in their
seeds are averaged; every other difference that affects the comparison is named at the top of the page.
Perplexities are shown where `python -m evals perplexity` wrote them to RUN_DIR/perplexity.

Exit status 2: wrong arguments, directories that hold no probed run, or runs with different K (probe.k).
"""

from __future__ import annotations

from pathlib import Path

from evals.commands.frame import OutSubdirectory, command
from evals.reports.compare import differences
from evals.reports.compare.arms import Study, make_study
from evals.reports.compare.flags import flags
from evals.reports.compare.loading import read_runs
from evals.reports.compare.page import GROUPS, render, study_rows
from evals.reports.compare.panels import Panel, write
from evals.reports.compare.table_files import write_table_files
from rlvr.config.errors import Mistake
from rlvr.config.schema import Section
from rlvr.core.progress import progress
from rlvr.core.run_dir import write_text

FIGURE_FILES = (".png", ".pdf", ".svg")


class Comparing(Section):
    """What one command compares."""

    runs: tuple[Path, ...]
    out: OutSubdirectory


def mistakes(settings: Comparing) -> list[Mistake]:
    """What is wrong with the directories."""
    missing = [run for run in settings.runs if not run.is_dir()]
    found = [Mistake(str(run), None, "there is no such directory") for run in missing]
    if not settings.runs:
        found.append(Mistake("RUN_DIR", None, "give at least one run directory"))
    places = [run.resolve() for run in settings.runs]
    twice = dict.fromkeys(str(run) for run in settings.runs if places.count(run.resolve()) > 1)
    if twice:
        found.append(Mistake(" ".join(twice), None, "is one directory; give each run once"))
    if settings.out.resolve() in places:
        found.append(Mistake("out", str(settings.out), "is one of the runs; give another directory"))
    return found


@command(Comparing, mistakes, positional="runs")
def main(settings: Comparing) -> None:
    """Raises ConfigError for directories that hold no probed run."""
    study = make_study(read_runs(settings.runs))
    drawn = write_report(study, settings.out)
    runs, found = len(study.runs), len(flags(study))
    print(f"wrote {settings.out}/index.html and {drawn} figures of {runs} run{'s' if runs > 1 else ''}")
    print(told_apart(study))
    if found:
        print(f"{found} difference{'s' if found > 1 else ''} or gaps to know of: see the top of the page")


def told_apart(study: Study) -> str:
    """Which arms are apart, corrected for how many comparisons there are; empty where there is none."""
    pairs = differences.pairs(study)
    said, compared = differences.said_apart(pairs), len(differences.family(pairs))
    if not compared:
        return "one arm: nothing to tell apart"
    head = f"of {compared} comparisons {len(said) or 'none'} {'is' if len(said) == 1 else 'are'} apart"
    return "\n  ".join([f"{head}, corrected for their number{':' if said else ''}", *said])


def write_report(study: Study, out: Path) -> int:
    """Writes the page and its figures; returns how many figures there are."""
    out.mkdir(exist_ok=True)
    rows = {group.key: group.panels(study) for group in GROUPS}
    total = sum(len(row) for own in rows.values() for row in own)
    with progress("drawing", total) as display:

        def drawn(panel: Panel) -> str:
            display.advance(1)
            return write(panel, out)

        figures = {key: [[drawn(panel) for panel in row] for row in own] for key, own in rows.items()}
    write_text(out / "index.html", render(study, figures))
    write_table_files(study_rows(study), study.tasks, study.k, out)
    _remove_others(out, {panel.name for own in rows.values() for row in own for panel in row})
    return total


def _remove_others(out: Path, drawn: set[str]) -> None:
    """Figures of an earlier report in the same place, which the page does not show any more."""
    for group in GROUPS:
        for suffix in FIGURE_FILES:
            for path in out.glob(f"{group.key}-*{suffix}"):
                if path.stem not in drawn:
                    path.unlink()
