"""The tokenizer's own chat template as a prompt template: system prompt, examples, thinking.

A task with a `Chat` holds questions until the tokenizer is known; `posed` makes prompts of them. Whoever
encodes a prompt does it with `prompt_ids`, so that no special token is written twice.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, Literal

from rlvr.graders.thoughts import OPENING, AfterThought, ends_in_thought
from rlvr.tasks import Problem, Share, Stage, Task, TaskError

Thinking = Literal["on", "off"]
NAME = "chat"
# What templates call the switch between thinking and not.
SWITCHES = ("enable_thinking", "thinking")
CLOSING = "</think>"
# Prompts that are tokenised at a time.
TOGETHER = 256


class ChatError(TaskError):
    """The tokenizer's chat template cannot pose the task; the message says why and what to do."""

    status = 2


@dataclass(frozen=True, slots=True)
class Shot:
    """A worked example: what the user asks, and what the assistant should say."""

    question: str
    answer: str


@dataclass(frozen=True)
class Chat:
    """How a question becomes turns. thinking: None leaves it to the template.

    shots: `count` of them stand before each question, never the question itself.
    """

    system: str | None = None
    thinking: Thinking | None = None
    shots: tuple[Shot, ...] = ()
    count: int = 0

    def turns(self, question: str) -> list[dict[str, str]]:
        """The conversation up to the assistant's turn."""
        turns = [{"role": "system", "content": self.system}] if self.system else []
        for shot in shown(self.shots, self.count, question):
            turns.append({"role": "user", "content": shot.question})
            turns.append({"role": "assistant", "content": shot.answer})
        return [*turns, {"role": "user", "content": question}]

    @property
    def switches(self) -> dict[str, bool]:
        """What the template is told about thinking."""
        return {} if self.thinking is None else dict.fromkeys(SWITCHES, self.thinking == "on")


def chat_of(task: str, template: str, system: str | None, thinking: Thinking | bool | None) -> Chat | None:
    """How a task of this template poses, for `Task.chat`; None where a chat template does not.

    thinking: also as YAML reads on and off. Raises ChatError for keys that are for a chat template alone.
    """
    if template == NAME:
        return Chat(system, as_thinking(thinking))
    if system is not None or thinking is not None:
        raise ChatError(f"task {task}: system and thinking are for task.template=chat, and it is {template}")
    return None


def as_thinking(value: Thinking | bool | None) -> Thinking | None:
    """YAML reads on and off as bools."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return value


def shown(shots: Sequence[Shot], count: int, question: str) -> list[Shot]:
    """The first `count` shots that do not ask the question."""
    return [shot for shot in shots if shot.question != question][:count]


def posed(task: Task, tokenizer: Any) -> Task:
    """The task with prompts by the tokenizer's chat template; itself where it has no `chat`.

    Where a prompt ends inside a thought, its verifier reads what follows the thought's end. Raises ChatError
    for a tokenizer without a template, and for a template that drops the question or the system prompt, does
    not begin the assistant's turn, or knows nothing of thinking where that was asked for; for a task with an
    environment also where a longer conversation changes the earlier one (`rlvr.tasks.templates.between`).
    """
    from rlvr.tasks.templates.between import around

    if task.stages:
        stages = tuple(
            Stage(s.until, tuple(Share(posed(share.task, tokenizer), share.weight) for share in s.shares))
            for s in task.stages
        )
        return with_stages(task, stages)
    if task.chat is None:
        return task
    template = _template_of(tokenizer, task.name)
    examples = [*task.test[:1], *task.train[:1]]
    for problem in examples:
        _check(task.chat, tokenizer, problem.prompt)
    identity: list[Any] = [template, task.template, task.chat.system, task.chat.thinking]
    identity += [[shot.question, shot.answer] for shot in task.chat.shots]
    name = f"{NAME}-{hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:8]}"
    train, test = (_posed(split, task.chat, tokenizer) for split in (task.train, task.test))
    opened = any(ends_in_thought(problem.prompt) for problem in (*train[:1], *test[:1]))
    verifier = AfterThought(task.verifier) if opened else task.verifier
    environment = task.environment
    if environment is not None and examples:
        environment = replace(environment, around=around(task.chat, tokenizer, examples[0].prompt))
    return replace(
        task, train=train, test=test, template=name, verifier=verifier, chat=None, environment=environment
    )


def with_stages(task: Task, stages: tuple[Stage, ...]) -> Task:
    """The mixture drawing from these stages, which differ from its own in how problems are posed."""
    from rlvr.graders.mixture import MixtureVerifier

    made = replace(task, stages=stages)
    names = sorted({part.template for part in made.parts})
    verifier = MixtureVerifier({part.name: part.verifier for part in made.parts})
    return replace(made, template="+".join(names), verifier=verifier)


def prompt_ids(tokenizer: Any, problem: Problem) -> tuple[int, ...]:
    """The token ids of a problem's prompt, with the one beginning-of-sequence token that belongs there.

    The tokenizer adds it to a plain text, which may have it already; a chat template writes its own.
    """
    return text_ids(tokenizer, problem.prompt, problem.chat)


def text_ids(tokenizer: Any, text: str, chat: bool) -> tuple[int, ...]:
    """As `prompt_ids`, of a prompt's text; chat: whether a chat template made it."""
    if chat:
        return tuple(tokenizer.encode(text, add_special_tokens=False))
    return _begun_once(tokenizer, tokenizer.encode(text))


def all_prompt_ids(tokenizer: Any, problems: Sequence[Problem]) -> list[tuple[int, ...]]:
    """`prompt_ids` of each, many at a time where the tokenizer can."""
    encoded = _encoded(tokenizer, problems)
    if encoded is None:
        return [prompt_ids(tokenizer, problem) for problem in problems]
    return [
        tuple(e.ids) if problem.chat else _begun_once(tokenizer, e.ids)
        for problem, e in zip(problems, encoded, strict=True)
    ]


