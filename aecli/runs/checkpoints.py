"""States of a training, kept so that any interruption leaves one to go on from.

Each is a file with a manifest beside it, which is written last: without a manifest that fits, the
file does not count. torch does not check the sums of its own archives.
"""

import io
import json
import pickle
import re
from pathlib import Path
from typing import Any

import torch

from aecli.errors import StorageError
from aecli.files import fingerprint, read_verified, remove_scratch, write_atomically

KEEP_LAST = 2
"""The newest, and the one before it in case that the newest is damaged."""


CHECKPOINT_PATTERN = re.compile(r"(\d{10})\.(json|pt)")
"""Names of our files, which are the only ones that are ever removed."""


class Checkpoints:
    """A folder of states, each named by its position in the training, a number that grows."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, position: int, state: dict[str, Any]) -> None:
        """Keep a state: tensors, numbers and text in dicts and lists.

        Raises:
            OSError: it cannot be written; those before it are still good.
        """
        buffer = io.BytesIO()
        torch.save(state, buffer)
        content = buffer.getvalue()
        self.folder.mkdir(exist_ok=True)
        write_atomically(self._file(position), content)
        manifest = json.dumps({self._file(position).name: fingerprint(content)}) + "\n"
        write_atomically(self._manifest(position), manifest.encode())
        self._remove_all_but(KEEP_LAST)

    def newest(self) -> tuple[dict[str, Any] | None, list[str]]:
        """The newest state that is sound, None where none was ever kept, and what is wrong with
        those that are newer. Nothing in a file is executed.

        Raises:
            StorageError: there are some, and all are damaged.
        """
        problems: list[str] = []
        for position in self._kept():
            try:
                return self._load(position), problems
            except StorageError as error:
                problems.append(str(error))
        if problems:
            raise StorageError(
                f"{'; '.join(problems)}; to train from the beginning, remove {self.folder}"
            )
        return None, []

    def keep_newest(self) -> None:
        """Of a training that has come to its end there is nothing to fall back to."""
        self._remove_all_but(1)

    def _load(self, position: int) -> dict[str, Any]:
        manifest, file = self._manifest(position), self._file(position)
        try:
            expected = json.loads(manifest.read_bytes())[file.name]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StorageError(f"{manifest} is damaged or cannot be read") from error
        content = io.BytesIO(read_verified(file, expected))
        try:
            state: dict[str, Any] = torch.load(content, map_location="cpu", weights_only=True)
        except (pickle.UnpicklingError, RuntimeError) as error:  # an object that is no tensor
            raise StorageError(f"{file} cannot be used: it holds more than a state") from error
        return state

    def _kept(self) -> list[int]:
        """By their position, the newest first."""
        names = (
            CHECKPOINT_PATTERN.fullmatch(manifest.name) for manifest in self.folder.glob("*.json")
        )
        return sorted((int(name[1]) for name in names if name), reverse=True)

    def _remove_all_but(self, count: int) -> None:
        kept = self._kept()[:count]
        for file in sorted(self.folder.iterdir()):  # the manifest of each first
            found = CHECKPOINT_PATTERN.fullmatch(file.name)
            if found and int(found[1]) not in kept:
                file.unlink()
        remove_scratch(self.folder)

    def _file(self, position: int) -> Path:
        return self.folder / f"{position:010}.pt"

    def _manifest(self, position: int) -> Path:
        return self.folder / f"{position:010}.json"
