"""Whatever is typed for whichever key: two steps are trained, or it is refused in one line."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from aecli.cli.compose import compose
from aecli.cli.override_checks import check_overrides
from aecli.config import check_objective, check_unread_keys, config_groups, plain
from aecli.errors import AecliError
from aecli.training.loop import new_model, train_epoch, training_step
from aecli.training.state import TrainingState
from tests.test_conf import some_data

# Of what a key would make the machine do, and not the run, nothing is tried.
LEFT_OUT = {"compile", "output_dir", "data_dir", "data.name", "data.image_shape", "device", "name"}


def keys(node: object, prefix: str = "") -> Iterator[str]:
    """Every key of a configuration that has a value of its own."""
    if isinstance(node, dict):
        for key, child in node.items():
            yield from keys(child, f"{prefix}{key}.")
    elif isinstance(node, list) and node:
        yield from keys(node[0], f"{prefix}0.")
    else:
        yield prefix.removesuffix(".")


KEYS = sorted(
    {key for model in ("conv", "fc", "deep") for key in keys(plain(compose([f"model={model}"])))}
    - LEFT_OUT
)
CHOICES = [
    f"{group}={choice}"
    for group, choices in config_groups().items()
    if group not in ("data", "sweep")
    for choice in choices
]
VALUES = st.one_of(
    st.integers(-3, 40).map(str),
    st.floats(width=32).map(str),
    st.sampled_from(
        ["null", "true", "false", "''", "[]", "[1,2]", "[0]", "{}", "{a:1}", "relu", "tanh",
         "sigmoid", "identity", "conv", "linear", "nearest", "bicubic", "gaussian", "masking",
         "cosine", "constant", "bf16", "float32", "1e-3", "1e300", "-0", "0x10", "1_000", "..",
         "~", "${seed}", "${oc.env:HOME}", "${nowhere}", "???", "a b", "'a=b'", "é", "\\"]
    ),
    st.text(max_size=8),
)  # fmt: skip
LINES = st.tuples(
    st.lists(st.sampled_from(CHOICES), max_size=2),
    st.lists(st.tuples(st.sampled_from(KEYS), VALUES), min_size=1, max_size=3),
)


PARTS = 5
EXAMPLES, SOAKED = 100, 500


@pytest.mark.parametrize("part", range(PARTS))
def test_a_command_line_trains_or_is_refused(part: int, soak: bool) -> None:
    checked = settings(
        deadline=None, max_examples=(SOAKED if soak else EXAMPLES) // PARTS,
        suppress_health_check=list(HealthCheck), derandomize=True, print_blob=True,
    )  # fmt: skip
    # The seed makes the examples of each part others, and the same ones every time.
    checked(seed(part)(given(LINES)(trains_or_is_refused)))()


def trains_or_is_refused(line: tuple[list[str], list[tuple[str, str]]]) -> None:
    choices, values = line
    overrides = [*choices, *(f"{key}={value}" for key, value in values)]
    try:
        check_overrides(overrides, multirun=False)
        config = compose([*overrides, "device=cpu"])
        check_unread_keys(config)
        check_objective(config)
        data = some_data()
        state = TrainingState(config, new_model(config, data), data.fingerprints)
        train_epoch(config, data, state, training_step(config, data, state), lambda: None)
    except AecliError as error:
        assert "\n" not in str(error) and str(error), overrides
    else:
        assert state.step >= 1
