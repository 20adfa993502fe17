"""Chat templates of few letters, and a tokenizer of bytes that has one."""

from __future__ import annotations

from typing import Any

from rlvr.models.tiny_base import byte_tokenizer

TURNS = "{% for m in messages %}<{{ m.role }}>{{ m.content }}<eos>{% endfor %}"
BEGUN = "{% if add_generation_prompt %}<assistant>{% endif %}"


def tokenizer(template: str | None, begins: bool = False) -> Any:
    """Bytes; begins: with a token <pad> that it puts before every text, as Llama does."""
    made = byte_tokenizer()
    made.chat_template = template
    if begins:
        from tokenizers.processors import TemplateProcessing

        made.bos_token = "<pad>"
        made.backend_tokenizer.post_processor = TemplateProcessing(
            single="<pad> $A", special_tokens=[("<pad>", made.pad_token_id)]
        )
    return made
