"""Every line of cases/public_reports.jsonl, read from that file and run as it stands there."""

from __future__ import annotations

import json
import math
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import DATA
from tokenizers import Tokenizer, models
from toys import learn, toy_algorithm, toy_batch, toy_learner, toy_model
from transformers import PreTrainedTokenizerFast

from rlvr.config.schema import RolloutConfig
from rlvr.graders.code.grader import CodeVerifier
from rlvr.graders.math.grader import MathVerifier
from rlvr.models.loading import eos_ids
from rlvr.sandbox import choose
from rlvr.tasks import TaskError, build_task

FILE = Path(DATA).parent / "cases" / "public_reports.jsonl"
REPORTS: list[dict[str, Any]] = (
    [json.loads(line) for line in FILE.read_text().splitlines()] if FILE.exists() else []
)
OF_ONE_KIND = ("data", "trainer", "rollout")


def test_no_line_is_left_out() -> None:
    if not REPORTS:
        message = f"there is no {FILE}: set RLVR_DATA to the directory of the benchmark files beside it"
        (pytest.fail if os.environ.get("RLVR_REQUIRE_DATA") else pytest.skip)(message)
    areas = Counter(report["area"] for report in REPORTS)
    assert areas == {"math grader": 91, "code grader": 12, "data": 4, "trainer": 1, "rollout": 1}
    assert {report["id"] for report in REPORTS if report["area"] in OF_ONE_KIND} == CHECKS.keys()


@pytest.fixture(scope="module")
def programs() -> Iterator[CodeVerifier]:
    verifier = CodeVerifier(choose(), workers=1)
    yield verifier
    verifier.pool.close()


def of(area: str) -> Any:
    return pytest.mark.parametrize(
        "report", [pytest.param(r, id=r["id"]) for r in REPORTS if r["area"] == area]
    )


@of("math grader")
def test_answers(report: dict[str, Any]) -> None:
    asked = report["input"]
    for grader in ("strict", "lenient"):
        verdict = MathVerifier(asked["template"], grader)(asked["completion"], asked["reference"])
        assert verdict.correct is (report["expected"] == "correct"), grader


@of("code grader")
def test_programs(report: dict[str, Any], programs: CodeVerifier, data: Path) -> None:
    asked = report["input"]
    verdict = programs(asked["completion"], reference_of(report["id"], asked, data))
    assert verdict.correct is (report["expected"] == "correct"), verdict.extracted


def reference_of(name: str, asked: Mapping[str, Any], data: Path) -> Mapping[str, Any]:
    """The reference that a line's `tests` describes."""
    if "task" in asked:
        problems = {p.id: p for p in build_task(asked["task"], source=str(data)).test}
        return problems[asked["id"]].reference
    tests = asked["tests"]
    reference = {
        "id": name, "prefix": "", "entry_point": "mul", "inputs": [[4, 9], [3, 5]], "expected": [36, 15],
        "solution": None, "comparison": "equal", "tolerance": 0.0,
    }  # fmt: skip
    if tests.startswith("prefix: "):
        return reference | {"prefix": tests.removeprefix("prefix: ")}
    if m := re.fullmatch(r"(?:Solution\(\)\.)?mul\((\d+), (\d+)\) == (\d+)", tests):
        a, b, product = map(int, m.groups())
        return reference | {"inputs": [[a, b]], "expected": [product]}
    if m := re.fullmatch(r'"" -> (\d) followed by (\d+) zeros', tests):
        return reference | {"entry_point": None, "inputs": [""], "expected": [m[1] + "0" * int(m[2])]}
    pairs = re.findall(r'"([^"]*)" -> "([^"]*)"', tests)
    assert tests.startswith("stdin ") and pairs
    return reference | {
        "entry_point": None, "inputs": [given for given, _ in pairs], "expected": [out for _, out in pairs]
    }  # fmt: skip


