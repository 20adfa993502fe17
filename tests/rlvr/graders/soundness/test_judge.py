"""A model as the checker of reasoning: what its replies mean, and what is asked, never twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from stand_in_server import MODEL, Answer, free_port, stand_in

from rlvr.core.endpoint import EndpointError
from rlvr.graders.judging import JudgeError
from rlvr.graders.soundness import Chain, build_checker
from rlvr.graders.soundness.judge import Judge, JudgeSettings, majority, read_verdict
from rlvr.planning.recipe import parse_arguments
from rlvr.tasks import build_task

REFERENCE = {"numbers": [1, 2, 3], "target": 6}
RIGHT = "1+2=3\n3+3=6\nanswer: (1+2)+3"


def judge(url: str, **changed: Any) -> Judge:
    return Judge(JudgeSettings(url=url, model=MODEL, **{"timeout": 2.0, "retries": 0, **changed}))


def by_text(asked: dict[str, Any], _: int) -> Answer:
    """Says of a completion what stands in it."""
    solution = asked["messages"][0]["content"].partition("<solution>")[2].partition("</solution>")[0]
    return Answer(solution.strip())


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        ("All steps hold.\nverdict: sound", True),
        ("Step 2 is wrong.\n**Verdict:** Unsound.", False),
        ("verdict: undecided", None),
        ("VERDICT - `unsound`", False),
        ("First I thought\nverdict: unsound\nbut no.\nverdict: sound", True),
        ("<think>verdict: unsound</think>\n\nVerdict: sound", True),
        ("verdict: sound / unsound / undecided", None),
        ("verdict: sound or unsound", None),
        ("The verdict is that it may be sound", None),
        ("", None),
        ("sound", None),
        ("unsound!", None),
        ("verdict: soundly wrong", None),
        ("verdict: not sound", None),
        ("}{][ \ud800 verdict", None),
        ("verdict:" * 10_000, None),
    ],
)
def test_what_a_reply_says(reply: str, verdict: bool | None) -> None:
    """Nonsense is undecided, never unsound."""
    assert read_verdict(reply) is verdict


@pytest.mark.parametrize(
    ("votes", "decision"),
    [
        ([True], True),
        ([None], None),
        ([False, False, True], False),
        ([True, False], None),
        ([False, None, None], None),
        ([True, True, None], True),
    ],
)
def test_a_decision_needs_more_than_half_of_all_votes(
    votes: list[bool | None], decision: bool | None
) -> None:
    assert majority(votes) is decision


def test_a_task_asks_of_its_right_answers_alone() -> None:
    with stand_in(lambda *_: Answer("verdict: unsound")) as server:
        settings = {"name": "judge", "url": server.url, "model": MODEL}
        task = build_task("countdown:3", train_problems=1, test_problems=1, soundness=settings)
        verdicts = task.grade([(RIGHT, REFERENCE), ("answer: 1", REFERENCE)], ["numbers: 1 2 3", "other"])
    assert [(v.correct, v.sound) for v in verdicts] == [(True, False), (False, None)]
    (asked,) = server.asked
    text = asked["messages"][0]["content"]
    assert RIGHT in text and "numbers: 1 2 3" in text and asked["temperature"] == 0
    assert task.soundness is not None and task.soundness.startswith(f"judge-1 {MODEL} x1 ")


def test_nothing_is_asked_twice() -> None:
    chains = [Chain(f"verdict: {word}", None) for word in ("sound", "unsound", "sound")]
    with stand_in(by_text) as server:
        assert judge(server.url).check_chains(chains) == [True, False, True]
        assert len(server.asked) == 2  # equal chains are one question
        assert judge(server.url, concurrency=1, timeout=9).check_chains(chains) == [True, False, True]
        assert len(server.asked) == 2
        three = judge(server.url, temperature=0.5, votes=3)
        assert three.check_chains(chains[:1]) == [True] and len(server.asked) == 5
        assert len({asked["seed"] for asked in server.asked[2:]}) == 3
        five = judge(server.url, temperature=0.5, votes=5)
        assert five.check_chains(chains[:1]) == [True] and len(server.asked) == 7
    assert judge("http://127.0.0.1:9").check_chains(chains) == [True, False, True]  # the store alone


def test_a_completion_fills_no_place_of_the_prompt(tmp_path: Path) -> None:
    file = tmp_path / "prompt.txt"
    file.write_text("Q {prompt} A {completion} R {reference} {other}")
    with stand_in(lambda *_: Answer("verdict: sound")) as server:
        own = judge(server.url, prompt=str(file))
        assert own.check_chains([Chain("{reference}{prompt}", 7, "the task")]) == [True]
    assert server.asked[0]["messages"][0]["content"] == "Q the task A {reference}{prompt} R 7 {other}"
    before = own.version
    file.write_text("Another text {completion}")
    assert judge(server.url, prompt=str(file)).version != before


NONSENSE = [
    Answer("lorem ipsum"),
    Answer(choice={"message": None, "finish_reason": "stop"}),
    Answer(choice={"finish_reason": "stop"}),
    Answer(choice={"message": {"content": None, "reasoning_content": "verdict: sound"}}),
    Answer(choice={"message": {"content": ["verdict: unsound"]}}),
]


@pytest.mark.parametrize("answer", NONSENSE)
def test_nonsense_is_undecided(answer: Answer) -> None:
    with stand_in(lambda *_: answer) as server:
        assert judge(server.url).check_chains([Chain("a", None), Chain("b", None)]) == [None, None]


def test_what_the_server_refuses_is_undecided_unless_it_refuses_everything() -> None:
    def answers(asked: dict[str, Any], before: int) -> Answer:
        return Answer(status=400, body="too long") if "long" in str(asked["messages"]) else by_text(asked, 0)

    long, fine = Chain("long", None), Chain("verdict: sound", None)
    with stand_in(answers) as server:
        with pytest.raises(EndpointError, match=r"1 of 1 replies .* did not come.*too long"):
            judge(server.url).check_chains([long])
        assert judge(server.url).check_chains([long, fine]) == [None, True]
        asked = len(server.asked)
        assert judge(server.url).check_chains([long, fine]) == [None, True] and len(server.asked) == asked


def test_what_came_before_a_fault_is_kept() -> None:
    broken: list[bool] = [True]

    def answers(asked: dict[str, Any], _: int) -> Answer:
        fails = broken[0] and "chain 3" in str(asked["messages"])
        return Answer(status=500) if fails else Answer("verdict: sound")

    chains = [Chain(f"chain {i}", None) for i in range(6)]
    with stand_in(answers) as server:
        with pytest.raises(EndpointError, match=r"1 of 6 replies .* give the same command again"):
            judge(server.url).check_chains(chains)
        broken[0], asked = False, len(server.asked)
        assert judge(server.url).check_chains(chains) == [True] * 6
        assert len(server.asked) == asked + 1


def test_a_judge_that_is_not_there_is_no_fault_of_the_checker() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    settings = {"name": "judge", "url": url, "model": "m"}
    task = build_task("countdown:3", train_problems=1, test_problems=1, soundness=settings)
    with pytest.raises(EndpointError, match="no server answers"):
        task.grade([(RIGHT, REFERENCE)])


@pytest.mark.parametrize(
    ("arguments", "given"),
    [
        (["task.soundness=judge", "task.soundness.url=u"], {"name": "judge", "url": "u"}),
        (["task.soundness=steps"], "steps"),
    ],
)
def test_the_short_form(arguments: list[str], given: object) -> None:
    assert parse_arguments(["task=countdown:3", *arguments])["task"]["soundness"] == given


@pytest.mark.parametrize(
    ("soundness", "said"),
    [
        ("judge", "needs its server and its model"),
        ("jugde", "did you mean judge"),
        ({"name": "judge", "url": "u"}, "soundness.model: is missing"),
        ({"name": "judge", "url": "u", "model": "m", "vote": 3}, "did you mean soundness.votes"),
        ({"name": "judge", "url": "u", "model": "m", "votes": 0}, "soundness.votes"),
    ],
)
def test_mistakes_in_the_settings(soundness: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        build_task("countdown:3", soundness=soundness)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"votes": 3}, "3 votes at temperature 0 are one vote"),
        ({"prompt": "nowhere.txt"}, "nowhere.txt cannot be read"),
        ({"prompt": __file__ + "c"}, "cannot be read"),
    ],
)
def test_a_judge_that_cannot_be_asked(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(JudgeError, match=said):
        judge("http://localhost:1", **changed)


def test_a_prompt_has_to_ask_about_a_completion(tmp_path: Path) -> None:
    (tmp_path / "prompt.txt").write_text("Is it sound?")
    with pytest.raises(JudgeError, match=r"has no \{completion\}"):
        judge("http://localhost:1", prompt=str(tmp_path / "prompt.txt"))


def test_a_configuration_with_a_judge_is_built_again_from_its_record() -> None:
    settings = {"name": "judge", "url": "http://h:1", "model": "m", "votes": 3, "temperature": 0.7}
    made = build_checker(JudgeSettings.model_validate(settings))
    again = build_checker(JudgeSettings.model_validate(made.settings.model_dump(mode="json")))  # type: ignore[union-attr]
    assert made is not None and again is not None and again.version == made.version
