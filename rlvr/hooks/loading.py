"""The hooks of a run: the built-in ones and those that its configuration names."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from pydantic import create_model

from rlvr.config import registry
from rlvr.config.schema import Config
from rlvr.hooks.factory import HookFactory

# Every run has them; what they do, or whether they do anything, is up to their sections.
BUILT_IN = ("evals.probe.plugin:PROBE",)


@cache
def factory(path: str) -> HookFactory:
    """The factory that "package.module:function" names. Raises PluginError."""
    found = registry.load(path)
    if isinstance(found, HookFactory):
        return found
    registry.check_takes(path, "context")
    return HookFactory(build=found)


def factories(hooks: Sequence[str]) -> list[HookFactory]:
    """The built-in factories, then those of the configuration's `hooks`. Raises PluginError."""
    return [factory(path) for path in (*BUILT_IN, *hooks)]


def config_model(hooks: Sequence[str] = ()) -> type[Config]:
    """The configuration's model with the sections that these hooks add. Raises PluginError."""
    return _config_model(tuple(hooks))


@cache
def _config_model(hooks: tuple[str, ...]) -> type[Config]:
    sections: dict[str, Any] = {
        f.name: (f.section, f.section()) for f in factories(hooks) if f.section is not None
    }
    if taken := sections.keys() & Config.model_fields.keys():
        raise registry.PluginError(f"a hook's section cannot be called {', '.join(sorted(taken))}")
    return create_model("Config", __base__=Config, __module__=Config.__module__, **sections)


def longest_completion(config: Config) -> int:
    """Tokens of the longest completion that training or a hook samples."""
    return max([config.rollouts.max_new_tokens, *(f.longest(config) for f in factories(config.hooks))])
