"""Where the study's evaluator looks for the answer: before a stop word of the prompt, place after place."""

from __future__ import annotations

import re

from rlvr.graders.math.extract import TemplateName
from rlvr.graders.math.study.notation import normalised

CHOICES = ("A", "B", "C", "D", "E")
_ENDS = ("</s>", "<|im_end|>", "<|endoftext|>")
# Generation stopped there, so what follows was never seen.
STOPS: dict[TemplateName, tuple[str, ...]] = {
    "r1_zero": (*_ENDS, "\nProblem", "User:", "Assistant:", "</answer>"),
    "qwen_boxed": (*_ENDS, "assistant", "user", "_end", "_start"),
    "plain": _ENDS,
}


def answer_of(completion: str, template: TemplateName, reference: str, units: bool) -> str:
    """The answer in the form in which it is compared; "" for none. reference: as `reference_of` gives it."""
    text = completion.strip()
    for stop in STOPS[template]:
        text = text.partition(stop)[0].strip()
    answer = normalised(normalised(_trimmed(_found(text)), units), units)
    if reference in CHOICES and answer not in CHOICES:
        return _choice(text)
    if set(reference) <= set(CHOICES) and not set(answer) <= set(CHOICES):
        return "".join(letter for letter in answer if letter in CHOICES)
    return answer


def reference_of(answer: str, units: bool) -> str:
    """A reference in the form in which it is compared."""
    return normalised(normalised(answer, units), units)


def cleaned_choice(text: str, first: bool = False) -> str:
    """The last capital letter A to E that stands alone, or the first; the text where there is none."""
    text = text.strip("\n").rstrip(".").rstrip("/").strip(" ").lstrip(":")
    letters = re.findall(r"\b[A-E]\b", text.upper())
    found = letters[0 if first else -1] if letters else text.strip().strip(".")
    return found.rstrip(".").rstrip("/")


def _choice(text: str) -> str:
    """Of a whole completion: behind the last "answer is" or "choice is" the first letter, else the last."""
    text = text.strip("\n")
    if any(text.count(phrase) > 1 for phrase in ("choice is", "answer is")):
        text = text.partition("\n\n")[0]
    parts = re.split("choice is|answer is", text)
    return cleaned_choice(parts[-1], first=len(parts) > 1)


def _found(text: str) -> str:
    if "final answer is $" in text and "$. I hope" in text:
        return text.partition("final answer is $")[2].partition("$. I hope")[0].strip()
    if "boxed" in text:
        return _boxed(text.rpartition("boxed")[2])
    for phrase in ("he answer is", "final answer is"):
        if phrase in text:
            return text.rpartition(phrase)[2].strip()
    numbers = re.findall(r"-?\d*\.?\d+", text.replace(",", ""))
    return numbers[-1] if numbers else ""


def _boxed(rest: str) -> str:
    """What the brace behind "boxed" holds, to the end where it is never closed; else up to a dollar sign."""
    if not rest.startswith("{"):
        return rest.partition("$")[0].strip()
    depth = 0
    for place, character in enumerate(rest):
        depth += (character == "{") - (character == "}")
        if not depth:
            return rest[1:place]
    return rest[1:]


def _trimmed(answer: str) -> str:
    answer = re.sub(r"\n\s*", "", answer).removeprefix(":")
    return answer.removesuffix(".").removesuffix("/")
