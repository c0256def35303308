"""Checkpoints of a training run, written so that one survives any interruption.

Each is a file with a manifest next to it. The manifest is written last, and a file without a
matching manifest is ignored. torch does not verify the checksums in its own archives; it is
imported when a checkpoint is read or written.
"""

import io
import json
import re
from pathlib import Path
from typing import Any

from aecli.errors import StorageError
from aecli.files.storage import (
    fingerprint,
    make_folder,
    read_json,
    read_verified,
    remove_scratch,
    write_atomically,
)

KEEP_LAST = 2
"""The newest checkpoint, and the one before it in case the newest is damaged."""


CHECKPOINT_PATTERN = re.compile(r"(\d{10})\.(json|pt)")
"""The pattern of our own files; no others are ever removed."""


class Checkpoints:
    """A folder of checkpoints, each named by its position in training, an increasing number."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, position: int, state: dict[str, Any]) -> None:
        """Save a state: tensors, numbers and text in dicts and lists.

        Raises:
            OSError: it cannot be written; earlier checkpoints stay valid.
        """
        import torch

        buffer = io.BytesIO()
        torch.save(state, buffer)
        content = buffer.getvalue()
        make_folder(self.folder)
        write_atomically(self._file(position), content)
        manifest = json.dumps({self._file(position).name: fingerprint(content)}) + "\n"
        write_atomically(self._manifest(position), manifest.encode())
        self._remove_all_but(KEEP_LAST)

    def newest(self) -> tuple[dict[str, Any] | None, list[str]]:
        """Load the newest undamaged state, and list the problems of any newer ones.

        The state is None if there is no checkpoint. Nothing in a file is executed.

        Raises:
            StorageError: there are checkpoints, but all are damaged.
        """
        problems: list[str] = []
        for position in self._positions():
            try:
                return self._load(position), problems
            except StorageError as error:
                problems.append(str(error))
        if problems:
            raise StorageError(
                f"{'; '.join(problems)}; to train from the beginning, add restart=true"
            )
        return None, []

    def keep_newest(self) -> None:
        """Remove all but the newest: a finished run needs no fallback."""
        self._remove_all_but(1)

    def remove_all(self) -> None:
        """Remove all checkpoints."""
        self._remove_all_but(0)

    def _load(self, position: int) -> dict[str, Any]:
        import torch

        manifest, file = self._manifest(position), self._file(position)
        expected = read_json(manifest)
        if not isinstance(expected, dict) or file.name not in expected:
            raise StorageError(f"{manifest} is damaged: it has no entry for {file.name}")
        content = io.BytesIO(read_verified(file, expected[file.name]))
        try:
            state = torch.load(content, map_location="cpu", weights_only=True)
        except Exception as error:  # of any kind: the file was not written by `save`
            raise StorageError(f"{file} cannot be used: it is not a checkpoint") from error
        if not isinstance(state, dict):
            raise StorageError(f"{file} cannot be used: it holds no checkpoint")
        return state

    def _positions(self) -> list[int]:
        """Positions of the saved checkpoints, newest first."""
        names = (
            CHECKPOINT_PATTERN.fullmatch(manifest.name) for manifest in self.folder.glob("*.json")
        )
        return sorted((int(name[1]) for name in names if name), reverse=True)

    def files(self) -> list[Path]:
        """All files of checkpoints, each manifest before its checkpoint."""
        return sorted(
            file for file in self.folder.glob("*") if CHECKPOINT_PATTERN.fullmatch(file.name)
        )

    def _remove_all_but(self, count: int) -> None:
        kept = self._positions()[:count]
        for file in self.files():
            if int(file.stem) not in kept:
                file.unlink()
        remove_scratch(self.folder)

    def _file(self, position: int) -> Path:
        return self.folder / f"{position:010}.pt"

    def _manifest(self, position: int) -> Path:
        return self.folder / f"{position:010}.json"
