"""The table of a comparison: the same numbers in the terminal, in CSV, in Markdown and in HTML."""

import csv
import io
import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from aecli.commands.compare import SortKey
from aecli.comparison.results import Result, RunGroup
from aecli.comparison.table import (
    SORT_KEYS,
    columns,
    notes,
    rows,
    sort_settings,
    to_csv,
    to_markdown,
)
from aecli.comparison.terminal import EXPENDABLE, terminal_table
from aecli.config import FCConfig, TrainConfig
from aecli.evaluation.metrics import psnr
from aecli.runs.directory import RunDirectory
from aecli.runs.records import DataFacts, EpochRecord, Validation

PIXELS = 784


def some_setting(
    *mses: float,
    model: str = "fc",
    family: str | None = None,
    latent: int = 25,
    pca_mse: float = 0.02,
    ssim: float | None = 0.9,
    checkerboard: float | None = 2e-5,
    upsample: str | None = None,
    parameters: int = 1000,
    seconds: float = 12.34,
    differences: dict[str, str] | None = None,
    data: str = "mnist",
    path: Path = Path("run"),
    val_mses: Sequence[float] = (),
    live_units: int | None = None,
) -> RunGroup:
    """A setting with a result for each test mse, of the seeds 0, 1 and so on."""
    results = [
        Result(
            run=RunDirectory(path),
            config=TrainConfig(
                name="a", latent=latent, seed=seed, model=FCConfig(name=model, latent=latent)
            ),
            data=DataFacts(data, (1, 28, 28), 10000),
            val_mse=val_mse,
            mse=mse,
            sse=mse * PIXELS,
            psnr=psnr(mse),
            ssim=ssim,
            checkerboard=checkerboard,
            checkerboard_of_originals=3e-7,
            pca_mse=pca_mse,
            mean_image_mse=0.5,
            pca_curve={latent: pca_mse},
            upsample=upsample,
            parameters=parameters,
            seconds=seconds,
            kept_epoch=7,
            records=flat_curve(25, latent if live_units is None else live_units),
            train_size=55000,
        )
        for seed, (mse, val_mse) in enumerate(zip(mses, val_mses or mses, strict=True))
    ]
    return RunGroup(family or model, differences or {}, results)


def flat_curve(epochs: int, live_units: int) -> list[EpochRecord]:
    """Epochs in which nothing has changed."""
    validation = Validation(0.1, 0.1, None, live_units, constant_pixels=0)
    return [
        EpochRecord.from_epoch(epoch, 0.1, validation, 1e-3, 1.0, 55000)
        for epoch in range(1, epochs + 1)
    ]


def table_of(settings: Sequence[RunGroup]) -> list[dict[str, str]]:
    """Each row as people read it: column -> cell."""
    shown = columns(settings)
    return [
        dict(zip((each.name for each in shown), row.cells, strict=True))
        for row in rows(settings, shown)
    ]


def printed(settings: Sequence[RunGroup], width: int) -> str:
    file = io.StringIO()
    Console(file=file, width=width).print(terminal_table(settings, width))
    return file.getvalue()


def test_columns_that_may_be_left_out_are_columns() -> None:
    setting = some_setting(0.01, live_units=3)
    result = replace(setting.first, angles_to_pca=[1.0], kernel_pca_mse=0.1)
    assert {*EXPENDABLE} <= {each.name for each in columns([replace(setting, results=[result])])}


def test_a_row_says_what_was_measured() -> None:
    (row,) = table_of([some_setting(0.01, 0.03, pca_mse=0.04, parameters=88026)])
    assert row == {
        "model": "fc",
        "latent": "25",
        "parameters": "88,026",
        "compression ratio": "31.4",  # 784 / 25
        "validation mse": "0.02000 ± 0.01414",
        "test mse": "0.02000 ± 0.01414",  # sqrt(((0.01 - 0.02)^2 + (0.03 - 0.02)^2) / (2 - 1))
        "sse": "15.68 ± 11.09",  # 784 times as much
        "psnr (dB)": "17.61 ± 3.37",  # of 20 and 15.23
        "ssim": "0.9000 ± 0.0000",
        "checkerboard (ppm)": "20 ± 0",
        "PCA mse": "0.04000",
        "ratio to PCA": "0.500",
        "training time": "12.3 s",
    }


def test_one_seed_has_no_deviation() -> None:
    (row,) = table_of([some_setting(0.013849, ssim=0.91234)])
    assert [row[key] for key in ("test mse", "sse", "psnr (dB)", "ssim")] == [
        "0.01385", "10.86", "18.59", "0.9123",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("mse", "text"),
    [(0.1, "0.1000"), (0.0099996, "0.01000"), (0.00003754, "0.00003754"), (2e-8, "0.00000002000")],
)
def test_an_mse_has_four_digits_and_no_exponent(mse: float, text: str) -> None:
    assert table_of([some_setting(mse)])[0]["test mse"] == text


