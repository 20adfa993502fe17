"""python -m evals store: what is in the store, and its canonical export."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from stored_files import CONDITIONS, ORIGIN

from evals.commands.store import main
from evals.records.files import REFERRING, stamped
from evals.records.parquet import write_parquet
from evals.records.store import SampleKey, SampleSet
from rlvr.engines.sampler import called


@pytest.fixture
def sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[SampleSet]:
    monkeypatch.setenv("RLVR_STORE", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    made = []
    for weights, order in (("aaaa", (0, 1, 2)), ("bbbb", (2, 0, 1))):
        made.append(SampleSet(tmp_path, SampleKey(weights, "t", "plain", 0.6, 0.95, 8, "hf", "float32", 0)))
        for index in order:
            made[-1].append([row(index)])
    return made


def row(index: int) -> dict[str, object]:
    return {"prompt": "p", "index": index, "problem": "0", "seed": index, "token_ids": [1, 2], "tokens": 2,
            "digest": "d", "logprob": -0.5, "text": f"{index}", "finish_reason": "stop"}  # fmt: skip


def test_it_lists_the_sets(sets: list[SampleSet], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    shown = capsys.readouterr().out
    for each in sets:
        (line,) = [text for text in shown.splitlines() if each.directory.name[:8] in text]
        assert each.key.weights in line and " 3 " in line


def test_the_export_does_not_depend_on_how_samples_came(sets: list[SampleSet], tmp_path: Path) -> None:
    files = [tmp_path / f"{each.key.weights}.parquet" for each in sets]
    for each, file in zip(sets, files, strict=True):
        assert main([f"set={each.directory.name[:6]}", f"out={file}"]) == 0
    assert files[0].read_bytes() == files[1].read_bytes()
    assert pq.read_table(files[0])["index"].to_pylist() == [0, 1, 2]


@pytest.mark.parametrize(
    "arguments",
    [
        ["set=none", "out=x.parquet"], ["set=a"], ["out=x"], ["sets=a"], ["prune=true"], ["unused_days=1"],
        ["compact=true", "out=x.parquet"],
    ],
)  # fmt: skip
def test_mistakes_are_named(
    sets: list[SampleSet], arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert arguments[0].partition("=")[0] in capsys.readouterr().err


@pytest.mark.parametrize("digits", ["92969606", "33422e12"])
def test_an_id_of_digits_is_no_number(
    sets: list[SampleSet], digits: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([f"set={digits}", "out=x.parquet"]) == 2
    assert f"'{digits}'" in capsys.readouterr().err


def test_models_and_tasks_are_named(sets: list[SampleSet], capsys: pytest.CaptureFixture[str]) -> None:
    for model in ("run/step_000004", "x[red]"):
        sets[0].name(model, "countdown:3")
    (sets[1].directory / "names.json").write_text("[")  # for people alone, so it stops nothing
    assert main([]) == 0
    shown = capsys.readouterr().out
    assert "run/step_000004, x[red]" in shown and "countdown:3" in shown


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/c/hub/models--Qwen--Qwen2.5-7B/snapshots/ab12", "Qwen/Qwen2.5-7B"),
        ("runs/grpo-s1/checkpoints/step_000050/policy", "grpo-s1/step_000050"),
        ("models/mine", "mine"),
    ],
)
def test_what_a_model_is_called(path: str, name: str) -> None:
    assert called(Path(path)) == name


def test_pruning_removes_what_nobody_uses(sets: list[SampleSet], capsys: pytest.CaptureFixture[str]) -> None:
    first, second = sets
    second.name("mine", "countdown:3")
    for file in (first.directory, *first.directory.rglob("*.parquet")):
        os.utime(file, (1e9, 1e9))
    os.utime(second.directory, (1e11, 1e11))  # the clock was set back since
    assert main(["prune=true", "unused_days=30"]) == 0
    assert not first.directory.exists() and second.read().num_rows == 3
    assert "3 samples" in capsys.readouterr().out
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(second.directory / "leases")], stdout=-1
    ) as holder:
        assert holder.stdout and holder.stdout.readline()
        assert main(["prune=true", f"set={second.directory.name[:6]}"]) == 0
        assert "(mine on countdown:3) is being drawn: it stays" in capsys.readouterr().out
        holder.kill()
    assert main(["prune=true", f"set={second.directory.name[:6]}"]) == 0
    assert not [*second.directory.parent.glob("*/key.json")]
    assert not [*second.directory.parent.glob(".gone-*")]


def test_what_a_killed_pruning_left_is_no_set_and_goes_with_the_next(
    sets: list[SampleSet], capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = sets
    gone = first.directory.with_name(f".gone-{first.directory.name}")
    first.directory.rename(gone)
    assert main([]) == 0
    shown = capsys.readouterr().out
    assert second.directory.name[:8] in shown and first.directory.name[:8] not in shown
    assert main(["prune=true", "unused_days=30"]) == 0
    assert not gone.exists() and second.directory.exists()


def test_compacting_keeps_every_row_and_leaves_one_file(
    sets: list[SampleSet], capsys: pytest.CaptureFixture[str]
) -> None:
    verdict = {"prompt": "p", "reference": "r", "digest": "d", "status": "correct", "score": 1.0,
               "extracted": "1", "seconds": 0.0}  # fmt: skip
    first, _ = sets
    for index in range(3):
        first.verdicts("v1").append([{**verdict, "index": index}])
    first.append([row(1), row(3)])  # one of them twice
    before = [(shards.directory, shards.read(shards.schema.names[4:])) for shards in first.tables()]
    assert main(["compact=true"]) == 0
    assert "5 files fewer" in capsys.readouterr().out
    for shards, (directory, rows) in zip(first.tables(), before, strict=True):
        assert shards.directory == directory and len(shards.files()) == 1
        assert shards.read(shards.schema.names[4:]).equals(rows)
    assert main(["compact=true", f"set={first.directory.name}"]) == 0
    assert "0 files fewer" in capsys.readouterr().out


def test_a_reader_beside_a_compaction_misses_nothing(sets: list[SampleSet]) -> None:
    first, _ = sets
    compacted = False
    reading = SampleSet(first.directory.parent, first.key).shards
    whole = reading._is_whole

    def is_whole(shard: Path) -> bool:  # the others vanish after the first was looked at
        nonlocal compacted
        found = whole(shard)
        if not compacted:
            compacted = True
            first.shards.compact(2**20)
        return found

    reading._is_whole = is_whole  # type: ignore[method-assign]
    assert reading.read(["text"]).num_rows == 3 and len(reading.files()) == 1


@pytest.fixture
def referring(sets: list[SampleSet], tmp_path: Path) -> Path:
    """A file that refers to the first set."""
    file = tmp_path / "out" / "x.samples.parquet"
    file.parent.mkdir()
    schema = stamped(REFERRING, CONDITIONS, ORIGIN, samples=sets[0].key)
    sets[0].refer(file)
    write_parquet(file, schema.empty_table())
    return file


def pruned(samples: SampleSet, *arguments: str) -> bool:
    assert main(["prune=true", f"set={samples.directory.name}", *arguments]) == 0
    return not samples.directory.exists()


def test_a_set_that_a_run_refers_to_stays(
    sets: list[SampleSet], referring: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not pruned(sets[0]) and sets[0].read().num_rows == 3
    assert f"is referred to by {referring}: it stays" in capsys.readouterr().out
    for file in (each.directory for each in sets):
        for one in (file, *file.rglob("*.parquet")):
            os.utime(one, (1e9, 1e9))
    assert main(["prune=true", "unused_days=30"]) == 0
    assert sets[0].directory.exists() and not sets[1].directory.exists()
    assert pruned(sets[0], "referred=true")


def test_a_set_stays_while_nobody_knows_where_the_file_is_that_referred_to_it(
    sets: list[SampleSet], referring: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    referring.rename(referring.with_suffix(".moved"))
    assert not pruned(sets[0])
    assert f"was referred to by {referring}, which was moved or removed" in capsys.readouterr().out
    referring.write_bytes(b"damaged")
    assert not pruned(sets[0])
    assert f"may be referred to by {referring}" in capsys.readouterr().out


def test_a_set_goes_once_the_file_is_whole_or_refers_to_another(
    sets: list[SampleSet], referring: Path
) -> None:
    write_parquet(referring, stamped(REFERRING, CONDITIONS, ORIGIN, samples=sets[1].key).empty_table())
    assert pruned(sets[0])
    assert pruned(sets[1])  # it was never noted there: such a file was copied
    assert main(["referred=true"]) == 2


def test_the_list_says_how_many_files_refer_to_a_set(
    sets: list[SampleSet], referring: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    counts = {line[0]: line[-1] for line in lines if line}
    assert [counts[each.directory.name[:8]] for each in sets] == ["1", "0"]


def test_a_store_that_cannot_be_written_says_that_it_was_not_told(
    sets: list[SampleSet], tmp_path: Path
) -> None:
    (sets[0].directory / "referrers").write_text("in the way")
    with pytest.warns(UserWarning, match=r"who prunes that store is not told\. `python -m evals export"):
        sets[0].refer(tmp_path / "x.samples.parquet")


HOLDS = """
import fcntl, sys, time
file = open(sys.argv[1], "a+")
fcntl.lockf(file, fcntl.LOCK_EX, 1, 12345)
print(1, flush=True)
time.sleep(600)
"""
