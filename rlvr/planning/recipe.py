"""recipe=NAME|FILE.yaml key=value ... -> Config, or every mistake at once, each with the nearest known name.

Runs before torch is imported, so that a typo costs no time.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, get_args

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, ValidationError
from yaml import YAMLError

from rlvr.algorithms import ALGORITHMS
from rlvr.config import registry
from rlvr.config.errors import ConfigError, Mistake, known_keys, nearest, of_error
from rlvr.config.keys import merged
from rlvr.config.registry import PluginError
from rlvr.config.schema import Choice, Config
from rlvr.core.records import read_object
from rlvr.hooks.loading import config_model, factory
from rlvr.planning.checks import across_keys, of_algorithm, of_plugins
from rlvr.planning.upgrades import trained_tasks, upgraded
from rlvr.tasks import TASKS
from rlvr.tasks.data.names import NAME, POSING, spelled_out
from rlvr.tasks.mixture import WeightedTask

_PACKAGE = Path(__file__).resolve().parents[1]
# Inside the package as it is installed (setup.py), beside it in a checkout.
RECIPES = (_PACKAGE if (_PACKAGE / "recipes").is_dir() else _PACKAGE.parent) / "recipes"
# Keys of a task that mean something else for another task of its module.
OF_ONE_TASK = {"variant", "parameters"}
TABLES: dict[str, Mapping[str, str]] = {"task": TASKS, "algorithm": ALGORITHMS}


def load_config(arguments: Sequence[str], world_size: int = 1) -> Config:
    """Reads the recipe, lays the arguments over it, and validates. Raises ConfigError.

    world_size: the number of training processes, which the batch must divide into.
    """
    given = parse_arguments(arguments)
    name = given.pop("recipe", None)
    data = _merge(_read_recipe(name), given)
    data["recipe"] = name
    find_plugins(name)
    model = _model(data)
    mistakes = [*_complete_choices(data, model)]
    try:
        if "run_dir" not in data:
            own = Path(name).stem if _is_file(name) else name
            data["run_dir"] = f"runs/{own}-s{data.get('seed', 0)}"
        config = model.model_validate(data)
    except ValidationError as error:
        mistakes = [of_error(e, known_keys(model)) for e in error.errors()] + mistakes
    else:
        mistakes += across_keys(config, world_size)
        if not mistakes:
            mistakes += of_plugins(config)
        if not mistakes:  # it loads torch, which a typo need not wait for
            mistakes += of_algorithm(config)
    if mistakes:
        raise ConfigError(f"recipe {name}", mistakes)
    return config


def saved_config(path: Path) -> Config:
    """The configuration that a run wrote. Raises FileNotFoundError, RecordError, or ConfigError for a file of
    another kind."""
    data = upgraded(read_object(path))
    find_plugins(data.get("recipe"))
    try:
        return config_model(tuple(data.get("hooks", ()))).model_validate(data)
    except ValidationError as error:
        raise ConfigError(str(path), [of_error(e, ()) for e in error.errors()]) from None


def find_plugins(recipe: Any) -> None:
    """Lets modules beside the recipe, if it is a file, and in the current directory be imported."""
    beside = [str(Path(recipe).resolve().parent)] if _is_file(recipe) else []
    for place in (*beside, str(Path.cwd())):
        if place not in sys.path and "" not in sys.path:
            sys.path.append(place)


def _model(data: dict[str, Any]) -> type[Config]:
    """The configuration's model with the sections of its hooks. Raises ConfigError."""
    hooks = data.get("hooks") or []
    if not isinstance(hooks, list) or not all(isinstance(path, str) for path in hooks):
        raise ConfigError("hooks", [Mistake("hooks", hooks, "is a list of package.module:function")])
    mistakes = []
    for i, path in enumerate(hooks):
        try:
            factory(path)
        except PluginError as error:
            mistakes.append(Mistake(f"hooks[{i}]", path, str(error)))
    if mistakes:
        raise ConfigError(f"recipe {data['recipe']}", mistakes)
    return config_model(tuple(hooks))


