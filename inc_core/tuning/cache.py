"""The cache: what was measured once, found again by what it depends on, across runs and strategies.

An entry is one file, ``<folder>/<kind>/<digest of its key>``: a checksum, then the content. Writing is
atomic and reading verifies, so that a broken entry is only a missing one. Nothing here ever breaks a
search: a cache that cannot be written is as good as none.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import logging
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from inc_core.config.types import CacheConfig

__all__ = ["Cache", "CacheEntry", "cache_folder", "open_cache"]

logger = logging.getLogger("inc_core.tuning")

Array = npt.NDArray[Any]

# Of a disk that fills up the journal gets the rest: what it holds cannot be measured again.
RESERVED_BYTES = 200_000_000
# What a small file really takes.
BLOCK_BYTES = 4096
_CHECKSUM_BYTES = 32


class CacheEntry(NamedTuple):
    """One file of the cache; ``used`` is the time of its last use, seconds since the epoch."""

    path: Path
    kind: str
    size_bytes: int
    used: float


class Cache:
    """Content-addressed files of a bounded total size.

    Args:
        folder: Where; made at the first write. ``None`` keeps nothing.
        limit_bytes: Total size; beyond it the entries are removed that were not used for longest.
    """

    def __init__(
        self, folder: Path | None, limit_bytes: int = int(CacheConfig.size_mb * 1e6)
    ) -> None:
        self.folder = folder
        self.limit_bytes = limit_bytes
        self._unchecked_bytes = limit_bytes  # the first write looks at what is there

    def get(self, kind: str, key: Mapping[str, Any]) -> bytes | None:
        """Return the content of an entry; ``None`` if there is none, or it is damaged."""
        if self.folder is None:
            return None
        path = self._path(kind, key)
        try:
            stored = path.read_bytes()
            checksum, content = stored[:_CHECKSUM_BYTES], stored[_CHECKSUM_BYTES:]
            if hashlib.sha256(content).digest() != checksum:
                logger.warning("the cache entry %s is damaged; it is measured again", path.name)
                path.unlink()
                return None
            os.utime(path)
        except FileNotFoundError:
            return None
        except OSError as error:
            logger.debug("the cache entry %s cannot be read: %s", path, error)
            return None
        return content

    def put(self, kind: str, key: Mapping[str, Any], content: bytes) -> None:
        """Keep the content of an entry; where that is impossible, say so once and go on without."""
        if self.folder is None:
            return
        path = self._path(kind, key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if shutil.disk_usage(path.parent).free < len(content) + RESERVED_BYTES:
                raise OSError(errno.ENOSPC, "too little space is left on the disk")
            _write(path, hashlib.sha256(content).digest() + content)
            self._unchecked_bytes += max(len(content), BLOCK_BYTES)
            if self._unchecked_bytes * 16 > self.limit_bytes:
                self._trim()
        except OSError as error:
            logger.warning(
                "the cache %s cannot be written (%s); going on without",
                self.folder, error.strerror or error,
            )  # fmt: skip
            self.folder = None

    def get_json(self, kind: str, key: Mapping[str, Any]) -> Any:
        """Return an entry's plain values; ``None`` if there is none."""
        content = self.get(kind, key)
        return None if content is None else json.loads(content)

    def put_json(self, kind: str, key: Mapping[str, Any], value: Any) -> None:
        """Keep plain values."""
        self.put(kind, key, json.dumps(value, separators=(",", ":")).encode())

    def get_arrays(self, kind: str, key: Mapping[str, Any]) -> list[Array] | None:
        """Return an entry's arrays; ``None`` if there is none."""
        content = self.get(kind, key)
        if content is None:
            return None
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as archive:
                return [archive[f"arr_{index}"] for index in range(len(archive.files))]
        except (ValueError, KeyError, zipfile.BadZipFile) as error:
            logger.debug("a cache entry of kind %s holds no arrays: %s", kind, error)
            return None

    def put_arrays(self, kind: str, key: Mapping[str, Any], arrays: list[Array]) -> None:
        """Keep arrays of numbers."""
        buffer = io.BytesIO()
        np.savez(buffer, *arrays)
        self.put(kind, key, buffer.getvalue())

    def entries(self) -> Iterator[CacheEntry]:
        """Yield every entry."""
        if self.folder is None or not self.folder.is_dir():
            return
        for path in sorted(self.folder.glob("*/*")):
            try:
                status = path.stat()
            except FileNotFoundError:  # another process removed it
                continue
            yield CacheEntry(path, path.parent.name, status.st_size, status.st_mtime)

    def clear(self) -> int:
        """Remove every entry; return how many there were."""
        found = list(self.entries())
        for entry in found:
            entry.path.unlink(missing_ok=True)
        return len(found)

    def _trim(self) -> None:
        self._unchecked_bytes = 0
        entries = sorted(self.entries(), key=lambda entry: entry.used)
        total = sum(max(entry.size_bytes, BLOCK_BYTES) for entry in entries)
        for entry in entries:
            if total <= self.limit_bytes:
                return
            entry.path.unlink(missing_ok=True)
            total -= max(entry.size_bytes, BLOCK_BYTES)

    def _path(self, kind: str, key: Mapping[str, Any]) -> Path:
        assert self.folder is not None
        text = json.dumps(key, sort_keys=True, separators=(",", ":"))
        return self.folder / kind / hashlib.sha256(text.encode()).hexdigest()


def open_cache(config: CacheConfig | None = None) -> Cache:
    """Return the configured cache; one that keeps nothing if it is off or ``INC_CACHE=0``."""
    config = CacheConfig() if config is None else config
    off = not config.enabled or os.environ.get("INC_CACHE") == "0"
    folder = Path(config.directory) if config.directory else cache_folder()
    return Cache(None if off else folder, int(config.size_mb * 1e6))


def cache_folder() -> Path:
    """Return where it lies: ``INC_CACHE_DIR``, else ``inc`` in the user's cache directory."""
    own = os.environ.get("INC_CACHE_DIR")
    if own:
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "inc"


def _write(path: Path, content: bytes) -> None:
    """Write a whole file, or nothing."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".writing-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(temporary).replace(path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise
