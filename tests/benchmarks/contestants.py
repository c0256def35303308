"""One contestant of a benchmark in its own process: for each line of input it trains an epoch, and
prints its cost as JSON. The first epoch warms up.

python -m tests.benchmarks.contestants CONTESTANT MODEL LATENT [--images N] [key=value ...]

Each has its own process, because some of what makes a loop fast (how memory is kept, how many
threads there are) applies to a whole process. All train the same network on the same images with
Adam; the lecture and Lightning use the network as it is written in the lectures.
"""

import argparse
import json
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aecli.cli.compose import compose
from aecli.config import CorruptionKind, TrainConfig
from aecli.data import Data, Split
from aecli.data.vision import load_torchvision
from aecli.models import build_model, describe
from aecli.models.linear import Linear
from aecli.runs.directory import RunDirectory
from aecli.runs.display import Display
from aecli.runs.tracker import Tracker
from aecli.runtime.device import flush_denormals, keep_freed_memory
from aecli.training.loop import new_model, steps_per_epoch, train, train_epoch, training_step
from aecli.training.optimizer import Adam
from aecli.training.recorder import Recorder
from aecli.training.state import TrainingState
from tests.benchmarks.networks import NETWORKS

Seconds = Iterator[float]
"""The seconds of one epoch after the other; each is trained when it is requested."""


SIDE, PRODUCTS = 2048, 10  # side of the matrices whose product measures the speed of arithmetic
GRAIN = 32_768  # the least number of elements that torch gives to each thread


def data_dir() -> Path:
    return Path(os.environ.get("AECLI_DATA", "data"))


def resident(images: int) -> Data:
    """The first training images of MNIST, as aecli keeps them."""
    loaded = load_torchvision("mnist", data_dir())
    # If more images are needed than there are, they are repeated.
    numbers = torch.arange(images) % len(loaded.train)
    train = Split(loaded.train.images[numbers], torch.zeros(images, dtype=torch.int64))
    few = loaded.test[:1000]
    return Data("mnist", "mnist", "mnist", str(data_dir()), None, train, few, few)


def aecli(config: TrainConfig, images: int) -> Seconds:
    """The training loop of aecli, without tracking, validation and checkpoints."""
    flush_denormals()
    keep_freed_memory()
    data = resident(images)
    state = TrainingState(config, new_model(config, data), data.fingerprints)
    step = training_step(config, data, state)

    def epoch() -> None:
        state.step = 0
        train_epoch(config, data, state, step, lambda: None)

    return timed(epoch)


def whole(config: TrainConfig, images: int) -> Seconds:
    """The same with tracking, progress, validation, checkpoints and pictures: the mean epoch of a
    run of `config.epochs`."""
    flush_denormals()
    keep_freed_memory()
    data = resident(images)
    steps = steps_per_epoch(config, data)

    def run() -> None:
        state = TrainingState(config, new_model(config, data), data.fingerprints)
        with tempfile.TemporaryDirectory() as folder:
            directory = RunDirectory(Path(folder))
            with Tracker(directory, config.epochs, steps, Display("benchmark")) as tracker:
                train(config, data, state, Recorder(config, data, state, directory, tracker, print))

    return (seconds / config.epochs for seconds in timed(run))


