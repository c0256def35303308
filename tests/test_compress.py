"""`aecli compress`: bits counted, and what is lost for them."""

import io
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from aecli.analysis import compress
from aecli.analysis.compress import Compressed, Rate, beaten, check_codes, findings, read_bits
from aecli.baselines.codecs import as_jpeg, as_png
from aecli.config import UpsampleConfig
from aecli.config.choices import Upsampling
from aecli.errors import UsageError
from aecli.latent.quantisation import Quantiser
from aecli.runs.directory import RunDirectory
from aecli.runs.trained import open_run

Aecli = Callable[..., int]


def test_two_levels_by_hand() -> None:
    codes = torch.tensor([[0.0, 5.0], [1.0, 5.0], [4.0, 5.0]])  # the second unit never varies
    quantiser = Quantiser.fit(codes, 1)
    levels = quantiser.quantise(torch.tensor([[-9.0, 5.0], [1.9, 5.0], [2.1, 7.0], [99.0, 5.0]]))
    assert levels.tolist() == [[0, 0], [0, 0], [1, 0], [1, 0]]
    assert quantiser.restore(levels).tolist() == [[1, 5], [1, 5], [3, 5], [3, 5]]
    # With one code more on each level, the first has 3 of 5 codes and the second 2; the unit that
    # never varies has 4 of 5 on its first level.
    expected = [-math.log2(each * 4 / 5) for each in (3 / 5, 3 / 5, 2 / 5, 2 / 5)]
    assert quantiser.entropy_coded_bits(levels).tolist() == pytest.approx(expected)


@pytest.mark.parametrize("bits", [1, 4, 8, 12])
def test_the_error_is_at_most_half_a_step(bits: int) -> None:
    codes = torch.randn(500, 3, generator=torch.Generator().manual_seed(0))
    quantiser = Quantiser.fit(codes, bits)
    levels = quantiser.quantise(codes)
    assert levels.min() >= 0 and levels.max() < 2**bits
    error = (quantiser.restore(levels) - codes).abs()
    assert (error <= quantiser.step / 2 + 1e-5).all()
    # Probabilities that sum to one are those of a code that can be decoded (Kraft's inequality).
    assert torch.allclose((2**-quantiser.lengths).sum(1), torch.ones(3).double())


def test_on_its_own_codes_the_bits_are_those_of_the_entropy() -> None:
    codes = torch.randint(4, (100_000, 1), generator=torch.Generator().manual_seed(0)).float()
    codes[:50_000] = 0
    quantiser = Quantiser.fit(codes, 2)
    shares = torch.bincount(codes.flatten().long()).double() / len(codes)
    entropy = -(shares * shares.log2()).sum().item()
    found = quantiser.entropy_coded_bits(quantiser.quantise(codes)).mean().item()
    assert found == pytest.approx(entropy, abs=1e-3)


@pytest.mark.parametrize("channels", [1, 3])
def test_files_are_counted_with_and_without_their_headers(channels: int) -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (3, channels, 20, 16), generator=generator).to(torch.uint8)
    png = as_png(images)
    assert torch.equal(png.images, images)
    # The signature has 8 bytes, IHDR 25, IEND 12, and an IDAT chunk 12 around its content.
    assert (png.file_bits - png.data_bits).tolist() == 3 * [8 * (8 + 25 + 12 + 12)]
    coarse, fine = as_jpeg(images, 5), as_jpeg(images, 95)
    for jpeg in (coarse, fine):
        assert jpeg.images.shape == images.shape
    assert (coarse.data_bits < fine.data_bits).all()
    pixels = images[0].permute(1, 2, 0).numpy()
    file = io.BytesIO()
    image = Image.fromarray(pixels.squeeze(2) if channels == 1 else pixels)
    image.save(file, "JPEG", quality=5)
    content = file.getvalue()
    optimised = io.BytesIO()
    image.save(optimised, "JPEG", quality=5, optimize=True)
    assert coarse.file_bits[0] == 8 * len(optimised.getvalue()) < 8 * len(content)
    with Image.open(file) as one, Image.open(optimised) as other:
        assert one.tobytes() == other.tobytes()
    # The scan's header has as many bytes as its length says, after the marker.
    start = content.index(b"\xff\xda") + 2
    length = int.from_bytes(content[start : start + 2])
    assert coarse.data_bits[0] == 8 * (len(content) - 2 - start - length)


