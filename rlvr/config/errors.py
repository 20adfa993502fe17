"""Mistakes in a configuration: each with what was given and what to do, all of them at once."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from rlvr.config.schema import Choice
from rlvr.core.errors import UserError


@dataclass(frozen=True)
class Mistake:
    """One thing that is wrong: where, what was given (None: nothing), and what to do."""

    key: str
    given: Any
    advice: str

    def __str__(self) -> str:
        given = "" if self.given is None else f" = {self.given!r}"
        return f"  {self.key}{given}\n      {self.advice}"


class ConfigError(UserError):
    """The configuration cannot be used; the message lists every mistake."""

    status = 2
    of = "configuration"

    def __init__(self, where: str, mistakes: Sequence[Mistake]):
        self.mistakes = tuple(mistakes)
        count = f"{len(mistakes)} mistake{'s' if len(mistakes) > 1 else ''}"
        lines = "\n".join(str(m) for m in mistakes)
        super().__init__(f"{count} in the {self.of} ({where})\n{lines}")


class ArgumentsError(ConfigError):
    """The arguments of a command cannot be used; the message lists every mistake."""

    of = "arguments"


def of_error(error: ErrorDetails, known: Sequence[str], prefix: str = "") -> Mistake:
    """What pydantic found, in our words. known: every key there is; prefix: where the model stands."""
    key = prefix + ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return Mistake(key, error["input"], f"unknown key; {_nearest_key(key, known)}")
    if error["type"] == "missing":
        return Mistake(key, None, "is missing and has no default")
    if inside := [k for k in known if k.startswith(f"{key}.")]:
        advice = f"is a section; its keys: {', '.join(inside)}"
        return Mistake(key, error["input"], advice)
    return Mistake(key, error["input"], error["msg"][0].lower() + error["msg"][1:])


def nearest(name: str, known: Sequence[str], label: str = "known") -> str:
    """'did you mean X?' where one name is close, 'X or Y?' where two are as close, else the list of all."""
    closeness = {k: difflib.SequenceMatcher(None, k, name).ratio() for k in known}
    best = max(closeness.values(), default=0.0)
    if best >= 0.75:
        return f"did you mean {' or '.join(k for k, value in closeness.items() if value == best)}?"
    return f"{label}: {', '.join(known)}"


# What other trainers call a key -> ours.
CALLED_ELSEWHERE = {
    "batch_size": ("rollouts.prompts", "optim.mini_batches"),
    "train_batch_size": ("rollouts.prompts", "optim.mini_batches"),
    "per_device_train_batch_size": ("optim.micro_batch_tokens", "rollouts.prompts"),
    "num_generations": ("rollouts.group_size",),
    "learning_rate": ("optim.lr",),
    "max_completion_length": ("rollouts.max_new_tokens",),
    "max_tokens": ("rollouts.max_new_tokens",),
    "max_steps": ("steps",),
    "save_steps": ("save_every",),
    "output_dir": ("run_dir",),
    "beta": ("algorithm.kl.coefficient",),
    "report_to": ("monitor.wandb",),
}


def _nearest_key(key: str, known: Sequence[str]) -> str:
    """Prefers what other trainers call so, then a close key of the same group or in its sections, then one of
    the same name elsewhere, then lists the group's keys."""
    group, _, leaf = key.rpartition(".")
    if named := [k for k in CALLED_ELSEWHERE.get(leaf, ()) if k in known and not group]:
        return f"did you mean {' or '.join(named)}?"
    siblings = _siblings(group, known)
    start = f"{group}." if group else ""
    nested = {k.removeprefix(start).replace(".", "_"): k for k in known if k.startswith(start)}
    own = {k.rpartition(".")[2]: k for k in siblings}
    if close := _close(leaf, own | nested):
        return f"did you mean {close}?"
    if group and (close := _close(leaf, {k.rpartition(".")[2]: k for k in nested.values()})):
        return f"did you mean {close}?"
    elsewhere = [k for k in known if k.rpartition(".")[2] == leaf]
    if elsewhere:
        return f"did you mean {elsewhere[0]}?"
    if siblings and group:
        return f"keys of {group}: {', '.join(siblings)}"
    return nearest(key, known, "known keys")


def _siblings(group: str, known: Sequence[str]) -> list[str]:
    """The keys and sections right below a group."""
    start = f"{group}." if group else ""
    below = [k.removeprefix(start).partition(".")[0] for k in known if k.startswith(start)]
    return [start + name for name in dict.fromkeys(below)]


def _close(leaf: str, keys: Mapping[str, str]) -> str | None:
    """Of keys by name, the one whose name begins with the leaf, is spelled almost like it, or begins it."""
    longer = [name for name in keys if name.startswith(leaf)]
    close = difflib.get_close_matches(leaf, keys, n=1, cutoff=0.75)
    shorter = [name for name in keys if leaf.startswith(f"{name}_")]
    return next((keys[name] for name in (*longer, *close, *shorter)), None)


def known_keys(model: type[BaseModel], prefix: str = "") -> list[str]:
    """Every dotted key of a configuration model."""
    keys: list[str] = []
    for name, field in model.model_fields.items():
        sections = [k for k in get_args(field.annotation) or (field.annotation,) if _is_section(k)]
        for section in sections:
            keys += known_keys(section, f"{prefix}{name}.")
        if not sections:
            keys.append(prefix + name)
    return keys


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel) and kind is not Choice
