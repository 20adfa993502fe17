"""Prompt templates by name. A model's scores compare only within one of them."""

from __future__ import annotations

from typing import Literal

TemplateName = Literal["r1_zero", "plain"]

# arXiv 2501.12948, table 1: raw text without chat tokens, as the six-algorithm study used it.
R1_ZERO = (
    "A conversation between User and Assistant. The user asks a question, and the Assistant solves it. "
    "The assistant first thinks about the reasoning process in the mind and then provides the user with "
    "the answer. The reasoning process and answer are enclosed within <think> </think> and <answer> "
    "</answer> tags, respectively, i.e., <think> reasoning process here </think> <answer> answer here "
    "</answer>. User: {question} Assistant:"
)
PLAIN = "{question}\n"

TEMPLATES: dict[TemplateName, str] = {"r1_zero": R1_ZERO, "plain": PLAIN}


def render(template: TemplateName, question: str) -> str:
    """The prompt; braces in the question are left alone."""
    return TEMPLATES[template].replace("{question}", question)
