"""Episodes in the store: who shares samples, what is kept of turns, and what is made of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from measuring import KEY, QUIET
from playing import BYTES, Player, begin, halving, one_range, raises

from evals.__main__ import main as evals
from evals.commands.curves import main as curves
from evals.commands.curves import turn_curve
from evals.commands.passk import main as passk
from evals.commands.problems.transcript import main as transcript
from evals.estimators.turns import mean_pass_at
from evals.records.conditions import ConditionsError
from evals.records.files import counts_file, read_counts, samples_file
from evals.records.gap_record import compare, read_record
from evals.records.measurement import Measurement
from evals.records.samples import make_whole, read_samples
from evals.records.store import SampleKey, SampleSet, read_turns
from evals.reports.gap_table import pair_table
from evals.sampling.measure import SamplingJob
from evals.sampling.plan import Plan, make_plan
from rlvr.engines import Sampling
from rlvr.graders import StringVerifier
from rlvr.rollouts.playing.acting import EnvironmentFailure
from rlvr.tasks import Problem, Task
from rlvr.tasks.environments import Environment, Transition
from rlvr.tasks.environments.guess import decide

GUESS = one_range()
TOKENS = 112


def wild(text: str, seed: int) -> str:
    """Any number, by the seed of the turn."""
    return f"{1 + seed % 99}\n"


def lucky(text: str, seed: int) -> str:
    """As a rule any number, and in one turn of three the middle of what is left."""
    return halving(text, seed) if seed % 3 == 0 else wild(text, seed)


def plan_of(task: Task, n: int = 12, **changed: Any) -> Plan:
    return make_plan(task, BYTES, Sampling(1.0, 1.0, TOKENS, task.ends), n, **changed)


def key_of(task: Task, **changed: Any) -> SampleKey:
    assert task.environment is not None
    return replace(
        KEY, environment=task.environment.described, max_new_tokens=TOKENS, stop=("\n",), **changed
    )


def measured(
    plan: Plan, writes: Callable[[str, int], str], root: Path, **changed: Any
) -> tuple[Measurement, Player, SampleSet]:
    engine, samples = Player(writes), SampleSet(root, key_of(plan.task, **changed))
    job = SamplingJob(plan, samples, engine)
    job.run(QUIET)
    return job.counted(), engine, samples


def test_problems_of_one_prompt_have_samples_of_their_own(tmp_path: Path) -> None:
    """A number's episodes are drawn for it: with those of another it would be as if it had been that one."""
    plan = plan_of(GUESS)
    assert len(set(plan.prompt_ids)) == 1
    assert len(set(plan.prompt_hashes)) == len(plan.groups()) == 49 and plan.samples == 49 * 12
    found, engine, samples = measured(plan, wild, tmp_path)
    assert samples.read().num_rows == 49 * 12
    first = [r.seed for r in engine.asked if len(r.prompt_ids) == len(plan.prompt_ids[0])]
    assert len(set(first)) == 49 * 12
    for row in samples.read(["text", "problem"]).to_pylist():
        for line, said in zip(*[iter(row["text"].splitlines())] * 2, strict=False):
            assert said.split()[0] == ("higher" if int(line) < int(row["problem"]) else "lower")
    again, idle, _ = measured(plan, wild, tmp_path)
    assert idle.asked == [] and again.counts == found.counts
    plain = replace(GUESS, environment=None)  # without one, equal prompts are equal problems
    assert len(plan_of(plain).groups()) == 1


def test_another_version_or_limit_is_another_set_and_not_compared(tmp_path: Path) -> None:
    fewer, environment = one_range(turns=3), GUESS.environment
    assert environment is not None
    later = replace(GUESS, environment=replace(environment, version="guess-3"))
    tasks = (GUESS, fewer, later)
    assert len({key_of(task).digest() for task in tasks}) == 3
    assert len({key_of(task).stream() for task in tasks}) == 1
    six, three = (measured(plan_of(task), lucky, tmp_path)[0] for task in (GUESS, fewer))
    with pytest.raises(ConditionsError, match=r"environment: guess-2, 6 turns of 4 tokens / guess-2, 3"):
        compare(six, three, 4, 0, 0)
    # The same samples, cut after three turns.
    assert six.turns and three.turns
    assert three.turns.correct.tolist() == six.turns.correct[:3].tolist()
    assert np.allclose(three.turns.tokens, six.turns.tokens[:3])
    assert (
        "environment" not in KEY.fields()
        and "environment" not in plan_of(replace(GUESS, environment=None)).conditions.described()
    )


