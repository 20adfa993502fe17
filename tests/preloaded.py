# ruff: noqa: F401
"""What the fork server of `forked` imports once: all that is heavy in a training run and in a probe."""

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

if not os.path.exists("/dev/nvidiactl"):  # it would look for GPUs, and a process that has cannot be forked
    os.environ["DS_ACCELERATOR"] = "cpu"
    with suppress(ImportError):
        import deepspeed