def recipe_names() -> list[str]:
    """All recipes, as given to `recipe=`; files that start with _ are only inherited from."""
    files = RECIPES.rglob("*.yaml")
    names = [str(f.relative_to(RECIPES).with_suffix("")) for f in files]
    return sorted(n for n in names if not Path(n).name.startswith("_"))


def parse_arguments(arguments: Sequence[str]) -> dict[str, Any]:
    """key=value arguments as nested mappings; `task=X` is short for `task.name=X`, where X is a path of data
    for `task.name=data task.path=X`."""
    wrong = [Mistake(a, None, _not_a_key(a)) for a in arguments if "=" not in a or a.startswith("-")]
    if wrong:
        raise ConfigError("command line", wrong)
    short = tuple(f"{group}=" for group in TABLES)
    arguments = [a.replace("=", ".name=", 1) if a.startswith(short) else a for a in arguments]
    arguments = [a.replace("=", ".name=", 1) if _has_parts(a, arguments) else a for a in arguments]
    try:
        given: Any = OmegaConf.to_container(OmegaConf.from_dotlist(list(arguments)))
        if isinstance(given.get("task"), dict):
            given["task"] = spelled_out(given["task"])
        return given
    except (OmegaConfBaseException, YAMLError) as error:
        raise ConfigError("command line", [Mistake(" ".join(arguments), None, str(error))]) from None


def _has_parts(argument: str, arguments: Sequence[str]) -> bool:
    """Whether `soundness=judge` stands beside settings of it, such as soundness.url=..."""
    key = argument.partition("=")[0]
    return key.rpartition(".")[2] == "soundness" and any(a.startswith(f"{key}.") for a in arguments)


def _not_a_key(argument: str) -> str:
    """What to do about an argument that is not key=value."""
    name = argument.lstrip("-").partition("=")[0]
    if argument.startswith("-"):
        if name.replace("-", "").replace("_", "") == "dryrun":
            return "did you mean --dry-run?"
        return f"arguments are key=value, without dashes: {name}=..."
    if argument in recipe_names() or _is_file(argument):
        return f"did you mean recipe={argument}?"
    return "arguments are key=value"


def _read_recipe(name: Any, beside: Path = Path(), seen: tuple[Path, ...] = ()) -> dict[str, Any]:
    """A recipe with what its `defaults` names under it. beside: the directory that a file is relative to."""
    path = _recipe_path(name, beside)
    if path in seen:
        raise ConfigError(str(path), [Mistake("defaults", name, "a recipe inherits from itself")])
    try:
        read = OmegaConf.to_container(OmegaConf.load(path))
    except (OmegaConfBaseException, YAMLError) as error:
        raise ConfigError(str(path), [Mistake(str(path), None, f"not YAML: {error}")]) from None
    if not isinstance(read, dict):
        raise ConfigError(str(path), [Mistake(str(path), None, "a recipe is a mapping of keys")])
    data: dict[str, Any] = {str(key): value for key, value in read.items()}
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
    result = dict(under)
    for key, value in over.items():
        below = result.get(key)
        if not (isinstance(below, dict) and isinstance(value, dict)):
            result[key] = value
            continue
        replaced = key in TABLES and value.get("name", below.get("name")) != below.get("name")
        result[key] = value if replaced else merged(below, value)
    return result


def _complete_choices(data: dict[str, Any], model: type[Config]) -> list[Mistake]:
    """Validates every named choice in place against its builder's signature and fills its defaults."""
    mistakes: list[Mistake] = []
    for group, table in TABLES.items():
        if isinstance(data.get(group), dict) and "name" in data[group]:
            data[group] = spelled_out(data[group]) if group == "task" else data[group]
            if data[group]["name"] == "mixture":
                _complete_mixture(data[group], mistakes)
            data[group] = complete_choice(data[group], group, table, mistakes)
    for name, field in model.model_fields.items():
        for key, entry in _task_lists(field.annotation).items():
            _complete_tasks(data.get(name), name, key, entry, mistakes, trained_tasks(data.get("task")))
    return mistakes


