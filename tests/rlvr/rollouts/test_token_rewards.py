"""From parts of a text to the tokens that stand there: tokens that straddle, and parts of characters."""

from __future__ import annotations

import random
from itertools import accumulate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from toys import byte_level_bpe

from rlvr.graders import Mark, Status, Verdict
from rlvr.models.tiny_base import byte_tokenizer
from rlvr.rollouts.rewards import Reward
from rlvr.rollouts.token_rewards import at_tokens, token_rewards, token_starts

TEXT = "6+3=9\n9+4=13\nanswer: (6+3)+4\nc'est 5 €, né 漢字 漢字 🧮🧮 5 €, né"


@pytest.fixture(scope="module")
def merged() -> Any:
    """A byte-level BPE whose tokens hold line breaks, several characters, and parts of characters."""
    return byte_level_bpe(TEXT, "<|end|>")


def by_bytes(tokenizer: Any, ids: list[int], text: str) -> list[int]:
    """Where tokens of a byte-level BPE begin: the character that holds the first byte of each."""
    holders = [place for place, letter in enumerate(text) for _ in letter.encode()] + [len(text)]
    special = set(tokenizer.all_special_ids) | {*tokenizer.added_tokens_decoder}
    sizes = [0 if i in special else len(tokenizer.convert_ids_to_tokens(i)) for i in ids]
    return [holders[at] for at in [0, *accumulate(sizes)][: len(ids)]]


def cut(tokenizer: Any, text: str, rng: random.Random) -> list[int]:
    """Token ids of a text, some of its parts byte by byte."""
    one_byte = byte_tokenizer()
    ids: list[int] = []
    while text:
        size = rng.randint(1, 6)
        if rng.random() < 0.5:
            symbols = one_byte.convert_ids_to_tokens(one_byte.encode(text[:size]))
            ids += tokenizer.convert_tokens_to_ids(symbols)
        else:
            ids += tokenizer.encode(text[:size])
        text = text[size:]
    return ids


@pytest.mark.parametrize("kind", ["bytes", "merged"])
def test_tokens_begin_where_their_first_byte_lies(kind: str, merged: Any) -> None:
    tokenizer = byte_tokenizer() if kind == "bytes" else merged
    rng = random.Random(0)
    texts = [TEXT, *("".join(rng.sample(TEXT, rng.randint(1, 30))) for _ in range(40))]
    torn = 0
    for text in texts:
        ids = cut(tokenizer, text, rng)
        end = tokenizer.convert_tokens_to_ids("<|end|>") if kind == "merged" else tokenizer.eos_token_id
        ids.append(end)
        assert tokenizer.decode(ids, skip_special_tokens=True) == text
        starts = token_starts(tokenizer, ids, text)
        assert starts == by_bytes(tokenizer, ids, text)
        assert starts[-1] == len(text)
        torn += len(set(starts)) < len(starts)
    assert torn > 20  # texts in which tokens are parts of characters


def test_merged_tokens_straddle_lines_and_tear_characters(merged: Any) -> None:
    """What the test above rests on."""
    pieces = [merged.decode([i]) for i in merged.encode(TEXT)]
    assert any("\n" in piece[1:-1] or (len(piece) > 1 and piece[0] == "\n") for piece in pieces)
    assert any("\ufffd" in piece and len(piece) > 1 for piece in [merged.decode([i]) for i in range(330)])


def test_a_decoder_that_drops_the_first_blank_and_falls_back_to_bytes() -> None:
    from tokenizers import Tokenizer, decoders, models
    from transformers import PreTrainedTokenizerFast

    words = ["<unk>", "\u2581a", "b", "\u2581", "c", *(f"<0x{byte:02X}>" for byte in range(256))]
    core = Tokenizer(
        models.BPE({w: i for i, w in enumerate(words)}, [], unk_token="<unk>", byte_fallback=True)
    )
    core.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core)
    euro = [5 + byte for byte in "€".encode()]
    ids = [1, 2, *euro, 3, 4, 1, *euro, 2]
    text = tokenizer.decode(ids, skip_special_tokens=True)
    assert text == "ab€ c a€b"
    assert token_starts(tokenizer, ids, text) == [0, 1, 2, 2, 2, 3, 4, 5, 7, 7, 7, 8]


# Tokens of "ab|c\n|de|f" begin at 0, 2, 4 and 6; the last has no text.
STARTS = [0, 2, 4, 6, 7]


@pytest.mark.parametrize(
    ("spans", "paid"),
    [
        ([(0, 3, 1.0)], [0, 1, 0, 0, 0]),  # c straddles its end, and begins in it
        ([(3, 7, 1.0)], [0, 0, 0, 1, 0]),
        ([(2, 4, 1.0), (4, 7, -2.0)], [0, 1, 0, -2, 0]),
        ([(3, 4, 1.0)], [0, 1, 0, 0, 0]),  # no token begins in it
        ([(1, 2, 1.0), (0, 1, 0.5)], [1.5, 0, 0, 0, 0]),
        ([(0, 7, 1.0)], [0, 0, 0, 1, 0]),
        ([], [0, 0, 0, 0, 0]),
    ],
)
def test_a_span_is_paid_at_its_last_token(spans: list[tuple[int, int, float]], paid: list[float]) -> None:
    assert at_tokens([Mark(*span) for span in spans], STARTS) == paid


@given(st.data())
def test_nothing_is_lost(data: st.DataObject) -> None:
    length = data.draw(st.integers(1, 12))
    starts = [0, *sorted(data.draw(st.lists(st.integers(0, length), max_size=8)))]
    places = st.integers(0, length - 1).flatmap(lambda a: st.tuples(st.just(a), st.integers(a + 1, length)))
    spans = [Mark(a, b, 1.0) for a, b in data.draw(st.lists(places, max_size=5))]
    assert sum(at_tokens(spans, starts)) == len(spans)


def test_spans_and_tokens_add_up() -> None:
    verdict = Verdict(Status.WRONG, 0.0)
    tokenizer, text = byte_tokenizer(), "né"
    ids = tokenizer.encode(text)
    spans = (Mark(0, 1, 1.0), Mark(1, 2, -1.0))
    both = Reward(verdict, {}, spans=spans, tokens=((0.25, 0.5, 0.0), (0.0, 0.0, 2.0)))
    assert token_rewards(both, tokenizer, ids, text) == (1.25, 0.5, 1.0)
    assert token_rewards(Reward(verdict, {"outcome": 1.0}), tokenizer, ids, text) == ()
