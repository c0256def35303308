"""`aecli evaluate`: scores by class that add up, and PCA's."""

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from aecli.analysis.evaluate import check_likelihood, scores_by_class
from aecli.cli.compose import compose
from aecli.data import Split
from aecli.errors import UsageError
from aecli.evaluation.metrics import PerImageScores
from aecli.runs.directory import RunDirectory
from aecli.runs.trained import Trained, open_run

Aecli = Callable[..., int]


def measured(*mses: float) -> PerImageScores:
    return PerImageScores(torch.tensor(mses), None, pixels_per_image=10, checkerboard=0.5)


def test_each_class_has_the_mean_over_its_own_images() -> None:
    split = Split(torch.zeros(4, 1, 2, 5, dtype=torch.uint8), torch.tensor([7, 3, 7, 3]))
    scores = scores_by_class(measured(0.1, 0.2, 0.3, 0.6), split)
    assert list(scores) == ["3", "7"]
    assert [score.mse for score in scores.values()] == pytest.approx([0.4, 0.2])
    assert scores["7"].sse == pytest.approx(2.0)
    assert scores["7"].psnr == pytest.approx(6.9897, abs=1e-4)  # 10 log10(1 / 0.2)
    assert scores["3"].checkerboard is None


def test_images_without_classes_have_no_score_by_class() -> None:
    split = Split(torch.zeros(2, 1, 2, 5, dtype=torch.uint8), torch.zeros(2, dtype=torch.int64))
    assert scores_by_class(measured(0.1, 0.2), split) == {}


def test_the_scores_are_those_of_the_summary_and_add_up(
    run: RunDirectory, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    assert aecli("evaluate", str(run.path), "device=cpu") == 0
    summary = run.load_summary()
    numbers = json.loads((run.path / "evaluate/numbers.json").read_text())
    for name in ("mse", "sse", "psnr", "ssim", "checkerboard"):
        assert numbers[name] == pytest.approx(summary["test"][name], rel=1e-6)
    assert numbers["mse_pca"] == pytest.approx(summary["baselines"]["pca"]["mse"], rel=1e-6)
    rows = numbers["by_class"]["model"]
    assert list(rows) == [*map(str, range(10))]
    assert numbers["all"]["model"] == {name: numbers[name] for name in numbers["all"]["model"]}
    assert numbers["all"]["pca"]["mse"] == numbers["mse_pca"]
    counts = open_run(run.path, device="cpu").data().test.labels.bincount().tolist()
    total = sum(rows[str(label)]["mse"] * count for label, count in enumerate(counts))
    assert total / sum(counts) == pytest.approx(numbers["mse"], 1e-6)
    output = capsys.readouterr().out
    assert f"{numbers['mse']:.6f}" in output and f"{rows['3']['mse']:.6f}" in output
    assert f"{numbers['mse'] / numbers['mse_pca']:.3f}" in output
    assert output.endswith(f"results  {run.path / 'evaluate'}\n")
    for name in ("mse-by-class", "extremes"):
        for suffix in ("png", "svg"):
            assert (run.path / "evaluate" / f"{name}.{suffix}").stat().st_size > 1000


@pytest.mark.undrawn("evaluate", "compare")
def test_a_run_may_be_evaluated_again_and_is_still_compared(
    run: RunDirectory, aecli: Aecli
) -> None:
    for _ in range(2):
        assert aecli("evaluate", str(run.path)) == 0
    assert aecli("compare", str(run.path), "output=comparison") == 0


VAE = ["model=fc", "latent=2", "regularizer=vae", "loss=bce"]


@pytest.fixture
def vae(train_for_all: Callable[..., Path], tmp_path: Path) -> RunDirectory:
    return RunDirectory(Path(shutil.copytree(train_for_all("vae", *VAE), tmp_path / "vae")))


def test_the_likelihood_of_a_variational_autoencoder_is_that_of_its_decoder(
    vae: RunDirectory, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    assert aecli("evaluate", str(vae.path), "likelihood=400") == 0
    numbers = json.loads((vae.path / "evaluate/numbers.json").read_text())
    found = numbers["negative_log_likelihood"]
    trained = open_run(vae.path, device="cpu")
    seed = torch.Generator().manual_seed(0)
    images = torch.bernoulli(trained.images.images / 255, generator=seed)
    # The prior itself as the proposal, which two numbers in the code still allow.
    codes = torch.randn(5000, 2, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        p = trained.model.decode(codes).flatten(1).double()  # (K, P)
    rows = images.flatten(1).double()
    logs = rows @ p.log().T + (1 - rows) @ (-p).log1p().T
    exact = (math.log(len(codes)) - logs.logsumexp(1)).mean().item()
    assert found == pytest.approx(exact, abs=0.5)
    assert numbers["likelihood_samples"] == 400
    assert 0 < numbers["negative_log_likelihood_standard_error"] < 10
    out = " ".join(capsys.readouterr().out.split())
    assert f"-log p = {found:.2f} ± " in out and "over 100 binarised images with 400 codes" in out
    tags = EventAccumulator(str(vae.path)).Reload().Tags()["scalars"]
    assert "results/evaluate/negative_log_likelihood" in tags


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("likelihood=5000", "needs a run with regularizer=vae loss=bce, and this one has "
         "regularizer=none loss=mse: leave likelihood out, or give another run"),
        ("likelihood=0", "likelihood=0 is not valid: give 1 or more, as in 5000"),
    ],
)  # fmt: skip
def test_a_likelihood_that_cannot_be_estimated_is_refused_before_anything_is_written(
    line: str, message: str, run: RunDirectory, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    assert aecli("evaluate", str(run.path), line) == 2
    errors = capsys.readouterr().err
    assert message in errors and errors.count("\n") == 1
    assert not (run.path / "evaluate").exists()


def test_a_decoder_that_gets_more_than_the_code_has_no_likelihood() -> None:
    def opened(upsample: str) -> Trained:
        config = compose(["model=conv", "regularizer=vae", "loss=bce", f"upsample={upsample}"])
        return cast(Trained, SimpleNamespace(config=config, run=SimpleNamespace(path="RUN")))

    check_likelihood(opened("transposed"), 50)
    with pytest.raises(UsageError, match="that of RUN also gets the positions of the maxima"):
        check_likelihood(opened("max_unpool"), 50)
