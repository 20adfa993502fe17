"""The probe: after every checkpoint, how much of the base's pass@K does the policy's pass@1 reach?"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from accelerate import PartialState
from accelerate.utils import broadcast_object_list, extract_model_from_parallel
from rich.console import Console
from transformers import TrainerCallback

from evals.dashboards import dashboard_report
from evals.gap_record import GapRecord, compare
from evals.measure import Measurement, Plan, draw_missing, grade, make_plan
from evals.report import probe_table
from evals.store import SampleKey, SampleSet, store_root
from rlvr.checkpoint import weight_hash
from rlvr.config import ProbeConfig
from rlvr.engines import Engine, Sampling
from rlvr.engines.hf import HFEngine
from rlvr.hooks import Moment, Report
from rlvr.models import eos_ids, load_model
from rlvr.progress import progress
from rlvr.run_dir import RunDir, append_jsonl, keep_jsonl, read_jsonl
from rlvr.tasks import Task


class Probe:
    """A checkpoint hook. Measures every task, appends to probe.jsonl, prints a table.

    base: the base model's directory; base_engine: builds an engine that holds it, used only where the
    base's samples are missing from the store and the live engine holds other weights.
    save_every: training steps between checkpoints, to count `probe.every`.
    """

    def __init__(
        self,
        config: ProbeConfig,
        tasks: Sequence[Task],
        tokenizer: Any,
        run_dir: RunDir,
        base: Path,
        base_engine: Callable[[], Engine],
        sampling: Sampling,
        save_every: int,
        console: Any,
    ):
        self.config = config
        self.tasks = tasks
        self.tokenizer = tokenizer
        self.run_dir = run_dir
        self.base_hash = weight_hash(base)
        self.base_engine = base_engine
        self.sampling = sampling
        self.save_every = save_every
        self.console = console
        self.ranks = PartialState()

    def __call__(self, moment: Moment) -> Report:
        if not self._due(moment):
            return Report()
        policy_hash = weight_hash(moment.policy)
        known = {(r["step"], r["task"], r["policy_hash"]) for r in read_jsonl(self.run_dir.probe)}
        for task in self.tasks:
            if (moment.step, task.name, policy_hash) not in known:
                record = self._measure(task, moment, policy_hash)
                if record is not None:
                    self._record(record)
        self.ranks.wait_for_everyone()
        if not self.ranks.is_main_process:
            return Report()
        records = self.records()
        self.console.print(probe_table(records, moment.step))
        return dashboard_report([r for r in records if r.step == moment.step], self.tasks, self.run_dir)

    def records(self) -> list[GapRecord]:
        """Everything measured so far in this run."""
        return [GapRecord(**row) for row in read_jsonl(self.run_dir.probe)]

    def _record(self, record: GapRecord) -> None:
        """Adds a row, in the place of one that another policy left at the same step."""
        place = (record.step, record.task)
        keep_jsonl(self.run_dir.probe, lambda row: (row["step"], row["task"]) != place)
        append_jsonl(self.run_dir.probe, record.row())

    def _due(self, moment: Moment) -> bool:
        return moment.last or moment.step // self.save_every % self.config.every == 0

    def _measure(self, task: Task, moment: Moment, policy_hash: str) -> GapRecord | None:
        """The record on the main process, None elsewhere; all processes draw."""
        n = self.config.final_n if moment.last else self.config.n
        is_base = policy_hash == self.base_hash
        base_plan = self._plan(task, self.config.base_n)
        plan = base_plan if is_base else replace(base_plan, n=n)
        samples = self._samples(plan, moment.engine, policy_hash)
        base_samples = self._samples(plan, moment.engine, self.base_hash)
        drawn = self._draw(plan, moment.engine, samples, f"probe {task.name}")
        if not is_base:
            drawn += self._draw_base(base_plan, base_samples)
        if not self.ranks.is_main_process:
            return None
        policy = grade(plan, samples)
        write_details(self.run_dir.probes / f"step_{moment.step:06d}", task.name, policy)
        return compare(
            grade(base_plan, base_samples),
            policy,
            self.config.k,
            step=moment.step,
            task=task.name,
            samples_drawn=drawn,
            template=task.template,
            sampling=asdict(plan.sampling),
            grader=task.grader,
            policy_hash=policy_hash,
            base_hash=self.base_hash,
        )

    def _plan(self, task: Task, n: int) -> Plan:
        config = self.config
        return make_plan(task, self.tokenizer, self.sampling, n, config.max_problems, config.seed)

    def _samples(self, plan: Plan, engine: Engine, weights: str) -> SampleSet:
        key = SampleKey(
            weights=weights,
            tokenizer=tokenizer_hash(self.tokenizer),
            template=plan.task.template,
            **asdict(plan.sampling),
            engine=engine.name,
            dtype=engine.dtype,
            seed=self.config.seed,
        )
        return SampleSet(store_root(), key)

    def _draw(self, plan: Plan, engine: Engine, samples: SampleSet, title: str) -> int:
        """Draws what is missing on all ranks; returns how many samples that were."""
        missing = self._missing(plan, samples)
        if missing:
            share = missing // self.ranks.num_processes
            with progress(title, share, self.console) as display:
                rank, ranks = self.ranks.process_index, self.ranks.num_processes
                draw_missing(plan, engine, samples, display, rank, ranks)
        self.ranks.wait_for_everyone()
        return missing

    def _missing(self, plan: Plan, samples: SampleSet) -> int:
        """How many samples the store lacks; as the main process sees it, since other runs write there too."""
        wanted = len(set(plan.prompts)) * plan.n
        return broadcast_object_list([wanted - samples.count(plan.prompts, plan.n)])[0]

    def _draw_base(self, plan: Plan, samples: SampleSet) -> int:
        if self._missing(plan, samples) == 0:
            return 0
        engine = self.base_engine()
        try:
            return self._draw(plan, engine, samples, f"base {plan.task.name}")
        finally:
            engine.close()


class ProbeCallback(TrainerCallback):
    """The same probe for a run of `transformers.Trainer` or a TRL trainer, whoever wrote its loop.

    Measures the base when training begins and every checkpoint that the trainer saves, in process, into
    probe.jsonl and probes/ below run_dir (default: the trainer's output_dir). The measurements also go
    into the trainer's log history.

    base: the base model's directory; training has to start from it for step 0 to be the base itself.
    tasks: see `rlvr.tasks.build_task`. Other arguments: see `rlvr.config.ProbeConfig`.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        base: str | Path,
        config: ProbeConfig,
        max_new_tokens: int,
        run_dir: str | Path | None = None,
        batch_size: int = 512,
        dtype: str = "float32",
    ):
        self.dtype = dtype
        self.tasks = tasks
        self.base = Path(base)
        self.config = config
        self.sampling = Sampling(config.temperature, config.top_p, max_new_tokens)
        self.run_dir = run_dir
        self.batch_size = batch_size
        self._probe: Probe | None = None
        self._engine: HFEngine | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        tokenizer = kwargs["processing_class"]
        run_dir = RunDir(self.run_dir or args.output_dir)
        run_dir.path.mkdir(parents=True, exist_ok=True)
        # A copy of the live model would not do: trainers patch its methods, which then stay bound to it.
        self._engine = self._hold(tokenizer)
        self._probe = Probe(
            config=self.config,
            tasks=self.tasks,
            tokenizer=tokenizer,
            run_dir=run_dir,
            base=self.base,
            base_engine=lambda: self._hold(tokenizer),
            sampling=self.sampling,
            save_every=max(1, int(args.save_steps)),
            console=Console(stderr=True),
        )
        if state.global_step == 0:
            self._measure(state, self.base)

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        directory = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        if self._engine is not None:
            self._engine.load(extract_model_from_parallel(kwargs["model"]).named_parameters())
        self._measure(state, directory)

    def _hold(self, tokenizer: Any) -> HFEngine:
        """An engine with the base's weights."""
        model = load_model(self.base, self.dtype)
        return HFEngine(model, tokenizer, eos_ids(self.base, tokenizer), self.batch_size)

    def _measure(self, state: Any, directory: Path) -> None:
        if self._probe is None or self._engine is None:
            raise RuntimeError("the callback was not there when training began")
        last = state.global_step >= state.max_steps
        moment = Moment(state.global_step, 0, directory, self._engine, last)
        metrics = self._probe(moment).metrics
        state.log_history.append({"step": state.global_step, **metrics})


