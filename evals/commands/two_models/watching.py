"""python -m evals watch DIR base=NAME task=TASK [out=DIR-probe] [once=true] [n=256] [key=value ...]

Probes the checkpoints of any trainer as they appear below DIR, beside the training, against its base. Known
are the places where verl (global_step_N/actor/huggingface), OpenRLHF (global_stepN_hf), prime-rl
(weights/step_N), TRL and transformers (checkpoint-N) and this trainer put models or LoRA adapters; only
*.safetensors are read. A checkpoint is taken when its weights are written to their end and no file of it has
changed for `settle` seconds; hard links keep it for as long as it is needed, whatever the trainer removes.

`out` is a run directory: probe.jsonl, probes/, which compare, ledger, curves and the others take. Stopped,
the same command goes on; what was measured is not measured again. A checkpoint that fails is set aside in
out/jobs/failed/ with its error, the others go on, and the exit status is 1;
`python -m evals probe run=OUT retry=true` takes it up again.

  base=            what training began with: a directory, Hub id, or embedded:NAME
  task=            one, or several: task=countdown:3,gsm8k; task.KEY=VALUE
  once=true        end when all that are there are done, for scripts (also --once)
  last=STEP        end after this step's
  idle=SECONDS     end when so long none has come
  settle=5         seconds
  n= k= base_n= max_problems= max_new_tokens= temperature= top_p= stop= seed= stop_r= chunk=  as of `probe`
  engine.name=hf|vllm engine.dtype=float32
  monitor.wandb=online monitor.project=NAME monitor.group=NAME   the numbers as a run of wandb's, OUT-probe
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from evals.commands.frame import GOES_ON, OutDirectory
from evals.commands.two_models.tasks import complete_tasks
from evals.sampling.settings import ProbeConfig
from rlvr.config.errors import ArgumentsError, Mistake, known_keys, of_error
from rlvr.config.schema import Choice, EngineConfig, MonitorConfig, Positive, Section
from rlvr.core.errors import exit_status
from rlvr.core.progress import plain_console
from rlvr.planning.recipe import parse_arguments

_NOT_OURS = {"tasks", "every", "mode", "final_n", "watch", "drop_contaminated"}


class Watching(Section):
    """What one command watches."""

    dir: Path
    base: str
    task: tuple[Choice, ...]
    out: OutDirectory | None = None
    once: bool = False
    last: Positive | None = None
    idle: Annotated[float, Field(gt=0)] | None = None
    settle: Annotated[float, Field(ge=0)] = 5.0
    engine: EngineConfig = EngineConfig()
    monitor: MonitorConfig = MonitorConfig()

    @property
    def place(self) -> Path:
        return self.out or self.dir.with_name(f"{self.dir.name}-probe")


def main(arguments: Sequence[str]) -> int:
    """Exit status; 1 where a checkpoint failed."""
    return exit_status(lambda: run(arguments), GOES_ON)


def run(arguments: Sequence[str]) -> int:
    """Raises ArgumentsError, before torch is loaded."""
    settings, probe = read(arguments)

    from evals.probe.beside import prepare, watch

    console = plain_console(stderr=True)
    tasks = [{"name": choice.name, **choice.options} for choice in settings.task]
    config = prepare(settings.base, tasks, settings.place, settings.engine, settings.monitor, probe)
    worked = watch(
        settings.dir, config, settings.once, settings.last, settings.settle, settings.idle, console
    )
    console.print(f"{worked.done} checkpoint(s) probed; their records are in {settings.place}/probe.jsonl")
    if worked.aside:
        console.print(
            f"{len(worked.aside)} failed: python -m evals probe run={settings.place} retry=true",
            soft_wrap=True,
        )
    return 1 if worked.aside else 0


def read(arguments: Sequence[str]) -> tuple[Watching, ProbeConfig]:
    """The settings, and how checkpoints are measured. Raises ArgumentsError with every mistake."""
    bare = [a for a in arguments if "=" not in a and a != "--once"]
    given = parse_arguments([a for a in arguments if a not in bare and a != "--once"])
    mistakes = [Mistake(a, None, "arguments are key=value") for a in bare[1:]]
    given |= {"dir": bare[0]} if bare else {}
    given |= {"once": True} if "--once" in arguments else {}
    complete_tasks(given, mistakes)
    ours = ProbeConfig.model_fields.keys() - _NOT_OURS
    how: dict[str, Any] = {key: value for key, value in given.items() if key in ours}
    n, k = how.get("n", 256), how.get("k", 256)
    if isinstance(n, int) and isinstance(k, int):
        how = {"base_n": max(n, k), "final_n": n} | how
    known = [*known_keys(Watching), *sorted(ours)]
    made: dict[type[Section], Section] = {}
    rest = {key: value for key, value in given.items() if key not in ours}
    for section, data in ((Watching, rest), (ProbeConfig, how)):
        try:
            made[section] = section.model_validate(data)
        except ValidationError as error:
            mistakes += [of_error(e, known) for e in error.errors()]
    settings, probe = made.get(Watching), made.get(ProbeConfig)
    if isinstance(settings, Watching) and isinstance(probe, ProbeConfig):
        mistakes += _mistakes(settings, probe)
        if not mistakes:
            return settings, probe
    raise ArgumentsError("watch", mistakes)


def _mistakes(settings: Watching, probe: ProbeConfig) -> list[Mistake]:
    found = []
    if not settings.dir.is_dir() and (settings.once or settings.dir.exists()):
        found.append(Mistake("DIR", str(settings.dir), "there is no such directory"))
    if settings.engine.mode == "server":
        advice = "a server holds one model, and each checkpoint is another: leave it out"
        found.append(Mistake("engine.mode", "server", advice))
    if probe.base_n < probe.k:
        advice = f"the gap needs the base's pass@{probe.k}: give k or more, or a smaller k"
        found.append(Mistake("base_n", probe.base_n, advice))
    return found
