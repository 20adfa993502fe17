"""python -m evals probe model=PATH base=PATH task=NAME out=DIR [n=256] [key=value ...]
python -m evals probe run=RUN_DIR [follow=true] [retry=true]

The first measures any two models in Hugging Face format, whoever trained them: samples both alike on the
task's test problems and holds the model against the base's pass@k. DIR gets probe.jsonl, and for the
model and, below base/, for the base <task>.parquet (counts) and <task>.samples.parquet. Samples are kept
in $RLVR_STORE: interrupted, the same command resumes where it stopped, and no model is sampled twice.

  n=256            samples of a problem of the model
  base_n=          of the base; by default the larger of n and k
  k=256            the gap's K
  stop_r=          stop a problem of the model at its r-th success; base_stop_r= the same for the base
  max_problems=    a seeded subset of the problems
  max_new_tokens=  by default what the models' context leaves, 16,384 at most
  stop='["x"]'     strings that end a completion; by default those of the template, [] is none
  temperature=0.6 top_p=0.95 seed=0 chunk=512 engine.name=hf|vllm engine.dtype=float32 task.KEY=VALUE
  dry_run=true     print the plan alone
  strict=true      exit status 3 where most samples have no verdict, which is said first in any case

TASK is a name, a data file, or several: task=countdown:3,gsm8k. Each takes the keys task.* that it has.

A model may be on an OpenAI-compatible server: model=http://HOST:PORT#NAME asks its completions endpoint for
each sample, with a seed and the stop strings, as token ids with log-probs from vLLM, as text from others.

  tokenizer=       of that model, a directory or Hub id; by default that of the other model
  key=VARIABLE     the environment variable that holds the server's API key
  engine.batch_size= engine.generation_timeout=  requests at once, and seconds of one

Its weights are not known: samples are stored under the URL and the name, and the files say so.

The second takes up the jobs that a run with probe.mode=detached leaves; follow=true waits for more until
training has ended. Several workers share the jobs. One that fails is set aside in jobs/failed/ with its
error; retry=true takes these up again.
"""

from __future__ import annotations

from collections.abc import Sequence

from evals.commands.frame import GOES_ON
from evals.commands.two_models.settings import Jobs, read_jobs, read_pair
from rlvr.core.errors import exit_status
from rlvr.core.progress import plain_console
from rlvr.planning.recipe import parse_arguments
from rlvr.tasks.unread import UnreadError


def main(arguments: Sequence[str]) -> int:
    """Exit status."""
    return exit_status(lambda: probe(arguments), GOES_ON)


def probe(arguments: Sequence[str]) -> int:
    """Reads which of the two is meant, then measures; 1 where a job failed.

    Raises ArgumentsError, before torch is loaded.
    """
    given = parse_arguments(arguments)
    settings = read_jobs(given) if "run" in given else read_pair(given)

    from evals.commands.two_models.measuring import measure_pair
    from evals.probe.detached import work
    from evals.probe.jobs import take_back
    from evals.records.probe_dir import ProbeDir

    console = plain_console(stderr=True)
    if isinstance(settings, Jobs):
        here = ProbeDir(settings.run)
        if settings.retry:
            console.print(f"{take_back(here)} job(s) that failed are taken up again")
        worked = work(here, settings.follow, console)
        console.print(f"{worked.done} job(s) done; their records are in {here.probe}")
        if worked.aside:
            console.print(f"{len(worked.aside)} job(s) failed: retry=true takes them up again")
        return 1 if worked.aside else 0
    unread = measure_pair(*settings, console)
    return UnreadError.status if unread and settings[0].strict else 0
