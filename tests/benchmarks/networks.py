"""The lectures' networks as they are usually written: torch's own layers, in their own layout.

Those of aecli have the same weights, and compute the same, in layers of their own where torch is
slow on a CPU; the first and the last layers are those of aecli.
"""

from collections.abc import Callable

from torch import nn


def fc(latent: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(28 * 28, latent),
        nn.ReLU(True),
        nn.Linear(latent, 28 * 28),
        nn.Sigmoid(),
        nn.Unflatten(1, (1, 28, 28)),
    )


def conv(latent: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, latent, 7),
        nn.ConvTranspose2d(latent, 32, 7),
        nn.ReLU(),
        nn.ConvTranspose2d(32, 16, 3, stride=2, padding=1, output_padding=1),
        nn.ReLU(),
        nn.ConvTranspose2d(16, 1, 3, stride=2, padding=1, output_padding=1),
        nn.Sigmoid(),
    )


def denoising(latent: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1),
        nn.BatchNorm2d(32),
        nn.LeakyReLU(),
        nn.Conv2d(32, 64, 3, stride=2, padding=1),
        nn.BatchNorm2d(64),
        nn.LeakyReLU(),
        nn.Conv2d(64, 64, 3, stride=2, padding=1),
        nn.BatchNorm2d(64),
        nn.LeakyReLU(),
        nn.Flatten(),
        nn.Linear(64 * 7 * 7, latent),
        nn.LeakyReLU(),
        nn.Linear(latent, 64 * 7 * 7),
        nn.Unflatten(1, (64, 7, 7)),
        nn.LeakyReLU(),
        nn.ConvTranspose2d(64, 64, 3, stride=2, padding=1, output_padding=1),
        nn.BatchNorm2d(64),
        nn.LeakyReLU(),
        nn.ConvTranspose2d(64, 32, 3, stride=2, padding=1, output_padding=1),
        nn.BatchNorm2d(32),
        nn.LeakyReLU(),
        nn.ConvTranspose2d(32, 1, 3, padding=1),
        nn.Sigmoid(),
    )


def deep(latent: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 32, 5),
        nn.ReLU(True),
        nn.Conv2d(32, 32, 5),
        nn.ReLU(True),
        nn.Conv2d(32, 32, 4, stride=2),
        nn.ReLU(True),
        nn.Conv2d(32, 32, 3, stride=2),
        nn.ReLU(True),
        nn.Conv2d(32, latent, 4),
        nn.ConvTranspose2d(latent, 32, 4),
        nn.ReLU(True),
        nn.ConvTranspose2d(32, 32, 3, stride=2),
        nn.ReLU(True),
        nn.ConvTranspose2d(32, 32, 4, stride=2),
        nn.ReLU(True),
        nn.ConvTranspose2d(32, 32, 5),
        nn.ReLU(True),
        nn.ConvTranspose2d(32, 1, 5),
    )


NETWORKS: dict[str, Callable[[int], nn.Sequential]] = {
    "fc": fc,
    "conv": conv,
    "denoising": denoising,
    "deep": deep,
}
