r"""Prompt templates by name. A model's scores compare only within one of them; docs/tasks.md shows each.

The template also says where the answer is looked for: `rlvr.graders.math.extract`.
"""

from __future__ import annotations

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

TEMPLATES: dict[TemplateName, str] = {"r1_zero": R1_ZERO, "qwen_boxed": QWEN_BOXED, "plain": PLAIN}


def render(template: TemplateName, question: str) -> str:
    """The prompt; braces in the question are left alone."""
    return TEMPLATES[template].replace("{question}", question)
