"""Adam, bit-identical to torch's own but without the overhead of its class."""

from collections.abc import Callable, Iterable
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adam import adam

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
"""The values in the paper and in torch."""


class Adam:
    """Adam with an L2 penalty (Kingma and Ba, "Adam", 2015), as `torch.optim.Adam(fused=True)`.

    Constructing torch's Adam imports torch's compiler, which takes a second or more. Its hooks,
    profiler entries and sorting by device take some 70 microseconds, an eighth of a training step
    of `fc` with latent=25. This class makes only the call that torch's fused Adam ends in.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float, weight_decay: float) -> None:
        """
        Args:
            parameters: on one device; those that do not require gradients stay as they are.
            lr: the learning rate. On a GPU it is kept in a tensor, so that a step captured as a
                CUDA graph reads the current value.
            weight_decay: L2 penalty; half of it times the sum of squares is added to the loss.
        """
        self.parameters = list(parameters)
        device = self.parameters[0].device
        self._lr = torch.tensor(lr, device=device) if device.type == "cuda" else lr
        self._weight_decay = weight_decay
        self._trained = [each for each in self.parameters if each.requires_grad]
        self._steps = [torch.zeros((), device=device) for _ in self._trained]
        self._averages = [torch.zeros_like(each) for each in self._trained]
        self._square_averages = [torch.zeros_like(each) for each in self._trained]

    def set_learning_rate(self, lr: float) -> None:
        """Set the learning rate of all following steps."""
        if isinstance(self._lr, Tensor):
            self._lr.fill_(lr)
        else:
            self._lr = lr

    def zero_grad(self) -> None:
        """Clear the gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Update the parameters; all that require gradients must have them."""
        gradients = [parameter.grad for parameter in self._trained]
        _update()(
            self._trained, gradients, self._averages, self._square_averages, [], self._steps,
            lr=self._lr, weight_decay=self._weight_decay, beta1=BETA1, beta2=BETA2, eps=EPSILON,
            amsgrad=False, maximize=False,
        )  # fmt: skip

    def state_dict(self) -> dict[str, Any]:
        """Step count and moments of each trained parameter by its index, in torch's format."""
        return {"state": dict(self._states())}

    @torch.no_grad()
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what `state_dict`, or that of torch's Adam, returned, from any device."""
        for number, state in self._states():
            for name, tensor in state.items():
                tensor.copy_(state_dict["state"][number][name])

    def _states(self) -> list[tuple[int, dict[str, Tensor]]]:
        numbers = [n for n, each in enumerate(self.parameters) if each.requires_grad]
        tensors = zip(self._steps, self._averages, self._square_averages, strict=True)
        return [
            (number, dict(zip(("step", "exp_avg", "exp_avg_sq"), own, strict=True)))
            for number, own in zip(numbers, tensors, strict=True)
        ]


def _by_kernel(*lists: list[Tensor], **options: Any) -> None:
    """The private operator that the public function ends in; it may change between releases."""
    torch._foreach_add_(lists[-1], 1)
    torch._fused_adam_(*lists, **options)


_by_function: Callable[..., None] = partial(adam, fused=True)
"""The public function, which takes 50 microseconds more."""


@cache
def _update() -> Callable[..., None]:
    """The private kernel if it takes the same steps as the public function, otherwise that
    function."""
    for lr in (0.1, torch.tensor(0.1)):  # a GPU has the rate in a tensor, which is another overload
        try:
            steps = [_trial_step(update, lr) for update in (_by_kernel, _by_function)]
        except (AttributeError, TypeError, RuntimeError):
            return _by_function
        if not torch.equal(*steps):
            return _by_function
    return _by_kernel


def _trial_step(update: Callable[..., None], lr: float | Tensor) -> Tensor:
    """A weight, its gradient, both moments and the step count after a step of `update`, (5,)."""
    lists = [[torch.tensor([number])] for number in (1.0, -0.5, 0.25, 0.125)]
    steps = [torch.tensor(3.0)]
    update(
        *lists, [], steps, lr=lr, weight_decay=0.1, beta1=BETA1, beta2=BETA2, eps=EPSILON,
        amsgrad=False, maximize=False,
    )  # fmt: skip
    return torch.cat([each for (each,) in lists] + [steps[0].view(1)])
