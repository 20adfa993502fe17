"""python -m evals perplexity run=RUN_DIR task=NAME out=DIR [other=FILE.jsonl] [n=32] [key=value ...]
python -m evals perplexity base=MODEL policy=MODEL samples=DIR task=NAME out=DIR [...]

Perplexities of stored responses under the base and under the policy: PPL_base(Y_base), PPL_base(Y_policy),
PPL_policy(Y_policy), PPL_policy(Y_base); with `other`, a file of {"id", "completion"} such as a stronger
model's, PPL_base(Y_other) and PPL_policy(Y_other); of a run, also PPL_base(Y_policy) at every probed step.
The policy of a run is its last checkpoint that was probed. samples: what `python -m evals probe` wrote.
n: responses a problem; of `other`, problems that were not measured are left out. Writes to out:
perplexity.jsonl with the median of each problem, perplexity.png.
More keys: dtype=float32|bfloat16, micro_batch_tokens=16384, theme=light|dark.
"""

from __future__ import annotations

import gc
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch

from evals.commands.frame import InDirectory, OutSubdirectory, command
from evals.commands.grade import read_samples
from evals.records.conditions import check_comparable
from evals.records.files import FileError, counts_file, read_about, read_counts, samples_file
from evals.records.probe_dir import ProbeDir
from evals.reports.figures import LOOKS
from evals.reports.perplexity_report import BASE, OTHER, POLICY, Author, Median, draw_boxes, quartiles
from evals.sampling.likelihood import Response, perplexities, problem_medians, read_responses
from rlvr.config.errors import ArgumentsError, Mistake
from rlvr.config.schema import Choice, Positive, Section
from rlvr.core.checkpoint import weight_hash
from rlvr.core.progress import plain_console, progress
from rlvr.core.records import RecordError, read_object
from rlvr.core.run_dir import step_folders, write_text
from rlvr.models.loading import ModelError, eos_ids, load_model, load_tokenizer, model_directory
from rlvr.tasks import Problem
from rlvr.tasks.templates.chat import is_chat, text_ids


class Settings(Section):
    """What one command scores: a run, or two models and a directory of their samples."""

    task: Choice
    out: OutSubdirectory
    run: InDirectory | None = None
    base: str | None = None
    policy: str | None = None
    samples: InDirectory | None = None
    other: Path | None = None
    n: Positive = 32
    dtype: Literal["float32", "bfloat16"] = "float32"
    micro_batch_tokens: Positive = 16384
    theme: Literal["light", "dark"] = "light"


class Inputs(NamedTuple):
    """sources: the directory of each author's samples; first the base's, last the policy's own."""

    base: str
    policy: str
    sources: dict[Author, Path]


def mistakes(settings: Settings) -> list[Mistake]:
    """What is wrong with the models and directories, taken together."""
    found = []
    models = {key: getattr(settings, key) for key in ("base", "policy", "samples")}
    given = [key for key, value in models.items() if value is not None]
    if settings.run is not None and given:
        found.append(Mistake("run", str(settings.run), f"takes the place of {', '.join(given)}"))
    if settings.run is None and len(given) < len(models):
        missing = ", ".join(key for key in models if key not in given)
        found.append(Mistake(missing, None, "is missing; give run=, or all of base=, policy= and samples="))
    return found


@command(Settings, mistakes)
def main(settings: Settings) -> None:
    """Raises ArgumentsError, ConditionsError, FileError, SamplesError, ModelError or CheckpointError."""
    medians = measure(settings, find_inputs(settings))
    settings.out.mkdir(exist_ok=True)
    rows = "".join(json.dumps({"task": settings.task.name} | m._asdict()) + "\n" for m in medians)
    write_text(settings.out / "perplexity.jsonl", rows)
    draw_boxes(medians, settings.task.name, settings.out / "perplexity.png", LOOKS[settings.theme])
    plain_console().print(quartiles(medians, settings.task.name))
    print(f"wrote {settings.out}/perplexity.jsonl and perplexity.png")


def find_inputs(settings: Settings) -> Inputs:
    """Raises ArgumentsError for a run without a checkpoint that was probed on the task."""
    if settings.run is None:
        here = Path(str(settings.samples))
        sources = {Author(BASE): here / "base", Author(POLICY): here}
        return Inputs(str(settings.base), str(settings.policy), sources)
    run, task = ProbeDir(settings.run), settings.task.name
    try:
        config = read_object(run.config, "model")
    except (OSError, RecordError) as error:
        raise ArgumentsError("perplexity", [Mistake("run", str(run.path), f"is no run: {error}")]) from None
    probed = {s: d for s, d in run.probed().items() if samples_file(d, task).is_file()}
    kept = step_folders(run.checkpoints)
    if not probed.keys() & kept.keys():
        advice = (
            f"has no checkpoint that was probed on {task}; probed: {sorted(probed)}, kept: {sorted(kept)}"
        )
        raise ArgumentsError("perplexity", [Mistake("run", str(run.path), advice)])
    last = max(probed.keys() & kept.keys())
    # Before training the policy is the base.
    policies = {Author(POLICY, step): probed[step] for step in sorted(probed) if 0 < step <= last}
    sources = {Author(BASE): run.base, **policies}
    return Inputs(config["base"] or config["model"], str(kept[last] / "policy"), sources)


