"""Credit once more, from the papers: advantages and the critic's targets of a step, in Python's floats."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

Options = Mapping[str, Any]
Tokens = list[float]


@dataclass
class Row:
    """One completion. old: log-probs before the update, None where there is one update alone."""

    group: int
    mask: list[int]
    reward: float
    greedy: float
    correct: bool
    token_rewards: Tokens
    engine: Tokens
    now: Tokens
    old: Tokens | None
    ref: Tokens
    values: Tokens
    old_values: Tokens
    teacher: Tokens
    teacher_kl: Tokens
    kl_rewards: Tokens = field(default_factory=list)

    @property
    def trained(self) -> list[int]:
        return [t for t, m in enumerate(self.mask) if m]

    def before(self, t: int) -> float:
        """The log-prob before the update, a constant."""
        return self.now[t] if self.old is None else self.old[t]


def as_one_action(row: Row) -> float:
    """A completion's reward with the KL that is part of it."""
    return row.reward + sum(row.kl_rewards[t] for t in row.trained)


def likelihood(row: Row) -> float:
    """The engine's log-prob of the whole completion."""
    return sum(row.engine[t] for t in row.trained)


def by_sign(rows: list[Row], o: Options) -> tuple[list[Tokens], None]:
    """arXiv 2506.01347: lambda for a right completion, -1 for a wrong one."""
    return spread(rows, [o["positive"] if row.correct else -o["negative"] for row in rows]), None


def by_teacher(rows: list[Row], o: Options) -> tuple[list[Tokens], None]:
    """On-policy distillation by the tokens that were drawn: log teacher - log of who drew."""
    return [
        [(row.teacher[t] - row.engine[t]) * m * (o["over"] == "samples") for t, m in enumerate(row.mask)]
        for row in rows
    ], None


def spread(rows: list[Row], by_row: Sequence[float]) -> list[Tokens]:
    return [[by_row[i] * m for m in row.mask] for i, row in enumerate(rows)]


def of_group(rows: list[Row], row: Row, value: Any) -> list[float]:
    return [value(other) for other in rows if other.group == row.group]


def group_relative(rows: list[Row], o: Options) -> tuple[list[Tokens], None]:
    """GRPO, arXiv 2402.03300, 4.1.2; without the standard deviation Dr. GRPO, 2503.20783; with rewards of
    which the likelier completions get less, 2506.02355."""
    made = []
    for row in rows:

        def worth(one: Row) -> float:
            group = of_group(rows, one, likelihood)
            less = sum(1 for other in group if other < likelihood(one))
            return as_one_action(one) * (1 - o.get("unlikeliness", 0.0) * less / len(group))

        own = of_group(rows, row, worth)
        mean = sum(own) / len(own)
        advantage = worth(row) - mean
        if o.get("scale_by_std", True):
            squares = sum((r - mean) ** 2 for r in own)
            ddof = o["std_ddof"]
            deviation = math.sqrt(squares / (len(own) - ddof)) if len(own) > ddof else 0.0
            advantage = 0.0 if min(own) == max(own) else advantage / (deviation + o["eps"])
        made.append(advantage)
    return spread(rows, made), None


def pass_at_k(rows: list[Row], o: Options) -> tuple[list[Tokens], None]:
    """arXiv 2508.10751, 2.4, by listing the subsets of k: the mean over those with the completion of
    (whether one of them is right - the mean of that over all subsets) / its standard deviation."""
    made = []
    for i, row in enumerate(rows):
        own = [j for j, other in enumerate(rows) if other.group == row.group]
        passes = {s: float(any(rows[j].correct for j in s)) for s in combinations(own, o["k"])}
        mean = sum(passes.values()) / len(passes)
        deviation = math.sqrt(mean * (1 - mean))
        mine = [won for s, won in passes.items() if i in s]
        made.append((sum(mine) / len(mine) - mean) / deviation if deviation else 0.0)
    return spread(rows, made), None


def others_mean(rows: list[Row], row: Row, value: Any) -> float | None:
    """Of the rest of the group; None in a group of one."""
    rest = [value(other) for other in rows if other.group == row.group and other is not row]
    return sum(rest) / len(rest) if rest else None


