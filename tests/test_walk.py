"""A layer at work, position by position: the steps, their pictures and their page."""

import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from aecli.commands.conv import Options
from aecli.convolution.layer import ConvLayer, read_layer
from aecli.convolution.walk import View, Walk, stamps, walk
from aecli.errors import UsageError
from aecli.figures import walk_files
from aecli.figures.walk import FASTEST_FRAME, WalkFigure, gif
from aecli.figures.walk_page import walk_page
from tests.browser import opened

Aecli = Callable[..., int]

# Dumoulin and Visin, "A guide to convolution arithmetic for deep learning" (2016): the layers of
# its figures, and the sizes that it gives for them.
GUIDE = {
    "no padding": ("input=4 kernel=3", (2, 2)),
    "arbitrary padding": ("input=5 kernel=4 padding=2", (6, 6)),
    "half padding": ("input=5 kernel=3 padding=1", (5, 5)),
    "full padding": ("input=5 kernel=3 padding=2", (7, 7)),
    "strides": ("input=5 kernel=3 stride=2", (2, 2)),
    "padding and strides": ("input=5 kernel=3 stride=2 padding=1", (3, 3)),
    "padding and strides, odd": ("input=6 kernel=3 stride=2 padding=1", (3, 3)),
    "dilation": ("input=7 kernel=3 dilation=2", (3, 3)),
    "no padding, transposed": ("input=2 kernel=3 transposed=true", (4, 4)),
    "arbitrary padding, transposed": ("input=6 kernel=4 padding=2 transposed=true", (5, 5)),
    "half padding, transposed": ("input=5 kernel=3 padding=1 transposed=true", (5, 5)),
    "full padding, transposed": ("input=7 kernel=3 padding=2 transposed=true", (5, 5)),
    "strides, transposed": ("input=2 kernel=3 stride=2 transposed=true", (5, 5)),
    "padding and strides, transposed": (
        "input=3 kernel=3 stride=2 padding=1 transposed=true",
        (5, 5),
    ),
    "padding and strides, odd, transposed": (
        "input=3 kernel=3 stride=2 padding=1 output_padding=1 transposed=true",
        (6, 6),
    ),
}


def layer_of(line: str) -> ConvLayer:
    pairs: dict[str, Any] = dict(word.split("=") for word in line.split())
    numbers: dict[str, Any] = {
        key: int(pairs.pop(key)) for key in ("dims", "out_channels") if key in pairs
    }
    transposed = pairs.pop("transposed", "false") == "true"
    return read_layer(Options(**pairs, **numbers, transposed=transposed))


def result(steps: Walk) -> list[np.ndarray[Any, Any]]:
    """The numbers of the output's panels in the last frame."""
    return [
        state.numbers
        for panel, state in zip(steps.panels, steps.frames[-1].states, strict=True)
        if panel.column == 2
    ]


@pytest.mark.parametrize(("line", "size"), GUIDE.values(), ids=GUIDE)
def test_every_animation_of_the_guide_has_a_command(line: str, size: tuple[int, int]) -> None:
    layer = layer_of(line)
    (output,) = next(iter(layer.outputs(None).values()))[0]
    assert output.shape == size
    views = View if layer.settings.transposed else [View.direct]
    for view in views:
        steps = walk(layer, view)
        stamped = view is View.stamps
        assert len(steps.frames) == (np.prod(layer.size) + 1 if stamped else output.size)
        (last,) = result(steps)
        assert last[~np.isnan(last)].reshape(size).tolist() == output.tolist()


def test_the_docs_have_a_command_for_each_animation() -> None:
    page = (Path(__file__).parents[1] / "docs" / "convolutions.md").read_text(encoding="utf-8")
    for line, _ in GUIDE.values():
        assert f"`aecli conv {line} animate=true`" in page


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_every_view_ends_at_the_output(data: st.DataObject) -> None:
    def number(least: int, most: int) -> int:
        return data.draw(st.integers(least, most))

    transposed = data.draw(st.booleans())
    axes = number(1, 2)
    texts: dict[str, Any] = {
        key: "x".join(str(number(least, most)) for _ in range(axes))
        for key, (least, most) in {
            "kernel": (1, 3), "stride": (1, 3), "padding": (0, 2), "dilation": (1, 2),
        }.items()
    }  # fmt: skip
    size = "x".join(str(number(1, 4)) for _ in range(axes))
    channels = number(1, 2)
    try:
        layer = read_layer(
            Options(
                f"1x{channels}x{size}", axes, bias="0.5", out_channels=number(1, 2),
                transposed=transposed, **texts,
            )
        )  # fmt: skip
    except UsageError as error:
        assert "nothing is left" in str(error)  # noqa: PT017
        return
    outputs = next(iter(layer.outputs(None).values()))[0]
    for view in View if transposed else [View.direct]:
        for last, output in zip(result(walk(layer, view)), outputs, strict=True):
            assert np.allclose(last[~np.isnan(last)], output.ravel())


