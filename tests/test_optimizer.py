"""Our steps of Adam compared with those of torch's class."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from aecli.training import optimizer as adam
from aecli.training.optimizer import Adam

NAMES = ("step", "exp_avg", "exp_avg_sq")


def network() -> nn.Sequential:
    """With a bias that stays as it is."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 300), nn.Sigmoid(), nn.Linear(300, 2))
    model[2].bias.requires_grad_(False)
    return model


def adam_of(model: nn.Sequential) -> Adam:
    return Adam(model.parameters(), lr=1e-2, weight_decay=1e-2)


def torchs(model: nn.Sequential) -> torch.optim.Adam:
    return torch.optim.Adam(model.parameters(), lr=1e-2, weight_decay=1e-2, fused=True)


def gradients(model: nn.Sequential, seed: int) -> None:
    """Compute the gradients of a batch for `model`."""
    batch = torch.randn(7, 5, generator=torch.Generator().manual_seed(seed))
    model(batch).square().mean().backward()


def take(model: nn.Sequential, optimizer: Adam | torch.optim.Adam, seed: int) -> None:
    """A step on a batch."""
    optimizer.zero_grad()
    gradients(model, seed)
    optimizer.step()


def everything(model: nn.Sequential, state: dict[str, Any]) -> list[Tensor]:
    """The weights, and all that an optimiser knows of them."""
    assert list(state["state"]) == [0, 1, 2]  # all but the bias that stays as it is
    return [
        *model.parameters(),
        *(each[name] for each in state["state"].values() for name in NAMES),
    ]


def are_same(one: list[Tensor], other: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def missing(*_: object, **__: object) -> None:
    raise AttributeError("torch has no such operator")


def different(*lists: list[Tensor], **_: object) -> None:
    lists[0][0].add_(1)


def different_on_a_gpu(*lists: list[Tensor], lr: float | Tensor, **keys: Any) -> None:
    if isinstance(lr, Tensor):  # as it is there
        raise TypeError("lr must be a number")
    right(*lists, lr=lr, **keys)


right = adam._by_kernel


@pytest.mark.parametrize("kernel", [None, missing, different, different_on_a_gpu])
def test_steps_are_those_of_torch_to_the_bit(kernel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    adam._update.cache_clear()
    if kernel is not None:
        monkeypatch.setattr(adam, "_by_kernel", kernel)
    assert (adam._update() is adam._by_kernel) == (kernel is None)
    model, theirs = network(), network()
    ours_of, theirs_of = adam_of(model), torchs(theirs)
    for number in range(20):
        lr = 1e-2 / (1 + number)  # as a schedule does
        ours_of.set_learning_rate(lr)
        theirs_of.param_groups[0]["lr"] = lr
        take(model, ours_of, number)
        take(theirs, theirs_of, number)
        ours = everything(model, ours_of.state_dict())
        assert are_same(ours, everything(theirs, theirs_of.state_dict())), number
    assert not torch.equal(next(model.parameters()), next(network().parameters()))
    adam._update.cache_clear()


@pytest.mark.parametrize("make", [adam_of, torchs])
def test_a_training_continues_from_a_saved_state(make: Any) -> None:
    model = network()
    optimizer = make(model)
    for number in range(3):
        take(model, optimizer, number)
    again = copy.deepcopy(model)
    restored = adam_of(again)
    restored.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    take(model, optimizer, 3)
    take(again, restored, 3)
    ours = everything(again, restored.state_dict())
    assert are_same(everything(model, optimizer.state_dict()), ours)
    assert restored.state_dict()["state"][0]["step"] == 4


def test_a_state_without_one_of_the_parameters_is_refused() -> None:
    model = network()
    saved = adam_of(model).state_dict()
    del saved["state"][2]
    with pytest.raises(KeyError):
        adam_of(model).load_state_dict(saved)


def test_no_gradient_is_left() -> None:
    model = network()
    gradients(model, 0)
    assert model[0].weight.grad is not None
    adam_of(model).zero_grad()
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_parameter_without_a_gradient_is_refused() -> None:
    model = network()
    optimizer = adam_of(model)
    take(model, optimizer, 0)
    optimizer.zero_grad()
    with pytest.raises(TypeError, match="None"):
        optimizer.step()
