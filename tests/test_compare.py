"""`aecli compare` from the command line: what it leaves, refuses, and shows in TensorBoard."""

import csv
import html
import json
import re
import shutil
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import starmap
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest
from PIL import Image
from safetensors.torch import load, save
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from aecli.cli import main as cli
from aecli.cli.compose import compose
from aecli.comparison import gather as gathering
from aecli.comparison.grouping import distinctions
from aecli.comparison.results import MeanStd
from aecli.config.wording import word
from aecli.errors import UsageError
from aecli.runs.directory import RunDirectory
from aecli.runs.discovery import runs_below
from aecli.runs.records import DataFacts
from tests.browser import opened
from tests.conftest import TINY, planted, undo
from tests.gathered import gather

Aecli = Callable[..., int]

FIGURES = {"loss", "mse-by-latent", "reconstructions", "epochs", "extremes"}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory, data_dir: Path) -> Path:
    """The folder of a sweep over two sizes and two seeds; its comparison is in it."""
    folder = tmp_path_factory.mktemp("study")
    line = ["latent=2,3", "seed=0,1", "model=fc", *TINY, "epochs=2", f"data_dir={data_dir}"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert cli.run(["train", "-m", *line, "hydra.sweep.dir=study"]) == 0
    return folder / "study"


@pytest.fixture
def copied(study: Path, tmp_path: Path) -> Path:
    """A copy of the sweep that a test may damage, without its comparison."""
    folder = tmp_path / "study"
    shutil.copytree(study, folder, ignore=shutil.ignore_patterns("compare"))
    return folder


def table(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / "table.csv").read_text().splitlines()))


def test_a_sweep_ends_with_its_comparison(study: Path) -> None:
    names = {
        path.relative_to(study / "compare").as_posix() for path in (study / "compare").rglob("*")
    }
    expected = {f"figures/{name}.{suffix}" for name in FIGURES for suffix in ("png", "svg")}
    events = {name for name in names if name.startswith("events.out.tfevents.")}
    assert names - events == expected | {
        "figures", "manifest.json", "report.html", "table.csv", "table.md",
    }  # fmt: skip
    assert len(events) == 1


def test_a_row_is_the_mean_over_the_seeds(study: Path) -> None:
    rows = table(study / "compare")
    assert [(row["latent"], row["seeds"]) for row in rows] == [("2", "0 1"), ("3", "0 1")]
    runs = [run.load_summary() for run in runs_below(study)]
    for row in rows:
        mine = [summary for summary in runs if summary["latent"] == int(row["latent"])]
        assert len(mine) == 2
        for quantity in ("mse", "sse", "psnr", "ssim", "checkerboard"):
            values = [summary["test"][quantity] for summary in mine]
            assert float(row[f"test_{quantity}"]) == pytest.approx(statistics.mean(values))
            assert float(row[f"test_{quantity}_std"]) == pytest.approx(statistics.stdev(values))
        assert float(row["pca_mse"]) == pytest.approx(mine[0]["baselines"]["pca"]["mse"])
        assert float(row["compression_ratio"]) == pytest.approx(784 / int(row["latent"]))
        assert int(row["parameters"]) == mine[0]["parameters"]


@pytest.mark.undrawn("compare")
def test_the_report_has_its_command_and_leads_to_the_runs(
    study: Path, aecli: Aecli, tmp_path: Path
) -> None:
    output = tmp_path / "out put"
    assert aecli("compare", str(study), f"output={output}", "sort=mse") == 0
    report = output / "report.html"
    text = html.unescape(report.read_text())
    assert f"aecli compare {study} sort=mse 'output={output}'" in text
    addresses = re.findall(r'href="(\./[^"]*)"', text)
    targets = {(output / unquote(address)).resolve() for address in addresses}
    runs = {run.path.resolve() for run in runs_below(study)}
    assert targets == runs | {run / "config.yaml" for run in runs}
    assert "fc, latent 2 · epoch 1: " in text  # under the pointer


def test_figures_are_pictures(study: Path) -> None:
    for name in FIGURES:
        with Image.open(study / "compare/figures" / f"{name}.png") as picture:
            assert picture.width > 800
            low, high = picture.convert("L").getextrema()
            assert (low, high) != (high, high)  # not blank


