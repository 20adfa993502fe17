"""Under which names samples are stored: those recorded before stop strings and chat templates still hold."""

from __future__ import annotations

from dataclasses import replace

import pytest

from evals.records.conditions import Conditions, check_comparable, conditions
from evals.records.store import SampleKey, token_hash
from rlvr.core.shards import short_hash
from rlvr.engines import Sampling
from rlvr.models.tiny_base import byte_tokenizer
from rlvr.tasks import Problem, Task, build_task
from rlvr.tasks.countdown import countdown
from rlvr.tasks.templates import STOPS, TEMPLATES, render, stamp
from rlvr.tasks.templates.chat import prompt_ids

# (template, prompt, digest of the key, what seeds come from, hash of the prompt), as they were recorded.
RECORDED = [
    ("r1_zero", render("r1_zero", "1+1?"), "9d75a5b5149b221f", "1c66f6342782a058", "efed499277a23cde"),
    ("qwen_boxed", render("qwen_boxed", "1+1?"), "ff7d744d89de83c1", "ec45719240f60f6d", "32d1f422165700da"),
    ("plain", render("plain", "1+1?"), "7bf0eddef92a8c77", "fb8956f142a7a265", "8f0614a8b66b5dd5"),
    ("countdown-plain-1", "1 2 3 make 6\n", "c73bd4c58c1668a7", "10c3ce748d267816", "b76f7e674c251356"),
]


def key(template: str) -> SampleKey:
    return SampleKey("0" * 16, "1" * 16, template, 0.6, 0.95, 64, "hf", "float32", 0, "2" * 16)


@pytest.mark.parametrize(("template", "prompt", "digest", "stream", "hashed"), RECORDED)
def test_recorded_names_still_hold(template: str, prompt: str, digest: str, stream: str, hashed: str) -> None:
    of = key(stamp(template) if template in TEMPLATES else template)  # type: ignore[arg-type]
    assert (of.digest(), of.stream()) == (digest, stream)
    assert token_hash(prompt_ids(byte_tokenizer(), Problem("", prompt, None))) == hashed


def test_countdowns_conditions_are_as_they_were() -> None:
    task = build_task("countdown:3")
    about = conditions(task, task.test, Sampling(0.6, 0.95, 64))
    assert (task.data_hash(), task.ends) == ("9b82e911b8d3f59f", ())
    assert short_hash(about.described()) == "2ef40db18cdd0f91"


def test_a_stop_string_names_another_set_that_draws_alike() -> None:
    plain, stopped = key("r1_zero"), replace(key("r1_zero"), stop=STOPS["r1_zero"])
    assert plain.digest() != stopped.digest() and plain.stream() == stopped.stream()
    assert "stop" not in plain.fields() and stopped.fields()["stop"] == STOPS["r1_zero"]


def test_measurements_with_other_stop_strings_are_not_compared() -> None:
    task = countdown()
    with_stop = conditions(task, task.test, Sampling(0.6, 0.95, 64, ("x",)))
    assert Conditions(**{**with_stop.described(), "stop": ["x"]}) == with_stop  # as JSON has it
    with pytest.raises(Exception, match=r"stop: \(\) / \('x',\)"):
        check_comparable(conditions(task, task.test, Sampling(0.6, 0.95, 64)), with_stop)


def test_a_template_whose_text_was_changed_is_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TEMPLATES, "plain", "{question}\nAnswer:")
    assert stamp("plain").startswith("plain-") and stamp("r1_zero") == "r1_zero"


def test_a_template_brings_its_stop_strings() -> None:
    def of(template: str, stop: tuple[str, ...] | None = None) -> tuple[str, ...]:
        return Task("t", [], [], countdown().verifier, template, stop=stop).ends

    assert (
        of("r1_zero") == ("</answer>", " User:", "\nUser:") and of("plain") == of("countdown-plain-1") == ()
    )
    assert of("r1_zero", ()) == () and of("plain", ("x",)) == ("x",)
