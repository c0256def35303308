"""docs/published.md: made of its rows and results, every line valid, and what counts as reached."""

import json
import math
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from aecli.cli.lookup import command_names
from tests.published import results
from tests.published.__main__ import chosen
from tests.published.page import PAGE, duration, render, spread
from tests.published.results import Result, load, number, run
from tests.published.rows import (
    RUN,
    Entry,
    Page,
    Row,
    Source,
    Table,
    interval,
    read_page,
    verdict,
)
from tests.test_docs import check_options, check_train

Aecli = Callable[..., int]

ROWS = read_page().rows
LINES = {line for table in read_page().tables for each in table.entries for line in each.lines}
ROW = Row(
    name="pca", what="PCA", published="13.87", source="here", reach="within 1 %",
    lines=("data synthetic pca=30",), seeds=0,
)  # fmt: skip
SOURCES = {"here": Source("Hinton", "a paper", "https://example.org"), "there": Source("a", "b")}


def test_the_page_is_made_of_the_rows_and_the_results() -> None:
    assert PAGE.read_text(encoding="utf-8") == render(read_page()), (
        "python -m tests.published --page writes it"
    )


def test_every_row_has_a_name_of_its_own_and_every_result_a_row() -> None:
    names = [row.name for row in ROWS]
    assert len(names) == len(set(names))
    assert {path.stem for path in results.RESULTS.glob("*.json")} <= set(names)


def test_a_row_that_is_not_met_says_why() -> None:
    for row in ROWS:
        result = load(row)
        missed = result is not None and verdict(row, result.values) == "no"
        assert row.reason or not missed, row.name
        assert row.lines or row.reason, row.name


@pytest.mark.parametrize("line", sorted({line for row in ROWS for line in row.lines} | LINES))
def test_every_line_is_valid(line: str) -> None:
    command, *arguments = shlex.split(line.removeprefix("aecli "))
    assert command in command_names()
    if command == "train":
        check_train(arguments)
    elif command != "data":  # whose lines test_docs.py composes
        check_options(command, arguments)


@pytest.mark.parametrize(
    ("reach", "low", "high"),
    [
        ("within 1 %", 1.98, 2.02),
        ("within 0.5", 1.5, 2.5),
        ("at most 3.00", -math.inf, 3),
        ("at most 5 % more", -math.inf, 2.1),
        ("at least 0.91", 0.91, math.inf),
        ("at least 10 % less", 1.8, math.inf),
        ("below", -math.inf, 2),
        ("above", 2, math.inf),
    ],
)
def test_the_tolerance_of_a_row(reach: str, low: float, high: float) -> None:
    assert interval(reach, "2.0") == pytest.approx((low, high))


def test_every_goal_can_be_parsed() -> None:
    for row in ROWS:
        assert row.reach is None or interval(row.reach, row.published)


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([13.8], "yes"),
        ([14.0, 13.75], "yes"),
        ([14.1, 13.75], "on average"),  # 14.0087 is the highest that counts
        ([14.1, 13.95], "no"),
        ([13.0], "no"),  # better, but not reproduced
    ],
)
def test_the_mean_and_every_seed_have_to_meet_the_goal(values: list[float], found: str) -> None:
    assert verdict(ROW, values) == found
    assert verdict(replace(ROW, reach=None), values) is None


def test_a_spread_has_the_digits_of_the_published_number_and_the_count() -> None:
    seeded = replace(ROW, seeds=3)
    assert spread([13.866], ROW) == "13.87"
    assert spread([13.866], seeded) == "13.87 (n = 1)"
    assert spread([1, 2, 3], seeded) == "2.00 ± 1.00 (n = 3)"
    assert spread([2, 2], seeded) == "2.00 (n = 2)"  # PCA, say, which no seed changes
    assert spread([0.5], replace(ROW, published=None, digits=4)) == "0.5000"


def test_durations_have_two_or_three_digits() -> None:
    assert [duration([each]) for each in (3.4, 119.0, 960.0, 7300.0)] == [
        "3 s", "119 s", "16 min", "2.0 h"
    ]  # fmt: skip


def made(folder: Path, row: Row, values: list[float]) -> None:
    seconds = [90.0] * len(values)
    result = Result(row.name, row.line, values, {}, seconds, seconds, ["a processor"] * len(values))
    (folder / f"{row.name}.json").write_text(json.dumps(vars(result)))


