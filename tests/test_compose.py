"""From words on the command line to configurations."""

import re
from pathlib import Path
from typing import Any

import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.hydra import Hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from aecli.cli.compose import compose, compose_run, compose_sweep
from aecli.cli.engine import CachingConfigLoader, hydra_engine
from aecli.cli.jobs import show_config
from aecli.cli.override_checks import check_overrides
from aecli.cli.overrides import read_arguments, search_path, split
from aecli.config import Activation, Bottleneck, CorruptionKind, Upsampling
from aecli.config.schema import DEFAULT_FACTOR
from aecli.errors import UsageError


def test_the_defaults_are_the_convolutional_model_of_size_25() -> None:
    config = compose([])
    assert (config.model.name, config.latent, config.model.latent) == ("conv", 25, 25)
    assert (config.data.name, config.upsample.name) == ("auto", Upsampling.transposed)
    assert config.name == "conv-z25"
    assert config.model.output_activation is Activation.sigmoid
    assert (config.data.mean, config.data.std) == (0, 1)


def test_the_models_read_the_short_key() -> None:
    for model in ("fc", "conv", "denoising"):
        config = compose([f"model={model}", "latent=7"])
        assert config.model.latent == 7
        assert config.name == f"{model}-z7"


def test_the_denoising_model_switches_noise_on_and_the_command_line_off() -> None:
    assert compose(["model=denoising"]).corruption.name is CorruptionKind.gaussian
    assert compose(["model=denoising"]).corruption.noise_std == 0.1
    assert compose(["model=denoising", "corruption=none"]).corruption.name is CorruptionKind.none
    assert compose(["model=conv"]).corruption.name is CorruptionKind.none
    assert compose(["corruption=gaussian"]).corruption.name is CorruptionKind.gaussian


def test_the_fully_connected_recipe_of_the_lecture() -> None:
    config = compose(["experiment=lecture_fc"])
    assert (config.latent, config.epochs, config.batch_size) == (5, 25, 128)
    assert (config.lr, config.weight_decay) == (1e-3, 1e-5)
    assert (config.data.mean, config.data.std) == (0.1307, 0.3081)
    assert config.model.widths == []
    assert config.model.code_activation is Activation.relu
    assert config.model.output_activation is Activation.tanh
    assert config.patience is None
    assert compose(["experiment=lecture_fc", "latent=784"]).model.latent == 784


def test_the_convolutional_recipe_of_the_lecture() -> None:
    config = compose(["experiment=lecture_conv"])
    layers = [(x.channels, x.kernel, x.stride, x.padding) for x in config.model.layers]
    assert layers == [(16, 3, 2, 1), (32, 3, 2, 1)]
    assert (config.latent, config.model.bottleneck) == (64, Bottleneck.conv)
    assert config.model.activation is Activation.relu
    assert config.model.code_activation is Activation.identity
    assert config.model.output_activation is Activation.relu
    assert (config.epochs, config.batch_size, config.weight_decay) == (25, 128, 1e-5)
    assert (config.data.mean, config.data.std) == (0.1307, 0.3081)


def test_the_denoising_recipe_of_the_lecture() -> None:
    config = compose(["experiment=lecture_denoising"])
    layers = [(x.channels, x.kernel, x.stride, x.padding) for x in config.model.layers]
    assert layers == [(32, 3, 1, 1), (64, 3, 2, 1), (64, 3, 2, 1)]
    assert (config.latent, config.model.bottleneck) == (2, Bottleneck.linear)
    assert config.model.batch_norm
    assert config.model.activation is config.model.code_activation is Activation.leaky_relu
    assert config.model.output_activation is Activation.sigmoid
    assert config.corruption.name is CorruptionKind.gaussian
    assert (config.corruption.noise_std, config.corruption.example_noise_std) == (0.1, 0.3)
    assert (config.batch_size, config.epochs, config.lr) == (2048, 10_000, 1e-4)
    assert (config.val_every, config.patience, config.min_delta) == (10, 30, 1e-6)
    assert config.weight_decay == 0


def test_a_sweep_is_every_combination_in_the_order_of_the_command_line() -> None:
    assert split(["latent=5,25", "seed=0,1", "epochs=1"]) == [
        ["latent=5", "seed=0", "epochs=1"],
        ["latent=5", "seed=1", "epochs=1"],
        ["latent=25", "seed=0", "epochs=1"],
        ["latent=25", "seed=1", "epochs=1"],
    ]


