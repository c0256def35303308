"""The figures of a comparison: what each shows of which run, and what its caption admits."""

from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from numpy.typing import NDArray

from aecli import figures
from aecli.cli.compose import compose
from aecli.comparison.pictures import Picture, pictures
from aecli.comparison.results import Comparison, RunGroup
from aecli.comparison.table import format_ppm
from aecli.evaluation.checkerboard import high_pass
from aecli.evaluation.scores import checkerboard_period
from aecli.figures import theme
from aecli.runs.directory import RunDirectory
from aecli.training import experiment
from tests.gathered import gather
from tests.test_conf import some_data
from tests.test_figures import assert_all_is_readable, pixels_of

SIDE = 12  # pixels of an image; with its share of the paper it is two more
STEP = SIDE + 2


def study(folder: Path, *lines: str, images: int = 8) -> Comparison:
    """Train what each line says, for a moment, and compare on so many test images."""
    data = some_data((1, SIDE, SIDE))
    data = replace(data, test=data.test[:images])
    for number, line in enumerate(lines):
        config = compose(["epochs=2", "batch_size=32", "device=cpu", *line.split()])
        run = RunDirectory(folder / str(number))
        run.path.mkdir()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(figures, "save", lambda figure, path: None)  # a run's own figures
            experiment.run_experiment(config, data, run, warn=print)
    return gather([folder])


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    return study(
        tmp_path_factory.mktemp("runs"),
        "model=conv latent=2",
        "model=fc latent=2",
        "model=fc latent=2 seed=1",
        "model=fc latent=4",
    )


def with_latents(comparison: Comparison, family: str, latents: range) -> Comparison:
    """As if a family had been trained with each of the sizes, the larger the better."""
    template = comparison.families[family][0]
    settings = []
    for latent in latents:
        config = replace(template.first.config, latent=latent)
        result = replace(template.first, config=config, mse=1 / latent, val_mse=1 / latent)
        settings.append(replace(template, results=[result]))
    return replace(comparison, settings=settings)


def with_families(comparison: Comparison, names: list[str]) -> Comparison:
    """As if there were as many kinds of networks, each better than the one before."""
    template = comparison.settings[0]
    settings = [
        replace(
            template,
            family=name,
            results=[replace(template.first, mse=1 / number, val_mse=1 / number)],
        )
        for number, name in enumerate(names, start=1)
    ]
    return replace(comparison, settings=settings)


def named(comparison: Comparison, name: str) -> Picture:
    (picture,) = [each for each in pictures(comparison) if each.name == name]
    return picture


def labels(axes: Axes) -> list[str]:
    """Of the rows, each in one line."""
    return [label.get_text().replace("\n", " ") for label in axes.get_yticklabels()]


