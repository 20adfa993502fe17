"""Countdown chains, by hand and by the generator of right ones."""

from __future__ import annotations

import itertools

import pytest

from rlvr.graders.soundness.steps import decide
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
