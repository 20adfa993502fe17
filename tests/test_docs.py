"""The documents: links lead somewhere, commands exist, the quickstart's algorithm trains."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from forked import finished

from evals.__main__ import COMMANDS
from rlvr.planning.recipe import load_config

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted(
    page for folder in (".", "docs", "launch", "benchmarks") for page in (ROOT / folder).glob("*.md")
)
LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def ids(page: Path) -> str:
    return str(page.relative_to(ROOT))


def prose(page: Path) -> str:
    return FENCE.sub("", page.read_text())


def anchors(page: Path) -> set[str]:
    """What a heading can be linked to by."""
    heads = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def commands(page: Path) -> Iterator[list[str]]:
    """The words of each line of the unnamed code blocks, without comments."""
    for language, block in FENCE.findall(page.read_text()):
        if not language:
            for line in block.splitlines():
                try:
                    yield shlex.split(line, comments=True)
                except ValueError:  # not a command: a table, or a message
                    continue


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(prose(page)):
        if link.startswith(("http://", "https://")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link}: no such file"
        assert not anchor or anchor in anchors(target), f"{link}: no such heading"


def test_every_page_can_be_reached_from_the_readme() -> None:
    seen, ahead = set(), [ROOT / "README.md"]
    while ahead:
        page = ahead.pop()
        if page in seen or page.suffix != ".md":
            continue
        seen.add(page)
        links = (link.partition("#")[0] for link in LINK.findall(prose(page)) if "://" not in link)
        ahead += [(page.parent / link).resolve() for link in links if link]
    assert set(PAGES) <= seen


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_commands_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for words in commands(page):
        if words[:1] == ["make"]:
            named = [word for word in words[1:] if "=" not in word]
            assert set(named) <= targets, f"{words}: no such target"
        if words[:3] == ["python", "-m", "evals"]:
            assert words[3] in (*COMMANDS, "NAME", "COMMAND"), f"{words}: no such command"
        own = "recipe=mine.yaml" in words  # made in the quickstart
        if "rlvr/train.py" in words and not own:
            given = words[words.index("rlvr/train.py") + 1 :]
            load_config([word for word in given if not word.startswith("--")])


def test_the_quickstarts_algorithm_trains(tmp_path: Path) -> None:
    blocks = FENCE.findall((ROOT / "docs" / "quickstart.md").read_text())
    (algorithm,) = [block for language, block in blocks if language == "python"]
    (recipe,) = [block for language, block in blocks if language == "yaml"]
    (tmp_path / "raft.py").write_text(algorithm)
    (tmp_path / "mine.yaml").write_text(recipe)
    (tmp_path / "start.py").write_text(
        "import sys\n"
        "from rlvr.algorithms import ALGORITHMS\n"
        "ALGORITHMS['raft'] = 'raft:raft'\n"
        "from rlvr.train import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    small = (
        "steps=2", "save_every=2", "rollouts.prompts=8", "probe.max_problems=4", "probe.n=4",
        "probe.base_n=4", "probe.final_n=4", "probe.k=4",
    )  # fmt: skip
    done = finished([str(tmp_path / "start.py"), "recipe=mine.yaml", "algorithm=raft", *small], tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs" / "mine-s0" / "probe.jsonl").exists()
