"""recipe=NAME key=value ... -> Config, or every mistake at once, each with the nearest known name.

Runs before torch is imported, so that a typo costs no time.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from yaml import YAMLError

from rlvr import builders
from rlvr.algorithm import Algorithm
from rlvr.algorithms import ALGORITHMS, PRESETS
from rlvr.config import Choice, Config
from rlvr.tasks import TASKS

RECIPES = Path(__file__).resolve().parent.parent / "recipes"
TABLES: dict[str, Mapping[str, str]] = {"task": TASKS, "algorithm": ALGORITHMS}


@dataclass(frozen=True)
class Mistake:
    """One thing that is wrong: where, what was given (None: nothing), and what to do."""

    key: str
    given: Any
    advice: str

    def __str__(self) -> str:
        given = "" if self.given is None else f" = {self.given!r}"
        return f"  {self.key}{given}\n      {self.advice}"


class ConfigError(Exception):
    """The configuration cannot be used; the message lists every mistake."""

    def __init__(self, where: str, mistakes: Sequence[Mistake]):
        self.mistakes = tuple(mistakes)
        count = f"{len(mistakes)} mistake{'s' if len(mistakes) > 1 else ''}"
        lines = "\n".join(str(m) for m in mistakes)
        super().__init__(f"{count} in the configuration ({where})\n{lines}")


def load_config(arguments: Sequence[str], world_size: int = 1) -> Config:
    """Reads the recipe, lays the arguments over it, and validates. Raises ConfigError.

    world_size: the number of training processes, which the batch must divide into.
    """
    given = _parse(arguments)
    name = given.pop("recipe", None)
    data = _merge(_read_recipe(name), given)
    data["recipe"] = name
    mistakes = [*_complete_choices(data)]
    try:
        if "run_dir" not in data:
            data["run_dir"] = f"runs/{name}-s{data.get('seed', 0)}"
        config = Config.model_validate(data)
    except ValidationError as error:
        mistakes = [_mistake(e) for e in error.errors()] + mistakes
    else:
        mistakes += _across(config, world_size)
        if not mistakes:  # it loads torch, which a typo need not wait for
            mistakes += _of_algorithm(config)
    if mistakes:
        raise ConfigError(f"recipe {name}", mistakes)
    return config


def recipe_names() -> list[str]:
    """All recipes, as given to `recipe=`; files that start with _ are only inherited from."""
    files = RECIPES.rglob("*.yaml")
    names = [str(f.relative_to(RECIPES).with_suffix("")) for f in files]
    return sorted(n for n in names if not Path(n).name.startswith("_"))


def help_text() -> str:
    """All recipes, algorithms, tasks and keys, with types and defaults."""
    lines = [
        f"recipes:    {', '.join(recipe_names())}",
        f"algorithms: {', '.join(ALGORITHMS)}",
        f"tasks:      {', '.join(TASKS)}",
        f"presets:    {', '.join(PRESETS)} (algorithm.preset)",
        "",
        "keys (task.* and algorithm.* by name: see --dry-run for those of a recipe):",
    ]
    for key, field in known_keys(Config).items():
        default = "" if field.is_required() else f" = {field.default!r}"
        lines.append(f"  {key:<32} {_type_name(field.annotation)}{default}")
    return "\n".join(lines)


def _type_name(kind: Any) -> str:
    """A type as a person would write it: `int or None`, `one of 0, 2, 3`."""
    if get_origin(kind) is Literal:
        return " | ".join(map(str, get_args(kind)))
    if get_origin(kind) is Annotated:
        return _type_name(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        return " | ".join(map(_type_name, get_args(kind)))
    if get_origin(kind) is tuple:
        return f"[{', '.join('...' if a is ... else _type_name(a) for a in get_args(kind))}]"
    return "none" if kind is type(None) else kind.__name__


def nearest(name: str, known: Sequence[str], label: str = "known") -> str:
    """'did you mean X?' where one name is close, else the list of all."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
    if close:
        return f"did you mean {close[0]}?"
    return f"{label}: {', '.join(known)}"


