"""What is checked before a run has a folder: whether it can fit in memory."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from aecli.cli.compose import compose
from aecli.errors import UsageError
from aecli.runtime import memory
from aecli.training.preflight import BYTES, COPIES, check_memory, numbers_per_image
from tests.conftest import TINY
from tests.test_conf import some_data

pytestmark = pytest.mark.undrawn


def test_the_estimate_counts_the_weights_five_times_and_the_maps_of_one_batch() -> None:
    data = some_data()
    channels, height, width = data.image_shape
    pixels, count = channels * height * width, len(data.train)
    config = compose(["model=fc", "model.widths=[10]", "latent=3", f"batch_size={10**9}"])
    weights = 2 * (pixels * 10 + 10 * 3) + (10 + 3 + 10 + pixels)
    needed = BYTES * (COPIES * weights + count * (2 * pixels + 2 * 10 + 3))
    check_memory(config, data, needed)
    with pytest.raises(UsageError, match=rf"its {weights:,} weights and a batch of {count:,}"):
        check_memory(config, data, needed - 1)


def test_maps_of_a_convolution_count_as_large_as_they_are() -> None:
    config = compose(["model=conv", "latent=3"])
    assert numbers_per_image(config.model, (1, 28, 28)) == 2 * (784 + 16 * 196 + 32 * 49) + 3


@pytest.mark.parametrize(
    "line",
    [
        "model=fc model.widths=[1000000,1000000]",
        "model=conv model.layers.0.channels=1000000 model.layers.1.channels=1000000",
        "model=conv latent=1000000 model.layers.1.channels=1000000",
        "model=conv model.layers.0.padding=16384 model.layers.0.stride=1",
    ],
)
def test_a_run_that_cannot_fit_is_refused_before_a_folder_is_created(
    line: str, aecli: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert aecli("train", *TINY, *line.split(), "output_dir=new") == 2
    message = capsys.readouterr().err
    assert re.fullmatch(r"aecli: model=.* weights .*\n", message), message
    assert not Path("new").exists()


def test_a_factor_larger_than_the_images_is_refused(
    aecli: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert aecli("train", *TINY, "corruption=downsample", "factor=29", "output_dir=new") == 2
    message = capsys.readouterr().err
    expected = "factor=29 is not valid: the images have 28x28 pixels, so give at most 28"
    assert message == f"aecli: {expected}\n" and not Path("new").exists()
    line = ["corruption=downsample", "factor=28", "model=fc", "latent=2"]
    assert aecli("train", *TINY, *line) == 0


def test_more_weights_than_can_be_counted_are_refused(
    aecli: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["model.layers.1.channels=1048576", "latent=1048576", "image_size=16384", "channels=3"]
    assert aecli("shapes", "model=conv", *line) == 2
    assert "more weights than any machine can hold" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("group", "limits", "expected"),
    [
        ("0::/a/b", {"a/b/memory.max": "max", "a/memory.max": "3000000"}, [3_000_000]),
        ("0::/a/b", {"memory.max": "5", "a/b/memory.max": "7"}, [7, 5]),
        ("4:cpu,memory:/docker/x", {"memory/docker/x/memory.limit_in_bytes": "9"}, [9]),
        ("4:memory:/docker/x", {"memory/memory.limit_in_bytes": "9"}, [9]),  # as seen from inside
        ("4:cpu:/docker/x", {"cpu/docker/x/memory.limit_in_bytes": "9"}, []),
        ("nonsense", {"memory.max": "9"}, []),
    ],
)
def test_a_control_group_limits_the_memory(
    group: str, limits: dict[str, str], expected: list[int], tmp_path: Path
) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(f"{group}\n")
    for name, limit in limits.items():
        file = tmp_path / "sys/fs/cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{limit}\n")
    assert memory._limits(tmp_path) == expected


def test_the_least_limit_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_limits", lambda _: [2**20, 2**80])
    assert memory.total_memory() == 2**20
