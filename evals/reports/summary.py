"""Every number that stored counts and samples give, as JSON values. Shares are fractions 0..1; None (null)
stands where a number cannot be estimated: k above n, or a fixed n where sampling stopped at a success."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np

from evals.estimators import answers as of_answers
from evals.estimators import reliability, solvability
from evals.estimators.counts import Counts
from evals.estimators.crossover import crossover
from evals.estimators.gap import (
    closed_fraction,
    closed_fraction_interval,
    gap,
    mean_pass_at_k,
    pass_at_k_difference,
)
from evals.estimators.intervals.means import Estimate
from evals.estimators.passk import ks_up_to
from evals.estimators.saturation import saturation
from evals.estimators.soundness import apart, undecided_share, unsound_share
from evals.estimators.turns import at_equal_tokens, mean_pass_at
from evals.records.reading import Answers, MeasurementFile, both_sound
from rlvr.graders import Status

# G-Pass@16 is what its paper reports.
G_PASS_K = 16
G_PASS_TAUS = (0.25, 0.5, 0.75, 1.0)
COVER_TAUS = (0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
# What intervals are for; see `evals.estimators.intervals.means.Estimate`.
INTERVALS = ("new_problems", "these_problems")


def summary(stored: MeasurementFile, k: int, answer_space: int | None = None) -> dict[str, Any]:
    """Of one measurement, at k = 1, 2, 4, ... and `k`. answer_space: of how many answers a guess chooses."""
    counts, fixed = stored.counts, stored.counts.stop_r is None
    ks = sorted({*ks_up_to(counts.largest_k), k})
    adjusted = None
    if answer_space is not None:
        rate = 1 / answer_space
        adjusted = _curve(counts, ks, lambda at: of_answers.chance_adjusted(counts.pass_at_k(at), rate, at))
    return {
        "problems": len(counts),
        "samples": counts.samples,
        "n": int(counts.n.min()) if fixed else counts.n_max,
        "most_n": int(counts.n.max()) if fixed else counts.n_max,
        "stop_r": counts.stop_r,
        "ks": ks,
        "pass_at_k": _curve(counts, ks, lambda at: float(counts.pass_at_k(at).mean())),
        "pass_at_k_intervals": _interval_curves(counts, ks),
        "pass_at_k_above_uniform_guessing": adjusted,
        "saturation": _saturation(counts),
        **_reliability(counts, ks),
        "sound": _sound(stored, ks),
        "turns": _turns(stored, min(k, counts.largest_k)),
        "answers": None if stored.answers is None else _answers(stored, ks),
    }


def comparison(base: MeasurementFile, policy: MeasurementFile, k: int) -> dict[str, Any]:
    """Of a policy with its base, at K = k; see `evals.records.reading.read_comparable`."""
    p, origins = policy.counts, (base.measured.origin, policy.measured.origin)
    # The same samples of the same model are one measurement, whose differences are 0 for certain.
    b = p if origins[0] is not None and origins[0] == origins[1] and base.counts == p else base.counts
    common = min(b.largest_k, p.largest_k)
    measured = k <= b.largest_k
    closed = None
    if measured:
        means = [float(counts.pass_at_k(at).mean()) for counts, at in ((b, 1), (b, k), (p, 1))]
        closed = closed_fraction(*means)
    return {
        "gap_k": k,
        "gap": _written(gap(b, p, k)) if measured else None,
        "pass_at_1_change": _written(pass_at_k_difference(b, p, 1)),
        "closed_fraction": closed,
        "closed_fraction_interval": closed_fraction_interval(b, p, k) if measured else None,
        "common_k": common,
        "pass_at_common_k_change": _written(pass_at_k_difference(b, p, common)),
        "crossover": crossover(b, p)._asdict(),
        **_solvability(b, p, common),
        "sound": _sound_comparison(base, policy, k),
    }


def _sound(stored: MeasurementFile, ks: list[int]) -> dict[str, Any] | None:
    """Of right answers without a wrong step; None where nobody looked at the reasoning."""
    sound = stored.sound
    if sound is None:
        return None
    unsound, undecided = unsound_share(sound), undecided_share(sound)
    return {
        "checker": stored.measured.soundness,
        "pass_at_k": _curve(sound.sound, ks, lambda at: float(sound.sound.pass_at_k(at).mean())),
        "pass_at_k_intervals": _interval_curves(sound.sound, ks),
        "unsound": unsound and unsound.value,
        "unsound_interval": unsound and list(unsound.interval),
        "undecided": undecided and undecided.value,
        "only_unsound": int(sound.only_unsound.sum()),
        "apart": apart(sound),
    }


def _sound_comparison(base: MeasurementFile, policy: MeasurementFile, k: int) -> dict[str, Any] | None:
    """The same comparison of sound answers; None where one checker did not look at both."""
    sides = both_sound(base, policy)
    if sides is None:
        return None
    b, p = (side.sound for side in sides)
    common = min(b.largest_k, p.largest_k)
    return {
        "gap": _written(gap(b, p, k)) if k <= b.largest_k else None,
        "pass_at_1_change": _written(pass_at_k_difference(b, p, 1)),
        "pass_at_common_k_change": _written(pass_at_k_difference(b, p, common)),
        **_solvability(b, p, common),
    }


def _turns(stored: MeasurementFile, k: int) -> dict[str, Any] | None:
    """pass@(k, T) by T, at one try and at k, and what the tokens of k tries of one turn buy; None where these
    are no episodes."""
    turns = stored.turns
    if turns is None:
        return None
    every = range(1, turns.turns + 1)
    budget = k * float(turns.tokens[0].mean())
    bought = at_equal_tokens(turns, budget)
    return {
        "k": k,
        "turns": [*every],
        "pass_at_1": [_written(mean_pass_at(turns, 1, t)) for t in every],
        "pass_at_k": [_written(mean_pass_at(turns, k, t)) for t in every],
        "tokens": turns.tokens.mean(axis=1).tolist(),
        "budget": budget,
        "equal_tokens": [
            b and {"tries": b.tries, "value": b.mean, "interval": list(b.interval)} for b in bought
        ],
    }


def _reliability(counts: Counts, ks: list[int]) -> dict[str, Any]:
    names = ("all_correct_at_k", "accuracy_histogram", "cover", "g_pass")
    if counts.stop_r is not None:
        return dict.fromkeys(names)
    g_pass = None
    if counts.largest_k >= G_PASS_K:
        at = {str(tau): float(reliability.g_pass(counts, G_PASS_K, tau).mean()) for tau in G_PASS_TAUS}
        mean = float(reliability.mean_g_pass(counts, G_PASS_K).mean())
        g_pass = {"k": G_PASS_K, "at_tau": at, "mean": mean}
    histogram = dict(zip(reliability.BINS, reliability.histogram(counts).tolist(), strict=True))
    cover = {str(tau): float(reliability.cover(counts, tau).mean()) for tau in COVER_TAUS}
    all_correct = _curve(counts, ks, lambda at: float(reliability.all_correct(counts, at).mean()))
    return dict(zip(names, (all_correct, histogram, cover, g_pass), strict=True))


def _answers(stored: MeasurementFile, ks: list[int]) -> dict[str, Any]:
    """Shares are of all samples; duplicates, entropy and the numbers at k are means over problems."""
    counts = stored.counts
    rows = [(stored.answers or {})[problem] for problem in stored.problems]
    status = [status for row in rows for status in row.status]
    cut = [reason == "length" for row in rows for reason in row.finish_reason]
    made: dict[str, Any] = {
        "truncated": float(np.mean(cut)),
        "unparsed": status.count(Status.UNPARSED) / len(status),
        "timed_out": status.count(Status.TIMED_OUT) / len(status),
        "duplicates": _mean(of_answers.duplicate_share(row.tokens) for row in rows),
    }
    names = ("majority_at_k", "unique_at_k", "answer_entropy", "guess_rate", "pass_at_k_above_guessing")
    if counts.stop_r is not None:
        return made | dict.fromkeys(names)
    ballots = [of_answers.votes(row.extracted, row.correct) for row in rows]
    rates = None
    if len(rows) > 1:
        rates = of_answers.pooled_guess_rates([row.extracted for row in rows], _right(stored, rows))

    def above_guessing(at: int) -> float | None:
        return None if rates is None else of_answers.chance_adjusted(counts.pass_at_k(at), rates, at)

    values = (
        _curve(counts, ks, lambda at: _mean(of_answers.majority_at_k(ballot, at) for ballot in ballots)),
        _curve(counts, ks, lambda at: _mean(of_answers.unique_at_k(row.extracted, at) for row in rows)),
        _mean(of_answers.answer_entropy(row.extracted) for row in rows),
        None if rates is None else float(rates.mean()),
        _curve(counts, ks, above_guessing),
    )
    return made | dict(zip(names, values, strict=True))


def _right(stored: MeasurementFile, rows: list[Answers]) -> list[set[str]]:
    """The answers of each problem that are known to be right: those judged so, and the reference."""
    known = []
    for problem, row in zip(stored.problems, rows, strict=True):
        right = {a for a, ok in zip(row.extracted, row.correct, strict=True) if ok and a is not None}
        reference = json.loads(stored.measured.references.get(problem, "null"))
        known.append(right | ({reference} if isinstance(reference, str) else set()))
    return known


def _solvability(base: Counts, policy: Counts, common: int) -> dict[str, Any]:
    expected = solvability.expected_ledger(base, policy, common)._asdict()
    made: dict[str, Any] = {"ledger": None, "mcnemar_p": None, "support": None, "expected_ledger": expected}
    if solvability.equal_draws(base, policy):
        found = solvability.ledger(base.correct, policy.correct)
        made["ledger"] = found._asdict()
        made["mcnemar_p"] = solvability.mcnemar(found.gained, found.lost)
        made["support"] = solvability.support(found)._asdict()
    return made


def _interval_curves(counts: Counts, ks: list[int]) -> dict[str, list[Any]]:
    """Of pass@k, by what an interval is for."""
    estimates = _curve(counts, ks, lambda at: mean_pass_at_k(counts, at))
    return {name: [None if e is None else list(getattr(e, name)) for e in estimates] for name in INTERVALS}


def _written(estimate: Estimate) -> dict[str, Any]:
    intervals = {name: list(getattr(estimate, name)) for name in INTERVALS}
    return {"value": estimate.value, "intervals": intervals}


def _saturation(counts: Counts) -> dict[str, Any] | None:
    """Is pass@k still rising at the largest k? None where one sample leaves no doubling."""
    if counts.largest_k < 2:
        return None
    found = saturation(counts)._asdict()
    found["last_gain"] = _written(found["last_gain"])
    for name in ("next_gain", "pass_at_2k", "solvable"):
        value, interval = found[name]
        found[name] = {"projected": value, "interval": list(interval)}
    return found


def _curve(counts: Counts, ks: list[int], value: Callable[[int], Any]) -> list[Any]:
    """The value at each k, None at those that no unbiased estimator reaches."""
    return [value(k) if k <= counts.largest_k else None for k in ks]


def _mean(values: Any) -> float:
    return float(np.mean(list(values)))
