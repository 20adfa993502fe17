"""The arguments of `python -m evals probe`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from evals.commands.frame import OutDirectory
from evals.commands.two_models.tasks import complete_tasks
from evals.sampling.settings import ProbeConfig
from rlvr.config.errors import ArgumentsError, Mistake, known_keys, of_error
from rlvr.config.schema import Choice, EngineConfig, Section
from rlvr.core.run_dir import RunDir
from rlvr.engines.names import is_endpoint

S = TypeVar("S", bound=Section)
OWN = {"model", "base", "task", "out", "engine", "tokenizer", "key", "dry_run", "strict"}


class Pair(Section):
    """Which two models are measured on what. tokenizer, key: of a model on a server, see the command."""

    model: str
    base: str
    task: tuple[Choice, ...]
    out: OutDirectory
    tokenizer: str | None = None
    key: str = ""
    engine: EngineConfig = EngineConfig()
    dry_run: bool = False
    strict: bool = False


class Jobs(Section):
    """Whose jobs are taken up."""

    run: Path
    follow: bool = False
    retry: bool = False


def read_jobs(given: dict[str, Any]) -> Jobs:
    """Raises ArgumentsError."""
    try:
        settings = Jobs.model_validate(given)
    except ValidationError as error:
        known = list(known_keys(Jobs))
        raise ArgumentsError("probe", [of_error(e, known) for e in error.errors()]) from None
    if not (config := RunDir(settings.run).config).is_file():
        advice = f"holds no run: there is no {config.name}"
        raise ArgumentsError("probe", [Mistake("run", str(settings.run), advice)])
    return settings


def read_pair(given: dict[str, Any]) -> tuple[Pair, ProbeConfig]:
    """The pair, and how it is measured. Raises ArgumentsError with every mistake."""
    mistakes: list[Mistake] = []
    complete_tasks(given, mistakes)
    how = {key: value for key, value in given.items() if key not in OWN}
    unknown = sorted(
        how.keys() - {*ProbeConfig.model_fields} | how.keys() & {"tasks", "every", "mode", "final_n", "watch"}
    )
    known = [*known_keys(Pair), *ProbeConfig.model_fields]
    pair = {key: value for key, value in given.items() if key in OWN or key in unknown}
    n, k = how.get("n", 256), how.get("k", 256)
    if isinstance(n, int) and isinstance(k, int):
        how = {"base_n": max(n, k)} | how
    models = _validated(Pair, pair, known, mistakes)
    config = _validated(ProbeConfig, {key: how[key] for key in how if key not in unknown}, known, mistakes)
    if models is None or config is None or mistakes:
        raise ArgumentsError("probe", mistakes)
    if config.base_n < config.k:
        advice = f"the gap needs the base's pass@{config.k}: give k or more, or a smaller k"
        mistakes.append(Mistake("base_n", config.base_n, advice))
    if (models.out / "config.json").exists() or (models.out / "probes").exists():
        mistakes.append(Mistake("out", str(models.out), "is a run's directory; give another one"))
    mistakes += _of_endpoints(models)
    if mistakes:
        raise ArgumentsError("probe", mistakes)
    return models, config


def _of_endpoints(pair: Pair) -> list[Mistake]:
    """Where a server is meant in a way that would not be one model, or would have no tokenizer."""
    found = []
    if pair.engine.mode == "server":
        advice = "a server holds one model: give it in the model's place, as model=http://HOST:PORT#NAME"
        found.append(Mistake("engine.mode", "server", advice))
    if is_endpoint(pair.base) and is_endpoint(pair.model) and pair.tokenizer is None:
        advice = "a server does not give its tokenizer: name a directory or Hub id that has it"
        found.append(Mistake("tokenizer", None, advice))
    return found


def _validated(
    section: type[S], data: dict[str, Any], known: Sequence[str], mistakes: list[Mistake]
) -> S | None:
    """The section; None, and what is wrong with it added to the mistakes."""
    try:
        return section.model_validate(data)
    except ValidationError as error:
        mistakes += [of_error(e, known) for e in error.errors()]
        return None
