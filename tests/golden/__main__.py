"""Write the runs of this version."""

import shutil
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from aecli import __version__
from aecli.cli import main as cli
from aecli.runs.directory import EVENTS, RunDirectory
from aecli.training import loop
from tests.golden import FINISHED, GOLDEN, IMAGES, INTERRUPTED, LINE


def draw_images() -> None:
    """Two classes of 6x6 pixels: horizontal and vertical bars in different places and shades."""
    for name in ("horizontal", "vertical"):
        (IMAGES / name).mkdir(parents=True, exist_ok=True)
        for number in range(24):
            pixels = np.zeros((6, 6), np.uint8)
            pixels[number % 6] = 60 * (1 + number // 6)
            picture = Image.fromarray(pixels if name == "horizontal" else pixels.T.copy())
            picture.save(IMAGES / name / f"{number:02}.png")


def interrupt_in(epoch: int) -> None:
    """End the next training as by Ctrl-C, in the middle of `epoch`."""
    train_epoch = loop.train_epoch

    def train_and_interrupt(config, data, state, step, on_step_end):  # type: ignore[no-untyped-def]
        if state.epoch == epoch:
            raise KeyboardInterrupt
        return train_epoch(config, data, state, step, on_step_end)

    loop.train_epoch = train_and_interrupt


def keep(run: Path, folder: Path) -> None:
    """Copy what a later version reads; figures and event files are a hundred times as large."""
    dropped = {path.name for path in run.glob(EVENTS)} | {"figures", ".hydra"}
    shutil.copytree(run, folder, ignore=lambda *_: dropped)


def main() -> None:
    folder = GOLDEN / __version__
    if folder.exists():
        raise SystemExit(f"{folder} exists: the runs of a version are written once")
    if not IMAGES.exists():
        draw_images()
    with tempfile.TemporaryDirectory() as scratch:
        finished, interrupted = Path(scratch, FINISHED), Path(scratch, INTERRUPTED)
        # The images are in another place now than when the runs were trained.
        images = shutil.copytree(IMAGES, Path(scratch, IMAGES.name))
        line = [*LINE, f"path={images}", f"data_dir={scratch}"]
        assert cli.run([*line, f"hydra.run.dir={finished}"]) == 0
        interrupt_in(3)
        assert cli.run([*line, f"hydra.run.dir={interrupted}"]) == 130
        for run in (finished, interrupted):
            assert RunDirectory(run).load_config()
            keep(run, folder / run.name)


if __name__ == "__main__":
    main()
