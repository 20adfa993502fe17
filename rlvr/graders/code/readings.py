"""Which part of a completion is the program: its readings, the likeliest first.

Text alone is looked at here, in linear time, since the text may be hostile; what Python's parser has to
say about the readings is found out inside the sandbox (`rlvr.graders.code.choice`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

MOST_READINGS = 6
_PYTHON = re.compile(r"[{\s.]*(?:i|c)?(?:python|py|pypy)[\d.]*(?=$|[\s,:;{}=(\[])", re.IGNORECASE)
_PYTHON_FILE = re.compile(r"\b[\w/-]+\.py\b|^\{?\s*\w+\s*=")
_FENCES = ("```", "~~~")
_LONGEST_INFO = 200
_MADE_UP_TURN = re.compile(r"</answer>\s*(?:User|Human)\s*:")
_READS_INPUT = re.compile(r"\binput\s*\(|\bstdin\b|\bopen\s*\(\s*0|\bos\.read\s*\(|\bfileinput\b")
_CODE_LINE = re.compile(
    r"^(?:(?:async )?def \w+\(|class \w+[(:]|import [\w.]+(?:$|,| as )|from [\w.]+ import |@\w)", re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block. start, end: of the block with its fences, in the text."""

    code: str
    python: bool
    untagged: bool
    start: int
    end: int


def readings(completion: str, entry_point: str | None, continued: bool) -> list[str]:
    """At most six programs that the completion may be meant as, the likeliest first; empty if it holds none.

    entry_point: the function asked for; None for a program that reads standard input. continued: whether
    the prompt ends inside the program, so that a completion that begins with an indented line goes on there.
    """
    text = _spoken(completion)
    if text is None:
        return []
    found: list[str] = []
    if continued and (body := _continuation(text)) is not None:
        found.append(body)
    for region in _regions(text):
        found += _of_region(region, entry_point, continued)
    return list(dict.fromkeys(found))[:MOST_READINGS]


def _spoken(completion: str) -> str | None:
    """What is said to the reader: without a finished thought and made-up turns; None within a thought."""
    if turn := _MADE_UP_TURN.search(completion):
        completion = completion[: turn.start() + len("</answer>")]
    blocks = list(_blocks(completion))
    if (end := _outside(completion, "</think>", blocks)) is not None:
        return completion[end + len("</think>") :]
    return None if _outside(completion, "<think>", blocks) is not None else completion