def prompt_lengths(tokenizer: Any, problems: Sequence[Problem]) -> list[int]:
    """How many `prompt_ids` each problem has; the ids themselves are not made where there are many."""
    encoded = _encoded(tokenizer, problems)
    if encoded is None:
        return [len(prompt_ids(tokenizer, problem)) for problem in problems]
    begin = getattr(tokenizer, "bos_token", None)
    return [
        len(_begun_once(tokenizer, e.ids)) if begin and not p.chat and p.prompt.startswith(begin) else len(e)
        for p, e in zip(problems, encoded, strict=True)
    ]


def _encoded(tokenizer: Any, problems: Sequence[Problem]) -> Iterator[Any] | None:
    """What a fast tokenizer makes of the prompts; None for few, and for one that takes them singly."""
    if len(problems) < TOGETHER or not getattr(tokenizer, "is_fast", False):
        return None
    tokenizer.encode("")  # takes off what truncation and padding the tokenizer's file asks for
    encode = tokenizer.backend_tokenizer.encode_batch_fast
    return (
        encoding
        for start in range(0, len(problems), TOGETHER)
        for chat, run in groupby(problems[start : start + TOGETHER], key=lambda problem: problem.chat)
        for encoding in encode([problem.prompt for problem in run], add_special_tokens=not chat)
    )


def _begun_once(tokenizer: Any, ids: Sequence[int]) -> tuple[int, ...]:
    """Without a second beginning-of-sequence token."""
    begin = getattr(tokenizer, "bos_token_id", None)
    doubled = begin is not None and len(ids) > 1 and ids[0] == ids[1] == begin
    return tuple(ids[1:] if doubled else ids)


def is_chat(template: str) -> bool:
    """Whether results with this stamp were asked with a chat template."""
    return template.startswith(f"{NAME}-")


def _template_of(tokenizer: Any, task: str) -> str:
    template = getattr(tokenizer, "chat_template", None)
    if not template:
        raise ChatError(
            f"task {task}: task.template=chat needs a chat template, and the tokenizer of "
            f"{getattr(tokenizer, 'name_or_path', 'this model')} has none, as base models have none: give "
            "task.template=r1_zero, qwen_boxed, plain or a file of your own with {question} in it"
        )
    return template if isinstance(template, str) else json.dumps(template, sort_keys=True)


def _posed(problems: Iterable[Problem], chat: Chat, tokenizer: Any) -> list[Problem]:
    return [
        replace(p, prompt=rendered(chat, tokenizer, p.prompt), chat=True, question=p.question or p.prompt)
        for p in problems
    ]


def rendered(chat: Chat, tokenizer: Any, question: str, begun: bool = True) -> str:
    """The prompt of a question. begun: with the beginning of the assistant's turn. Raises ChatError."""
    return _applied(tokenizer, chat.turns(question), chat.switches, begun)


def continued(chat: Chat, tokenizer: Any, question: str, turns: Sequence[tuple[str, str]]) -> str:
    """The prompt with what the assistant said and the user answered since, and the next turn's beginning."""
    said = [
        {"role": role, "content": text}
        for turn in turns
        for role, text in zip(("assistant", "user"), turn, strict=True)
    ]
    return _applied(tokenizer, [*chat.turns(question), *said], chat.switches, begun=True)


def _applied(
    tokenizer: Any, turns: Sequence[Mapping[str, str]], switches: Mapping[str, bool], begun: bool
) -> str:
    from jinja2 import TemplateError

    try:
        return tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=begun, **switches)
    except (TemplateError, TypeError, ValueError, KeyError) as error:
        roles = ", ".join(dict.fromkeys(turn["role"] for turn in turns))
        raise ChatError(
            f"the tokenizer's chat template cannot take turns of {roles}: {error}. If it knows no system "
            "prompt, leave task.system out and write it into task.instruction"
        ) from None


def _check(chat: Chat, tokenizer: Any, question: str) -> None:
    """Raises ChatError where the template does not do with one question what it has to."""
    prompt, bare = rendered(chat, tokenizer, question), rendered(chat, tokenizer, question, begun=False)
    if prompt == bare:
        raise ChatError(
            "the tokenizer's chat template does not begin the assistant's turn: with and without "
            f"add_generation_prompt it gives\n  {prompt[-300:]!r}\n  {bare[-300:]!r}\nUse a template that "
            "does, or task.template=FILE with the turn's beginning written out"
        )
    for what, text in (("question", question), ("system prompt (task.system)", chat.system or "")):
        if text.strip() not in prompt:
            raise ChatError(
                f"the tokenizer's chat template leaves the {what} out or changes it: {text.strip()[:200]!r} "
                f"does not stand in\n  {prompt[-600:]!r}"
            )
    if chat.thinking is None:
        return
    other = replace(chat, thinking="off" if chat.thinking == "on" else "on")
    if rendered(other, tokenizer, question) == prompt:
        raise ChatError(
            f"task.thinking={chat.thinking}: the tokenizer's chat template makes no difference between "
            f"thinking and not ({' or '.join(SWITCHES)}): leave task.thinking out"
        )
    closing = tokenizer.encode(CLOSING, add_special_tokens=False)
    if chat.thinking == "on" and len(closing) == 1 and closing[0] in tokenizer.all_special_ids:
        raise ChatError(
            f"{CLOSING} is a special token of this tokenizer, which decoding leaves out: where a thought "
            f"ends, and the answer after {OPENING} begins, could not be seen"
        )