def bare(config: TrainConfig, images: int) -> Seconds:
    """Forward, backward, step on resident images, as aecli computes them, and nothing else."""
    flush_denormals()
    keep_freed_memory()
    pixels = resident(images).train.images
    torch.manual_seed(0)
    model = build_model(config.model, config.upsample, (1, 28, 28)).to(
        memory_format=torch.channels_last
    )
    optimizer = Adam(model.parameters(), config.lr, config.weight_decay)
    std = noise_std(config)
    model.train()

    def epoch() -> None:
        for index in torch.randperm(len(pixels)).split(config.batch_size):
            batch = pixels[index].to(torch.float32, memory_format=torch.channels_last).div_(255)
            inputs = (batch + std * torch.randn_like(batch)).clamp_(0, 1) if std else batch
            loss = F.mse_loss(model(inputs), batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return timed(epoch)


def lecture(config: TrainConfig, images: int) -> Seconds:
    """The loop in the lectures: images through PIL and transforms, one by one."""
    from torch.utils.data import DataLoader, Subset
    from torchvision import datasets, transforms

    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.0,), (1.0,))])
    mnist = datasets.MNIST(data_dir(), train=True, transform=transform)
    loader = DataLoader(Subset(mnist, range(images)), config.batch_size, shuffle=True)
    torch.manual_seed(0)
    model = NETWORKS[config.model.name](config.latent)
    optimizer = torch.optim.Adam(model.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    criterion, std = nn.MSELoss(), noise_std(config)
    model.train()

    def epoch() -> None:
        total = 0.0
        for batch, _labels in loader:
            inputs = torch.clip(batch + std * torch.randn(batch.shape), 0.0, 1.0) if std else batch
            loss = criterion(model(inputs), batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()

    return timed(epoch)


def lightning(config: TrainConfig, images: int) -> Seconds:
    """The Lightning Trainer on resident images, with everything optional switched off."""
    import lightning as L  # installed by `make bench` alone

    pixels, std = resident(images).train.images, noise_std(config)

    class Batches(torch.utils.data.IterableDataset[Tensor]):
        def __iter__(self) -> Iterator[Tensor]:
            for index in torch.randperm(len(pixels)).split(config.batch_size):
                yield pixels[index].to(torch.float32).div_(255)

        def __len__(self) -> int:
            return -(-len(pixels) // config.batch_size)

    class Module(L.LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = NETWORKS[config.model.name](config.latent)
            self.started = self.seconds = 0.0

        def training_step(self, batch: Tensor, _: int) -> Tensor:
            inputs = (batch + std * torch.randn_like(batch)).clamp_(0, 1) if std else batch
            return F.mse_loss(self.model(inputs), batch)

        def configure_optimizers(self) -> torch.optim.Adam:
            return torch.optim.Adam(self.parameters(), config.lr, weight_decay=config.weight_decay)

        def on_train_epoch_start(self) -> None:
            self.started = time.perf_counter()

        def on_train_epoch_end(self) -> None:
            self.seconds = time.perf_counter() - self.started

    module, loader = Module(), torch.utils.data.DataLoader(Batches(), batch_size=None)
    while True:
        L.Trainer(
            max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False,
        ).fit(module, loader)  # fmt: skip
        yield module.seconds


def limit(config: TrainConfig, images: int) -> Seconds:
    """The time of all multiplications and additions, at the rate of large matrix products.

    A step takes the forward pass three times over: backward, once for the layers' inputs and once
    for the weights.
    """
    with torch.device("meta"):
        layers = describe(build_model(config.model, config.upsample, (1, 28, 28)))
    products = 3 * images * sum(layer.multiply_adds for layer in layers)
    matrix, product = torch.randn(SIDE, SIDE), Linear(SIDE, SIDE)  # as aecli has them computed

    @torch.inference_mode()
    def multiply() -> None:
        for _ in range(PRODUCTS):
            product(matrix)

    return (seconds / (PRODUCTS * SIDE**3) * products for seconds in timed(multiply))


def handover() -> float:
    """Seconds of an addition that ends almost as soon as all threads have their share of it.

    Small networks wait for this again and again. It also shows whether the cores share a cache:
    those of a virtual machine sometimes do and sometimes do not.
    """
    numbers = torch.zeros(GRAIN * torch.get_num_threads())
    seconds = []
    for _ in range(500):
        started = time.perf_counter()
        numbers.add_(1)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def noise_std(config: TrainConfig) -> float:
    """The standard deviation of the noise that the model is trained with; 0 if there is none."""
    is_noisy = config.corruption.name is CorruptionKind.gaussian
    return config.corruption.noise_std if is_noisy else 0.0


def timed(epoch: Callable[[], None]) -> Seconds:
    """Time one call after the other."""
    while True:
        started = time.perf_counter()
        epoch()
        yield time.perf_counter() - started


CONTESTANTS: dict[str, Callable[[TrainConfig, int], Seconds]] = {
    "aecli": aecli,
    "whole": whole,
    "bare": bare,
    "lecture": lecture,
    "lightning": lightning,
    "limit": limit,
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("contestant", choices=sorted(CONTESTANTS))
    parser.add_argument("model")
    parser.add_argument("latent", type=int)
    parser.add_argument("--images", type=int, default=55_000)
    parser.add_argument("overrides", nargs="*", help="further settings of aecli train")
    options = parser.parse_intermixed_args()
    line = [f"model={options.model}", f"latent={options.latent}", "device=cpu"]
    config = compose([*line, *options.overrides])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # anything else that is printed is not an answer
    epochs = CONTESTANTS[options.contestant](config, options.images)
    for _ in sys.stdin:
        seconds = next(epochs)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # kilobytes, on Linux
        answer: dict[str, Any] = {"seconds": seconds, "peak": peak, "handover": handover()}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
