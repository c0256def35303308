"""The sentences of a comparison, each for a constellation in which it is true."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from aecli.comparison.findings import findings
from aecli.comparison.results import Comparison, RunGroup, SkippedRun
from aecli.config import Activation, CorruptionKind
from aecli.errors.text import listed
from aecli.runs.directory import RunDirectory
from tests.test_comparison_table import some_setting

TWO_SEEDS = "Differences are paired by seed and hold with 95% confidence, over n = 2 seeds."


def said(*settings: RunGroup, skipped: tuple[str, ...] = ()) -> list[str]:
    """The findings on some settings, and on runs that were left out for the statuses given."""
    lost = [SkippedRun(Path("run"), status, "a reason") for status in skipped]
    return findings(Comparison(settings[0].first.data, list(settings), lost, {}))


def sizes(*mses: float) -> list[RunGroup]:
    """A family at latent 5, 10, 15 and so on, of two seeds, where PCA's mse is 0.02."""
    return [
        some_setting(mse, mse, latent=5 * number, pca_mse=0.02)
        for number, mse in enumerate(mses, start=1)
    ]


def test_the_smallest_size_that_is_nearly_as_good_as_the_best() -> None:
    assert said(*sizes(0.08, 0.0104, 0.0102, 0.01))[0] == (
        "fc: latent 10 is the smallest size whose validation mse is within 5% of the "
        "lowest, at 20; their test mse is 0.01040 and 0.01000."
    )


@pytest.mark.parametrize(("mse", "is_within"), [(0.021, True), (0.0210001, False)])
def test_just_five_per_cent_worse_is_within(mse: float, is_within: bool) -> None:
    assert ("latent 5 is the smallest" in said(*sizes(mse, 0.02))[0]) == is_within


def test_the_best_size_may_be_the_smallest_that_is_good() -> None:
    assert said(*sizes(0.03, 0.01))[0] == (
        "fc: latent 10 has the lowest validation mse, and no smaller size is within 5% of it; "
        "its test mse is 0.01000."
    )
    assert said(*sizes(0.01, 0.03))[0] == (
        "fc: latent 5 has the lowest validation mse, and no larger size does better; "
        "its test mse is 0.01000."
    )


def test_the_order_of_the_settings_does_not_matter() -> None:
    settings = sizes(0.08, 0.0104, 0.01, 0.03)
    assert said(*reversed(settings)) == said(*settings)


def test_one_size_is_not_compared_with_others() -> None:
    assert said(*sizes(0.01)) == [
        "fc beats PCA of the same size at latent 5.", TWO_SEEDS
    ]  # fmt: skip


def test_the_best_of_several_families_comes_first() -> None:
    conv = some_setting(0.009, 0.009, model="conv", family="conv, nearest", latent=3)
    assert said(*sizes(0.02, 0.01), conv)[0] == (
        "conv, nearest, latent 3 has the lowest validation mse of all; "
        "its test mse is 0.009000, lower than that of every other."
    )


def test_where_the_network_beats_pca_and_where_it_loses() -> None:
    assert said(*sizes(0.03, 0.01, 0.02, 0.0199))[1] == (
        "fc beats PCA of the same size at latent 10 and 20, and loses to it at 5, "
        "and is not significantly different from it at 15."
    )
    assert said(*sizes(0.03, 0.04, 0.05))[1] == (
        "fc loses to PCA of the same size at latent 5, 10 and 15."
    )


def test_where_the_code_is_as_large_as_the_image_pca_is_exact() -> None:
    exact = some_setting(0.004, 0.004, latent=784, pca_mse=1e-12)
    assert said(*sizes(0.01), exact)[1:] == [
        "fc beats PCA of the same size at latent 5, and loses to it at 784.",
        TWO_SEEDS,
        "At latent 784 PCA reproduces every image exactly, "
        "because the code is as large as the image.",
    ]
    inexact = some_setting(0.004, 0.004, latent=784, pca_mse=1e-9)
    small = some_setting(0.004, 0.004, latent=700, pca_mse=1e-12)
    tie = some_setting(0.0, 0.0, latent=784, pca_mse=0.0)
    for other in (inexact, small, tie):
        assert not any("exactly" in each for each in said(other))


