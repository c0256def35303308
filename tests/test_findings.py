"""The sentences of a comparison, each for a constellation in which it is true."""

from pathlib import Path

import pytest

from aecli.comparison.findings import findings
from aecli.comparison.results import Comparison, RunGroup, SkippedRun
from aecli.text import listed
from tests.test_comparison_table import some_setting

ONE_SEED = (
    "Each setting was trained with one seed only: differences of a few per cent may be chance."
)


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
        "fc: latent 10 is the smallest size within 5% of the best test mse (0.01000, at 20)."
    )


@pytest.mark.parametrize(("mse", "is_within"), [(0.021, True), (0.0210001, False)])
def test_just_five_per_cent_worse_is_within(mse: float, is_within: bool) -> None:
    assert ("latent 5 is the smallest" in said(*sizes(mse, 0.02))[0]) == is_within


def test_the_best_size_may_be_the_smallest_that_is_good() -> None:
    assert said(*sizes(0.03, 0.01))[0] == (
        "fc: latent 10 has the best test mse (0.01000), and no smaller size is within 5% of it."
    )
    assert said(*sizes(0.01, 0.03))[0] == (
        "fc: latent 5 has the best test mse (0.01000), and no larger size does better."
    )


def test_the_order_of_the_settings_does_not_matter() -> None:
    settings = sizes(0.08, 0.0104, 0.01, 0.03)
    assert said(*reversed(settings)) == said(*settings)


def test_one_size_is_not_compared_with_others() -> None:
    assert said(*sizes(0.01)) == ["fc beats PCA of the same size at latent 5."]


def test_the_best_of_several_families_comes_first() -> None:
    conv = some_setting(0.009, 0.009, model="conv", family="conv, nearest", latent=3)
    assert said(*sizes(0.02, 0.01), conv)[0] == (
        "conv, nearest, latent 3 has the best test mse of all (0.009000)."
    )


def test_where_the_network_beats_pca_and_where_it_loses() -> None:
    assert said(*sizes(0.03, 0.01, 0.02, 0.0199))[1] == (
        "fc beats PCA of the same size at latent 10 and 20, and loses to it at 5, "
        "and ties with it at 15."
    )
    assert said(*sizes(0.03, 0.04, 0.05))[1] == (
        "fc loses to PCA of the same size at latent 5, 10 and 15."
    )


def test_where_the_code_is_as_large_as_the_image_pca_is_exact() -> None:
    exact = some_setting(0.004, 0.004, latent=784, pca_mse=1e-12)
    assert said(*sizes(0.01), exact)[1:] == [
        "fc beats PCA of the same size at latent 5, and loses to it at 784.",
        "At latent 784 PCA reproduces every image exactly, "
        "because the code is as large as the image.",
    ]
    inexact = some_setting(0.004, 0.004, latent=784, pca_mse=1e-9)
    small = some_setting(0.004, 0.004, latent=700, pca_mse=1e-12)
    tie = some_setting(0.0, 0.0, latent=784, pca_mse=0.0)
    for other in (inexact, small, tie):
        assert not any("exactly" in each for each in said(other))


def test_the_way_of_enlarging_that_leaves_the_least_and_the_most_is_named() -> None:
    scores = {"transposed": 5e-5, "nearest": 4e-6, "bilinear": 1e-6}
    settings = [
        some_setting(0.1, 0.1, family=f"conv, {name}", upsample=name, checkerboard=score)
        for name, score in scores.items()
    ]
    fc = some_setting(0.1, 0.1, checkerboard=0.1)  # does not enlarge
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


def test_unpooling_is_told_to_go_past_the_code() -> None:
    unpooling = some_setting(0.1, 0.1, family="conv, max_unpool", upsample="max_unpool")
    assert said(unpooling)[-1].startswith(
        "conv, max_unpool: the max-pooling indices bypass the code"
    )
    assert said(unpooling, some_setting(0.2, 0.2))[0] == (
        "fc, latent 25 has the best test mse of all that decode from the code alone (0.2000)."
    )
    larger = some_setting(
        0.05, 0.05, family="deep, max_unpool", upsample="max_unpool", checkerboard=None
    )
    assert (
        "deep, max_unpool, latent 25 has the best test mse of all (" in said(unpooling, larger)[0]
    )


def test_a_single_seed_is_a_reason_to_be_careful() -> None:
    assert said(some_setting(0.01), some_setting(0.02, latent=5))[-1] == ONE_SEED
    assert ONE_SEED not in said(some_setting(0.01), some_setting(0.02, 0.03, latent=5))


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


def test_of_many_families_the_best_is_told_and_how_many_beat_pca() -> None:
    many = [
        some_setting(mse, mse, family=f"fc, lr={number}", latent=5, pca_mse=0.02)
        for number, mse in enumerate((0.03, 0.01, 0.04, 0.015, 0.05, 0.06, 0.02))
    ]
    assert said(*many) == [
        "fc, lr=1, latent 5 has the best test mse of all (0.01000).",
        "fc, lr=1 beats PCA of the same size at latent 5.",
        "2 of 7 settings beat PCA of the same size: see the table.",
    ]
    assert len(said(*many[:6])) == 7  # six families have a sentence each
