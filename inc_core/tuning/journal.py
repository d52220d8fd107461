"""The journal: one checked line per event, so that a killed search goes on where it was.

A record is ``crc32 length json\\n``: the CRC in 8 hex digits and the length in bytes, both of the
JSON. Records are self-contained: a lost one costs one repeated trial, never the file.
"""

from __future__ import annotations

import json
import logging
import os
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

__all__ = ["Journal", "Record", "Scan", "encode", "read_journal", "scan"]

logger = logging.getLogger("inc_core.tuning")

# What must survive a power cut; other records may be lost, at the price of nothing.
DURABLE = frozenset(
    {"header", "measured", "finished", "confirmed", "accepted", "stopped", "closed"}
)  # "base" needs none of its own: the trial that follows it syncs both

# Room for the closing records of the largest models seen (a whole recipe of 10,000 ops is 0.4 MB).
BALLAST_BYTES = 1_000_000


class Record(NamedTuple):
    """One event: its type and its fields."""

    type: str
    fields: Mapping[str, Any]


class Scan(NamedTuple):
    """What a journal's bytes hold.

    Attributes:
        records: The readable ones, in order.
        bad_lines: Whole lines that are no record, such as a flipped bit makes.
        good_bytes: Where the last whole line ends; what follows is a torn tail.
    """

    records: tuple[Record, ...]
    bad_lines: tuple[bytes, ...]
    good_bytes: int


def encode(record: Record) -> bytes:
    """Return a record as its line."""
    fields = {"type": record.type, **record.fields}
    body = json.dumps(fields, separators=(",", ":"), allow_nan=False).encode()
    return b"%08x %d %b\n" % (zlib.crc32(body), len(body), body)


def scan(content: bytes) -> Scan:
    """Read every record that is whole; never raises, whatever the bytes are."""
    end = content.rfind(b"\n") + 1
    records, bad_lines = [], []
    for line in content[:end].split(b"\n")[:-1]:
        record = _decode(line)
        if record is not None:
            records.append(record)
        elif line:
            bad_lines.append(line)
    return Scan(tuple(records), tuple(bad_lines), end)


def _decode(line: bytes) -> Record | None:
    crc, _, rest = line.partition(b" ")
    length, _, body = rest.partition(b" ")
    if crc != b"%08x" % zlib.crc32(body) or length != b"%d" % len(body):
        return None
    try:
        fields = json.loads(body)
    except ValueError:  # a line that somebody else wrote, with a right checksum
        return None
    if not isinstance(fields, dict) or not isinstance(fields.get("type"), str):
        return None
    return Record(fields.pop("type"), fields)


def read_journal(path: Path) -> tuple[Record, ...]:
    """Return the readable records of a journal; the file is not touched."""
    return scan(path.read_bytes()).records


class Journal:
    """An append-only list of records, in a file or, without ``path``, in memory alone.

    Opening repairs: a torn tail is copied to ``journal.torn`` and cut, unreadable lines are copied
    to ``journal.quarantine``. Where the disk is full or read-only the journal goes on in memory and
    ``complete`` becomes false; it never breaks a search.
    """

    def __init__(self, path: Path | None = None, *, complete: bool = True) -> None:
        self.path = path
        self.complete = complete
        self._records: list[Record] = []
        self._fd: int | None = None
        if path is not None:
            try:
                self._open(path)
            except OSError as error:
                self._lose(error)

    @property
    def records(self) -> tuple[Record, ...]:
        """Every record, those that were found at opening first."""
        return tuple(self._records)

    def of(self, type: str) -> Iterator[Mapping[str, Any]]:
        """Yield the fields of every record of one type."""
        return (record.fields for record in self._records if record.type == type)

    def append(self, type: str, **fields: Any) -> None:
        """Add a record; on disk for certain at return if its type is one of ``DURABLE``."""
        record = Record(type, fields)
        line = encode(record)
        self._records.append(record)
        if self._fd is None:
            return
        try:
            self._write(line, durable=type in DURABLE)
        except OSError as error:
            self._retry(line, error)

    def close(self) -> None:
        """Release the file; later records stay in memory."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
            self._release_ballast()

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _open(self, path: Path) -> None:
        content = path.read_bytes() if path.exists() else b""
        found = scan(content)
        self._records = list(found.records)
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        self._size = found.good_bytes
        if found.good_bytes < len(content):
            _save_aside(path.with_suffix(".torn"), content[found.good_bytes :])
            os.ftruncate(self._fd, found.good_bytes)
        if found.bad_lines:
            # rewriting in place could lose the rest: the bad lines stay and are skipped each time
            aside = path.with_suffix(".quarantine")
            if not aside.exists():
                _save_aside(aside, b"\n".join(found.bad_lines) + b"\n")
                logger.warning(
                    "%s: %d unreadable record(s) were put aside in %s; their trials run again",
                    path, len(found.bad_lines), aside.name,
                )  # fmt: skip
        self._write_ballast(path.with_suffix(".ballast"))

    def _write(self, line: bytes, *, durable: bool) -> None:
        assert self._fd is not None
        done = 0
        os.lseek(self._fd, self._size, os.SEEK_SET)
        while done < len(line):  # a nearly full disk takes a part
            done += os.write(self._fd, line[done:])
        if durable:
            _sync(self._fd)
        self._size += len(line)

    def _retry(self, line: bytes, error: OSError) -> None:
        """Give the ballast's room to this record; without it go on in memory."""
        assert self._fd is not None
        released = self._release_ballast()
        try:
            os.ftruncate(self._fd, self._size)
            if not released:
                raise error
            self._write(line, durable=True)
        except OSError as again:
            os.close(self._fd)
            self._fd = None
            self._lose(again)

    def _lose(self, error: OSError) -> None:
        self.complete = False
        logger.warning(
            "the journal %s cannot be written (%s); the search goes on in memory and its history "
            "will be incomplete: it cannot be resumed from here",
            self.path, error.strerror or error,
        )  # fmt: skip

    def _write_ballast(self, path: Path) -> None:
        if path.exists():
            return
        try:
            path.write_bytes(bytes(BALLAST_BYTES))
        except OSError:
            path.unlink(missing_ok=True)  # a nearly full disk is better spent on records

    def _release_ballast(self) -> bool:
        if self.path is None:
            return False
        ballast = self.path.with_suffix(".ballast")
        if not ballast.exists():
            return False
        ballast.unlink()
        return True


def _save_aside(path: Path, content: bytes) -> None:
    with path.open("ab") as file:
        file.write(content)


def _sync(fd: int) -> None:
    """Wait until the data is on the disk; without ``fdatasync`` (macOS, Windows) by ``fsync``."""
    getattr(os, "fdatasync", os.fsync)(fd)
