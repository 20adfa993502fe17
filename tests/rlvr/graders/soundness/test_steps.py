"""Countdown chains, by hand and by the generator of right ones."""

from __future__ import annotations

import itertools
import random

import pytest

from rlvr.graders.soundness.steps import decide, mark
from rlvr.tasks.countdown import pretraining_texts

REFERENCE = {"numbers": [3, 4, 6], "target": 13}


@pytest.mark.parametrize(
    ("chain", "sound"),
    [
        ("6+3=9\n9+4=13\nanswer: (6+3)+4", True),
        ("6 + 3 = 9\n9 + 4 = 13\nanswer: (6+3)+4", True),
        ("9+4=13\n6+3=9\nanswer: (6+3)+4", False),  # 9 is not on the table yet
        ("6+3=7\n7+4=71\nanswer: (6+3)+4", False),
        ("6+3=9\nanswer: (6+3)+4", False),  # 9 and 4 are left
        ("answer: (6+3)+4", False),  # nothing was done
        ("", False),
        ("6+3=9\n9+3=12\nanswer: (6+3)+4", False),  # 3 is used twice
        ("6+5=11\n11+4=15\nanswer: (6+3)+4", False),  # 5 was never there
        ("6+3=9\n9*4=36\nanswer: (6+3)+4", False),  # ends elsewhere than its answer
        ("6+3=9\n9*4=36\nanswer: (6+3)*4", True),  # sound, and a wrong answer
        ("3-6=-3\n4-(-3)=7\nanswer: 4-(3-6)", True),
        ("3-6=-3\n-3+4=1\nanswer: (3-6)+4", True),
        ("6/4=1.5\n1.5*3=4.5\nanswer: (6/4)*3", True),
        ("6/4=3/2\n(3/2)*3=9/2\nanswer: (6/4)*3", True),
        ("6+3+4=13\nanswer: 6+3+4", True),
        ("6/0=0\n", False),
        ("6+3=\n9+4=13\nanswer: (6+3)+4", False),
        ("6+3=9\n\n9+4=13\n\nanswer: (6+3)+4\n13+13=99", True),  # what follows the answer is not read
        ("6+3=9\n9+4=13\nanswer: nothing", True),
        ("6\u00d73=18\n18\u22124=14", True),
        ("first 6 + 3 = 9, then\n9+4=13\nanswer: (6+3)+4", None),
        ("6+3=9=9\n9+4=13\nanswer: (6+3)+4", False),
        ("9" * 300 + "=1\nanswer: 1", False),
        ("1=1\n" * 200, False),
    ],
)
def test_by_hand(chain: str, sound: bool | None) -> None:
    assert decide(chain, REFERENCE) is sound


def test_equal_numbers_are_as_many_as_there_are() -> None:
    reference = {"numbers": [2, 2, 3], "target": 7}
    assert decide("2+2=4\n4+3=7\nanswer: (2+2)+3", reference) is True
    assert decide("2+2=4\n4+2=6\nanswer: (2+2)+2", reference) is False


def test_whatever_the_base_learned_from_is_sound() -> None:
    """Failed attempts too: they miss the target, with right arithmetic."""
    for prompt, completion in itertools.islice(pretraining_texts(0, 0.5, 0.3), 400):
        numbers, target = prompt.strip().split(" make ")
        reference = {"numbers": [*map(int, numbers.split())], "target": int(target)}
        assert decide(completion, reference) is True
        changed = completion.replace("=", "=1", 1)
        assert decide(changed, reference) is False


@pytest.mark.parametrize(
    ("chain", "marked"),
    [
        ("6+3=9\n9+4=13\nanswer: (6+3)+4", [("6+3=9", 1), ("9+4=13", 1), ("answer: (6+3)+4", 1)]),
        # A wrong step is taken as it is written: the next is judged by what it claims.
        ("6+3=7\n7+4=11\nanswer: (6+3)+4", [("6+3=7", 0), ("7+4=11", 1), ("answer: (6+3)+4", 0)]),
        ("6+3=9\n9+4=14\nanswer: (6+3)+4", [("6+3=9", 1), ("9+4=14", 0), ("answer: (6+3)+4", 0)]),
        ("9+4=13\n 6+3=9 \nanswer: 1", [("9+4=13", 0), ("6+3=9", 1), ("answer: 1", 0)]),
        ("answer: (6+3)+4", [("answer: (6+3)+4", 0)]),
        ("6+3=9\nnothing\n9+4=13\nanswer: never", [("6+3=9", 1), ("9+4=13", 1)]),
        ("6\u00d73=18\n18\u22124=14", [("6\u00d73=18", 1), ("18\u22124=14", 1)]),
        ("first 6 + 3 = 9, then\n9+4=13\nanswer: (6+3)+4", [("9+4=13", 0)]),
        ("6+3=\nanswer: 6/0", [("6+3=", 0), ("answer: 6/0", 0)]),
        ("", []),
    ],
)
def test_marks_by_hand(chain: str, marked: list[tuple[str, int]]) -> None:
    assert [(chain[start:end], score) for start, end, score in mark(chain, REFERENCE)] == marked


def test_marks_say_what_the_decision_says() -> None:
    """Of right chains with one character replaced, too."""
    rng = random.Random(0)
    decisions = set()
    for prompt, completion in itertools.islice(pretraining_texts(0, 0.5, 0.3), 200):
        numbers, target = prompt.strip().split(" make ")
        reference = {"numbers": [*map(int, numbers.split())], "target": int(target)}
        place = rng.randrange(len(completion))
        for chain in (
            completion,
            completion[:place] + rng.choice("0123456789+-= ") + completion[place + 1 :],
        ):
            sound, marks = decide(chain, reference), mark(chain, reference)
            scores = {m.score for m in marks}
            decisions.add(sound)
            assert all(chain[m.start : m.end].strip() == chain[m.start : m.end] != "" for m in marks)
            assert 0.0 not in scores or sound is not True
            if sound is False and "answer:" in chain:
                assert 0.0 in scores
    assert {True, False} <= decisions


def test_more_steps_than_are_read_are_wrong() -> None:
    scores = [m.score for m in mark("6+3=9\n6+3=9\n" * 40, REFERENCE)]
    assert len(scores) == 80 and not any(scores[64:])
