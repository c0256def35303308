"""`aecli upsample` as a person meets it: the lectures' numbers, pictures, and mistakes."""

import json
import os
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from aecli.analysis import pictures as sources
from aecli.analysis.upsample import MIN_IMAGES
from aecli.cli import console
from aecli.cli.completion import candidates
from aecli.cli.help import help_for
from aecli.convolution.arrays import Array
from tests.test_conv_command import grid, numbers

Aecli = Callable[..., int]
Show = Callable[..., str]
ALL = "nearest,bed_of_nails,bilinear,bicubic,max_unpool,pixel_shuffle"


@pytest.fixture
def show(aecli: Aecli, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Show:
    """Run `aecli upsample` on a terminal of 80 columns; returns what it prints."""
    monkeypatch.setattr(console.out, "width", 80)

    def run(*arguments: str) -> str:
        assert aecli("upsample", *arguments) == 0
        output, _ = capsys.readouterr()
        return output

    return run


def section(output: str, heading: str) -> str:
    """What is printed of one method."""
    lines = output.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(heading))
    names = [each for each in ALL.split(",") if not heading.startswith(each)]
    ends = [n for n, line in enumerate(lines) if n > start and line.split(",")[0] in names]
    return "\n".join(lines[start : min(ends, default=len(lines))])


def photo(path: Path, rows: int, columns: int, seed: int = 0) -> Path:
    """A picture of random smooth colours."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (3, 4, 3), np.uint8)
    Image.fromarray(noise).resize((columns, rows), Image.Resampling.BICUBIC).save(path)
    return path


def cut_short(path: Path) -> None:
    """Leave the header, and not all pixels."""
    path.write_bytes(path.read_bytes()[:-300])


def saved(path: Path) -> Array:
    """Pixels (C, H, W) of a file, from 0 to 255."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"), np.float64).transpose(2, 0, 1)


@pytest.mark.undrawn("upsample")
def test_all_methods_on_a_2x2_matrix(show: Show) -> None:
    output = show("input=2", f"method={ALL}", "factor=2")
    assert grid(section(output, "nearest"), "output 4x4") == [
        ["1", "1", "2", "2"],
        ["1", "1", "2", "2"],
        ["3", "3", "4", "4"],
        ["3", "3", "4", "4"],
    ]
    # "Autoencoders on MNIST", option 2
    assert grid(section(output, "bed_of_nails"), "output 4x4") == [
        ["1", "0", "2", "0"],
        ["0", "0", "0", "0"],
        ["3", "0", "4", "0"],
        ["0", "0", "0", "0"],
    ]
    bilinear = section(output, "bilinear")
    assert numbers(bilinear, "output 4x4")[1] == [1.5, 1.75, 2.25, 2.5]
    assert grid(bilinear, "weights of the rows 4x2")[:2] == [["1.00", "."], ["0.75", "0.25"]]
    assert "y[2n + 1]       0.75*x[n] + 0.25*x[n + 1]\n" in bilinear
    assert "first row of y  1*1 = 1\n                0.75*1 + 0.25*2 = 1.25\n" in bilinear
    assert "pixel 1,1       0.5625*1 + 0.1875*2 + 0.1875*3 + 0.0625*4 = 1.75\n" in bilinear
    assert "beyond the border the edge pixel is repeated" in " ".join(bilinear.split())
    bicubic = section(output, "bicubic")
    assert bicubic.startswith("bicubic, a = -0.75 (torch's)\n")
    assert numbers(bicubic, "output 4x4")[0] == [0.6836, 1.0156, 1.5625, 1.8945]
    assert "-0.1055*x[n - 1] + 0.8789*x[n] + 0.2617*x[n + 1] - 0.03516*x[n + 2]" in bicubic
    shuffle = section(output, "pixel_shuffle")
    assert grid(shuffle, "output 4x4")[:2] == [["1", "5", "2", "6"], ["9", "13", "10", "14"]]
    assert grid(shuffle, "channel of each pixel 4x4")[:2] == [list("1212"), list("3434")]
    assert "parameters  none: nothing in these methods is trained\n" in output


