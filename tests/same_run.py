"""Whether two run directories hold the same run, apart from its time."""

from pathlib import Path
from typing import Any

import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from aecli.runs.directory import RunDirectory

TIMES = {"seconds", "images_per_second"}


def assert_same_run(one: Path, other: Path) -> None:
    """Weights, optimiser, best epoch, records, pictures and TensorBoard's curves, to the bit."""
    a, b = RunDirectory(one), RunDirectory(other)
    for name in ("best.safetensors", "images.safetensors"):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
    assert_same(a.checkpoints.newest()[0], b.checkpoints.newest()[0])
    assert [without_times(line) for line in a.load_metrics()] == [
        without_times(line) for line in b.load_metrics()
    ]
    assert without_times(a.load_summary()) == without_times(b.load_summary())
    assert curves(one) == curves(other)


def assert_same(one: Any, other: Any, where: str = "checkpoint") -> None:
    """The same numbers in the same places."""
    assert type(one) is type(other), where
    if isinstance(one, dict):
        assert list(one) == list(other), where
        for key in one:
            if key not in TIMES:
                assert_same(one[key], other[key], f"{where}/{key}")
    elif isinstance(one, list):
        assert len(one) == len(other), where
        for number, (left, right) in enumerate(zip(one, other, strict=True)):
            assert_same(left, right, f"{where}/{number}")
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, other), where
    else:
        assert one == other, where


def without_times(record: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key not in TIMES}


def curves(folder: Path) -> dict[str, Any]:
    """Tag -> steps and values that TensorBoard shows; for pictures and speeds only the steps."""
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0})
    events.Reload()
    tags = events.Tags()
    scalars = {
        tag: [
            (e.step, None if tag.endswith("_per_second") else e.value) for e in events.Scalars(tag)
        ]
        for tag in tags["scalars"]
    }
    images = {tag: [event.step for event in events.Images(tag)] for tag in tags["images"]}
    return {"scalars": scalars, "images": images, "graph": tags["graph"]}
