"""`python -m evals perplexity`: whose responses are scored under whom, and what does not fit together."""

from __future__ import annotations

import json
import random
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evals.commands import perplexity
from evals.records.conditions import Conditions
from evals.records.files import COUNTS, SAMPLES, Origin, counts_file, samples_file, stamped
from evals.sampling.likelihood import perplexities, read_responses
from rlvr.core.checkpoint import weight_hash
from rlvr.core.progress import progress
from rlvr.models.loading import load_model, load_tokenizer

TASK = "countdown:3"
CONDITIONS = Conditions(TASK, "abc", "plain", "exact-1", 0.6, 0.95, 64)
PROMPTS = {"a": "6 10 13 make 70: ", "b": "1 2 3 make 6: "}


def write_samples(directory: Path, weights: str, seed: int, conditions: Conditions = CONDITIONS) -> None:
    """Four random responses to each problem, half of them ended by an end-of-sequence token."""
    directory.mkdir(parents=True, exist_ok=True)
    rng = random.Random(seed)
    samples = [
        {"problem": problem, "index": i, "finish_reason": "stop" if i % 2 else "length",
         "token_ids": [rng.randrange(32, 127) for _ in range(rng.randint(3, 12))] + [257] * (i % 2)}
        for problem in PROMPTS for i in range(4)
    ]  # fmt: skip
    counts = [{"problem": p, "n": 4, "correct": 1, "prompt": text} for p, text in PROMPTS.items()]
    origin = Origin(weights, "t", "hf", "float32", 0)
    for rows, schema, name in ((samples, SAMPLES, samples_file), (counts, COUNTS, counts_file)):
        table = pa.Table.from_pylist(rows, stamped(schema, conditions, origin))
        pq.write_table(table, name(directory, TASK))