def test_the_upsampling_that_leaves_the_least_and_the_most_is_named() -> None:
    scores = {"transposed": 5e-5, "nearest": 4e-6, "bilinear": 1e-6}
    settings = [
        some_setting(0.1, 0.1, family=f"conv, {name}", upsample=name, checkerboard=score)
        for name, score in scores.items()
    ]
    fc = some_setting(0.1, 0.1, checkerboard=0.1)  # does not upsample
    sentence = (
        "is lowest for conv, bilinear (1.0 ppm) and highest for conv, transposed (50 ppm); "
        "the test images themselves have 0.30 ppm."
    )
    assert said(*settings, fc)[-1] == f"The checkerboard score {sentence}"
    assert not any("checkerboard" in each for each in said(settings[0], fc))
    larger = some_setting(
        0.1, 0.1, family="conv, bilinear", upsample="bilinear", checkerboard=1e-6, latent=50
    )
    several = f"The checkerboard score, averaged over the latent sizes, {sentence}"
    assert said(*settings, larger)[-1] == several


def test_unpooling_is_said_to_bypass_the_code() -> None:
    unpooling = some_setting(0.1, 0.1, family="conv, max_unpool", upsample="max_unpool")
    caveat = "conv, max_unpool: the max-pooling indices bypass the code"
    (only,) = said(unpooling)  # nothing else is claimed
    assert only.startswith(caveat)
    fc, conv = some_setting(0.2, 0.2), some_setting(0.15, 0.15, model="conv")
    sentences = said(unpooling, fc, conv)
    assert sentences[0] == (
        "conv, latent 25 has the lowest validation mse of all that decode from the code alone; "
        "its test mse is 0.1500, lower than that of every other."
    )
    assert sentences[1:3] == [
        "fc loses to PCA of the same size at latent 25.",
        "conv loses to PCA of the same size at latent 25.",
    ]
    assert sentences[-1].startswith(caveat)


def test_differences_smaller_than_those_of_seeds_are_not_significant() -> None:
    """The t interval of two differences a and b is their mean ± 12.706 |a - b| / 2."""
    certain = some_setting(0.0190, 0.0191, pca_mse=0.02)  # -0.00095 ± 0.000635
    unsure = some_setting(0.0180, 0.0198, latent=5, pca_mse=0.02)  # -0.0011 ± 0.0114
    assert said(unsure, certain)[1:] == [
        "fc beats PCA of the same size at latent 25, and is not significantly different from it "
        "at 5.",
        TWO_SEEDS,
    ]


def test_validation_chooses_and_the_test_images_judge() -> None:
    chosen = some_setting(0.02, 0.02, model="fc", val_mses=[0.01, 0.01])
    lower = some_setting(0.019, 0.019, model="conv", val_mses=[0.011, 0.011])
    unsure = some_setting(0.01, 0.03, model="deep", val_mses=[0.011, 0.011])
    worse = some_setting(0.03, 0.03, model="other", val_mses=[0.012, 0.012])
    sentence = "fc, latent 25 has the lowest validation mse of all; its test mse is 0.02000, which "
    assert said(chosen, lower, unsure, worse)[0] == sentence + (
        "is higher than that of conv, latent 25 (0.01900) and not significantly different from "
        "that of deep, latent 25 (0.02000)."
    )
    assert said(chosen, unsure)[0] == (
        f"{sentence}is not significantly different from that of deep, latent 25 (0.02000)."
    )
    sizes = [
        some_setting(0.02, 0.02, latent=5, val_mses=[0.01, 0.01]),
        some_setting(0.01, 0.01, latent=10, val_mses=[0.02, 0.02]),
    ]
    assert said(*sizes)[0] == (
        "fc: latent 5 has the lowest validation mse, and no larger size does better; "
        "its test mse is 0.02000."
    )


def test_one_seed_is_judged_by_its_test_images(tmp_path: Path) -> None:
    noise = torch.linspace(-1e-4, 1e-4, 500)
    fc = one_seed(tmp_path / "fc", 5, {"model": 0.010 + noise, "pca": 0.011 - noise})
    conv = one_seed(tmp_path / "conv", 25, {"model": 0.010 + noise, "pca": 0.010 - noise})
    assert said(fc, conv)[1:] == [
        "fc beats PCA of the same size at latent 5, and is not significantly different from it "
        "at 25.",
        "With one seed each, the errors of the same test images are compared, with 95% confidence "
        "over the images: another seed may change the result by a few per cent.",
    ]


