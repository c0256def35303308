"""`aecli sample` of several runs: distances side by side, and what may be said of them."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from aecli.analysis.sample_runs import (
    HALFWAY,
    MSE,
    SAMPLES,
    SampledGroup,
    SampledRuns,
    findings,
    short_names,
)
from aecli.cli import main as cli
from tests.conftest import TINY, train_once

pytestmark = pytest.mark.undrawn

Aecli = Callable[..., int]
NO_IMAGES = torch.zeros(1, 1, 2, 2)


@pytest.fixture(scope="module")
def trained(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished sweep of two runs, not to be written to."""
    folder = tmp_path_factory.mktemp("sweep")
    line = ["train", "-m", *TINY, f"data_dir={data_dir}", "model=fc", "latent=3", "compare=false"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert cli.run([*line, "regularizer=none,vae", "hydra.sweep.dir=mine"]) == 0
    return folder / "mine"


@pytest.fixture
def sweep(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "mine"))


def test_a_sweep_is_sampled_with_the_same_draws_as_its_runs(
    sweep: Path, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    assert aecli("sample", str(sweep), "device=cpu", "seed=4") == 0
    captured = capsys.readouterr()
    assert "No claims are made" in captured.out and captured.err == ""
    numbers = json.loads((sweep / "sample/numbers.json").read_text())
    settings = {each["family"]: each for each in numbers["settings"]}
    assert list(settings) == ["plain", "vae", "vae, prior"]
    assert set(settings["plain"]) == {"family", "latent", MSE, SAMPLES, HALFWAY}
    assert set(settings["vae, prior"]) == {"family", "latent", SAMPLES}
    for name in ("distances", "samples", "halfway"):
        assert (sweep / f"sample/{name}.png").exists()
    plain, vae = sorted(path.parent for path in sweep.glob("*/summary.json"))
    for run, density, family in (
        (plain, "full", "plain"), (vae, "full", "vae"), (vae, "prior", "vae, prior"),
    ):  # fmt: skip
        assert aecli("sample", str(run), "device=cpu", f"density={density}", "seed=4") == 0
        alone = json.loads((run / "sample/numbers.json").read_text())
        (distance,) = settings[family][SAMPLES].values()
        assert distance == pytest.approx(alone["frechet_samples"], rel=1e-4)
        assert numbers["frechet_training"] == pytest.approx(alone["frechet_training"], rel=1e-4)
    (mse,) = settings["vae"][MSE].values()
    assert mse == json.loads((vae / "summary.json").read_text())["test"]["mse"]


def test_results_of_several_runs_go_to_the_first(sweep: Path, aecli: Aecli) -> None:
    plain, vae = sorted(path.parent for path in sweep.glob("*/summary.json"))
    assert aecli("sample", str(plain), str(vae), "device=cpu", "density=diagonal") == 0
    numbers = json.loads((plain / "sample/numbers.json").read_text())
    assert numbers["density"] == "diagonal" and len(numbers["settings"]) == 3
    assert not (sweep / "sample").exists() and not (vae / "sample").exists()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("n=8", "n= is for a single run: leave it out, or give one run"),
        ("images=photos", "images= is for a single run: leave it out, or give one run"),
        ("density=gmm components=0", "components=0 is not valid: give 1 to 100"),
        ("density=prior", "density=prior is for variational autoencoders"),
    ],
)
def test_options_for_a_single_run_are_refused_for_several(
    line: str, message: str, sweep: Path, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    assert aecli("sample", str(sweep), *line.split()) == 2
    errors = capsys.readouterr().err
    assert message in errors and errors.count("\n") == 1
    assert not (sweep / "sample").exists()


def test_names_keep_the_words_that_distinguish_families() -> None:
    families = ["fc, gaussian, no regularizer", "fc, no corruption, no regularizer",
                "fc, no corruption, vae"]  # fmt: skip
    assert list(short_names(families).values()) == ["gaussian", "plain", "vae"]
    assert short_names(["fc"]) == {"fc": "fc"}
    assert list(short_names(["conv", "fc"]).values()) == ["conv", "fc"]
    alike = ["fc, no noise", "fc, no penalty"]  # both would be plain
    assert list(short_names(alike).values()) == alike


def setting(family: str, latent: int, *distances: float) -> SampledGroup:
    return SampledGroup(family, latent, {SAMPLES: dict(enumerate(distances))}, NO_IMAGES)


def sampled(*settings: SampledGroup) -> SampledRuns:
    everywhere = [
        SampledGroup(each.family, each.latent, {**each.values, MSE: {0: 1.0}, HALFWAY: {0: 1.0}},
                NO_IMAGES)
        for each in settings
    ]  # fmt: skip
    return SampledRuns("full", NO_IMAGES, 0.1, everywhere)


def test_a_difference_is_claimed_where_it_is_the_same_for_every_seed() -> None:
    found = findings(
        sampled(
            setting("plain", 2, 5, 6, 7), setting("plain", 8, 5, 6, 7),
            setting("plain", 16, 1, 2, 3), setting("vae", 2, 4, 5.01, 6),
            setting("vae", 8, 9, 6, 1), setting("vae", 16, 3, 4.1, 5),
        )
    )  # fmt: skip
    assert found == [
        "Fréchet distance of samples, compared with plain: vae is lower at latent 2, is higher at "
        "latent 16 and is not significantly different at latent 8.",
        "Differences are paired by seed and hold with 95% confidence, over n = 3 seeds.",
    ]


def test_no_claim_is_made_with_a_single_seed() -> None:
    (sentence,) = findings(sampled(setting("plain", 2, 5), setting("vae", 2, 1)))
    assert sentence.startswith("No claims are made")


def test_a_single_family_has_no_findings() -> None:
    assert findings(sampled(setting("plain", 2, 5, 6, 7), setting("plain", 8, 1, 2, 3))) == []


def test_several_runs_get_the_warnings_of_one(
    sweep: Path, aecli: Aecli, data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unpooling = train_once(tmp_path / "unpooling", data_dir, "upsample=max_unpool", "latent=3")
    plain, _ = sorted(path.parent for path in sweep.glob("*/summary.json"))
    assert aecli("sample", str(plain), str(unpooling), "device=cpu", "components=3") == 0
    errors = capsys.readouterr().err
    assert "components=3 is ignored: it is for density=gmm" in errors
    assert errors.count("the decoder unpools") == 1