def write_details(directory: Path, task: str, measured: Measurement) -> None:
    """probes/step_*/<task>.parquet, one row a problem, and <task>.samples.parquet, one row a sample."""
    directory.mkdir(parents=True, exist_ok=True)
    name = task.replace(":", "-")
    counts = [
        {"problem": problem.id, "n": measured.n, "correct": int(correct), "stop_r": None}
        for problem, correct in zip(measured.problems, measured.correct, strict=True)
    ]
    samples = [
        {
            "problem": graded.sample.problem,
            "index": graded.sample.index,
            "text": graded.sample.text,
            "tokens": len(graded.sample.token_ids),
            "logprob": graded.sample.logprob,
            "finish_reason": graded.sample.finish_reason,
            "status": str(graded.verdict.status),
            "extracted": graded.verdict.extracted,
        }
        for row in measured.graded
        for graded in row
    ]
    schema = pa.schema([("problem", pa.string()), ("n", pa.int64()), ("correct", pa.int64()),
                        ("stop_r", pa.int64())])  # fmt: skip
    pq.write_table(pa.Table.from_pylist(counts, schema), directory / f"{name}.parquet")
    pq.write_table(pa.Table.from_pylist(samples), directory / f"{name}.samples.parquet")


def tokenizer_hash(tokenizer: Any) -> str:
    """16 hex digits of everything that maps text to token ids."""
    return hashlib.sha256(tokenizer.backend_tokenizer.to_str().encode()).hexdigest()[:16]