def _parse(arguments: Sequence[str]) -> dict[str, Any]:
    """key=value arguments as nested mappings; `task=X` is short for `task.name=X`."""
    wrong = [Mistake(a, None, "arguments are key=value") for a in arguments if "=" not in a]
    if wrong:
        raise ConfigError("command line", wrong)
    short = tuple(f"{group}=" for group in TABLES)
    arguments = [a.replace("=", ".name=", 1) if a.startswith(short) else a for a in arguments]
    try:
        return OmegaConf.to_container(OmegaConf.from_dotlist(list(arguments)))  # type: ignore[return-value]
    except (OmegaConfBaseException, YAMLError) as error:
        raise ConfigError("command line", [Mistake(" ".join(arguments), None, str(error))]) from None


def _read_recipe(name: Any, seen: tuple[str, ...] = ()) -> dict[str, Any]:
    """A recipe with what its `defaults` names under it."""
    known = recipe_names()
    if name is None:
        advice = f"give recipe=NAME with one of: {', '.join(known)}"
        raise ConfigError("command line", [Mistake("recipe", None, advice)])
    path = RECIPES / f"{name}.yaml"
    if not path.is_file():
        advice = f"no such recipe; {nearest(str(name), known, 'recipes')}"
        raise ConfigError("command line", [Mistake("recipe", name, advice)])
    if name in seen:
        raise ConfigError(str(path), [Mistake("defaults", name, "a recipe inherits from itself")])
    try:
        data = OmegaConf.to_container(OmegaConf.load(path))
    except (OmegaConfBaseException, YAMLError) as error:
        raise ConfigError(str(path), [Mistake(str(path), None, f"not YAML: {error}")]) from None
    if not isinstance(data, dict):
        raise ConfigError(str(path), [Mistake(str(path), None, "a recipe is a mapping of keys")])
    data = {str(key): value for key, value in data.items()}
    parent = data.pop("defaults", None)
    return _merge(_read_recipe(parent, (*seen, name)), data) if parent else data


def _merge(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Nested merge. A task or algorithm of another name drops the options of the one it replaces."""
    merged = dict(under)
    for key, value in over.items():
        below = merged.get(key)
        nested = isinstance(below, dict) and isinstance(value, dict)
        replaced = key in TABLES and nested and value.get("name", below.get("name")) != below.get("name")
        merged[key] = builders.merged(below, value) if nested and not replaced else value
    return merged


def _complete_choices(data: dict[str, Any]) -> list[Mistake]:
    """Validates every named choice in place against its builder's signature and fills its defaults."""
    mistakes: list[Mistake] = []
    for group, table in TABLES.items():
        if isinstance(data.get(group), dict) and "name" in data[group]:
            data[group] = _complete(data[group], group, table, mistakes)
    probe = data.get("probe")
    if isinstance(probe, dict) and isinstance(probe.get("tasks"), list):
        entries = [{"name": t} if isinstance(t, str) else t for t in probe["tasks"]]
        probe["tasks"] = [
            _complete(entry, f"probe.tasks[{i}]", TASKS, mistakes)
            for i, entry in enumerate(entries)
            if isinstance(entry, dict)
        ]
    return mistakes


def check_support(config: Config) -> None:
    """Raises ConfigError for what a recipe may describe but this version does not run."""
    mistakes = []
    if config.engine.name != "hf":
        mistakes.append(Mistake("engine.name", config.engine.name, "this version generates with hf alone"))
    if config.policy.zero:
        advice = "this version trains without DeepSpeed: set policy.zero=0"
        mistakes.append(Mistake("policy.zero", config.policy.zero, advice))
    if config.policy.dtype != "float32":
        advice = "this version keeps no fp32 copy of the weights, and AdamW on halves stands still: float32"
        mistakes.append(Mistake("policy.dtype", config.policy.dtype, advice))
    if mistakes:
        raise ConfigError(f"recipe {config.recipe}", mistakes)


def _complete(
    choice: dict[str, Any], where: str, table: Mapping[str, str], mistakes: list[Mistake]
) -> dict[str, Any]:
    name = str(choice.get("name"))
    if builders.family(name) not in table:
        advice = f"unknown; {nearest(builders.family(name), list(table))}"
        mistakes.append(Mistake(f"{where}.name", name, advice))
        return {"name": name}
    head: dict[str, Any] = {"name": name}
    if table is ALGORITHMS:
        head["preset"] = choice.get("preset")
    options = {key: value for key, value in choice.items() if key not in head}
    preset = PRESETS.get(str(head.get("preset")), {})
    if head.get("preset") is not None and not preset:
        advice = f"unknown; {nearest(str(head['preset']), list(PRESETS))}"
        mistakes.append(Mistake(f"{where}.preset", head["preset"], advice))
    try:
        return {**head, **builders.complete(table, name, options, preset)}
    except ValidationError as error:
        known = [f"{where}.{key}" for key in (*head, *known_keys(builders.schema(table, name)))]
        mistakes += [_mistake(e, prefix=f"{where}.", known=known) for e in error.errors()]
        return head


def _mistake(error: ErrorDetails, prefix: str = "", known: Sequence[str] = ()) -> Mistake:
    key = prefix + ".".join(str(part) for part in error["loc"])
    known = known or list(known_keys(Config))
    if error["type"] == "extra_forbidden":
        return Mistake(key, error["input"], f"unknown key; {_nearest_key(key, known)}")
    if error["type"] == "missing":
        return Mistake(key, None, "is missing and has no default")
    return Mistake(key, error["input"], error["msg"][0].lower() + error["msg"][1:])


def _nearest_key(key: str, known: Sequence[str]) -> str:
    """Prefers a key of the same name elsewhere, then a close one, then lists the group's keys."""
    group, _, leaf = key.rpartition(".")
    elsewhere = [k for k in known if k.rpartition(".")[2] == leaf]
    if elsewhere:
        return f"did you mean {elsewhere[0]}?"
    siblings = [k for k in known if k.rpartition(".")[0] == group]
    if siblings and group:
        return nearest(key, siblings, f"keys of {group}")
    return nearest(key, known, "known keys")


def known_keys(model: type[BaseModel], prefix: str = "") -> dict[str, Any]:
    """Every dotted key of a configuration model -> its field."""
    keys: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel) and kind is not Choice:
            keys |= known_keys(kind, f"{prefix}{name}.")
        else:
            keys[prefix + name] = field
    return keys