def test_the_report_opens_in_a_browser_on_its_own(study: Path) -> None:
    with opened(study / "compare/report.html") as page:
        assert not page.complaints()
        assert {url.partition(":")[0] for url in page.requests()} == {"file", "data"}
        widths = page.image_widths()
    assert len(widths) == 2 * len(FIGURES)  # light and dark
    assert all(width > 0 for width in widths)


@pytest.mark.undrawn("compare")
def test_the_command_compares_runs_and_sweeps_alike(
    study: Path, aecli: Aecli, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    single, *_ = runs_below(study)
    assert aecli("compare", str(study), str(single.path), f"run={single.path}", "output=out") == 0
    assert table(tmp_path / "out") == table(study / "compare")  # no run counts twice
    text = capsys.readouterr().out
    assert "fc: latent " in text and "report  out/report.html" in text
    assert aecli("compare", str(single.path), "output=one") == 0
    assert [row["seeds"] for row in table(tmp_path / "one")] == ["0"]


@pytest.mark.undrawn("compare")
def test_several_folders_have_their_comparison_in_a_new_one(
    study: Path, aecli: Aecli, tmp_path: Path
) -> None:
    first, second = (str(run.path) for run in runs_below(study)[:2])
    assert aecli("compare", first, second) == 0
    (folder,) = (tmp_path / "outputs/compare").iterdir()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d-\d{6}", folder.name)
    assert (folder / "report.html").is_file()


@pytest.mark.undrawn("compare")
def test_the_table_is_sorted_as_requested(study: Path, aecli: Aecli, tmp_path: Path) -> None:
    for key, column in (("mse", "test_mse"), ("seconds", "training_seconds")):
        assert aecli("compare", str(study), f"sort={key}", f"output={key}") == 0
        values = [float(row[column]) for row in table(tmp_path / key)]
        assert values == sorted(values)


def test_sorting_the_table_leaves_the_figures_as_they_are(
    copied: Path, aecli: Aecli, tmp_path: Path
) -> None:
    for run in runs_below(copied):  # the smaller codes take longer
        summary = run.load_summary()
        run.save_summary({**summary, "seconds": 10.0 - summary["latent"]})
    for key in ("model", "seconds"):
        assert aecli("compare", str(copied), f"sort={key}", f"output={key}") == 0
    assert [row["latent"] for row in table(tmp_path / "seconds")] == ["3", "2"]
    for name in FIGURES:
        with (
            Image.open(tmp_path / "model/figures" / f"{name}.png") as first,
            Image.open(tmp_path / "seconds/figures" / f"{name}.png") as second,
        ):
            assert first.tobytes() == second.tobytes()


@pytest.mark.undrawn("compare")
def test_a_comparison_replaces_the_earlier_one(copied: Path, aecli: Aecli, tmp_path: Path) -> None:
    assert aecli("compare", str(copied)) == 0
    for run in runs_below(copied):
        if run.load_config().latent == 3:
            shutil.rmtree(run.path)
    (copied / "compare/figures/mine.png").touch()
    assert aecli("compare", str(copied)) == 0
    assert [row["latent"] for row in table(copied / "compare")] == ["2"]
    assert len(list((copied / "compare").glob("events.out.tfevents.*"))) == 1
    assert (copied / "compare/figures/mine.png").exists()  # not of a comparison


@pytest.mark.undrawn("compare")
def test_nothing_else_is_overwritten(
    study: Path, aecli: Aecli, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/report.html").write_text("my thesis")
    assert aecli("compare", str(study), "output=thesis") == 5
    assert "thesis/report.html was not written by aecli" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "thesis").iterdir()] == ["report.html"]
    (tmp_path / "thesis/report.html").rename(tmp_path / "thesis/chapter.html")
    assert aecli("compare", str(study), "output=thesis") == 0
    assert (tmp_path / "thesis/chapter.html").read_text() == "my thesis"


