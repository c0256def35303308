"""One contestant of a benchmark in a process of its own: prints what it took as JSON.

python -m tests.benchmarks.contestants CONTESTANT MODEL LATENT [--images N] [--epochs N] ...

A process each, because some of what makes a loop fast (how memory is kept, how many threads there
are) holds for a whole process. All train the same network on the same images with Adam; that of the
lecture and of Lightning is of torch's own layers.
"""

import argparse
import json
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Adam

from aecli.composition import compose
from aecli.config import CorruptionKind, TrainConfig
from aecli.data import Data, Split
from aecli.data.vision import load_torchvision
from aecli.device import keep_freed_memory
from aecli.models import build_model, describe
from aecli.models.linear import Linear
from aecli.models.transposed import ConvTranspose2d
from aecli.recording import Recorder
from aecli.run import RunDirectory
from aecli.tracking import Tracker
from aecli.training import (
    TrainingState,
    forward_pass,
    new_model,
    steps_per_epoch,
    train,
    train_epoch,
)

Seconds = list[float]
"""Of each epoch; the first, which warms up, is not among them."""


SIDE, PRODUCTS = 2048, 10  # of the matrix products that stand for the speed of arithmetic
GRAIN = 32_768  # numbers of which torch gives each thread at least as many


def data_dir() -> Path:
    return Path(os.environ.get("AECLI_DATA", "data"))


def resident(images: int) -> Data:
    """The first training images of MNIST, as aecli keeps them."""
    loaded = load_torchvision("mnist", data_dir())
    # More images than there are: the same ones again.
    numbers = torch.arange(images) % len(loaded.train)
    train = Split(loaded.train.images[numbers], torch.zeros(images, dtype=torch.int64))
    few = loaded.test[:1000]
    return Data("mnist", "mnist", "mnist", str(data_dir()), None, train, few, few)


def aecli(config: TrainConfig, images: int, epochs: int) -> Seconds:
    """The training loop of aecli, without tracking, validation and checkpoints."""
    keep_freed_memory()
    data = resident(images)
    state = TrainingState(config, new_model(config, data), images)
    forward = forward_pass(config, state.model)

    def epoch(_: int) -> None:
        state.step = 0
        train_epoch(config, data, state, forward, lambda: None)

    return timed(epoch, epochs)


def whole(config: TrainConfig, images: int, epochs: int) -> Seconds:
    """The same with tracking, progress, validation, checkpoints and pictures: the mean epoch."""
    keep_freed_memory()
    data = resident(images)
    state = TrainingState(config, new_model(config, data), images)
    with tempfile.TemporaryDirectory() as folder:
        run = RunDirectory(Path(folder))
        with Tracker(run, config.epochs, steps_per_epoch(config, data), "benchmark") as tracker:
            started = time.perf_counter()
            train(config, data, state, Recorder(config, data, state, run, tracker))
            return [(time.perf_counter() - started) / config.epochs]