# What the lectures compare, and what the line makes of it.
SWEEPS = {
    ("sweep=latent",): [("fc", size, "transposed", 0) for size in (5, 25, 125, 784)],
    ("sweep=latent_conv",): [("conv", size, "transposed", 0) for size in (2, 4, 8, 16, 32)],
    ("sweep=latent_deep",): [("deep", size, "transposed", 0) for size in (2, 4, 8, 16, 32)],
    ("sweep=linear",): [("fc", size, "transposed", 0) for size in (2, 4, 8, 16, 32)],
    ("sweep=upsample",): [
        ("conv", size, method, 0)
        for size in (5, 25, 64)
        for method in ("transposed", "nearest", "bilinear", "bicubic", "bed_of_nails",
                       "max_unpool", "pixel_shuffle")
    ],
    ("sweep=upsample_kernel",): [
        ("conv", size, "transposed", 0) for size in (5, 25, 64) for _kernel in (2, 3, 4)
    ],
    ("sweep=seeds", "latent=7"): [("conv", 7, "transposed", seed) for seed in range(5)],
    ("sweep=latent", "latent=2,3"): [("fc", size, "transposed", 0) for size in (2, 3)],
    ("sweep=latent", "model=conv", "latent=9"): [("conv", 9, "transposed", 0)],
    ("sweep=latent", "experiment=lecture_fc", "latent=5,25"): [
        ("fc", size, "transposed", 0) for size in (5, 25)
    ],
    ("latent=5,25", "upsample=transposed,nearest", "seed=0,1"): [
        ("conv", size, method, seed)
        for size in (5, 25) for method in ("transposed", "nearest") for seed in (0, 1)
    ],
}  # fmt: skip


@pytest.mark.parametrize("line", SWEEPS, ids=" ".join)
def test_sweeps_train_what_they_say(line: tuple[str, ...]) -> None:
    check_overrides(list(line), multirun=True)
    jobs = compose_sweep(list(line)).jobs
    assert jobs is not None
    configs = [job.config for job in jobs]
    assert [
        (config.model.name, config.latent, config.upsample.name.name, config.seed)
        for config in configs
    ] == SWEEPS[line]
    assert all(config.model.latent == config.latent for config in configs)
    assert [job.folder for job in jobs] == [
        f"{number}-{config.name}" for number, config in enumerate(configs)
    ]


def test_a_recipe_of_a_lecture_is_kept_by_a_sweep() -> None:
    jobs = compose_sweep(["sweep=latent", "experiment=lecture_fc"]).jobs
    assert jobs is not None
    for job in jobs:
        assert job.config.model.output_activation is Activation.tanh
        assert (job.config.data.mean, job.config.data.std) == (0.1307, 0.3081)


def test_short_keys_set_the_fields_that_they_stand_for() -> None:
    line = ["data=folder", "path=photos", "+image_size=64", "++channels=3", "corruption=downsample",
            "factor=4", "output_dir=path=x"]  # fmt: skip
    overrides = read_arguments(line)
    check_overrides(overrides, multirun=False)
    config = compose(overrides)
    assert config.output_dir == "path=x"
    assert (config.data.path, config.data.image_size, config.data.channels) == ("photos", "64", 3)
    assert config.corruption.factor == 4
    assert compose(["data=folder", "corruption=downsample"]).corruption.factor == DEFAULT_FACTOR


def test_a_sweep_may_be_over_short_keys() -> None:
    line = read_arguments(
        [
            "data=folder",
            "path=a,b",
            "image_size=8,4x6",
            "corruption=downsample",
            "factor=range(2,4)",
        ]
    )
    check_overrides(line, multirun=True)
    jobs = compose_sweep(line).jobs
    assert jobs is not None
    assert [
        (job.config.data.path, job.config.data.image_size, job.config.corruption.factor)
        for job in jobs
    ] == [(path, size, factor) for path in "ab" for size in ("8", "4x6") for factor in (2, 3)]


def test_a_key_like_a_short_one_is_named_by_it() -> None:
    with pytest.raises(UsageError, match="there is no key 'pth': did you mean path?"):
        check_overrides(["pth=photos"], multirun=True)


def test_the_keys_of_a_sweep_are_checked_with_each_choice_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compose_config, composed = Hydra.compose_config, list[object]()

    def counted(*arguments: Any, **options: Any) -> Any:
        composed.append(arguments)
        return compose_config(*arguments, **options)

    monkeypatch.setattr(Hydra, "compose_config", counted)
    line = ["model=fc,conv,deep", "upsample=nearest,bilinear", "optimizer=adam,adam_cosine"]
    # Keys of one choice alone, in a place of its own and among others.
    check_overrides([*line, "model.widths=[3]", "model.layers.0.kernel=3"], multirun=True)
    assert len(composed) == 3  # and not 12
    with pytest.raises(
        UsageError, match="there is no key 'model.width': did you mean model.widths"
    ):
        check_overrides([*line, "model.width=[3]"], multirun=True)


