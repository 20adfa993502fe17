"""Checkpoints: written aside, hashed, synced and renamed; a resume takes the newest that is whole."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlvr.core.disk import MEANINGS, file_system, find_error
from rlvr.core.errors import UserError
from rlvr.core.hashes import THREADS, digests, file_hash, file_hashes, tree_digests
from rlvr.core.run_dir import step_folder, step_folders

MANIFEST = "manifest.json"
# Of whom and when a checkpoint is; in the manifest beside the files, whose names have a folder.
RUN, STEP = "run", "step"
# Suffixes of files that are loaded where they lie, asked for or not.
LOADED = (".safetensors", ".bin", ".pt", ".json", ".jinja", ".model", ".txt", ".py")
# What is missing rather than out of reach.
ABSENT = (FileNotFoundError, NotADirectoryError, IsADirectoryError)
_PARTIAL = ".partial-"


class CheckpointError(UserError):
    """A checkpoint could not be written or none can be read; the message says what is left."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint on disk: policy/ in Hugging Face format, trainer/ for the resume."""

    step: int
    path: Path

    @property
    def policy(self) -> Path:
        return self.path / "policy"

    @property
    def trainer(self) -> Path:
        return self.path / "trainer"


def commit(
    directory: Path,
    step: int,
    write: Callable[[Checkpoint], None],
    keep_last: int,
    main: bool = True,
    wait: Callable[[], None] = lambda: None,
    run: str = "",
    scheduled: Callable[[int], bool] = lambda step: True,
) -> Checkpoint:
    """Writes checkpoint `step` through `write`, then removes all others but the newest keep_last up to it.

    Later ones are those that a resume passed over as damaged, and go too. scheduled: whether a step's
    checkpoint is one of those that are counted; one that an interruption made is not, and goes with the next.
    Called on all ranks, each of
    which may write its part. main: whether this is the rank that does all else; wait: until all are here.
    run: the id of the run, which stands in the manifest.

    Raises CheckpointError, with the older checkpoints untouched, when the disk does not take it.
    """
    partial = Checkpoint(step, directory / f"{_PARTIAL}{step:06d}")
    final = Checkpoint(step, directory / step_folder(step))
    try:
        if main:
            _make_room(directory, partial)
        wait()
        write(partial)
        wait()
        if main:
            _seal(partial, run)
            if final.path.exists():  # an invalid one of the same step that a resume passed over
                shutil.rmtree(final.path)
            partial.path.rename(final.path)
            _sync(directory)
    except Exception as error:
        shutil.rmtree(partial.path, ignore_errors=True)
        found = find_error(error)
        if found is None:
            raise
        what, advice = MEANINGS[found[0]]
        left = ", ".join(c.path.name for c in _all(directory)) or "none"
        raise CheckpointError(
            f"checkpoint {step} could not be written to {directory}: the file system "
            f"{file_system(directory)} {what} ({error}). Checkpoints left: {left}. "
            f"{advice.capitalize()} and give the same command again to go on."
        ) from error
    if main:
        _prune(directory, step, keep_last, scheduled)
    wait()
    return final


def newest_valid(directory: Path, run: str = "") -> tuple[Checkpoint | None, list[str]]:
    """The newest checkpoint that matches its manifest, and why each newer one was passed over.

    run: the id of the run that it must be of, where that is known. Raises CheckpointError where the disk does
    not give one.
    """
    passed_over = [
        f"{p.name}: was never finished" for p in sorted(directory.glob(f"{_PARTIAL}*"), reverse=True)
    ]
    for checkpoint in reversed(_all(directory)):
        fault = find_fault(checkpoint, run)
        if fault is None:
            return checkpoint, passed_over
        passed_over.append(f"{checkpoint.path.name}: {fault}")
    return None, passed_over


def find_fault(checkpoint: Checkpoint, run: str = "") -> str | None:
    """What is wrong with a checkpoint, None if it is this run's of this step and holds what was written.

    Raises CheckpointError for what the disk does not give: that says nothing of what was written.
    """
    path = checkpoint.path
    try:
        manifest = _manifest(path)
        if isinstance(manifest, str):
            return manifest
        owner, step = manifest.pop(RUN, run), manifest.pop(STEP, checkpoint.step)
        if run and owner != run:
            return f"it is of another run ({owner}; this one is {run})"
        if step != checkpoint.step:
            return f"it is the checkpoint of step {step}, under another name"
        if unlisted := _files(path) - manifest.keys():
            return f"{min(unlisted)} is not in its manifest"
        for name in manifest:
            if not (path / name).is_file():
                return f"{name} is missing"
        differing = _differing(path, manifest)
        if differing:
            return f"{differing[0]} differs from what was written"
    except OSError as error:
        raise CheckpointError(
            f"checkpoint {path} cannot be read: {error}. Nothing was changed: give the command again once "
            "the disk gives it, or move the checkpoint away to go on from an earlier one"
        ) from error
    return None


