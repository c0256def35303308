"""How runs are named: every name here was written by hand."""

import re
from pathlib import Path

import pytest
from hydra.types import RunMode
from omegaconf import OmegaConf

from aecli.cli.compose import compose, compose_run, compose_sweep
from aecli.cli.engine import PRIMARY, hydra_engine
from aecli.cli.jobs import _TrialLoader
from aecli.cli.naming import MAX_NAME, Base, default_name, sweep_folder, trial_name
from aecli.cli.overrides import read_arguments, search_path
from aecli.config.schema import NAME_PATTERN
from aecli.files.places import CONF_DIR
from aecli.sweep.report import distinguishing_settings


def names(*line: str) -> list[str]:
    """The folders of the runs of a sweep; each is called as its run is, behind a number."""
    jobs = compose_sweep(read_arguments(line)).jobs
    assert jobs is not None
    for number, job in enumerate(jobs):
        assert job.folder == f"{number}-{job.config.name}"
        assert NAME_PATTERN.fullmatch(job.folder) and len(job.config.name) <= MAX_NAME
    return [job.folder for job in jobs]


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("", "conv-z25"),
        ("data=mnist lr=0.1 seed=0 upsample=transposed corruption=none", "conv-z25"),
        ("model=denoising latent=3 corruption=gaussian", "denoising-z3"),
        ("model=denoising corruption=none", "denoising-z25-no_corruption"),
        ("model=fc corruption=gaussian corruption.noise_std=0.3", "fc-z25-gaussian-noise0.3"),
        ("model=denoising corruption.noise_std=0.3", "denoising-z25-noise0.3"),
        ("corruption=downsample factor=4", "conv-z25-downsample-factor4"),
        ("upsample=nearest seed=3", "conv-z25-nearest-s3"),
        ("upsample.kernel=4", "conv-z25-kernel4"),
        ("model=fc upsample=nearest", "fc-z25"),
        ("data=synthetic", "conv-z25-synthetic"),
        ("data=kmnist seed=1", "conv-z25-kmnist-s1"),
        ("data=folder path=some/photos image_size=16", "conv-z25-photos"),
        ("data=folder path=cats&dogs image_size=16", "conv-z25-folder"),
        ("data=folder path=~nobody/mnist image_size=16", "conv-z25-folder"),
        ("experiment=lecture_fc", "lecture_fc-z5"),
        ("experiment=lecture_denoising corruption.noise_std=0.2", "lecture_denoising-z2-noise0.2"),
        ("experiment=lecture_fc model=conv", "conv-z5-lecture_fc"),
        ("name=mine data=kmnist seed=4 upsample=nearest", "mine"),
    ],
)
def test_a_run_is_named_by_its_model_and_unusual_settings(line: str, name: str) -> None:
    run = compose_run(read_arguments(line.split()))
    assert run.config.name == name
    assert Path(run.composed.hydra.run.dir).parts[:2] == ("outputs", name)


