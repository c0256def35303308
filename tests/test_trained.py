"""Finished runs as something to use, and what is said of folders that are none."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from aecli.data.batches import to_pixels
from aecli.errors import StorageError, UsageError
from aecli.runs.directory import RunDirectory
from aecli.runs.trained import open_run
from tests.conftest import planted
from tests.scores import score


def test_a_loaded_run_computes_what_it_did_after_training(finished: Path) -> None:
    trained = open_run(finished, device="cpu")
    summary = trained.run.load_summary()
    found = score(trained.config, trained.reconstruct, trained.data().test)
    assert found.mse == pytest.approx(summary["test"]["mse"], rel=1e-6)


def test_a_reconstruction_is_the_decoded_code(finished: Path) -> None:
    trained = open_run(finished, device="cpu")
    pixels = to_pixels(trained.data().test.images[:3])
    with torch.inference_mode():
        codes = trained.encode(pixels)
        assert codes.shape == (3, trained.config.latent)
        assert torch.equal(trained.decode(codes), trained.reconstruct(pixels))


def test_the_codes_of_many_images_are_those_of_each(finished: Path) -> None:
    trained = open_run(finished, device="cpu")
    images = trained.data().train.images.repeat(3, 1, 1, 1)  # 768: more than a batch
    codes = trained.codes(images)
    assert codes.shape == (768, trained.config.latent)
    for number in (0, 499, 500, 767):
        with torch.inference_mode():
            expected = trained.encode(to_pixels(images[number : number + 1]))
        assert torch.allclose(codes[number : number + 1], expected, atol=1e-5)


def test_the_images_of_a_run_are_found_where_they_are_now(
    finished: Path, tmp_path: Path, data_dir: Path
) -> None:
    shutil.copytree(data_dir, tmp_path / "moved")
    there = open_run(finished, device="cpu").data()
    moved = open_run(finished, device="cpu", data_dir=str(tmp_path / "moved")).data()
    assert torch.equal(there.test.images, moved.test.images)
    assert str(tmp_path / "moved") in moved.source


def test_a_folder_that_is_not_a_run_is_refused(run: RunDirectory, tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match="nowhere is not a folder: give the folder of a finished run"
    ):
        open_run(tmp_path / "nowhere")
    with pytest.raises(UsageError, match=f"{tmp_path} is not a run but holds 1: .* such as .*/run"):
        open_run(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="empty holds no runs"):
        open_run(tmp_path / "empty")


def test_an_unfinished_run_is_refused_with_advice(run: RunDirectory) -> None:
    run.summary_file.unlink()
    with pytest.raises(
        UsageError,
        match="run is not finished: interrupted; resume it with aecli train resume=.*/run, or "
        "use it as it is: aecli train resume=.*/run finish=true$",
    ):
        open_run(run.path)
    run.save_failure("the loss became nan")
    with pytest.raises(
        UsageError, match=r"not finished: failed \(the loss became nan\); resume it with aecli"
    ):
        open_run(run.path)
    (run.path.parent / "multirun.yaml").touch()
    with pytest.raises(
        UsageError, match=f"resume its sweep with aecli train resume={run.path.parent}, or use it"
    ):
        open_run(run.path)


@pytest.mark.parametrize("content", [b"", b"\x00" * 100, None], ids=["empty", "zeros", "missing"])
def test_damaged_weights_are_named(run: RunDirectory, content: bytes | None) -> None:
    if content is None:
        run.weights_file.unlink()
    else:
        run.weights_file.write_bytes(content)
    with pytest.raises(StorageError, match="best.safetensors (is damaged|cannot be read)"):
        open_run(run.path)


def test_weights_of_another_model_are_refused(run: RunDirectory) -> None:
    text = run.config_file.read_text()
    planted(run, "config.yaml", text.replace("latent: 3\n", "latent: 4\n"))
    with pytest.raises(StorageError, match="best.safetensors cannot be used: .*size mismatch"):
        open_run(run.path)


def test_an_invalid_saved_configuration_is_refused(run: RunDirectory) -> None:
    planted(run, "config.yaml", "latent: 3\n")
    with pytest.raises((UsageError, StorageError), match="config.yaml"):
        open_run(run.path)


def test_a_mistake_on_the_command_line_gets_one_line(
    aecli: Callable[..., int], capsys: pytest.CaptureFixture[str], finished: Path
) -> None:
    run = str(finished)
    for command in (
        "evaluate",
        "reconstruct",
        "interpolate",
        "sample",  # of several runs, too
        "export",
        "anomaly",
    ):
        twice = "is given twice" if command == "sample" else "one finished run, not 2"
        for line, words in (
            ([], f"{command} takes the folder of one finished run, but none is given"),
            ([run, run], twice),
            ([run, "devcie=cpu"], "there is no key 'devcie': did you mean device?"),
            ([run, "device=tpu"], "device=tpu"),
            ([run, "--fast"], "there is no option --fast"),
            (["nowhere"], "nowhere is not a folder"),
        ):
            assert aecli(command, *line) == 2, line
            errors = capsys.readouterr().err
            assert words in errors and errors.count("\n") == 1
    assert not {path.name for path in finished.iterdir() if path.is_dir()} - {
        "checkpoints",
        "figures",
        ".hydra",
    }
