"""`python -m evals compare`: a page that stands alone, whose figures are all there, and wrong arguments."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from math import comb
from pathlib import Path

import numpy as np
import pytest
from forked import Forked
from run_directories import BASE, POLICY, N, write_run

from evals.commands import compare as command
from evals.reports.compare.arms import make_study
from evals.reports.compare.loading import PERPLEXITY, read_runs
from evals.reports.compare.page import points, study_rows
from evals.reports.compare.panels import COLOURS, colour_names
from evals.reports.figures import LOOKS

VOID = {"meta", "br", "hr", "img", "link", "input"}
FIGURES = {
    "pass_at_k-countdown-3", "gap-steps-countdown-3", "gap-samples-countdown-3", "solvable-countdown-3",
    "histogram-countdown-3-0-GRPO", "histogram-countdown-3-1-RLOO", "training-rollout-correct",
    *(f"training-{n}" for n in ("rollout-reward", "rollout-entropy", "rollout-length", "mismatch-mean")),
}  # fmt: skip


class Page(HTMLParser):
    """What stands in a page. open: elements that were not closed, or closed in the wrong order."""

    def __init__(self, text: str):
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.references: list[str] = []
        self.attributes: list[str] = []
        self.text = ""
        self.hidden = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        self.hidden = tag == "style"
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            self.attributes.append(f"{name}={value}")
            self.ids += [str(value)] if name == "id" else []
            self.references += [str(value)] if name in ("src", "href", "xlink:href", "srcset") else []

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-1:]}"
        self.open.pop()
        self.hidden = False

    def handle_data(self, data: str) -> None:
        self.text += "" if self.hidden else f"{' '.join(data.split())} "


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_two(folder: Path) -> list[str]:
    """Two algorithms, the second with two seeds."""
    worse = [max(0, c - 2) for c in POLICY]
    write_run(folder / "a", "recipe=grpo_tiny")
    write_run(folder / "b", "recipe=rloo_tiny", policies={2: BASE, 4: worse})
    write_run(folder / "c", "recipe=rloo_tiny", "seed=1", policies={2: BASE, 4: worse})
    return ["a", "b", "c"]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The report on the two, which is only read, and what the command printed."""
    place, printed = tmp_path_factory.mktemp("drawn"), io.StringIO()
    with contextlib.chdir(place), contextlib.redirect_stdout(printed):
        assert command.main([*write_two(place), "out=report"]) == 0
    return place / "report", printed.getvalue()


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """For what is about the page's words: its figures stay empty."""
    monkeypatch.setattr(command, "write", lambda panel, out: "<svg></svg>")


def page_of(out: Path) -> tuple[Page, str]:
    html = (out / "index.html").read_text()
    return Page(html), html


def test_the_page_is_whole_and_needs_nothing_else(drawn: tuple[Path, str]) -> None:
    page, html = page_of(drawn[0])
    assert page.open == []
    assert "http" not in html and "@import" not in html and "<script" not in html
    assert all(reference.startswith("#") for reference in page.references)
    used = {*re.findall(r"url\((.*?)\)", html)} | {*page.references}
    assert {reference.removeprefix("#") for reference in used} <= {*page.ids}
    assert len(page.ids) == len(set(page.ids))


