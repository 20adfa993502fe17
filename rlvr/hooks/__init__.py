"""Checkpoint hooks: called before the first step and after every checkpoint. The probe is one.

`hooks: ["package.module:function"]` names functions of a RunContext that return a CheckpointHook. One that
adds more to a run, such as a section of the configuration, is a HookFactory.
"""

from rlvr.hooks.contract import CheckpointEvent, CheckpointHook, Curves, HookReport, Table
from rlvr.hooks.factory import HookFactory, RunContext

__all__ = ["CheckpointEvent", "CheckpointHook", "Curves", "HookFactory", "HookReport", "RunContext", "Table"]