def leave_one_out(rows: list[Row], o: Options) -> tuple[list[Tokens], None]:
    """RLOO, arXiv 2402.14740, eq. 8; by step also the returns from each token on, likewise."""
    by_step = o["credit"] == "steps"
    given = {id(row): sum(row.token_rewards[t] for t in row.trained) if by_step else 0.0 for row in rows}
    to_go = {id(row): discounted(row, row.token_rewards, o["gamma"]) for row in rows}

    def whole(row: Row) -> float:
        return as_one_action(row) - given[id(row)]

    made = []
    for row in rows:
        base = others_mean(rows, row, whole)
        advantages = [0.0] * len(row.mask)
        for t in row.trained:
            advantages[t] = 0.0 if base is None else whole(row) - base
            if by_step and base is not None:
                rest = others_mean(
                    rows, row, lambda other, t=t: dict(enumerate(to_go[id(other)])).get(t, 0.0)
                )
                advantages[t] += to_go[id(row)][t] - (rest or 0.0)
        made.append(advantages)
    return made, None


def greedy_baseline(rows: list[Row], o: Options) -> tuple[list[Tokens], None]:
    """ReMax, arXiv 2310.10505, algorithm 2; each token pays its own KL."""
    return [
        [(row.reward - row.greedy + row.kl_rewards[t]) * m for t, m in enumerate(row.mask)] for row in rows
    ], None


def reinforce_pp(rows: list[Row], o: Options) -> tuple[list[Tokens], None]:
    """arXiv 2501.03262: eq. 4, or with a baseline eq. 6."""
    if o["baseline"]:
        means = [of_group(rows, row, as_one_action) for row in rows]
        centred = [as_one_action(row) - sum(own) / len(own) for row, own in zip(rows, means, strict=True)]
        return spread(rows, centred), None
    made = []
    for row in rows:
        at = token_rewards(row, o["credit"] == "steps")
        made.append(discounted(row, at, o["gamma"]))
    return made, None


def generalised(rows: list[Row], o: Options) -> tuple[list[Tokens], list[Tokens]]:
    """GAE, arXiv 1506.02438, eq. 16, as the double sum of its definition, over the trained tokens."""
    advantages, returns = [], []
    for row in rows:
        at, places = token_rewards(row, o["credit"] == "steps"), row.trained
        own, targets = [0.0] * len(row.mask), [0.0] * len(row.mask)
        delta = []
        for j, t in enumerate(places):
            after = row.old_values[places[j + 1]] if j + 1 < len(places) else 0.0
            delta.append(at[t] + o["gamma"] * after - row.old_values[t])
        for j, t in enumerate(places):
            own[t] = sum((o["gamma"] * o["lam"]) ** (i - j) * delta[i] for i in range(j, len(places)))
            targets[t] = own[t] + row.old_values[t]
        advantages.append(own)
        returns.append(targets)
    return advantages, returns


def token_rewards(row: Row, by_step: bool) -> Tokens:
    """A reward at each trained token: the completion's at the last one, with what is not given elsewhere."""
    at = [0.0] * len(row.mask)
    given = sum(row.token_rewards[t] for t in row.trained) if by_step else 0.0
    for t in row.trained:
        at[t] = row.kl_rewards[t] + (row.token_rewards[t] if by_step else 0.0)
    if row.trained:
        at[row.trained[-1]] += row.reward - given
    return at


def discounted(row: Row, at: Tokens, gamma: float) -> Tokens:
    """The sum of this and all later rewards of trained tokens, each discounted by its distance in these."""
    made, places = [0.0] * len(row.mask), row.trained
    for j, t in enumerate(places):
        made[t] = sum(gamma ** (i - j) * at[places[i]] for i in range(j, len(places)))
    return made


CREDIT: dict[str, Any] = {
    "grpo": group_relative,
    "dapo": group_relative,
    "gspo": group_relative,
    "cispo": group_relative,
    "w_reinforce": by_sign,
    "opd": by_teacher,
    "passk": pass_at_k,
    "rloo": leave_one_out,
    "remax": greedy_baseline,
    "reinforce_pp": reinforce_pp,
    "ppo": generalised,
}
