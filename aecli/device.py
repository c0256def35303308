"""Where tensors live and steps are computed."""

import torch

from aecli.errors import UsageError


def resolve_device(name: str) -> torch.device:
    """The device that `device=name` asks for; `auto` takes the fastest kind that is there.

    Raises:
        UsageError: this machine, or this build of torch, does not have it.
    """
    if name == "auto":
        cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
        return torch.device("cuda" if cuda else "mps" if mps else "cpu")
    available = ["cpu"]
    if torch.cuda.is_available():
        available += ["cuda", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        available.append("mps")
    if name not in available:
        raise UsageError(
            f"device={name} is not on this machine: give one of auto, {', '.join(available)}"
        )
    return torch.device(name)


def device_name(device: torch.device) -> str:
    """What a person calls the device."""
    if device.type == "cuda":
        return f"{device}, {torch.cuda.get_device_name(device)}"
    threads = torch.get_num_threads()
    return f"cpu, {threads} thread{'s' * (threads > 1)}" if device.type == "cpu" else str(device)