def _inherited(name: str, trained: Sequence[Mapping[str, Any]], path: Any = None) -> dict[str, Any]:
    """What a task takes over from the one that is trained on: every key of the same task; of another task
    of the same module, which is posed alike, the keys that both have and that mean the same. path: of data
    of the user's own, which from other data takes over how that is posed and graded."""
    for task in trained:
        if task.get("name") == name:
            elsewhere = name == NAME and path not in (None, task.get("path"))
            own = {key: value for key, value in task.items() if key not in ("name", "weight")}
            return {key: value for key, value in own.items() if key in POSING} if elsewhere else own
    for task in trained:
        other = str(task.get("name"))
        modules = {TASKS.get(registry.family(n), n).partition(":")[0] for n in (name, other)}
        if len(modules) == 1:
            keys = registry.schema(TASKS, name).model_fields.keys() - OF_ONE_TASK
            return {key: value for key, value in task.items() if key in keys}
    return {}


def _task_lists(section: Any) -> dict[str, type[Choice]]:
    """The keys of a section that are lists of tasks, with the model of their entries."""
    found = {}
    if isinstance(section, type) and issubclass(section, BaseModel) and not issubclass(section, Choice):
        for key, field in section.model_fields.items():
            entry = (get_args(field.annotation) or (None,))[0]
            if isinstance(entry, type) and issubclass(entry, Choice):
                found[key] = entry
    return found


def _complete_mixture(task: dict[str, Any], mistakes: list[Mistake]) -> None:
    stages = task.get("stages")
    _complete_tasks(task, "task", "tasks", WeightedTask, mistakes)
    for i, stage in enumerate(stages if isinstance(stages, list) else []):
        _complete_tasks(stage, f"task.stages[{i}]", "tasks", WeightedTask, mistakes)


def _complete_tasks(
    holder: Any,
    where: str,
    key: str,
    entry_model: type[Choice],
    mistakes: list[Mistake],
    trained: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Completes in place the tasks that a mapping lists, if it does; what the list says of its entries
    beside their own keys, such as the weight in a mixture, stays as it is. trained: the tasks whose keys
    an entry takes over where it does not set them."""
    if not isinstance(holder, dict) or not isinstance(holder.get(key), list):
        return
    of_list = entry_model.model_fields.keys() - {"name"}
    for i, entry in enumerate(holder[key]):
        entry = {"name": entry} if isinstance(entry, str) else entry
        if isinstance(entry, dict):
            said = {name: value for name, value in entry.items() if name in of_list}
            options = spelled_out({name: value for name, value in entry.items() if name not in said})
            with suppress(KeyError, PluginError):  # an unknown name, which complete_choice reports
                options = _inherited(str(options.get("name")), trained, options.get("path")) | options
            completed = complete_choice(options, f"{where}.{key}[{i}]", TASKS, mistakes)
            holder[key][i] = said | completed


def complete_choice(
    choice: dict[str, Any], where: str, table: Mapping[str, str], mistakes: list[Mistake]
) -> dict[str, Any]:
    """The choice with its builder's defaults filled in; adds what is wrong with it to the mistakes."""
    name = str(choice.get("name"))
    if registry.family(name) not in table and not registry.is_plugin(table, name):
        advice = f"unknown; {nearest(registry.family(name), list(table))} (yours: package.module:function)"
        mistakes.append(Mistake(f"{where}.name", name, advice))
        return {"name": name}
    options = {key: value for key, value in choice.items() if key != "name"}
    try:
        return {"name": name, **registry.complete(table, name, options)}
    except PluginError as error:
        close = nearest(registry.family(name), list(table), "")
        advice = f"{close} {error}" if close.startswith("did you") else str(error)
        mistakes.append(Mistake(f"{where}.name", name, advice))
    except ValidationError as error:
        known = [f"{where}.{key}" for key in ("name", *known_keys(registry.schema(table, name)))]
        mistakes += [of_error(e, known, prefix=f"{where}.") for e in error.errors()]
    return {"name": name}