def test_the_names_in_the_documentation_are_true() -> None:
    text = (Path(__file__).parents[1] / "docs/configuration.md").read_text(encoding="utf-8")
    section = text.split("## Names of runs")[1].split("## ")[0]
    rows = re.findall(r"^\| `(.+?)`.* \| `(.+)` \|$", section, re.MULTILINE)
    assert len(rows) == 8
    assert [(line, compose(read_arguments(line.split())).name) for line, _ in rows] == rows


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("model=fc seed=0,1", "0-fc-z25-s0 1-fc-z25-s1"),
        ("model=fc latent=5 data=synthetic", "0-fc-z5"),
        ("model=fc,conv latent=2,3", "0-fc-z2 1-fc-z3 2-conv-z2 3-conv-z3"),
        ("model=fc,denoising", "0-fc-z25 1-denoising-z25"),
        ("model=fc corruption=none,gaussian", "0-fc-z25-no_corruption 1-fc-z25-gaussian"),
        (
            "model=denoising corruption.noise_std=0.1,0.3",
            "0-denoising-z25-noise0.1 1-denoising-z25-noise0.3",
        ),
        ("data=mnist,fashion_mnist", "0-conv-z25-mnist 1-conv-z25-fashion_mnist"),
        ("data=folder image_size=16 path=x/cats,dogs", "0-conv-z25-cats 1-conv-z25-dogs"),
        ("data.classes=[3],[3,5]", "0-conv-z25-classes3 1-conv-z25-classes3_5"),
        ("data.classes=[cat],['\u732b']", "0-conv-z25-classes_cat 1-conv-z25-classes"),
        ("model=fc model.widths=[],[256,64]", "0-fc-z25-no_widths 1-fc-z25-widths256_64"),
        ("model.batch_norm=true,false", "0-conv-z25-batch_norm 1-conv-z25-no_batch_norm"),
        ("model.activation=relu,tanh", "0-conv-z25-activation_relu 1-conv-z25-activation_tanh"),
        ("optimizer=adam,adam_cosine", "0-conv-z25-adam 1-conv-z25-adam_cosine"),
        ("budget=quick,full", "0-conv-z25-quick 1-conv-z25-full"),
        ("batch_size=64 lr=1e-5,1e20", "0-conv-z25-lr1e-05 1-conv-z25-lr1e20"),
        ("batch_size=32,64 seed=1", "0-conv-z25-batch32 1-conv-z25-batch64"),
        ("patience=null,5", "0-conv-z25 1-conv-z25-patience5"),
        ("upsample.name=nearest,bicubic", "0-conv-z25-nearest 1-conv-z25-bicubic"),
        (
            "model=fc,conv upsample=nearest,bicubic",
            "0-fc-z25 1-fc-z25 2-conv-z25-nearest 3-conv-z25-bicubic",
        ),
        ("experiment=lecture_fc,lecture_conv", "0-lecture_fc-z5 1-lecture_conv-z64"),
        ("experiment=lecture_fc seed=0,1", "0-lecture_fc-z5-s0 1-lecture_fc-z5-s1"),
        ("name=mine model=fc,conv latent=5", "0-mine-fc 1-mine-conv"),
        ("name=mine latent=5,25 seed=0,1", "0-mine-z5-s0 1-mine-z5-s1 2-mine-z25-s0 3-mine-z25-s1"),
        ("name=mine latent=5", "0-mine"),
        ("seed=0,0", "0-conv-z25 1-conv-z25"),
    ],
)
def test_the_runs_of_a_sweep_are_named_by_what_varies(line: str, expected: str) -> None:
    assert names(*line.split()) == expected.split()


def test_ready_made_sweeps_are_named_by_their_choices() -> None:
    upsample = names("sweep=upsample", "latent=5")
    assert upsample[:2] == ["0-conv-z5-transposed", "1-conv-z5-nearest"]
    assert upsample[-2:] == ["5-conv-z5-max_unpool", "6-conv-z5-pixel_shuffle"]
    assert names("sweep=latent") == ["0-fc-z5", "1-fc-z25", "2-fc-z125", "3-fc-z784"]
    assert names("sweep=latent", "experiment=lecture_fc")[0] == "0-lecture_fc-z5"
    assert names("sweep=upsample_kernel", "latent=5")[-1] == "2-conv-z5-kernel4"
    assert names("sweep=one_class")[3] == "3-conv-z16-classes3"
    assert names("sweep=seeds")[4] == "4-conv-z25-s4"


def test_a_long_name_ends_with_a_whole_word() -> None:
    several = ["lr=0.001234,0.1", "weight_decay=0.000123,0.1", "min_delta=0.000123456,0.1"]
    found = names("model=fc", *several, "patience=100000,200000", "seed=123456789,1")
    assert len(found) == len(set(found)) == 32
    words = "lr0.001234-weight_decay0.000123-patience100000-min_delta0.000123456"
    assert found[0] == f"0-fc-z25-{words}"  # the number tells it from the next, of another seed
    long = "x" * 100
    assert compose([f"name={long}", "seed=1"]).name == long


def test_the_place_of_the_name_in_that_of_a_folder_may_be_chosen() -> None:
    sweep = compose_sweep(["latent=2,3", "seed=0,1", "hydra.sweep.subdir=${latent}/${name}"])
    assert sweep.jobs is not None
    assert [job.folder for job in sweep.jobs][1:3] == ["2/conv-z2-s1", "3/conv-z3-s0"]