def test_all_figures_are_in_the_page_and_beside_it(drawn: tuple[Path, str]) -> None:
    report, printed = drawn
    assert "wrote report/index.html and 11 figures of 3 runs" in printed
    _, html = page_of(report)
    assert html.count("<svg") == len(FIGURES)
    for suffix in (".png", ".pdf", ".svg"):
        assert {path.stem for path in report.glob(f"*{suffix}")} == FIGURES
    for name in FIGURES:
        assert f'id="{name}-figure_1"' in html
        assert (report / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_figures_take_their_colours_from_the_page(drawn: tuple[Path, str]) -> None:
    _, html = page_of(drawn[0])
    style, body = html.split("</style>")
    assert not re.search(r"#[0-9a-f]{6}\b", body)
    for name in {*re.findall(r"var\((--[a-z0-9-]+)\)", html)} - {"--own", "--alert"}:
        assert style.count(f"{name}: ") == 2, f"{name} is not given for light and for dark"
    names = [colour_names(look) for look in LOOKS.values()]
    assert len({*names[0].values()}) == len(names[0]) and names[0].keys() == names[1].keys()


def test_each_arm_has_one_colour_everywhere(drawn: tuple[Path, str]) -> None:
    _, html = page_of(drawn[0])
    first, second = (re.findall(f"var\\(--series-{i}\\)", html) for i in (0, 1))
    assert first and second and "--series-2)" not in html
    assert COLOURS == 6
    histograms = {name: (drawn[0] / f"{name}.svg").read_text() for name in FIGURES if "hist" in name}
    own = {"GRPO": LOOKS["light"].series[0], "RLOO": LOOKS["light"].series[1]}
    for name, svg in histograms.items():
        assert own[name[-4:]] in svg and not any(c in svg for a, c in own.items() if a != name[-4:])


def test_the_study_table_has_the_numbers(drawn: tuple[Path, str]) -> None:
    page, _ = page_of(drawn[0])
    at_1 = 100 * np.mean(POLICY) / N
    base_8 = 100 * np.mean([1 - comb(N - c, N) / comb(N, N) for c in BASE])
    closed = 100 * (at_1 - 100 * np.mean(BASE) / N) / (base_8 - 100 * np.mean(BASE) / N)
    table = page.text[page.text.index("points of 100") :]
    row = table[table.index("GRPO seed 0, step 4") : table.index("RLOO seeds 0, 1, step 4")]
    at_8 = 100 * np.mean([1 - comb(N - c, N) / comb(N, N) for c in POLICY])
    with_intervals = re.findall(r"(\d+\.\d) +\[", row)
    assert with_intervals == [f"{value:.1f}" for value in (at_1, at_8, base_8 - at_1)]
    assert f"{closed:.1f}" in row


def test_bases_come_first(drawn: tuple[Path, str]) -> None:
    rows = study_rows(make_study(read_runs([drawn[0].parent / run for run in "abc"])))
    assert [row.name for row in rows] == ["Base", "GRPO", "RLOO"]
    assert rows[0].cells["countdown:3"].at_1.value == pytest.approx(np.mean(BASE) / N)


def test_two_bases_are_two_rows(folder: Path) -> None:
    runs = [
        write_run(folder / "a", "recipe=grpo_tiny"),
        write_run(folder / "b", "recipe=rloo_tiny", base_weights="other"),
    ]
    rows = study_rows(make_study(read_runs(runs)))
    assert [(row.name, row.about) for row in rows[:2]] == [("Base", "of GRPO"), ("Base", "of RLOO")]


@pytest.mark.usefixtures("undrawn")
def test_warnings_stand_before_the_first_number(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(folder / "a", "recipe=grpo_tiny")
    write_run(folder / "b", "recipe=rloo_tiny", "rollouts.prompts=32", template="boxed")
    assert command.main(["a", "b", "out=report"]) == 0
    assert "2 differences or gaps to know of" in capsys.readouterr().out
    page, _ = page_of(folder / "report")
    for text in ("Different template on countdown:3", "Different prompts per step", "2 things to know"):
        assert page.text.index(text) < page.text.index("The study")
    assert "not compared: they were not asked, sampled and graded alike" in page.text


@pytest.mark.usefixtures("undrawn")
def test_equal_runs_are_said_not_to_differ(folder: Path) -> None:
    write_run(folder / "a", "recipe=grpo_tiny")
    write_run(folder / "b", "recipe=rloo_tiny")
    command.main(["a", "b", "out=report"])
    page, _ = page_of(folder / "report")
    assert page.text.count("cannot be told apart with 6 problems x 8 samples") == 1
    assert "All runs are finished, and share what bears on a comparison: base model," in page.text


def test_each_seeds_own_sample_of_the_base_is_in_its_row(folder: Path) -> None:
    runs = [
        write_run(folder / "a", "recipe=grpo_tiny"),
        write_run(folder / "b", "recipe=grpo_tiny", "seed=1", base=[*reversed(BASE)]),
        write_run(folder / "c", "recipe=rloo_tiny", base=[8] * len(BASE)),
    ]
    rows = study_rows(make_study(read_runs(runs)))
    assert [(row.name, row.about) for row in rows[:2]] == [("Base", "of GRPO"), ("Base", "of RLOO")]
    assert len(rows[0].cells["countdown:3"].at_1.seeds) == 2


@pytest.mark.parametrize("lost", [[4], [1, 2, 3, 4]], ids=["the last step", "all steps"])
def test_numbers_that_training_lost_leave_the_rest(folder: Path, lost: list[int]) -> None:
    run = write_run(folder / "a", "recipe=grpo_tiny")
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    changed = [{**row, "mismatch/mean": float("nan")} if row["step"] in lost else row for row in rows]
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in changed))
    assert command.main(["a", "out=report"]) == 0
    assert (folder / "report/training-mismatch-mean.png").exists() == (lost == [4])