def bare(config: TrainConfig, images: int, epochs: int) -> Seconds:
    """Forward, backward, step on resident images, and nothing else."""
    keep_freed_memory()
    pixels = resident(images).train.images
    torch.manual_seed(0)
    model = build_model(config.model, config.upsample, (1, 28, 28)).to(
        memory_format=torch.channels_last
    )
    optimizer = Adam(model.parameters(), config.lr, weight_decay=config.weight_decay, fused=True)
    std = noise_std(config)
    model.train()

    def epoch(_: int) -> None:
        for index in torch.randperm(len(pixels)).split(config.batch_size):
            batch = pixels[index].to(torch.float32, memory_format=torch.channels_last).div_(255)
            inputs = (batch + std * torch.randn_like(batch)).clamp_(0, 1) if std else batch
            loss = F.mse_loss(model(inputs), batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return timed(epoch, epochs)


def use_torchs_own_layers() -> None:
    """For whoever has no others."""
    Linear.forward = nn.Linear.forward  # type: ignore[method-assign, assignment]
    ConvTranspose2d.forward = nn.ConvTranspose2d.forward  # type: ignore[method-assign, assignment]


def lecture(config: TrainConfig, images: int, epochs: int) -> Seconds:
    """The loop that lectures show: images through PIL and transforms, one by one."""
    use_torchs_own_layers()
    from torch.utils.data import DataLoader, Subset
    from torchvision import datasets, transforms

    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.0,), (1.0,))])
    mnist = datasets.MNIST(data_dir(), train=True, transform=transform)
    loader = DataLoader(Subset(mnist, range(images)), config.batch_size, shuffle=True)
    torch.manual_seed(0)
    model = build_model(config.model, config.upsample, (1, 28, 28))
    optimizer = Adam(model.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    criterion, std = nn.MSELoss(), noise_std(config)
    model.train()

    def epoch(_: int) -> None:
        total = 0.0
        for batch, _labels in loader:
            inputs = torch.clip(batch + std * torch.randn(batch.shape), 0.0, 1.0) if std else batch
            loss = criterion(model(inputs), batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()

    return timed(epoch, epochs)


def lightning(config: TrainConfig, images: int, epochs: int) -> Seconds:
    """The Lightning Trainer on resident images, with nothing switched on that can be left out."""
    import lightning as L  # installed by `make bench` alone

    use_torchs_own_layers()
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
            self.model = build_model(config.model, config.upsample, (1, 28, 28))
            self.ends = [time.perf_counter()]

        def training_step(self, batch: Tensor, _: int) -> Tensor:
            inputs = (batch + std * torch.randn_like(batch)).clamp_(0, 1) if std else batch
            return F.mse_loss(self.model(inputs), batch)

        def configure_optimizers(self) -> Adam:
            return Adam(self.parameters(), config.lr, weight_decay=config.weight_decay)

        def on_train_epoch_start(self) -> None:
            self.ends[-1] = time.perf_counter()

        def on_train_epoch_end(self) -> None:
            self.seconds.append(time.perf_counter() - self.ends[-1])

        seconds: Seconds = []

    module = Module()
    L.Trainer(
        max_epochs=epochs + 1, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    ).fit(module, torch.utils.data.DataLoader(Batches(), batch_size=None))  # fmt: skip
    return module.seconds[1:]


def limit(config: TrainConfig, images: int, epochs: int) -> Seconds:
    """The time of all multiplications and additions, at the rate of large matrix products.

    A step takes the forward pass three times over: backward, once for the layers' inputs and once
    for the weights.
    """
    with torch.device("meta"):
        layers = describe(build_model(config.model, config.upsample, (1, 28, 28)))
    products = 3 * images * sum(layer.multiply_adds for layer in layers)
    one, other = torch.randn(SIDE, SIDE), torch.randn(SIDE, SIDE)

    def multiply(_: int) -> None:
        for _ in range(PRODUCTS):
            one @ other

    return [each / (PRODUCTS * SIDE**3) * products for each in timed(multiply, epochs)]


def handover() -> float:
    """Seconds of an addition that is over nearly as soon as all threads have their share of it.

    Small networks wait for this again and again. It tells as well whether the cores share a cache:
    those of a virtual machine do so at one time, and at another they do not.
    """
    numbers = torch.zeros(GRAIN * torch.get_num_threads())
    seconds = []
    for _ in range(500):
        started = time.perf_counter()
        numbers.add_(1)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def noise_std(config: TrainConfig) -> float:
    """Of the noise that the model is trained with; 0 without."""
    is_noisy = config.corruption.name is CorruptionKind.gaussian
    return config.corruption.noise_std if is_noisy else 0.0


def timed(epoch: Callable[[int], None], epochs: int) -> Seconds:
    """Seconds of each epoch but the first."""
    seconds = []
    for number in range(1, epochs + 2):
        started = time.perf_counter()
        epoch(number)
        seconds.append(time.perf_counter() - started)
    return seconds[1:]


CONTESTANTS: dict[str, Callable[[TrainConfig, int, int], Seconds]] = {
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
    parser.add_argument("--epochs", type=int, default=1, help="after one that warms up")
    parser.add_argument("overrides", nargs="*", help="further settings of aecli train")
    options = parser.parse_intermixed_args()
    line = [f"model={options.model}", f"latent={options.latent}", f"epochs={options.epochs}"]
    config = compose([*line, "device=cpu", *options.overrides])
    seconds = CONTESTANTS[options.contestant](config, options.images, options.epochs)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # of kilobytes, on Linux
    result: dict[str, Any] = {"seconds": seconds, "peak_bytes": peak, "handover": handover()}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
