"""A decoded data set in a file that other processes memory-map, so that all share one copy."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from aecli.config.choices import SPLITS
from aecli.data.split import Data, Split


def share(data: Data, file: Path) -> None:
    """Write `data` to `file` for `load_shared`."""
    tensors = {}
    for name in SPLITS:
        split: Split = getattr(data, name).with_digests()
        tensors[f"{name}/images"] = split.images.cpu().contiguous()
        tensors[f"{name}/labels"] = split.labels.cpu().contiguous()
        assert split.digests is not None
        tensors[f"{name}/digests"] = split.digests
    values = {field.name: getattr(data, field.name) for field in fields(Data)}
    metadata = {name: value for name, value in values.items() if name not in SPLITS}
    metadata["classes"] = data.train.classes
    save_file(tensors, file, {"about": json.dumps(metadata)})


def load_shared(file: Path, device: torch.device) -> Data:
    """Read what `share` wrote onto `device`; on the CPU the tensors are the mapped file pages."""
    with safe_open(file, framework="pt") as tensors:
        facts: dict[str, Any] = json.loads(tensors.metadata()["about"])
        classes = tuple(facts.pop("classes"))
        for name in SPLITS:
            images, labels, digests = (
                tensors.get_tensor(f"{name}/{part}") for part in ("images", "labels", "digests")
            )
            facts[name] = Split(images, labels, classes, digests=digests).to(device)
        return Data(**facts)