def test_without_per_image_errors_one_seed_allows_no_claim(tmp_path: Path) -> None:
    settings = [
        some_setting(0.01, path=tmp_path),
        some_setting(0.02, path=tmp_path, latent=5),
        some_setting(0.01, 0.01, path=tmp_path, latent=2),
    ]
    assert said(*settings)[1:] == [
        "fc beats PCA of the same size at latent 2, and is not significantly different from it "
        "at 5 and 25.",
        TWO_SEEDS,
        "2 settings have one seed, trained by an earlier version that kept no error of each "
        "image, so no difference can be shown.",
    ]


def one_seed(folder: Path, latent: int, errors: dict[str, Tensor]) -> RunGroup:
    """A setting with one run, which keeps the mse of each image."""
    run = RunDirectory(folder)
    run.save_image_errors(errors)
    run.save_summary({})
    mse, pca_mse = (errors[name].mean().item() for name in ("model", "pca"))
    return some_setting(mse, path=folder, latent=latent, pca_mse=pca_mse)


def test_a_linear_network_does_not_lose_to_pca() -> None:
    linear = some_setting(0.0202, 0.0202, pca_mse=0.02)
    for result in linear.results:
        result.config.model.code_activation = Activation.identity
        result.config.model.output_activation = Activation.identity
    assert said(linear)[0] == (
        "fc is linear, so on its training images it can do no better than PCA of the same size; "
        "its test mse is at most 1.01 times that of PCA."
    )
    linear.first.config.model.widths = [10]  # with ReLU between the layers
    assert said(linear)[0] == "fc loses to PCA of the same size at latent 25."
    linear.first.config.model.widths = []
    linear.first.config.corruption.name = CorruptionKind.gaussian  # which PCA does not remove
    assert said(linear)[0] == "fc loses to PCA of the same size at latent 25."


def test_what_is_wrong_with_runs_is_said_once_for_each_kind() -> None:
    dead = some_setting(0.01, 0.01, latent=2, live_units=1)
    assert said(dead)[-1] == (
        "2 of 2 runs have units in their code that never vary (fc, latent 2, seed 0; fc, latent 2, "
        "seed 1); try a smaller lr or another seed."
    )
    one = some_setting(0.6, 0.01, latent=2)
    assert said(one)[-1] == (
        "fc, latent 2, seed 0: its test mse (0.6000) is no better than the mean image's; "
        "try another lr, or epochs=50."
    )
    many = [some_setting(0.6, latent=latent) for latent in (2, 3, 4, 5)]
    assert said(*many)[-1] == (
        "4 of 4 runs are no better than the mean image (fc, latent 2; fc, latent 3; fc, latent 4; "
        "1 more); try another lr, or epochs=50."
    )


def test_missing_runs_are_counted() -> None:
    settings = sizes(0.01, 0.02)  # four runs
    assert said(*settings, skipped=("failed", "interrupted"))[-1] == (
        "2 of 6 runs are missing: 1 failed and 1 was interrupted; see below."
    )
    assert said(*settings, skipped=("damaged",))[-1] == (
        "1 of 5 runs is missing: 1 is damaged; see below."
    )
    several = ("failed", "failed", "interrupted", "interrupted", "not started", "not started")
    assert said(*settings, skipped=several)[-1] == (
        "6 of 10 runs are missing: 2 failed, 2 were interrupted and 2 were not started; see below."
    )


def test_synthetic_digits_are_not_mnist() -> None:
    assert "not MNIST" in said(some_setting(0.01, 0.01, data="synthetic"))[-1]
    assert not any("not MNIST" in each for each in said(some_setting(0.01, 0.01)))


def test_lists_are_english() -> None:
    assert [listed([1]), listed([1, 2]), listed("abc")] == ["1", "1 and 2", "a, b and c"]


def test_many_families_are_summarised_by_the_best_and_a_count() -> None:
    many = [
        some_setting(mse, mse, family=f"fc, lr={number}", latent=5, pca_mse=0.02)
        for number, mse in enumerate((0.03, 0.01, 0.04, 0.015, 0.05, 0.06, 0.02))
    ]
    assert said(*many) == [
        "fc, lr=1, latent 5 has the lowest validation mse of all; "
        "its test mse is 0.01000, lower than that of every other.",
        "fc, lr=1 beats PCA of the same size at latent 5.",
        "2 of 7 settings beat PCA of the same size: see the table.",
        TWO_SEEDS,
    ]
    assert len(said(*many[:6])) == 8  # six families have a sentence each