def test_the_command_measures_every_method(
    run: RunDirectory, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    assert aecli("compress", str(run.path), "bits=8,3", "n=40", "device=cpu") == 0
    numbers = json.loads((run.path / "compress/numbers.json").read_text())
    methods = numbers["methods"]
    assert [*methods] == ["conv-z3-synthetic", "PCA, 3 components", "JPEG", "PNG"]
    ours = methods["conv-z3-synthetic"]
    assert [(each["number"], each["stored_bits"]) for each in ours] == [(3, 9), (8, 24)]
    assert all(each["coded_bits"] < each["stored_bits"] for each in ours)
    assert methods["PNG"][0]["mse"] == 0 and methods["PNG"][0]["psnr"] is None
    output = capsys.readouterr().out
    assert f"{ours[0]['mse']:.6f}" in output and "not counted" in output
    trained = open_run(run.path, device="cpu")
    parameters = sum(each.numel() for each in trained.model.parameters())
    assert f"({parameters:,} parameters)" in " ".join(output.split())
    for figure in ("rates", "images"):
        assert (run.path / f"compress/{figure}.png").stat().st_size > 1000


def test_fine_codes_lose_no_more_than_the_network(run: RunDirectory, aecli: Aecli) -> None:
    assert aecli("compress", str(run.path), "bits=12", "n=100", "device=cpu") == 0
    numbers = json.loads((run.path / "compress/numbers.json").read_text())
    (found,) = numbers["methods"]["conv-z3-synthetic"]
    assert found["mse"] == pytest.approx(run.load_summary()["test"]["mse"], rel=1e-2)


def test_several_runs_are_compared_on_the_same_images(
    run: RunDirectory, finished: Path, aecli: Aecli
) -> None:
    assert aecli("compress", str(run.path), str(finished), "bits=4", "n=20", "device=cpu") == 0
    methods = json.loads((run.path / "compress/numbers.json").read_text())["methods"]
    assert methods["conv-z3-synthetic (1)"] == methods["conv-z3-synthetic (2)"]
    assert not (finished / "compress").exists()


def rate(number: int, bits: float, errors: torch.Tensor) -> Rate:
    return Rate(number, 2 * bits, bits, errors.double(), torch.zeros(1, 1, 2, 2))


def test_fewer_bits_and_a_lower_error_are_needed_to_win() -> None:
    level = torch.full((100,), 0.1)
    noise = torch.randn(100, generator=torch.Generator().manual_seed(0)) * 0.01
    ours = [rate(2, 10, level), rate(4, 20, level / 2)]
    theirs = [rate(1, 5, level * 2), rate(5, 15, level * 2), rate(9, 30, level + noise)]
    assert beaten(ours, theirs) == [5, 9]
    assert beaten(theirs, ours) == []
    assert beaten([rate(2, 10, level)], [rate(1, 30, level + noise)]) == []  # by chance
    image = torch.zeros(1, 1, 2, 2)
    rates = {"net": ours, "PCA": theirs, "JPEG": theirs}
    result = Compressed(image, 4, 100, [2, 4], rates, {"net": "PCA"})
    assert findings(result) == [
        "net takes fewer bits and has a lower mse than JPEG at quality 5 and 9; the reverse holds "
        "at no setting",
        "net takes fewer bits and has a lower mse than PCA at 5 and 9 bits a number; the "
        "reverse holds at no setting",
    ]


@pytest.mark.parametrize("text", ["", "0", "13", "2.5", "a", "2,,4", "-1", "1e1", "²"])
def test_invalid_bits_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="^bits=.* is not valid: give whole numbers from 1 to 12"):
        read_bits(text)
    assert read_bits("4, 2,4") == [2, 4]


def test_a_decoder_that_needs_more_than_the_code_is_refused(run: RunDirectory) -> None:
    trained = open_run(run.path, device="cpu")
    config = replace(trained.config, upsample=UpsampleConfig(name=Upsampling.max_unpool))
    check_codes([trained])
    with pytest.raises(UsageError, match="also needs the positions of the maxima"):
        check_codes([trained, replace(trained, config=config)])


def test_images_that_no_format_stores_are_compared_with_pca_only(
    run: RunDirectory,
    aecli: Aecli,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(compress, "SUPPORTED_CHANNELS", (3,))
    assert aecli("compress", str(run.path), "bits=4", "n=20", "device=cpu") == 0
    methods = json.loads((run.path / "compress/numbers.json").read_text())["methods"]
    assert [*methods] == ["conv-z3-synthetic", "PCA, 3 components"]
    assert "JPEG and PNG are left out" in capsys.readouterr().err


@pytest.mark.parametrize("line", [["bits=0"], ["n=0"]])
def test_a_mistake_gets_one_line_and_leaves_nothing(
    line: list[str], run: RunDirectory, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    assert aecli("compress", str(run.path), *line) == 2
    errors = capsys.readouterr().err
    assert f"{line[0]} is not valid" in errors and errors.count("\n") == 1
    assert not (run.path / "compress").exists()