def test_a_step_says_what_it_adds_up() -> None:
    image, weight = "[[1,2,3],[4,5,6],[7,8,9]]", "[[0,1],[2,3]]"
    steps = walk(read_layer(Options(image, weight=weight)), View.direct)
    assert [frame.caption for frame in steps.frames] == [
        "0*1 + 1*2 + 2*4 + 3*5 = 25",
        "0*2 + 1*3 + 2*5 + 3*6 = 31",
        "0*4 + 1*5 + 2*7 + 3*8 = 43",
        "0*5 + 1*6 + 2*8 + 3*9 = 49",
    ]
    steps = walk(read_layer(Options("[[-1]]", weight="[[2]]", bias="3")), View.direct)
    assert steps.frames[0].caption == "2*(-1) + bias 3 = 1"


def test_the_walk_over_the_zero_stuffed_input_counts_pixels_only() -> None:
    steps = walk(layer_of("input=2 kernel=3 stride=2 transposed=true"), View.zero_inserted)
    surface, kernel, output = steps.frames[12].states  # the middle of 5x5
    assert steps.frames[12].caption == "9*1 + 7*2 + 3*3 + 1*4 = 36"
    assert np.argwhere(surface.marked).tolist() == [[r, c] for r in (2, 3, 4) for c in (2, 3, 4)]
    assert kernel.marked.astype(int).tolist() == [[1, 0, 1], [0, 0, 0], [1, 0, 1]]
    assert output.numbers[2, 2] == 36 and np.isnan(output.numbers[2, 3])
    assert steps.panels[0].filler.sum() == 49 - 4


def test_stamps_are_summed_and_the_padding_is_cropped_at_the_end() -> None:
    steps = walk(layer_of("input=2 kernel=3 stride=2 padding=1 transposed=true"), View.stamps)
    first, second, *_, last = (frame.states[-1] for frame in steps.frames)
    assert np.isnan(first.numbers[0, 3])
    assert first.numbers[0, :3].tolist() == [1, 2, 3]
    assert second.numbers[0].tolist() == [1, 2, 3 + 2, 4, 6]
    assert second.marked[:3, 2:].all() and second.marked.sum() == 9
    assert (
        steps.frames[1].caption
        == "2 times the kernel is added at rows 0 to 2 and columns 2 to 4, counted from 0"
    )
    assert last.numbers[1:4, 1:4].tolist() == [[5, 14, 10], [14, 36, 24], [15, 34, 20]]
    assert np.isnan(last.numbers[0]).all() and steps.panels[-1].cut.sum() == 25 - 9
    assert steps.frames[-1].caption.endswith("padding 1 cuts off the border: 3x3")


def test_the_six_stamps_of_denoising_autoencoders() -> None:
    weight = [[(4 * row + column + 1) / 10 for column in range(4)] for row in range(4)]
    layer = read_layer(Options("2x3", weight=str(weight), transposed=True))
    places = [
        (position, [(part.start, part.stop) for part in place])
        for position, place, _ in stamps(layer)
    ]
    assert places[0] == ((0, 0), [(0, 4), (0, 4)])
    assert places[-1] == ((1, 2), [(1, 5), (2, 6)])
    for number, (_, _, stamp) in enumerate(stamps(layer), start=1):
        assert np.allclose(stamp, number * np.array([weight]))


@pytest.mark.parametrize(
    ("line", "columns"),
    [
        ("input=1x12 kernel=1x3", 1),
        ("input=4 dims=1 kernel=3 stride=2 transposed=true", 1),
        ("input=5 kernel=3", 3),
        ("input=2 kernel=3 stride=2 transposed=true", 3),
    ],
)
def test_a_layer_of_one_row_stands_upright(line: str, columns: int) -> None:
    layer = layer_of(line)
    steps = walk(layer, View.stamps if layer.settings.transposed else View.direct)
    assert len(steps.columns) == columns
    assert sum(steps.columns, []) == [*steps.panels]
    figure = WalkFigure("a layer", steps)
    width, height = figure.image(0).size
    assert 0.5 * height < width < 2 * height
    # The cells are as large as in any other layer.
    assert (
        figure.figure.axes[0].get_position().height * height > steps.panels[0].filler.shape[0] * 35
    )


def test_the_pictures_of_a_walk_differ_and_have_one_size() -> None:
    steps = walk(layer_of("input=3 kernel=2"), View.direct)
    figure = WalkFigure("a layer", steps)
    images = [figure.image(number) for number in range(len(steps.frames))]
    assert len({image.size for image in images}) == 1
    assert len({image.convert("RGB").tobytes() for image in images}) == 4
    animation = Image.open(io.BytesIO(gif(images)))
    assert animation.n_frames == 4  # type: ignore[attr-defined]
    assert animation.info["loop"] == 0
    assert animation.info["duration"] >= 1000 * FASTEST_FRAME


