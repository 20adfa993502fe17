"""python -m evals passk FILE [base=FILE] [k=256] [answer_space=M] [out=FILE.json]

Every number that stored counts or samples give, without a model. FILE: one row a problem with problem, n,
correct and, where sampling stopped at the r-th success, stop_r, as .jsonl or .parquet; or one row a sample,
as <task>.samples.parquet, which also gives majority votes, variety, and the shares of samples that were cut,
unparsed, timed out or the same.

With base= the gap at K = k, the crossover, and who solved what; files that were measured under different
conditions are refused. Of episodes also pass@(k, T), solved within T turns, and what equal numbers of sampled
tokens give at every T. pass@k is null, shown as -, where k is above n. answer_space=M: pass@k above what
guessing among M answers would reach. out gets all of it as JSON. Samples of which most have no verdict are
named first, with the cause where it can be proved; strict=true makes that an error, exit status 3.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field
from rich.console import Console
from rich.table import Table

from evals.commands.frame import InFile, OutFile, command
from evals.records.judge_checks import remark
from evals.records.reading import MeasurementFile, read_comparable, read_stored
from evals.reports.summary import comparison, summary
from evals.reports.tables import interval, points, rough, table
from evals.reports.unread import warn_of
from rlvr.config.schema import Positive, Section
from rlvr.core.progress import plain_console
from rlvr.core.run_dir import write_json
from rlvr.tasks.unread import UnreadError

# A guess rate below this leaves pass@k as it is, to the eye.
WORTH_SHOWING = 0.01

Summaries = Mapping[str, dict[str, Any]]


class PassK(Section):
    """What one command recomputes."""

    file: InFile
    base: InFile | None = None
    k: Positive = 256
    answer_space: Annotated[int, Field(ge=2)] | None = None
    out: OutFile | None = None
    strict: bool = False


@command(PassK, positional="file")
def main(settings: PassK) -> int:
    """3 where most samples have no verdict, if strict. Raises FileError, or ConditionsError for files that
    cannot be compared."""
    base, policy = _read(settings)
    unread = warn_of([settings.base, settings.file])
    k, space = settings.k, settings.answer_space
    result = {"measured": summary(policy, k, space), "base": None, "comparison": None}
    if base is not None:
        result |= {"base": summary(base, k, space), "comparison": comparison(base, policy, k)}
        if base.measured.conditions is None or policy.measured.conditions is None:
            print(
                "note: not both files say how they were measured; only their problems agree", file=sys.stderr
            )
    _show(policy.name, result, plain_console())
    if settings.out is not None:
        write_json(settings.out, result)
    return UnreadError.status if unread and settings.strict else 0


def _read(settings: PassK) -> tuple[MeasurementFile | None, MeasurementFile]:
    if settings.base is None:
        return None, read_stored(settings.file)
    return read_comparable(settings.base, settings.file)


def _show(name: str, result: Mapping[str, Any], console: Console) -> None:
    sides: Summaries = {name: result["measured"]}
    if result["base"] is not None:
        sides = {"base": result["base"], "policy": result["measured"]}
    for side, made in sides.items():
        stop = f", to success {made['stop_r']}" if made["stop_r"] else ""
        n = f"{made['n']}" if made["n"] == made["most_n"] else f"{made['n']} to {made['most_n']}"
        console.print(_curves(f"{side}: {made['problems']} problems, n = {n}{stop}", made))
        if made["turns"] is not None:
            console.print(_turns(side, made["turns"]), _equal_tokens(side, made["turns"]))
    for shown in (_saturation(sides), _reliability(sides), _answers(sides), _sound(sides)):
        if shown.row_count:
            console.print(shown)
    if result["comparison"] is not None:
        console.print(_comparison(result["comparison"]))
    console.print(
        "[a, b]: 95 % intervals. New problems: for others such as these; these problems: for just these, "
        "with unlimited samples. Shares are points of 100.\nIntervals hold for each k by itself. pass@2K: by "
        "Good and Toulmin's series, without a model of success rates."
    )
    if few := rough(min(made["problems"] for made in sides.values())):
        console.print(few)


def _curves(title: str, made: Mapping[str, Any]) -> Table:
    """One row a k; a column for what was estimated at any k."""
    answers = made["answers"] or {}
    columns = {
        "pass@k": made["pass_at_k"],
        "above uniform\nguessing": made["pass_at_k_above_uniform_guessing"],
        "above\nguessing": answers.get("pass_at_k_above_guessing"),
        "pass^k": made["all_correct_at_k"],
        "maj@k": answers.get("majority_at_k"),
        "sound\n@k": (made["sound"] or {}).get("pass_at_k"),
    }
    # Where no guess is ever right there is nothing above guessing to show.
    if (answers.get("guess_rate") or 0.0) < WORTH_SHOWING:
        columns.pop("above\nguessing")
    shown = {head: values for head, values in columns.items() if values is not None}
    intervals, unique = made["pass_at_k_intervals"], answers.get("unique_at_k")
    heads = [name.replace("_", "\n") for name in intervals]
    made_table = table(title, "k", *shown, *heads, *(["unique\nanswers"] if unique else []))
    for i, k in enumerate(made["ks"]):
        cells = [points(values[i]) for values in shown.values()]
        cells += [interval(*(values[i] or (None, None))) for values in intervals.values()]
        cells += ["-" if unique[i] is None else f"{unique[i]:.1f}"] if unique else []
        made_table.add_row(str(k), *cells)
    return made_table


def _turns(side: str, made: Mapping[str, Any]) -> Table:
    """One row for each number of turns."""
    k = made["k"]
    heads = ("pass@1", "new\nproblems", f"pass@{k}", "new\nproblems", "tokens\na try")
    shown = table(f"{side}: solved within T turns", "T", *heads)
    for turns, one, several, tokens in zip(
        made["turns"], made["pass_at_1"], made["pass_at_k"], made["tokens"], strict=True
    ):
        cells = []
        for estimate in (one, several):
            cells += [points(estimate["value"]), _ends(estimate["intervals"]["new_problems"])]
        shown.add_row(str(turns), *cells, f"{tokens:.1f}")
    return shown


def _equal_tokens(side: str, made: Mapping[str, Any]) -> Table:
    """What as many tries of T turns solve as have together the tokens of k tries of one."""
    title = f"{side}: in {made['budget']:.0f} sampled tokens a problem"
    shown = table(title, "T", "tries", "solved", "new\nproblems")
    for turns, bought in zip(made["turns"], made["equal_tokens"], strict=True):
        cells = ["-", "-", ""]
        if bought is not None:
            cells = [f"{bought['tries']:.1f}", points(bought["value"]), _ends(bought["interval"])]
        shown.add_row(str(turns), *cells)
    return shown


def _reliability(sides: Summaries) -> Table:
    """Empty where sampling was stopped on all sides."""
    shown = table("Reliability", "", *sides)
    fixed = [made for made in sides.values() if made["accuracy_histogram"] is not None]
    if not fixed:
        return shown
    for name in fixed[0]["accuracy_histogram"]:
        counts = [(made["accuracy_histogram"] or {}).get(name) for made in sides.values()]
        shown.add_row(f"problems of accuracy {name}", *("-" if c is None else str(c) for c in counts))
    shown.add_section()
    for tau in fixed[0]["cover"]:
        shown.add_row(f"Cover@{tau}", *(points((made["cover"] or {}).get(tau)) for made in sides.values()))
    g_pass = next((made["g_pass"] for made in fixed if made["g_pass"]), None)
    if g_pass:
        shown.add_section()
        values = [made["g_pass"] or {"at_tau": {}, "mean": None} for made in sides.values()]
        for tau in g_pass["at_tau"]:
            shown.add_row(f"G-Pass@{g_pass['k']}, tau {tau}", *(points(v["at_tau"].get(tau)) for v in values))
        shown.add_row(f"mG-Pass@{g_pass['k']}", *(points(v["mean"]) for v in values))
    return shown


def _answers(sides: Summaries) -> Table:
    """Empty where there are counts alone."""
    shown = table("Samples", "", *sides)
    answers = [made["answers"] or {} for made in sides.values()]
    if any(answers):
        for name in ("truncated", "unparsed", "timed_out", "duplicates", "guess_rate"):
            shown.add_row(name.replace("_", " "), *(points(row.get(name)) for row in answers))
        entropies = [row.get("answer_entropy") for row in answers]
        shown.add_row("answer entropy, nats", *("-" if e is None else f"{e:.2f}" for e in entropies))
    return shown


def _sound(sides: Summaries) -> Table:
    """Empty where nobody looked at the reasoning."""
    found = [made["sound"] for made in sides.values()]
    checkers = ", ".join(dict.fromkeys(one["checker"] for one in found if one))
    shown = table(f"Reasoning, by {checkers}", "", *sides)
    if not checkers:
        return shown
    shown.caption = remark(one["checker"] for one in found if one).strip() or None
    blank = dict.fromkeys(("unsound", "undecided", "only_unsound"))
    rows = [one or blank for one in found]
    shown.add_row("right answers with a wrong step", *(points(row["unsound"]) for row in rows))
    ends = [_ends((one or {}).get("unsound_interval") or (None, None)) for one in found]
    shown.add_row("", *ends)
    shown.add_row("right answers undecided", *(points(row["undecided"]) for row in rows))
    wrong = ("-" if row["only_unsound"] is None else str(row["only_unsound"]) for row in rows)
    shown.add_row("problems right for a wrong reason", *wrong)
    return shown


def _ends(pair: Sequence[float | None], sign: str = "") -> str:
    """An interval as JSON has it."""
    low, high = pair
    return interval(low, high, sign)


def _crossover(found: Mapping[str, Any]) -> tuple[str, str]:
    """The value and its interval, beyond k_max none; how many resamples of the problems have none."""
    ends = ["none" if found[name] is None else f"{found[name]:.1f}" for name in ("k", "low", "high")]
    without = f"\nnone in {found['share_without']:.0%}" if found["share_without"] else ""
    return ends[0] if found["k"] else f"none up to {found['k_max']}", f"[{ends[1]}, {ends[2]}]{without}"


def _number(found: Mapping[str, Any]) -> str:
    low, high = found["interval"]
    return f"{found['projected']:.1f}\n[{low:.1f}, {high:.1f}]"


def _saturation(sides: Summaries) -> Table:
    """Empty where there is no last doubling."""
    shown = table("Does pass@k still rise?", "", *sides)
    found = [made["saturation"] for made in sides.values()]
    if None in found:
        return shown
    verdicts = {True: "saturated", False: "still rising", None: "cannot be told"}
    rows: dict[str, list[str]] = {
        "pass@K - pass@(K/2)": [points(s["last_gain"]["value"], "+") for s in found],
        "": [_ends(s["last_gain"]["intervals"]["new_problems"], "+") for s in found],
        f"below {points(found[0]['threshold'])} points?": [verdicts[s["saturated"]] for s in found],
        "unsolved": [points(s["unsolved"]) for s in found],
        "next: pass@2K - pass@K": [points(s["next_gain"]["projected"], "+") for s in found],
        " ": [_ends(s["next_gain"]["interval"], "+") for s in found],
        "pass@2K": [points(s["pass_at_2k"]["projected"]) for s in found],
        "  ": [_ends(s["pass_at_2k"]["interval"]) for s in found],
        "unsolved that K more\nwould solve": [_number(s["solvable"]) for s in found],
        "samples per problem\nto decide the next": [str(s["samples_to_decide"] or "-") for s in found],
    }
    for name, cells in rows.items():
        shown.add_row(name, *cells)
    return shown


def _comparison(found: Mapping[str, Any]) -> Table:
    k, common = found["gap_k"], found["common_k"]
    heads = [name.replace("_", " ") for name in found["pass_at_1_change"]["intervals"]]
    shown = table("The policy against the base", "", "", *heads)
    rows = {f"gap at {k}": ("gap", ""), "pass@1, change": ("pass_at_1_change", "+"),
            f"pass@{common}, change": ("pass_at_common_k_change", "+")}  # fmt: skip
    for label, (name, sign) in rows.items():
        estimate = found[name] or {"value": None, "intervals": {}}
        ends = [_ends(pair, sign) for pair in estimate["intervals"].values()]
        shown.add_row(label, points(estimate["value"], sign), *ends)
    closed = _ends(found["closed_fraction_interval"] or (None, None))
    shown.add_row("closed, % of the gap", points(found["closed_fraction"]), closed)
    shown.add_row("crossover k", *_crossover(found["crossover"]))
    if (sound := found["sound"]) is not None:
        for label, name, sign in (
            (f"sound gap at {k}", "gap", ""),
            ("sound pass@1, change", "pass_at_1_change", "+"),
            (f"sound pass@{common}, change", "pass_at_common_k_change", "+"),
        ):
            estimate = sound[name] or {"value": None, "intervals": {}}
            ends = [_ends(pair, sign) for pair in estimate["intervals"].values()]
            shown.add_row(label, points(estimate["value"], sign), *ends)
        if (own := sound["ledger"]) is not None:
            shown.add_row("sound gained / lost", f"{own['gained']} / {own['lost']}")
    ledger, support = found["ledger"], found["support"]
    if ledger is not None:
        shown.add_row("gained / lost", f"{ledger['gained']} / {ledger['lost']}")
        shown.add_row("both / neither", f"{ledger['both']} / {ledger['neither']}")
        shown.add_row("McNemar's p", f"{found['mcnemar_p']:.3g}")
        for name, value in support.items():
            shown.add_row(name.upper(), points(value))
    else:
        expected = found["expected_ledger"]
        shown.add_row(
            f"expected gained / lost at {common}", f"{expected['gained']:.1f} / {expected['lost']:.1f}"
        )
    return shown
