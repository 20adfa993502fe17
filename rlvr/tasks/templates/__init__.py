r"""Prompt templates by name. A model's scores compare only within one of them; docs/tasks.md shows each.

The template also says where the answer is looked for: `rlvr.graders.math.extract`; and which strings end a
completion. Templates of the user's own are in `files`, the tokenizer's own chat template is in `chat`.
"""

from __future__ import annotations

import hashlib
from typing import Literal, TypeAlias

from rlvr.graders.math.extract import TemplateName

# arXiv 2501.12948, table 1: raw text without chat tokens, as the six-algorithm study used it.
R1_ZERO = (
    "A conversation between User and Assistant. The user asks a question, and the Assistant solves it. "
    "The assistant first thinks about the reasoning process in the mind and then provides the user with "
    "the answer. The reasoning process and answer are enclosed within <think> </think> and <answer> "
    "</answer> tags, respectively, i.e., <think> reasoning process here </think> <answer> answer here "
    "</answer>. User: {question} Assistant:"
)
# `qwen-boxed` of Qwen2.5-Math's evaluation code, which the study's other experiments used: the chat
# tokens stand in the text, so a base model without a chat template gets the same prompt.
QWEN_BOXED = (
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
    "<|im_start|>user\n{question}\n"
    "Please reason step by step, and put your final answer within \\boxed{}.<|im_end|>\n"
    "<|im_start|>assistant\n"
)
# The question and nothing else.
PLAIN = "{question}\n"

# Of the math tasks: one of these, or the tokenizer's own chat template (`chat`).
MathTemplate: TypeAlias = TemplateName | Literal["chat"]
# What a chat model is told to do under a question that has a final answer.
BOXED = "Please reason step by step, and put your final answer within \\boxed{}."

TEMPLATES: dict[TemplateName, str] = {"r1_zero": R1_ZERO, "qwen_boxed": QWEN_BOXED, "plain": PLAIN}

# Hashes of these texts as they were when results were first stamped with the names alone.
_FIRST = {"r1_zero": "f79ce478", "qwen_boxed": "a0a8693b", "plain": "6ab836dd"}
# What ends a completion besides an end-of-sequence token: the end of the answer, or a turn of the user's that
# the model makes up. The chat tokens are text for a tokenizer that does not know them.
STOPS: dict[str, tuple[str, ...]] = {
    "r1_zero": ("</answer>", " User:", "\nUser:"),
    "qwen_boxed": ("<|im_end|>", "<|im_start|>"),
}


def text_hash(text: str) -> str:
    """8 hex digits."""
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def stamp(template: TemplateName) -> str:
    """What results are stamped with: the name, and where the text is no longer the first, its hash."""
    found = text_hash(TEMPLATES[template])
    return template if found == _FIRST[template] else f"{template}-{found}"


def read_as(template: MathTemplate) -> TemplateName:
    """The template whose answers are read in the same place."""
    return "qwen_boxed" if template == "chat" else template


def render(template: MathTemplate, question: str) -> str:
    """The prompt; braces in the question are left alone. Of `chat`, what the user's turn says."""
    if template == "chat":
        return f"{question}\n\n{BOXED}"
    return TEMPLATES[template].replace("{question}", question)
