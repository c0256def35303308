"""A training step: which images it sees, and that a captured one is the same as an eager one."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from aecli.cli.compose import compose
from aecli.runtime.device import open_device
from aecli.training.step import EAGER_CALLS, CapturedCall, TrainingStep
from tests.gpu import (
    COMMANDS,
    IMAGES,
    LINES,
    MODELS,
    are_same,
    begun,
    check_captured,
    numbered_images,
    two_epochs,
)
from tests.test_docs import check_options, check_train

CPU = torch.device("cpu")


class CalledAgain(CapturedCall):
    """Without a GPU: calls the function where a graph would be replayed."""

    def __init__(self, function: Callable[[], None], noise: torch.Generator) -> None:
        self._function = function

    def __call__(self) -> None:
        self._function()


def seen_in(epoch: int, images: int, batch_size: int, seed: int = 0, skipped: int = 0) -> list[int]:
    """The numbers of the images that an epoch sees, in their order."""
    config = compose(["model=fc", "latent=2", f"seed={seed}", f"batch_size={batch_size}"])
    state, step = begun(config, numbered_images(images, CPU))
    seen: list[int] = []

    def forward(pixels: Tensor) -> Tensor:
        seen.extend(round(255 * first) for first in pixels[:, 0, 0, 0].tolist())
        outputs: Tensor = state.model(pixels)
        return outputs

    step._forward = forward
    step.begin_epoch(epoch, skipped)
    for _ in range(-(-images // batch_size) - skipped):
        step(1e-3)
    return seen


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 255), st.integers(1, 300), st.integers(0, 2**32 - 1))
def test_an_epoch_sees_every_image_once(images: int, batch_size: int, seed: int) -> None:
    assert sorted(seen_in(1, images, max(batch_size, images // 8), seed)) == list(range(images))


def test_the_order_is_that_of_the_seed_and_the_epoch() -> None:
    assert seen_in(1, 200, 32) == seen_in(1, 200, 32)
    assert seen_in(1, 200, 32) != seen_in(2, 200, 32)
    assert seen_in(1, 200, 32) != seen_in(1, 200, 32, seed=1)
    assert seen_in(1, 200, 32) != list(range(200))


def test_the_order_does_not_depend_on_the_batch_size() -> None:
    assert seen_in(3, 100, 7) == seen_in(3, 100, 100)


def test_an_epoch_resumes_at_its_next_step() -> None:
    assert seen_in(2, 100, 32, skipped=2) == seen_in(2, 100, 32)[64:]


def test_steps_do_not_use_the_global_generator() -> None:
    config = compose(["model=denoising", "latent=2", "batch_size=16"])
    _, step = begun(config, numbered_images(32, CPU))
    before = torch.get_rng_state()
    step.begin_epoch(1, 0)
    step(1e-3)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("first", [0, 3])
def test_the_position_in_a_graph_is_that_in_the_epoch(
    model: str, first: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = numbered_images(IMAGES, CPU)  # seven batches and a half
    eager = two_epochs([f"model={model}"], data, first)

    def capturing(*arguments: object) -> TrainingStep:
        step = TrainingStep(*arguments)  # type: ignore[arg-type]
        assert step._captured is None
        step._captured = CalledAgain(step._take_next, step._noise)
        return step

    monkeypatch.setattr("aecli.training.loop.TrainingStep", capturing)
    assert are_same(eager, two_epochs([f"model={model}"], data, first))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("line", LINES, ids=" ".join)
def test_captured_steps_equal_eager_ones_to_the_bit(line: list[str]) -> None:
    assert EAGER_CALLS < IMAGES // 16  # so that steps of the first epoch are replayed, too
    assert check_captured(line, open_device("cuda"))


def test_the_commands_that_need_a_gpu_are_valid() -> None:
    for training, commands in COMMANDS.items():
        check_train(training.split()[1:])
        for command in commands:
            name, *arguments = command.split()
            check_options(name, arguments)
