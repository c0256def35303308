"""The weights of another run from which a training starts."""

from pathlib import Path

from safetensors import SafetensorError

from aecli.config import TrainConfig
from aecli.errors import StorageError, UsageError
from aecli.errors.text import one_line, shape_text
from aecli.models import Autoencoder, ImageShape, build_outline
from aecli.runs.directory import RunDirectory, Status


def check_initial(config: TrainConfig, image_shape: ImageShape) -> None:
    """Check that the weights of the run `config.init` fit the network that is to be trained.

    Raises:
        UsageError: it is not a finished run, or its network has other layers.
        StorageError: its configuration is damaged.
    """
    if config.init is None:
        return
    run = RunDirectory(Path(config.init))
    if run.status is not Status.finished:
        raise UsageError(f"init={run.path} is not a finished run: give the folder of one")
    other = run.load_config()
    shape = other.data.image_shape or (0, 0, 0)
    theirs, ours = _shapes(other, (shape[0], shape[1], shape[2])), _shapes(config, image_shape)
    for name in {**ours, **theirs}:
        if theirs.get(name) != ours.get(name):
            raise UsageError(
                f"init={run.path} has other layers: its {name} is {_described(theirs.get(name))}, "
                f"and that of this network {_described(ours.get(name))}; give a run of the same "
                f"model, latent size and image size"
            )


def load_initial(config: TrainConfig, model: Autoencoder) -> None:
    """Load the weights of the run `config.init` into `model`, if there is one.

    Raises:
        StorageError: they are damaged, or are gone.
    """
    if config.init is None:
        return
    run = RunDirectory(Path(config.init))
    try:
        run.load_weights(model)
    except (SafetensorError, RuntimeError) as error:
        raise StorageError(f"{run.weights_file} cannot be used: {one_line(error)}") from error


def _shapes(config: TrainConfig, image_shape: ImageShape) -> dict[str, tuple[int, ...]]:
    """The shape of each tensor of a network, by name."""
    model = build_outline(config, image_shape)
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def _described(shape: tuple[int, ...] | None) -> str:
    if shape is None:
        return "missing"
    return shape_text(shape) or "a number"