def _continuation(text: str) -> str | None:
    """The text up to its first fence, if its first line that is not blank is indented."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    if not first[:1].isspace():
        return None
    body = re.split(r"^[ \t]*(?:```|~~~)", text, maxsplit=1, flags=re.MULTILINE)[0]
    return body if body.strip() else None


def _regions(text: str) -> Iterator[str]:
    """What the last answer tag outside a block holds; if it is never closed, the whole text behind it."""
    tag = _outside(text, "<answer>", list(_blocks(text)))
    if tag is None:
        yield text
        return
    behind = text[tag + len("<answer>") :]
    end = _outside(behind, "</answer>", list(_blocks(behind)))
    yield behind[:end]
    if end is None:
        yield text


def _outside(text: str, tag: str, blocks: list[Block]) -> int | None:
    """Where a tag last stands outside the blocks."""
    at = text.rfind(tag)
    for block in reversed(blocks):
        if at >= block.end:
            break
        if at >= block.start:
            at = text.rfind(tag, 0, block.start)
    return at if at >= 0 else None


def _of_region(region: str, entry_point: str | None, continued: bool) -> list[str]:
    blocks = list(_blocks(region))
    if not blocks:
        return list(_unfenced(region, continued))
    usable = [b for b in blocks if (b.python or b.untagged) and b.code.strip()]
    supplies = _supplier(entry_point)
    # Last comes first, but what does not even name what is asked for only after what does.
    rank = [(needed := supplies(block.code), needed or block.python, i) for i, block in enumerate(usable)]
    ranked = [usable[i] for *_, i in sorted(rank, reverse=True)]
    programs = [block.code for block in ranked[:2]]
    if ranked and len(pythons := [b.code for b in usable if b.python or not ranked[0].python]) > 1:
        programs.append("\n".join(pythons))  # each defines what the next needs
    if ranked and (longer := _to_last_fence(region, ranked[0])) is not None:
        programs.append(longer)  # its program has a fence in a text of its own
    return programs + [block.code for block in ranked[2:]]


def _unfenced(region: str, continued: bool) -> Iterator[str]:
    if not region.strip():
        return
    if continued:
        yield region
    yield region.strip()
    if code := _CODE_LINE.search(region):
        yield region[code.start() :]


def _supplier(entry_point: str | None) -> Callable[[str], bool]:
    """Whether code defines the entry point, or reads standard input where there is none."""
    if entry_point is None:
        return lambda code: _READS_INPUT.search(code) is not None
    name = re.escape(entry_point)
    defines = re.compile(
        rf"^[ \t]*(?:async[ \t]+)?def[ \t]+{name}\b|^{name}[ \t]*(?::[^=\n]*)?=", re.MULTILINE
    )
    return lambda code: defines.search(code) is not None


def _to_last_fence(region: str, block: Block) -> str | None:
    """The block's code as far as the last fence of the region, where that is another one."""
    last = max(region.rfind("\n" + fence) for fence in _FENCES) + 1
    if last < block.end:
        return None
    return region[region.index("\n", block.start) + 1 : last]


def _blocks(text: str) -> Iterator[Block]:
    """The fenced blocks. Inside a block a fence with a language begins the next one."""
    opened: _Opening | None = None
    lines: list[str] = []
    at = 0
    for line in text.splitlines(keepends=True):
        end, bare = at + len(line), line.rstrip()
        if opened is None:
            opened = _opening(bare, at)
        elif "</think>" in line or bare.lstrip().startswith(("<answer>", "</answer>")):
            yield opened.block(lines, at)
            opened, lines = None, []
        elif (behind := _behind_fence(bare, opened.fence)) is not None:
            begins_next = _is_python(behind) or behind.isalnum()
            lines.append(bare[: bare.index(opened.fence)])
            yield opened.block(lines, at if begins_next else at + len(bare) - len(behind))
            opened, lines = _opening(bare, at) if begins_next else None, []
        else:
            lines.append(line)
        at = end
    if opened is not None:
        yield opened.block(lines, at)


@dataclass(frozen=True, slots=True)
class _Opening:
    start: int
    fence: str
    info: str
    indent: str

    def block(self, lines: list[str], end: int) -> Block:
        code = "".join(line.removeprefix(self.indent) for line in lines)
        return Block(code, _is_python(self.info), not self.info, self.start, end)


def _opening(line: str, at: int) -> _Opening | None:
    """The fence that opens at the end of a line: alone, behind a tag or colon, or naming Python."""
    for fence in _FENCES:
        place = line.rfind(fence)
        if place < 0:
            continue
        info = line[place + len(fence) :].strip()
        before = line[:place].rstrip(fence[0])
        alone = not before.strip()
        if fence[0] in info or not (alone or _is_python(info) or (not info and before.rstrip()[-1] in ":>")):
            continue
        whole = line[len(before) : place + len(fence)]
        return _Opening(at + len(before), whole, info, before if alone else "")
    return None


def _behind_fence(line: str, fence: str) -> str | None:
    """What stands behind the fence that ends a block, at the start of a line or behind code."""
    stripped = line.lstrip()
    if stripped.startswith(fence):
        return stripped.lstrip(fence[0]).strip()
    return "" if fence[0] == "`" and line.endswith(fence) else None


def _is_python(info: str) -> bool:
    info = info[:_LONGEST_INFO]
    return _PYTHON.match(info) is not None or _PYTHON_FILE.search(info) is not None
