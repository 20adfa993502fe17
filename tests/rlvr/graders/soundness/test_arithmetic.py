"""Chains with arithmetic: a labelled corpus, GSM8K's own rationales, mutated ones, hostile texts."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import DATA
from hypothesis import given
from hypothesis import strategies as st

from rlvr.graders.soundness.arithmetic import MOST_CHARACTERS, decide, mark

CORPUS = Path(__file__).parent.parent / "corpora" / "chains.jsonl"
CHAINS = [json.loads(line) for line in CORPUS.read_text().splitlines()]
RATIONALES = Path(DATA) / "math" / "gsm8k_train.jsonl"
# Rows of GSM8K's training rationales in which an equality is false, with that equality.
WRONG = {
    168: "192*100=$1920", 169: "6*2.5 =", 225: "4000 + 2040", 1818: "= 29 pumps", 3003: "8*3 =",
    3335: "= $8600", 3410: "10 x .5 = 10", 4692: "2*8 = 24", 4974: "200*.55=100", 5351: "= 45 marbles",
    5782: "= $19.50", 6158: "70 + 40 = 100", 6257: "= 11,480", 6701: "2 / 12 = .125", 6714: "(8/16) = 6",
    6761: "4+4+6 = 18", 6813: "50-8 =", 7179: "1152/ 1,536 = .5",
}  # fmt: skip


@pytest.mark.parametrize("row", CHAINS, ids=lambda row: row["chain"][:40])
def test_the_corpus(row: dict[str, object]) -> None:
    assert decide(str(row["chain"]), None) is row["sound"]


def rationales() -> Iterator[tuple[int, str]]:
    if not RATIONALES.exists():
        pytest.skip(f"{RATIONALES} is not there")
    for number, line in enumerate(RATIONALES.read_text().splitlines(), start=1):
        yield number, json.loads(line)["answer"]


@pytest.mark.parametrize("every", [12, pytest.param(1, marks=pytest.mark.slow)])
def test_no_rationale_is_called_unsound_but_for_a_false_equality(every: int) -> None:
    texts = {number: text for number, text in rationales() if number % every == 0 or number in WRONG}
    found = {number: decide(text, None) for number, text in texts.items()}
    assert {number for number, sound in found.items() if sound is False} == {*WRONG}
    assert all(equality in texts[number] for number, equality in WRONG.items())
    assert Counter(found.values())[True] > 0.94 * len(found)


def test_a_digit_that_is_changed_is_found() -> None:
    """In the calculator's annotations, and in plain text."""
    rng = random.Random(0)
    result = re.compile(r"<<([^<>=]*[-+*/][^<>=]*)=([^<>=]*\d[^<>=]*)>>(?:[\d.,]*\d)?")
    annotated: Counter[bool | None] = Counter()
    plain: Counter[bool | None] = Counter()
    for number, text in rationales():
        matches = [*result.finditer(text)]
        if number % 15 or not matches or decide(text, None) is not True:
            continue
        match = rng.choice(matches)
        changed = with_another_digit(match[2], rng)
        mutated = f"{text[: match.start()]}<<{match[1]}={changed}>>{changed}{text[match.end() :]}"
        annotated[decide(mutated, None)] += 1
        plain[decide(re.sub("<<[^<>]*>>", "", mutated), None)] += 1
    assert annotated[False] > 0.98 * annotated.total() and annotated[True] < 0.005 * annotated.total()
    assert plain[False] > 0.85 * plain.total() and plain[True] < 0.05 * plain.total()


def with_another_digit(number: str, rng: random.Random) -> str:
    place = rng.choice([i for i, letter in enumerate(number) if letter.isdigit()])
    others = [d for d in "123456789" if d != number[place]]
    return number[:place] + rng.choice(others) + number[place + 1 :]


@pytest.mark.parametrize(
    "unit",
    ["1", "9^", "10^64*", "(", "\\frac{", "1+1=", "1+", "{", "<<", "\\begin{matrix}", "word ", "1+1=2\n", ".",
     "$", " ", "\n ", "1 x ", "9" * 59 + "*", "(a ", "- ", "a-", "1,111", "=", "^", "\\text{", "a(", "≈1",
     "\\left(", "<<1+1=2>>", "1 1/2 ", "**", "(1)", "¤", "!"],
)  # fmt: skip
def test_hostile_text_is_read_at_once(unit: str) -> None:
    """A pass that is not linear in the text would take minutes."""
    text = (unit * MOST_CHARACTERS)[: MOST_CHARACTERS - 8] + "1 + 1 = 2"
    for hostile in (text, "1 + 1 = 2\n" + text[: MOST_CHARACTERS // 2], text * 30):
        assert decide(hostile, None) in (True, None, False)


@given(st.text("0123456789+-*/^()=≈.,$%<> \nxab{}\\frac", max_size=80))
def test_any_text_is_decided(text: str) -> None:
    assert decide(text, None) in (True, False, None)


@given(st.integers(-999, 9999), st.integers(1, 999), st.sampled_from("+-*"), st.integers(-9, 9))
def test_integers_are_checked_exactly(a: int, b: int, operator: str, off: int) -> None:
    value = {"+": a + b, "-": a - b, "*": a * b}[operator]
    found = decide(f"{a} {operator} {b} = {value + off}", None)
    assert found is (off == 0) or (off != 0 and found is None)


@pytest.mark.parametrize(
    ("chain", "marked"),
    [
        ("3 + 4 = 7.\nThen 7 * 2 = 15.", [("3 + 4 = 7.", 1), ("Then 7 * 2 = 15.", 0)]),
        (
            "She has 3 + 4 = 8 pears. He has 2 * 3 = 6.",
            [("She has 3 + 4 = 8 pears.", 0), ("He has 2 * 3 = 6.", 1)],
        ),
        ("48/2 = <<48/2=25>>25 clips", [("48/2 = <<48/2=25>>25 clips", 0)]),
        ("3 + 4 =\n7\nand 2 + 2 = 4", [("3 + 4 =\n7", 1), ("and 2 + 2 = 4", 1)]),
        ("3 + 4\n= 8", [("3 + 4\n= 8", 0)]),
        ("3 + 4 = 8? No.\n3 + 4 = 7", [("3 + 4 = 7", 1)]),
        ("3 + 4 = 8\nno, that is wrong\n3 + 4 = 7", [("3 + 4 = 7", 1)]),  # taken back
        ("nothing = x", []),
        ("", []),
    ],
)
def test_marks_by_hand(chain: str, marked: list[tuple[str, int]]) -> None:
    assert [(chain[start:end], score) for start, end, score in mark(chain, None)] == marked


@pytest.mark.parametrize("row", CHAINS, ids=lambda row: row["chain"][:40])
def test_a_mark_is_false_just_where_the_chain_is(row: dict[str, object]) -> None:
    scores = {m.score for m in mark(str(row["chain"]), None)}
    assert (0.0 in scores) == (row["sound"] is False)


def test_the_sentence_with_the_changed_digit_is_marked() -> None:
    rng = random.Random(0)
    result = re.compile(r"(?<==)(\d+)(?=>>)")
    found = 0
    for number, text in rationales():
        matches = [*result.finditer(text)]
        if number % 40 or not matches or decide(text, None) is not True:
            continue
        match = rng.choice(matches)
        mutated = text[: match.start()] + with_another_digit(match[0], rng) + text[match.end() :]
        if decide(mutated, None) is False:
            wrong = [m for m in mark(mutated, None) if m.score == 0.0]
            assert len(wrong) == 1 and wrong[0].start <= match.start() < wrong[0].end
            found += 1
    assert found > 100
