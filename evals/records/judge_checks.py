"""What is known of judges: how well each agreed with an exact checker, kept beside its replies."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from evals.estimators.agreement import Agreement
from evals.estimators.soundness import Share
from rlvr.core.run_dir import append_jsonl, read_jsonl
from rlvr.graders.soundness.judge import is_judge


@dataclass(frozen=True)
class JudgeCheck:
    """One check. judge, against: versions of the two. shares: [value, low, high], fractions 0..1."""

    judge: str
    against: str
    task: str
    samples: int
    unsound: int
    undecided: list[float] | None
    agreement: list[float] | None
    precision: list[float] | None
    recall: list[float] | None

    @classmethod
    def of(cls, judge: str, against: str, task: str, found: Agreement) -> JudgeCheck:
        """From the estimate."""
        shares = {
            name: _plain(getattr(found, name)) for name in ("undecided", "agreement", "precision", "recall")
        }
        return cls(judge, against, task, found.samples, found.unsound, **shares)


def keep(check: JudgeCheck) -> None:
    """Adds it to what is known."""
    file = _file()
    file.parent.mkdir(parents=True, exist_ok=True)
    append_jsonl(file, asdict(check))


def checks_of(judge: str) -> list[JudgeCheck]:
    """The last check of this version on each task; empty where it was never checked."""
    rows: list[dict[str, Any]] = read_jsonl(_file(), *JudgeCheck.__dataclass_fields__)
    known = JudgeCheck.__dataclass_fields__.keys()
    own = [
        JudgeCheck(**{k: v for k, v in row.items() if k in known}) for row in rows if row["judge"] == judge
    ]
    return list({(check.task, check.against): check for check in own}.values())


def remark(checkers: Iterable[str | None], between: str = "\n") -> str:
    """What has to stand beside the numbers of these checkers: how good a judge is, or that nobody knows.

    Each remark begins with `between`; empty where none of them is a judge.
    """
    lines = []
    for judge in dict.fromkeys(c for c in checkers if c is not None and is_judge(c)):
        found = checks_of(judge)
        lines += [described(check) for check in found]
        if not found:
            lines.append(f"! {judge} was never checked: how often it is wrong is not known. See judge-check.")
    return "".join(f"{between}{line}" for line in lines)


def described(check: JudgeCheck) -> str:
    """In one sentence, in points of 100."""
    shares = ", ".join(
        f"{name} {_points(getattr(check, name))}"
        for name in ("agreement", "precision", "recall", "undecided")
    )
    return (
        f"{check.judge} against {check.against} on {check.samples} right answers of {check.task}, "
        f"{check.unsound} of them unsound: {shares}"
    )


def _points(share: list[float] | None) -> str:
    return "-" if share is None else "{:.1f} [{:.1f}, {:.1f}]".format(*(100 * value for value in share))


def _plain(share: Share | None) -> list[float] | None:
    return None if share is None else [share.value, *share.interval]


def _file() -> Path:
    from rlvr.core.shards import store_root

    return store_root() / "judges" / "checks.jsonl"