@pytest.fixture
def run(tmp_path: Path, untrained: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run that was probed before training and at steps 5 and 10, and kept its last checkpoint."""
    monkeypatch.chdir(tmp_path)
    run, policy = tmp_path / "run", tmp_path / "run" / "checkpoints" / "step_000010" / "policy"
    shutil.copytree(untrained, policy)
    model = load_model(untrained, "float32")
    for parameter in model.parameters():
        parameter.data *= 1.1
    model.save_pretrained(policy)
    (run / "config.json").write_text(json.dumps({"model": str(untrained), "base": None}))
    write_samples(run / "probes" / "base", weight_hash(untrained), 0)
    write_samples(run / "probes" / "step_000000", weight_hash(untrained), 0)
    write_samples(run / "probes" / "step_000005", "gone", 1)
    write_samples(run / "probes" / "step_000010", weight_hash(policy), 2)
    others = [{"id": "b", "completion": "1+2=3, 3+3=6"}, {"id": "b", "completion": "1*2*3=6"}]
    (tmp_path / "other.jsonl").write_text("".join(json.dumps(row) + "\n" for row in others))
    return run


def read(out: Path) -> dict[tuple[str, str, int | None, str], dict[str, Any]]:
    rows = [json.loads(line) for line in (out / "perplexity.jsonl").read_text().splitlines()]
    assert {row["task"] for row in rows} == {TASK}
    return {(r["model"], r["author"], r["step"], r["problem"]): r for r in rows}


def expected(model: Path, directory: Path, n: int, problem: str) -> float:
    """The median, with every response scored alone."""
    prompts = {p: tuple(load_tokenizer(model).encode(text)) for p, text in PROMPTS.items()}
    own = [r for r in read_responses(samples_file(directory, TASK), prompts, n) if r.problem == problem]
    loaded = load_model(model, "float32")
    with progress("", len(own)) as display:
        return float(np.median([perplexities(loaded, [r], 1000, display)[0] for r in own]))


def test_a_run_is_scored_over_its_steps_and_at_its_end(
    run: Path, untrained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert perplexity.main([f"run={run}", f"task={TASK}", "out=out", "other=other.jsonl", "n=3"]) == 0
    found = read(Path("out"))
    assert {key[:3] for key in found} == {
        ("base", "base", None), ("base", "policy", 5), ("base", "policy", 10), ("base", "other", None),
        ("policy", "policy", 10), ("policy", "base", None), ("policy", "other", None),
    }  # fmt: skip
    policy = run / "checkpoints" / "step_000010" / "policy"
    for key, model, step in (
        (("base", "base", None, "a"), untrained, "base"),
        (("base", "policy", 5, "b"), untrained, "step_000005"),
        (("policy", "policy", 10, "a"), policy, "step_000010"),
        (("policy", "base", None, "b"), policy, "base"),
    ):
        alone = expected(model, run / "probes" / step, 3, key[3])
        assert found[key]["n"] == 3 and found[key]["perplexity"] == pytest.approx(alone, rel=1e-5)
    assert found["base", "other", None, "b"]["n"] == 2 and ("base", "other", None, "a") not in found
    assert Path("out/perplexity.png").read_bytes().startswith(b"\x89PNG")
    printed = capsys.readouterr().out
    assert "policy, step 5 " in printed and "quartiles over problems" in printed


def test_two_models_and_a_directory_of_samples_need_no_run(run: Path, untrained: Path) -> None:
    policy = run / "checkpoints" / "step_000010" / "policy"
    shutil.copytree(run / "probes" / "step_000010", "samples")
    shutil.copytree(run / "probes" / "base", "samples/base")
    models = [f"base={untrained}", f"policy={policy}", "samples=samples"]
    assert perplexity.main([*models, f"task={TASK}", "out=two"]) == 0
    assert perplexity.main([f"run={run}", f"task={TASK}", "out=one"]) == 0
    of_run = {(m, a, p): row["perplexity"] for (m, a, step, p), row in read(Path("one")).items() if step != 5}
    assert of_run == {(m, a, p): row["perplexity"] for (m, a, _, p), row in read(Path("two")).items()}


def test_a_policys_responses_are_likelier_to_it_where_it_wrote_them(run: Path, base: Path) -> None:
    """Samples of the pretrained base against those of random tokens."""
    from rlvr.engines import Request, Sampling, generate
    from rlvr.engines.hf import HFEngine

    tokenizer = load_tokenizer(base)
    engine = HFEngine(load_model(base, "float32"), tokenizer, (257,))
    prompt = tuple(tokenizer.encode("6 10 13 make 70: "))
    requests = [Request(prompt, Sampling(0.6, 0.95, 40), seed) for seed in range(4)]
    drawn = dict(generate(engine, requests))
    write_samples(run / "probes" / "step_000010", weight_hash(base), 2)
    table = pq.read_table(samples_file(run / "probes" / "step_000010", TASK)).to_pylist()
    for row in table:
        completion = drawn[row["index"]]
        row |= {"token_ids": list(completion.token_ids), "finish_reason": completion.finish_reason}
    schema = pq.read_schema(samples_file(run / "probes" / "step_000010", TASK))
    pq.write_table(pa.Table.from_pylist(table, schema), samples_file(run / "probes" / "step_000010", TASK))
    shutil.copytree(base, run / "checkpoints" / "step_000010" / "policy", dirs_exist_ok=True)
    assert perplexity.main([f"run={run}", f"task={TASK}", "out=out"]) == 0
    found = read(Path("out"))
    own, random_tokens = found["policy", "policy", 10, "a"], found["policy", "base", None, "a"]
    assert own["perplexity"] < 2 < 50 < random_tokens["perplexity"]


def test_samples_of_other_weights_are_refused(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_samples(run / "probes" / "step_000010", "stale", 2)
    assert perplexity.main([f"run={run}", f"task={TASK}", "out=out"]) == 2
    assert "was drawn with weights stale, but those of the policy" in capsys.readouterr().err
    assert not Path("out").exists()


def test_samples_drawn_otherwise_than_the_bases_are_refused(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_samples(run / "probes" / "step_000005", "gone", 1, replace(CONDITIONS, temperature=1.0))
    assert perplexity.main([f"run={run}", f"task={TASK}", "out=out"]) == 2
    assert "temperature: 0.6 / 1.0" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["out=out", "run=run"], "task\n      is missing"),
        (["out=out", "task=gsm8k", "run=run"], "has no checkpoint that was probed on gsm8k; probed: []"),
        (["out=out", f"task={TASK}", "run=absent"], "there is no such directory"),
        (["out=out", f"task={TASK}", "run=."], "is no run"),
        (["out=out", f"task={TASK}", "run=run", "base=x"], "takes the place of base"),
        (["out=out", f"task={TASK}", "base=x"], "policy, samples\n      is missing"),
        (["out=other.jsonl", f"task={TASK}", "run=run"], "is a file; give a directory"),
        (["out=a/b", f"task={TASK}", "run=run"], "there is no directory a"),
        (["out=out", f"task={TASK}", "run=run", "n=0"], "n = 0"),
        (["out=out", f"task={TASK}", "run=run", "other=none.jsonl"], "none.jsonl cannot be read"),
    ],
)
def test_wrong_arguments(
    run: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: str
) -> None:
    assert perplexity.main(arguments) == 2
    assert complaint in capsys.readouterr().err


def test_a_response_beyond_the_models_context_is_named(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("other.jsonl").write_text(json.dumps({"id": "b", "completion": "1" * 2000}) + "\n")
    assert perplexity.main([f"run={run}", f"task={TASK}", "out=out", "other=other.jsonl"]) == 1
    assert "problem b: a response has 2014 tokens" in capsys.readouterr().err


def test_missing_samples_of_the_base_are_named(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(run / "probes" / "base")
    assert perplexity.main([f"run={run}", f"task={TASK}", "out=out"]) == 2
    assert "there is no file" in capsys.readouterr().err
