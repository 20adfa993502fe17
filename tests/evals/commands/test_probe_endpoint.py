"""`evals probe` of a model that only a server holds, and of several tasks at once."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from stand_in_server import MODEL, Answer, StandIn, free_port, stand_in

from evals.commands import probe
from evals.commands.two_models.settings import read_pair
from evals.records.files import SAMPLES, read_about
from evals.records.samples import read_samples
from rlvr.config.errors import ConfigError
from rlvr.core.run_dir import read_jsonl
from rlvr.engines import Request, Sampling, generate
from rlvr.engines.endpoint import EndpointEngine
from rlvr.engines.names import endpoint_parts, is_endpoint
from rlvr.planning.recipe import parse_arguments

BASE = "base=embedded:countdown-untrained"
SMALL = ("n=4", "k=4", "max_problems=2", "max_new_tokens=24")


def answers(asked: dict[str, Any], _: int) -> Answer:
    """A text that depends on the seed, as a sampler's does."""
    text = f"{asked['seed'] % 7}+1=2\nanswer: 1"
    return Answer(choice={"text": text, "finish_reason": "stop" if asked["seed"] % 2 else "length"})


def measured(server: StandIn, out: Path, *more: str) -> int:
    model = f"model={server.url}#{MODEL}"
    return probe.main(
        ["base=embedded:countdown-untrained", model, "task=countdown:3", f"out={out}", *SMALL, *more]
    )


def test_an_endpoint_is_measured_against_a_model_of_this_disk(
    tmp_path: Path, untrained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    with stand_in(answers) as server:
        assert measured(server, out) == 0
        first = len(server.asked)
        assert first == 8 and {*server.paths} == {"/v1/completions"}
        assert measured(server, out) == 0 and len(server.asked) == first  # from the store
    asked = server.asked[0]
    assert isinstance(asked["prompt"], str) and asked["prompt"].strip()
    assert (asked["temperature"], asked["top_p"], asked["max_tokens"]) == (0.6, 0.95, 24)
    assert len({body["seed"] for body in server.asked}) == 8
    (record,) = read_jsonl(out / "probe.jsonl")
    assert (record["n"], record["base_n"]) == (4, 4)
    file = out / "countdown-3.samples.parquet"
    conditions, origin = read_about(file)
    assert origin is not None and (origin.engine, origin.dtype) == (f"endpoint {MODEL}", "as served")
    _, of_base = read_about(out / "base" / "countdown-3.samples.parquet")
    assert of_base is not None and of_base.engine == "hf" and conditions is not None
    rows = read_samples(file, SAMPLES.names).to_pylist()
    assert all(
        row["text"].endswith("answer: 1") and row["tokens"] == len(row["token_ids"]) > 4 for row in rows
    )
    assert {row["finish_reason"] for row in rows} <= {"stop", "length"} and math.isnan(rows[0]["logprob"])


class Tokens:
    """A token a character."""

    bos_token_id = None

    def encode(self, text: str, add_special_tokens: bool = True) -> list[int]:
        return [ord(letter) for letter in text]

    def decode(self, ids: list[int], skip_special_tokens: bool = True) -> str:
        return "".join(map(chr, ids))


def drawn(choice: dict[str, Any], longer: bool) -> tuple[Any, dict[str, Any]]:
    from rlvr.core.endpoint import Endpoint

    with stand_in(lambda *_: Answer(choice=choice)) as server:
        engine = EndpointEngine(Endpoint(server.url, MODEL, retries=0), Tokens(), longer)
        request = Request((72, 105), Sampling(0.7, 0.9, 5, ("x",)), 2**40 + 3)
        ((_, completion),) = generate(engine, [request])
    return completion, server.asked[0]


def test_what_a_vllm_server_gives_is_taken_over() -> None:
    choice = {"text": "ab", "token_ids": [97, 98, 120], "finish_reason": "stop",
              "logprobs": {"token_logprobs": [-1.0, -2.0, -0.5]}}  # fmt: skip
    completion, asked = drawn(choice, longer=True)
    assert (completion.token_ids, completion.logprobs) == ((97, 98, 120), (-1.0, -2.0, -0.5))
    assert completion.text == "abx" and asked["prompt"] == [72, 105] and asked["stop"] == ["x"]
    assert asked["include_stop_str_in_output"] and asked["seed"] == 3


def test_another_server_is_asked_by_text_and_nothing_is_made_up() -> None:
    completion, asked = drawn({"text": "ab", "finish_reason": "length"}, longer=False)
    assert completion.token_ids == (97, 98) and all(map(math.isnan, completion.logprobs))
    assert asked["prompt"] == "Hi" and asked.keys() == {
        "model", "prompt", "max_tokens", "temperature", "top_p", "seed", "n", "stop",
    }  # fmt: skip


def test_a_server_that_is_not_as_it_should_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Dead:
        url = f"http://127.0.0.1:{free_port()}"

    assert measured(Dead(), tmp_path) == 1  # type: ignore[arg-type]
    assert "no server answers" in capsys.readouterr().err
    with stand_in(lambda *_: Answer(choice={"text": "a", "finish_reason": "content_filter"})) as server:
        assert measured(server, tmp_path / "out") == 1
        assert "'content_filter'" in capsys.readouterr().err
        server.url += "#other"
        assert probe.main(["base=embedded:countdown-untrained", f"model={server.url}", "task=countdown:3",
                           f"out={tmp_path / 'out'}", *SMALL]) == 1  # fmt: skip
        assert f"has no model other; it has {MODEL}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("model", "endpoint", "parts"),
    [
        ("http://h:1#org/m", True, ("http://h:1", "org/m")),
        ("https://h/v1/", True, ("https://h/v1", "")),
        ("org/m", False, None),
        ("embedded:countdown", False, None),
        ("dir/http", False, None),
    ],
)
def test_names_of_endpoints(model: str, endpoint: bool, parts: tuple[str, str] | None) -> None:
    assert is_endpoint(model) is endpoint and (parts is None or endpoint_parts(model) == parts)


