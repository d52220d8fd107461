"""A job's files by their content: a worker takes each from a path, or as bytes, and checks it."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from inc_core.errors import DataError
from inc_core.manifest import file_digest

__all__ = ["CHUNK_BYTES", "UNFINISHED", "Bundle", "Entry", "Store"]

# Of a file that travels: large enough for the network, small enough for a worker's memory.
CHUNK_BYTES = 8 << 20

# How the name of a file begins that is being written.
UNFINISHED = ".unfinished-"

# What a worker keeps of models that no run uses any more.
STORE_BYTES = 20 << 30


class Entry(NamedTuple):
    """One file of a job.

    Attributes:
        name: Path below the job's folder.
        digest: SHA-256 of the content, hex.
        size: Bytes.
        path: Where the file lies on the machine of the search, and perhaps on others.
    """

    name: str
    digest: str
    size: int
    path: str


class Bundle:
    """The files of a job as they come: each is hashed once.

    Args:
        folder: Where they lie; no file in it changes once it is there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._entries: dict[Path, Entry] = {}

    def entries(self) -> list[Entry]:
        """Return every file that is there now."""
        for path in sorted(self.folder.rglob("*")):
            if path.name.startswith(UNFINISHED):
                continue
            if path.is_file() and path not in self._entries:
                name = path.relative_to(self.folder).as_posix()
                digest = file_digest(path)
                self._entries[path] = Entry(name, digest, path.stat().st_size, str(path))
        return list(self._entries.values())

    def chunks(self, entry: Entry) -> Iterator[bytes]:
        """Yield the content of a file, at least one chunk."""
        with (self.folder / entry.name).open("rb") as file:
            yield file.read(CHUNK_BYTES)
            while chunk := file.read(CHUNK_BYTES):
                yield chunk


class Store:
    """Files by digest, on a worker."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def missing(self, entries: Sequence[Entry]) -> list[Entry]:
        """Return what is neither here nor readable, with the right content, at its path."""
        return [entry for entry in entries if not self._has(entry) and not self._take(entry)]

    def put(self, entry: Entry, chunk: bytes, *, first: bool) -> None:
        """Add to a file that is on its way.

        Raises:
            DataError: If it is complete and its content is not what was announced.
        """
        part = self.folder / f"{entry.digest}.part"
        with part.open("wb" if first else "ab") as file:
            file.write(chunk)
        if part.stat().st_size < entry.size:
            return
        if file_digest(part) != entry.digest:
            part.unlink()
            raise DataError(f"{entry.name} arrived with another content than was sent")
        part.replace(self.folder / entry.digest)

    def lay_out(self, entries: Sequence[Entry], folder: Path) -> None:
        """Make a job's folder of files that are here."""
        for entry in entries:
            target = folder / entry.name
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                _link(self.folder / entry.digest, target)

    def prune(self) -> None:
        """Remove what was used longest ago where there is too much."""
        files = sorted(self.folder.iterdir(), key=lambda path: path.stat().st_mtime)
        excess = sum(path.stat().st_size for path in files) - STORE_BYTES
        for path in files:
            if excess <= 0:
                return
            excess -= path.stat().st_size
            path.unlink()

    def _has(self, entry: Entry) -> bool:
        path = self.folder / entry.digest
        if path.exists():
            os.utime(path)
        return path.exists()

    def _take(self, entry: Entry) -> bool:
        path = Path(entry.path)
        try:
            if path.stat().st_size != entry.size or file_digest(path) != entry.digest:
                return False
            _link(path, self.folder / entry.digest)
        except OSError:  # not a path of this machine, or not readable
            return False
        return True


def _link(source: Path, target: Path) -> None:
    """Give a file a second name; a copy where the file system cannot."""
    try:
        os.link(source, target)
    except FileExistsError:
        pass
    except OSError:
        part = target.with_name(f"{target.name}.{os.getpid()}")
        with contextlib.ExitStack() as stack:
            stack.callback(part.unlink, missing_ok=True)
            shutil.copyfile(source, part)
            part.replace(target)