def _manifest(path: Path) -> dict[str, Any] | str:
    """Digests by file, with the run's id and the step; or why there are none."""
    try:
        manifest = json.loads((path / MANIFEST).read_bytes())
    except (*ABSENT, ValueError) as error:
        return f"manifest cannot be read ({error})"
    if not isinstance(manifest, dict):
        return "manifest cannot be read (it is not an object)"
    if not any(name.startswith("policy/") and name.endswith(".safetensors") for name in manifest):
        return "manifest lists no weights"
    return manifest


def _differing(path: Path, manifest: Mapping[str, str]) -> list[str]:
    """Files that do not hold what the manifest says."""
    found = dict(zip(manifest, digests([path / name for name in manifest]), strict=True))
    differing = [name for name in manifest if found[name] != manifest[name]]
    # Older manifests have the whole file's hash, whatever its size.
    return [
        name for name in differing if "-" in str(manifest[name]) or file_hash(path / name) != manifest[name]
    ]


def owner(checkpoint: Checkpoint) -> str:
    """The id of the run that a checkpoint is of; empty where older versions wrote it."""
    manifest = _manifest(checkpoint.path)
    return "" if isinstance(manifest, str) else str(manifest.get(RUN, ""))


def _files(path: Path) -> set[str]:
    """Files of a checkpoint that a loader may take, but for its manifest, by their paths in it."""
    files = (f for f in path.rglob("*") if f.suffix in LOADED and f.is_file())
    return {str(file.relative_to(path)) for file in files} - {MANIFEST}


def weight_hash(policy: Path) -> str:
    """Hash of a Hugging Face directory's safetensors: 16 hex digits. Raises CheckpointError without any."""
    files = sorted(policy.glob("*.safetensors"))
    if not files:
        raise CheckpointError(f"{policy} holds no *.safetensors")
    hashes = "".join(file_hashes(files))
    return (hashes if len(files) == 1 else hashlib.sha256(hashes.encode()).hexdigest())[:16]


def config_hash(policy: Path) -> str:
    """Hash of the configuration files that affect generation, 16 hex digits."""
    files = sorted(f for f in policy.glob("*config.json") if f.name != "tokenizer_config.json")
    return hashlib.sha256("".join(file_hash(f) for f in files).encode()).hexdigest()[:16]


def keep_policy(policy: Path, directory: Path, about: Mapping[str, object]) -> None:
    """Makes `directory` hold the policy, in place of another, and about.json.

    Files are linked, not copied, where the file system can: they then outlive their checkpoint.
    """
    partial = directory.with_name(f".partial-{directory.name}")
    shutil.rmtree(partial, ignore_errors=True)
    link_tree(policy, partial / "policy")
    (partial / "about.json").write_text(json.dumps(dict(about), indent=2) + "\n")
    if directory.exists():
        shutil.rmtree(directory)
    partial.rename(directory)


def link_tree(source: Path, target: Path) -> None:
    """The same files under another name, by hard links, or copied where there are none."""
    shutil.copytree(source, target, copy_function=_link)


def _link(source: str, target: str) -> None:
    try:
        os.link(os.path.realpath(source), target)
    except OSError:
        shutil.copy2(source, target)


def _all(directory: Path) -> list[Checkpoint]:
    """Every finished checkpoint, oldest first."""
    return [Checkpoint(step, path) for step, path in step_folders(directory).items()]


def _make_room(directory: Path, partial: Checkpoint) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for leftover in directory.glob(f"{_PARTIAL}*"):
        shutil.rmtree(leftover)
    partial.policy.mkdir(parents=True)
    partial.trainer.mkdir()


def _prune(directory: Path, step: int, keep_last: int, scheduled: Callable[[int], bool]) -> None:
    every = _all(directory)
    kept = [c for c in every if c.step <= step and scheduled(c.step)][-keep_last:]
    kept += [c for c in every if c.step == step]
    for other in every:
        if other not in kept:
            shutil.rmtree(other.path)


def _seal(partial: Checkpoint, run: str) -> None:
    """Writes the manifest and brings everything to the disk before the rename makes it count."""
    path = partial.path
    files = sorted(f for f in path.rglob("*") if f.is_file())
    about = {RUN: run, STEP: partial.step} if run else {STEP: partial.step}
    with ThreadPoolExecutor(THREADS) as pool:
        synced = pool.map(_sync, files)  # while they are hashed
        manifest = {**about, **tree_digests(path)}
        (path / MANIFEST).write_text(json.dumps(manifest, indent=1))
        mode = (path / MANIFEST).stat().st_mode & 0o777  # the umask's; safetensors writes for its owner alone
        for file in files:
            file.chmod(mode)
        for _ in synced:  # raises what went wrong
            pass
    _sync(path / MANIFEST)
    for folder in [path, *(d for d in path.rglob("*") if d.is_dir())]:
        _sync(folder)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
