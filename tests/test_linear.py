"""The linear layer: torch's own results by another library's matrix product."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from aecli.models import linear
from aecli.models.linear import MIN_WEIGHTS, Linear

SHAPES = [(784, 784), (784, 125), (125, 784), (MIN_WEIGHTS // 4, 4)]


def pair(inputs: int, outputs: int) -> tuple[Linear, nn.Linear]:
    torch.manual_seed(0)
    ours, theirs = Linear(inputs, outputs), nn.Linear(inputs, outputs)
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


@pytest.fixture
def products(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """What oneDNN has been asked for."""
    asked: list[Tensor] = []
    assert linear._has_onednn_product()  # which is found out once
    times: Callable[..., Tensor] = linear._matmul

    def counted(left: Tensor, right: Tensor, bias: Tensor | None = None) -> Tensor:
        asked.append(times(left, right, bias))
        return asked[-1]

    monkeypatch.setattr(linear, "_matmul", counted)
    monkeypatch.setattr(linear, "_is_intel", lambda: False)
    return asked


@pytest.mark.parametrize("size", SHAPES, ids=str)
@pytest.mark.parametrize("batch", [1, 7, 128])
def test_results_and_gradients_are_those_of_torch(
    size: tuple[int, int], batch: int, products: list[Tensor]
) -> None:
    inputs, outputs = size
    found = []
    for layer in pair(inputs, outputs):
        rows = torch.randn(batch, inputs, generator=torch.Generator().manual_seed(1))
        rows.requires_grad_()
        result = layer(rows)
        result.square().mean().backward()
        assert rows.grad is not None and layer.weight.grad is not None
        assert layer.weight.grad.shape == (outputs, inputs)
        found.append((result, rows.grad, layer.weight.grad, layer.bias.grad))
    assert len(products) == 3  # a product forwards and two backwards
    for ours, theirs in zip(*found, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_images_get_no_unneeded_gradient(products: list[Tensor]) -> None:
    layer = Linear(784, 784)
    layer(torch.randn(3, 784)).sum().backward()
    assert len(products) == 2


@pytest.mark.parametrize("case", ["few weights", "double", "autocast", "export", "meta", "intel"])
def test_elsewhere_the_layer_is_torchs(
    case: str, products: list[Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linear, "_is_intel", lambda: case == "intel")
    ours, theirs = pair(784, MIN_WEIGHTS // 784 + (case != "few weights"))
    rows = torch.randn(5, 784)
    if case == "double":
        ours, theirs, rows = ours.double(), theirs.double(), rows.double()
    if case == "meta":
        assert ours.to("meta")(rows.to("meta")).shape == (5, 42)
    elif case == "export":
        graph = torch.export.export(ours, (rows,)).graph
        assert any(node.target is torch.ops.aten.linear.default for node in graph.nodes)
    else:
        with torch.autocast("cpu", torch.bfloat16, enabled=case == "autocast"):
            assert torch.equal(ours(rows), theirs(rows))
    assert not products


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_the_vendor_of_the_processor_is_detected() -> None:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    makers = {line.split(":")[1].strip() for line in lines if line.startswith("vendor_id")}
    assert linear._is_intel() == (makers == {"GenuineIntel"})


@pytest.mark.parametrize("case", ["missing", "other arguments", "wrong"])
def test_without_the_private_operator_the_layer_is_torchs(
    case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def product(left: Tensor, right: Tensor, bias: Tensor | None = None) -> Tensor:
        if case == "missing":
            raise AttributeError("'_OpNamespace' 'mkldnn' object has no attribute")
        if case == "other arguments":
            raise RuntimeError("expected at most 5 arguments")
        return left @ right.T  # without the bias

    monkeypatch.setattr(linear, "_matmul", product)
    monkeypatch.setattr(linear, "_is_intel", lambda: False)
    linear._has_onednn_product.cache_clear()
    try:
        ours, theirs = pair(784, 125)
        rows = torch.randn(5, 784)
        assert torch.equal(ours(rows), theirs(rows))
    finally:
        linear._has_onednn_product.cache_clear()