def test_a_report_in_the_place_of_another_leaves_none_of_its_figures(
    drawn: tuple[Path, str], folder: Path
) -> None:
    shutil.copytree(drawn[0].parent, folder, dirs_exist_ok=True)
    (folder / "report" / "mine.png").touch()
    assert command.main(["b", "out=report"]) == 0
    left = {path.stem for path in (folder / "report").glob("*.png")}
    assert "histogram-countdown-3-0-RLOO" in left and "mine" in left
    assert not any("GRPO" in name for name in left)


@pytest.mark.usefixtures("undrawn")
def test_one_run_is_held_against_its_base_alone(folder: Path) -> None:
    write_run(folder / "a", "recipe=grpo_tiny")
    assert command.main(["a", "out=report"]) == 0
    page, _ = page_of(folder / "report")
    assert "nothing to hold it against but the base" in page.text


def test_what_was_stopped_at_a_success_has_no_histogram(folder: Path) -> None:
    stopped = [min(c, 1) for c in BASE]
    stop = {"stop_r": 1, "base": stopped, "policies": {2: stopped, 4: stopped}}
    write_run(folder / "a", "recipe=grpo_tiny", **stop)  # type: ignore[arg-type]
    assert command.main(["a", "out=report"]) == 0
    page, _ = page_of(folder / "report")
    assert "there is no histogram" in page.text and not [*(folder / "report").glob("histogram*")]


def test_perplexities_are_shown_where_they_were_computed(folder: Path) -> None:
    runs = write_two(folder)
    rows = [
        {"task": "countdown:3", "model": model, "author": author, "step": 4 if author == "policy" else None,
         "problem": str(i), "n": 4, "perplexity": 1.1 + 0.1 * i}
        for model in ("base", "policy") for author in ("base", "policy") for i in range(6)
    ]  # fmt: skip
    (folder / "a" / PERPLEXITY).parent.mkdir()
    (folder / "a" / PERPLEXITY).write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert command.main([*runs, "out=report"]) == 0
    assert [p.stem for p in (folder / "report").glob("perplexity-*.png")] == [
        "perplexity-countdown-3-0-GRPO-seed-0"
    ]
    page, html = page_of(folder / "report")
    assert "Could the base have written it?" in page.text and "1.350 of base under base" in html


def test_what_comes_from_files_is_escaped(folder: Path) -> None:
    for name in ("<b>&", "$a$_$"):
        write_run(folder / name, "recipe=grpo_tiny", template="<script>alert(1)</script>")
    assert command.main(["<b>&", "$a$_$", "out=report"]) == 0
    _, html = page_of(folder / "report")
    assert "<script>" not in html and "&lt;script&gt;" in html and "&lt;b&gt;&amp;" in html


def test_points_have_a_true_minus_and_no_minus_zero() -> None:
    assert [points(-0.0123), points(-0.0001, "+"), points(None)] == [
        "\N{MINUS SIGN}1.2", "+0.0", "\N{EN DASH}",
    ]  # fmt: skip


@pytest.mark.slow
def test_runs_of_the_trainer_are_compared(
    folder: Path, train: Callable[..., Forked], capsys: pytest.CaptureFixture[str]
) -> None:
    settings = (
        "model=embedded:countdown-untrained", "steps=2", "save_every=1", "rollouts.prompts=2", "probe.n=4",
        "probe.base_n=4", "probe.final_n=4", "probe.k=4", "probe.max_problems=3",
    )  # fmt: skip
    for name in ("grpo", "rloo"):
        process = train(f"recipe={name}_tiny", *settings, f"run_dir={name}")
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
    assert command.main(["grpo", "rloo", "out=report"]) == 0
    assert "differences" not in capsys.readouterr().out
    page, html = page_of(folder / "report")
    assert page.open == [] and html.count("<svg") == 17 + 3  # with soundness
    records = [json.loads(line) for line in (folder / "grpo" / "probe.jsonl").read_text().splitlines()]
    (last,) = (r for r in records if (r["step"], r["task"]) == (2, "countdown:3"))
    rows = study_rows(make_study(read_runs([Path("grpo"), Path("rloo")])))
    cells = rows[1].cells["countdown:3"]
    assert cells.at_1.value == pytest.approx(last["pass_at_k"][0])
    assert cells.gap is not None and cells.gap.value == pytest.approx(last["gap"])
    assert list(cells.gap.interval) == pytest.approx([last["gap_low"], last["gap_high"]])
