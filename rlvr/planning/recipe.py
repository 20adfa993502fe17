"""recipe=NAME|FILE.yaml key=value ... -> Config, or every mistake at once, each with the nearest known name.

Runs before torch is imported, so that a typo costs no time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import ValidationError
from yaml import YAMLError

from rlvr.algorithms import ALGORITHMS, PRESETS
from rlvr.config import registry
from rlvr.config.errors import ConfigError, Mistake, known_keys, nearest, of_error
from rlvr.config.schema import Config
from rlvr.planning.checks import across_keys, of_algorithm
from rlvr.tasks import TASKS

_PACKAGE = Path(__file__).resolve().parents[1]
# Inside the package as it is installed (setup.py), beside it in a checkout.
RECIPES = (_PACKAGE if (_PACKAGE / "recipes").is_dir() else _PACKAGE.parent) / "recipes"
TABLES: dict[str, Mapping[str, str]] = {"task": TASKS, "algorithm": ALGORITHMS}


def load_config(arguments: Sequence[str], world_size: int = 1) -> Config:
    """Reads the recipe, lays the arguments over it, and validates. Raises ConfigError.

    world_size: the number of training processes, which the batch must divide into.
    """
    given = parse_arguments(arguments)
    name = given.pop("recipe", None)
    data = _merge(_read_recipe(name), given)
    data["recipe"] = name
    mistakes = [*_complete_choices(data)]
    try:
        if "run_dir" not in data:
            own = Path(name).stem if _is_file(name) else name
            data["run_dir"] = f"runs/{own}-s{data.get('seed', 0)}"
        config = Config.model_validate(data)
    except ValidationError as error:
        mistakes = [of_error(e, known_keys(Config)) for e in error.errors()] + mistakes
    else:
        mistakes += across_keys(config, world_size)
        if not mistakes:  # it loads torch, which a typo need not wait for
            mistakes += of_algorithm(config)
    if mistakes:
        raise ConfigError(f"recipe {name}", mistakes)
    return config


def recipe_names() -> list[str]:
    """All recipes, as given to `recipe=`; files that start with _ are only inherited from."""
    files = RECIPES.rglob("*.yaml")
    names = [str(f.relative_to(RECIPES).with_suffix("")) for f in files]
    return sorted(n for n in names if not Path(n).name.startswith("_"))


def parse_arguments(arguments: Sequence[str]) -> dict[str, Any]:
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


def _read_recipe(name: Any, beside: Path = Path(), seen: tuple[Path, ...] = ()) -> dict[str, Any]:
    """A recipe with what its `defaults` names under it. beside: the directory that a file is relative to."""
    path = _recipe_path(name, beside)
    if path in seen:
        raise ConfigError(str(path), [Mistake("defaults", name, "a recipe inherits from itself")])
    try:
        data = OmegaConf.to_container(OmegaConf.load(path))
    except (OmegaConfBaseException, YAMLError) as error:
        raise ConfigError(str(path), [Mistake(str(path), None, f"not YAML: {error}")]) from None
    if not isinstance(data, dict):
        raise ConfigError(str(path), [Mistake(str(path), None, "a recipe is a mapping of keys")])
    data = {str(key): value for key, value in data.items()}
    parent = data.pop("defaults", None)
    return _merge(_read_recipe(parent, path.parent, (*seen, path)), data) if parent else data


def _recipe_path(name: Any, beside: Path) -> Path:
    known = recipe_names()
    if name is None:
        advice = f"give recipe=NAME with one of: {', '.join(known)}; or a file of your own, recipe=FILE.yaml"
        raise ConfigError("command line", [Mistake("recipe", None, advice)])
    path = beside / name if _is_file(name) else RECIPES / f"{name}.yaml"
    if not path.is_file():
        advice = (
            "no such file" if _is_file(name) else f"no such recipe; {nearest(str(name), known, 'recipes')}"
        )
        raise ConfigError("command line", [Mistake("recipe", name, advice)])
    return path.resolve()


def _is_file(name: Any) -> bool:
    return str(name).endswith(".yaml")


def _merge(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Nested merge. A task or algorithm of another name drops the options of the one it replaces."""
    merged = dict(under)
    for key, value in over.items():
        below = merged.get(key)
        nested = isinstance(below, dict) and isinstance(value, dict)
        replaced = key in TABLES and nested and value.get("name", below.get("name")) != below.get("name")
        merged[key] = registry.merged(below, value) if nested and not replaced else value
    return merged


def _complete_choices(data: dict[str, Any]) -> list[Mistake]:
    """Validates every named choice in place against its builder's signature and fills its defaults."""
    mistakes: list[Mistake] = []
    for group, table in TABLES.items():
        if isinstance(data.get(group), dict) and "name" in data[group]:
            if data[group]["name"] == "mixture":
                _complete_mixture(data[group], mistakes)
            data[group] = complete_choice(data[group], group, table, mistakes)
    _complete_tasks(data.get("probe"), "probe", mistakes)
    return mistakes


def _complete_mixture(task: dict[str, Any], mistakes: list[Mistake]) -> None:
    stages = task.get("stages")
    _complete_tasks(task, "task", mistakes)
    for i, stage in enumerate(stages if isinstance(stages, list) else []):
        _complete_tasks(stage, f"task.stages[{i}]", mistakes)


def _complete_tasks(holder: Any, where: str, mistakes: list[Mistake]) -> None:
    """Completes in place the tasks that a mapping lists, if it does; what a list says of its entries,
    the weight in a mixture and the split in a probe, stays as it is."""
    if not isinstance(holder, dict) or not isinstance(holder.get("tasks"), list):
        return
    for i, entry in enumerate(holder["tasks"]):
        entry = {"name": entry} if isinstance(entry, str) else entry
        if isinstance(entry, dict):
            of_list = "split" if where == "probe" else "weight"
            said = {key: value for key, value in entry.items() if key == of_list}
            options = {key: value for key, value in entry.items() if key not in said}
            completed = complete_choice(options, f"{where}.tasks[{i}]", TASKS, mistakes)
            holder["tasks"][i] = said | completed


def complete_choice(
    choice: dict[str, Any], where: str, table: Mapping[str, str], mistakes: list[Mistake]
) -> dict[str, Any]:
    name = str(choice.get("name"))
    if registry.family(name) not in table:
        advice = f"unknown; {nearest(registry.family(name), list(table))}"
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
        return {**head, **registry.complete(table, name, options, preset)}
    except ValidationError as error:
        known = [f"{where}.{key}" for key in (*head, *known_keys(registry.schema(table, name)))]
        mistakes += [of_error(e, known, prefix=f"{where}.") for e in error.errors()]
        return head