def captions(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def image_at(axes: Axes, row: int, column: int, space: int = 0) -> NDArray[np.float32]:
    """The brightness of one image of a grid that begins `space` pixels below the top."""
    top, left = space + row * STEP + 1, column * STEP + 1
    return pixels_of(axes)[top : top + SIDE, left : left + SIDE, 0]


def stored(setting: RunGroup, key: str, number: int) -> NDArray[np.float32]:
    image: NDArray[np.float32] = setting.first.run.load_images()[key][number, 0].numpy()
    return image


def test_every_figure_of_a_comparison_exists(comparison: Comparison) -> None:
    found = pictures(comparison)
    assert [picture.name for picture in found] == [
        "mse-by-latent",
        "reconstructions",
        "loss",
        "checkerboard",
        "pattern",
        "epochs",
        "extremes",
    ]
    for picture in found:
        figure = picture.draw()
        assert picture.title and picture.caption.endswith(".")
        assert (
            figure.get_suptitle().replace("\n", " ").endswith("on noise (1x12x12, 8 test images)")
        )
        assert_all_is_readable(figure)


@pytest.mark.parametrize(("dark", "ground"), [(False, "#ffffff"), (True, "#16181d")])
def test_pictures_are_drawn_in_the_current_theme(
    comparison: Comparison, dark: bool, ground: str
) -> None:
    found = pictures(comparison)
    with theme(dark):
        for picture in found:
            assert to_rgb(picture.draw().get_facecolor()) == to_rgb(ground)


def test_images_are_read_when_a_picture_is_drawn_and_not_before(
    comparison: Comparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []
    load = RunDirectory.load_images

    def watched(run: RunDirectory) -> object:
        read.append(run.path)
        return load(run)

    monkeypatch.setattr(RunDirectory, "load_images", watched)
    found = {picture.name: picture for picture in pictures(comparison)}
    assert read == []
    found["epochs"].draw()
    assert read == [setting.first.run.path for setting in comparison.settings]


def test_every_run_has_its_losses(comparison: Comparison) -> None:
    figure = named(comparison, "loss").draw()
    losses, errors = figure.axes
    drawn = [np.asarray(line.get_ydata()) for line in losses.lines]
    for number, setting in enumerate(comparison.settings):
        seeds = [result.records for result in setting.results]
        train, loss, mse = (
            np.mean([[getattr(record, key) for record in each] for each in seeds], axis=0)
            for key in ("train_loss", "val_loss", "val_mse")
        )
        assert np.allclose(drawn[2 * number], train)
        assert np.allclose(drawn[2 * number + 1], loss)
        assert np.allclose(np.asarray(errors.lines[number].get_ydata()), mse)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "conv, latent 2",
        "fc, latent 2",
        "fc, latent 4",
    ]


def test_an_epoch_without_validation_has_no_point(comparison: Comparison) -> None:
    result = comparison.settings[0].first
    first, last = result.records
    unvalidated = replace(result, records=[replace(first, val_loss=None, val_mse=None), last])
    setting = replace(comparison.settings[0], results=[unvalidated])
    losses, errors = named(replace(comparison, settings=[setting]), "loss").draw().axes
    assert np.asarray(losses.lines[0].get_xdata()).tolist() == [1, 2]
    assert np.asarray(losses.lines[1].get_xdata()).tolist() == [2]
    assert np.asarray(errors.lines[0].get_xdata()).tolist() == [2]


def test_losses_in_different_units_are_said_to_be(comparison: Comparison, tmp_path: Path) -> None:
    assert "different units" not in named(comparison, "loss").caption
    scaled = study(tmp_path, "model=fc latent=2", "model=fc latent=2 data.mean=0.5 data.std=0.5")
    assert "different units" in named(scaled, "loss").caption


def test_errors_are_those_of_the_table(comparison: Comparison) -> None:
    picture = named(comparison, "mse-by-latent")
    axes = picture.draw().axes[0]
    drawn = {line.get_label(): np.asarray(line.get_xydata()).tolist() for line in axes.lines}
    conv, small, large = comparison.settings
    assert drawn["conv"] == [[2, conv.first.mse]]
    assert drawn["fc"] == [
        [2, sum(result.mse for result in small.results) / 2],
        [4, large.first.mse],
    ]
    # Where a network has that size, as it was measured beside it: the same, rounded otherwise.
    curve = [[size, mse] for size, mse in conv.first.pca_curve.items()]
    assert np.asarray(drawn["PCA"]) == pytest.approx(np.asarray(curve), rel=1e-6)
    assert np.asarray(axes.lines[-1].get_ydata()) == pytest.approx(conv.first.mean_image_mse)
    assert "standard deviation" in picture.caption  # of the two seeds
    assert "measured as for" not in picture.caption


def test_the_baseline_of_mixed_inputs_is_that_of_the_first(tmp_path: Path) -> None:
    mixed = study(
        tmp_path,
        "model=fc latent=3",
        "model=fc latent=3 corruption=gaussian corruption.noise_std=0.5",
    )
    first, second = mixed.settings
    assert first.pca_mse != second.pca_mse
    picture = named(mixed, "mse-by-latent")
    assert f"measured as for {first.family}" in picture.caption
    axes = picture.draw().axes[0]
    drawn = {line.get_label(): line for line in axes.lines}
    pca = dict(np.asarray(drawn["PCA"].get_xydata()).tolist())
    assert pca == {**first.first.pca_curve, 3: first.pca_mse}
    assert drawn["mean image"].get_ydata() == [first.first.mean_image_mse] * 2


def test_reconstructions_are_in_rows_with_those_of_pca_and_their_errors(
    comparison: Comparison,
) -> None:
    outputs, errors = named(comparison, "reconstructions").draw().axes
    assert labels(outputs) == [
        "original", "conv, latent 2", "fc, latent 2", "PCA, latent 2", "fc, latent 4",
        "PCA, latent 4",
    ]  # fmt: skip
    conv, small, large = comparison.settings
    rows = [(conv, "original"), (conv, "output"), (small, "output"), (conv, "pca"),
            (large, "output"), (large, "pca")]  # fmt: skip
    for setting, key in rows:
        for column in (0, 7):
            assert shows(outputs, stored(setting, key, column), column)
    mse = [((stored(conv, "output", n) - stored(conv, "original", n)) ** 2).mean() for n in (0, 7)]
    assert [captions(outputs)[0], captions(outputs)[7]] == [f"{each:.3f}" for each in mse]
    assert captions(errors) == ["0", "0.25", "0.5", "0.75", "1"]


def test_errors_are_lighter_where_they_are_larger_on_the_scale_above_them(
    comparison: Comparison,
) -> None:
    _, axes = named(comparison, "reconstructions").draw().axes
    pixels = pixels_of(axes)
    (setting, *_) = comparison.settings
    error = abs(stored(setting, "output", 0) - stored(setting, "original", 0))
    colours = matplotlib.colormaps["magma"](error)[..., :3]
    height = len(pixels) - SIDE + 1
    assert any(
        np.allclose(pixels[top : top + SIDE, 1 : SIDE + 1], colours, atol=1e-5)
        for top in range(height)
    )


def test_the_inputs_of_a_denoising_network_are_shown(tmp_path: Path) -> None:
    noisy = study(tmp_path, "model=fc latent=3 corruption=gaussian", "model=fc latent=3")
    picture = named(noisy, "reconstructions")
    outputs, _ = picture.draw().axes
    clean, corrupted = noisy.settings
    assert labels(outputs) == [
        "original", clean.label, "PCA, latent 3", "corrupted", corrupted.label, "PCA, latent 3",
    ] or labels(outputs) == [
        "original", "corrupted", clean.label, "PCA, latent 3", corrupted.label, "PCA, latent 3",
    ]  # fmt: skip
    assert "PCA is repeated where networks have other inputs" in picture.caption
    fed = next(each for each in noisy.settings if "corrupted" in each.first.run.load_images())
    assert shows(outputs, stored(fed, "corrupted", 0))


def test_eight_of_many_sizes_are_shown_including_both_ends(
    comparison: Comparison,
) -> None:
    picture = named(with_latents(comparison, "fc", range(1, 16)), "reconstructions")
    shown = labels(picture.draw().axes[0])[1::2]
    assert shown == [f"fc, latent {latent}" for latent in (1, 3, 5, 7, 9, 11, 13, 15)]
    assert "8 of 15 latent sizes" in picture.caption


def test_of_many_families_the_best_by_validation_are_shown(comparison: Comparison) -> None:
    many = with_families(comparison, [f"conv, lr={number}" for number in range(14)])
    picture = named(many, "reconstructions")
    assert "12 of 14 settings, those with the lowest validation mse" in picture.caption
    shown = labels(picture.draw().axes[0])
    assert shown[1:-1] == [f"conv, lr={number}, latent 2" for number in range(2, 14)]
    for name in ("checkerboard", "pattern"):
        assert "8 of 14 families" in named(many, name).caption
    rows = labels(named(many, "pattern").draw().axes[0])
    assert rows == ["test images", *(f"conv, lr={number}" for number in range(6, 14))]


def test_few_test_images_are_enough(tmp_path: Path) -> None:
    for picture in pictures(study(tmp_path, "model=fc latent=2", images=2)):
        figure = picture.draw()
        assert_all_is_readable(figure)
        if picture.name in ("epochs", "extremes"):
            assert len(figure.axes) == 2


def shows(axes: Axes, image: NDArray[np.float32], number: int = 0) -> bool:
    """Whether a column of a grid has `image` somewhere."""
    height, width = image.shape
    left = number * STEP + 1
    column = pixels_of(axes)[:, left : left + width, 0]
    tops = range(len(column) - height + 1)
    return any(np.allclose(column[top : top + height], image, atol=1e-6) for top in tops)


def test_the_pattern_is_what_all_outputs_have_in_common(comparison: Comparison) -> None:
    (axes,) = named(comparison, "pattern").draw().axes
    assert labels(axes) == ["test images", "conv"]  # fc does not enlarge
    (setting,) = comparison.families["conv"]
    images, result = setting.first.run.load_images(), setting.first
    originals, outputs = (
        np.pad(high_pass(images[key], period=2)[0, 0].numpy(), 1)  # the border has none
        for key in ("mean/original", "mean/output")
    )
    largest = max(abs(originals).max(), abs(outputs).max())
    assert shows(axes, originals / (2 * largest) + 0.5)
    assert shows(axes, outputs / (2 * largest) + 0.5)
    assert not shows(axes, -outputs / (2 * largest) + 0.5)
    assert result.checkerboard_of_originals is not None and result.checkerboard is not None
    assert captions(axes) == [
        format_ppm(result.checkerboard_of_originals), f"2: {format_ppm(result.checkerboard)}"
    ]  # fmt: skip


def test_the_chart_of_scores_has_a_dot_for_each_setting_that_has_one(
    comparison: Comparison,
) -> None:
    many = with_latents(comparison, "conv", range(2, 5))
    scores = {2: 3e-5, 3: 0.0, 4: 2e-6}  # 0 is not on a logarithmic scale
    settings = [
        replace(each, results=[replace(each.first, checkerboard=scores[each.latent])])
        for each in many.settings
    ]
    (axes,) = named(replace(many, settings=settings), "checkerboard").draw().axes
    data = [np.asarray(line.get_xdata()) for line in axes.lines]
    assert [float(x[0]) for x in data if len(x) == 1] == pytest.approx([30, 2])
    assert labels(axes) == ["conv"]
    bottom, top = axes.get_ylim()
    assert bottom > top  # so that the first row is the highest
    low, high = axes.get_xlim()
    originals = (settings[0].first.checkerboard_of_originals or 0) * 1e6
    assert low < originals < high and low < 2 and 30 < high


def test_patterns_of_different_strides_stand_in_one_figure(tmp_path: Path) -> None:
    lines = [f"model=conv latent=2 model.layers.0.stride={stride}" for stride in (2, 3)]
    comparison = study(tmp_path, *lines)
    assert [checkerboard_period(each.first.config.model) for each in comparison.settings] == [2, 3]
    figure = named(comparison, "pattern").draw()
    assert len(labels(figure.axes[0])) == 3
    assert_all_is_readable(figure)


def test_without_decoders_that_enlarge_there_is_no_checkerboard(tmp_path: Path) -> None:
    names = [picture.name for picture in pictures(study(tmp_path, "model=fc latent=2"))]
    assert not {"checkerboard", "pattern"} & set(names)


def test_epochs_rise_to_the_original(comparison: Comparison) -> None:
    figure = named(comparison, "epochs").draw()
    assert len(figure.axes) == 3
    assert labels(figure.axes[0]) == ["conv, latent 2", "fc, latent 2", "fc, latent 4"]
    for number, axes in enumerate(figure.axes):
        assert captions(axes) == ["1", "2", "orig."]  # once, for all rows have the same epochs
        space = len(pixels_of(axes)) - 3 * STEP
        for row, setting in enumerate(comparison.settings):
            for column, key in enumerate(("epoch/1", "epoch/2", "original")):
                shown = image_at(axes, row, column, space)
                assert np.allclose(shown, stored(setting, key, number))


def test_rows_with_other_epochs_say_which(tmp_path: Path) -> None:
    mixed = study(tmp_path, "model=fc latent=2 epochs=1", "model=fc latent=2 epochs=3")
    axes = named(mixed, "epochs").draw().axes[0]
    assert captions(axes) == ["1", "orig.", "1", "2", "3", "orig."]


def test_the_best_and_the_worst_images_have_their_errors_above(comparison: Comparison) -> None:
    figure = named(comparison, "extremes").draw()
    best, worst = figure.axes
    titles = [axes.get_title("left") for axes in figure.axes]
    assert titles == ["best reconstructed", "worst reconstructed"]
    assert labels(best) == [
        "conv, latent 2", "reconstruction", "fc, latent 2", "reconstruction", "fc, latent 4",
        "reconstruction",
    ]  # fmt: skip
    space = (len(pixels_of(best)) - 6 * STEP) // 3
    for axes, key in ((best, "best"), (worst, "worst")):
        errors = [
            ((stored(setting, f"{key}/output", n) - stored(setting, f"{key}/original", n)) ** 2)
            for setting in comparison.settings
            for n in range(5)
        ]
        assert [float(each) for each in captions(axes)] == pytest.approx(
            [error.mean() for error in errors], rel=0.05
        )
        conv, fc, _ = comparison.settings
        assert np.allclose(image_at(axes, 0, 4, space), stored(conv, f"{key}/original", 4))
        assert np.allclose(image_at(axes, 3, 4, 2 * space), stored(fc, f"{key}/output", 4))


@pytest.mark.parametrize(("name", "panels", "rows"), [("epochs", 3, 12), ("extremes", 2, 24)])
def test_the_twelve_best_of_many_settings_are_shown(
    comparison: Comparison, name: str, panels: int, rows: int
) -> None:
    picture = named(with_latents(comparison, "fc", range(1, 15)), name)
    figure = picture.draw()
    assert len(figure.axes) == panels
    shown = labels(figure.axes[0])
    assert len(shown) == rows
    assert shown[0] == "fc, latent 3"
    assert "12 of 14 settings" in picture.caption
    assert_all_is_readable(figure)
