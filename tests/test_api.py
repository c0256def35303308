"""aecli in Python: what is public computes what the command line computes."""

import csv
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

import aecli
from aecli.api.card import training_line
from aecli.cli.compose import compose
from aecli.errors import DataError, StorageError, UsageError
from aecli.evaluation.metrics import EVALUATION_BATCH
from aecli.models import build_network
from aecli.runs.directory import RunDirectory
from aecli.runs.trained import Trained, open_run
from tests.conftest import TINY, train_once, with_project

Cli = Callable[..., int]


@pytest.fixture(scope="module")
def folder(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose pixels are normalised."""
    line = ["model=fc", "latent=3", "data.mean=0.1", "data.std=0.5", "name=b"]
    return train_once(tmp_path_factory.mktemp("api") / "run", data_dir, *line)


@pytest.fixture
def model(folder: Path) -> aecli.Model:
    return aecli.load(folder)


@pytest.fixture
def trained(folder: Path) -> Trained:
    return open_run(folder)


def noise(count: int) -> Tensor:
    """uint8 images, (count, 1, 28, 28)."""
    generator = torch.Generator().manual_seed(1)
    return torch.randint(256, (count, 1, 28, 28), generator=generator, dtype=torch.uint8)


def test_the_import_loads_no_library() -> None:
    code = "import sys, aecli; sys.exit(bool({'torch', 'numpy', 'hydra'} & {*sys.modules}))"
    subprocess.run([sys.executable, "-c", code], check=True, env=with_project())


def test_all_public_names_are_there_and_no_others() -> None:
    assert {*aecli.__all__} <= {*dir(aecli)}
    for name in aecli.__all__:
        assert getattr(aecli, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        aecli.lode  # type: ignore[attr-defined]  # noqa: B018


def test_codes_and_images_are_those_of_the_run(model: aecli.Model, trained: Trained) -> None:
    images = noise(40)
    codes = model.encode(images)
    assert codes.shape == (40, 3)
    torch.testing.assert_close(codes, trained.codes(images), rtol=0, atol=0)
    with torch.inference_mode():
        torch.testing.assert_close(model.decode(codes), trained.decode(codes), rtol=0, atol=0)
        torch.testing.assert_close(
            model.reconstruct(images), trained.reconstruct(images / 255), rtol=0, atol=0
        )
    torch.testing.assert_close(model.decode(codes), model.reconstruct(images))
    assert (model.latent, model.image_shape, model.name) == (3, (1, 28, 28), "b")


def test_arrays_are_returned_in_the_same_kind(model: aecli.Model) -> None:
    images = noise(5)
    expected = model.encode(images)
    floats = images.double() / 255
    arrays: list[NDArray[Any]] = [
        images.numpy(),
        floats.numpy(),
        floats.numpy()[:, ::-1],
        np.asfortranarray(floats),
    ]
    for given in arrays:
        found = model.encode(given)
        assert isinstance(found, np.ndarray) and found.dtype == np.float32
        np.testing.assert_allclose(found, expected.numpy(), rtol=1e-5, atol=1e-6)
    assert isinstance(model.decode(expected.numpy()), np.ndarray)
    assert not expected.is_inference() and not expected.requires_grad
    expected += 1  # what is returned is the caller's
    assert tuple(model.encode(images[:0]).shape) == (0, 3)
    assert model.encode(images.numpy()[:0]).shape == (0, 3)
    assert tuple(model.decode(expected[:0]).shape) == (0, 1, 28, 28)


def test_colour_images_come_back_in_the_usual_layout() -> None:
    config = compose(["model=denoising", "latent=3"])
    network = build_network(config, (3, 12, 12))
    model = aecli.Model(Path(), config, {}, network, lambda: pytest.fail("it needs no data"))
    assert model.decode(torch.zeros(2, 3)).is_contiguous()
    assert model.reconstruct(np.zeros((2, 3, 12, 12), np.uint8)).flags.c_contiguous


def test_doubles_are_not_moved_to_a_device_without_them(
    model: aecli.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As MPS, which has no float64."""
    move = Tensor.to

    def move_like_mps(tensor: Tensor, *arguments: Any, **options: Any) -> Tensor:
        moved = move(tensor, *arguments, **options)
        if isinstance(next(iter(arguments), None), torch.device) and moved.dtype is torch.float64:
            raise TypeError("the MPS framework does not support float64")
        return moved

    images = noise(3)
    expected = model.encode(images)
    monkeypatch.setattr(Tensor, "to", move_like_mps)
    found = model.encode(images.numpy() / 255)
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-5, atol=1e-6)


