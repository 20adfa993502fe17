"""What a chat template writes between two turns of the policy, around what an environment answers.

Tokens of an episode are never made anew, so a template has to leave what it wrote before as it is when the
conversation goes on. One that takes thoughts out of earlier turns, say, asks a policy in training what it is
never asked in use; it is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import Any

from rlvr.tasks.templates.chat import Chat, ChatError, continued, rendered

# What a policy may write and an environment answer; the first is also written after a thought.
WRITTEN = ("First I look it up.", "It is nearer now.", "So it is done.")
ANSWERED = ("The tool says 42.", "Then it says 43.")
THOUGHT = "<think>\nI could look it up.\n</think>\n\n"
# Tokens that a message shows before and after the first that differs.
_SHOWN = 12


def around(chat: Chat, tokenizer: Any, question: str) -> tuple[str, str]:
    """What stands before and after an observation: from the end of the policy's turn to its next beginning.

    Raises ChatError for a template under which a conversation is not the beginning of the same one later on.
    """
    thinks = chat.thinking != "off"
    found = [_around(chat, tokenizer, question, thought) for thought in ("", THOUGHT)[: 1 + thinks]]
    return found[0]


def _around(chat: Chat, tokenizer: Any, question: str, thought: str) -> tuple[str, str]:
    prompt = rendered(chat, tokenizer, question)
    written = [thought + text for text in WRITTEN]
    one = continued(chat, tokenizer, question, [(written[0], ANSWERED[0])])
    two = continued(chat, tokenizer, question, [*zip(written, ANSWERED, strict=False)])
    _is_beginning(tokenizer, prompt + written[0], one)
    _is_beginning(tokenizer, one + written[1], two)
    before, found, after = one[len(prompt + written[0]) :].partition(ANSWERED[0])
    second = two[len(one + written[1]) :]
    if not found or second != before + ANSWERED[1] + after:
        raise ChatError(
            "the tokenizer's chat template does not write every answer of an environment alike: after the "
            f"first turn it writes\n  {before + found + after!r}\nand after the second\n  {second!r}\n"
            "Use a template that does, or a task.template of plain text"
        )
    return before, after


def _is_beginning(tokenizer: Any, earlier: str, later: str) -> None:
    """Raises ChatError where the later conversation does not begin with the tokens of the earlier one."""
    if later.startswith(earlier):
        return
    ids, whole = (tokenizer.encode(text, add_special_tokens=False) for text in (earlier, later))
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(ids, whole, strict=False)))
    raise ChatError(
        "the tokenizer's chat template changes earlier turns when the conversation goes on, so an episode "
        f"would not be what the policy is asked in use. The first {same} tokens are the same, then there "
        f"were\n  {_tokens(tokenizer, ids, same)}\nand one turn later there are\n  "
        f"{_tokens(tokenizer, whole, same)}\nUse a template that keeps what stands (thoughts are what most "
        "take out), or a task.template of plain text"
    )


def _tokens(tokenizer: Any, ids: Sequence[int], place: int) -> str:
    """Those about a place, each with its text."""
    shown = ids[max(0, place - _SHOWN) : place + _SHOWN]
    return " ".join(f"{i}:{tokenizer.decode([i])!r}" for i in shown)
