"""How long an epoch takes: `make bench`, on a machine that does nothing else.

Times the loop of `aecli.training` on as many images as MNIST has to train on. Tracking, validation
and checkpoints are left out, as in the times that `metrics.jsonl` records.
"""

import argparse
import statistics
import time
from unittest.mock import Mock

import torch
from torch.optim import Adam

from aecli.composition import compose
from aecli.data import Data, Split
from aecli.signals import StopRequest
from aecli.training import new_model, train_epoch

IMAGES = 55_000
MODELS = {"fc": 10, "conv": 5, "denoising": 1}  # and how many epochs to time


def images() -> Data:
    """Pixels of noise: what they show makes no difference to the time."""
    pixels = torch.randint(0, 256, (IMAGES, 1, 28, 28), dtype=torch.uint8)
    split = Split(pixels, torch.zeros(IMAGES, dtype=torch.int64))
    return Data("noise", "noise", "noise", "a benchmark", None, split, split[:1], split[:1])


def seconds_per_epoch(model_name: str, epochs: int, data: Data) -> list[float]:
    config = compose([f"model={model_name}", "latent=25", "device=cpu"])
    model = new_model(config, data)
    optimizer = Adam(model.parameters(), config.lr, weight_decay=config.weight_decay, fused=True)
    times = []
    for epoch in range(1, epochs + 2):
        started = time.perf_counter()
        train_epoch(config, data, model, optimizer, epoch, Mock(), StopRequest())
        times.append(time.perf_counter() - started)
    return times[1:]  # the first warms up


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=list(MODELS), help=", ".join(MODELS))
    data = images()
    print(f"one epoch of {IMAGES:,} images, latent 25, {torch.get_num_threads()} threads")
    for name in parser.parse_args().models:
        times = seconds_per_epoch(name, MODELS[name], data)
        print(
            f"{name:10}  median {statistics.median(times):6.2f} s   "
            f"fastest {min(times):6.2f} s   slowest {max(times):6.2f} s"
        )


if __name__ == "__main__":
    main()
