"""Random numbers by seed, epoch and step, and by nothing else."""

import itertools

import torch

from aecli.runtime.rng import generator_for, reseed

CPU = torch.device("cpu")


def first(generator: torch.Generator) -> float:
    return torch.rand((), generator=generator).item()


def test_every_seed_and_epoch_has_its_own_numbers() -> None:
    # torch's generator reads 32 bits of a seed, and 256 seeds of 2**24 epochs would fill them.
    seeds = (0, 1, 255, 256, 257, 512, 2**31, 2**32 - 1)
    pairs = list(itertools.product(seeds, (0, 1, 2, 1000)))
    assert len({first(generator_for(*pair, CPU)) for pair in pairs}) == len(pairs)


def test_every_step_has_its_own_numbers_whatever_was_drawn_before() -> None:
    generator = torch.Generator()

    def at(seed: int, epoch: int, step: int) -> float:
        reseed(generator, seed, epoch, step)
        return first(generator)

    keys = list(itertools.product((0, 1, 256), (1, 2, 3), (0, 1, 2, 500)))
    found = {key: at(*key) for key in keys}
    assert len(set(found.values())) == len(keys)
    assert not {first(generator_for(seed, epoch, CPU)) for seed, epoch, _ in keys} & set(
        found.values()
    )
    for key in reversed(keys):
        assert at(*key) == found[key]