def test_turns_are_kept_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_of(GUESS)
    found, _, samples = measured(plan, lucky, tmp_path / "store")
    rows = samples.read(["token_ids", "text", "turns", "final", "problem"]).to_pylist()
    assert found.turns is not None and found.most_turns == 6
    for row in rows:
        row["turns"] = read_turns(row["turns"])
    for turns in range(1, 7):
        right = {p.id: 0 for p in plan.problems}
        spent = dict.fromkeys(right, 0)
        for row in rows:
            lines = [row["text"][t.start : t.end] for t in row["turns"]]
            assert lines == [t.text for t in row["turns"]]
            assert row["final"] == lines[-1].strip()
            assert [t.reward for t in row["turns"]] == [
                float(line.strip() == row["problem"]) for line in lines
            ]
            right[row["problem"]] += row["problem"] in (line.strip() for line in lines[:turns])
            spent[row["problem"]] += sum(map(len, lines[:turns]))
        assert found.turns.correct[turns - 1].tolist() == [*right.values()]
        assert np.allclose(found.turns.tokens[turns - 1], [total / 12 for total in spent.values()])
    assert 0 < found.turns.correct[0].sum() < found.turns.correct[5].sum() < 49 * 12
    found.write(tmp_path, samples)
    monkeypatch.setenv("RLVR_STORE", str(tmp_path / "store"))
    stored = read_counts(counts_file(tmp_path, "guess"))
    assert stored.turns and stored.turns.correct.tolist() == found.turns.correct.tolist()
    assert (
        stored.conditions == found.conditions
        and found.conditions.environment == "guess-2, 6 turns of 4 tokens"
    )
    kept = read_samples(samples_file(tmp_path, "guess"), ["text", "turns"])["turns"].to_pylist()
    assert sorted(map(read_turns, kept)) == sorted(row["turns"] for row in rows)


def test_a_transcript_shows_an_episode_turn_by_turn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found, _, samples = measured(plan_of(GUESS), halving, tmp_path / "store")
    for directory in (tmp_path, tmp_path / "base"):
        found.write(directory, samples)
    monkeypatch.setenv("RLVR_STORE", str(tmp_path / "store"))
    number = next(p.id for p, t in zip(found.problems, found.turns.correct.T, strict=True) if t[2] > t[1])  # type: ignore[union-attr]
    assert transcript([str(tmp_path), f"problem={number}"]) == 0
    shown = capsys.readouterr().out.splitlines()
    low, high = ("51", "99") if int(number) > 50 else ("1", "49")
    said = "higher" if int(number) > 50 else "lower"
    assert shown[0] == f"problem {number}, policy, sample 0 of 12: correct, 3 turns, ended by itself"
    assert shown[1:5] == [
        r"prompt: 'guess 1-99\n'",
        f'reference: {{"number": {number}, "low": 1, "high": 99}}',
        r"  1  policy, 3 tokens, trained on: '50\n'",
        rf"     environment, {len(f'{said} {low}-{high}') + 1} tokens: '{said} {low}-{high}\n'",
    ]
    last = rf"  3  policy, 3 tokens, trained on, reward 1: '{number}\n'"
    assert shown[-2:] == [last, f"answer: '{number}'"]
    assert make_whole(samples_file(tmp_path, "guess"))  # without the store it is the same
    assert transcript([str(tmp_path), f"problem={number}"]) == 0
    assert capsys.readouterr().out.splitlines() == shown
    assert transcript([str(tmp_path), "problem=100"]) == 2
    assert "none of those measured" in capsys.readouterr().err
    assert transcript([str(tmp_path), f"problem={number}", "sample=12", "of=base"]) == 2
    assert "samples 0 to 11" in capsys.readouterr().err


def test_passk_shows_every_number_of_turns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for side, writes in (("base", wild), ("policy", lucky)):
        found, _, samples = measured(plan_of(GUESS), writes, tmp_path / "store", weights=side)
        found.write(tmp_path / side, samples)
    files = [str(counts_file(tmp_path / side, "guess")) for side in ("policy", "base")]
    assert passk([files[0], f"base={files[1]}", "k=4", f"out={tmp_path / 'out.json'}"]) == 0
    shown = capsys.readouterr().out
    assert "policy: solved within T turns" in shown and "base: solved within T turns" in shown
    made = json.loads((tmp_path / "out.json").read_text())["measured"]["turns"]
    turns = read_counts(Path(files[0])).turns
    assert turns is not None and made["turns"] == [1, 2, 3, 4, 5, 6]
    assert made["pass_at_k"][2]["value"] == mean_pass_at(turns, 4, 3).value
    assert (
        made["equal_tokens"][0]["tries"] == 4
        and made["equal_tokens"][0]["value"] == made["pass_at_k"][0]["value"]
    )
    assert made["equal_tokens"][5]["tries"] < 1.5


