"""What only a GPU can show, and how fast it is: `make gpu`.

Every check trains a little twice and compares the two to the bit. Then a table of seconds an epoch,
on MNIST where it is on disk. It needs only an installed aecli; without a CUDA device there is
nothing to do.
"""

import contextlib
import io
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import patch

import torch
from torch import Tensor

from aecli.cli.compose import compose
from aecli.cli.main import run
from aecli.config import Precision, TrainConfig, config_groups
from aecli.data import Data, Split, load_data
from aecli.errors import Terminated
from aecli.runtime.device import open_device
from aecli.training import step as step_module
from aecli.training.loop import new_model, train_epoch, training_step
from aecli.training.state import TrainingState
from aecli.training.step import CapturedCall, TrainingStep
from tests.same_run import assert_same_run

MODELS = ["fc", "conv", "denoising", "deep"]
SHORT = ["latent=4", "batch_size=16", "epochs=2"]
IMAGES = 120  # seven batches of 16, and a smaller one

# What is checked: captured steps against eager ones, and a training against its repetition.
LINES = [
    *([f"model={model}"] for model in MODELS),
    *([f"model={model}", "precision=bf16"] for model in MODELS),
    *(["model=conv", f"upsample={each}"] for each in config_groups()["upsample"]),
    *(["model=conv", f"corruption={each}"] for each in config_groups()["corruption"]),
    *(["model=conv", f"regularizer={each}"] for each in config_groups()["regularizer"]),
    ["model=denoising", "regularizer=vae", "regularizer.warmup=1", "precision=bf16"],
    ["model=denoising", "regularizer=contractive"],
    ["model=fc", "regularizer=contractive"],
    ["model=fc", "regularizer=sparse", "regularizer.activity=0.1", "model.code_activation=sigmoid"],
    ["model=fc", "loss=bce", "model.tied=true"],
    ["model=conv", "loss=l1"],
    ["model=conv", "optimizer.clip_norm=1e-3"],
    ["model=conv", "optimizer=adam_cosine"],
    ["model=conv", "data.mean=0.1307", "data.std=0.3081"],
]

# A training -> commands that compute on the device with its run.
TINY = "train latent=4 epochs=1 data.train_size=2000 data.val_size=100 data.test_size=500"
COMMANDS = {
    f"{TINY} model=conv": [
        *["evaluate RUN", "reconstruct RUN", "embed RUN", "interpolate RUN", "explore RUN n=200"],
        *["sample RUN density=gmm components=2", "compress RUN n=100", "probe RUN draws=2"],
        *["denoise RUN n=20", "robust RUN n=100"],
    ],
    f"{TINY} model=fc regularizer=vae loss=bce": ["evaluate RUN likelihood=5", "sample RUN"],
    f"{TINY} model=conv corruption=downsample": ["superres RUN"],
    f"{TINY} model=conv data.exclude_classes=[1]": ["anomaly RUN"],
}


class EagerCall(CapturedCall):
    """A call that would be captured and replayed, made each time instead."""

    def __call__(self) -> None:
        self._eager_calls = 0
        super().__call__()


def numbered_images(count: int, device: torch.device) -> Data:
    """Images of noise whose first pixel is the number of the image."""
    pixels = torch.randint(256, (count, 1, 28, 28), generator=torch.Generator().manual_seed(1))
    pixels[:, 0, 0, 0] = torch.arange(count)
    split = Split(pixels.to(torch.uint8), torch.zeros(count, dtype=torch.int64)).to(device)
    return Data("noise", "noise", "noise", "a test", None, split, split, split)


def begun(config: TrainConfig, data: Data) -> tuple[TrainingState, TrainingStep]:
    """A training before its first step."""
    state = TrainingState(config, new_model(config, data), data.fingerprints)
    return state, training_step(config, data, state)


def two_epochs(line: list[str], data: Data, first: int = 0) -> TrainingState:
    """Train for two epochs, the first of them from the step `first` on."""
    config = compose([*SHORT, *line])
    state, step = begun(config, data)
    state.step = first
    for _ in range(2):
        train_epoch(config, data, state, step, lambda: None)
        state.step = 0
        state.records.append(None)  # type: ignore[arg-type]  # which counts the epoch
    return state


def everything(state: TrainingState) -> list[Tensor]:
    """The weights, all that Adam knows, and the sum of the losses."""
    known = state.optimizer.state_dict()["state"]
    moments = [value for each in known.values() for value in each.values()]
    return [*state.model.state_dict().values(), *moments, state.loss_sum]


def are_same(one: TrainingState, other: TrainingState) -> bool:
    """Whether they are the same to the bit."""
    pairs = zip(everything(one), everything(other), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def check_captured(line: list[str], device: torch.device) -> bool:
    data = numbered_images(IMAGES, device)
    captured = two_epochs(line, data)
    with patch.object(step_module, "CapturedCall", EagerCall):
        return are_same(captured, two_epochs(line, data))


def check_repeated(line: list[str], device: torch.device) -> bool:
    data = numbered_images(IMAGES, device)
    return are_same(two_epochs(line, data), two_epochs(line, data))


def check_resumed(line: list[str], device: torch.device) -> bool:
    """A run that is stopped after its first epochs and resumed ends like one that is not."""
    with tempfile.TemporaryDirectory() as folder:
        whole, cut = Path(folder, "whole"), Path(folder, "cut")
        line = [*line, f"device={device}", "data=synthetic", f"data_dir={folder}/data"]
        train(*line, f"hydra.run.dir={whole}").check_returncode()
        stopped = train(*line, f"hydra.run.dir={cut}", stop_at=cut / "checkpoints" / "*.json")
        assert stopped.returncode == Terminated.status, stopped.stderr
        train(f"resume={cut}", f"device={device}").check_returncode()
        assert_same_run(whole, cut)
    return True


def check_commands(lines: list[str], device: torch.device) -> bool:
    """A run that was trained on a device can be used there by every command."""
    training, *commands = lines
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "run"))
        common = [f"device={device}", f"data_dir={folder}/data"]
        call([*shlex.split(training), *common, "data=synthetic", f"hydra.run.dir={path}"])
        for command in commands:
            call([*command.replace("RUN", path).split(), *common])
    return True