def test_more_images_than_a_batch_are_each_computed(model: aecli.Model) -> None:
    images = noise(EVALUATION_BATCH + 3)
    torch.testing.assert_close(model.encode(images)[-3:], model.encode(images[-3:]))


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (noise(2)[0], r"shape \(N, 28, 28\) are not valid: give \(N, 1, 28, 28\)"),
        (noise(2)[..., :27], r"give \(N, 1, 28, 28\)"),
        (noise(2).float(), r"values from 0 to 255 .* give floats in \[0, 1\], or uint8"),
        (noise(2) / 255 - 1e-3, "give floats in"),
        (noise(2) * torch.nan, "give floats in"),
        (noise(2).long(), "images of torch.int64 are not valid: give uint8"),
        (torch.tensor(1.0), "give an array with a row for each image"),
        ("images", "str is not valid: give a numpy array or a tensor"),
        (None, "NoneType is not valid"),
    ],
)
def test_invalid_images_are_refused(model: aecli.Model, images: Tensor, message: str) -> None:
    with pytest.raises(aecli.AecliError, match=message):
        model.encode(images)
    with pytest.raises(aecli.AecliError, match=message):
        model.reconstruct(images)


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (torch.zeros(2, 4), r"shape \(N, 4\) are not valid: give \(N, 3\)"),
        (torch.zeros(3), r"give \(N, 3\)"),
        (torch.zeros(2, 3).long(), "codes of torch.int64 are not valid: give floats"),
    ],
)
def test_invalid_codes_are_refused(model: aecli.Model, codes: Tensor, message: str) -> None:
    with pytest.raises(aecli.AecliError, match=message):
        model.decode(codes)


def test_configuration_summary_and_images_are_those_of_the_run(
    model: aecli.Model, folder: Path
) -> None:
    assert (model.config.latent, model.config.data.std) == (3, 0.5)
    assert model.summary == json.loads((folder / "summary.json").read_bytes())
    test = model.data().test
    assert (test.images.shape, test.images.dtype) == ((100, 1, 28, 28), torch.uint8)
    errors = (model.reconstruct(test.images) - test.images / 255).square().mean()
    assert errors.item() == pytest.approx(model.summary["test"]["mse"], rel=1e-5)


def test_a_model_is_shown_in_a_notebook(model: aecli.Model) -> None:
    error = f"{model.summary['test']['mse']:.6f} on synthetic"
    assert error in repr(model) and error in model._repr_html_()
    model.config.name = "<script>"
    assert "<script>" not in model._repr_html_()