def test_a_folder_without_runs_is_refused(
    aecli: Aecli, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    for line, words in (
        ([], "compare needs runs: give run folders, or the folder of a sweep"),
        (["empty"], "empty holds no runs"),
        (["nowhere"], "nowhere is not a folder"),
        (["srt=mse"], "there is no key 'srt': did you mean sort?"),
        (["empty", "sort=msé"], "sort=msé is not valid: did you mean mse?"),
        (["--fast"], "there is no option --fast"),
    ):
        assert aecli("compare", *line) == 2
        errors = capsys.readouterr().err
        assert words in errors and errors.count("\n") == 1
    assert [path.name for path in tmp_path.rglob("*")] == ["empty"]


def on_other_images(run: RunDirectory, **changes: Any) -> None:
    """Have a run say that it was on other images."""
    summary = run.load_summary()
    data = {**summary["data"], **changes}
    errors = {name: each[: data["test"]] for name, each in run.load_image_errors().items()}
    run.save_image_errors(errors)
    run.save_summary({**summary, "data": data})


@pytest.mark.undrawn("compare")
@pytest.mark.parametrize("change", ["fingerprints", "image_shape", "test"])
def test_errors_on_different_images_are_not_compared(
    change: str, copied: Path, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    other, *rest = runs_below(copied)
    fingerprints = {**other.load_summary()["data"]["fingerprints"], "test": "0" * 64}
    values = {"fingerprints": fingerprints, "image_shape": [1, 14, 14], "test": 50}
    on_other_images(other, **{change: values[change]})
    assert aecli("compare", str(copied)) == 0
    shown = capsys.readouterr().out
    folders = sorted(path.parent.name for path in (copied / "compare").glob("*/report.html"))
    assert len(folders) == 2 and all(name.startswith("synthetic-") for name in folders)
    assert (change != "fingerprints") or folders[0] == "synthetic-00000000"
    for name in folders:
        assert f"{name}: synthetic (1x" in shown
        assert f"report on {name}  {copied}/compare/{name}/report.html\n" in shown
    runs = [
        (copied / "compare" / name / "report.html").read_text().count("config.yaml</a>")
        for name in folders
    ]
    assert sorted(runs) == [1, len(rest)]


@pytest.mark.undrawn("compare")
def test_each_data_set_has_a_comparison_that_replaces_an_earlier_one(
    copied: Path, aecli: Aecli, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"

    def compare(*line: str) -> set[str]:
        assert aecli("compare", str(copied), f"output={output}", *line) == 0
        return {str(path.parent.relative_to(output)) for path in output.rglob("report.html")}

    def event_files() -> set[str]:
        found = output.rglob("events.out.tfevents.*")
        return {str(path.parent.relative_to(output)) for path in found}

    assert compare() == {"."}
    (output / "mine").write_text("somebody else's")
    other = runs_below(copied)[0]
    on_other_images(other, name="letters", fingerprints={
        **other.load_summary()["data"]["fingerprints"], "test": "0" * 64
    })  # fmt: skip
    assert compare() == {"letters", "synthetic"}
    assert event_files() == {"letters", "synthetic"}
    # Nothing is left of the one before, and all is of the same moment.
    assert {path.name for path in output.iterdir()} == {
        *("letters", "synthetic", "manifest.json", "mine")
    }
    assert "output=" in (output / "letters/report.html").read_text()
    for name in ("letters", "synthetic"):
        capsys.readouterr()
        assert compare(f"data={name}") == {"."} == event_files()
        assert f"on {name}" in (output / "report.html").read_text()
        assert f"data={name} sort=model" in (output / "report.html").read_text()
        assert capsys.readouterr().out.endswith(f"report  {output}/report.html\n")
    assert not (output / "letters").exists()
    assert (output / "mine").exists()

    before = {path: path.read_bytes() for path in output.rglob("*") if path.is_file()}
    capsys.readouterr()
    assert aecli("compare", str(copied), f"output={output}", "data=leters") == 2
    line = capsys.readouterr().err
    assert line.startswith("aecli: no run is on data=leters: did you mean letters? (valid: ")
    assert {path: path.read_bytes() for path in output.rglob("*") if path.is_file()} == before


@pytest.mark.undrawn("compare")
def test_with_data_only_runs_on_it_or_on_unknown_data_are_listed_as_left_out(
    copied: Path, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    elsewhere, damaged, same, *_ = runs_below(copied)
    for run in (elsewhere, same):
        run.summary_file.unlink()
    config = elsewhere.load_config()
    elsewhere.save_config(replace(config, data=replace(config.data, name="fashion_mnist")))
    damaged.config_file.write_text("{")
    assert aecli("compare", str(copied), "data=synthetic") == 0
    left_out = [
        line for line in capsys.readouterr().err.splitlines() if line.startswith("left out")
    ]
    assert len(left_out) == 2
    assert all(str(run.path) in "".join(left_out) for run in (damaged, same))


@pytest.mark.undrawn("compare")
def test_another_programs_file_blocks_a_part(
    copied: Path, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    on_other_images(runs_below(copied)[0], name="letters", image_shape=[1, 14, 14])
    mine = copied / "compare" / "letters" / "report.html"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    assert aecli("compare", str(copied)) == 5
    assert f"{mine} was not written by aecli" in capsys.readouterr().err
    assert mine.read_text() == "mine" and not (copied / "compare" / "synthetic").exists()


@pytest.mark.undrawn("compare")
def test_left_out_runs_are_named_once_with_their_data_set(
    copied: Path, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    on_other_images(runs_below(copied)[0], name="letters", image_shape=[1, 14, 14])
    damaged = runs_below(copied)[1]
    damaged.config_file.write_text("damaged")
    comparisons = gathering.gather([copied])
    assert [len(each.skipped) for each in comparisons.values()] == [1, 1]
    assert aecli("compare", str(copied)) == 0
    assert capsys.readouterr().err.count("left out: ") == 1


@pytest.mark.parametrize(
    ("names", "folders"),
    [
        (["mnist", "fashion_mnist"], ["mnist", "fashion_mnist"]),
        (["photos", "photos"], ["photos-0aaaaaaa", "photos-1aaaaaaa"]),
        (["Photos", "photos"], ["Photos-0aaaaaaa", "photos-1aaaaaaa"]),
        (["../../etc", "a b/c"], ["etc", "a-b-c"]),
        (["..", "figures"], ["images", "figures-1aaaaaaa"]),
        (["x" * 300], ["x" * 60]),
    ],
)
def test_the_folders_of_data_sets(names: list[str], folders: list[str]) -> None:
    data = [DataFacts(name, (1, 8, 8), 5, f"{n}{'a' * 63}") for n, name in enumerate(names)]
    assert gathering.folder_names(data) == folders


def test_data_sets_without_fingerprints_have_folders_of_their_own() -> None:
    same = [DataFacts("a", (1, 8, size), 5) for size in (7, 8, 9)]
    assert gathering.folder_names(same) == ["a-unknown", "a-unknown-2", "a-unknown-3"]


def another_file(run: RunDirectory) -> None:
    run.save_summary({**run.load_summary(), "pca_curve": [1, 2]})


def cut_summary(run: RunDirectory) -> None:
    run.summary_file.write_text(run.summary_file.read_text()[:100])


def summary_without_a_key(run: RunDirectory) -> None:
    summary = run.load_summary()
    del summary["pca_curve"]
    run.save_summary(summary)


def code_in_the_configuration(run: RunDirectory) -> None:
    planted(run, "config.yaml", run.config_file.read_text() + "_target_: os.system\n")


def metrics_cut(run: RunDirectory) -> None:
    run.metrics_file.write_text(run.metrics_file.read_text().splitlines()[0] + "\n")


def an_error_below_zero(run: RunDirectory) -> None:
    lines = [{**line, "val_mse": -0.1} for line in run.load_metrics()]
    planted(run, "metrics.jsonl", "".join(f"{json.dumps(line)}\n" for line in lines))


def best_without_validation(run: RunDirectory) -> None:
    lines = [{**line, "val_mse": None} for line in run.load_metrics()]
    planted(run, "metrics.jsonl", "".join(f"{json.dumps(line)}\n" for line in lines))


def errors_of_other_images(run: RunDirectory) -> None:
    errors = {name: each[:5] for name, each in run.load_image_errors().items()}
    planted(run, "errors.safetensors", save(errors))


def images_cut(run: RunDirectory) -> None:
    run.images_file.write_bytes(run.images_file.read_bytes()[:1000])


def without_the_worst_images(run: RunDirectory) -> None:
    images = load(run.images_file.read_bytes())
    del images["worst/original"]
    planted(run, run.images_file.name, save(images))


def no_images(run: RunDirectory) -> None:
    run.images_file.unlink()


DAMAGE = [
    another_file,
    cut_summary,
    summary_without_a_key,
    code_in_the_configuration,
    metrics_cut,
    an_error_below_zero,
    best_without_validation,
    errors_of_other_images,
    images_cut,
    no_images,
    without_the_worst_images,
]


@pytest.mark.undrawn("compare")
@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__)
def test_a_damaged_run_is_named_and_left_out(
    damage: Callable[[RunDirectory], None],
    copied: Path,
    aecli: Aecli,
    capsys: pytest.CaptureFixture[str],
) -> None:
    damaged = runs_below(copied)[0]
    damage(damaged)
    assert aecli("compare", str(copied)) == 0
    text, errors = capsys.readouterr()
    assert f"left out: {damaged.path}, damaged: " in errors
    assert "1 of 4 runs is missing: 1 is damaged" in " ".join(text.split())
    assert [row["seeds"] for row in table(copied / "compare")] == ["1", "0 1"]
    report = (copied / "compare/report.html").read_text()
    assert damaged.path.name in report and "damaged" in report


@pytest.mark.undrawn("compare")
def test_unfinished_runs_are_named_with_the_reason(
    copied: Path, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    failed, interrupted, planned, _ = runs_below(copied)
    for run in (failed, interrupted, planned):
        run.summary_file.unlink()
    failed.save_failure("the loss became <nan>")
    undo(planned)
    assert aecli("compare", str(copied)) == 0
    text, errors = capsys.readouterr()
    assert [line.partition(", ")[2] for line in errors.splitlines()] == [
        "failed: the loss became <nan>",
        "interrupted: it has 2 epochs and no summary",
        "not started: it was only planned",
    ]
    assert "3 of 4 runs are missing" in " ".join(text.split())
    assert "the loss became &lt;nan&gt;" in (copied / "compare/report.html").read_text()


def test_without_a_finished_run_there_is_nothing_to_compare(
    copied: Path, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    for run in runs_below(copied):
        run.summary_file.unlink()
    assert aecli("compare", str(copied)) == 2
    errors = capsys.readouterr().err
    assert errors.startswith("aecli: there is no finished run to compare: ")
    assert errors.count("\n") == 1


# What makes two runs of one kind.


def changed(run: RunDirectory, **keys: object) -> None:
    """Write other values into the configuration that a run saved."""
    text = run.config_file.read_text()
    for key, value in keys.items():
        text, count = re.subn(rf"(?m)^({key}): .*$", rf"\1: {value}", text)
        assert count == 1
    planted(run, "config.yaml", text)


def test_runs_that_differ_by_more_than_the_seed_are_kept_apart_and_named(copied: Path) -> None:
    for run, lr in zip(runs_below(copied), (0.1, 0.1, 0.25, 0.1), strict=True):
        changed(run, lr=lr)
    settings = gather([copied]).settings
    assert [(setting.label, setting.seeds) for setting in settings] == [
        ("fc, lr=0.1, latent 2", [0, 1]),
        ("fc, lr=0.1, latent 3", [1]),
        ("fc, lr=0.25, latent 3", [0]),
    ]
    assert list(gather([copied]).families) == ["fc, lr=0.1", "fc, lr=0.25"]


def test_common_settings_are_shown(copied: Path) -> None:
    common = gather([copied]).common
    assert (common["epochs"], common["batch_size"], common["data.train_size"]) == (
        "2",
        "128",
        "256",
    )
    assert common["model.output_activation"] == "sigmoid"
    assert not {"seed", "latent", "model.latent", "name", "patience"} & set(common)
    changed(runs_below(copied)[0], lr=0.1)
    assert "lr" not in gather([copied]).common


def test_a_models_own_keys_are_compared_within_that_model(copied: Path) -> None:
    # two runs of another model with an output of its own: that is no difference among the first two
    for run in runs_below(copied)[2:]:
        text = run.config_file.read_text()
        text = text.replace("  name: fc\n", "  name: gc\n").replace(
            "output_activation: sigmoid", "output_activation: tanh"
        )
        planted(run, "config.yaml", text)
    comparison = gather([copied])
    assert list(comparison.families) == ["fc", "gc"]
    assert comparison.common["fc: model.output_activation"] == "sigmoid"
    assert comparison.common["gc: model.output_activation"] == "tanh"


def told_apart(*lines: list[str]) -> list[str]:
    """What tells the runs of these lines apart, in words."""
    told = distinctions([compose(line) for line in lines])
    return [", ".join(starmap(word, each.items())) for each in told]


def test_runs_of_a_sweep_are_distinguished_by_their_settings() -> None:
    lines = [["model=fc", "seed=0"], ["model=fc", "seed=1", "lr=0.1", "latent=3"], ["model=conv"]]
    assert told_apart(*lines) == ["lr=0.001, seed=0", "lr=0.1, seed=1", "lr=0.001, seed=0"]
    assert told_apart(["upsample=nearest"], ["upsample=transposed"]) == ["nearest", "transposed"]
    assert told_apart(["latent=2"], ["model=fc"]) == ["", ""]
    assert told_apart(["data.classes=[3,5]"], ["data.exclude_classes=[1]"]) == [
        "classes=[3,5], exclude_classes=null", "classes=null, exclude_classes=[1]",
    ]  # fmt: skip
    assert told_apart(["data=kmnist"], ["data=mnist"]) == ["kmnist", "mnist"]
    assert told_apart(["corruption=none"], ["corruption=gaussian"]) == ["no corruption", "gaussian"]
    assert told_apart(["corruption.noise_std=0.1"], ["corruption.noise_std=0.3"]) == [
        "noise_std=0.1", "noise_std=0.3",
    ]  # fmt: skip
    assert told_apart(["optimizer=adam"], ["optimizer=adam_cosine"]) == ["adam", "adam_cosine"]
    assert told_apart(["model.batch_norm=true"], []) == ["batch_norm=true", "batch_norm=false"]


def test_the_place_and_machine_of_a_run_make_no_difference(copied: Path) -> None:
    elsewhere = {"output_dir": "x", "data_dir": "y", "  path": "z"}  # the last is data.path
    changed(runs_below(copied)[0], name="other", device="cuda", **elsewhere)
    assert [setting.label for setting in gather([copied]).settings] == [
        "fc, latent 2", "fc, latent 3",
    ]  # fmt: skip


def test_upsampling_counts_for_models_that_have_it(copied: Path) -> None:
    # a fully connected model has no upsampling, so what was chosen there makes no difference
    run = runs_below(copied)[0]
    text = run.config_file.read_text()
    planted(
        run,
        "config.yaml",
        text.replace("upsample:\n  name: transposed", "upsample:\n  name: nearest"),
    )
    assert [setting.label for setting in gather([copied]).settings] == [
        "fc, latent 2", "fc, latent 3",
    ]  # fmt: skip
    for run, method in zip(runs_below(copied), ["transposed", "nearest"] * 2, strict=True):
        run.save_summary({**run.load_summary(), "upsample": method})
    assert list(gather([copied]).families) == ["fc, nearest", "fc, transposed"]


def test_means_and_deviations() -> None:
    assert MeanStd.from_values([1.0]) == MeanStd(1.0, None)
    assert MeanStd.from_values([1.0, 3.0]) == MeanStd(2.0, 2**0.5)
    assert MeanStd.from_values([float("inf"), 3.0]) == MeanStd(float("inf"), None)


def test_the_data_are_described_in_words() -> None:
    assert str(DataFacts("mnist", (1, 28, 28), 10_000)) == "mnist (1x28x28, 10,000 test images)"


def test_folders_must_exist(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a folder"):
        gather([tmp_path / "nowhere"])


# TensorBoard.


@pytest.fixture(scope="module")
def tensorboard(study: Path) -> Iterator[str]:
    """The address of a TensorBoard that shows the sweep."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tensorboard.main", "--logdir", str(study), "--port", "0",
         "--host", "127.0.0.1", "--load_fast", "false"],
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    try:
        for line in process.stderr:
            found = re.search(r"http://127\.0\.0\.1:\d+/", line)
            if found:
                break
        else:
            pytest.fail("TensorBoard did not start")
        deadline = time.monotonic() + 60
        while len(asked(found[0], "runs")) < 5:  # it reads them in the background
            assert time.monotonic() < deadline
            time.sleep(0.2)
        yield found[0]
    finally:
        process.terminate()
        process.communicate()


def asked(address: str, path: str, body: dict[str, Any] | None = None) -> Any:
    request = urllib.request.Request(
        f"{address}data/{path}",
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())


RUNS = {"0-fc-z2-s0", "1-fc-z2-s1", "2-fc-z3-s0", "3-fc-z3-s1"}


def test_tensorboard_has_the_scalars_of_every_run(tensorboard: str, study: Path) -> None:
    tags = asked(tensorboard, "plugin/scalars/tags")
    assert {run for run, found in tags.items() if found} == RUNS | {"compare"}
    values = asked(tensorboard, "plugin/scalars/scalars?tag=loss/validation&run=2-fc-z3-s0")
    saved = RunDirectory(study / "2-fc-z3-s0").load_metrics()
    assert [step for _, step, _ in values] == [1, 2]
    assert [value for *_, value in values] == pytest.approx([line["val_loss"] for line in saved])


def test_tensorboard_has_the_figures_of_the_comparison(tensorboard: str) -> None:
    tags = asked(tensorboard, "plugin/images/tags")
    assert set(tags) == RUNS | {"compare"}
    assert set(tags["compare"]) == {f"results/compare/{name}" for name in FIGURES}


def test_tensorboard_has_one_chart_with_the_curves_of_all_runs(tensorboard: str) -> None:
    layout = asked(tensorboard, "plugin/custom_scalars/layout")
    charts = {
        (category["title"], chart["title"]): chart["multiline"]["tag"]
        for category in layout["category"]
        for chart in category["chart"]
        if "multiline" in chart
    }
    assert charts["all runs", "training loss"] == ["loss/train"]
    assert charts["all runs", "validation loss"] == ["loss/validation"]
    assert charts["training", "loss"] == ["loss/train", "loss/validation"]
    for run in RUNS:  # a chart draws what this finds in each run
        found = asked(tensorboard, f"plugin/custom_scalars/scalars?tag=loss/validation&run={run}")
        assert list(found["tag_to_events"]) == ["loss/validation"]


def test_tensorboard_has_a_band_over_the_seeds(tensorboard: str, study: Path) -> None:
    layout = asked(tensorboard, "plugin/custom_scalars/layout")
    bands = {
        chart["title"]: chart["margin"]["series"][0]
        for category in layout["category"]
        for chart in category["chart"]
        if "margin" in chart
    }
    assert set(bands) == {"fc, latent 2", "fc, latent 3"}
    runs = [RunDirectory(study / name).load_metrics() for name in ("0-fc-z2-s0", "1-fc-z2-s1")]
    first, second = (run[-1]["val_mse"] for run in runs)
    half = abs(first - second) / 2**0.5  # the standard deviation of two values
    expected = {"value": 0, "lower": -half, "upper": half}
    for key, offset in expected.items():
        tag = bands["fc, latent 2"][key]
        events = asked(tensorboard, f"plugin/scalars/scalars?tag={quote(tag)}&run=compare")
        assert events[-1][2] == pytest.approx((first + second) / 2 + offset, rel=1e-5)


def test_tensorboard_shows_first_what_differs_between_runs(tensorboard: str) -> None:
    body = {"experimentName": "", "hparamsLimit": 0, "includeMetrics": True}
    found = asked(tensorboard, "plugin/hparams/experiment", body)
    names = [info["name"] for info in found["hparamInfos"]]
    assert names[:3] == ["latent", "parameters", "seed"]


def test_tensorboard_has_one_row_of_hyperparameters_for_each_run(tensorboard: str) -> None:
    body = {
        "experimentName": "", "startIndex": 0, "sliceSize": 100, "colParams": [],
        "allowedStatuses": ["STATUS_UNKNOWN", "STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING"],
    }  # fmt: skip
    groups = asked(tensorboard, "plugin/hparams/session_groups", body)["sessionGroups"]
    rows = sorted((group["hparams"]["latent"], group["hparams"]["seed"]) for group in groups)
    assert rows == [(2, 0), (2, 1), (3, 0), (3, 1)]


def test_the_figures_keep_their_size_in_tensorboard(study: Path) -> None:
    events = EventAccumulator(str(study / "compare"), size_guidance={"images": 0}).Reload()
    (picture,) = events.Images("results/compare/loss")
    assert picture.width > 800