def call(words: list[str]) -> None:
    """Run a command of aecli in this process; an error contains the last line of its output."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        status = run(words)
    assert status == 0, f"{' '.join(words)}: {said.getvalue().splitlines()[-1:]}"


def train(*line: str, stop_at: Path | None = None) -> subprocess.CompletedProcess[str]:
    """`aecli train` in a process of its own, which gets a SIGTERM once there is such a file."""
    process = subprocess.Popen(
        [sys.executable, "-m", "aecli", "train", *line],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while stop_at is not None and process.poll() is None:
        if list(stop_at.parent.glob(stop_at.name)):
            process.terminate()
            break
        time.sleep(0.01)
    _, errors = process.communicate()
    return subprocess.CompletedProcess(line, process.returncode, None, errors)


Check = Callable[[list[str], torch.device], bool]


def checks() -> Iterator[tuple[str, Check, list[str]]]:
    for line in LINES:
        yield "captured steps are the eager ones", check_captured, line
    for line in LINES:
        yield "the same seed, the same bits", check_repeated, line
    sizes = ["epochs=8", "data.train_size=20000", "data.test_size=1000"]
    early = ["patience=2", "min_delta=0.01"]  # which end it before the eighth epoch
    yield "stopped and resumed", check_resumed, ["model=denoising", *sizes, *early]
    for training, commands in COMMANDS.items():
        yield "used by other commands", check_commands, [training, *commands]


@dataclass(frozen=True)
class Case:
    """A row of the table."""

    model: str
    latent: int

    @property
    def line(self) -> list[str]:
        return [f"model={self.model}", f"latent={self.latent}"]


CASES = [Case("fc", 25), Case("fc", 784), Case("conv", 25), Case("denoising", 25), Case("deep", 25)]
COMPILED = {("fc", 25), ("conv", 25), ("denoising", 25)}  # one takes half a minute
COLUMNS = [
    "step by step",
    "captured",
    "(first)",
    "bf16",
    "not deterministic",
    "compiled",
    "(first)",
]


def epoch_seconds(config: TrainConfig, data: Data, count: int) -> tuple[float, float]:
    """The first epoch, and the median of `count` more."""
    state, step = begun(config, data)
    seconds = []
    for _ in range(count + 1):
        train_epoch(config, data, state, step, lambda: None)
        seconds.append(state.seconds)
        state.step, state.seconds = 0, 0.0
        state.records.append(None)  # type: ignore[arg-type]
    return seconds[0], statistics.median(seconds[1:])


def seconds_of(case: Case, data: Data) -> list[float]:
    """The seconds that `COLUMNS` describe."""
    config = compose(case.line)
    with patch.object(step_module, "CapturedCall", EagerCall):
        _, eager = epoch_seconds(config, data, 1)
    first, captured = epoch_seconds(config, data, 5)
    _, bf16 = epoch_seconds(replace(config, precision=Precision.bf16), data, 3)
    _, free = epoch_seconds(replace(config, deterministic=False), data, 3)
    found = [eager, captured, first, bf16, free]
    if (case.model, case.latent) in COMPILED:
        first, compiled = epoch_seconds(replace(config, compile=True), data, 3)
        found += [compiled, first]
    return found


def timings(device: torch.device) -> None:
    """Print the seconds of an epoch, each row as soon as it is measured."""
    folder = Path(os.environ.get("AECLI_DATA", "data"))
    data = load_data(compose([]).data, folder, device)
    print(
        f"seconds of an epoch of {len(data.train):,} images of {data.name} on "
        f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}"
    )
    print(" " * 15, "  ".join(COLUMNS))
    for case in CASES:
        found = zip(seconds_of(case, data), COLUMNS, strict=False)
        cells = "  ".join(f"{seconds:{len(column)}.3f}" for seconds, column in found)
        print(f"{case.model} {case.latent}".ljust(15), cells, flush=True)


def main() -> None:
    if not torch.cuda.is_available():
        print("there is no CUDA device here, and nothing to check without one")
        return
    device, failures, started = open_device("cuda"), 0, time.perf_counter()
    for title, check, line in checks():
        try:
            outcome = "ok" if check(line, device) else "FAILED"
        except Exception as error:
            outcome = f"FAILED: {type(error).__name__}: {str(error).splitlines()[0]}"
        failures += outcome != "ok"
        print(f"{title}: {' '.join(line)}: {outcome}", flush=True)
    print(f"{failures or 'none'} failed, after {time.perf_counter() - started:.0f} s", flush=True)
    timings(device)
    print(f"in {time.perf_counter() - started:.0f} s")
    sys.exit(failures > 0)


if __name__ == "__main__":
    main()
