"""A run directory: what is written is read back."""

import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from aecli.config import FCConfig, TrainConfig, UpsampleConfig, to_yaml
from aecli.errors import StorageError, UsageError
from aecli.files.storage import fingerprint
from aecli.models import Autoencoder, build_model
from aecli.runs.directory import CONFIG, METRICS, RunDirectory, Status
from aecli.runs.discovery import has_runs, runs_below
from aecli.runs.owned import NEXT, OwnedFiles
from tests.conftest import planted


def model(seed: int) -> Autoencoder:
    torch.manual_seed(seed)
    return build_model(FCConfig("fc", latent=2), UpsampleConfig(), (1, 4, 5))


def config(name: str) -> TrainConfig:
    made = TrainConfig(name=name, model=FCConfig("fc", latent=25))
    made.data.name = "mnist"
    return made


def test_weights_are_read_back_to_the_bit(tmp_path: Path) -> None:
    run, saved, loaded = RunDirectory(tmp_path), model(0), model(1)
    run.save_weights(saved.state_dict())
    run.save_summary({})
    run.load_weights(loaded)
    for name, tensor in saved.state_dict().items():
        assert torch.equal(tensor, loaded.state_dict()[name])


def test_a_configuration_is_read_back(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    run.save_config(config("a"))
    assert run.load_config() == config("a")


def test_a_folder_without_a_summary_is_not_a_finished_run(tmp_path: Path) -> None:
    with pytest.raises(StorageError) as caught:
        RunDirectory(tmp_path).load_summary()
    assert str(caught.value) == f"{tmp_path} is not a finished run: it has no summary.json"


def test_a_file_is_read_only_as_it_was_written(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    run.save_summary({"mse": 0.0123})
    assert run.load_summary() == {"mse": 0.0123}
    run.summary_file.write_text(run.summary_file.read_text().replace("123", "133"))
    with pytest.raises(StorageError, match="summary.json is damaged: its sha256 is"):
        run.load_summary()
    run.summary_file.write_text("")
    with pytest.raises(StorageError, match="damaged: it has 0 bytes, but 20 were written"):
        run.load_summary()
    run.manifest_file.write_text("{}")
    with pytest.raises(StorageError, match="manifest.json is damaged .* no entry for summary.json"):
        run.load_summary()
    run.manifest_file.unlink()
    with pytest.raises(StorageError, match="manifest.json .* No such file"):
        run.load_summary()


def test_finished_epochs_are_counted(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    assert run.finished_epochs() == 0
    run.metrics_file.write_text('{"epoch": 1}\n{"epoch": 2}\n')
    assert run.finished_epochs() == 2


def test_naming_a_file_of_a_training_creates_nothing(run: RunDirectory) -> None:
    assert run.working_path("best.safetensors") == run.path / ".next/best.safetensors"
    assert not (run.path / ".next").exists()


def test_the_files_of_a_run_determine_its_status(tmp_path: Path) -> None:
    run, seen = RunDirectory(tmp_path), []
    run.save_config(config("a"))
    seen.append(run.status)
    run.begin(config("a"))
    run.working_file(METRICS).write_text('{"epoch": 1}\n')
    seen.append(run.status)
    run.save_failure("the loss is nan")
    assert run.failure() == "the loss is nan"
    seen.append(run.status)
    run.begin(config("a"))
    seen.append(run.status)
    run.save_summary({"mse": 0.1})
    seen.append(run.status)
    assert [each.value for each in seen] == [
        "not started", "interrupted", "failed", "interrupted", "finished",
    ]  # fmt: skip
    assert seen == [
        Status.planned, Status.interrupted, Status.failed, Status.interrupted, Status.finished,
    ]  # fmt: skip
    assert run.load_metrics() == [{"epoch": 1}]


def finished(folder: Path) -> RunDirectory:
    """A run as a training of two epochs leaves it."""
    run = RunDirectory(folder)
    run.begin(config("old"))
    run.metrics_file.write_text('{"epoch": 1}\n{"epoch": 2}\n')
    run.save_weights({"a": torch.zeros(2)})
    run.figure("loss").with_suffix(".png").write_bytes(b"old")
    run.save_summary({"epochs": 2})
    return run


def test_a_run_that_is_trained_further_keeps_its_results_until_the_new_ones_are_complete(
    tmp_path: Path,
) -> None:
    run = finished(tmp_path)
    assert run.load_next_config() is None
    run.begin(config("new"))
    run.working_file(METRICS).write_text('{"epoch": 3}\n')
    run.save_weights({"a": torch.ones(2)})
    run.figure("loss").with_suffix(".png").write_bytes(b"new")
    run.figure("folder").mkdir()
    assert (run.load_config().name, len(run.load_metrics())) == ("old", 2)
    assert run.weights_digest() == fingerprint(save({"a": torch.zeros(2)}))["sha256"]
    assert (run.figures / "loss.png").read_bytes() == b"old"
    later = run.load_next_config()
    assert later is not None and later.name == "new"
    assert run.finished_epochs() == 1  # of the latest training
    run.save_summary({"epochs": 3})
    assert (run.load_config().name, run.load_metrics()) == ("new", [{"epoch": 3}])
    assert run.weights_digest() == fingerprint(save({"a": torch.ones(2)}))["sha256"]
    assert (run.figures / "loss.png").read_bytes() == b"new"
    assert run.load_next_config() is None


def test_weights_that_are_not_final_have_no_digest(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    run.begin(config("a"))
    assert run.weights_digest() == ""


def test_images_are_read_back_as_they_are_shown_and_means_to_the_bit(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    shown = torch.tensor([0, 1, 127, 254, 255]).reshape(1, 1, 1, 5) / 255
    means = torch.full((1, 1, 1, 5), 0.1234567)
    run.save_images({"exact": shown, "near": shown + 0.0019}, {"mean": means})
    run.save_seen_images({"train": torch.tensor([3, 1])})
    run.save_image_errors({"model": means})
    run.save_summary({})
    images = run.load_images()
    assert torch.equal(images["exact"], shown) and torch.equal(images["mean"], means)
    assert torch.equal(images["near"][..., :-1], shown[..., :-1])  # to the nearest
    assert run.load_seen_images()["train"].tolist() == [3, 1]
    assert torch.equal(run.load_image_errors()["model"], means)


def test_a_run_of_an_earlier_version_has_no_image_errors(tmp_path: Path) -> None:
    assert finished(tmp_path).load_image_errors() == {}


def test_lost_checkpoints_are_an_error(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    assert run.newest_checkpoint() == (None, [])
    run.save_checkpoint(1, {"epoch": 1})
    written = run.manifest_file.stat().st_ino
    run.save_checkpoint(2, {"epoch": 2})
    assert run.manifest_file.stat().st_ino == written  # once, not with every checkpoint
    assert run.newest_checkpoint() == ({"epoch": 2}, [])
    for file in run.checkpoints.folder.glob("*.json"):
        file.unlink()
    with pytest.raises(StorageError) as caught:
        run.newest_checkpoint()
    assert str(caught.value) == (
        f"{tmp_path}/checkpoints lacks the checkpoints of this run, each a .pt and a .json file: "
        f"put them back, or train it from the beginning with resume={tmp_path} restart=true"
    )
    run.remove_checkpoints()
    assert run.newest_checkpoint() == (None, []) and run.checkpoints.files() == []


def test_invalid_metrics_and_failures_are_damaged(tmp_path: Path) -> None:
    run = finished(tmp_path)
    planted(run, METRICS, '{"epoch": 1}\n[]\n')
    with pytest.raises(StorageError, match=r"metrics.jsonl is damaged: it does not hold named val"):
        run.load_metrics()
    planted(run, METRICS, '{"epoch": 1}\n{"epo\n')
    with pytest.raises(StorageError, match=r"metrics.jsonl is damaged: it is not JSON"):
        run.load_metrics()
    for content, reason in (
        ("{}", "gives no reason"),
        ("[]", "gives no reason"),
        ("{", "not JSON"),
    ):
        run.failure_file.write_text(content)
        assert re.search(f"failure.json is damaged: it .*{reason}", run.failure())


def test_an_invalid_configuration_is_named(tmp_path: Path) -> None:
    run = finished(tmp_path)
    planted(run, CONFIG, "title: my site")
    with pytest.raises(UsageError, match="config.yaml: it is not an aecli configuration"):
        run.load_config()
    planted(run, CONFIG, "{")
    with pytest.raises(StorageError, match="config.yaml is damaged: it is not YAML"):
        run.load_config()


@pytest.mark.parametrize("is_ours", [False, True])
def test_a_configuration_makes_a_run(is_ours: bool, tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    assert not run.exists()
    if is_ours:
        run.save_config(config("a"))
        assert run.exists()
    run.config_file.write_text(to_yaml(config("a")))  # copied from a run, say
    assert run.exists()
    for other in (b"title: my site", b"{", b"\xff", b"- 1"):
        run.config_file.write_bytes(other)
        assert run.exists() is is_ours
    run.config_file.unlink()
    assert not run.exists()
    run.config_file.mkdir()
    assert run.exists() is is_ours


def test_a_released_lock_is_ignored(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "new" / "run")
    with pytest.raises(KeyError), run.locked():
        run.check_lock()
        raise KeyError
    run.save_failure("that")
    assert run.failure() == "that"


def test_locking_a_run_removes_leftovers_of_a_killed_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = finished(tmp_path)
    half = tmp_path / ".config.yaml.0123456789abcdef.aecli-part"
    half.touch()
    run.begin(config("new"))
    with monkeypatch.context() as patch:
        patch.setattr(OwnedFiles, "complete", lambda _: None)
        run.save_summary({"epochs": 3})
    assert (tmp_path / NEXT).exists()
    with run.locked():
        assert not half.exists() and not (tmp_path / NEXT).exists()
        assert run.load_summary() == {"epochs": 3}


def test_a_new_run_overwrites_nothing(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    (tmp_path / "notes.txt").touch()
    run.check_vacant("others")
    figures = [f"figures/{name}" for name in ("loss.png", "loss.svg", "reconstructions.svg")]
    written = [
        "metrics.jsonl", "best.safetensors", "images.safetensors", "seen.safetensors",
        "errors.safetensors", "summary.json", "failure.json", "manifest.json",
        "events.out.tfevents.1",
        "checkpoints/0000000001.pt", "checkpoints/0000000001.json", ".next", *figures,
    ]  # fmt: skip
    for name in ["others", *written]:
        theirs = tmp_path / name
        theirs.parent.mkdir(exist_ok=True)
        theirs.symlink_to(tmp_path / "nowhere")
        with pytest.raises(UsageError, match=f"{name} is in the way of a new run"):
            run.check_vacant("others")
        theirs.unlink()
    run.config_file.write_text("title: my site")
    with pytest.raises(UsageError, match="config.yaml is in the way of a new run"):
        run.check_vacant()
    run.config_file.unlink()
    run.save_config(config("a"))
    with pytest.raises(UsageError) as caught:
        run.check_vacant()
    assert str(caught.value) == (
        f"{tmp_path} already holds a run: resume it with resume={tmp_path}, or give another "
        f"hydra.run.dir"
    )


def test_only_the_files_that_hydra_wrote_for_a_new_run_are_taken_for_its_own(
    tmp_path: Path,
) -> None:
    run, later = RunDirectory(tmp_path), OwnedFiles(tmp_path)
    (tmp_path / ".hydra").mkdir()
    for name in ("config", "hydra", "overrides", "notes"):
        (tmp_path / f".hydra/{name}.yaml").write_text(name)
    run.begin(config("a"))
    theirs = [".hydra/config.yaml", ".hydra/hydra.yaml", ".hydra/overrides.yaml"]
    assert [name for name in later.manifest() if ".hydra" in name] == theirs
    (tmp_path / ".hydra/config.yaml").write_text("mine")
    run.working_file(METRICS).write_text('{"epoch": 1}\n')
    run.save_summary({})
    before = later.manifest()
    run.begin(config("a"))
    assert later.manifest() == before


def test_results_shown_in_tensorboard_replace_those_of_the_same_command(tmp_path: Path) -> None:
    run = finished(tmp_path)
    run.show_results("sample", {"events.1.sample": b"a", "events.2.sample": b"b"})
    run.show_results("evaluate", {"events.3.evaluate": b"c", "events.4.resample": b"d"})
    (tmp_path / "events.5.sample").write_bytes(b"mine")
    run.show_results("sample", {"events.6.sample": b"e"})
    names = ("events.3.evaluate", "events.4.resample", "events.5.sample", "events.6.sample")
    assert [file.name for file in sorted(tmp_path.glob("events.*"))] == [*names]
    assert [(tmp_path / name).read_bytes() for name in names] == [b"c", b"d", b"mine", b"e"]
    with pytest.raises(StorageError, match=r"events\.5\.sample"):
        run.show_results("sample", {"events.7.sample": b"f", "events.5.sample": b"g"})
    assert (tmp_path / "events.5.sample").read_bytes() == b"mine"
    assert (tmp_path / "events.6.sample").exists() and not (tmp_path / "events.7.sample").exists()
    with RunDirectory(tmp_path).locked(), pytest.raises(StorageError, match="in use"):
        run.show_results("sample", {})


def test_only_a_training_that_has_begun_can_fail(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    assert run.has_begun is False
    run.begin(config("a"))
    assert run.has_begun is True


def test_closing_a_failed_run_clears_its_failure(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    run.begin(config("a"))
    run.save_failure("the loss is nan")
    run.save_summary({})
    assert not run.failure_file.exists()


def test_results_that_somebody_has_changed_are_not_replaced(tmp_path: Path) -> None:
    run = finished(tmp_path)
    run.check_replaceable()
    run.summary_file.write_text("mine")
    with pytest.raises(StorageError, match="summary.json has been changed since aecli wrote it"):
        run.check_replaceable()


def test_runs_are_found_at_any_depth_in_natural_order(tmp_path: Path) -> None:
    names = ["2-a", *(f"{number}-a" for number in range(9, 15)), "14-a/inner/b"]
    for name in names:
        RunDirectory(tmp_path / name).save_config(config("a"))
        for copied in (".hydra", ".next"):
            (tmp_path / name / copied).mkdir()
            (tmp_path / name / copied / "config.yaml").write_text(to_yaml(config("a")))
    assert [run.path for run in runs_below(tmp_path)] == [tmp_path / name for name in names]
    assert [run.path for run in runs_below(tmp_path / "2-a")] == [tmp_path / "2-a"]


def test_links_are_followed_except_to_a_parent_folder(tmp_path: Path) -> None:
    run, _ = finished(tmp_path / "store" / "run"), finished(tmp_path / "others")
    (tmp_path / "mine" / "inner").mkdir(parents=True)
    (tmp_path / "mine" / "linked").symlink_to(tmp_path / "store")
    (tmp_path / "mine" / "inner" / "up").symlink_to(tmp_path)
    assert [each.path.resolve() for each in runs_below(tmp_path / "mine")] == [run.path]


def test_a_folder_without_runs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nowhere is not a folder: give run folders"):
        runs_below(tmp_path / "nowhere")
    (tmp_path / "config.yaml").write_text("title: my site")
    with pytest.raises(UsageError, match=f"{tmp_path} holds no runs: give a folder that"):
        runs_below(tmp_path)


def test_a_folder_with_a_configuration_that_is_not_a_copy_has_runs(tmp_path: Path) -> None:
    for name in (".hydra", ".next", "a"):
        assert not has_runs(tmp_path)
        (tmp_path / "run" / name).mkdir(parents=True)
        (tmp_path / "run" / name / "config.yaml").touch()
    assert has_runs(tmp_path)
