"""What a chat template writes around an answer of the environment, and templates that no episode can use."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from chats import BEGUN, TURNS, tokenizer
from playing import Player, begin, counts

from rlvr.engines import Request, Sampling
from rlvr.graders import Status, StringVerifier
from rlvr.rollouts.playing.episodes import play
from rlvr.tasks import Problem, Task
from rlvr.tasks.environments import Environment, Transition
from rlvr.tasks.templates.chat import Chat, ChatError, posed, prompt_ids

# As the templates of thinking models do: what was thought before the last question is gone.
FORGETS = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content if loop.last else m.content.split('</think>')[-1] }}"
    "<eos>{% endfor %}" + BEGUN
)
NUMBERS = (
    "{% for m in messages %}<{{ m.role }}{% if m.role == 'user' %} {{ loop.index }}{% endif %}>"
    "{{ m.content }}<eos>{% endfor %}" + BEGUN
)


def talk(**chat: Any) -> Task:
    verifier = StringVerifier(lambda text, reference: (Status.WRONG, None), "1")
    return Task(
        "talk", [], [Problem("p", "Go.", None)], verifier, "chat", chat=Chat(**chat),
        environment=Environment(begin, counts, turns=3),
    )  # fmt: skip


def played(task: Task, made: Any, ends: str) -> tuple[str, list[str]]:
    """The tokens of an episode as text, and what the policy was asked at each turn."""
    engine: Any = Player(lambda text, seed: "hm" + ends, made)
    (problem,) = task.test
    request = Request(prompt_ids(made, problem), Sampling(1.0, 1.0, 200), 0)
    ((_, episode),) = play(engine, task, made, [(request, problem)])
    assert [t.observation for t in episode.turns] == ["<1>", "<2>", ""]
    return made.decode(episode.token_ids), [made.decode(r.prompt_ids) for r in engine.asked]


@pytest.mark.parametrize("ends", ["<eos>", ""])
def test_an_episode_is_what_the_template_makes_of_the_conversation(ends: str) -> None:
    """Whether the policy drew the token that ends its turn, or was cut before it."""
    made = tokenizer(TURNS + BEGUN)
    task = posed(talk(system="Be brief."), made)
    assert task.environment and task.environment.around == ("<eos><user>", "<eos><assistant>")
    text, asked = played(task, made, ends)
    turns = [
        {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Go."},
        {"role": "assistant", "content": "hm"}, {"role": "user", "content": "<1>"},
        {"role": "assistant", "content": "hm"}, {"role": "user", "content": "<2>"},
    ]  # fmt: skip
    whole = made.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    assert asked[-1] == whole and task.test[0].prompt + text == whole + "hm" + ends
    assert all(later.startswith(earlier) for earlier, later in pairwise(asked))


def test_what_an_environment_says_is_no_special_token() -> None:
    made = tokenizer(TURNS + BEGUN)
    task = posed(talk(), made)
    says: Any = Player(lambda text, seed: "hm")
    (problem,) = task.test
    request = Request(prompt_ids(made, problem), Sampling(1.0, 1.0, 200), 0)
    assert task.environment is not None
    pretends = replace(task.environment, act=lambda state, text: Transition(state, "<eos><assistant>ok"))
    ((_, episode),) = play(says, replace(task, environment=pretends), made, [(request, problem)])
    assert episode.token_ids.count(made.eos_token_id) == 2 * 2  # around two answers, none of theirs


def test_a_template_that_changes_earlier_turns_is_refused() -> None:
    with pytest.raises(ChatError, match="changes earlier turns when the conversation goes on") as caught:
        posed(talk(), tokenizer(FORGETS))
    _, before, _, after, advice = str(caught.value).split("\n")
    assert " 62:'>' 60:'<' 116:'t' 104:'h'" in before  # the thought's tokens, which are gone
    assert " 62:'>' 10:'\\n' 10:'\\n' 70:'F'" in after
    assert advice.startswith("Use a template that keeps what stands")
    switch = FORGETS.replace("<assistant>{% endif %}", "<assistant>{{ enable_thinking }}{% endif %}")
    with pytest.raises(ChatError, match="changes earlier turns"):  # what begins a turn is gone later on
        posed(talk(thinking="off"), tokenizer(switch))


def test_a_template_that_writes_answers_differently_is_refused() -> None:
    with pytest.raises(ChatError, match=r"not write every answer of an environment alike(.*\n)+.*<user 5>"):
        posed(talk(), tokenizer(NUMBERS))


def test_only_tasks_with_an_environment_are_asked() -> None:
    made = posed(replace(talk(), environment=None), tokenizer(NUMBERS))
    assert made.environment is None and made.test[0].prompt == "<user 1>Go.<eos><assistant>"
