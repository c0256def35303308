"""The transposed convolution: torch's own results and gradients in less time."""

from typing import Any

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor, nn

from aecli.models import transposed
from aecli.models.transposed import ConvTranspose2d


def pair(*settings: Any) -> tuple[ConvTranspose2d, nn.ConvTranspose2d]:
    """Our layer and torch's own, with the same weights."""
    torch.manual_seed(0)
    ours, theirs = ConvTranspose2d(*settings), nn.ConvTranspose2d(*settings)
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


def results(layer: nn.ConvTranspose2d, size: tuple[int, int]) -> list[Tensor]:
    """What a layer makes of maps, and all gradients."""
    maps = torch.randn(3, layer.in_channels, *size, generator=torch.Generator().manual_seed(1))
    maps.requires_grad_()
    result = layer(maps)
    result.square().mean().backward()
    assert maps.grad is not None and layer.weight.grad is not None
    assert layer.bias is not None and layer.bias.grad is not None
    return [result, maps.grad, layer.weight.grad, layer.bias.grad]


AXIS = st.tuples(
    st.integers(1, 5),  # kernel
    st.integers(1, 4),  # stride
    st.integers(0, 4),  # padding
    st.integers(0, 3),  # output padding
    st.integers(1, 6),  # size
)


@given(st.integers(1, 3), st.sampled_from([1, 1, 2, 5]), AXIS, AXIS)
def test_results_and_gradients_are_those_of_torch(
    channels: int, outputs: int, rows: tuple[int, ...], columns: tuple[int, ...]
) -> None:
    for kernel, stride, padding, more, size in (rows, columns):
        assume(more < stride and (size - 1) * stride - 2 * padding + kernel + more > 0)
    *settings, (height, width) = zip(rows, columns, strict=True)
    layers = pair(channels, outputs, *settings)
    for one, other in zip(*(results(layer, (height, width)) for layer in layers), strict=True):
        assert one.shape == other.shape
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ways that were taken past torch's own layer."""
    ways: list[str] = []
    single_channel, apply = transposed._single_channel_forward, transposed._Transposed.apply

    def noted_single_channel(*arguments: Any) -> Tensor:
        ways.append("single channel")
        return single_channel(*arguments)

    def noted_apply(*arguments: Any) -> Any:
        ways.append("gradient")
        return apply(*arguments)

    monkeypatch.setattr(transposed, "_single_channel_forward", noted_single_channel)
    monkeypatch.setattr(transposed._Transposed, "apply", noted_apply)
    return ways


@pytest.mark.parametrize("outputs", [1, 16])
def test_a_single_map_uses_single_channel_forward(outputs: int, taken: list[str]) -> None:
    ConvTranspose2d(4, outputs, 3)(torch.randn(2, 4, 5, 5))
    assert taken == (["gradient", "single channel"] if outputs == 1 else ["gradient"])


@pytest.mark.parametrize("outputs", [1, 16])
def test_bf16_computes_in_it_and_learns_in_float32(outputs: int, taken: list[str]) -> None:
    found = []
    for layer in pair(8, outputs, 3, 2, 1, 1):
        with torch.autocast("cpu", torch.bfloat16):
            found.append(results(layer, (7, 7)))
    assert taken.count("gradient") == 1
    assert found[0][0].dtype is found[1][0].dtype is torch.bfloat16
    for ours, theirs in zip(*found, strict=True):
        assert ours.dtype is theirs.dtype
        # bf16 has 8 bits behind the point: of sums of a few numbers of about 1.
        assert torch.allclose(ours.float(), theirs.float(), rtol=0.05, atol=0.02)


@pytest.mark.parametrize("case", ["export", "meta", "output size"])
def test_elsewhere_the_layer_is_torchs(case: str, taken: list[str]) -> None:
    ours, theirs = pair(3, 1, 3, 2, 1)
    maps = torch.randn(2, 3, 4, 4)
    if case == "meta":
        assert ours.to("meta")(maps.to("meta")).shape == (2, 1, 7, 7)
    elif case == "export":
        graph = torch.export.export(ours, (maps,)).graph
        targets = [str(node.target) for node in graph.nodes]
        assert any(target.startswith("aten.conv_transpose2d") for target in targets)
    else:
        assert torch.equal(ours(maps, [8, 8]), theirs(maps, [8, 8]))
    assert not taken


@pytest.mark.parametrize("outputs", [1, 5])
def test_where_code_is_compiled_the_bias_is_a_sum(outputs: int, taken: list[str]) -> None:
    is_exporting = torch.compile(lambda: torch.compiler.is_exporting(), backend="eager")
    if is_exporting():
        pytest.skip("to this version of torch a compilation is an export: the layer is torch's own")
    ours, theirs = pair(3, outputs, 3, 2, 1, 1)
    biases: list[Any] = []

    def without_a_compiler(graph: Any, _: Any) -> Any:
        biases.extend(node.args[2] for node in graph.graph.nodes if "conv" in str(node.target))
        return graph.forward

    compiled = torch.compile(ours, backend=without_a_compiler)
    maps = torch.randn(2, 3, 4, 6)
    assert torch.allclose(compiled(maps), theirs(maps), atol=1e-6)
    with torch.autocast("cpu", torch.bfloat16):
        assert compiled(maps).dtype is theirs(maps).dtype is torch.bfloat16
    assert biases == [None, None]
    assert not taken


@pytest.mark.parametrize("case", ["missing", "other arguments", "wrong"])
@pytest.mark.parametrize("outputs", [1, 5])
def test_without_the_private_operator_the_layer_is_torchs(
    outputs: int, case: str, taken: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    right = transposed._gradients

    def gradients(*arguments: Any) -> tuple[Tensor | None, Tensor]:
        if case == "missing":
            raise AttributeError("'_OpNamespace' 'aten' object has no attribute")
        if case == "other arguments":
            raise RuntimeError("expected at most 10 arguments")
        grad_input, grad_weight = right(*arguments)
        return grad_input, 2 * grad_weight

    monkeypatch.setattr(transposed, "_gradients", gradients)
    transposed._has_gradients.cache_clear()
    try:
        found = [results(layer, (4, 6)) for layer in pair(3, outputs, 3, 2, 1, 1)]
    finally:
        transposed._has_gradients.cache_clear()
    assert not taken
    for ours, theirs in zip(*found, strict=True):
        assert torch.equal(ours, theirs)


def test_the_private_operator_is_checked_on_any_machine() -> None:
    transposed._has_gradients.cache_clear()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        assert transposed._has_gradients()


def test_with_a_dilation_the_layer_is_torchs_own(taken: list[str]) -> None:
    ours, torchs = (
        kind(2, 1, 3, 2, 1, 1, dilation=2) for kind in (transposed.ConvTranspose2d, ConvTranspose2d)
    )
    ours.load_state_dict(torchs.state_dict())
    for one, other in zip(*(results(layer, (4, 5)) for layer in (ours, torchs)), strict=True):
        assert torch.equal(one, other)
    assert taken == []