def measure(settings: Settings, inputs: Inputs) -> list[Median]:
    """Medians under the base of all responses, and under the policy of its own, the base's and others'.

    Raises ConditionsError, FileError, SamplesError, ModelError or CheckpointError.
    """
    models = {BASE: model_directory(inputs.base), POLICY: model_directory(inputs.policy)}
    check_origins(settings.task.name, inputs, models)
    responses = read_inputs(settings, inputs, models)
    own = list(inputs.sources)[-1]
    under_policy = {author: r for author, r in responses.items() if author == own or author.name != POLICY}
    return [
        *_score(BASE, models[BASE], responses, settings),
        *_score(POLICY, models[POLICY], under_policy, settings),
    ]


def check_origins(task: str, inputs: Inputs, models: Mapping[str, Path]) -> None:
    """Raises FileError for samples of other weights, ConditionsError for samples drawn unlike the base's.

    Of a policy at several steps only the last has to be the current one.
    """
    files = {author: samples_file(directory, task) for author, directory in inputs.sources.items()}
    if missing := [str(file) for file in files.values() if not file.is_file()]:
        raise FileError(f"there is no file {', '.join(missing)}")
    about = {author: read_about(file) for author, file in files.items()}
    base, _ = about[Author(BASE)]
    for author, (conditions, origin) in about.items():
        if base is not None and conditions is not None:
            check_comparable(base, conditions)
        earlier = author.name == POLICY and author != list(files)[-1]
        if origin is None or earlier:
            continue
        if origin.weights != (found := weight_hash(models[author.name])):
            raise FileError(
                f"{files[author]} was drawn with weights {origin.weights}, but those of the {author.name}, "
                f"{models[author.name]}, are {found}: give the model that drew the samples"
            )


def read_inputs(
    settings: Settings, inputs: Inputs, models: Mapping[str, Path]
) -> dict[Author, list[Response]]:
    """The responses of every author. Raises FileError, SamplesError or ModelError."""
    tokenizer = load_tokenizer(models[BASE])
    if load_tokenizer(models[POLICY]).get_vocab() != tokenizer.get_vocab():
        raise ModelError(
            "base and policy have other vocabularies: token ids of one mean nothing to the other"
        )
    task = settings.task.name
    texts: dict[str, str] = {}
    for directory in inputs.sources.values():
        texts |= read_counts(counts_file(directory, task)).prompts
    about, _ = read_about(samples_file(inputs.sources[Author(BASE)], task))
    if about is not None and about.environment:
        raise FileError(f"perplexity knows completions of one turn, and task {task} is of episodes")
    chat = about is not None and is_chat(about.template)
    prompts = {problem: text_ids(tokenizer, text, chat) for problem, text in texts.items()}
    ends = eos_ids(models[BASE], tokenizer) if about is not None and about.stop else None
    responses = {
        author: read_responses(samples_file(directory, task), prompts, settings.n, ends)
        for author, directory in inputs.sources.items()
    }
    if settings.other is not None:
        responses[Author(OTHER)] = _others(settings, texts, prompts, tokenizer)
    return responses


def _others(
    settings: Settings, texts: Mapping[str, str], prompts: Mapping[str, tuple[int, ...]], tokenizer: Any
) -> list[Response]:
    """Responses of somebody else's to the problems that were measured, n of each at most."""
    assert settings.other is not None
    asked = [Problem(name, text, None) for name, text in texts.items()]
    taken: Counter[str] = Counter()
    found = []
    for row, problem in read_samples(settings.other, asked, skip_others=True):
        ids = tokenizer.encode(row["completion"], add_special_tokens=False)
        if ids and taken[problem.id] < settings.n:
            taken[problem.id] += 1
            found.append(Response(problem.id, prompts[problem.id], tuple(ids)))
    return found


def _score(
    model: str, directory: Path, responses: Mapping[Author, Sequence[Response]], settings: Settings
) -> list[Median]:
    """Medians of all these responses under one model, which is loaded and let go again."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    loaded = load_model(directory, settings.dtype, device=device)
    flat = [response for found in responses.values() for response in found]
    room = loaded.config.max_position_embeddings
    for response in flat:
        if (length := len(response.prompt_ids) + len(response.token_ids)) > room:
            raise ModelError(
                f"problem {response.problem}: a response has {length} tokens with its prompt, which passes "
                f"the context of {room} of {directory}"
            )
    with progress(f"under the {model}", len(flat)) as display:
        values = iter(perplexities(loaded, flat, settings.micro_batch_tokens, display).tolist())
    del loaded
    gc.collect()
    torch.cuda.empty_cache()
    medians = []
    for author, found in responses.items():
        by_problem = problem_medians(found, [next(values) for _ in found])
        medians += [Median(model, *author, problem, *rest) for problem, rest in by_problem.items()]
    return medians
