"""Where a completion ends by a stop string, against decoding everything at every token."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from toys import byte_level_bpe

from rlvr.engines.stops import StopFinder, ended, finder
from rlvr.models.tiny_base import byte_tokenizer

TEXT = (
    "Let us see: 1 + 1 = 2. </answer> User: and then? Assistant: Né, übrigens 漢字 </answer>\nUser:\n\nUser:"
    " x <|im_end|> answer: 12</ans wer> <answer> 3 </answer> and more text, so that merges are learned."
)


@pytest.fixture(scope="module")
def merged() -> Any:
    """A byte-level BPE tokenizer whose tokens hold several characters, and one that begins with a space."""
    return byte_level_bpe(TEXT, "<|im_end|>")


def first_end(tokenizer: Any, strings: tuple[str, ...], ids: list[int]) -> int | None:
    """By the definition."""
    texts = (tokenizer.decode(ids[:n], skip_special_tokens=False) for n in range(1, len(ids) + 1))
    return next((n for n, text in enumerate(texts, 1) if any(s in text for s in strings)), None)


@pytest.mark.parametrize(
    "strings",
    [
        ("</answer>",),
        (" User:", "\nUser:"),
        ("é",),
        ("字",),
        ("<|im_end|>",),
        ("er: ",),
        ("s", "zzz"),
        ("12</ans",),
    ],
)
@pytest.mark.parametrize("kind", ["bytes", "merged"])
def test_the_end_is_the_first_token_that_completes_one(
    strings: tuple[str, ...], kind: str, merged: Any
) -> None:
    tokenizer = byte_tokenizer() if kind == "bytes" else merged
    found = StopFinder(tokenizer, strings)
    rng = random.Random(0)
    whole = tokenizer.encode(TEXT)
    ends = set()
    for trial in range(60):
        ids = whole[rng.randrange(len(whole)) :]
        if trial % 3 == 0:  # tokens as a model might draw them, half characters among them
            ids = [rng.randrange(len(tokenizer)) for _ in range(40)] + ids[:60]
        end = first_end(tokenizer, strings, ids)
        assert found.first_end(ids) == end
        ends.add(end is None)
        # One token at a time, as an engine asks.
        live = next(
            (
                n
                for n in range(1, len(ids) + 1)
                if found.candidates(np.array(ids[n - 1 : n]))[0] and found.ends(ids[:n])
            ),
            None,
        )
        assert live == end
    assert False in ends or strings == ("zzz",)


def test_a_string_far_into_tokens_that_say_nothing_is_found() -> None:
    tokenizer = byte_tokenizer()
    silent = [tokenizer.convert_tokens_to_ids("<pad>")] * 0 + [300] * 500  # beyond the vocabulary
    ids = [*b"xUs", *silent, *b"er:"]
    assert StopFinder(tokenizer, ("User:",)).first_end(ids) == len(ids)


def test_what_an_engine_drew_is_cut_alike_and_what_it_stopped_at_stays() -> None:
    tokenizer = byte_tokenizer()
    ids = tuple(b"so </answer> and")
    logprobs = tuple(-float(i) for i in range(len(ids)))
    cut = ended(tokenizer, ("</answer>",), ids, logprobs, "length")
    assert (cut.text, cut.finish_reason) == ("so </answer>", "stop")
    assert (cut.token_ids, cut.logprobs) == (ids[:12], logprobs[:12])
    whole = ended(tokenizer, (), ids, logprobs, "length")
    assert (whole.token_ids, whole.finish_reason) == (ids, "length")
    assert finder(tokenizer, ()) is None and finder(tokenizer, ("a",)) is finder(tokenizer, ("a",))
