"""`aecli conv` as a person meets it: worked examples typed in, and mistakes."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from aecli.analysis import torch_layer
from aecli.cli import console
from aecli.cli.help import help_for
from aecli.commands.conv import Options
from aecli.config import field_docs
from aecli.convolution import layer as conv_layer
from aecli.convolution.arithmetic import (
    CONV_FORMULA,
    TRANSPOSED_FORMULA,
    conv_output_size,
    transposed_conv_output_size,
)
from aecli.convolution.reference import Array
from tests.conftest import with_project
from tests.test_reference import PRINTED_BIAS, PRINTED_RESULT, PRINTED_WEIGHT, SUM_5X6

Aecli = Callable[..., int]
Show = Callable[..., str]


@pytest.fixture
def show(aecli: Aecli, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Show:
    """Run `aecli conv` on a terminal of 80 columns; returns what it prints."""
    monkeypatch.setattr(console.out, "width", 80)

    def run(*arguments: str) -> str:
        assert aecli("conv", *arguments) == 0
        output, errors = capsys.readouterr()
        assert errors == ""
        return output

    return run


def grid(output: str, heading: str) -> list[list[str]]:
    """The numbers under a heading, wherever on its line that stands."""
    lines = output.splitlines()
    top, start = next(
        (n, line.index(heading))
        for n, line in enumerate(lines)
        if heading in line and "torch.Size" not in line and not line.startswith("layer ")
    )
    after = re.search(r" {3,}(?=\S)", lines[top][start:])  # the next heading
    end = start + after.end() if after else None
    rows = []
    for line in lines[top + 1 :]:
        cells = line[start:end]
        if not cells.startswith("  ") or not cells.strip():
            break
        rows.append(cells.split())
    return rows


def numbers(output: str, heading: str) -> list[list[float]]:
    return [[float(cell) for cell in row] for row in grid(output, heading)]


def test_2x2_to_5x5_of_convolutional_autoencoders(show: Show, tmp_path: Path) -> None:
    output = show("input=2", "kernel=3", "stride=2", "transposed=true")
    assert "transposed convolution, 2x2 to 5x5: kernel 3, stride 2, padding 0\n" in output
    assert "(input - 1)*stride - 2*padding + kernel + output_padding\n" in output
    assert " (2 - 1)*2 - 2*0 + 3 + 0 = 5\n" in output
    assert grid(output, "input 2x2") == [["1", "2"], ["3", "4"]]
    assert grid(output, "kernel 3x3") == [["1", "2", "3"], ["4", "5", "6"], ["7", "8", "9"]]
    assert numbers(output, "output 5x5")[2] == [10, 14, 36, 24, 30]
    assert grid(output, "W 4x25")[0] == "1 2 3 . . 4 5 6 . . 7 8 9".split() + 12 * ["."]
    words = " ".join(output.split())
    assert (
        "The transposed convolution multiplies its input, flattened row by row, by W tra" in words
    )
    assert grid(output, "zero-stuffed input 7x7")[2:5] == [
        [".", ".", "1", ".", "2", ".", "."],
        ["."] * 7,
        [".", ".", "3", ".", "4", ".", "."],
    ]
    assert grid(output, "flipped kernel")[0] == ["9", "8", "7"]
    assert (
        "Step 1: Z' = S - 1 = 1 between the pixels, P' = F - P - 1 = 3 - 0 - 1 = 2 around" in words
    )
    assert "with stride 1, always, and the kernel rotated by 180 degrees: 5x5." in words
    assert grid(output, "overlap: how many kernel positions write each output pixel") == [
        ["1", "1", "2", "1", "1"],
        ["1", "1", "2", "1", "1"],
        ["2", "2", "4", "2", "2"],
        ["1", "1", "2", "1", "1"],
        ["1", "1", "2", "1", "1"],
    ]
    assert "it is uneven (a checkerboard): stride 2 does not divide kernel 3;" in words
    assert "it would be even with kernel 2, 4, 6, 8 and so on." in words
    assert "directly, by W transposed, by zero-stuffing: largest difference 0\n" in output
    path = "outputs/conv/transposed-2x2-k3-s2-p0/overlap.png"
    assert output.endswith(f"figure     {path}\n")
    assert (tmp_path / path).is_file() and (tmp_path / path).with_suffix(".svg").is_file()


def test_the_2x2_kernel_on_the_3x3_image_of_autoencoders_on_mnist(show: Show) -> None:
    output = show("input=[[1,2,3],[4,5,6],[7,8,9]]", "weight=[[0,1],[2,3]]")
    assert grid(output, "output 2x2") == [["25", "31"], ["43", "49"]]
    assert [" ".join(row) for row in grid(output, "W 4x9")] == [
        "0 1 . 2 3 . . . .",  # the weight 0 is a weight
        ". 0 1 . 2 3 . . .",
        ". . . 0 1 . 2 3 .",
        ". . . . 0 1 . 2 3",
    ]
    assert "The convolution multiplies its input, flattened row by row, by W.\n" in output
    assert "zero-stuffed" not in output and "padded" not in output
    assert "floor((input + 2*padding - kernel) / stride) + 1\n" in output
    assert "floor((3 + 2*0 - 2) / 1) + 1 = 2\n" in output
    assert "even (no checkerboard), as with every kernel at stride 1" in " ".join(output.split())
    assert "directly, by W: largest difference 0\n" in output


def test_the_4x4_kernel_on_the_2x3_image_of_denoising_autoencoders(show: Show) -> None:
    rows = [[(4 * row + column + 1) / 10 for column in range(4)] for row in range(4)]
    output = show("input=2x3", f"weight={rows}", "transposed=true")
    assert numbers(output, "output 5x6") == SUM_5X6
    assert "rows         (2 - 1)*1 - 2*0 + 4 + 0 = 5\n" in output
    assert "columns      (3 - 1)*1 - 2*0 + 4 + 0 = 6\n" in output
    # W, 6x30, is too wide for 80 columns; its transpose is not.
    across = grid(output, "W transposed 30x6")
    assert len(across) == 30
    assert across[:3] == [
        ["0.1", ".", ".", ".", ".", "."],
        ["0.2", "0.1", ".", ".", ".", "."],
        ["0.3", "0.2", "0.1", ".", ".", "."],
    ]


def test_the_printed_conv_transpose_2d_of_denoising_autoencoders(
    show: Show, tmp_path: Path
) -> None:
    np.save("weight.npy", PRINTED_WEIGHT)
    output = show(
        "input=[[1, 2, 3], [4, 5, 6]]",
        "weight=weight.npy",
        f"bias={PRINTED_BIAS.tolist()}",
        "transposed=true",
    )
    assert numbers(output, "kernel 4x4, channel 1 to 2")[0] == [-0.0486, -0.1425, 0.0687, 0.1058]
    assert grid(output, "bias") == [["0.0903"], ["-0.0196"], ["-0.0531"]]
    for channel, expected in enumerate(PRINTED_RESULT, 1):
        printed = numbers(output, f"output 5x6, channel {channel}")
        assert np.abs(np.array(printed) - expected).max() < 0.002  # of weights with 4 decimals
    assert "W 6x90 (too large to print)" in output


def test_the_4x3_image_with_a_3x1_kernel_of_transposed_convolutions(show: Show) -> None:
    there = show("input=4x3", "kernel=3x1")
    assert "4x3 to 2x3: kernel 3x1" in there
    assert len(grid(there, "W 6x12")) == 6
    back = show("input=2x3", "kernel=3x1", "transposed=true")
    assert "2x3 to 4x3: kernel 3x1" in back
    assert grid(there, "W 6x12") == grid(back, "W 6x12")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        # "Denoising autoencoders", the steps and the examples
        ("input=4 kernel=3 stride=2 padding=1 transposed=true", "(4 - 1)*2 - 2*1 + 3 + 0 = 7"),
        ("input=3 kernel=3 transposed=true", "(3 - 1)*1 - 2*0 + 3 + 0 = 5"),
        ("input=5 kernel=3 padding=1 transposed=true", "(5 - 1)*1 - 2*1 + 3 + 0 = 5"),
        # "Convolutional autoencoders"
        ("input=4 kernel=3", "floor((4 + 2*0 - 3) / 1) + 1 = 2"),
        ("input=2 kernel=3 transposed=true", "(2 - 1)*1 - 2*0 + 3 + 0 = 4"),
        # "Autoencoders on MNIST"
        ("input=64 kernel=5", "floor((64 + 2*0 - 5) / 1) + 1 = 60"),
        ("input=60 kernel=5 transposed=true", "(60 - 1)*1 - 2*0 + 5 + 0 = 64"),
        ("input=64 kernel=5 padding=2 transposed=true", "(64 - 1)*1 - 2*2 + 5 + 0 = 64"),
        (
            "input=64 kernel=5 stride=2 padding=2 output_padding=1 transposed=true",
            "(64 - 1)*2 - 2*2 + 5 + 1 = 128",
        ),
    ],
)
def test_sizes_of_the_lectures(line: str, words: str, show: Show) -> None:
    assert f" {words}\n" in show(*line.split())


def test_numbers_from_files_and_from_the_command_line_are_the_same(show: Show) -> None:
    rows = [[1, 0.5], [-2, 3]]
    Path("a.json").write_text(json.dumps(rows))
    Path("a.csv").write_text("1,0.5\n-2,3\n")
    Path("a.txt").write_text("1 0.5\n-2 3\n")
    np.save("a.npy", np.array(rows))
    Path("deep.json").write_text(json.dumps([[rows]]))
    expected = show(f"input={json.dumps(rows)}", f"weight={rows}", "padding=1", "bias=0.25")
    assert grid(expected, "bias") == [["0.25"]]
    for name in ("a.json", "a.csv", "a.txt", "a.npy"):
        assert show(f"input={name}", f"weight={name}", "padding=1", "bias=[0.25]") == expected
    assert show("input=a.csv", "weight=deep.json", "kernel=2", "padding=1", "bias=.25") == expected


def test_the_agreement_is_computed(show: Show, monkeypatch: pytest.MonkeyPatch) -> None:
    def spoilt(*_: object) -> Array:
        return np.array([[[0.0, 1.0], [2.0, -0.5]]])

    line = "input=[[0,1],[2,4]]", "weight=[[1]]", "transposed=true"
    assert "by zero-stuffing: largest difference 0\n" in show(*line)
    monkeypatch.setattr(conv_layer, "convolve_zero_inserted", spoilt)
    assert "by zero-stuffing: largest difference 4.5, " in show(*line)


def test_channels_are_shown_one_by_one(show: Show) -> None:
    # Two channels become one: 1*5 + 10*6 and so on.
    output = show("input=[[[1,2]],[[10,20]]]", "weight=[[[[5]],[[6]]]]")
    assert grid(output, "input 1x2, channel 2") == [["10", "20"]]
    assert grid(output, "kernel 1x1, channel 2 to 1") == [["6"]]
    assert grid(output, "output 1x2") == [["65", "130"]]
    assert "flattened channel by channel and row by row" in " ".join(output.split())
    # In the other layout one becomes two.
    output = show("input=[[1,2]]", "weight=[[[[5]],[[6]]]]", "transposed=true")
    assert grid(output, "kernel 1x1, channel 1 to 2") == [["6"]]
    assert grid(output, "output 1x2, channel 2") == [["6", "12"]]
    # Without weights they are counted through.
    output = show("input=[[[1]],[[1]]]", "kernel=1x2", "transposed=true")
    assert grid(output, "kernel 1x2, channel 2 to 1") == [["3", "4"]]
    assert grid(output, "output 1x2") == [["4", "6"]]


def test_the_padded_input_of_a_convolution_tells_zeros_from_pixels(show: Show) -> None:
    output = show("input=[[0,5]]", "kernel=3", "padding=1")
    assert grid(output, "padded input 3x4") == [list("...."), list(".05."), list("....")]
    assert "overlap: how many kernel positions read each input pixel" in output


def test_a_dilated_kernel_has_an_extent(show: Show) -> None:
    output = show("input=3", "kernel=2", "stride=2", "dilation=2", "transposed=true")
    assert "(input - 1)*stride - 2*padding + extent + output_padding\n" in output
    assert "extent       dilation*(kernel - 1) + 1\n" in output
    assert "(3 - 1)*2 - 2*0 + (2*(2 - 1) + 1) + 0 = 7\n" in output
    words = " ".join(output.split())
    assert "uneven (a checkerboard) whatever the kernel: dilation 2 and stride 2 share" in words
    assert output.endswith("outputs/conv/transposed-3x3-k2-s2-p0-d2/overlap.png\n")


def test_zeros_are_explained_where_some_are_cut_off_or_added(show: Show) -> None:
    line = "input=5 kernel=3 stride=2 padding=3x1 output_padding=1 transposed=true"
    words = " ".join(show(*line.split()).split())
    assert "-1x1 around them, where a negative number means cut off" in words
    assert "Output padding V = 1: as many more lines at the end of each axis, 6x10." in words


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            "kernel=4 stride=2",
            "even (no checkerboard): stride 2 divides kernel 4, as it does 2, 4,",
        ),
        ("kernel=2x3 stride=2x3", "Along the columns, away from the border, it is even"),
        ("kernel=1 stride=3", "uneven (a checkerboard): stride 3 does not divide kernel 1; it wo"),
        ("kernel=3x4 stride=2", "Along the rows, away from the border, it is uneven"),
        ("kernel=3 stride=2 transposed=false", "uneven (a checkerboard in the gradient): stride 2"),
    ],
)
def test_the_overlap_is_judged_along_each_axis(line: str, words: str, show: Show) -> None:
    output = show("input=5", "transposed=true", *line.split())
    assert words in " ".join(output.split())


@pytest.mark.parametrize("transposed", ["true", "false"])
def test_a_kernel_with_one_position_has_no_overlap(transposed: str, show: Show) -> None:
    sizes = "input=1x3 kernel=1x3" if transposed == "true" else "input=1x7 kernel=1x3"
    words = " ".join(show(*sizes.split(), "stride=2", f"transposed={transposed}").split())
    assert "Along the columns, away from the border, it is uneven" in words
    assert "Along the rows" not in words and "kernel 1;" not in words
    words = " ".join(show("input=1", "kernel=3", "padding=1", "stride=2").split())
    assert "The kernel has a single position, so nothing overlaps." in words


def test_the_equal_convolution_has_the_dilation(show: Show) -> None:
    words = " ".join(show(*"input=2 kernel=3 stride=2 dilation=2 transposed=true".split()).split())
    assert (
        "Convolution with stride 1, always, and the kernel rotated by 180 degrees, dilation 2: 7x7"
        in words
    )


def test_the_formulas_in_words_are_those_that_are_filled_in() -> None:
    values = {"input": 9, "kernel": 4, "stride": 2, "padding": 3, "output_padding": 1, "floor": int}
    assert eval(CONV_FORMULA, values) == conv_output_size(9, 4, 2, 3)
    assert eval(TRANSPOSED_FORMULA, values) == transposed_conv_output_size(9, 4, 2, 3, 1)


def test_layers_too_large_to_print_or_draw_are_still_computed(show: Show, tmp_path: Path) -> None:
    output = show("input=4x4096", "kernel=3")
    assert "input 4x4096 (too large to print)   kernel 3x3\n" in output
    assert "output 2x4094 (too large to print)\n" in output
    assert "agreement  only computed directly, because W is too large\n" in output
    assert "W 8188x16384 (too large to print)\n" in output
    assert "figure     none: more than 128 cells along a side would not be visible\n" in output
    assert max(map(len, output.splitlines())) <= 80
    assert list(tmp_path.iterdir()) == []


def test_more_channels_than_a_terminal_takes_are_counted(show: Show) -> None:
    np.save("weight.npy", np.ones((20, 1, 1, 1)))
    output = show("input=1", "weight=weight.npy")
    for heading in ("kernel 1x1, channel 1 to", "output 1x1, channel"):
        assert f"{heading} 6" in output and f"{heading} 7" not in output
        assert f"... and 14 more like {heading} 1\n" in output


def test_no_line_is_wider_than_the_terminal(show: Show, monkeypatch: pytest.MonkeyPatch) -> None:
    for width in (80, 200):
        monkeypatch.setattr(console.out, "width", width)
        output = show("input=4", "kernel=3", "stride=2", "padding=1", "transposed=true")
        assert max(map(len, output.splitlines())) <= width
        assert not [line for line in output.splitlines() if line != line.rstrip()]
        assert len(grid(output, "W 16x49" if width == 200 else "W transposed 49x16")) >= 16


def test_the_figure_goes_where_it_is_wanted(show: Show, tmp_path: Path) -> None:
    output = show("input=2", "kernel=3", "transposed=true", "output=here/and there")
    assert output.endswith("figure     here/and there/overlap.png\n")
    assert sorted(path.name for path in (tmp_path / "here" / "and there").iterdir()) == [
        "manifest.json",
        "overlap.png",
        "overlap.svg",
    ]
    assert not (tmp_path / "outputs").exists()
    assert show("input=2", "kernel=1", "output=null").endswith("/conv-2x2-k1-s1-p0/overlap.png\n")


def test_the_default_folder_needs_no_quotes(show: Show) -> None:
    line = "input=5x6 kernel=3x2 stride=2 padding=1 output_padding=1x0 dilation=1x3 transposed=true"
    path = show(*line.split()).split()[-1]
    assert path == "outputs/conv/transposed-5x6-k3x2-s2-p1-op1x0-d1x3/overlap.png"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", "conv needs input=...: aecli conv --help says"),
        ("input=3", "conv needs kernel=..., as in kernel=3, or weight=..."),
        ("input=2 kernel=3", "nothing is left along the rows: floor((2 + 2*0 - 3) / 1) + 1 = 0"),
        ("input=1 kernel=3x1 padding=1x0 dilation=2", "+ 1 = -1; give a smaller kernel"),
        (
            "input=2 kernel=2 padding=2 transposed=true",
            "(2 - 1)*1 - 2*2 + 2 + 0 = -1; give less padding",
        ),
        (
            "input=2 kernel=3 stride=2 dilation=2 output_padding=2 transposed=true",
            "output_padding=2 is not valid: along the rows give less than the stride or the dila",
        ),
        ("input=2 kernel=2 output_padding=1", "applies to transposed convolutions only: leave"),
        ("input=3 kernel=2 weight=[[1]]", "kernel=2 is not the size of weight, 1x1"),
        ("input=[[1,2],[3]] kernel=1", "its rows differ in length"),
        ('input=[[1,"two"]] kernel=1', '"two" is not a number'),
        ("input=[[1,NaN]] kernel=1", "give finite numbers"),
        ("input=[[1,Infinity]] kernel=1", "give finite numbers"),
        ("input=[[]] kernel=1", "input=[[]] is empty"),
        ("inptu=3 kernel=1", "there is no key 'inptu': did you mean input?"),
        ("input=0 kernel=1", "input=0 is not valid: give at least one pixel along each axis"),
        ("input=3 kernel=0", "kernel=0 is not valid: give whole numbers of at least 1"),
        ("input=3 kernel=1 stride=0", "stride=0 is not valid"),
        ("input=3 kernel=1 dilation=1x0", "dilation=1x0 is not valid"),
        ("input=3 kernel=1 padding=-1", "padding=-1 is not valid"),
        ("input=3 kernel=abc", "kernel=abc is not valid: give 3, or 3x1 as rows x columns"),
        ("input=3 kernel=1 transposed=maybe", "transposed=maybe is not valid: give true or false"),
        (
            "input=[1,2,3] kernel=1x1",
            "input=[1,2,3] has 1 dimensions: give 2, rows and columns, or 3 with channels first, "
            "or 4 with images and channels first",
        ),
        ("input=[[[[[[1]]]]]] kernel=1", "has 6 dimensions: give 2, rows and columns, or 3 with"),
        ("input=2x2x2x2x2x2 kernel=1", "is not valid: give a size such as 3, 2x3 (rows x columns)"),
        ("input=3 dims=4 kernel=1", "dims=4 is not valid: give 1, 2 or 3"),
        ("input=3 dims=2 weight=[1]", "weight has 1 dimensions: give 2, rows and columns, or"),
        ("input=3x3 weight=[[[[[[1]]]]]]", "weight has 6 dimensions"),
        ("input=3 kernel=2 out_channels=0", "out_channels=0 is not valid: give at least 1"),
        ("input=3 weight=[[1]] out_channels=2", "out_channels=2 is not what weight has, 1: leave"),
        ("input=3 weight=[[1]] seed=0", "seed draws the weights: leave weight out, or seed"),
        ("input=3 kernel=2 seed=-1", "seed=-1 is not valid: give a whole number from 0 to"),
        ("input=3 kernel=2 view=stamps animate=true", "needs a transposed convolution: give"),
        ("input=3 kernel=2 view=direct", "view=direct says what is drawn: give animate=true too"),
        ("input=[1,2,3] kernel=2 order=columns", "order=columns is for rows and columns, and this"),
        (
            "input=3 kernel=2 round_trip=true bias=1",
            "shows nothing of bias=...: leave one",
        ),
        ("input=3 kernel=2 round_trip=true letters=true", "shows nothing of letters=..."),
        ("input=3 kernel=2 round_trip=true animate=true", "shows nothing of animate=..."),
        ("input=[[1e99]] kernel=1 round_trip=true", "takes numbers of at most 1e+30: 1e+99"),
        ("input=3 kernel=2 view=sideways", "view=sideways is not valid"),
        ("input=3 kernel=2 order=both", "order=both is not valid"),
        ("input=2x3x4 kernel=2 animate=true", "draws layers with one or two axes, and this one"),
        ("input=40 kernel=2 animate=true", "39x39 positions are more than 200: give a smaller"),
        (
            "input=9x15x15 dims=2 kernel=3 animate=true",
            "too large to animate: 2,275 cells are more than 1,200",
        ),
        ("input=3 kernel=2 transposed=true round_trip=true", "round_trip=true begins with a con"),
        ("input=3 kernel=1,2 weight=[[1]]", "in both directions and without numbers: leave weight"),
        (
            "input=3 kernel=1,2 letters=true",
            "and without numbers: leave letters out",
        ),
        ("input=3 kernel=1,2 transposed=true", "and without numbers: leave transposed out"),
        ("input=3 kernel=1,,2", "kernel= is not valid: give 3, or 3x1"),
        ("input=3 kernel=1,0", "kernel=0 is not valid: give whole numbers of at least 1"),
        (f"input={','.join('3' * 65)} kernel=1", "these are 65 layers, and a table has 64 at most"),
        ("input=[[[1]],[[2]]] weight=[[1]]", "weight and input differ in channels, 1 and 2"),
        (
            "input=[[1]] weight=[[[[1]]],[[[1]]]] transposed=true",
            "channels, 2 and 1: the dimensions of weight are input, output, rows, columns",
        ),
        ("input=3 kernel=1 bias=[1,2]", "bias has 2 numbers: give a number, or a list of 1, one"),
        ("input=3 kernel=1 bias=much", "bias=much is not valid: give a number, a list"),
        ("input=pickled.npy kernel=1", "is not an array of numbers saved by numpy.save"),
        ("input=missing.csv kernel=1", "input=missing.csv: there is no such file"),
        ("input=nonsense kernel=1", "input=nonsense is not valid: give a size such as 2x3, a li"),
        (
            "input=9999 kernel=1",
            "input is too large: 1x1x9999x9999 is more than the limit of 4,194,304 numbers",
        ),
        ("input=99999999999999999999 kernel=1", "is not valid: give a size such as 3, 2x3 (rows"),
        ("input=3 kernel=999999999", "kernel is too large"),
        ("input=big.json kernel=1", "input is too large: 1x1x2100x2100 is more than"),
        ("input=3 weight=big.json", "weight is too large: 2100x2100 is more than"),
        ("input=2 kernel=1 stride=999999999 transposed=true", "the output is too large"),
        ("input=2 kernel=1 padding=2999 stride=2999", "the input with its zeros is too large"),
        (
            "input=500 kernel=50",
            "too large: a kernel of 50x50 at 406,802 pixels of all channels takes 1,017,005,000 ",
        ),
        ("input=2x3x4 kernel=1x1x1x1", "kernel=1x1x1x1 is not valid: give 3, or 3x1x1 as depth"),
        (
            "input=2 kernel=1 word",
            "conv takes key=value, not 'word': valid keys are input, dims, kernel",
        ),
        (
            "input=2 kernel=1 --transposed",
            "there is no option --transposed: keys have no dashes, as in transposed=...\n",
        ),
        ("input=${oc.env:HOME} kernel=1", "input is not valid: ${...} is not resolved here"),
        ("input=null kernel=1", "input=null is not valid: give a value"),
        ("input=??? kernel=1", "conv needs input=..."),
    ],
)
def test_a_mistake_gets_one_line_and_leaves_nothing(
    line: str, words: str, aecli: Aecli, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save("pickled.npy", np.array([[{}]], dtype=object))
    row = f"[{','.join('0' * 2100)}]"
    Path("big.json").write_text(f"[{','.join([row] * 2100)}]")
    assert aecli("conv", *line.split()) == 2
    output, errors = capsys.readouterr()
    assert output == ""
    assert errors.startswith("aecli: ")
    assert words in errors
    assert errors.count("\n") == 1
    assert sorted(os.listdir(tmp_path)) == ["big.json", "pickled.npy"]


def test_a_folder_that_cannot_be_written_is_reported_first(
    aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("file").touch()
    assert aecli("conv", "input=2", "kernel=1", "output=file/below") == 5
    output, errors = capsys.readouterr()
    assert output == ""
    assert errors == (
        "aecli: file/below cannot be written (Not a directory): choose another folder with "
        "output=...\n"
    )


def test_the_largest_layers_take_seconds() -> None:
    layer = conv_layer.read_layer(Options("32x16000", kernel="1x255", transposed=True))
    assert layer.weight.size * 2 * np.prod(layer.output_size) > 0.4 * conv_layer.MAX_STEPS
    assert layer.matrix() is None
    first, second = layer.outputs(None).values()
    assert np.allclose(first, second, rtol=1e-12)


def test_help_lists_every_key_with_its_meaning() -> None:
    text = help_for("conv")
    words = " ".join(text.split())
    for name, doc in field_docs(Options).items():
        assert f" {name}=" in words
        assert " ".join(doc.split()) in words
    assert " transposed=false " in words
    assert max(map(len, text.splitlines())) <= 100


def test_the_examples_of_the_help_work(show: Show) -> None:
    Path("image.csv").write_text("1,2\n3,4\n")
    np.save("weights.npy", np.ones((2, 2)))
    examples = re.findall(r"^  aecli conv (.*)$", help_for("conv"), re.MULTILINE)
    assert len(examples) == 7
    for example in examples:
        words = subprocess.run(
            ["sh", "-c", f'for word in {example}; do echo "$word"; done'],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()
        output = show(*words)
        several = any(re.fullmatch(r"\w+=[0-9]+(,[0-9]+)+", word) for word in words)
        drawn = any(word.startswith("seed=") for word in words)
        if several:
            assert "5x5 to 7x7" in output
        elif drawn:
            assert float(re.findall(r"largest difference ([^,\n]+)", output)[-1]) < 1e-12
        else:
            assert output.count("largest difference 0\n") == 2


def test_a_terminal_shows_zeros_dim_and_a_pipe_plain_text(tmp_path: Path) -> None:
    line = [sys.executable, "-m", "aecli", "conv", "input=2", "kernel=1", "transposed=true"]
    for colours, dims in (({"FORCE_COLOR": "1"}, True), ({}, False)):
        environment = {key: value for key, value in os.environ.items() if key != "FORCE_COLOR"}
        done = subprocess.run(
            [*line, "stride=2", "torch=false"],
            cwd=tmp_path,
            env={**environment, **colours},
            capture_output=True,
        )
        assert done.returncode == 0
        assert (b"\x1b[2m.\x1b[0m" in done.stdout) is dims
        assert (b"\x1b" in done.stdout) is dims


def test_the_band_of_transposed_convolutions_and_autoencoders(show: Show) -> None:
    output = show("input=4x3", "kernel=3x1", "order=columns", "letters=true")
    assert grid(output, "kernel 3x1") == [["f1"], ["f2"], ["f3"]]
    assert grid(output, "W 6x12") == [
        ["."] * shift + ["f1", "f2", "f3"] + ["."] * (9 - shift) for shift in (0, 1, 4, 5, 8, 9)
    ]
    assert "flattened column by column, by W." in output
    # A kernel of several columns is named column by column, too.
    output = show("input=3", "kernel=2", "order=columns", "letters=true")
    assert grid(output, "kernel 2x2") == [["f1", "f3"], ["f2", "f4"]]
    assert grid(output, "W 4x9")[0] == ["f1", "f2", ".", "f3", "f4", ".", ".", ".", "."]
    output = show("input=2", "kernel=2", "letters=true", "transposed=true")
    assert grid(output, "W 4x9")[0] == ["f1", "f2", ".", "f3", "f4", ".", ".", ".", "."]
    assert grid(output, "2 x kernel")[:2] == [[".", "2*f1", "2*f2"], [".", "2*f3", "2*f4"]]
    assert grid(output, "flipped kernel 2x2") == [["f4", "f3"], ["f2", "f1"]]


def test_the_order_of_columns_is_a_permutation_of_the_order_of_rows(show: Show) -> None:
    numbers_by_rows = np.array(
        [[0 if cell == "." else int(cell) for cell in row]
         for row in grid(show("input=3x4", "kernel=2"), "W 6x12")]
    )  # fmt: skip
    by_columns = grid(show("input=3x4", "kernel=2", "order=columns"), "W 6x12")
    rows, columns = np.arange(6).reshape(2, 3).T.ravel(), np.arange(12).reshape(3, 4).T.ravel()
    expected = numbers_by_rows[rows][:, columns]
    shown = [[0 if cell == "." else int(cell) for cell in row] for row in by_columns]
    assert shown == expected.tolist()


def test_one_axis_and_three(show: Show) -> None:
    output = show("input=[1,2,3,4]", "weight=[1,2]")
    assert "convolution, 4 to 3: kernel 2, stride 1, padding 0\n" in output
    assert numbers(output, "output 3") == [[5, 8, 11]]
    assert "- 1*1 + 2*2 = 5\n- 1*2 + 2*3 = 8\n- 1*3 + 2*4 = 11\n" in output
    assert "torch      torch.nn.Conv1d: largest difference 0\n" in output
    output = show("input=3", "dims=1", "kernel=3", "stride=2", "transposed=true")
    assert "Along the" not in output
    assert "stride 2 does not divide kernel 3" in " ".join(output.split())
    output = show("input=2x3x4", "kernel=2", "stride=1x2x1")
    assert "convolution, 2x3x4 to 1x1x3: kernel 2, stride 1x2x1, padding 0\n" in output
    assert "depth        floor((2 + 2*0 - 2) / 1) + 1 = 1\n" in output
    assert "rows         floor((3 + 2*0 - 2) / 2) + 1 = 1\n" in output
    assert "columns      floor((4 + 2*0 - 2) / 1) + 1 = 3\n" in output
    assert numbers(output, "input 2x3x4, depth 2")[0] == [13, 14, 15, 16]
    assert "torch.nn.Conv3d: largest difference 0\n" in output
    assert "figure     none: three axes cannot be drawn\n" in output


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            "input=2x8x64x64 kernel=5 out_channels=8 seed=0",
            "torch.nn.Conv2d(8, 8, 5) shapes input torch.Size([2, 8, 64, 64]) weight "
            "torch.Size([8, 8, 5, 5]) bias torch.Size([8]) output torch.Size([2, 8, 60, 60])",
        ),
        (
            "input=32x16x64x64 kernel=5 stride=2 padding=2 output_padding=1 out_channels=8 "
            "transposed=true torch=false",
            "torch.nn.ConvTranspose2d(16, 8, 5, stride=2, padding=2, output_padding=1) shapes "
            "input torch.Size([32, 16, 64, 64]) weight torch.Size([16, 8, 5, 5]) bias "
            "torch.Size([8]) output torch.Size([32, 8, 128, 128])",
        ),
        ("input=1x2x3 kernel=1x1", "torch.nn.Conv2d(1, 1, 1) shapes input torch.Size([1, 1, 2"),
        ("input=3x4x5 dims=2 kernel=2", "torch.nn.Conv2d(3, 1, 2) shapes input torch.Size([1, 3,"),
        ("input=3x2 kernel=3x1 stride=1x2", "torch.nn.Conv2d(1, 1, (3, 1), stride=(1, 2)) shapes"),
    ],
)  # fmt: skip
def test_layers_are_shown_as_torch_has_them(line: str, words: str, show: Show) -> None:
    assert words in " ".join(show(*line.split()).split())


def test_a_seed_draws_what_torch_draws(show: Show) -> None:
    torch.manual_seed(3)
    image = torch.randn(1, 2, 4, 4)
    layer = torch.nn.ConvTranspose2d(2, 3, 3, stride=2)
    state = torch.random.get_rng_state()
    line = "input=1x2x4x4 kernel=3 stride=2 out_channels=3 transposed=true seed=3"
    output = show(*line.split())
    assert torch.equal(torch.random.get_rng_state(), state)  # nobody else's numbers change
    assert np.allclose(numbers(output, "input 4x4, channel 2"), image[0, 1], atol=6e-5)
    kernel = layer.weight[1, 2].detach()
    assert np.allclose(numbers(output, "kernel 3x3, channel 2 to 3"), kernel, atol=6e-5)
    assert layer.bias is not None
    assert np.allclose(numbers(output, "bias"), layer.bias.detach()[:, None], atol=6e-5)
    result = layer(image)[0, 0].detach()
    assert np.allclose(numbers(output, "output 9x9, channel 1"), result, atol=6e-5)
    assert grid(show(*line.split(), "bias=7"), "bias") == [["7"]] * 3
    assert numbers(show("input=[[2]]", "kernel=1", "seed=0"), "input 1x1") == [[2]]


def test_the_comparison_with_torch_is_computed(show: Show, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_layer, "torch_output", lambda layer: np.zeros(layer.output_shape))
    output = show("input=2", "kernel=2")
    assert "agreement  directly, by W: largest difference 0\n" in output
    assert "torch      torch.nn.Conv2d: largest difference 30, 1 of the largest number\n" in output
    assert "torch      " not in show("input=2", "kernel=2", "torch=false")


def test_without_a_comparison_torch_is_not_imported(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom aecli.cli.main import run\n"
        "status = run(['conv', 'input=2', 'kernel=2', 'torch=false'])\n"
        "sys.exit(status or 'torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=with_project(), check=True)


def test_what_the_padding_cuts_off_is_shown_in_parentheses(show: Show) -> None:
    output = show(*"input=2 kernel=3 padding=1 transposed=true".split())
    assert grid(output, "the output, in parentheses what the padding cuts off, 4x4") == [
        ["(1)", "(4)", "(7)", "(6)"],
        ["(7)", "23", "33", "(24)"],
        ["(19)", "53", "63", "(42)"],
        ["(21)", "(52)", "(59)", "(36)"],
    ]
    assert "in parentheses" not in show("input=2", "kernel=3", "transposed=true")


def test_there_and_back_is_not_the_inverse(show: Show) -> None:
    words = " ".join(show(*"input=64 kernel=5 stride=2 round_trip=true".split()).split())
    assert "The shape almost comes back: 64x64 to 30x30 to 63x63" in words
    assert "Output padding 1 tells them apart and gives 64x64, as here." in words
    output = show(*"input=3 kernel=2 round_trip=true".split())
    # x = 1..9 and the kernel 1 2 / 3 4: y = 37 47 / 67 77 by hand, and W transposed times y:
    assert numbers(output, "y, there 2x2") == [[37, 47], [67, 77]]
    assert numbers(output, "z, and back 3x3") == [[37, 121, 94], [178, 500, 342], [201, 499, 308]]
    words = " ".join(output.split())
    assert "The shape comes back: 3x3 to 2x2 to 3x3." in words
    assert "W has rank 4 and x has 9 numbers, so 5 are lost for good" in words
    assert "The mse between x and z is 8.667e+04, their correlation 0.699." in words
    output = show("input=3", "weight=[[1]]", "round_trip=true")
    assert "The numbers come back too" in output


def test_several_sizes_give_a_table(show: Show) -> None:
    output = show("input=3,64", "kernel=3", "padding=0,1", "stride=2")
    rows = [re.findall(r"[^│]+", line) for line in output.splitlines() if line.startswith("│")]
    assert [[cell.strip() for cell in row] for row in rows] == [
        ["input 3, padding 0", "3x3 to 1x1", "3x3 to 7x7"],
        ["input 3, padding 1", "3x3 to 2x2", "3x3 to 5x5"],
        ["input 64, padding 0", "64x64 to 31x31", "64x64 to 129x129"],
        ["input 64, padding 1", "64x64 to 32x32", "64x64 to 127x127"],
    ]
    assert "extent" not in output and "extent" in show("input=9,10", "kernel=3", "dilation=2")
    assert "nothing is left" in show("input=1,2", "kernel=2")
    # Nothing is computed, so nothing is too large.
    output = show("input=5,100000", "kernel=3", "stride=2")
    assert "│ 100000x100000 to 49999x49999 │" in output


def test_there_and_back_where_output_padding_is_needed(show: Show) -> None:
    words = " ".join(show(*"input=1 kernel=1 padding=3 stride=7 round_trip=true".split()).split())
    assert "Without output padding nothing would come back; with output padding 6, as here" in words


def test_results_for_the_first_image_are_labelled_as_such(
    show: Show,
) -> None:
    line = "input=2x1x2x2 kernel=2 stride=2 transposed=true bias=3 padding=1".split()
    output = show(*line)
    assert "is the sum of" not in output and "in parentheses" not in output
    words = " ".join(show(*["input=2", *line[1:]]).split())
    assert "one scaled kernel for each input pixel and the bias, 3:" in words
    assert "The first of 2 images:" in show("input=2x1x3x3", "kernel=2", "round_trip=true")


def test_a_difference_is_shown_relative_to_the_largest_number(show: Show) -> None:
    output = show("input=[[1e20,3e5],[-7,1]]", "weight=[[55555.5,-1.2345678],[1e-9,3]]")
    differences = re.findall(r"largest difference (.+)\n", output)
    assert all(each == "0" or each.endswith("of the largest number") for each in differences)
    shares = [float(each.split(", ")[1].split()[0]) for each in differences if each != "0"]
    assert all(share < 1e-15 for share in shares)


def test_few_sums_over_a_large_input_are_written_out(show: Show) -> None:
    output = show("input=64", "kernel=2", "stride=31")
    assert "output 3x3" in output and "- 1*1 + 2*2 + 3*65 + 4*66 = 464\n" in output


def test_the_cropped_border_of_a_large_output_is_computed_quickly(show: Show) -> None:
    output = show("input=700", "kernel=3", "padding=1", "transposed=true")
    heading = "the output, in parentheses what the padding cuts off, 702x702 (too large to print)"
    assert heading in " ".join(output.split())
