"""Our steps of Adam beside those of torch's class."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Adam

from aecli import adam


def network() -> nn.Sequential:
    """With a bias that stays as it is."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 300), nn.Sigmoid(), nn.Linear(300, 2))
    model[2].bias.requires_grad_(False)
    return model


def trained(model: nn.Sequential) -> list[nn.Parameter]:
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def adam_of(model: nn.Sequential) -> Adam:
    return Adam(model.parameters(), lr=1e-2, weight_decay=1e-2, fused=True)


def gradients(model: nn.Sequential, seed: int) -> None:
    """Put those of a batch into `model`."""
    batch = torch.randn(7, 5, generator=torch.Generator().manual_seed(seed))
    model(batch).square().mean().backward()


def everything(model: nn.Sequential, optimizer: Adam) -> list[Tensor]:
    """The weights, and all that the optimiser knows of them."""
    states = [optimizer.state[parameter] for parameter in trained(model)]
    return [*model.parameters(), *(state[key] for state in states for key in sorted(state))]


def test_steps_are_those_of_torch_to_the_bit() -> None:
    model, theirs = network(), network()
    ours_of = adam_of(model)
    theirs_of = adam_of(theirs)
    for number in range(20):
        for optimizer in (ours_of, theirs_of):
            optimizer.param_groups[0]["lr"] = 1e-2 / (1 + number)  # as a schedule does
        adam.zero_grad(ours_of)
        gradients(model, number)
        adam.step(ours_of)
        theirs_of.zero_grad()
        gradients(theirs, number)
        theirs_of.step()
        pairs = zip(everything(model, ours_of), everything(theirs, theirs_of), strict=True)
        assert all(torch.equal(one, other) for one, other in pairs), number
    assert not torch.equal(next(model.parameters()), next(network().parameters()))


def test_a_state_that_was_saved_is_gone_on_from() -> None:
    model = network()
    optimizer = adam_of(model)
    for number in range(3):
        adam.zero_grad(optimizer)
        gradients(model, number)
        adam.step(optimizer)
    again = copy.deepcopy(model)
    restored = adam_of(again)
    restored.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for one, its_optimizer in ((model, optimizer), (again, restored)):
        adam.zero_grad(its_optimizer)
        gradients(one, 3)
        adam.step(its_optimizer)
    pairs = zip(everything(model, optimizer), everything(again, restored), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)
    assert restored.state[next(again.parameters())]["step"] == 4


def test_no_gradient_is_left() -> None:
    model = network()
    gradients(model, 0)
    assert all(parameter.grad is not None for parameter in trained(model))
    adam.zero_grad(adam_of(model))
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_parameter_without_a_gradient_is_refused() -> None:
    model = network()
    optimizer = adam_of(model)
    gradients(model, 0)
    adam.step(optimizer)
    adam.zero_grad(optimizer)
    with pytest.raises(TypeError, match="None"):
        adam.step(optimizer)
