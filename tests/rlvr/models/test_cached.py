"""A cached base is what was built, whatever happened to its files since."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from rlvr.core.hashes import tree_digests
from rlvr.models import cached as module
from rlvr.models.cached import ModelCacheError, cached


class Built:
    """Builds a directory of two files, and counts how often."""

    def __init__(self, directory: Path):
        self.directory, self.times = directory, 0

    def __call__(self) -> None:
        self.times += 1
        self.directory.mkdir()
        (self.directory / "model.safetensors").write_bytes(b"weights")
        (self.directory / "config.json").write_text("{}")


@pytest.fixture
def built(tmp_path: Path) -> Built:
    build = Built(tmp_path / "cache" / "base")
    cached(build.directory, build)
    return build


def damage_weights(base: Path) -> None:
    (base / "model.safetensors").write_bytes(b"weightz")


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (damage_weights, "model.safetensors is not as it was built"),
        (lambda base: (base / "config.json").unlink(), "config.json is not as it was built"),
        (lambda base: (base / "extra.safetensors").write_bytes(b"x"), "extra.safetensors is not as it was"),
    ],
)
def test_a_damaged_base_is_set_aside_and_built_anew(built: Built, harm, said: str) -> None:  # type: ignore[no-untyped-def]
    whole = tree_digests(built.directory)
    for number in ("", "-2"):
        harm(built.directory)
        with pytest.warns(UserWarning, match=rf"{said}.*renamed to base\.damaged{number} and is built anew"):
            cached(built.directory, built)
        assert (
            tree_digests(built.directory)
            == whole
            != tree_digests(built.directory.with_name(f"base.damaged{number}"))
        )
    assert built.times == 3


def test_a_whole_base_is_built_once(built: Built) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert cached(built.directory, built) == built.directory
    assert built.times == 1


@pytest.mark.parametrize("hashes", [None, "{", "[]"])
def test_a_base_without_hashes_gets_those_that_it_has(built: Built, hashes: str | None) -> None:
    file = built.directory.with_name("base.hashes.json")
    file.unlink() if hashes is None else file.write_text(hashes)
    cached(built.directory, built)
    assert built.times == 1
    damage_weights(built.directory)
    with pytest.warns(UserWarning, match="built anew"):
        cached(built.directory, built)
    assert built.times == 2


def test_a_disk_that_fails_does_not_cost_the_base(built: Built, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(directory: Path) -> dict[str, str]:
        raise OSError(5, "Input/output error", str(directory))

    monkeypatch.setattr(module, "tree_digests", failing)
    with pytest.raises(ModelCacheError, match=r"cannot be read: .*Input/output error"):
        cached(built.directory, built)
    assert built.times == 1 and built.directory.is_dir()
