"""What steps trained on, on disk: rewards, advantages and tokens, and no more steps than asked for."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from rlvr.core.sealed import read_sealed
from rlvr.engines import Completion, Turn
from rlvr.graders import Status, Verdict
from rlvr.models.tiny_base import byte_tokenizer
from rlvr.rollouts.collect import Group, Scored
from rlvr.tasks import Problem
from rlvr.tracking.kept_rollouts import KeptRollouts, kept_files

TOKENIZER = byte_tokenizer()


def scored(text: str, right: bool, turns: tuple[Turn, ...] = ()) -> Scored:
    ids = tuple(TOKENIZER.encode(text))
    completion = Completion(ids, tuple(-0.25 * i for i in range(len(ids))), text, "stop", turns=turns)
    verdict = Verdict(Status.CORRECT if right else Status.WRONG, float(right), "7", sound=not right)
    return Scored(completion, verdict, 1.5 if right else 0.0, {"outcome": float(right), "format": 0.5})


def groups() -> tuple[Group, ...]:
    turn = Turn(0, 2, 0.5, "ab", "c")
    return (
        Group(Problem("a", "1+1", "2"), 4, (1,), (scored("ab\n", True), scored("é", False))),
        Group(Problem("b", "2+2", "4"), 9, (1,), (scored("abc", False, (turn,)),)),
    )


def batch() -> Any:
    """Of the three completions: the second is not trained on, of the third its first two tokens are."""
    mask = torch.tensor([[1.0, 1.0, 1.0], [0.0, 0.0, 0.0], [1.0, 1.0, 0.0]])
    return SimpleNamespace(mask=mask, advantages=torch.tensor([[2.0] * 3, [7.0] * 3, [-1.0, -2.0, 9.0]]))


def test_a_row_has_what_the_step_trained_on(tmp_path: Path) -> None:
    KeptRollouts(tmp_path / "rollouts", 3, 0, TOKENIZER).write(12, groups(), batch())
    (file,) = kept_files(tmp_path / "rollouts")[12]
    assert file.name == "step_000012-rank0.parquet"
    first, second, third = read_sealed(file).to_pylist()
    assert (first["problem"], first["position"], first["index"], first["prompt"]) == ("a", 4, 0, "1+1")
    assert (first["reward"], json.loads(first["components"])) == (1.5, {"outcome": 1.0, "format": 0.5})
    assert (first["status"], first["sound"], first["advantage"], first["trained"]) == (
        "correct",
        False,
        2.0,
        3,
    )
    assert (first["logprobs"], first["lengths"], first["turns"]) == ([0.0, -0.25, -0.5], [1, 1, 1], None)
    assert (second["advantage"], second["trained"]) == (None, 0)
    assert second["text"] == "é" and second["lengths"] is None  # two bytes of one character
    assert (third["problem"], third["index"], third["advantage"], third["trained"]) == ("b", 0, -1.5, 2)
    assert json.loads(third["turns"]) == [
        {"start": 0, "end": 2, "reward": 0.5, "text": "ab", "observation": "c"}
    ]


def test_the_last_steps_stay_and_those_of_a_former_part_go(tmp_path: Path) -> None:
    kept = KeptRollouts(tmp_path, 2, 0, TOKENIZER)
    for step in (1, 2, 3, 4):
        kept.write(step, groups(), batch())
    assert [*kept_files(tmp_path)] == [3, 4]
    kept.write(2, groups(), batch())  # resumed from an earlier checkpoint
    assert [*kept_files(tmp_path)] == [2]


def test_every_process_has_a_file_of_its_own(tmp_path: Path) -> None:
    for rank in (0, 1):
        KeptRollouts(tmp_path, 1, rank, TOKENIZER).write(5, groups(), batch())
    assert [file.name for file in kept_files(tmp_path)[5]] == [f"step_000005-rank{r}.parquet" for r in (0, 1)]


def test_nothing_is_kept_where_nobody_asked(tmp_path: Path) -> None:
    KeptRollouts(tmp_path / "rollouts", 0, 0, TOKENIZER).write(1, groups(), batch())
    assert not (tmp_path / "rollouts").exists()