def test_the_number_of_seeds_is_shown_with_a_deviation() -> None:
    two, three = some_setting(0.1, 0.2), some_setting(0.1, 0.2, 0.3)
    assert notes([two]) == ["±: the standard deviation over n = 2 seeds."]
    assert "n" not in table_of([two])[0]
    assert [row["n"] for row in table_of([two, three])] == ["2", "3"]
    assert notes([two, three])[-1] == "±: the standard deviation over n seeds."
    assert "0 1 2" in to_csv([three])


def test_unknown_and_infinite_values_are_shown_as_such() -> None:
    setting = some_setting(0.0, ssim=None, pca_mse=9e-10)
    (row,) = table_of([setting])
    assert (row["test mse"], row["psnr (dB)"], row["ssim"]) == ("0", "inf", "")
    assert (row["PCA mse"], row["ratio to PCA"]) == ("0", "inf")
    assert notes([setting]) == ["A ratio of inf: PCA makes no error at that latent size."]
    assert table_of([some_setting(2e-9, pca_mse=1e-9)])[0]["ratio to PCA"] == "2.00"


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.25, "250,000"), (5.77e-5, "58"), (9.96e-6, "10"), (9.94e-6, "9.9"), (4.81e-7, "0.48"),
        (6.9e-9, "0.01"), (1e-9, "0.00"), (0.0, "0.00"), (None, ""),
    ],
)  # fmt: skip
def test_a_checkerboard_score_has_two_digits_in_parts_per_million(
    share: float | None, text: str
) -> None:
    setting = some_setting(0.1, checkerboard=share)
    assert table_of([setting])[0]["checkerboard (ppm)"] == text


def test_columns_that_no_setting_fills_are_left_out() -> None:
    plain = some_setting(0.01)
    conv = some_setting(0.02, model="conv", upsample="nearest", differences={"lr": "0.01"})
    wide = some_setting(0.03, differences={"widths": "[256, 64]"})
    assert [each.name for each in columns([plain])][:2] == ["model", "latent"]
    table = table_of([plain, conv, wide])
    assert list(table[0])[:5] == ["model", "upsampling", "lr", "widths", "latent"]
    assert [row["upsampling"] for row in table] == ["", "nearest", ""]
    assert [row["widths"] for row in table] == ["", "", "[256, 64]"]


def test_one_of_several_rows_is_the_best() -> None:
    settings = [some_setting(0.03), some_setting(0.01, 0.02), some_setting(0.02)]
    assert [row.is_best for row in rows(settings, columns(settings))] == [False, True, False]
    assert [row.is_best for row in rows(settings[:1], columns(settings))] == [False]


def test_the_best_is_chosen_by_validation() -> None:
    settings = [some_setting(0.01, val_mses=[0.03]), some_setting(0.02, val_mses=[0.02])]
    assert [row.is_best for row in rows(settings, columns(settings))] == [False, True]
    assert sort_settings(settings, "mse") == settings[::-1]
    assert sort_settings(settings, "test_mse") == settings


def test_a_decoder_that_gets_more_than_the_code_is_marked_and_never_the_best() -> None:
    unpooling = some_setting(0.01, model="conv", upsample="max_unpool")
    settings = [unpooling, some_setting(0.02, model="conv", upsample="nearest")]
    assert [row.is_best for row in rows(settings, columns(settings))] == [False, True]
    assert [row["upsampling"] for row in table_of(settings)] == ["max_unpool †", "nearest"]
    assert notes(settings)[1].startswith("†: the max-pooling indices bypass the code")
    assert "max_unpool,25" in to_csv(settings)
    assert not any(row.is_best for row in rows([unpooling] * 2, columns([unpooling] * 2)))
    assert not any("Bold" in sentence for sentence in notes([unpooling] * 2))


def test_dead_units_have_a_column() -> None:
    settings = [some_setting(0.01, 0.01, latent=2), some_setting(0.02, latent=5, live_units=3)]
    assert [row["live units"] for row in table_of(settings)] == ["2", "3"]
    assert "live units" not in table_of(settings[:1])[0]