def _across(config: Config, world_size: int) -> list[Mistake]:
    """What only shows when several keys are held together."""
    mistakes = []
    parts = world_size * config.optim.mini_batches
    if config.rollouts.prompts % parts:
        fits = max(parts, round(config.rollouts.prompts / parts) * parts)
        advice = (
            f"must divide into {world_size} process(es) x {config.optim.mini_batches} mini-batch(es): "
            f"the nearest that does is {fits}"
        )
        mistakes.append(Mistake("rollouts.prompts", config.rollouts.prompts, advice))
    if config.rollouts.top_p < 1 and not config.rollouts.allow_top_p:
        advice = (
            "training samples would not come from the distribution whose log-probs are compared, which "
            "biases every ratio: set it to 1, or rollouts.allow_top_p=true if that is what you want"
        )
        mistakes.append(Mistake("rollouts.top_p", config.rollouts.top_p, advice))
    names = [task.name for task in config.probe.tasks]
    if len(set(names)) < len(names):
        mistakes.append(Mistake("probe.tasks", names, "each task once: its files are named after it"))
    if config.probe.tasks and config.probe.base_n < config.probe.k:
        advice = f"the gap needs the base's pass@{config.probe.k}: give probe.k or more"
        mistakes.append(Mistake("probe.base_n", config.probe.base_n, advice))
    return mistakes


def _of_algorithm(config: Config) -> list[Mistake]:
    """Settings that the configured algorithm cannot work with."""
    try:
        algorithm: Algorithm = builders.build(ALGORITHMS, config.algorithm.name, config.algorithm.options)
    except ValueError as error:
        return [Mistake("algorithm", config.algorithm.name, str(error))]
    mistakes = []
    updates = config.optim.mini_batches * config.optim.epochs
    if updates > 1 and not algorithm.policy_loss.uses_ratio:
        advice = (
            f"{algorithm.name} with this loss compares with no old policy, so a second update on the same "
            "batch would be wrong: set optim.mini_batches=1 and optim.epochs=1, or algorithm.loss=ppo_clip"
        )
        mistakes.append(Mistake("optim.mini_batches x optim.epochs", updates, advice))
    size = config.rollouts.group_size
    if size < algorithm.smallest_group:
        advice = f"{algorithm.name} needs {algorithm.smallest_group} or more completions a problem"
        mistakes.append(Mistake("rollouts.group_size", size, advice))
    return mistakes