def test_a_recipe_with_an_invalid_name_leaves_the_models_name(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "猫.yaml").write_text("# @package _global_\nlatent: 4\n")
    (tmp_path / "experiment" / "a b.yaml").write_text("# @package _global_\nlatent: 4\n")
    own = search_path(tmp_path)
    assert compose([own, "experiment='猫'"]).name == "conv-z4"
    assert compose([own, "experiment='a b'"]).name == "a_b-z4"


def test_the_folder_of_a_sweep_says_which_unusual_images_its_runs_share() -> None:
    assert compose_sweep(["sweep=latent", "data=kmnist"]).folder.parent.name == "latent-kmnist"
    assert compose_sweep(["latent=2,3", "data=mnist"]).folder.parent.name == "sweep"
    assert compose_sweep(["data=mnist,kmnist"]).folder.parent.name == "sweep"
    line = ["data=kmnist", "seed=0,1", "hydra.job.name=mine"]
    assert compose_sweep(line).folder.parent.name == "mine"
    assert sweep_folder("search", "auto") == "search"
    assert sweep_folder("sweep", "a b") == "sweep-a_b"
    assert sweep_folder("sweep", "猫") == "sweep"


def test_a_trial_is_named_by_its_values() -> None:
    line = ["latent=3", "lr=0.00123456", "upsample=nearest", "weight_decay=1e-05", "batch_size=64"]
    searched = ["latent", "lr", "upsample", "weight_decay"]
    name = "conv-z3-lr0.00123-nearest-weight_decay1e-05"
    model = Base("conv-z3", frozenset({"model", "latent"}))
    assert trial_name(model, line, searched) == name
    assert trial_name(Base("mine"), [*line, "name=mine"], searched[:2]) == "mine-z3-lr0.00123"


def trial(*line: str, chosen: list[str]) -> str:
    """The name of a trial of a search, for which these values were chosen."""
    with hydra_engine() as engine:
        loader = _TrialLoader(engine.config_loader.get_search_path())
        shared = loader.load_configuration(PRIMARY, [*line], RunMode.MULTIRUN, from_shell=False)
        plain = [each for each in line if "," not in each and not each.startswith("hydra")]
        return str(loader.load_sweep_config(shared, [*plain, *chosen]).name)


@pytest.mark.parametrize(
    ("content", "base"), [("name: paper\nlatent: 4\n", "paper"), ("latent: 4\n", "short-z4")]
)
def test_a_recipe_that_has_a_name_gives_it_to_runs_sweeps_and_searches(
    content: str, base: str, tmp_path: Path
) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "short.yaml").write_text(f"# @package _global_\n{content}")
    line = [search_path(tmp_path), "experiment=short"]
    assert compose(line).name == base
    assert names(*line, "seed=0,1") == [f"0-{base}-s0", f"1-{base}-s1"]
    assert trial(*line, "lr=0.1,0.2", chosen=["lr=0.1"]) == f"{base}-lr0.1"
    with_latent = f"{base}-z9" if base == "paper" else "short-z9"
    assert names(*line, "latent=9,8")[0] == f"0-{with_latent}"
    assert trial(*line, "latent=9,8", chosen=["latent=9"]) == with_latent


def test_a_default_name_is_the_one_that_is_composed() -> None:
    conf = OmegaConf.load(CONF_DIR / "train.yaml")
    composed = OmegaConf.merge(conf, {"model": {"name": "fc"}, "latent": 3})
    assert composed.name == default_name("fc", 3)


def test_the_steps_in_a_name_determine_the_epochs() -> None:
    steps = {Path("0-fc-z3-steps10"): {"epochs": "5"}, Path("1-fc-z3-steps20"): {"epochs": "10"}}
    assert {*distinguishing_settings(steps).values()} == {""}
    old = {Path("0-fc-z3-steps"): {"epochs": "5"}}
    assert {*distinguishing_settings(old).values()} == {"epochs=5"}