def test_a_name_is_looked_up_as_on_the_command_line(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(folder, tmp_path / "outputs" / "b" / "one")
    monkeypatch.chdir(tmp_path)
    assert aecli.load("latest").path == Path("outputs/b/one")
    with pytest.raises(UsageError, match="is not a folder"):
        aecli.load("nothing")


# A folder of its own


@pytest.mark.parametrize("options", [["model=fc"], ["model=denoising", "upsample=nearest"]])
def test_a_saved_model_computes_the_same_without_the_data(
    options: list[str], data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = train_once(tmp_path / "run", data_dir, *options, "latent=2", "data.train_size=64")
    model, images = aecli.load(run), noise(9)
    saved = model.save_pretrained(tmp_path / "new" / "model")
    assert saved == tmp_path / "new" / "model"
    names = {path.name for path in saved.iterdir()}
    assert names == {"model.safetensors", "config.json", "README.md", "manifest.json"}
    for name in ("config.json", "README.md"):  # nothing of the machine that trained it
        assert str(data_dir.parent) not in (saved / name).read_text()
        assert str(tmp_path) not in (saved / name).read_text()
    test_images = model.data().test.images
    shutil.rmtree(run)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("AECLI_DATA", raising=False)

    loaded = aecli.load(saved)
    assert torch.equal(loaded.encode(images), model.encode(images))
    assert torch.equal(loaded.reconstruct(images), model.reconstruct(images))
    assert loaded.summary["test"] == model.summary["test"]
    assert loaded.config.model == model.config.model
    with_data = aecli.load(saved, data_dir=str(data_dir))
    assert torch.equal(with_data.data().test.images, test_images)
    again = loaded.save_pretrained(tmp_path / "again")
    assert (again / "config.json").read_bytes() == (saved / "config.json").read_bytes()


def test_other_images_are_not_taken_for_those_of_the_model(
    model: aecli.Model, data_dir: Path, tmp_path: Path
) -> None:
    saved = model.save_pretrained(tmp_path / "model")
    content = json.loads((saved / "config.json").read_bytes())
    content["summary"]["data"]["fingerprints"]["test"] = "0"
    (saved / "config.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match="is not what the model was trained on"):
        aecli.load(saved, data_dir=str(data_dir)).data()


def test_a_saved_model_looks_for_the_images_where_this_machine_has_them(
    model: aecli.Model, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = model.save_pretrained(tmp_path / "model")
    config = json.loads((saved / "config.json").read_bytes())["config"]
    assert not {"data_dir", "output_dir", "device"} & config.keys()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AECLI_DATA", str(data_dir))
    images = aecli.load(saved).data().test.images
    assert torch.equal(images, model.data().test.images)


def test_a_saved_model_names_no_folder_of_the_machine_that_trained_it(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = tmp_path / "private" / "photos"
    for name in ("a", "b"):
        (images / name).mkdir(parents=True)
        for number in range(12):
            pixels = noise(1)[0, 0].numpy().copy()
            pixels[0, 0], pixels[0, 1] = number, ord(name)
            Image.fromarray(pixels).save(images / name / f"{number}.png")
    monkeypatch.chdir(tmp_path)
    own = ["model=fc", "latent=2", "epochs=1", "device=cpu"]
    first = aecli.train("data=folder", f"path={images}", *own, "hydra.run.dir=private/first")
    second = aecli.train(
        "data=folder", f"path={images}", *own, "init=private/first", "hydra.run.dir=private/second"
    )
    for model, name in ((first, "one"), (second, "two")):
        model.summary["closed"] = f"loss became nan; see {tmp_path}/private/first"
        saved = model.save_pretrained(tmp_path / name)
        for file in ("config.json", "README.md"):
            assert "private" not in (saved / file).read_text()
        again = aecli.load(saved).save_pretrained(tmp_path / "again" / name)
        assert (again / "config.json").read_bytes() == (saved / "config.json").read_bytes()
    assert "aecli train data=folder path=FOLDER model=fc" in Path("one/README.md").read_text()
    card = Path("two/README.md").read_text()
    assert "began with the weights of another run, first." in card and "aecli train" not in card


def test_the_card_has_the_errors_of_pca_and_the_command(model: aecli.Model, tmp_path: Path) -> None:
    card = (model.save_pretrained(tmp_path / "model") / "README.md").read_text()
    for scores in (model.summary["test"], model.summary["baselines"]["pca"]):
        assert f"{scores['mse']:.6f} | {scores['psnr']:.2f} | {scores['ssim']:.4f} |" in card
    assert "aecli train data=synthetic" in card and "model=fc latent=3 data.mean=0.1" in card
    assert "data_dir" not in card and "hydra.run.dir" not in card
    assert "Licence: MIT, as aecli" in card


def test_the_card_says_what_the_errors_were_measured_on(data_dir: Path, tmp_path: Path) -> None:
    line = ["upsample=max_unpool", "latent=2", "corruption=salt_and_pepper"]
    model = aecli.load(train_once(tmp_path / "run", data_dir, *line))
    model.summary["closed"], model.config.epochs = "interrupted", 5
    card = (model.save_pretrained(tmp_path / "model") / "README.md").read_text()
    assert "reconstructed from corrupted inputs (salt-and-pepper):" in card
    assert "Beside PCA: the max-pooling indices bypass the code" in card
    assert "epochs: 1 of 5 (closed early)," in card


def test_a_model_is_saved_where_it_is_looked_for(
    model: aecli.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert model.save_pretrained("~/model") == tmp_path / "model"
    assert aecli.load("~/model").path == tmp_path / "model"


def test_a_command_that_no_longer_gives_the_same_run_is_left_out(
    folder: Path, tmp_path: Path
) -> None:
    run = RunDirectory(Path(shutil.copytree(folder, tmp_path / "run")))
    config = run.load_config()
    assert training_line(run.path, config) is not None
    config.epochs = 2  # as after resume=... epochs=2
    assert training_line(run.path, config) is None
    config.epochs = 1
    for content in ("[1, 2]", "a: b", "'", "- model=nothing"):
        (run.path / ".hydra" / "overrides.yaml").write_text(content)
        assert training_line(run.path, config) is None


def test_only_what_it_wrote_is_replaced(model: aecli.Model, folder: Path, tmp_path: Path) -> None:
    saved = model.save_pretrained(tmp_path / "model")
    (saved / "notes.txt").write_text("mine")
    model.save_pretrained(saved)
    assert (saved / "notes.txt").read_text() == "mine"
    (saved / "README.md").write_text("a better card")
    with pytest.raises(StorageError, match=r"README.md has been changed since aecli wrote it"):
        model.save_pretrained(saved)
    assert (saved / "README.md").read_text() == "a better card"
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text("{}")
    with pytest.raises(StorageError, match=r"config.json was not written by aecli"):
        model.save_pretrained(tmp_path / "other")
    with pytest.raises(UsageError, match="folder=.* is a run: give a folder"):
        model.save_pretrained(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2, "aecli": "9.9"}, "has the format 2, .* install the version '9.9'"),
        ({"config": None}, "it is not an aecli configuration"),
        ({"config": {"_target_": "os.system"}}, "it is not an aecli configuration"),
        ({"summary": {}}, "test.mse is missing"),
        ({"summary": None}, "it has no summary"),
    ],
)
def test_a_damaged_folder_is_named(
    change: dict[str, object], message: str, model: aecli.Model, tmp_path: Path
) -> None:
    saved = model.save_pretrained(tmp_path / "model")
    content = json.loads((saved / "config.json").read_bytes())
    (saved / "config.json").write_text(json.dumps({**content, **change}))
    with pytest.raises(StorageError, match=message):
        aecli.load(saved)


def test_damaged_weights_are_named(model: aecli.Model, tmp_path: Path) -> None:
    weights = model.save_pretrained(tmp_path / "model") / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(StorageError, match="model.safetensors cannot be used"):
        aecli.load(weights.parent)
    weights.unlink()
    with pytest.raises(StorageError, match="model.safetensors cannot be read"):
        aecli.load(weights.parent)
    (weights.parent / "config.json").write_text("{")
    with pytest.raises(StorageError, match="config.json"):
        aecli.load(weights.parent)


# Training and comparing


def test_images_that_were_added_since_the_last_training_are_trained_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    counts = []
    for number, pixels in enumerate(noise(40)[:, 0].numpy()):
        Image.fromarray(pixels).save(f"photos/{number}.png")
        if number in (19, 39):
            line = ["data=folder", "path=photos", "data.val_size=2", "epochs=1", "device=cpu"]
            data = aecli.train(*line, model="fc", latent=2).summary["data"]
            counts.append(data["train"] + data["validation"] + data["test"])
    assert counts == [20, 40]


def test_training_is_that_of_the_command_line(aecli: Cli, tmp_path: Path) -> None:
    import aecli as package

    line = ["model=fc", "latent=2", "data.train_size=64"]
    assert aecli("train", *TINY, *line, "hydra.run.dir=typed") == 0
    keys = {"model": "fc", "latent": 2, "hydra.run.dir": "called"}
    model = package.train(*TINY, "data.train_size=64", **keys)
    weights = [Path(name, "best.safetensors").read_bytes() for name in ("typed", "called")]
    assert weights[0] == weights[1]
    assert (model.path, model.latent) == (Path("called"), 2)


def test_keywords_are_what_the_command_line_has(aecli: Cli) -> None:
    import aecli as package

    keys = {"model": "fc", "model.widths": [5, 4], "patience": None, "lr": np.float64(0.002)}
    model = package.train(*TINY, **keys, latent=2, name="a", output_dir=Path("o, u"))
    assert (model.config.model.widths, model.config.patience) == ([5, 4], None)
    assert (model.config.lr, model.path.parts[:2]) == (0.002, ("o, u", "a"))
    line = training_line(model.path, model.config)
    assert line is not None and line.endswith("model=fc 'model.widths=[5,4]' patience=null "
                                              "lr=0.002 latent=2 name=a")  # fmt: skip


@pytest.mark.parametrize(
    ("line", "keys", "message"),
    [
        ([], {"latnt": 3}, "there is no key 'latnt': did you mean latent"),
        ([], {"model": "cnv"}, "model=cnv: did you mean conv"),
        ([], {"epochs": 0}, "epochs"),
        (["latent=2,3"], {}, "names several values"),
        (["resume=latest"], {}, "resume= is for the command line: leave it out"),
        (["train"], {}, "train"),
    ],
)
def test_mistakes_are_answered_as_on_the_command_line(
    line: list[str], keys: dict[str, object], message: str
) -> None:
    with pytest.raises(aecli.AecliError, match=message):
        aecli.train(*line, **keys)


@pytest.mark.parametrize(
    ("value", "typed"),
    [
        (None, "null"),
        (True, "true"),
        ([3, 5], "[3,5]"),
        (["a, b"], "['a, b']"),
        (0.1, "0.1"),
        ("a, b", "a, b"),
    ],
)
def test_values_are_typed_as_the_command_line_has_them(value: object, typed: str) -> None:
    from aecli.api.training import _typed

    assert _typed(value) == typed


@pytest.mark.undrawn("compare")
def test_a_comparison_has_the_rows_of_its_csv(
    aecli: Cli, data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import aecli as package

    for latent in (2, 3):
        train_once(tmp_path / f"run{latent}", data_dir, "model=fc", f"latent={latent}")
    before = {*tmp_path.rglob("*")}
    comparison = package.compare([tmp_path / "run2", tmp_path / "run3"])
    assert {*tmp_path.rglob("*")} == before  # nothing is written
    assert aecli("compare", str(tmp_path), "output=compared") == 0
    with open(tmp_path / "compared" / "table.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    shown = [
        {name: "" if value is None else str(value) for name, value in row.items()}
        for row in comparison.table
    ]
    assert shown == rows
    assert [row["latent"] for row in comparison.table] == [2, 3]
    assert repr(comparison).startswith("| model | latent |")
    page = comparison._repr_html_()
    assert page.count("<tr") == 3 and "latent" in page
    assert all(each.partition(" ")[0] in page for each in comparison.findings)
    assert package.compare(tmp_path).table == comparison.table
    with pytest.raises(UsageError, match="there is nothing to compare"):
        package.compare([])


def test_the_code_in_the_documentation_runs(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (Path(__file__).parents[1] / "docs" / "python.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    for name in ("conv-z25", "latent"):
        shutil.copytree(folder, tmp_path / "outputs" / name / "one")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"aecli": aecli}
    for block in blocks:
        if "aecli.train" not in block:  # which takes minutes
            exec(block, names)
    assert names["outputs"].shape == (100, 1, 28, 28)
    assert (tmp_path / "conv-z25" / "README.md").is_file()