def test_the_best_comes_first() -> None:
    a = some_setting(0.02, latent=5, ssim=None, checkerboard=0, parameters=3, seconds=1)
    b = some_setting(
        0.01, latent=5, ssim=0.8, checkerboard=None, parameters=2, seconds=3, pca_mse=0.001
    )
    c = some_setting(0.03, latent=2, ssim=0.9, parameters=1, seconds=2, pca_mse=0)
    order = {
        "model": [a, b, c],
        "latent": [c, a, b],  # a before b, as they were
        "mse": [b, a, c],
        "test_mse": [b, a, c],
        "sse": [b, a, c],
        "psnr": [b, a, c],
        "ssim": [c, b, a],  # a has none
        "checkerboard": [a, c, b],  # b has none
        "ratio": [a, b, c],
        "parameters": [c, b, a],
        "seconds": [a, c, b],
    }
    assert {key: sort_settings([a, b, c], key) for key in SORT_KEYS} == order


def test_the_command_sorts_by_what_a_table_can_be_sorted_by() -> None:
    assert [key.value for key in SortKey] == list(SORT_KEYS)


def test_csv_has_all_digits() -> None:
    first = some_setting(0.1 + 0.2, 0.5, model="a,b", differences={"lr": "0.01"}, pca_mse=0)
    second = some_setting(0.0, ssim=None)
    rows = list(csv.DictReader(io.StringIO(to_csv([first, second]))))
    assert list(rows[0]) == [
        "model", "lr", "latent", "seeds", "parameters", "compression_ratio",
        "validation_mse", "validation_mse_std", "test_mse", "test_mse_std",
        "test_sse", "test_sse_std", "test_psnr", "test_psnr_std",
        "test_ssim", "test_ssim_std", "test_checkerboard", "test_checkerboard_std", "pca_mse",
        "ratio_to_pca", "training_seconds",
    ]  # fmt: skip
    assert (rows[0]["model"], rows[0]["seeds"], rows[0]["lr"]) == ("a,b", "0 1", "0.01")
    assert float(rows[0]["test_mse"]) == (0.1 + 0.2 + 0.5) / 2
    assert float(rows[0]["test_mse_std"]) == pytest.approx(0.2 / math.sqrt(2))
    assert rows[0]["ratio_to_pca"] == "inf"
    assert (rows[1]["test_psnr"], rows[1]["test_mse_std"], rows[1]["test_ssim"]) == ("inf", "", "")


def test_markdown_has_a_line_for_each_setting_and_marks_the_best() -> None:
    text = to_markdown([some_setting(0.02), some_setting(0.01, model="conv", ssim=None)])
    header, rule, first, best, *_ = [line.split(" | ") for line in text.splitlines()]
    assert len({len(header), len(rule), len(first), len(best)}) == 1
    assert (header[0], rule[0], rule[1], best[0]) == ("| model", "| ---", "---:", "| **conv**")
    assert (first[3], best[3]) == ("31.4", "**31.4**")
    assert (first[8], best[8]) == ("0.9000", "")  # no emphasis on nothing


def test_markdown_shows_every_value_as_it_is() -> None:
    text = to_markdown([some_setting(0.02, model=r"a|b\<i>&*x*_y_`")])
    assert text.splitlines()[2].startswith(r"| a\|b\\&lt;i&gt;&amp;\*x\*\_y\_\` | 25 |")


SEVERAL = [
    some_setting(0.07156, 0.0723, latent=5, differences={"epochs": "30"}, pca_mse=0.04403),
    some_setting(0.0311, 0.0319, model="conv", upsample="transposed", differences={"epochs": "3"}),
]


@pytest.mark.parametrize("width", [60, 80, 100, 140, 200])
def test_the_terminal_breaks_no_number(width: int) -> None:
    text = printed(SEVERAL, width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    assert re.search(r" 5 .* 0\.07193 ± 0\.00052 .* 1\.63", text)
    assert re.search(r"conv +transposed +3 +25 .* 0\.03150 ± 0\.00057 .* 1\.5[78]", text)


def test_the_terminal_names_the_columns_it_leaves_out() -> None:
    words = " ".join(printed(SEVERAL, 80).split())
    assert "Left out at this width: parameters, compression ratio, sse" in words
    wide = printed(SEVERAL, 220)
    assert "Left out" not in wide
    assert " 12.3 s" in wide
    assert "24.70 ± 0.44" in wide  # sse, whose deviation goes first
    assert "24.70 ± 0.44" not in printed(SEVERAL, 160)
    assert "24.70" in printed(SEVERAL, 160)


def test_without_room_words_are_broken_and_numbers_are_not() -> None:
    different = {key: "something" for key in ("weight_decay", "noise_std", "optimizer", "widths")}
    text = printed([some_setting(0.01232, 0.01236, differences=different)], 50)
    assert max(map(len, text.splitlines())) <= 50
    assert re.search(r" 25 +0\.01234 +0\.617$", text, re.MULTILINE)


def test_brackets_are_text_in_the_terminal() -> None:
    setting = some_setting(0.01, model="[red]fc[/red]", differences={"widths": "[256]"})
    assert "[red]fc[/red]  [256]" in printed([setting], 120)
