"""Damaged run directories: what is wrong is said, nothing is lost, and a run goes on from what is its own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from rlvr.config.schema import Config
from rlvr.core.checkpoint import Checkpoint, CheckpointError, commit, newest_valid, owner
from rlvr.core.errors import UserError
from rlvr.core.run_dir import RunDir, append_jsonl, read_jsonl, write_record
from rlvr.planning.recipe import load_config
from rlvr.runs.resume import find_start, prepare

SETTINGS = ("recipe=grpo_tiny", "steps=8", "save_every=2")


def write(checkpoint: Checkpoint) -> None:
    save_file({"w": torch.full((4,), float(checkpoint.step))}, checkpoint.policy / "model.safetensors")
    (checkpoint.policy / "config.json").write_text("{}")
    torch.save({"step": checkpoint.step}, checkpoint.trainer / "state.pt")


def trained(path: Path, *settings: str, steps: int = 4) -> tuple[Config, RunDir]:
    """A run with rows of so many steps and the checkpoints that go with them."""
    config, run_dir = load_config([*SETTINGS, *settings]), RunDir(path)
    path.mkdir(parents=True, exist_ok=True)
    start = find_start(config, run_dir)
    prepare(config, run_dir, start)
    write_record(run_dir.card, {"run": start.run, "weights": {"model": "m", "base": "b"}})
    for step in range(1, steps + 1):
        append_jsonl(run_dir.metrics, {"step": step})
        append_jsonl(path / "probe.jsonl", {"step": step, "task": "countdown:3"})
        if step % config.save_every == 0:
            commit(run_dir.checkpoints, step, write, 2, run=start.run)
            write_record(run_dir.saved, {"step": step})
    return config, run_dir


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, Path]:
    """A run whose directory is copied for every test, since a commit waits for the disk."""
    path = tmp_path_factory.mktemp("template") / "run"
    return trained(path)[0], path


@pytest.fixture
def run(template: tuple[Config, Path], tmp_path: Path) -> tuple[Config, RunDir]:
    config, path = template
    shutil.copytree(path, tmp_path / "run")
    return config, RunDir(tmp_path / "run")


def content(path: Path) -> dict[str, bytes]:
    return {str(f.relative_to(path)): f.read_bytes() for f in path.rglob("*") if f.is_file()}


def put(name: str, text: bytes) -> Callable[[Path], None]:
    return lambda path: (path / name).write_bytes(text) and None


def remove(*names: str) -> Callable[[Path], None]:
    def harm(path: Path) -> None:
        for name in names:
            shutil.rmtree(path / name) if (path / name).is_dir() else (path / name).unlink()

    return harm


def flip(*names: str) -> Callable[[Path], None]:
    def harm(path: Path) -> None:
        for name in names:
            data = bytearray((path / name).read_bytes())
            data[-1] ^= 1
            (path / name).write_bytes(data)

    return harm


def insert(name: str, line: bytes) -> Callable[[Path], None]:
    def harm(path: Path) -> None:
        lines = (path / name).read_bytes().splitlines(keepends=True)
        (path / name).write_bytes(b"".join([*lines[:1], line, *lines[1:]]))

    return harm


WEIGHTS = [f"checkpoints/step_00000{step}/policy/model.safetensors" for step in (2, 4)]
KINDS = {
    b"": "is empty",
    b'{"a": 1': "is not JSON",
    b"null": "is null",
    b"[]": "is a list",
    b"\xff{}": "UTF-8",
}
REMEDIES = {"config.json": "resume=anew", ".finished": "remove it", "card.json": "restore it"}
STOPS: list[tuple[Callable[[Path], None], str]] = [
    *[
        (put(file, text), f"{file} is not whole: .*{said}.*{remedy}")
        for file, remedy in REMEDIES.items()
        for text, said in KINDS.items()
    ],
    (put(".finished", b"{}"), r"\.finished is not whole: has no steps"),
    *[
        (insert(file, line), rf"{file}, line 2: {said}.*Nothing was changed, lines 1 to 1 and 3 to 5")
        for file in ("metrics.jsonl", "probe.jsonl")
        for line, said in {
            b"\n": "is empty", b"Killed\n": "is not JSON", b"\xff\n": "is not UTF-8", b"[1]\n": "is a list",
            b'{"task": "x"}\n': "has no step", b"null\n": "is null",
        }.items()
    ],
    (remove("config.json"), r"2 checkpoint\(s\), 4 row\(s\) of metrics.jsonl.* no config.json"),
    (remove("config.json", "checkpoints"), r"4 row\(s\) of metrics.jsonl.* and no config.json"),
    (remove("config.json", "checkpoints", "metrics.jsonl", "probe.jsonl"), "traces of training and no con"),
    (remove("checkpoints"), r"no checkpoint to go on from: there is none in .*resume=anew"),
    (remove("checkpoints", ".saved"), "no checkpoint to go on from"),
    (remove("checkpoints", ".saved", "probe.jsonl"), "no checkpoint to go on from"),
    (flip(*WEIGHTS), "no checkpoint to go on from: step_000004: .*differs.*; step_000002: .*differs"),
]  # fmt: skip


@pytest.mark.parametrize(("harm", "said"), STOPS)
def test_what_cannot_be_told_stops_the_run_and_changes_nothing(
    run: tuple[Config, RunDir], harm: Callable[[Path], None], said: str
) -> None:
    config, run_dir = run
    write_record(run_dir.finished, {"steps": 4})
    for name in ("metrics.jsonl", "probe.jsonl", "config.json"):
        (run_dir.path / ".sums" / name).unlink()
    harm(run_dir.path)
    before = content(run_dir.path)
    with pytest.raises(UserError, match=said):
        find_start(config, run_dir)
    assert content(run_dir.path) == before


def manifest(change: Callable[[dict[str, object]], object]) -> Callable[[Path], None]:
    def harm(path: Path) -> None:
        file = path / "checkpoints/step_000004/manifest.json"
        found = json.loads(file.read_text())
        file.write_text(json.dumps(change(found)))

    return harm


def without(found: dict[str, object], *names: str) -> dict[str, object]:
    return {name: value for name, value in found.items() if name not in names}


def move(name: str, other: str) -> Callable[[Path], None]:
    return lambda path: (path / "checkpoints" / name).rename(path / "checkpoints" / other) and None


def swap(path: Path) -> None:
    two, four = (path / f"checkpoints/step_00000{step}" for step in (2, 4))
    two.rename(path / "x")
    four.rename(two)
    (path / "x").rename(four)


def of_another_run(path: Path) -> None:
    other = trained(path.parent / "other", "seed=1")[1].checkpoints / "step_000004"
    shutil.rmtree(path / "checkpoints/step_000004")
    shutil.copytree(other, path / "checkpoints/step_000004")


def extra(name: str) -> Callable[[Path], None]:
    return lambda path: shutil.copy(path / WEIGHTS[0], path / "checkpoints/step_000004" / name) and None


PASSED_OVER: list[tuple[Callable[[Path], None], list[str]]] = [
    (manifest(lambda m: {}), ["manifest lists no weights"]),
    (manifest(lambda m: []), ["not an object"]),
    (manifest(lambda m: without(m, "policy/model.safetensors")), ["manifest lists no weights"]),
    (manifest(lambda m: without(m, "trainer/state.pt")), ["trainer/state.pt is not in its manifest"]),
    (manifest(lambda m: {**m, "policy/model.safetensors": None}), ["model.safetensors differs"]),
    (extra("policy/extra.safetensors"), ["policy/extra.safetensors is not in its manifest"]),
    (of_another_run, ["it is of another run"]),
    (move("step_000004", "step_000006"), ["it is the checkpoint of step 4, under another name"]),
    (remove(WEIGHTS[1]), ["policy/model.safetensors is missing"]),
]  # fmt: skip


@pytest.mark.parametrize(("harm", "said"), PASSED_OVER)
def test_a_checkpoint_that_is_not_what_it_seems_is_passed_over(
    run: tuple[Config, RunDir], harm: Callable[[Path], None], said: list[str]
) -> None:
    config, run_dir = run
    harm(run_dir.path)
    start = find_start(config, run_dir)
    assert start.checkpoint is not None and start.checkpoint.step == 2
    assert len(start.passed_over) == 1 and all(part in start.passed_over[0] for part in said)


def test_steps_that_were_swapped_are_both_passed_over(run: tuple[Config, RunDir]) -> None:
    config, run_dir = run
    swap(run_dir.path)
    with pytest.raises(
        UserError, match=r"checkpoint of step 2, under another name; .* of step 4, under another"
    ):
        find_start(config, run_dir)


@pytest.mark.parametrize("name", ["step_000004.bak", "step_4", "step_000004 (copy)", "step_²", "step_last"])
def test_folders_that_are_no_step_are_left_alone(run: tuple[Config, RunDir], name: str) -> None:
    config, run_dir = run
    shutil.copytree(run_dir.checkpoints / "step_000004", run_dir.checkpoints / name)
    start = find_start(config, run_dir)
    assert start.checkpoint == Checkpoint(4, run_dir.checkpoints / "step_000004") and not start.passed_over
    commit(run_dir.checkpoints, 6, write, 1, run=start.run)
    assert (run_dir.checkpoints / name).is_dir()


def test_a_note_beside_the_weights_does_no_harm(run: tuple[Config, RunDir]) -> None:
    config, run_dir = run
    (run_dir.checkpoints / "step_000004/policy/NOTES.md").write_text("the good one")
    assert not find_start(config, run_dir).passed_over


def test_a_checkpoint_of_before_has_no_owner_and_is_taken(run: tuple[Config, RunDir]) -> None:
    config, run_dir = run
    manifest(lambda m: without(m, "run", "step"))(run_dir.path)
    start = find_start(config, run_dir)
    assert start.checkpoint is not None and start.checkpoint.step == 4 and not owner(start.checkpoint)


def test_the_id_outlives_the_card_and_a_change_of_what_may_differ(run: tuple[Config, RunDir]) -> None:
    config, run_dir = run
    known = find_start(config, run_dir).run
    run_dir.card.unlink()
    longer = load_config([*SETTINGS, "keep_last=5", "engine.timeout=9"])
    assert find_start(longer, run_dir).run == known != ""


def test_rows_that_are_there_twice_count_once(run: tuple[Config, RunDir]) -> None:
    config, run_dir = run
    for file in (run_dir.metrics, run_dir.path / "probe.jsonl"):
        lines = file.read_bytes().splitlines(keepends=True)
        file.write_bytes(b"".join([*lines[:2], lines[1], *lines[2:]]))
        (run_dir.path / ".sums" / file.name).unlink()
    with pytest.warns(UserWarning, match="line 3: the same as line 2, left out"):
        prepare(config, run_dir, find_start(config, run_dir))
    for file in (run_dir.metrics, run_dir.path / "probe.jsonl"):
        assert [row["step"] for row in read_jsonl(file)] == [1, 2, 3, 4]
    append_jsonl(run_dir.metrics, {"step": 4, "loss": 1})
    with pytest.raises(UserError, match="line 5: step 4 stands in line 4 too, with other values"):
        find_start(config, run_dir)


def test_a_disk_that_fails_is_not_damage(run: tuple[Config, RunDir], monkeypatch: pytest.MonkeyPatch) -> None:
    config, run_dir = run

    def failing(file: Path, start: int) -> str:
        raise OSError(5, "Input/output error", str(file))

    monkeypatch.setattr("rlvr.core.hashes._piece_hash", failing)
    with pytest.raises(
        CheckpointError, match=r"step_000004 cannot be read: .*Input/output error.*Nothing was changed"
    ):
        find_start(config, run_dir)


def test_before_the_first_checkpoint_a_run_begins_again(tmp_path: Path) -> None:
    config, run_dir = trained(tmp_path, steps=1)
    (tmp_path / "probe.jsonl").unlink()
    start = find_start(config, run_dir)
    assert start.checkpoint is None and not start.finished
    prepare(config, run_dir, start)
    assert read_jsonl(run_dir.metrics) == []


def test_anew_puts_everything_aside(run: tuple[Config, RunDir]) -> None:
    _, run_dir = run
    remove("checkpoints/step_000004", ".records-lock")(run_dir.path)
    before = content(run_dir.path)
    anew = load_config([*SETTINGS, "resume=anew", "seed=3"])
    for number in ("", "-2"):
        start = find_start(anew, run_dir)
        assert start.checkpoint is None and not start.finished
        prepare(anew, run_dir, start)
        aside = run_dir.path / f"set-aside{number}"
        assert aside.is_dir() and not run_dir.checkpoints.exists() and not run_dir.saved.exists()
    assert content(run_dir.path / "set-aside") == before
    assert find_start(load_config([*SETTINGS, "seed=3"]), run_dir).checkpoint is None
    assert newest_valid(run_dir.checkpoints) == (None, [])