@pytest.mark.undrawn("upsample")
def test_the_torch_call_gives_the_same_numbers(show: Show) -> None:
    x = torch.arange(1.0, 13).reshape(1, 1, 3, 4)
    output = show("input=3x4", "method=nearest,bilinear,bicubic", "factor=2")
    for method in ("nearest", "bilinear", "bicubic"):
        part = section(output, method)
        (call,) = re.findall(r"^torch +nn\.functional\.(.*)$", part, re.MULTILINE)
        expected = eval(f"F.{call}", {"F": F, "x": x})[0, 0]
        assert np.abs(np.array(numbers(part, "output 6x8")) - expected.numpy()).max() < 6e-5


@pytest.mark.undrawn("upsample", "conv")
def test_the_conv_commands_give_the_same_numbers(
    show: Show, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    output = show("input=2x3", "method=nearest,bed_of_nails", "factor=3")
    for method in ("nearest", "bed_of_nails"):
        part = section(output, method)
        (line,) = re.findall(r"^aecli +conv (.*)$", part, re.MULTILINE)
        assert aecli("conv", *line.replace("...", "2x3").split()) == 0
        assert grid(capsys.readouterr().out, "output 6x9") == grid(part, "output 6x9")


@pytest.mark.undrawn("upsample")
def test_max_unpooling_with_its_pooling(show: Show) -> None:
    image = "input=[[1,2,6,3],[3,5,2,1],[1,2,2,1],[7,3,4,8]]"
    output = show(image, "method=max_unpool")
    assert grid(output, "pooled 2x2") == [["5", "6"], ["7", "8"]]
    assert grid(output, "indices 2x2") == [["5", "2"], ["12", "15"]]
    assert grid(output, "output 4x4") == [list("0060"), list("0500"), list("0000"), list("7008")]
    output = show(image, "method=max_unpool", "values=[[1,2],[3,4]]")
    assert grid(output, "values 2x2") == [["1", "2"], ["3", "4"]]
    assert grid(output, "output 4x4") == [list("0020"), list("0100"), list("0000"), list("3004")]


@pytest.mark.undrawn("upsample")
def test_the_bicubic_family(show: Show) -> None:
    keys = show("input=[[0,1,4,9]]", "method=bicubic", "a=-0.5", "factor=2")
    # Parabolas are reproduced: at x = (3 + 1/2)/2 - 1/2 = 1.25, and at 1.75.
    assert numbers(keys, "output 2x8")[0][3:5] == pytest.approx([1.25**2, 1.75**2])
    assert "torch           has only a = -0.75\n" in keys
    spline = show("input=[[0,0,6,0,0]]", "method=bicubic", "b=1", "c=0", "factor=1")
    assert numbers(spline, "output 1x5") == [[0, 1, 4, 1, 0]]
    assert "This kernel also smooths: the weight at distance 0 is 0.6667" in " ".join(
        spline.split()
    )
    assert "smooths" not in keys
    assert show("input=2", "method=bicubic", "b=0", "c=0.5") == show(
        "input=2", "method=bicubic", "a=-0.5"
    )


@pytest.mark.undrawn("upsample")
def test_channels_are_enlarged_one_by_one(show: Show) -> None:
    output = show("input=[[[1]],[[2]],[[3]],[[4]]]", "method=nearest,pixel_shuffle")
    assert grid(output, "output 2x2, channel 4") == [["4", "4"], ["4", "4"]]
    assert grid(section(output, "pixel_shuffle"), "output 2x2") == [["1", "2"], ["3", "4"]]
    typed = show("input=8x1x1", "method=pixel_shuffle")
    assert grid(typed, "output 2x2, channel 2") == [["5", "6"], ["7", "8"]]


@pytest.mark.parametrize(
    "line",
    [
        "input=8192x1 method=nearest,bilinear,bicubic factor=8",
        "input=1x8192 method=nearest,bilinear,bicubic factor=8",
        f"input=256 method={ALL}",
    ],
)
def test_images_too_large_to_print_are_still_enlarged(line: str, show: Show) -> None:
    output = show(*line.split())
    assert "(too large to print)" in output
    assert "figure  none" in output


@pytest.mark.undrawn("upsample")
def test_long_rows_are_not_written_out_in_full(show: Show) -> None:
    output = show("input=1x20", "method=bilinear")
    assert output.count(" = ") == 12
    assert "                ... and 28 more\n" in output
    assert "pixel" not in output.split("first row")[1]  # a row has no four neighbours


def test_the_figures_are_where_they_are_said_to_be(show: Show, tmp_path: Path) -> None:
    output = show("input=2x3", f"method={ALL.replace(',max_unpool', '')}")
    for name in ("upsampled", "kernels"):
        path = f"outputs/upsample/2x3-x2/{name}.png"
        assert f" {path}\n" in output
        assert saved(Path(path)).shape[2] > 500
        assert Path(path).with_suffix(".svg").is_file()
    output = show("input=2", "method=pixel_shuffle", "output=elsewhere")
    assert sorted(os.listdir("elsewhere")) == ["manifest.json", "upsampled.png", "upsampled.svg"]
    # What the new line does not draw is not left of an earlier one; the rest stays.
    show("input=2", "output=one")
    Path("one/notes.txt").write_text("mine")
    show("input=2", "method=bed_of_nails", "output=one")
    assert sorted(os.listdir("one")) == [
        "manifest.json", "notes.txt", "upsampled.png", "upsampled.svg"
    ]  # fmt: skip
    output = show("input=1x100", "method=nearest", "output=nowhere")
    assert "figure  none: more than 128 cells along a side" in output
    assert not Path("nowhere").exists()


def test_a_picture_is_enlarged_and_saved(show: Show) -> None:
    photo(Path("a photo.png"), 30, 41)
    output = show("images=a photo.png", "method=nearest,bilinear,bicubic,max_unpool")
    folder = Path("outputs/upsample/a_photo")
    assert output.endswith(f"results     {folder}\n")
    pixels = saved(Path("a photo.png"))
    for factor in (2, 3):
        for method, options in {
            "nearest": {},
            "bilinear": {"align_corners": False},
            "bicubic": {"align_corners": False},
        }.items():
            expected = F.interpolate(
                torch.tensor(pixels[None]), scale_factor=factor, mode=method, **options
            )[0].clamp(0, 255)
            found = saved(folder / f"{method}-x{factor}.png")
            assert np.abs(found - expected.numpy()).max() <= 0.501
        assert not (folder / f"max_unpool-x{factor}.png").exists()
    for name in ("enlarged", "restored", "kernels"):
        assert (folder / f"{name}.png").is_file() and (folder / f"{name}.svg").is_file()
    assert "(n = 1)" in output and "interval" not in output


@pytest.mark.undrawn("upsample")
def test_the_error_is_that_of_a_picture_made_smaller(show: Show) -> None:
    photo(Path("photo.png"), 31, 41)
    show("images=photo.png", "factor=2", "method=nearest,bed_of_nails,bicubic,max_unpool")
    results = json.loads(Path("outputs/upsample/photo/numbers.json").read_text())
    pixels = torch.tensor(saved(Path("photo.png"))[None, :, :30, :40] / 255)  # what 2 divides
    small = F.avg_pool2d(pixels, 2)
    nails = torch.zeros_like(pixels)
    nails[..., ::2, ::2] = small
    maxima, places = F.max_pool2d(pixels, 2, return_indices=True)
    expected = {
        "nearest": F.interpolate(small, scale_factor=2),
        "bed_of_nails": nails,
        "bicubic": F.interpolate(small, scale_factor=2, mode="bicubic").clamp(0, 1),
        "max_unpool": F.max_unpool2d(maxima, places, [2, 2]),
    }
    for method, output in expected.items():
        mse = float((output - pixels).square().mean())
        assert results[f"mse_{method}_x2"] == pytest.approx(mse, rel=1e-4)
        assert results[f"psnr_{method}_x2"] == pytest.approx(-10 * np.log10(mse), abs=1e-3)
    assert results["n"] == 1 and results["kernels"]["bicubic"] == "bicubic, a = -0.75 (torch's)"


@pytest.mark.undrawn("upsample")
def test_a_folder_of_pictures_of_any_size(show: Show, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(MIN_IMAGES):
        photo(Path(f"album/{number}.png"), 9 + number, 20, seed=number)
    Image.new("L", (8, 8), 100).save("album/flat grey.png")
    Path("album/notes.txt").touch()
    Path("album/broken.png").write_bytes(b"not a picture")
    cut_short(photo(Path("album/cut.jpg"), 60, 60))
    output = show("images=album", "method=nearest,bilinear", "factor=2", "count=2")
    assert "(n = 21)" in output and "95 % interval" in output and "21 pictures" in output
    names = sorted(os.listdir("outputs/upsample/album"))
    assert [name for name in names if Path("outputs/upsample/album", name).is_dir()] == [
        "1-0",
        "2-1",
    ]
    first = json.loads(Path("outputs/upsample/album/numbers.json").read_text())["restored"][0]
    low, high = first["interval"]
    assert low < first["mse"] < high and first["n"] == 21


def test_left_out_files_are_reported(aecli: Aecli, capsys: pytest.CaptureFixture[str]) -> None:
    photo(Path("album/a.png"), 12, 12)
    Path("album/notes.txt").touch()
    Path("album/broken.png").write_bytes(b"not a picture")
    cut_short(photo(Path("album/cut.jpg"), 60, 60))
    assert aecli("upsample", "images=album", "method=nearest") == 0
    errors = capsys.readouterr().err
    assert "files that are not read: 1 .txt" in errors
    assert "2 of the 3 image files cannot be read and are left out" in errors
    assert "album/broken.png: its format" in errors and "album/cut.jpg: " in errors


@pytest.mark.undrawn("upsample")
def test_the_images_of_a_data_set(show: Show) -> None:
    output = show("data=synthetic", "factor=2", "method=nearest,bicubic", "count=2")
    assert re.search(r"test images of synthetic, made smaller and enlarged again \(n = ", output)
    folder = Path("outputs/upsample/synthetic")
    assert saved(folder / "2-1" / "bicubic-x2.png").shape == (3, 56, 56)
    numbers = json.loads((folder / "numbers.json").read_text())
    # Fixed upsampling cannot bring back what was lost.
    assert 0.001 < numbers["mse_bicubic_x2"] < numbers["mse_nearest_x2"]


@pytest.mark.parametrize(
    ("line", "status", "words"),
    [
        ("", 2, "needs input=2, a small image of numbers, or images=photo.png, or data=mnist"),
        ("input=2 images=photo.png", 2, "one of the three, not input= and images="),
        ("input=2 data=mnist", 2, "one of the three, not input= and data="),
        ("input=2 factor=0", 2, "factor=0 is not valid: give a whole number from 1 to 8"),
        ("input=2 factor=2.5", 2, "factor=2.5 is not valid"),
        ("input=2 factor=9", 2, "factor=9 is not valid"),
        ("input=2 factor=2,3", 2, "factor=2,3 is for pictures: with input give one number"),
        ("input=2 method=biliner", 2, "method=biliner is not valid: did you mean bilinear?"),
        ("input=2 method=nearest,", 2, "method= has no value"),
        ("input=3x4 method=max_unpool", 2, "the input is 3x4: give rows and columns that 2 divide"),
        ("input=4x3 method=max_unpool", 2, "the input is 4x3: give rows and columns that 2 divide"),
        ("input=[[1,2],[3,4]] method=pixel_shuffle", 2, "an image of 4 channels, and the input ha"),
        ("input=2 a=nan", 2, "a=nan is not valid: give a finite number"),
        ("input=2 a=1e9", 2, "a=1000000000.0 is not valid: give a number of at most 10"),
        ("input=2 a=x", 2, "a=x is not valid"),
        ("input=2 b=1", 2, "b needs c as well: give b=... and c=..."),
        ("input=2 c=1", 2, "c needs b as well"),
        ("input=2 a=-1 b=0 c=1", 2, "give a, or b and c, not both"),
        ("input=2 method=nearest b=1 c=0", 2, "b=1 is a parameter of bicubic: add method=bicubic"),
        ("input=2 values=[[1]]", 2, "add method=max_unpool"),
        ("input=4 method=max_unpool values=[[1,2]]", 2, "values is 1x2, but the pooled input is 2"),
        ("input=4 method=max_unpool values=3", 2, "values is a single number, but"),
        ("input=0", 2, "input=0 is not valid: give at least one pixel"),
        ("input=[1,2]", 2, "input=[1,2] has 1 dimensions: give rows and columns"),
        ("input=2x2x2x2", 2, "input=2x2x2x2 has 4 dimensions"),
        ("input=3x2x2 method=pixel_shuffle", 2, "an image of 4 channels, and the input has 3"),
        ("input=500 factor=8", 2, "the output is too large: 1x4000x4000 is more than the limit of"),
        ("input=9999", 2, "the output is too large"),
        ("images=photo.png method=pixel_shuffle", 2, "pixel_shuffle is not for pictures"),
        ("images=photo.png values=[[1]]", 2, "values= are for a small image of numbers"),
        ("images=photo.png count=0", 2, "count=0 is not valid: give 1 to 24"),
        ("images=photo.png factor=8", 3, "photo.png has 6x9 pixels, too few to be made 8 times sm"),
        ("images=nowhere.png", 3, "there is no file or folder nowhere.png"),
        ("images=broken.png", 3, "none of the 1 images can be read (broken.png: its format is not"),
        ("images=cut.png", 3, "none of the 1 images can be read (cut.png: "),
        ("images=cut.jpg", 3, "none of the 1 images can be read (cut.jpg: "),
        ("images=cut.jpg images=cut.png", 3, "none of the 2 images can be read ("),
        ("images=empty", 3, "images=empty contains no images"),
        ("data=mnits", 2, "data=mnits is not valid: did you mean mnist?"),
        ("data=folder", 2, "data=folder is not valid: give one of "),
        ("input=2 output=photo.png/below", 5, "photo.png/below cannot be written"),
    ],
)
def test_a_mistake_gets_one_line_and_leaves_nothing(
    line: str, status: int, words: str, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    content = photo(Path("photo.png"), 6, 9).read_bytes()
    Path("broken.png").write_bytes(b"not a picture")
    Path("cut.png").write_bytes(content[:70])
    cut_short(photo(Path("cut.jpg"), 60, 60))
    Path("empty").mkdir()
    before = sorted(each for each in Path().rglob("*") if each.is_file())
    assert aecli("upsample", *line.split()) == status
    output, errors = capsys.readouterr()
    assert output == ""
    assert errors.startswith("aecli: ") and errors.count("\n") == 1
    assert words in errors
    assert sorted(each for each in Path().rglob("*") if each.is_file()) == before


def test_a_picture_that_would_be_too_large_is_refused_before_it_is_decoded(
    aecli: Aecli, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    photo(Path("photo.png"), 30, 40)
    monkeypatch.setattr(sources, "MAX_NUMBERS", 30 * 40 * 3 * 9 - 1)
    monkeypatch.setattr("aecli.data.own_images.decode_image", pytest.fail)
    assert aecli("upsample", "images=photo.png") == 2
    errors = capsys.readouterr().err
    assert (
        "photo.png has 30x40 pixels and, 3 times as high and as wide, would have 32,400" in errors
    )


@pytest.mark.undrawn("upsample")
def test_the_examples_of_the_help_work(show: Show) -> None:
    photo(Path("photo.png"), 30, 40)
    examples = re.findall(r"^  aecli upsample (.*)$", help_for("upsample"), re.MULTILINE)
    assert len(examples) == 4
    for example in examples:
        assert show(*shlex.split(example))


def test_methods_are_completed_one_after_the_other() -> None:
    assert candidates("aecli upsample method=bi") == ["method=bilinear", "method=bicubic"]
    assert candidates("aecli upsample method=nearest,ma") == ["method=nearest,max_unpool"]
    assert candidates("aecli upsample data=mn") == ["data=mnist"]
