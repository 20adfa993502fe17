# ruff: noqa: F401
"""What the fork server of `forked` imports and makes once: what runs and probes spend their start on."""

from __future__ import annotations

import os
from contextlib import suppress

import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
import transformers

import evals.commands.perplexity
import evals.commands.probe
import rlvr.runs.assemble
from rlvr.tasks import build_task

for name in ("countdown:3", "countdown:4"):  # the problems of nearly every run; what is drawn is kept
    build_task(name)

if not os.path.exists("/dev/nvidiactl"):  # it would look for GPUs, and a process that has cannot be forked
    os.environ["DS_ACCELERATOR"] = "cpu"
    with suppress(ImportError):
        import deepspeed