def test_the_page_steps_plays_and_goes_back(tmp_path: Path) -> None:
    layer = layer_of("input=2 kernel=3 stride=2 padding=1 transposed=true")
    page = tmp_path / "page.html"
    page.write_text(walk_page("<b> & such", walk(layer, View.stamps), "aecli conv"), "utf-8")
    caption = "document.getElementById('caption').textContent"
    cells = "[...document.querySelectorAll('.c2 td')].map(cell => cell.textContent).join(' ')"
    marked = "document.querySelectorAll('.c2 td.marked').length"
    with opened(page) as browser:
        assert browser.evaluate("document.querySelector('h1').textContent") == "<b> & such"
        assert browser.evaluate(caption).startswith("1 times the kernel is added at rows 0 to 2")
        assert browser.evaluate(marked) == 9
        browser.evaluate("document.getElementById('step').click(), 0")
        assert browser.evaluate(cells).startswith("1 2 5 4 6 4 5 14 10 12")
        browser.evaluate("document.getElementById('back').click(), 0")
        assert browser.evaluate(caption).startswith("1 times")
        key = "document.dispatchEvent(new KeyboardEvent('keydown', {key: 'End'}))"
        browser.evaluate(
            key.replace("document.", "document.body.", 1).replace("{", "{bubbles: true, ")
        )
        assert browser.evaluate(caption).startswith("All 4 kernels are added; padding 1 cuts off")
        browser.evaluate("document.getElementById('play').click(), 0")  # from the beginning
        assert browser.evaluate("document.getElementById('play').textContent") == "Pause"
        assert browser.evaluate(caption).startswith("1 times")
        assert browser.complaints() == []
        assert browser.requests() == [page.as_uri()]


def test_the_page_contains_nothing_that_could_end_its_script() -> None:
    content = walk_page("</script><script>", walk(layer_of("input=1 kernel=1"), View.direct), "</x")
    assert content.count("<script") == 2
    data = re.findall(r'<script type="application/json" id="frames">(.*?)</script>', content)
    assert json.loads(data[0])["frames"][0]["caption"] == "1*1 = 1"


@pytest.mark.parametrize("view", ["direct", "stamps", "zero_inserted"])
def test_the_command_draws_a_gif_slides_and_a_page(
    view: str, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    line = f"input=2 kernel=2 transposed=true animate=true view={view} output=here torch=false"
    assert aecli("conv", *line.split()) == 0
    frames = 5 if view == "stamps" else 9
    names = [f"0{number}.svg" for number in range(1, frames + 1)]
    assert sorted(path.name for path in Path("here", view).iterdir()) == names
    for name in names:
        ElementTree.parse(Path("here", view, name))
    with Image.open(f"here/{view}.gif") as animation:
        assert animation.n_frames == frames  # type: ignore[attr-defined]
    output = capsys.readouterr().out
    assert f"animation  here/{view}.gif\n" in output and f"page       here/{view}.html\n" in output
    assert f"steps      here/{view}/01.svg to {names[-1]}\n" in output
    # Again, over its own files; of a longer walk none is left.
    assert aecli("conv", *line.split()) == 0
    assert aecli("conv", *line.replace("input=2", "input=1").split()) == 0
    shorter = 2 if view == "stamps" else 4
    assert sorted(path.name for path in Path("here", view).iterdir()) == names[:shorter]


def test_animations_into_one_folder_at_the_same_time_do_not_mix(
    aecli: Aecli, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    save = walk_files.save_walk
    shorter = "input=1 kernel=2 transposed=true animate=true output=here torch=false"

    def overtaken(title: str, walk: Walk, path: Path, command: str) -> None:
        monkeypatch.setattr(walk_files, "save_walk", save)
        save(title, walk, path, command)
        assert aecli("conv", *shorter.split()) == 0
        assert len([*Path("here/stamps").iterdir()]) == 2

    monkeypatch.setattr(walk_files, "save_walk", overtaken)
    assert aecli("conv", *shorter.replace("input=1", "input=2").split()) == 0
    assert len([*Path("here/stamps").iterdir()]) == 5
    assert "input=2" in Path("here/stamps.html").read_text(encoding="utf-8")
    with Image.open("here/stamps.gif") as animation:
        assert animation.n_frames == 5  # type: ignore[attr-defined]
    # Another view of the layer stands beside it, and a stranger's picture stays as it is.
    assert aecli("conv", *shorter.split(), "view=direct") == 0
    assert Path("here/stamps.html").exists() and Path("here/direct.html").exists()
    Path("there/stamps").mkdir(parents=True)
    Path("there/stamps/02.svg").write_text("mine")
    capsys.readouterr()
    assert aecli("conv", *shorter.replace("here", "there").split()) == 5
    assert "there/stamps/02.svg was not written by aecli" in capsys.readouterr().err
    assert [*Path("there").rglob("*.*")] == [Path("there/stamps/02.svg")]
