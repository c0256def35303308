"""The networks with which `make bench` compares aecli."""

import pytest
import torch

from aecli.cli.compose import compose
from aecli.models import build_model
from tests.benchmarks.networks import NETWORKS


@pytest.mark.parametrize("name", NETWORKS)
def test_a_lectures_network_computes_with_torchs_layers_what_ours_does(name: str) -> None:
    # The lecture's fully connected network has a ReLU after the code.
    relu = ["model.code_activation=relu"] if name == "fc" else []
    config = compose([f"model={name}", "latent=25", *relu])
    torch.manual_seed(0)
    theirs, images = NETWORKS[name](25), torch.rand(3, 1, 28, 28)
    ours = build_model(config.model, config.upsample, (1, 28, 28))
    weights = zip(ours.state_dict(), theirs.state_dict().values(), strict=True)
    ours.load_state_dict(dict(weights))

    assert {type(layer).__module__.partition(".nn.")[0] for layer in theirs.modules()} == {"torch"}
    torch.testing.assert_close(theirs(images), ours(images), rtol=1e-4, atol=1e-6)
