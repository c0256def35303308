"""Files that aecli wrote to a folder: which they are, and how all are replaced at once.

A manifest lists them, each with its size and digest once it is final. Everything else in the folder
was written or changed by somebody else, and is neither overwritten nor removed.

New versions of the files are collected in the subfolder `.next`, with a manifest of their own that
lists them, so that other people's files are recognised there as well. They take effect together, at
the moment that manifest holds their digests; then each is moved to its place, the manifest last. A
process that is killed in between leaves the move to the next one. Until that moment the old files
are in force.
"""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from aecli.errors import StorageError
from aecli.files.documents import InvalidDocumentError, parse_json, to_json
from aecli.files.storage import (
    MAX_JSON_BYTES,
    Fingerprint,
    fingerprint,
    fsync_file,
    fsync_folder,
    is_inside,
    make_folder,
    read_file,
    read_regular,
    read_verified,
    remove_scratch,
    write_atomically,
)

MANIFEST = "manifest.json"
NEXT = ".next"

Manifest = dict[str, Fingerprint | None]
"""Name, relative to the folder -> the fingerprint; None for a file that is still being written."""


class OwnedFiles:
    """The files of aecli in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.next = folder / NEXT

    def locate(self, name: str) -> Path:
        """The path of the current version of the file, which may be a staged one; it need not
        exist."""
        successor = self.next / name
        return successor if self._is_published and successor.exists() else self.folder / name

    def manifest(self) -> Manifest:
        """The manifest in force; empty if there is none.

        Raises:
            StorageError: it is damaged, or not one of aecli's.
        """
        file = self.locate(MANIFEST)
        try:
            return _read_manifest(file)
        except FileNotFoundError:  # there is none, or it has just been moved to its place
            return self._manifest_in_place()
        except OSError as error:
            raise StorageError(f"{file} cannot be read: {error.strerror or error}") from error

    def read(self, name: str, max_bytes: int | None = None) -> bytes:
        """Read the current version of a file of at most `max_bytes`, and verify it if it is final.

        Raises:
            StorageError: it is damaged or missing, or the manifest is.
        """
        try:
            return self._read_once(name, max_bytes)
        except StorageError:  # another process may just have moved it to its place
            return self._read_once(name, max_bytes)

    def _read_once(self, name: str, max_bytes: int | None) -> bytes:
        try:
            expected = _read_manifest(self.locate(MANIFEST))[name]
        except OSError as error:
            problem = error.strerror or error
        except KeyError:
            problem = f"it has no entry for {name}"
        else:
            file = self.locate(name)
            if expected is None:
                return read_file(file, max_bytes)
            return read_verified(file, expected, max_bytes)
        manifest = self.locate(MANIFEST)
        raise StorageError(f"{manifest} is damaged or cannot be read: {problem}")

    def owns(self, name: str) -> bool:
        """Whether aecli wrote a file, as far as the manifest can tell."""
        try:
            return name in self.manifest()
        except StorageError:
            return False

    def claim(self, *names: str) -> None:
        """List files that are about to be written, and may be overwritten until they are final.

        Raises:
            StorageError: the manifest is damaged.
        """
        self._write_manifest(self.folder, {**self.manifest(), **dict.fromkeys(names)})

    def disclaim(self, name: str) -> None:
        """Remove a file from the manifest."""
        manifest = self.manifest()
        manifest.pop(name, None)
        self._write_manifest(self.folder, manifest)

    def adopt(self, names: Iterable[str]) -> None:
        """List files that another program has written for aecli, as they are; some may be missing.

        Raises:
            StorageError: the manifest is damaged.
        """
        found = {name: self.folder / name for name in names}
        contents = {name: file.read_bytes() for name, file in found.items() if file.is_file()}
        adopted = {name: fingerprint(content) for name, content in contents.items()}
        self._write_manifest(self.folder, {**self.manifest(), **adopted})

    def save(self, name: str, content: bytes) -> None:
        """Write one file in its place.

        A process that is killed on the way leaves the old or the new file, and an entry that fits.
        """
        self.claim(name)
        write_atomically(self.folder / name, content)
        self._write_manifest(self.folder, {**self.manifest(), name: fingerprint(content)})

    def remove(self, name: str) -> None:
        """Remove a file, unless somebody has changed it, and its entry in the manifest."""
        if self._is_ours(name, self.manifest()):
            (self.folder / name).unlink(missing_ok=True)
        self.disclaim(name)

    def unchanged(self) -> list[Path]:
        """The files that are as aecli wrote them, and those that it was still writing; none that is
        a link, or behind one.

        Raises:
            StorageError: a manifest is damaged.
        """
        manifest = self._manifest_in_place()
        ours = [self.folder / name for name in manifest if self._is_ours(name, manifest)]
        ours += [self.next / name for name in (*self._next_manifest(), MANIFEST)]
        home = self.folder.resolve()
        return [
            path
            for path in ours
            if path.is_file() and path.resolve() == home / path.relative_to(self.folder)
        ]

    def stage(self, name: str) -> Path:
        """The path at which to write the next version of a file.

        Raises:
            StorageError: a file that aecli did not write is there.
        """
        return self.stage_all([name])[name]

    def stage_all(self, names: Iterable[str]) -> dict[str, Path]:
        """The paths at which to write the next versions of several files.

        Raises:
            StorageError: a file that aecli did not write is at one of them.
        """
        paths = {name: self.next / name for name in names}
        listed = self._next_manifest()
        new = [name for name in paths if name not in listed]
        for name in new:
            self._check_vacant(self.next / name)
        if new:
            self._write_manifest(self.next, {**listed, **dict.fromkeys(new)})
        for folder in {path.parent for path in paths.values()}:
            make_folder(folder)
        return paths

    def staged(self) -> dict[str, Path]:
        """The next versions that aecli has written and not published yet, by name.

        Raises:
            StorageError: their manifest is damaged.
        """
        if self._is_published:
            return {}
        paths = {name: self.next / name for name in self._next_manifest()}
        return {name: path for name, path in paths.items() if path.is_file()}

    def check_replaceable(self, names: Iterable[str]) -> None:
        """Check that no file called one of `names`, nor any in the place of its next version, was
        written or changed by somebody else.

        Raises:
            StorageError: one was; the message names it.
        """
        manifest, listed = self.manifest(), self._next_manifest()
        for name in names:
            if name not in manifest:
                self._check_vacant(self.folder / name)
            elif os.path.lexists(self.folder / name) and not self._is_ours(name, manifest):
                raise StorageError(
                    _in_the_way(self.folder / name, "has been changed since aecli wrote it")
                )
            if name not in listed:
                self._check_vacant(self.next / name)

    def _check_vacant(self, path: Path) -> None:
        if os.path.lexists(path):
            raise StorageError(_in_the_way(path, "was not written by aecli"))

    def publish(self, names: Iterable[str], kept: Iterable[str] = ()) -> None:
        """Replace the current files by their next versions, all at once.

        Args:
            names: all files of the new version. Those that were not staged, but written in their
                places, stay there; those of the old version that are not among them are removed.
            kept: files that belong to no version: they stay in the manifest as they are.

        Raises:
            StorageError: a file that is not ours is in the way; nothing has changed.
        """
        ready = self.staged()
        newest = {name: ready.get(name, self.folder / name) for name in names}
        staged = [name for name in newest if name in ready]
        self.check_replaceable(staged)
        for name in newest.keys() - ready.keys():
            self._check_vacant(self.next / name)
        contents = {name: file.read_bytes() for name, file in newest.items() if file.exists()}
        for name in contents:  # also files that were appended to in their places
            fsync_file(newest[name])
        for folder in {(self.next / name).parent for name in staged} | {self.next}:
            fsync_folder(folder)
        names_kept = {*kept}
        old = {
            name: known
            for name, known in self.manifest().items()
            if known is None or name in names_kept
        }
        final = {name: fingerprint(content) for name, content in contents.items()}
        self._write_manifest(self.next, {**old, **final})
        self.complete()

    def complete(self) -> None:
        """Move published files to their places, if a process was killed before it could."""
        if not self._is_published:
            return
        old, new = self._manifest_in_place(), _read_manifest(self.next / MANIFEST)
        moved = [name for name in new if (self.next / name).exists()]
        for name in moved:
            target = self.folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(self.next / name, target)
        for name in old.keys() - new.keys():
            if self._is_ours(name, old):
                (self.folder / name).unlink(missing_ok=True)
                self._remove_empty_parents(name)
        for name in moved:
            fsync_folder((self.folder / name).parent)
        fsync_folder(self.folder)
        os.replace(self.next / MANIFEST, self.folder / MANIFEST)
        fsync_folder(self.folder)
        self._remove_empty_folders()

    @property
    def _is_published(self) -> bool:
        """Whether new versions are in force that have not all been moved to their places."""
        try:
            return any(self._next_manifest().values())
        except (OSError, StorageError):  # whoever writes there says so
            return False

    def _next_manifest(self) -> Manifest:
        """The manifest of the next versions, with digests once they are published; empty if there
        are none."""
        try:
            return _read_manifest(self.next / MANIFEST)
        except (FileNotFoundError, NotADirectoryError):
            return {}

    def _manifest_in_place(self) -> Manifest:
        try:
            return _read_manifest(self.folder / MANIFEST)
        except FileNotFoundError:
            return {}

    def _is_ours(self, name: str, manifest: Manifest) -> bool:
        """Whether the file in its place is as aecli wrote it, or not yet final."""
        if name not in manifest:
            return False
        expected = manifest[name]
        file = self.folder / name
        if expected is None:
            return True
        return file.is_file() and fingerprint(file.read_bytes()) == expected

    def _remove_empty_parents(self, name: str) -> None:
        """Remove the folders that are empty now that a file is gone."""
        for parent in Path(name).parents[:-1]:  # all but `folder` itself
            with suppress(OSError):  # there are other files in it
                (self.folder / parent).rmdir()

    def _remove_empty_folders(self) -> None:
        """Remove `.next`, and what was left in it by a process that was killed while writing."""
        remove_scratch(self.next)
        for path in sorted(self.next.rglob("*"), reverse=True):  # the innermost first
            with suppress(OSError):  # it is no folder, or something in it is not ours
                path.rmdir()
        with suppress(OSError):
            self.next.rmdir()

    def _write_manifest(self, folder: Path, manifest: Manifest) -> None:
        make_folder(folder)
        write_atomically(folder / MANIFEST, to_json(manifest))


def _read_manifest(file: Path) -> Manifest:
    """Read a manifest.

    Raises:
        FileNotFoundError: there is none.
        StorageError: it is damaged, or not one of aecli's.
    """
    reason = "it does not hold sizes and digests"
    try:
        manifest = parse_json(read_regular(file, MAX_JSON_BYTES))
        entries = manifest.values()
        if not all(map(is_inside, manifest)):
            reason = "it names a file outside of its folder"
        elif all(entry is None or entry.keys() == {"size", "sha256"} for entry in entries):
            return dict(manifest)
    except InvalidDocumentError as error:
        reason = str(error)
    except AttributeError:  # not two values, or not a dict
        pass
    raise StorageError(f"{file} is damaged, or was not written by aecli: {reason}")


def _in_the_way(path: Path, reason: str) -> str:
    return f"{path} {reason}, so it is not replaced: move it elsewhere and run again"