def test_the_page_shows_what_is_met_what_is_not_and_what_was_not_run(tmp_path: Path) -> None:
    missed = replace(ROW, name="vae", what="VAE", seeds=2, reason="too short a training")
    absent = replace(ROW, name="far", what="CIFAR-10", needs="a GPU")
    made(tmp_path, ROW, [13.866])
    made(tmp_path, missed, [15.0, 15.5])
    entries = [Entry(row.name, row.what, [row], list(row.lines)) for row in (ROW, missed, absent)]
    text = render(Page(SOURCES, [Table("Errors", "", entries, "")]), tmp_path)
    assert "| PCA | 13.87 | [Hinton][here] | within 1 % | 13.87 | yes | 90 s (90 s) on A |" in text
    assert "| VAE | 13.87 | [Hinton][here] | within 1 % | 15.25 ± 0.35 (n = 2) | no | " in text
    assert "| CIFAR-10 | 13.87 | [Hinton][here] | within 1 % | not run | – | – |" in text
    assert "- VAE: not met: too short a training.\n" in text
    assert "- CIFAR-10: not run: it needs a GPU.\n" in text
    assert "\n# pca, vae, far\naecli data synthetic pca=30\n" in text
    assert "- A: a processor" in text
    assert "- Hinton: a paper.\n" in text and text.endswith("\n[here]: https://example.org\n")
    assert "- a: b" not in text, "nothing cites it"


def test_times_are_told_for_each_machine(tmp_path: Path) -> None:
    machines = ["fast", "slow", "fast"]
    result = Result(ROW.name, ROW.line, [13.8] * 3, {}, [60, 600, 80], [90, 90, 90], machines)
    (tmp_path / f"{ROW.name}.json").write_text(json.dumps(vars(result)))
    entry = Entry(ROW.name, ROW.what, [ROW], list(ROW.lines))
    text = render(Page(SOURCES, [Table("Errors", "", [entry], "")]), tmp_path)
    assert "| yes | 70 s (90 s) on A, 10 min (90 s) on B |" in text
    assert "- A: fast\n- B: slow\n" in text


def test_sizes_with_the_same_reason_share_a_sentence(tmp_path: Path) -> None:
    rows = [replace(ROW, name=f"vae-{size}", size=size, reason="too short") for size in ("2", "4")]
    made(tmp_path, rows[0], [10.0])
    entry = Entry("vae", "VAE, d = {d}", rows, [])
    text = render(Page(SOURCES, [Table("Errors", "", [entry], "")]), tmp_path)
    assert "- VAE, d = 2: not met: too short.\n- VAE, d = 4: not run: too short.\n" in text
    made(tmp_path, rows[1], [10.0])
    text = render(Page(SOURCES, [Table("Errors", "", [entry], "")]), tmp_path)
    assert "- VAE, d = 2, 4: not met: too short.\n" in text


def test_a_result_of_another_command_is_ignored(tmp_path: Path) -> None:
    made(tmp_path, ROW, [13.866])
    assert load(ROW, tmp_path) is not None
    assert load(replace(ROW, lines=("data synthetic pca=31",)), tmp_path) is None


def test_only_what_is_missing_runs_and_what_needs_more_only_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "RESULTS", tmp_path)
    there, part = replace(ROW, name="there"), replace(ROW, name="part", seeds=3)
    far, empty = replace(ROW, name="far", needs="a GPU"), replace(ROW, name="empty", lines=())
    made(tmp_path, there, [1])
    made(tmp_path, part, [1, 2])
    rows = [there, part, far, empty, ROW]
    other = replace(ROW, name="other", key="test/mse")
    rows.append(other)
    assert chosen(rows, []) == [[part], [ROW, other]]  # the same lines, run once
    assert chosen(rows, ["far", "there"]) == [[far]]
    with pytest.raises(SystemExit, match="no such row: nowhere"):
        chosen(rows, ["nowhere"])


def test_a_number_is_the_mean_over_all_files_of_that_name(tmp_path: Path) -> None:
    for name, value in (("a", 1), ("b", 2)):
        (tmp_path / name / "probe").mkdir(parents=True)
        text = json.dumps({"by": [{"x": 0}, {"x": value}]})
        (tmp_path / name / "probe" / "numbers.json").write_text(text)
    assert number(tmp_path, "probe/numbers.json", "by/1/x") == 1.5