def test_a_ready_made_sweep_gives_its_folder_a_name() -> None:
    for line, name in ((["sweep=latent"], "latent"), (["latent=2,3"], "sweep")):
        folder = compose_sweep([*line, "output_dir=somewhere"]).folder
        assert folder.parts[:2] == ("somewhere", name)
        assert re.fullmatch(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d-\d{6}", folder.name)


def test_folders_may_be_named_by_what_hydra_knows() -> None:
    line = [
        "latent=2,3",
        "hydra.sweep.dir=${hydra:job.name}",
        "hydra.sweep.subdir=r${hydra:job.num}",
    ]
    sweep = compose_sweep(line)
    assert sweep.folder.name == "sweep"
    assert sweep.jobs is not None
    assert [job.folder for job in sweep.jobs] == ["r0", "r1"]
    with pytest.raises(UsageError, match="nonsense"):
        compose_sweep(["latent=2,3", "hydra.sweep.dir=${nonsense}"])


def test_a_sweep_folder_with_dots_is_the_one_that_they_mean_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sweep = compose_sweep(["latent=2,3", "hydra.sweep.dir=new/../mine"])
    assert sweep.folder == tmp_path.resolve() / "mine"  # and `new` is not created
    assert compose_sweep(["latent=2,3", "hydra.sweep.dir=mine"]).folder == Path("mine")


def test_the_models_own_keys_need_not_be_those_of_the_default_model() -> None:
    jobs = compose_sweep(["model=fc", "model.widths=[9]", "latent=2,3"]).jobs
    assert jobs is not None
    assert [job.config.model.widths for job in jobs] == [[9], [9]]


def test_a_sweep_says_how_it_is_launched() -> None:
    assert compose_sweep(["latent=2,3"]).launcher == "basic"
    assert compose_sweep(["latent=2,3", "hydra/launcher=joblib"]).launcher == "joblib"


def test_a_search_has_no_list_of_runs() -> None:
    line = ["sweep=search", "lr=interval(0.1, 1)"]
    check_overrides(line, multirun=True)
    assert compose_sweep(line).jobs is None


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (["sweep=latnt"], "sweep=latnt: did you mean latent?"),
        (["sweep=latent,seeds"], "sweep=latent,seeds describes several runs: give one sweep"),
        (["hydra/launcher=jobib"], "hydra/launcher=jobib: did you mean joblib?"),
        (["hydra.sweep.dir=a,b"], "hydra.sweep.dir=a,b: Hydra's own keys take one value"),
        (["lr=interval(0.1, 1)"], "lr=interval(0.1, 1) is for a search: add hydra/sweeper=optuna"),
        (["latent=5,abc"], "latent=abc is not valid: give a whole number"),
        (["latent=5,0"], "latent=0 is not valid: give a whole number of at least 1"),
        (["model=fc,cnv"], "model=cnv: did you mean conv?"),
    ],
)
def test_a_mistake_in_a_sweep_is_named(line: list[str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_overrides(line, multirun=True)
        compose_sweep(line)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("line", "file", "extra"),
    [
        ("hydra/launcher=joblib", "launcher/joblib", "joblib"),
        ("hydra/launcher=submitit_local", "launcher/submitit_local", "slurm"),
        ("hydra/launcher=submitit_slurm", "launcher/slurm_schema", "slurm"),
        ("hydra/sweeper=optuna", "sweeper/optuna", "optuna"),
        ("sweep=search", "sweeper/optuna", "optuna"),
    ],
)
def test_a_plugin_that_is_not_installed_is_named_with_its_extra(
    line: str, file: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    compose_sweep([line])  # all plugins have entered their files now
    monkeypatch.setattr(CachingConfigLoader, "composed", {})
    group, name = file.split("/")
    monkeypatch.delitem(ConfigStore.instance().repo["hydra"][group], f"{name}.yaml")
    with pytest.raises(UsageError, match=rf"is an extra: pip install 'aecli\[{extra}\]'"):
        compose_sweep([line])


def test_the_shipped_slurm_configuration_is_the_launchers_with_our_values() -> None:
    # Composed the way a launch composes it; the launcher itself needs a cluster.
    with hydra_engine() as engine:
        line = ["hydra/launcher=submitit_slurm", "hydra.launcher.partition=gpu"]
        composed = engine.compose_config("train", line, RunMode.MULTIRUN, from_shell=False)
    launcher = composed.hydra.launcher
    assert launcher._target_.endswith("SlurmLauncher")
    assert (launcher.partition, launcher.timeout_min, launcher.array_parallelism) == ("gpu", 60, 16)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("latnt=5", "there is no key 'latnt': did you mean latent?"),
        ("modle=conv", "there is no key 'modle': did you mean model?"),
        ("schedule=cosine", "there is no key 'schedule': did you mean optimizer.schedule?"),
        ("shedule=cosine", "there is no key 'shedule': did you mean optimizer.schedule?"),
        ("data.nonsense=1", "there is no key 'data.nonsense'"),
        ("model.widths=[3]", "there is no key 'model.widths'"),  # a key of model=fc alone
        ("+new=1", "there is no key 'new'"),
        ("model=cnv", "model=cnv: did you mean conv? (valid: conv, deep, denoising, fc)"),
        ("data=minst", "data=minst: did you mean mnist?"),
        ("upsample=neerest", "upsample=neerest: did you mean nearest?"),
        ("latent=5,25", "latent=5,25 names several values: add -m"),
        ("sweep=latent", "sweep=latent describes several runs: add -m"),
        ("~latent", "~latent would remove a key"),
        ("latent", "'latent' is not of the form key=value"),
        ("latent=[5", "'latent=[5' cannot be parsed"),
    ],
)
def test_a_mistake_is_named_with_what_would_be_valid(line: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_overrides(read_arguments([line]), multirun=False)
        compose(read_arguments([line]))
    assert str(caught.value).startswith(message)


def test_keys_are_those_of_the_chosen_model() -> None:
    assert compose(["model=fc", "model.widths=[100]"]).model.widths == [100]
    assert compose(["model.layers.0.kernel=5"]).model.layers[0].kernel == 5
    check_overrides(["model=fc,conv", "latent=5,25", "hydra.job.name=x"], multirun=True)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("latent=abc", "latent=abc is not valid: give a whole number"),
        ("latent=2.5", "latent=2.5 is not valid: give a whole number"),
        ("lr=fast", "lr=fast is not valid: give a number"),
        ("model.batch_norm=3.5", "model.batch_norm=3.5 is not valid: give true or false"),
        (
            "model.output_activation=rel",
            "model.output_activation=rel is not valid: did you mean relu?",
        ),
        ("latent=-3", "latent=-3 is not valid: give a whole number of at least 1"),
    ],
)
def test_a_value_of_the_wrong_type_is_named(line: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        compose([line])
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("resolve", [False, True])
def test_the_configuration_that_is_shown_has_the_name_and_no_more_than_was_typed(
    resolve: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    show_config("all", resolve, ["upsample=nearest", "latent=7"])
    shown = OmegaConf.create(capsys.readouterr().out)
    assert shown.name == "conv-z7-nearest"
    assert shown.hydra.overrides.task == ["upsample=nearest", "latent=7"]
    assert shown.hydra.job.override_dirname == "latent=7,upsample=nearest"
    show_config("job", resolve, ["latent=7"])
    shown = OmegaConf.create(capsys.readouterr().out)
    assert shown.name == "conv-z7" and "hydra" not in shown


LINES = [
    (RunMode.RUN, []),
    (RunMode.RUN, ["hydra.run.dir=a", "++hydra.run.dir=b", "seed=1"]),
    (RunMode.RUN, ["hydra.run.dir=a", "hydra.run={dir:b}", "hydra.job.env_copy=[PATH]"]),
    (RunMode.RUN, ["corruption.noise_std=0.3", "corruption={noise_std:0.5}"]),
    (RunMode.RUN, ["latent=7", "model=fc", "lr=0.5", "model.widths=[9,4]", "seed=1"]),
    (RunMode.RUN, ["model=fc", "latent=9", "model.widths=[]", "hydra.run.dir=somewhere"]),
    (RunMode.RUN, ["experiment=hinton", "data=folder", "data.classes=[a,b]", "epochs=3"]),
    (RunMode.RUN, ["model=denoising", "corruption=masking", "corruption.rate=0.3", "name=x"]),
    (RunMode.RUN, ["corruption=masking", "corruption.rate=0.2", "hydra.job.chdir=true"]),
    (RunMode.RUN, ["model.layers.0.kernel=5", "hydra.output_subdir=null", "seed=2", "seed=3"]),
    (RunMode.RUN, ["hydra.sweep.subdir=a-${latent}", "hydra.job.name=b", "latent=4"]),
    (RunMode.RUN, ["corruption={noise_std:0.3}", "latent=${seed}", "+hydra.job.env_set.A=b"]),
    (RunMode.RUN, ["hydra.job.config.override_dirname.exclude_keys=[seed]", "seed=3", "lr=0.1"]),
    (RunMode.MULTIRUN, ["latent=3,4", "model=fc", "lr=0.1", "seed=1,2"]),
    (RunMode.MULTIRUN, ["sweep=latent", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]),
    (RunMode.MULTIRUN, ["sweep=search", "hydra.sweeper.n_trials=3", "lr=0.2"]),
]


@pytest.mark.parametrize("mode, line", LINES)
def test_a_line_is_composed_as_by_hydra(
    mode: RunMode, line: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CachingConfigLoader, "composed", {})
    with hydra_engine() as engine:
        loader = engine.config_loader
        assert isinstance(loader, CachingConfigLoader)
        expected = ConfigLoaderImpl.load_configuration(loader, "train", line, mode)
        # From the files, and from what was read then.
        for _ in range(2):
            composed = loader.load_configuration("train", line, mode)
            assert OmegaConf.to_yaml(composed) == OmegaConf.to_yaml(expected)
            assert OmegaConf.is_struct(composed) and not OmegaConf.is_readonly(composed.hydra)
            composed.latent = 1000


@pytest.mark.parametrize("own", [False, True], ids=["shipped", "own files"])
def test_the_same_choices_are_composed_once(
    own: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    composed: list[object] = []
    original = ConfigLoaderImpl._compose_config_from_defaults_list

    def compose_noted(self: ConfigLoaderImpl, **arguments: Any) -> DictConfig:
        composed.append(arguments["defaults"])
        return original(self, **arguments)

    monkeypatch.setattr(ConfigLoaderImpl, "_compose_config_from_defaults_list", compose_noted)
    monkeypatch.setattr(CachingConfigLoader, "composed", {})
    launcher = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    line = ["latent=3,4,5", "model=fc,conv", "lr=0.1,0.2", *launcher]
    jobs = compose_sweep([*line, *([search_path(tmp_path)] if own else [])]).jobs
    assert jobs is not None and len(jobs) == 12
    assert len(composed) == 3  # what the runs share, and each model


@pytest.mark.parametrize("line", [[], ["hydra.sweep={dir:x}"]], ids=str)
def test_each_composition_has_a_time_of_its_own(line: list[str]) -> None:
    # Which the name of a run's folder has: with an earlier one, there would be a folder already.
    folders = []
    for _ in range(3):
        composed = compose_run(line).composed
        HydraConfig.instance().set_config(composed)
        folders.append(str(composed.hydra.run.dir))
    assert len(set(folders)) == 3


def test_what_is_kept_of_compositions_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CachingConfigLoader, "composed", {})
    monkeypatch.setattr(CachingConfigLoader, "MAX_COMPOSED", 2)
    for model in ("fc", "conv", "deep"):
        compose([f"model={model}"])
    assert [key[1] for key in CachingConfigLoader.composed] == ["model=conv", "model=deep"]


def test_the_folder_of_the_data_is_that_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("one", "two", "one"):
        monkeypatch.setenv("AECLI_DATA", folder)
        assert compose(["latent=3"]).data_dir == folder


def test_a_group_within_a_group_of_the_users_own_is_a_choice(tmp_path: Path) -> None:
    files = {
        "experiment/mine": "defaults: [/corruption/strength: weak, _self_]\nlatent: 7\n",
        "corruption/strength/weak": "corruption: {rate: 0.1}\n",
        "corruption/strength/strong": "corruption: {rate: 0.2}\n",
    }
    for name, content in files.items():
        file = tmp_path / f"{name}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"# @package _global_\n{content}")
    line = [search_path(tmp_path), "corruption=masking", "experiment=mine"]
    assert compose(line).corruption.rate == 0.1
    assert compose([*line, "corruption/strength=strong"]).corruption.rate == 0.2


def test_a_changed_file_of_the_users_own_is_read_again(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    file = tmp_path / "experiment" / "mine.yaml"
    for epochs in (3, 4):
        file.write_text(f"# @package _global_\nepochs: {epochs}\n")
        assert compose([search_path(tmp_path), "experiment=mine"]).epochs == epochs


def test_an_own_file_may_put_values_in_the_names_of_folders(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text(
        "# @package _global_\nhydra: {sweep: {subdir: 'lr${lr}'}}\n"
    )
    line = [search_path(tmp_path), *read_arguments(["experiment=mine", "lr=0.1,0.2"])]
    jobs = compose_sweep(line).jobs
    assert jobs is not None
    assert [(job.folder, job.config.lr) for job in jobs] == [("lr0.1", 0.1), ("lr0.2", 0.2)]
