"""Checkers by name, of a mixture, of the user's own, and those that fail."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from rlvr.config.registry import PluginError
from rlvr.core.errors import UserError
from rlvr.graders import Mark
from rlvr.graders.soundness import (
    CheckerError,
    MixtureChecker,
    StringChecker,
    StringMarker,
    build_checker,
    checked,
)
from rlvr.graders.soundness.marks import marked, marker_of
from rlvr.tasks import build_checker_of, build_task

CHAIN = "1+2=3\n3+3=6\nanswer: (1+2)+3"
REFERENCE = {"numbers": [1, 2, 3], "target": 6}


def test_a_task_grades_with_its_checker() -> None:
    task = build_task("countdown:3", train_problems=1, test_problems=1)
    assert task.soundness == "steps-1"
    wrong_step = CHAIN.replace("1+2=3", "1+2=4")
    verdicts = task.grade([(CHAIN, REFERENCE), (wrong_step, REFERENCE)])
    assert [(v.correct, v.sound) for v in verdicts] == [(True, True), (True, False)]
    plain = build_task("countdown:3", train_problems=1, test_problems=1, soundness="none")
    assert plain.soundness is None and plain.grade([(CHAIN, REFERENCE)])[0].sound is None
    assert plain.data_hash() == task.data_hash() and plain.grader == task.grader


def test_a_mixture_checks_each_with_its_own() -> None:
    own = {"a": StringChecker(lambda text, _: text == "a", "a-1"), "b": StringChecker(lambda *_: None, "b-2")}
    items = [(text, {"task": name, "reference": 0}) for text, name in (("a", "a"), ("x", "a"), ("x", "b"))]
    mixed = MixtureChecker(own)
    assert mixed.check([*items, ("x", {"task": "c", "reference": 0})]) == [True, False, None, None]
    assert mixed.version == "a-1+b-2"
    task = build_task(
        "mixture", tasks=[{"name": "countdown:3"}, {"name": "countdown:4", "soundness": "none"}]
    )
    assert task.soundness == "steps-1"


def test_a_checker_of_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_checker.py").write_text(
        "from rlvr.graders.soundness import StringChecker\n"
        "def short():\n    return StringChecker(lambda text, reference: len(text) < 9)\n"
        "def nothing():\n    return 3\n"
    )
    task = build_task("countdown:3", soundness="own_checker:short")
    assert task.soundness is not None and task.soundness.startswith("own_checker-")
    assert task.sound([("short", None), ("too long a chain", None)]) == [True, False]
    with pytest.raises(PluginError, match="returned int; it has to return"):
        build_checker("own_checker:nothing")
    with pytest.raises(PluginError, match="cannot be imported"):
        build_checker("no_such_module:checker")


@pytest.mark.parametrize(
    ("decide", "said"),
    [
        (
            lambda text, _: 1 / (text != "bad"),
            r"task sums: the checker own-1 failed: ZeroDivisionError.*'bad'",
        ),
        (lambda text, _: "yes", "has to give True, False or None"),
    ],
)
def test_a_checker_that_fails_is_named_with_the_sample(decide: object, said: str) -> None:
    checker = StringChecker(decide, "own-1")  # type: ignore[arg-type]
    with pytest.raises(CheckerError, match=said) as raised:
        checked(checker, [("good", 1), ("bad", 2)], "sums")
    assert isinstance(raised.value, UserError)


def test_equal_items_are_decided_once() -> None:
    seen: list[str] = []
    checker = StringChecker(lambda text, _: bool(seen.append(text)) or True, "own-1")
    assert checker.check([("a", 1), ("a", 1), ("a", 2)]) == [True] * 3 and len(seen) == 2
    assert replace(checker, version="own-2").version == "own-2"


def test_the_default_of_a_task() -> None:
    found = {name: build_checker_of(name) for name in ("countdown:4", "gsm8k", "math500", "humaneval_plus")}
    versions = [checker and checker.version for checker in found.values()]
    assert versions == ["steps-1", "arithmetic-1", None, None]


def test_a_task_marks_steps_where_it_is_asked_to() -> None:
    task = build_task("countdown:3", train_problems=1, test_problems=1)
    items = [(CHAIN.replace("1+2=3", "1+2=4"), REFERENCE)]
    assert task.grade(items)[0].marks == ()
    (verdict,) = task.grade(items, by_step=True)
    assert verdict.marks[0] == Mark(0, 5, 0.0) and verdict.sound is False
    plain = build_task("countdown:3", train_problems=1, test_problems=1, soundness="none")
    assert plain.grade(items, by_step=True)[0].marks == ()


def test_a_mixture_marks_what_its_tasks_can_mark() -> None:
    marking = StringMarker(lambda *_: True, "a-1", mark=lambda text, _: [(0, len(text), 1.0)])
    mixed = MixtureChecker({"a": marking, "b": StringChecker(lambda *_: None, "b-2")})
    items = [("xy", {"task": name, "reference": 0}) for name in "bac"]
    assert marked(mixed, items, "mixture") == [(), (Mark(0, 2, 1.0),), ()]
    assert marker_of(mixed) is mixed
    assert marker_of(MixtureChecker({"b": mixed.checkers["b"]})) is marker_of(None) is None


@pytest.mark.parametrize(
    ("mark", "said"),
    [
        (lambda text, _: [1 / (text != "bad")], r"the checker own-1 failed: ZeroDivisionError.*'bad'"),
        (lambda text, _: [(0, 5, 1.0)], "has to mark parts of the text.*<= 4 .*good"),
        (lambda text, _: [(0, 1, 2.0)], "a score from 0 to 1"),
        (lambda text, _: [(0, 1)], "has to mark parts"),
        (lambda text, _: [(1, 1, 0.0)], "has to mark parts"),
        (lambda text, _: [(0, 1, float("nan"))], "has to mark parts"),
        (None, "does not say which step is wrong"),
    ],
)
def test_marks_that_are_none_are_named_with_the_sample(mark: object, said: str) -> None:
    plain = StringChecker(lambda *_: True, "own-1")
    checker = plain if mark is None else StringMarker(plain.decide, "own-1", mark=mark)  # type: ignore[arg-type]
    with pytest.raises(CheckerError, match=said):
        marked(checker, [("good", 1), ("bad", 2)], "sums")