def test_a_row_runs_seed_by_seed_and_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[str, list[str]]] = []

    def pretend(words: list[str], place: Path) -> None:
        calls.append((place.name, words))
        if "seed=1" in words and len(calls) < 5:
            raise KeyboardInterrupt
        if words[0] == "train":
            seed = int(words[-1].partition("=")[2])
            (place / "outputs" / "run").mkdir(parents=True)
            summary = {
                "test": {"sse": 10.0 + seed},
                "baselines": {"pca": {"sse": 20.0}},
                "device": "cuda:0, a GPU" if seed else "cpu, 2 threads",
            }
            (place / "outputs" / "run" / "summary.json").write_text(json.dumps(summary))

    monkeypatch.setattr(results, "_aecli", pretend)
    lines = ("train latent=3", f"probe {RUN}")
    row = replace(ROW, lines=lines, seeds=2, beside={"PCA": "baselines/pca/sse"})
    pca = replace(row, name="theirs", key="baselines/pca/sse", beside={})
    with pytest.raises(KeyboardInterrupt):
        run([row], tmp_path / "work", tmp_path)
    assert [words for _, words in calls] == [
        ["train", "latent=3", "seed=0"], ["probe", "outputs/run"], ["train", "latent=3", "seed=1"]
    ]  # fmt: skip
    first = load(row, tmp_path)
    calls += [("", [])] * 2
    run([row], tmp_path / "work", tmp_path)
    kept = load(row, tmp_path)
    assert first is not None and kept is not None
    assert kept.processors == [*first.processors, f"a GPU; {first.processors[0]}"]
    assert (kept.values, kept.beside) == ([10, 11], {"PCA": [20, 20]})
    assert [place for place, _ in calls[5:]] == ["seed-1", "seed-1"]
    run([row, pca], tmp_path / "work", tmp_path)  # the other one lacks both seeds
    again, theirs = load(row, tmp_path), load(pca, tmp_path)
    assert again == kept
    assert theirs is not None and theirs.values == [20, 20]
    assert [place for place, _ in calls[7:]] == ["seed-0", "seed-0", "seed-1", "seed-1"]


TRAINED = [row for row in ROWS if row.lines and row.lines[0].startswith("train experiment=")]
FEW = [
    "data=synthetic", "data.train_size=64", "data.val_size=32", "data.test_size=32", "epochs=1",
    "batch_size=32", "device=cpu",
]  # fmt: skip


@pytest.mark.undrawn("train", "denoise", "superres")
@pytest.mark.parametrize("row", TRAINED, ids=lambda row: row.name)
def test_the_lines_of_a_row_give_its_numbers(
    row: Row, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, aecli: Aecli
) -> None:
    """With a few drawn digits in place of the data."""

    def here(words: list[str], place: Path) -> None:
        monkeypatch.chdir(place)
        words = [word for word in words if not word.startswith(("n=", "data="))]
        assert aecli(*words, *(FEW if words[0] == "train" else [])) == 0

    monkeypatch.setattr(results, "_aecli", here)
    run([replace(row, seeds=min(row.seeds, 1))], tmp_path / "work", tmp_path)
    kept = load(row, tmp_path)
    assert kept is not None
    assert all(math.isfinite(values[0]) for values in (kept.values, *kept.beside.values()))
    assert kept.beside.keys() == row.beside.keys()


def test_lines_are_shown_for_all_sizes_and_seeds_at_once(tmp_path: Path) -> None:
    path = tmp_path / "rows.yaml"
    path.write_text(
        """
sources: {}
tables:
  - title: Errors
    rows:
      - name: vae
        what: "VAE, d = {d}"
        published: {2: "0.04", 4: "0.030"}
        source: here
        lines: ["train model=fc latent={d}", "probe RUN"]
        key: x/{d}
        seeds: 2
"""
    )
    (table,) = read_page(path).tables
    (entry,) = table.entries
    assert entry.lines == ["train -m model=fc latent=2,4 seed=0,1", "probe RUN"]
    assert [(row.name, row.what, row.published, row.key) for row in entry.rows] == [
        ("vae-2", "VAE, d = 2", "0.04", "x/2"), ("vae-4", "VAE, d = 4", "0.030", "x/4")
    ]  # fmt: skip
    assert entry.rows[1].lines == ("train model=fc latent=4", "probe RUN")