def test_a_gap_record_has_them_and_is_read_again(tmp_path: Path) -> None:
    base, policy = (
        measured(plan_of(GUESS), writes, tmp_path, weights=name)[0]
        for name, writes in (("b", wild), ("p", lucky))
    )
    record = compare(base, policy, 4, 10, 0)
    assert record.turns is not None and record.environment == "guess-2, 6 turns of 4 tokens"
    assert record.turns.pass_at_1[-1] == record.at(1) and record.turns.pass_at_k[-1] == record.at(4)
    assert record.turns.base_pass_at_1[-1] == record.at(1, base=True)
    assert record.turns.pass_at_1 == sorted(record.turns.pass_at_1) and record.turns.failed == 0
    assert read_record(json.loads(json.dumps(record.row())), "here") == record
    lines = [" ".join(line.split()) for line in printed(pair_table(record))]
    one, six = record.turns.pass_at_1[0], record.turns.pass_at_1[5]
    assert any(line.startswith(f"@1 / @4, 1 turn {100 * one:.1f} / ") for line in lines)
    assert any(line.startswith(f"@1 / @4, 6 turns {100 * six:.1f} / ") for line in lines)
    assert record.metrics()["pass@1_turns@6"] == record.at(1)


def printed(made: object) -> list[str]:
    import io

    from rich.console import Console

    console = Console(width=100, file=io.StringIO())
    console.print(made)
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


def sometimes(state: dict[str, Any], text: str) -> Transition:
    """Fails at numbers above 50."""
    if int(text) > 50:
        raises(state, text)
    return Transition({"number": state["number"], "guess": int(text)}, done=True)


def test_episodes_that_fail_stop_the_probe_or_count_as_wrong(tmp_path: Path) -> None:
    problems = [Problem(str(n), "?", {"number": n}) for n in (7, 8)]
    verifier = StringVerifier(lambda text, reference: decide("7", {"number": 7}), "right-1")  # of anything
    task = Task(
        "fails", [], problems, verifier, "plain", environment=Environment(begin_number, sometimes, 1, ("\n",))
    )
    with pytest.raises(EnvironmentFailure, match="the environment failed: act raised KeyError"):
        measured(plan_of(task), wild, tmp_path)
    found, _, samples = measured(plan_of(task, bad="wrong"), wild, tmp_path)
    reasons = found.table["finish_reason"].to_pylist()
    assert {*reasons} == {"stop", "failed"} and found.failed == reasons.count("failed") / 24
    assert [s == "wrong" for s in found.table["status"].to_pylist()] == [r == "failed" for r in reasons]
    regraded = replace(task, verifier=StringVerifier(verifier.decide, "right-2"))
    again = SamplingJob(plan_of(regraded), samples, Player(wild))
    again.run(QUIET)
    assert again.counted().counts == found.counts and again.engine.asked == []  # type: ignore[attr-defined]
    assert begin(None) == {"turn": 0}


def begin_number(reference: Any) -> dict[str, Any]:
    return {**reference, "guess": None}


def test_a_curve_over_turns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found, _, samples = measured(plan_of(GUESS), lucky, tmp_path / "store")
    found.write(tmp_path, samples)
    file = counts_file(tmp_path, "guess")
    curve = turn_curve("lucky", read_counts(file), 4)
    assert found.turns is not None and curve.ks == [1, 2, 3, 4, 5, 6]
    expected = [100 * mean_pass_at(found.turns, 4, t).value for t in curve.ks]
    assert curve.mean.tolist() == pytest.approx(expected)
    assert curves([str(file), f"out={tmp_path / 'turns.svg'}", "over=turns", "k=4"]) == 0
    assert "pass@(4, T)" in (tmp_path / "turns.svg").read_text()
    assert curves([str(file), f"out={tmp_path / 'more.svg'}", "over=turns", "k=13"]) == 2
    assert "fewer than k=13" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["power", "grade", "entropy"])
def test_commands_that_know_one_turn_refuse_episodes(
    command: str, untrained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "samples.jsonl").write_text("")
    arguments = {
        "power": [f"model={untrained}", "task=guess", f"out={tmp_path / 'out'}"],
        "grade": [f"samples={tmp_path / 'samples.jsonl'}", "task=guess", f"out={tmp_path / 'out.jsonl'}"],
        "entropy": [f"policy={untrained}", f"base={tmp_path}", "task=guess", f"out={tmp_path / 'out'}"],
    }
    assert evals([command, *arguments[command]]) != 0
    assert (
        f"{command} knows completions of one turn, and task guess is of episodes" in capsys.readouterr().err
    )
