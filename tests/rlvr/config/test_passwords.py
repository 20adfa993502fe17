"""The password of a URL is used, and written nowhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rlvr.core.errors import UserError, exit_status, without_password
from rlvr.core.run_dir import RunDir
from rlvr.planning.dry_run import describe
from rlvr.planning.recipe import load_config
from rlvr.runs.resume import find_start, prepare

URL = "http://me:s3cret@node9:8000"
GIVEN = (
    "recipe=grpo_tiny", "engine.name=vllm", "engine.mode=server", f"engine.url={URL}",
    f"rewards.extra=[{{reward: judge, options: {{url: '{URL}', model: m}}}}]",
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (URL, "http://node9:8000"),
        ("at https://key@host/v1 and ws://a:b@c.", "at https://host/v1 and ws://c."),
        ("me@host, http://host/a@b", "me@host, http://host/a@b"),
    ],
)
def test_what_is_left_of_a_url(text: str, shown: str) -> None:
    assert without_password(text) == shown


def test_it_is_in_no_file_and_the_run_goes_on_with_another(tmp_path: Path) -> None:
    config = load_config(GIVEN)
    assert config.engine.url == URL and config.rewards.extra[0].options["url"] == URL
    run_dir = RunDir(tmp_path)
    prepare(config, run_dir, find_start(config, run_dir))
    written = run_dir.config.read_text()
    assert "s3cret" not in written and written.count("http://node9:8000") == 2
    assert "s3cret" not in json.dumps(config.model_dump(mode="json"))
    run_dir.checkpoints.mkdir()
    find_start(load_config([text.replace("s3cret", "n3w") for text in GIVEN]), run_dir)


def test_it_is_in_no_message(capsys: pytest.CaptureFixture[str]) -> None:
    def failing() -> None:
        raise UserError(f"the server at {URL} is gone")

    assert exit_status(failing) == 1
    assert "the server at http://node9:8000 is gone" in capsys.readouterr().err


def test_it_is_not_in_the_dry_run() -> None:
    assert "s3cret" not in describe(load_config(["recipe=grpo_tiny", f"engine.url={URL}"]), 1, None)