def pair(*arguments: str) -> Any:
    return read_pair(parse_arguments(["model=m", "base=b", "out=out", *arguments]))[0]


def test_several_tasks_take_the_keys_that_they_have() -> None:
    both = pair("task=countdown:3,gsm8k", "task.soundness=none", "task.grader=lenient")
    assert [choice.name for choice in both.task] == ["countdown:3", "gsm8k"]
    assert [choice.options["soundness"] for choice in both.task] == ["none", "none"]
    assert "grader" not in both.task[0].options and both.task[1].options["grader"] == "lenient"
    assert [choice.name for choice in pair("task=[countdown:3,countdown:4]").task] == [
        "countdown:3",
        "countdown:4",
    ]
    assert [choice.name for choice in pair("task=countdown:3").task] == ["countdown:3"]


def test_data_files_with_a_comma_between_or_in_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.jsonl", "b.jsonl", "c,d.jsonl"):
        Path(name).write_text('{"problem": "1+1?", "answer": "2"}\n')
    assert [choice.options["path"] for choice in pair("task=a.jsonl,b.jsonl").task] == ["a.jsonl", "b.jsonl"]
    assert [choice.options["path"] for choice in pair("task=c,d.jsonl").task] == ["c,d.jsonl"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["task=countdown:3,countdwn:4"], "countdwn"),
        (["task=countdown:3,gsm8k", "task.nothing=1"], "none of countdown:3, gsm8k has this key"),
        (["task=countdown:3,countdown:3"], "give each task once"),
        (["task=countdown:3", "engine.mode=server"], "model=http://HOST:PORT#NAME"),
        (
            ["task=countdown:3", "model=http://a:1#m", "base=http://b:1#n"],
            "does not give its tokenizer",
        ),
    ],
)
def test_mistakes(arguments: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        pair(*arguments)
