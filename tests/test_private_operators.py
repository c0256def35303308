"""Runs without the private operators of torch, which a later version may rename or drop."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from aecli.models import linear, transposed
from aecli.training import optimizer
from tests.test_training import trained
from tests.undrawn import undrawn_training

OPERATORS = {
    "fused Adam": (optimizer, "_by_kernel", ["model=fc", "latent=8"]),
    "linear layer": (torch.ops.mkldnn, "_linear_pointwise", ["model=fc", "model.widths=[64]"]),
    "convolution's gradients": (torch.ops.aten, "convolution_backward", ["model=conv", "latent=8"]),
}
"""Where the operator is, its name, and a training that uses it. Adam's is also used by torch's
public function, so that only our call of it can be taken away."""

CHECKS: list[Callable[..., Any]] = [
    optimizer._update,
    linear._has_onednn_product,
    transposed._has_gradients,
]


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Operators are tried anew in the test and after it, and Intel's exception does not apply."""
    monkeypatch.setattr(linear, "_is_intel", lambda: False)
    _forget()
    yield
    _forget()


@pytest.fixture
def no_figures() -> Iterator[None]:
    with undrawn_training():
        yield


def _forget() -> None:
    for check in CHECKS:
        check.cache_clear()  # type: ignore[attr-defined]


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("error", [AttributeError, TypeError, RuntimeError])
@pytest.mark.usefixtures("unchecked", "no_figures")
def test_a_run_trains_without_the_operator(
    operator: str, error: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    namespace, name, line = OPERATORS[operator]
    line = [*line, "epochs=5"]
    right, calls = getattr(namespace, name), []

    def counted(*arguments: Any, **keys: Any) -> Any:
        calls.append(name)
        return right(*arguments, **keys)

    monkeypatch.setattr(namespace, name, counted)
    _, usual, _ = trained(tmp_path / "usual", *line)
    assert len(calls) > 1  # when it is checked, and then in every step

    def broken(*_: object, **__: object) -> None:
        calls.append(name)
        raise error(f"{name} is not what it was")

    monkeypatch.setattr(namespace, name, broken)
    _forget()
    calls.clear()
    _, without, _ = trained(tmp_path / "without", *line)
    assert len(calls) == 1  # only when it is checked
    for one, other in zip(usual.records, without.records, strict=True):
        assert other.train_loss == pytest.approx(one.train_loss, rel=1e-5)
        assert other.val_loss == pytest.approx(one.val_loss, rel=1e-5)