@pytest.mark.parametrize("report", [r for r in REPORTS if r["area"] in OF_ONE_KIND], ids=lambda r: r["id"])
def test_what_is_no_grader(report: dict[str, Any], tmp_path: Path, data: Path) -> None:
    CHECKS[report["id"]](report["input"], tmp_path, data)


def near_duplicates(said: str, _: Path, data: Path) -> None:
    pairs = re.findall(r"(\d+)/(\d+)", said)
    task = build_task("omni_math_rule", source=str(data), split_seed=0)
    sides = {p.id: side for side, split in enumerate((task.train, task.test)) for p in split}
    assert len(pairs) == 5 and all(sides[one] == sides[other] for one, other in pairs)


def contradictions(said: str, folder: Path, _: Path) -> None:
    question, answers = re.findall(r'"(.*?)"', said)[0], re.findall(r"-> (\d+)", said)
    assert len(answers) == 2
    with pytest.raises(TaskError, match="row 1: the question of row 0 again, whose answer is '7', not '8'"):
        math500(folder, *({"problem": question, "answer": answer} for answer in answers))


def missing_references(said: str, folder: Path, _: Path) -> None:
    answers = re.findall(r'"(.*?)"', said)
    assert len(answers) == 3
    for answer in answers:
        with pytest.raises(TaskError, match=r"row 1: the answer .* stands for a missing one"):
            math500(folder, {"problem": "1+1", "answer": "2"}, {"problem": "1+2", "answer": answer})


def blank_last_line(said: str, folder: Path, _: Path) -> None:
    assert said == "jsonl with a blank last line"
    assert len(math500(folder, {"problem": "1+1", "answer": "2"}, after="\n").test) == 1


def math500(folder: Path, *rows: dict[str, str], after: str = "") -> Any:
    file = folder / "math500.jsonl"
    numbered = [{"unique_id": str(n), **row} for n, row in enumerate(rows)]
    file.write_text("".join(json.dumps(row) + "\n" for row in numbered) + after)
    return build_task("math500", source=str(file))


def masked_values(said: str, *_: Path) -> None:
    assert "old_logprobs are NaN, or engine_logprobs -inf" in said
    batch = toy_batch()
    mask = batch.mask.clone()
    mask[0, 0] = mask[5] = 0
    rollouts = RolloutConfig(max_new_tokens=9)
    learner = toy_learner(
        toy_algorithm("grpo"), toy_model(), reference=toy_model(1), rollouts=rollouts, mini_batches=2
    )
    score = learner.score

    def unscored_where_masked(batch: Any) -> Any:
        scored = score(batch)
        return replace(scored, old_logprobs=torch.where(mask > 0, scored.old_logprobs, math.nan))

    learner.score = unscored_where_masked  # type: ignore[method-assign]
    engine = torch.where(mask > 0, batch.engine_logprobs, -math.inf)
    metrics, found = learn(learner, replace(batch, mask=mask, engine_logprobs=engine))
    assert math.isfinite(metrics["loss/total"]) and math.isfinite(metrics["mismatch/mean"])
    assert all(gradient.isfinite().all() for gradient in found.values())


def end_of_turn(said: str, folder: Path, _: Path) -> None:
    end_of_text, turn = 151643, 151645
    assert f"generation_config eos {end_of_text}" in said
    ids = {"<|endoftext|>": end_of_text, "<|im_start|>": 151644, "<|im_end|>": turn, "word": 0}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(ids, unk_token="word")),
        eos_token="<|endoftext|>",
        additional_special_tokens=["<|im_start|>", "<|im_end|>"],
    )
    tokenizer.chat_template = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    )
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": end_of_text}))
    assert eos_ids(folder, tokenizer) == (end_of_text, turn)


CHECKS = {
    "bug-154": near_duplicates,
    "bug-156": contradictions,
    "bug-157": missing_references,
    "bug-159": blank_last_line,
    "bug-161": masked_values,
    "bug-162": end_of_turn,
}
