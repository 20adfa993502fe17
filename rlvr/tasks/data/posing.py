"""How rows become prompts: built-in template, the user's file, or the tokenizer's chat template; examples."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass

from rlvr.graders.answers.reading import PLACE_OF, Place
from rlvr.tasks import Problem
from rlvr.tasks.data.columns import DataError
from rlvr.tasks.data.parts import Parts
from rlvr.tasks.data.reading import Item
from rlvr.tasks.templates import BOXED, STOPS, TEMPLATES, render
from rlvr.tasks.templates.chat import NAME, Chat, Shot, Thinking, shown
from rlvr.tasks.templates.files import FileTemplate, read_template

# What a chat model is told to do after the question, by verifier.
INSTRUCTIONS = {
    "math": BOXED,
    "number": BOXED,
    "choice": "Please reason step by step, and put the letter of your choice within \\boxed{}.",
    "code": "Write a Python program. Give all of it in one ```python block.",
    "json_schema": "Answer with JSON alone, in one ```json block.",
}
WHOLE_TEXT = ("regex", "json_schema", "code")


@dataclass(frozen=True)
class Posing:
    """How a task asks. template: a built-in name, `chat`, or a template of the user's.

    instruction: stands under each question. place: where the answer is to stand. count: examples before each
    question.
    """

    template: str | FileTemplate
    instruction: str
    place: Place
    system: str | None = None
    thinking: Thinking | None = None
    count: int = 0

    @property
    def is_chat(self) -> bool:
        return self.template == NAME

    @property
    def stops(self) -> tuple[str, ...]:
        """Strings that end a completion where the user names none."""
        if isinstance(self.template, FileTemplate):
            return STOPS["r1_zero"][:1] if self.place == "tags" else ()
        return STOPS.get(self.template, ())

    def asked(self, parts: Parts) -> str:
        """The question with its instruction."""
        return f"{parts.question}\n\n{self.instruction}" if self.instruction else parts.question

    def chat(self, shots: Sequence[Shot]) -> Chat | None:
        """For the tokenizer to pose, where its template is the task's."""
        if not self.is_chat:
            return None
        return Chat(self.system, self.thinking, tuple(shots), self.count)

    def problem(self, item: Item, shots: Sequence[Shot]) -> Problem:
        """Of a chat template, the question is the prompt until the tokenizer is known."""
        asked = self.asked(item.parts)
        prompt = asked
        if not self.is_chat:
            examples = shown(shots, self.count, asked)
            before = "".join(f"{self.rendered(shot.question, item)}{shot.answer}\n\n" for shot in examples)
            prompt = before + self.rendered(asked, item)
        return Problem(item.id, prompt, item.parts.reference, item.parts.question, item.columns)

    def rendered(self, asked: str, item: Item) -> str:
        if isinstance(self.template, FileTemplate):
            return self.template.render(asked, item.columns)
        return render(self.template, asked)  # type: ignore[arg-type]

    def right(self, parts: Parts, worked: bool = True) -> str:
        """What a completion that gives the reference would say. worked: with the row's solution."""
        thought, answer = (parts.solution or "") if worked else "", parts.answer
        if self.place == "tags":
            return f"{f' <think> {thought} </think>' if thought else ''} <answer> {answer} </answer>"
        if self.place == "whole":
            return answer
        last = f"\\boxed{{{answer}}}" if self.place == "boxed" else f"Answer: {answer}"
        if self.place == "boxed" and last in thought:
            return thought
        return f"{thought}\n\n{last}" if thought else last

    def stamp(self, shots: Sequence[Shot]) -> str:
        """What results are stamped with: a built-in template's name where nothing is added to it."""
        name = self.template.name if isinstance(self.template, FileTemplate) else self.template
        added = [self.instruction, [[shot.question, shot.answer] for shot in shots]]
        if not self.instruction and not shots:
            return name
        digest = hashlib.sha256(json.dumps(added).encode()).hexdigest()[:8]
        return f"{name}+{self.count}shot-{digest}" if shots else f"{name}+instruction-{digest}"


def posing_of(
    template: str,
    verifier: str,
    instruction: str | None,
    answer_in: Place | None,
    system: str | None,
    thinking: Thinking | None,
    few_shot: int,
) -> Posing:
    """Raises DataError for keys that contradict each other, TemplateError for a file."""
    if template != NAME:
        for key, value in (("system", system), ("thinking", thinking)):
            if value is not None:
                raise DataError(f"task.{key} is for task.template=chat, and it is {template}")
    made: str | FileTemplate = template if template in (*TEMPLATES, NAME) else read_template(template)
    told = instruction if instruction is not None else INSTRUCTIONS.get(verifier, "") if made == NAME else ""
    return Posing(made, told, answer_in or _place(made, verifier, told), system, thinking, few_shot)


def _place(template: str | FileTemplate, verifier: str, instruction: str) -> Place:
    """Where the answer is to stand: as the template or the instruction asks."""
    if isinstance(template, str) and template != NAME:
        own = PLACE_OF[template]  # type: ignore[index]
        return "whole" if own == "stated" and verifier in WHOLE_TEXT else own
    asked = instruction + (template.text if isinstance(template, FileTemplate) else "")
    if "</answer>" in asked:
        return "tags"
    if "\\boxed" in asked:
        return "boxed"
    return "whole" if verifier in WHOLE_TEXT else "stated"


def shots_of(train: Sequence[Item], posing: Posing, seed: int) -> tuple[Shot, ...]:
    """Examples from the training rows, one more than are shown, since a question is no example for itself.

    Raises DataError where there are too few, and where a row has nothing that a completion could say.
    """
    if not posing.count:
        return ()
    first = {item.key: item for item in reversed(train)}
    usable = [item for item in reversed(first.values()) if item.parts.answer or item.parts.solution]
    if len(usable) <= posing.count:
        raise DataError(
            f"task.few_shot={posing.count} needs {posing.count + 1} training rows of different questions, "
            f"each with an answer or solution to show; there are {len(usable)}"
        )
    chosen = random.Random(f"shots/{seed}").sample(usable, posing.count + 1)
    return tuple(Shot(posing.asked(item.parts), posing.right(item.parts)) for item in chosen)
