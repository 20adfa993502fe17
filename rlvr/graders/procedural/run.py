"""Runs reasoning-gym inside a confined process: many of its scorers run the answer as code.

Entries are drawn there too: some generators go through sets, whose order is one in every worker.
"""

from __future__ import annotations

import functools
import json
from typing import Any

from rlvr.graders.plain_data import decode, encode
from rlvr.graders.procedural.library import load


def run(what: str, name: str, settings: str, *arguments: Any) -> Any:
    """The one entry for a worker pool: make, draw(index) or score(entry, answer).

    settings: the data set's configuration with its seed, as JSON. Entries are encoded plain data.
    """
    data_set = _data_set(name, settings)
    if what == "draw":
        (index,) = arguments
        return encode(data_set[index])
    if what == "score":
        entry, answer = arguments
        return float(data_set.score_answer(answer, decode(entry)))
    return None


@functools.cache
def _data_set(name: str, settings: str) -> Any:
    return load().create_dataset(name, **json.loads(settings))
