"""Metrics, progress and alarms: metrics.jsonl, the progress bar, alarms, the wandb mirror."""

from __future__ import annotations

import math
import sys
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import RenderableType
from rich.text import Text

from rlvr.config.schema import Config, MonitorConfig
from rlvr.core.errors import UserError
from rlvr.core.progress import plain_console, progress
from rlvr.core.run_dir import RunDir, append_jsonl, read_jsonl
from rlvr.graders import Status
from rlvr.hooks import HookReport
from rlvr.tasks import Task
from rlvr.tasks.unread import NO_VERDICT, Graded, UnreadError, is_unread, warning
from rlvr.tracking.wandb_thread import WandbThread

if TYPE_CHECKING:
    from rlvr.rollouts.collect import Collected

# Steps over which skipped updates are counted.
RECENT = 20
# What is said once of completions without a verdict, in the place of the warning of their share.
UNREAD = "rollout/unparsed"


class AlarmError(UserError):
    """A measurement passed its threshold and the run must not go on; the message explains."""


class Monitor:
    """One per process; only the main process writes.

    active: whether this is the main process.
    """

    def __init__(self, config: Config, run_dir: RunDir, active: bool = True):
        self.config = config
        self.run_dir = run_dir
        self.active = active
        self.console = plain_console(file=sys.stderr, quiet=not active, soft_wrap=False)
        self._wandb = WandbThread(config, run_dir) if active else None
        self._skipped = 0  # steps in a row
        self._recent: deque[bool] = deque(maxlen=RECENT)  # whether a step skipped an update
        self._warned: set[str] = set()

    @contextmanager
    def training(self, completed: int, stops: int = 0) -> Iterator[None]:
        """Shows progress over the block, in which every step is logged. completed: steps of earlier parts.
        stops: how often training is going to wait for its hooks, see `waited`."""
        if self.active and completed:
            for row in read_jsonl(self.run_dir.metrics)[-RECENT:]:
                self._count(row.get("loss/skipped", 0.0))
        with progress("training", self.config.steps, self.console, completed, stops) as self._display:
            yield

    def waited(self, seconds: float) -> None:
        """Training waited for its hooks, which is no part of a step's time."""
        self._display.stopped(seconds)

    def log(self, step: int, metrics: Mapping[str, float], report: HookReport | None = None) -> None:
        """One training step: file, mirror, display. report: for the mirror alone. Raises AlarmError."""
        if self.active:
            append_jsonl(self.run_dir.metrics, {"step": step, **metrics})
        self.mirror(step, metrics, report)
        self._show(metrics)
        self._alarm(step, metrics)

    def mirror(self, step: int, metrics: Mapping[str, float], report: HookReport | None = None) -> None:
        """Sends metrics, and what a hook reported, to wandb alone."""
        if self._wandb is not None:
            self._wandb.log({"step": step, **metrics}, report or HookReport())

    def print(self, shown: RenderableType) -> None:
        """To the console of the main process."""
        self.console.print(shown)

    def warn_once(self, about: str, message: str) -> None:
        if about not in self._warned:
            self._warned.add(about)
            self.console.print(Text.assemble(("warning:", "yellow"), " ", message))

    def warn_unread(self, task: Task, collected: Collected) -> None:
        """Once, where most completions of this process have no verdict: why, as far as it can be proved."""
        if not self.active or UNREAD in self._warned:
            return
        scored = [(group.problem, s) for group in collected.sampled for s in group.scored]
        lost = Counter(s.verdict.status for _, s in scored)
        some = [
            Graded(
                s.completion.text, problem.reference, s.verdict.status, s.completion.finish_reason == "length"
            )
            for problem, s in scored
            if s.verdict.status in NO_VERDICT
        ]
        if said := warning(task, len(scored), lost[Status.UNPARSED], lost[Status.TIMED_OUT], some):
            self._warned.add(UNREAD)
            self.console.print(said, style="yellow")

    def close(self) -> None:
        if self._wandb is not None:
            self._wandb.close()
            if self._wandb.failure:
                self.warn_once("wandb", f"{self._wandb.failure}; the files in the run directory are complete")

    def _show(self, metrics: Mapping[str, float]) -> None:
        speed = metrics["time/samples_per_second"]
        self._display.advance(1, f"reward {metrics['rollout/reward']:.3f}  {speed:.0f} samples/s")

    def _alarm(self, step: int, metrics: Mapping[str, Any]) -> None:
        limits: MonitorConfig = self.config.monitor
        skipped = metrics["loss/skipped"]
        self._count(skipped)
        of_late = sum(self._recent)
        often = of_late > limits.max_skipped_share * len(self._recent)
        if self._skipped >= limits.max_skipped_updates or (of_late > limits.max_skipped_updates and often):
            in_a_row = self._skipped >= limits.max_skipped_updates
            when = (
                f"{self._skipped} steps in a row"
                if in_a_row
                else f"in {of_late} of {len(self._recent)} steps"
            )
            raise AlarmError(
                f"step {step}: loss or gradient was not finite {when}. "
                f"The batches are in {self.run_dir.evidence}. Usual causes: a learning rate that is too "
                "high, half precision without headroom."
            )
        difference = metrics["mismatch/mean"]
        explained = skipped and math.isnan(
            difference
        )  # the step's own loss was no number, and nothing was learned
        if beyond(difference, limits.max_logprob_difference) and not explained:
            raise AlarmError(
                f"step {step}: the engine's log-probs differ from the trainer's by {difference:.4f} on "
                f"average (monitor.max_logprob_difference = {limits.max_logprob_difference}). Usual "
                "causes: the engine holds old weights, another precision, another temperature"
                + ("; or, with rollouts.ahead, a large optim.lr." if self.config.rollouts.ahead else ".")
            )
        if limits.strict and is_unread(metrics["rollout/unparsed"], metrics["rollout/timed_out"]):
            raise UnreadError(
                f"step {step}: most completions have no verdict ({metrics['rollout/unparsed']:.0%} unparsed, "
                f"{metrics['rollout/timed_out']:.0%} timed out), and monitor.strict is set"
            )
        for name, threshold, advice in WARNINGS:
            if beyond(metrics[name], threshold):
                self.warn_once(name, f"step {step}: {name} is {metrics[name]:.2f}; {advice}")

    def _count(self, skipped: float) -> None:
        """skipped: share of a step's updates that were left out."""
        self._skipped = self._skipped + 1 if skipped else 0
        self._recent.append(bool(skipped))


def beyond(value: float, threshold: float) -> bool:
    """Whether a measurement is past its threshold; one that is no number is."""
    return not value <= threshold


WARNINGS = (
    ("loss/skipped", 0.0, "loss or gradient was not finite, and the batch is in evidence/"),
    ("rollout/truncated", 0.25, "completions are cut off: raise rollouts.max_new_tokens"),
    ("rollout/unparsed", 0.5, "the verifier finds no answer: check the prompt and the answer format"),
    ("rollout/timed_out", 0.05, "the verifier runs out of time"),
    ("reward/bad", 0.0, "a reward function gave no number: see evidence/ in the run directory"),
    ("rollout/duplicates", 0.9, "the samples of a prompt are the same: the policy has collapsed"),
    ("rollout/zero_variance", 0.95, "almost all groups have equal rewards: no signal"),
)
