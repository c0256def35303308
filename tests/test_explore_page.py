"""The page of `aecli explore`, in a browser."""

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

import aecli.analysis.explore
from aecli.analysis.explore.content import Content, check_count, describe
from aecli.analysis.explore.page import explore_page
from aecli.baselines.pca import pca_of
from aecli.data.batches import to_pixels
from aecli.errors import UsageError
from aecli.runs.directory import RunDirectory
from aecli.runs.trained import Trained, open_run
from tests.browser import Browser, opened
from tests.conftest import train_once
from tests.undrawn import undrawn_training

Aecli = Callable[..., int]

SCRIPTS = sorted(Path(aecli.analysis.explore.__file__).parent.glob("*.js"))
LINES = {
    "plane": ["model=fc", "latent=2"],
    "unpooling": ["model=conv", "latent=3", "upsample=max_unpool"],
    "denoising": ["model=denoising", "latent=4", "model.layers.0.channels=4"],
    "whole": ["model=fc", "latent=784", "data.val_size=0", "keep=last"],
}

HARMFUL = "</script><script>alert(1)</script>"
NAMES = ("plane", "unpooling", "denoising")


@pytest.fixture(scope="module")
def trained(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished run of each kind; not to be written to."""
    folder = tmp_path_factory.mktemp("explore")
    with undrawn_training():
        for name in NAMES:
            train_once(folder / name, data_dir, *LINES[name], f"name={name}")
    return folder


def write(
    models: list[Trained], path: Path, change: Callable[[Content], None] = lambda _: None
) -> int:
    """Write the page of some runs; returns its size."""
    content = describe(models, 20, seed=0)
    change(content)
    return path.write_bytes(explore_page("<b> & such", content, "aecli explore <x>").encode())


def settled(browser: Browser, expression: str = "0") -> Any:
    """The value of some JavaScript, and then the page has been drawn anew."""
    script = f"""(async () => {{
      const later = milliseconds => new Promise(done => setTimeout(done, milliseconds));
      const drawn = async () => {{
        for (let n = 0; n < 3; n++) await new Promise(requestAnimationFrame);
      }};
      while (document.body.dataset.ready !== "true") await later(20);
      await drawn();
      const value = {expression};
      await drawn();
      return value ?? null;
    }})()"""
    result = browser.call(
        "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
    )
    assert "exceptionDetails" not in result, result
    return result["result"]["value"]


def click(browser: Browser, name: str) -> None:
    settled(browser, f"document.getElementById('{name}').click()")


def texts_of(browser: Browser, selector: str) -> list[str]:
    found = f"[...document.querySelectorAll('{selector}')].map(each => each.textContent)"
    return list(settled(browser, found))


def captions(browser: Browser, parent: str) -> list[str]:
    return texts_of(browser, f"{parent} figcaption")


def painted(browser: Browser, selector: str) -> NDArray[np.float64]:
    """The red levels of a canvas, (H, W)."""
    found = settled(
        browser,
        f"""(() => {{
          const canvas = document.querySelector("{selector}"), {{width, height}} = canvas;
          const copy = Object.assign(document.createElement("canvas"), {{width, height}});
          const context = copy.getContext("2d", {{willReadFrequently: true}});
          context.drawImage(canvas, 0, 0);
          const {{data}} = context.getImageData(0, 0, width, height);
          return [height, width, Array.from(data).filter((_, n) => n % 4 === 0)];
        }})()""",
    )
    return np.array(found[2], dtype=float).reshape(found[:2])


def levels(image: torch.Tensor) -> NDArray[np.float64]:
    return np.asarray((image.squeeze() * 255).double().numpy())


def point(browser: Browser, kind: str, selector: str, x: float, y: float) -> None:
    """Move a pressed pointer to a place of an element, as shares of its sides."""
    settled(
        browser,
        f"""(() => {{
          const target = document.querySelector("{selector}"), box = target.getBoundingClientRect();
          target.setPointerCapture = () => {{}};
          target.dispatchEvent(new PointerEvent("pointer{kind}", {{bubbles: true, buttons: 1,
            clientX: box.left + {x} * box.width, clientY: box.top + {y} * box.height}}));
        }})()""",
    )


def press(browser: Browser, name: str, key: str) -> None:
    event = f"new KeyboardEvent('keydown', {{key: '{key}', bubbles: true}})"
    settled(browser, f"document.getElementById('{name}').dispatchEvent({event})")


@pytest.fixture(scope="module")
def page(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of all of them, with names that would do harm where they are not escaped."""
    models = [
        open_run(trained / name, device="cpu") for name in ("plane", "unpooling", "denoising")
    ]

    def spoil(content: Content) -> None:
        content.values["runs"][1]["name"] = HARMFUL
        content.values["images"]["classes"][0] = "<img src=x onerror=alert(1)>"

    path = tmp_path_factory.mktemp("page") / "index.html"
    write(models, path, spoil)
    return path


def test_the_page_is_the_network(trained: Path, page: Path) -> None:
    plane, unpooling, _ = models = [open_run(trained / name, device="cpu") for name in NAMES]
    content = describe(models, 20, seed=0)
    first = int(content.values["images"]["names"][0])
    pixels = to_pixels(plane.images.images[first : first + 1])
    with opened(page) as browser, torch.inference_mode():
        _check_plane(browser, plane, pixels)
        _check_sliders(browser, unpooling, pixels)
        _check_between(browser, unpooling, pixels)
        _check_drawing(browser)
        legend = "document.querySelector('#legend li').textContent"
        assert settled(browser, legend) == "<img src=x onerror=alert(1)>"
        assert browser.evaluate("document.querySelector('h1').textContent") == "<b> & such"
        assert browser.complaints() == []
        assert browser.requests() == [page.as_uri()]


def _check_plane(browser: Browser, trained: Trained, pixels: torch.Tensor) -> None:
    large = "#codes-pictures canvas"
    assert abs(painted(browser, large) - levels(trained.reconstruct(pixels))).max() <= 1
    point(browser, "down", "#map", 0.4, 0.6)
    text = captions(browser, "#codes-pictures")[0]
    assert text.startswith("decodedfrom (")
    code = [float(each.replace("−", "-")) for each in re.findall(r"[−0-9.]+", text)]
    decoded = levels(trained.decode(torch.tensor([code])))
    assert abs(painted(browser, large) - decoded).max() <= 3  # the code is shown with two digits
    press(browser, "map", "ArrowRight")
    assert captions(browser, "#codes-pictures")[0] != text
    click(browser, "background")
    assert browser.complaints() == []


def _check_sliders(browser: Browser, trained: Trained, pixels: torch.Tensor) -> None:
    choose = """(() => {
      const choice = document.getElementById("run");
      choice.value = "1";
      choice.dispatchEvent(new Event("change"));
      return choice.selectedOptions[0].textContent;
    })()"""
    assert settled(browser, choose) == HARMFUL
    assert "positions of maxima" in settled(
        browser, "document.getElementById('caveats').textContent"
    )
    press(browser, "map", "ArrowRight")
    point(browser, "down", "#map", 0.5, 0.5)
    texts = captions(browser, "#codes-pictures")
    assert texts[0] == "reconstruction"
    number = int(re.findall(r"test image (\d+)", texts[1])[0])
    image = to_pixels(trained.images.images[number : number + 1])
    large, pca = "#codes-pictures canvas", "#codes-pictures figure:nth-child(3) canvas"
    assert abs(painted(browser, large) - levels(trained.reconstruct(image))).max() <= 1
    components = pca_of(trained.data().train, 3)
    assert abs(painted(browser, pca) - levels(components.reconstruct(image, 3))).max() <= 1
    shares = settled(
        browser,
        "[...document.querySelectorAll('.share')].map(each => parseFloat(each.textContent))",
    )
    assert len(shares) == 3 and sum(shares) == pytest.approx(100, abs=0.2)
    slide = """(() => {
      const slider = document.getElementById("direction-0");
      slider.value = "2";
      slider.dispatchEvent(new Event("input"));
    })()"""
    settled(browser, slide)
    assert captions(browser, "#codes-pictures")[0] == "decoded"
    click(browser, "mean-code")
    codes = trained.codes(trained.data().train.images)
    mean = trained.decode(codes.mean(0, keepdim=True))
    assert abs(painted(browser, large) - levels(mean)).max() <= 1


def _check_between(browser: Browser, trained: Trained, pixels: torch.Tensor) -> None:
    click(browser, "tab-between")
    slide = """(() => {
      document.getElementById("way").value = "0";
      document.getElementById("way").dispatchEvent(new Event("input"));
    })()"""
    settled(browser, slide)
    latent, pixel = (
        painted(browser, f"#between-pictures figure:nth-child({n}) canvas") for n in (2, 3)
    )
    assert abs(latent - levels(trained.decode(trained.encode(pixels)))).max() <= 1
    assert abs(pixel - levels(pixels)).max() <= 1
    click(browser, "first-other")
    assert len(captions(browser, "#between-pictures")) == 4


def _check_drawing(browser: Browser) -> None:
    click(browser, "tab-draw")
    click(browser, "clear")
    assert painted(browser, "#sheet").max() == 0
    point(browser, "down", "#sheet", 0.2, 0.2)
    point(browser, "move", "#sheet", 0.2, 0.8)
    point(browser, "up", "#sheet", 0.2, 0.8)
    drawn = painted(browser, "#sheet")
    assert drawn[6:22, 5].min() > 200 and drawn[:, 14:].max() == 0
    assert texts_of(browser, ".result h3") == [
        "plane 2 numbers",
        f"{HARMFUL} 3 numbers",
        "denoising 4 numbers",
    ]
    texts = captions(browser, ".result:nth-child(3)")
    assert [re.sub(r"mse .*", "", text) for text in texts] == [
        "what it sees",
        "restored",
        "PCA",
        "error",
    ]
    noise = """(() => {
      document.getElementById("noise").value = "0";
      document.getElementById("noise").dispatchEvent(new Event("input"));
    })()"""
    settled(browser, noise)
    assert captions(browser, ".result:nth-child(3)")[0] == "what it seesmse 0"
    # Without the noise, what it sees is the drawing, whose middle is that of the image.
    seen = painted(browser, ".result:nth-child(3) canvas")
    assert seen[:, 13:15].max() > 200 and seen[:, :8].max() == 0
    assert all("validation image" in text for text in texts_of(browser, ".unusual"))
    for key in (" ", "ArrowUp", "ArrowUp", " "):
        press(browser, "sheet", key)
    assert painted(browser, "#sheet")[12, 14] > 200


def test_a_drawing_at_a_lower_resolution_is_what_the_encoder_was_trained_on(
    data_dir: Path, tmp_path: Path
) -> None:
    folder = train_once(tmp_path / "run", data_dir, "latent=3", "corruption=downsample", "factor=4")
    trained = open_run(folder, device="cpu")
    path = tmp_path / "page.html"
    size = write([trained], path)
    assert size < 1_000_000
    from aecli.data.corruption import downsample

    first = int(describe([trained], 20, seed=0).values["images"]["names"][0])
    pixels = to_pixels(trained.images.images[first : first + 1])
    with opened(path) as browser:
        click(browser, "tab-draw")
        assert abs(painted(browser, ".result canvas") - levels(downsample(pixels, 4))).max() <= 1
        click(browser, "low")
        assert captions(browser, ".result")[0] == "what it seesmse 0"
        assert browser.complaints() == []


def test_nothing_in_the_page_can_run_but_its_script(page: Path) -> None:
    content = page.read_text(encoding="utf-8")
    policy = re.findall(r'Content-Security-Policy" content="(.*?)"', content)[0]
    assert policy.startswith("default-src 'none'; style-src 'sha256-") and "unsafe" not in policy
    assert content.count("<script") == 3 and content.count("</script>") == 3
    assert not re.search(
        r" on[a-z]+=|style=|<img", re.sub(r"<script.*?</script>", "", content, flags=re.S)
    )
    for script in SCRIPTS:
        text = script.read_text(encoding="utf-8")
        assert not re.search(
            r"\beval\(|\bFunction\(|innerHTML|insertAdjacent|document\.write", text
        )


def test_the_command_writes_a_page_into_the_run(
    run: RunDirectory, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    assert aecli("explore", str(run.path), "n=10") == 0
    page = run.path / "explore/index.html"
    assert f"{page} (" in capsys.readouterr().out
    assert page.stat().st_size < 1_000_000
    numbers = json.loads((run.path / "explore/numbers.json").read_text())
    assert ">A test image<" in page.read_text(encoding="utf-8")
    assert numbers["images"] == 10 and numbers["bytes"] == page.stat().st_size
    assert numbers["runs"] == {str(run.path): "float32"}


def test_the_page_of_a_folder_of_runs_is_in_it(
    trained: Path, aecli: Aecli, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(trained, tmp_path / "runs"))
    (folder / "unpooling/summary.json").unlink()
    assert aecli("explore", str(folder), "n=5") == 0
    assert "1 of 3 runs are not finished" in capsys.readouterr().err
    numbers = json.loads((folder / "explore/numbers.json").read_text())
    assert [Path(path).name for path in numbers["runs"]] == ["denoising", "plane"]
    assert aecli("explore", str(folder / "plane"), str(folder / "denoising"), "n=5") == 0
    assert len(list(Path("outputs/explore").glob("*/index.html"))) == 1


def test_codes_as_large_as_the_image_need_no_components(
    data_dir: Path, aecli: Aecli, tmp_path: Path
) -> None:
    folder = train_once(tmp_path / "run", data_dir, *LINES["whole"])
    content = describe([open_run(folder, device="cpu")], 5, seed=0)
    assert content.values["pca"]["count"] == 0
    assert content.values["runs"][0]["usual"] is None


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ([], "explore takes the folder of a finished run or of a sweep: give one"),
        (["RUN", "n=1"], "n=1 is not valid: give 2 to 2,000"),
        (["nowhere"], "nowhere"),
        (["RUN", "output=RUN"], "is a run: give a folder for the results alone"),
    ],
)
def test_mistakes_are_answered(
    line: list[str],
    message: str,
    run: RunDirectory,
    aecli: Aecli,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert aecli("explore", *(each.replace("RUN", str(run.path)) for each in line)) == 2
    errors = capsys.readouterr().err
    assert message in errors and errors.count("\n") == 1
    assert not (run.path / "explore").exists()


def test_runs_on_other_images_are_refused(
    run: RunDirectory,
    data_dir: Path,
    aecli: Aecli,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    other = train_once(tmp_path / "other", data_dir, "latent=3", "data.test_size=50")
    capsys.readouterr()
    assert aecli("explore", str(run.path), str(other)) == 2
    assert "whose test images are others: give runs on the same images" in capsys.readouterr().err


def test_too_many_images_are_refused() -> None:
    with pytest.raises(UsageError, match="n=2001 is not valid: give 2 to 2,000"):
        check_count(2001)


def test_a_drawing_is_binarized_for_a_network_trained_on_binarized_images(
    data_dir: Path, tmp_path: Path
) -> None:
    line = ["model=fc", "latent=3", "regularizer=vae", "loss=bce"]
    own = ["corruption=binarize", "corruption.target=input"]
    trained = open_run(train_once(tmp_path / "run", data_dir, *line, *own), device="cpu")
    path = tmp_path / "page.html"
    write([trained], path)
    first = int(describe([trained], 20, seed=0).values["images"]["names"][0])
    image = levels(to_pixels(trained.images.images[first : first + 1]))
    with opened(path) as browser:
        click(browser, "tab-draw")
        assert not settled(browser, "!!document.getElementById('noise')")
        seen = painted(browser, ".result canvas")
        assert {*np.unique(seen)} == {0, 255}
        # White with the probability of the grey value: black stays black, and so does white.
        assert (seen[image == 0] == 0).all() and (seen[image == 255] == 255).all()
        expected, spread = image.sum() / 255, np.sqrt((image / 255 * (1 - image / 255)).sum())
        assert abs(seen.sum() / 255 - expected) < 6 * spread
        texts = captions(browser, ".result")
        assert texts[1].startswith("reconstruction")
        click(browser, "new-noise")
        assert (painted(browser, ".result canvas") != seen).any()
        click(browser, "binary")
        assert captions(browser, ".result")[0] == "what it seesmse 0"
        assert browser.complaints() == []


def test_points_of_a_curve_have_a_plane_of_codes(data_dir: Path, tmp_path: Path) -> None:
    folder = train_once(tmp_path / "run", data_dir, "data=curve", "model=fc", "latent=2")
    path = tmp_path / "page.html"
    write([open_run(folder, device="cpu")], path)
    with opened(path) as browser:
        texts = captions(browser, "#codes-pictures")
        assert len(texts) == 5 and not any("NaN" in text for text in texts)
        assert browser.complaints() == []


def test_usual_errors_are_measured_on_the_validation_images(data_dir: Path, tmp_path: Path) -> None:
    without = ["data.val_size=0", "keep=last", "data.train_size=300"]
    folders = [
        train_once(tmp_path / name, data_dir, "model=fc", "latent=3", *line)
        for name, line in (("without", without), ("with", []))
    ]
    first, second = (open_run(folder, device="cpu") for folder in folders)
    both = describe([first, second], 5, seed=0).values["runs"]
    alone = describe([second], 5, seed=0).values["runs"]
    assert both[0]["usual"] is None
    assert both[1]["usual"] == alone[0]["usual"]
    assert both[1]["deviations"] == alone[0]["deviations"]


@pytest.mark.undrawn("compare")
@pytest.mark.parametrize("command", ["explore", "compare"])
def test_a_page_is_written_for_a_folder_whose_name_is_not_text(
    command: str, run: RunDirectory, aecli: Aecli, tmp_path: Path
) -> None:
    folder = tmp_path / os.fsdecode(b"r\xff")
    run.path.rename(folder)
    assert aecli(command, str(folder)) == 0
    [page] = (folder / command).glob("*.html")
    assert r"r\udcff" in page.read_text(encoding="utf-8")


def test_own_images_are_not_called_test_images(
    run: RunDirectory, aecli: Aecli, tmp_path: Path
) -> None:
    for number in range(3):
        Image.fromarray(np.full((28, 28), 60 * number, np.uint8)).save(tmp_path / f"{number}.png")
    own = [f"images={tmp_path / f'{number}.png'}" for number in range(3)]
    assert aecli("explore", str(run.path), *own) == 0
    page = (run.path / "explore/index.html").read_text(encoding="utf-8")
    assert ">An image<" in page and "test image" not in page
